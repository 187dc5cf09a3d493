"""Bars from finer bars, all windows at once.

| column | of a window |
|---|---|
| `Open`, `Close` | the first and last value that is there |
| `High`, `Low` | the largest and smallest |
| `Volume`, `TradeCount`, `Count`, `Transactions` | the sum, as i8, u8 or f8 |
| `VWAP` | the mean weighted by `Volume`; left out when there is no `Volume` |

Other columns have no meaning in a coarser bar and are left out. NaN is a value that is not there: a
window holds NaN only when all its rows do (or, for `VWAP`, when nothing was traded).
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore.timeframe import Timeframe

PRICES = ("Open", "High", "Low", "Close")
_SUMMED = ("Volume", "TradeCount", "Count", "Transactions")
# Finding a window's first row among sorted ones costs about as much as flooring so many rows.
_ROWS_PER_SEARCH = 16
_OUTPUTS = (*PRICES, "Volume", "VWAP", *_SUMMED[1:])


def is_bars(schema: Schema) -> bool:
    """Whether rows of that schema can be made into coarser bars."""
    return all(name in schema.dtypes and schema.dtypes[name].kind in "iuf" for name in PRICES)


def output_names(schema: Schema) -> tuple[str, ...]:
    """Columns that `resample` makes of rows of that schema, in order."""
    usable = {name for name, dtype in schema.columns if dtype.kind in "iufb"}
    if "Volume" not in usable:
        usable.discard("VWAP")
    return tuple(name for name in _OUTPUTS if name in usable)


def input_names(outputs: Iterable[str]) -> list[str]:
    """Columns that have to be read for these results."""
    names = list(outputs)
    return [*names, "Volume"] if "VWAP" in names and "Volume" not in names else names


def resample(columns: Columns, timeframe: Timeframe, tz: str = "UTC") -> Columns:
    """One row per window of the timeframe that has rows, stamped with the window's start.

    Args:
        columns: bars or any rows with some of the columns above, ascending in time.
        timeframe: the windows.
        tz: zone whose midnights bound days, weeks, months and years.

    Returns:
        Rows of a fixed bucket. Prices keep their dtype.
    """
    starts, first = windows(columns.ts, timeframe, tz)
    return Columns(starts, _bars(columns, first), tz=columns.tz)


def resample_runs(
    columns: Columns, runs: NDArray[np.intp], timeframe: Timeframe, tz: str = "UTC"
) -> tuple[Columns, NDArray[np.intp]]:
    """`resample` of several series at once, such as all symbols of a market.

    Args:
        columns: the rows of one series after the other, each ascending in time.
        runs: the first row of each series, shape (series,), strictly ascending from 0.
        timeframe: the windows.
        tz: zone whose midnights bound days, weeks, months and years.

    Returns:
        The bars of one series after the other, and how many each has, shape (series,).
    """
    starts = floored(columns.ts, timeframe, tz)
    first = first_of_runs(starts, runs)
    counts = np.diff(np.searchsorted(first, np.append(runs, len(starts))))
    return Columns(starts[first], _bars(columns, first), tz=columns.tz), counts


def first_of_runs(starts: NDArray[np.int64], runs: NDArray[np.intp]) -> NDArray[np.intp]:
    """The position of the first row of each window of several series, one after the other.

    Args:
        starts: the start of the window that each row lies in, shape (rows,).
        runs: the first row of each series, strictly ascending from 0.
    """
    begins = np.zeros(len(starts), bool)
    np.not_equal(starts[1:], starts[:-1], out=begins[1:])
    begins[runs] = True
    return np.flatnonzero(begins)


def floored(ts: NDArray[np.int64], timeframe: Timeframe, tz: str) -> NDArray[np.int64]:
    """`timeframe.floor`, quicker where many rows lie in few calendar windows."""
    if not timeframe.is_calendar or len(ts) == 0:
        return timeframe.floor(ts, tz)
    starts = timeframe.starts(int(ts.min()), int(ts.max()), tz)
    return starts[np.searchsorted(starts, ts, side="right") - 1]


def _bars(columns: Columns, first: NDArray[np.intp]) -> dict[str, NDArray[Any]]:
    """The bars of windows, of which the position of the first row is given."""
    arrays: dict[str, NDArray[Any]] = {}
    for name in output_names(columns.schema):
        array = columns[name]
        if name in _SUMMED:
            arrays[name] = sums(array, first)
        elif name == "VWAP":
            arrays[name] = weighted_means(array, columns["Volume"], first)
        else:
            arrays[name] = _PRICE_RULES[name](array, first)
    return arrays


def windows(
    ts: NDArray[np.int64], timeframe: Timeframe, tz: str
) -> tuple[NDArray[np.int64], NDArray[np.intp]]:
    """The windows that hold rows.

    Args:
        ts: instants of the rows, ascending, shape (rows,).
        timeframe: the windows.
        tz: zone whose midnights bound days, weeks, months and years.

    Returns:
        The instant at which each window starts, and the position of its first row, both of shape
        (windows,).
    """
    if len(ts) == 0:
        return np.empty(0, np.int64), np.empty(0, np.intp)
    low, high = int(ts[0]), int(ts[-1])
    if (high - low) // timeframe.duration_ns * _ROWS_PER_SEARCH < len(ts):
        starts = timeframe.starts(low, high, tz)
        first = np.searchsorted(ts, starts)
        holds_rows = np.append(first[1:], len(ts)) > first
        return starts[holds_rows], first[holds_rows]
    starts = timeframe.floor(ts, tz)
    first = np.flatnonzero(np.concatenate(([True], starts[1:] != starts[:-1])))
    return starts[first], first


def firsts(array: NDArray[Any], first: NDArray[np.intp]) -> NDArray[Any]:
    """The first value of each window that is not NaN.

    Args:
        array: values of all rows, shape (rows,).
        first: position of the first row of each window, ascending, shape (windows,).

    Returns:
        Shape (windows,), dtype of `array`.
    """
    found = array[first]
    lacking = np.flatnonzero(_is_nan(found))
    if not lacking.size:
        return found
    rows = np.arange(len(array))
    at = _reduce(np.minimum, np.where(_is_nan(array), len(array) - 1, rows), first)
    # A window without any value may now point past its end, where a value of the next one lies.
    last = np.append(first[1:], len(array)) - 1
    found[lacking] = array[np.minimum(at, last)[lacking]]
    return found


def lasts(array: NDArray[Any], first: NDArray[np.intp]) -> NDArray[Any]:
    """The last value of each window that is not NaN; arguments and result as of `firsts`."""
    last = np.append(first[1:], len(array)) - 1 if len(first) else first
    found = array[last]
    lacking = np.flatnonzero(_is_nan(found))
    if not lacking.size:
        return found
    rows = np.arange(len(array))
    at = _reduce(np.maximum, np.where(_is_nan(array), 0, rows), first)
    found[lacking] = array[np.maximum(at, first)[lacking]]
    return found


def highs(array: NDArray[Any], first: NDArray[np.intp]) -> NDArray[Any]:
    """The largest value of each window; arguments and result as of `firsts`."""
    return _reduce(np.fmax, array, first)


def lows(array: NDArray[Any], first: NDArray[np.intp]) -> NDArray[Any]:
    """The smallest value of each window; arguments and result as of `firsts`."""
    return _reduce(np.fmin, array, first)


def sums(array: NDArray[Any], first: NDArray[np.intp]) -> NDArray[Any]:
    """The sum of each window as i8, u8 or f8; NaN rows count nothing unless all are NaN."""
    dtype = {"f": np.float64, "u": np.uint64}.get(array.dtype.kind, np.int64)
    wide = array.astype(dtype, copy=False)
    missing = _is_nan(wide)
    if not missing.any():
        return _reduce(np.add, wide, first)
    total = _reduce(np.add, np.where(missing, 0.0, wide), first)
    total[_reduce(np.logical_and, missing, first)] = np.nan
    return total


def weighted_means(
    values: NDArray[Any], weights: NDArray[Any], first: NDArray[np.intp]
) -> NDArray[np.float64]:
    """The mean of each window weighted by another column; NaN where the weights sum to 0."""
    values = values.astype(np.float64, copy=False)
    weights = weights.astype(np.float64, copy=False)
    with np.errstate(all="ignore"):
        products = values * weights
        unusable = np.isnan(products)
        if unusable.any():
            products = np.where(unusable, 0.0, products)
            weights = np.where(unusable, 0.0, weights)
        weight = _reduce(np.add, weights, first)
        return np.where(weight > 0, _reduce(np.add, products, first) / weight, np.nan)


def _reduce(function: np.ufunc, array: NDArray[Any], first: NDArray[np.intp]) -> NDArray[Any]:
    if len(first) == 0:  # reduceat refuses to have nothing to do
        return function.reduceat(np.zeros(1, array.dtype), [0])[:0]
    return function.reduceat(array, first)


def _is_nan(array: NDArray[Any]) -> NDArray[np.bool_]:
    return np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)


_PRICE_RULES = {"Open": firsts, "High": highs, "Low": lows, "Close": lasts}
