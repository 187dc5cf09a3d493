"""Bars from trades, by the rules of the consolidated US tapes, all windows at once.

A trade counts for a field of a bar if each of its sale conditions lets it:

| conditions | volume | high, low | open, close |
|---|---|---|---|
| none, and all that are not named below | yes | yes | yes |
| 5, 10, 22, 32, 33: late, or at another trade's price | yes | yes | no |
| 2, 7, 12, 13, 20, 21, 29, 37, 52, 53: average price, cash, odd lot, … | yes | no | no |
| 15, 16: what a market calls its official close and open, a copy of another trade | no | no | no |
| 38: the corrected close | no | yes | yes |

In bars shorter than a day, condition 12 (extended hours) forbids nothing, and a closing print (8)
counts for nothing: it is in the bar of its day alone. So much for how bars of the tapes are made.

Of trades with a `Correction`, regular ones (0) and those that hold the corrected data (1) count;
cancelled and wrong ones (7, 8) and the records of corrections (10, 11, 12) do not.

| column | of a window |
|---|---|
| `Open`, `High`, `Low`, `Close` | of `Price`, in its dtype |
| `Volume` | the sum of `Size`, as i8, u8 or f8 |
| `VWAP` | the mean of `Price` weighted by `Size`, as f8, of the trades that count for the volume |
| `TradeCount` | how many these are, i8 |

A window whose trades set no open and close has no bar.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore import aggregate
from tsstore.columns import Columns
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from tsstore.schema import Schema

#: Attribute group of trades, and of the bars that are made of them.
TRADES, BARS = "TRADE", "OHLCV"
OUTPUT_NAMES = ("Open", "High", "Low", "Close", "Volume", "VWAP", "TradeCount")

VOLUME = 1
HIGH_LOW = 2
OPEN_CLOSE = 4
_EVERYTHING = VOLUME | HIGH_LOW | OPEN_CLOSE

_NOT_OPEN_CLOSE = (5, 10, 22, 32, 33)
_VOLUME_ONLY = (2, 7, 12, 13, 20, 21, 29, 37, 52, 53)
_NOTHING = (15, 16)
_CORRECTED_CLOSE = 38
_EXTENDED_HOURS = 12
_CLOSING_PRINT = 8
_CORRECTIONS_COUNTED = (0, 1)

_CONDITIONS = ("Conditions", "Condition", "Cond", "Cond1", "Cond2", "Cond3", "Cond4")
_DAY_NS = Timeframe(1, "D").duration_ns


def _rules(*, of_days: bool) -> NDArray[np.uint8]:
    rules = np.full(256, _EVERYTHING, np.uint8)
    rules[list(_NOT_OPEN_CLOSE)] = VOLUME | HIGH_LOW
    rules[list(_VOLUME_ONLY)] = VOLUME
    rules[list(_NOTHING)] = 0
    rules[_CORRECTED_CLOSE] = HIGH_LOW | OPEN_CLOSE
    if not of_days:
        rules[_EXTENDED_HOURS] = _EVERYTHING
        rules[_CLOSING_PRINT] = 0
    return rules


_DAY_RULES = _rules(of_days=True)
_WINDOW_RULES = _rules(of_days=False)


def is_trades(schema: Schema) -> bool:
    """Whether rows of that schema can be made into bars by `resample`."""
    dtypes = schema.dtypes
    return schema.is_variable and all(
        name in dtypes and dtypes[name].kind in "iuf" for name in ("Price", "Size")
    )


def input_names(schema: Schema) -> list[str]:
    """Columns that have to be read for bars."""
    wanted = ("Price", "Size", "Correction", *_CONDITIONS)
    return [name for name, dtype in schema.columns if name in wanted and dtype.kind in "iuf"]


def resample(columns: Columns, timeframe: Timeframe, tz: str = "UTC") -> Columns:
    """One bar per window that has one, stamped with the window's start.

    Args:
        columns: rows with `Price` and `Size`, ascending in time; of `Correction`, `Conditions`, and
            `Cond1` to `Cond4`, those that are there and whole numbers are heeded.
        timeframe: the windows.
        tz: zone whose midnights bound days, weeks, months and years.

    Returns:
        Rows of a fixed bucket with the columns of `OUTPUT_NAMES`.
    """
    runs = np.zeros(min(1, len(columns)), np.intp)
    return resample_runs(columns, runs, timeframe, tz)[0]


def resample_runs(
    columns: Columns, runs: NDArray[np.intp], timeframe: Timeframe, tz: str = "UTC"
) -> tuple[Columns, NDArray[np.intp]]:
    """`resample` of several series at once; see `aggregate.resample_runs`."""
    allowed = _allowed(columns, of_days=timeframe.duration_ns >= _DAY_NS)
    starts = aggregate.floored(columns.ts, timeframe, tz)
    first = aggregate.first_of_runs(starts, runs)
    windows = _Windows(first, len(columns))
    price, size = columns["Price"], columns["Size"]
    priced = windows.of((allowed & OPEN_CLOSE) != 0)
    moving = windows.of((allowed & HIGH_LOW) != 0)
    traded = windows.of((allowed & VOLUME) != 0)
    arrays = {
        "Open": priced.each(aggregate.firsts, price),
        "High": moving.each(aggregate.highs, price),
        "Low": moving.each(aggregate.lows, price),
        "Close": priced.each(aggregate.lasts, price),
        "Volume": traded.each(aggregate.sums, size),
        "VWAP": traded.each(aggregate.weighted_means, price, size, missing=np.nan),
        "TradeCount": traded.each(aggregate.sums, np.ones(len(columns), np.int64)),
    }
    bars = Columns(starts[first], arrays, tz=columns.tz).take(priced.windows)
    series = np.searchsorted(runs, first[priced.windows], side="right") - 1
    return bars, np.bincount(series, minlength=len(runs))


class _Windows:
    """The windows that the trades lie in."""

    def __init__(self, first: NDArray[np.intp], rows: int) -> None:
        self._count = len(first)
        self._of_rows = np.repeat(np.arange(len(first)), np.diff(np.append(first, rows)))

    def of(self, counts: NDArray[np.bool_]) -> _Kind:
        """The same with those trades alone that count for something."""
        return _Kind(counts, self._of_rows[counts], self._count)


class _Kind:
    """Trades that count for some fields.

    Attributes:
        windows: which windows have any.
    """

    def __init__(
        self, counts: NDArray[np.bool_], of_rows: NDArray[np.intp], windows_count: int
    ) -> None:
        self._counts = counts
        self._first = np.flatnonzero(np.diff(of_rows, prepend=-1))
        self._windows_count = windows_count
        self.windows = of_rows[self._first]

    def each(
        self, function: Callable[..., NDArray[Any]], *values: NDArray[Any], missing: float = 0
    ) -> NDArray[Any]:
        """What a function of `aggregate` makes of each window; `missing` where nothing counts."""
        made = function(*(array[self._counts] for array in values), self._first)
        result = np.full(self._windows_count, missing, made.dtype)
        result[self.windows] = made
        return result


def _allowed(trades: Columns, *, of_days: bool) -> NDArray[np.uint8]:
    """What each trade counts for: an OR of the constants above."""
    rules = _DAY_RULES if of_days else _WINDOW_RULES
    allowed = np.full(len(trades), _EVERYTHING, np.uint8)
    for name in _CONDITIONS:
        if name in trades and trades[name].dtype.kind in "iu":
            ids = trades[name]
            allowed &= rules[np.where((ids >= 0) & (ids < len(rules)), ids, 0).astype(np.intp)]
    if "Correction" in trades and trades["Correction"].dtype.kind in "iu":
        allowed[~np.isin(trades["Correction"], _CORRECTIONS_COUNTED)] = 0
    return allowed
