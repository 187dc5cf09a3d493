"""Bars of a market day from its minute bars, for many symbols at a time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsstore import aggregate
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.timeframe import Timeframe
from tsstore.usmarket import NEW_YORK
from tsstore_massive.schemas import BARS
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore_massive.sessions import Session

MINUTES = "1Min/OHLCV"
_DAY = Timeframe(1, "D")
#: Minutes of these symbols are in memory at a time: some 25 MB of a day from 04:00 to 20:00.
_SYMBOLS_AT_ONCE = 500


@dataclass(frozen=True)
class Tracked:
    """Symbols with minute bars since the day or before, sorted.

    Attributes:
        symbols: text, shape (symbols,).
        synthetic: whether their rows are made up, bool of shape (symbols,).
    """

    symbols: NDArray[np.str_]
    synthetic: NDArray[np.bool_]


@dataclass(frozen=True)
class DayBars:
    """A bar for each tracked symbol; all arrays have the shape (symbols,).

    Attributes:
        columns: float64 of the columns of bars; NaN where there is no bar.
        minutes: how many minute bars there are of the day, int64.
    """

    columns: dict[str, NDArray[np.float64]]
    minutes: NDArray[np.int64]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of them have a bar."""
        return ~np.isnan(self.columns["Close"])


@dataclass(frozen=True)
class Collected:
    """All stocks of which the store has minutes, sorted; the arrays have the shape (symbols,).

    Attributes:
        symbols: text.
        first_ns: the first minute, int64 nanoseconds since 1970 UTC.
        synthetic: whether the rows are made up, bool.
    """

    symbols: NDArray[np.str_]
    first_ns: NDArray[np.int64]
    synthetic: NDArray[np.bool_]

    def tracked(self, session: Session) -> Tracked:
        """Those that were collected by the end of a day."""
        is_one = self.first_ns < session.extended_close_ns
        return Tracked(self.symbols[is_one], self.synthetic[is_one])


def collected(store: StoreApi) -> Collected:
    """What the store has minutes of; stocks alone, since others have other hours."""
    found = []
    for key in store.list(f"*/{MINUTES}"):
        symbol = key.partition("/")[0]
        if market_of(symbol) != "stocks":
            continue
        info = store.info(key)
        if info.first_ns is not None:
            found.append((symbol, info.first_ns, info.schema.synthetic))
    found.sort()
    symbols, first_ns, synthetic = zip(*found, strict=True) if found else ((), (), ())
    return Collected(
        np.array(symbols, np.str_), np.array(first_ns, np.int64), np.array(synthetic, np.bool_)
    )


def day_bars(
    store: StoreApi, symbols: NDArray[np.str_], session: Session, is_stopped: Callable[[], bool]
) -> DayBars:
    """What the stored minutes make of a day.

    The prices are those of regular trading, because prints of the early and late sessions set no
    price of the vendor's day; volume, trades and VWAP are those of all minutes from 04:00 to 20:00.

    Args:
        store: where the minutes are.
        symbols: whose; each once, shape (symbols,).
        session: the day and its hours.
        is_stopped: looked at now and then; when true, the rest of the symbols have no bars.
    """
    arrays = {name: np.full(len(symbols), np.nan) for name in BARS.names}
    made = DayBars(arrays, np.zeros(len(symbols), np.int64))
    for first in range(0, len(symbols), _SYMBOLS_AT_ONCE):
        if is_stopped():
            break
        names = symbols[first : first + _SYMBOLS_AT_ONCE].tolist()
        for places, rows in _read(store, names, session):
            _fill(made, places + first, rows, session)
    return made


def _read(
    store: StoreApi, names: Sequence[str], session: Session
) -> Iterator[tuple[NDArray[np.intp], list[Columns]]]:
    """The minutes of those symbols that have any, and where they stand among the names."""
    ends = np.array([session.extended_open_ns, session.extended_close_ns - 1]).view("M8[ns]")
    try:
        found = store.read(list(names), MINUTES, start=ends[0], end=ends[1])
    except NotFoundError:
        return
    alike: dict[tuple[str, ...], list[int]] = {}
    rows = [found.get(f"{name}/{MINUTES}") for name in names]
    for place, each in enumerate(rows):
        if each is not None and len(each) and aggregate.is_bars(each.schema):
            alike.setdefault(each.names, []).append(place)
    for places in alike.values():
        chosen = [each for place in places if (each := rows[place]) is not None]
        yield np.array(places), chosen


def _fill(made: DayBars, at: NDArray[np.intp], pieces: list[Columns], session: Session) -> None:
    """Make the bars of some symbols, whose minutes have the same columns.

    Args:
        made: where they go.
        at: the places of the symbols there.
        pieces: the minutes of each, at least one.
        session: the hours of the day.
    """
    counts = np.array([len(piece) for piece in pieces])
    made.minutes[at] = counts
    rows = Columns.concat(pieces)
    is_regular = (rows.ts >= session.open_ns) & (rows.ts < session.close_ns)
    in_hours = np.add.reduceat(is_regular, _begins(counts), dtype=np.int64)
    is_priced = in_hours > 0
    if not is_priced.any():
        return
    prices = _resampled(rows.take(is_regular), in_hours[is_priced])
    whole = _resampled(rows.take(np.repeat(is_priced, counts)), counts[is_priced])
    for name, array in made.columns.items():
        bars = prices if name in aggregate.PRICES else whole
        if name in bars.names:
            array[at[is_priced]] = bars[name]


def _resampled(rows: Columns, counts: NDArray[np.int64]) -> Columns:
    """One bar of each of several series, which stand one after the other."""
    return aggregate.resample_runs(rows, _begins(counts), _DAY, NEW_YORK)[0]


def _begins(counts: NDArray[np.int64]) -> NDArray[np.intp]:
    return np.concatenate(([0], np.cumsum(counts[:-1]))).astype(np.intp)
