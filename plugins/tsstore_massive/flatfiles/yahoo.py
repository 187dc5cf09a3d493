"""Days from Yahoo's charts by the package `yfinance` (`pip install 'tsstore[yfinance]'`).

It has minutes of the last weeks and days of decades, of stocks, without a key; its volumes are
other ones than the vendor's, and it tells neither VWAP nor trade counts. So its bars only stand
where the store has none, and REST and files put theirs in place of them.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Write
from tsstore.columns import Columns
from tsstore.errors import ConfigError, InvalidArgumentError, NotFoundError
from tsstore.zones import NS_PER_DAY, local_to_utc
from tsstore_massive.datasets import Dataset
from tsstore_massive.flatfiles.fallback import Filled
from tsstore_massive.flatfiles.selection import symbols_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.fallback import Context
    from tsstore_massive.flatfiles.planning import Missing
    from tsstore_massive.flatfiles.selection import Selection

_INTERVALS = {"minute_aggs": "1m", "day_aggs": "1d"}
_COLUMNS = ("Open", "High", "Low", "Close", "Volume")


@contextmanager
def yfinance(context: Context, session: Any = None) -> Iterator[YahooFallback]:
    """Yahoo's charts, for `--fallback yfinance`.

    Args:
        context: where the rows go.
        session: for its requests; None for the package's own.

    Raises:
        ConfigError: the package is not installed.
    """
    try:
        import yfinance as package  # type: ignore[import-untyped]
    except ImportError:
        raise ConfigError(
            "--fallback yfinance needs the package; run: pip install 'tsstore[yfinance]'"
        ) from None
    package.config.debug.hide_exceptions = False  # else what failed is a line in a log
    yield YahooFallback(context, package, session)


class YahooFallback:
    """Bars of stocks from Yahoo's charts, symbol by symbol.

    Args:
        context: where the rows go.
        package: `yfinance`.
        session: for its requests; None for the package's own.
    """

    def __init__(self, context: Context, package: Any, session: Any) -> None:
        self._context = context
        self._package = package
        self._session = session

    def check(self, flat: FlatSet) -> None:
        """See `Fallback`."""
        if flat.market != "stocks" or flat.name not in _INTERVALS:
            raise InvalidArgumentError(
                f"--fallback yfinance does not have {flat}; it has minute_aggs and day_aggs of "
                "stocks"
            )

    def fill(self, missing: Sequence[Missing], selection: Selection) -> Filled:
        """See `Fallback`."""
        rows, gaps = 0, list[str]()
        for flat in sorted({each.flat for each in missing}, key=str):
            days = sorted(each.day for each in missing if each.flat == flat)
            for symbol in symbols_of(self._context.store, flat, selection):
                if self._context.stop.is_set():
                    return Filled(rows, gaps)
                try:
                    frame = self._history(flat, symbol, days)
                except Exception as error:  # noqa: BLE001  (a scraper fails in any way there is)
                    gaps.append(f"{flat} of {symbol} from {days[0]} to {days[-1]}: {error}")
                else:
                    rows += self._store(flat, symbol, days, frame)
        return Filled(rows, gaps)

    def _history(self, flat: FlatSet, symbol: str, days: Sequence[date]) -> Any:
        ordered = np.array(days, "M8[D]")
        # The end is not included.
        first, last = str(ordered[0]), str(ordered[-1] + np.timedelta64(1, "D"))
        ticker = self._package.Ticker(symbol.replace(".", "-"), session=self._session)
        return ticker.history(
            start=first, end=last, interval=_INTERVALS[flat.name], prepost=True,
            auto_adjust=False, actions=False,
        )  # fmt: skip

    def _store(self, flat: FlatSet, symbol: str, days: Sequence[date], frame: Any) -> int:
        """Store the bars of some days that the store does not have; how many."""
        dataset, ordered = Dataset("bars", flat.timeframe), np.array(days, "M8[D]")
        bars = bars_of(frame, dataset, ordered, self._context.store.timezone)
        bars = bars.take(~np.isin(bars.ts, self._stored(f"{symbol}/{flat.group}", bars.ts)))
        if len(bars):
            self._context.store.commit([Write(f"{symbol}/{flat.group}", bars, flat.schema)])
        return len(bars)

    def _stored(self, key: str, ts: NDArray[np.int64]) -> NDArray[np.int64]:
        if not len(ts):
            return ts
        first, last = ts[[0, -1]].astype("M8[ns]")
        try:
            return self._context.store.read(key, start=first, end=last, columns=["Close"]).ts
        except NotFoundError:
            return ts[:0]


def bars_of(frame: Any, dataset: Dataset, days: NDArray[np.datetime64], timezone: str) -> Columns:
    """Bars of a frame of `yfinance` that are in some days.

    Args:
        frame: its index has a time zone; columns Open, High, Low, Close, Volume.
        dataset: minutes or days of stocks.
        days: datetime64[D], ascending.
        timezone: of the store, in which a day's bar stands at midnight.
    """
    ts = frame.index.tz_convert("UTC").tz_localize(None).to_numpy("M8[ns]").astype(np.int64)
    columns = {name: frame[name].to_numpy(np.float64) for name in _COLUMNS}
    columns |= {name: np.full(len(ts), np.nan) for name in ("VWAP", "TradeCount")}
    starts, ends = dataset.starts(days), dataset.ends(days)
    at = np.searchsorted(starts, ts, side="right") - 1
    wanted = (at >= 0) & (ts <= ends[at])
    wanted &= np.logical_and.reduce([np.isfinite(columns[name]) for name in _COLUMNS])
    if dataset.timeframe.is_calendar:
        ts = local_to_utc(days.astype(np.int64) * NS_PER_DAY, timezone)[np.maximum(at, 0)]
    return Columns(ts, columns).take(wanted)
