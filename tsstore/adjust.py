"""Prices and sizes as if splits and dividends had never been.

Splits stand in `SYMBOL/1D/SPLITS`, with the columns `From` and `To`: so many shares became so many.
Dividends stand in `SYMBOL/1D/DIVIDENDS`, with the column `Amount`: money a share, as it was paid. A
row of either is stamped with the day from which the share trades without it. Rows before that
day are changed:

| | by a split | by a dividend |
|---|---|---|
| prices | x From / To | x (1 - Amount / last price before the day) |
| sizes | x To / From, to the nearest whole one where they are whole | |

which is how the Center for Research in Security Prices and, after it, most vendors do it. The last
price is `Close` of the day before in `SYMBOL/1D/OHLCV` if that is stored, and else the last one
(`Close` or `Price`) of the bucket that is read. Stored rows have to be as they were traded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.schema import Schema
from tsstore.timeframe import Timeframe
from tsstore.times import MIN_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.query import Engine

SPLITS = "1D/SPLITS"
DIVIDENDS = "1D/DIVIDENDS"
_DAILY = "1D/OHLCV"
_PRICES = frozenset(
    {"Open", "High", "Low", "Close", "VWAP", "Price", "BidPrice", "AskPrice", "Bid", "Ask"}
)
_SIZES = frozenset({"Volume", "Size", "BidSize", "AskSize"})
_LAST_PRICES = ("Close", "Price")


class Adjustment(NamedTuple):
    """What rows are adjusted for.

    Attributes:
        splits: whether for splits.
        dividends: whether for dividends.
        as_of_ns: events after this instant are not known yet.
    """

    splits: bool
    dividends: bool
    as_of_ns: int


class _Events(NamedTuple):
    """Events in order of time.

    Attributes:
        ts: int64 instants, shape (events,).
        prices: float64 factor of prices before each event, shape (events,).
        sizes: float64 factor of sizes likewise.
    """

    ts: NDArray[np.int64]
    prices: NDArray[np.float64]
    sizes: NDArray[np.float64]


class AdjustedEngine:
    """An engine whose rows are adjusted; what is computed from them is adjusted with them.

    Args:
        engine: where the rows, the splits and the dividends are.
        adjustment: what for.
        tz: zone whose midnights bound days, weeks, months and years.
    """

    def __init__(self, engine: Engine, adjustment: Adjustment, tz: str) -> None:
        self._engine = engine
        self._adjustment = adjustment
        self._tz = tz

    def keys(self) -> list[str]:
        """Keys of all buckets."""
        return self._engine.keys()

    def schema(self, key: str) -> Schema:
        """Columns of a bucket, adjusted ones wide enough for any factor."""
        return _widened(self._engine.schema(key))

    def scan(
        self,
        key: str,
        start_ns: int,
        end_ns: int,
        *,
        limit: int = 0,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
    ) -> Columns:
        """Adjusted rows of a bucket.

        Raises:
            InvalidArgumentError: a split or dividend that cannot be.
        """
        options: dict[str, Any] = {"limit": limit, "from_start": from_start, "columns": columns}
        rows = self._engine.scan(key, start_ns, end_ns, **options)
        events = self._events(key) if len(rows) else _NONE
        following = np.searchsorted(events.ts, rows.ts, "right")
        prices, sizes = _of_all_after(events.prices), _of_all_after(events.sizes)
        arrays = {}
        for name, dtype in _widened(rows.schema).columns:
            array = rows[name]
            if name in _PRICES and dtype.kind == "f":
                array = _times(array, prices[following], dtype)
            elif name in _SIZES and dtype.kind in "iuf":
                array = _times(array, sizes[following], dtype)
            arrays[name] = array
        return Columns(rows.ts, arrays, variable=rows.variable, tz=rows.tz)

    def _events(self, key: str) -> _Events:
        """What happened to a symbol, at the slots of a bucket from which its rows know it."""
        symbol, timeframe, _ = key.split("/")
        splits = self._splits(symbol)
        events = splits if self._adjustment.splits else _NONE
        if self._adjustment.dividends:
            events = _together(events, self._dividends(key, splits))
        if self._engine.schema(key).is_variable:
            return events
        return events._replace(ts=Timeframe.parse(timeframe).floor(events.ts, self._tz))

    def _splits(self, symbol: str) -> _Events:
        key = f"{symbol}/{SPLITS}"
        rows = self._known(key, ("From", "To"))
        if rows is None:
            return _NONE
        before, after = rows["From"].astype(np.float64), rows["To"].astype(np.float64)
        _check(key, rows.ts, _is_amount(before) & _is_amount(after), "split")
        return _Events(rows.ts, before / after, after / before)

    def _dividends(self, key: str, splits: _Events) -> _Events:
        symbol, _, _ = key.split("/")
        own = f"{symbol}/{DIVIDENDS}"
        rows = self._known(own, ("Amount",))
        if rows is None:
            return _NONE
        # Two dividends of one day are one: both are of the same last price.
        ts, first = np.unique(rows.ts, return_index=True)
        amounts = np.add.reduceat(rows["Amount"].astype(np.float64), first) if len(ts) else _EMPTY
        last = np.array([self._price_before(key, int(each), splits) for each in ts], np.float64)
        factors = np.where(np.isnan(last), 1.0, 1 - amounts / last)
        _check(own, ts, (amounts >= 0) & (factors > 0), "dividend")
        return _Events(ts, factors, np.ones(len(ts)))

    def _price_before(self, key: str, ts: int, splits: _Events) -> float:
        """The last price before an instant, in shares of after it; NaN when there is none."""
        symbol, timeframe, _ = key.split("/")
        for bucket, slots in ((f"{symbol}/{_DAILY}", "1D"), (key, timeframe)):
            try:
                schema = self._engine.schema(bucket)
            except NotFoundError:
                continue
            name = next((name for name in _LAST_PRICES if name in schema.dtypes), None)
            if name is None:
                continue
            end_ns = ts
            if not schema.is_variable:
                end_ns = int(Timeframe.parse(slots).floor(np.array([ts]), self._tz)[0])
            row = self._engine.scan(bucket, MIN_NS, end_ns - 1, limit=1, columns=[name])
            if len(row):
                since = (splits.ts > row.ts[0]) & (splits.ts <= ts)
                return float(row[name][0]) * float(np.prod(splits.prices[since]))
        if not any(name in self._engine.schema(key).dtypes for name in _LAST_PRICES):
            raise InvalidArgumentError(
                f"{key} has no prices that a dividend could be measured by, and there is no "
                f"{symbol}/{_DAILY} that reaches back so far; fill that, or adjust for splits only"
            )
        return np.nan

    def _known(self, key: str, names: tuple[str, ...]) -> Columns | None:
        """Events that are known by now, or None when there is no such bucket."""
        try:
            dtypes = self._engine.schema(key).dtypes
        except NotFoundError:
            return None
        for name in names:
            if name not in dtypes or dtypes[name].kind not in "iuf":
                raise InvalidArgumentError(
                    f"{key} has no column {name!r} of numbers, so adjust() does not know by how "
                    f"much; it needs the columns {' and '.join(names)}"
                )
        return self._engine.scan(key, MIN_NS, self._adjustment.as_of_ns, columns=names)


_EMPTY = np.empty(0)
_NONE = _Events(np.empty(0, np.int64), _EMPTY, _EMPTY)


def _is_amount(values: NDArray[np.float64]) -> NDArray[np.bool_]:
    return (values > 0) & np.isfinite(values)


def _widened(schema: Schema) -> Schema:
    """The schema with types that hold what any factor makes of a value."""
    columns = tuple((name, _wide(name, dtype)) for name, dtype in schema.columns)
    return Schema(columns, schema.kind, schema.identity)


def _wide(name: str, dtype: np.dtype[Any]) -> np.dtype[Any]:
    if name in _PRICES and dtype.kind in "iu":
        return np.dtype("<f8")
    if name in _SIZES and dtype.kind in "iu":
        return np.dtype(f"<{dtype.kind}8")
    return dtype


def _together(some: _Events, others: _Events) -> _Events:
    ts, prices, sizes = (np.concatenate(pair) for pair in zip(some, others, strict=True))
    order = np.argsort(ts, kind="stable")
    return _Events(ts[order], prices[order], sizes[order])


def _of_all_after(factors: NDArray[np.float64]) -> NDArray[np.float64]:
    """The product of each factor and all later ones, and 1 behind the last."""
    return np.append(np.cumprod(factors[::-1])[::-1], 1.0)


def _times(
    values: NDArray[Any], factors: NDArray[np.float64], dtype: np.dtype[Any]
) -> NDArray[Any]:
    changed = factors != 1
    result = values.astype(dtype)
    product = values[changed] * factors[changed]
    result[changed] = product if dtype.kind == "f" else np.rint(product)
    result.flags.writeable = False
    return result


def _check(key: str, ts: NDArray[np.int64], good: NDArray[np.bool_], what: str) -> None:
    if not good.all():
        day = ts[int(np.argmin(good))].astype("M8[ns]").astype("M8[D]")
        raise InvalidArgumentError(
            f"{key} has a {what} of {day} that cannot be (a ratio is above 0, an amount below the "
            "price); correct or delete that row"
        )
