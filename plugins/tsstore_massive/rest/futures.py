"""Futures have paths and parameters of their own, and sessions in place of days.

A session begins at 18:00 in New York of the day before the one it belongs to (17:00 in Chicago), so
bars of sessions are told as those of that day.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_SECOND
from tsstore_massive.rest.endpoints import in_path

if TYPE_CHECKING:
    from tsstore.timeframe import Timeframe

_RESOLUTIONS = {"Sec": "sec", "Min": "min", "H": "hour", "D": "session"}
_EVENING_NS = 6 * 3600 * NS_PER_SECOND


def bars_request(
    symbol: str, timeframe: Timeframe, start_ns: int, end_ns: int, limit: int
) -> tuple[str, dict[str, Any]]:
    """Path and query of bars that begin from `start_ns` to `end_ns`.

    Raises:
        InvalidArgumentError: bars of weeks, months or years, which the vendor does not make.
    """
    resolution = _RESOLUTIONS.get(timeframe.unit)
    if resolution is None:
        raise InvalidArgumentError(
            f"{symbol}: the vendor has no bars of {timeframe} of futures; ask for 1D"
        )
    earlier_ns = _EVENING_NS if timeframe.unit == "D" else 0
    return f"/futures/v1/aggs/{in_path(symbol)}", {
        "resolution": f"{timeframe.count}{resolution}",
        "window_start.gte": start_ns - earlier_ns,
        "window_start.lte": end_ns - earlier_ns,
        "sort": "window_start.asc",
        "limit": limit,
    }


def ticks_request(
    kind: str, symbol: str, start_ns: int, end_ns: int, limit: int
) -> tuple[str, dict[str, Any]]:
    """Path and query of `trades` or `quotes` from `start_ns` to `end_ns`."""
    return f"/futures/v1/{kind}/{in_path(symbol)}", {
        "timestamp.gte": start_ns,
        "timestamp.lte": end_ns,
        "sort": "timestamp.asc",
        "limit": limit,
    }


def on_their_days(bars: Columns, timeframe: Timeframe) -> Columns:
    """Bars of sessions at the midnights of their days in New York; others as they are."""
    if timeframe.unit != "D":
        return bars
    return Columns(timeframe.floor(bars.ts + _EVENING_NS, NEW_YORK), dict(bars.items()))
