"""Bars from trades, and coarser bars from finer ones, whole days at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive_simulator import conditions
from tsstore_massive_simulator.rows import Kind, Rows, empty

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

#: Sums of sizes are rounded to so many decimals, the most that any market's sizes have.
SIZE_DECIMALS = 8


def window_bars(trades: Rows, width_ns: int) -> Rows:
    """Bars of `width_ns` nanoseconds; a window without a trade that sets a price has none."""
    windows = trades["sip_timestamp"] // width_ns * width_ns
    return _bars(trades, windows, conditions.window_rules(trades.sets))


def day_bars(trades: Rows, day_start_ns: int) -> Rows:
    """One bar per ticker, stamped with the given start of the day."""
    windows = np.full(len(trades), day_start_ns, np.int64)
    return _bars(trades, windows, conditions.day_rules(trades.sets))


def plain_bars(trades: Rows, width_ns: int | None, day_start_ns: int = 0) -> Rows:
    """Bars to which every trade counts, as in all markets but stocks.

    Args:
        trades: the trades of a day, or quotes and values in the shape of trades.
        width_ns: nanoseconds of a bar; None makes one bar a ticker of the whole day.
        day_start_ns: how the bars of the whole day are stamped.
    """
    if width_ns is None:
        windows = np.full(len(trades), day_start_ns, np.int64)
    else:
        windows = trades["sip_timestamp"] // width_ns * width_ns
    return _bars(trades, windows, np.full(len(trades.sets), conditions.EVERYTHING))


def _bars(trades: Rows, windows: NDArray[np.int64], rules: NDArray[np.uint8]) -> Rows:
    allowed = rules[trades["conditions"]]
    priced = np.flatnonzero(allowed & conditions.OPEN_CLOSE)
    if not len(priced):
        return empty(Kind.MINUTES)
    # Rows stand by ticker and time, so the rows of one bar are neighbours, and the first row of a
    # bar says which ticker and window it is.
    changes = np.empty(len(trades), np.int64)
    changes[0] = 0
    np.cumsum((np.diff(windows) != 0) | (np.diff(trades.ticker_index) != 0), out=changes[1:])
    first = _group_starts(changes[priced])
    bar_of = changes[priced][first]
    count = int(changes[-1]) + 1

    price = trades["price"]
    ranged = np.flatnonzero(allowed & conditions.HIGH_LOW)
    high_low = _group_starts(changes[ranged])
    ranged_bars = np.searchsorted(changes[ranged][high_low], bar_of)
    counted = (allowed & conditions.VOLUME) > 0
    size = np.where(counted, trades["size"], 0.0)
    volume = _sums(changes, size, count)[bar_of].round(SIZE_DECIMALS)
    value = _sums(changes, size * price, count)[bar_of]
    last = np.append(first[1:], len(priced)) - 1
    tickers = trades.ticker_index[priced[first]]
    present, counts = np.unique(tickers, return_counts=True)
    return Rows(
        tuple(trades.tickers[index] for index in present.tolist()),
        np.concatenate([[0], np.cumsum(counts)]),
        {
            "volume": volume,
            "vwap": _ratio(value, volume),
            "open": price[priced[first]],
            "close": price[priced[last]],
            "high": np.maximum.reduceat(price[ranged], high_low)[ranged_bars],
            "low": np.minimum.reduceat(price[ranged], high_low)[ranged_bars],
            "window_start": windows[priced[first]],
            "transactions": _sums(changes, counted, count)[bar_of].astype(np.int64),
        },
    )


def coarser(
    bars: Mapping[str, NDArray[Any]], windows: NDArray[np.int64]
) -> dict[str, NDArray[Any]]:
    """Bars of one ticker put together by window.

    Args:
        bars: columns of bars, ascending.
        windows: start of the window each belongs to, int64 nanoseconds, ascending.
    """
    if not len(windows):
        return dict(bars)
    first = _group_starts(windows)
    last = np.append(first[1:], len(windows)) - 1
    volume = np.add.reduceat(bars["volume"], first).round(SIZE_DECIMALS)
    return {
        "volume": volume,
        "vwap": _ratio(np.add.reduceat(bars["vwap"] * bars["volume"], first), volume),
        "open": bars["open"][first],
        "close": bars["close"][last],
        "high": np.maximum.reduceat(bars["high"], first),
        "low": np.minimum.reduceat(bars["low"], first),
        "window_start": windows[first],
        "transactions": np.add.reduceat(bars["transactions"], first),
    }


def _sums(bar: NDArray[np.int64], values: NDArray[Any], count: int) -> NDArray[np.float64]:
    return np.asarray(np.bincount(bar, values, count), np.float64)


def _group_starts(keys: NDArray[np.int64]) -> NDArray[np.int64]:
    return np.flatnonzero(np.concatenate([[True], np.diff(keys) != 0]))


def _ratio(value: NDArray[np.float64], volume: NDArray[np.float64]) -> NDArray[np.float64]:
    """A price of four decimals, NaN where there is no volume."""
    safe = np.where(volume > 0, volume, np.nan)
    return np.asarray((value / safe).round(4))
