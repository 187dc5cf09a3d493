"""What the vendor says of bars that the store cannot explain: bars first, then trades."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.columns import Columns
from tsstore_massive.datasets import Dataset
from tsstore_massive.errors import NotEntitledError
from tsstore_massive.holes.evidence import windows_of
from tsstore_massive.holes.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tsstore.timeframe import Timeframe
    from tsstore_massive.holes.grid import Grid
    from tsstore_massive.rest import RestClient

_ASKED = (Reason.UNKNOWN, Reason.VENDOR_HAS_NONE, Reason.NOT_FETCHED, Reason.FEED_DOWN)


def ask(
    rest: RestClient,
    symbol: str,
    grid: Grid,
    timeframe: Timeframe,
    missing: NDArray[np.intp],
    reasons: NDArray[np.int8],
) -> NDArray[np.int8]:
    """The reasons, with those that were not sure replaced by what the vendor says.

    One request for the bars of some weeks, and one for the trades of each hole that is left.

    Raises:
        MassiveError: it says nothing; see `RestClient`.
    """
    reasons = reasons.copy()
    step = Dataset("bars", timeframe).days_per_request
    calendar_days = grid.days[missing]
    for at in _runs(calendar_days // step, np.isin(reasons, _ASKED)):
        reasons[at] = _ask_bars(rest, symbol, grid, timeframe, missing[at], reasons[at])
    is_open = reasons == Reason.VENDOR_HAS_NONE
    hole = np.cumsum(np.diff(missing, prepend=missing[:1]) != 1) + calendar_days * len(missing)
    for at in _runs(hole, is_open):
        reasons[at] = _ask_trades(rest, symbol, grid, timeframe, missing[at])
    return reasons


def _runs(groups: NDArray[np.intp], wanted: NDArray[np.bool_]) -> Iterator[NDArray[np.intp]]:
    """Places of what is wanted, group by group; groups are neighbours."""
    places = np.flatnonzero(wanted)
    if len(places):
        yield from np.split(places, np.flatnonzero(np.diff(groups[places])) + 1)


def _ask_bars(
    rest: RestClient,
    symbol: str,
    grid: Grid,
    timeframe: Timeframe,
    missing: NDArray[np.intp],
    reasons: NDArray[np.int8],
) -> NDArray[np.int8]:
    slots = grid.slots[missing]
    first_ns, last_ns = int(slots[0]), int(slots[-1])
    try:
        pages = list(rest.bars(symbol, timeframe, first_ns, last_ns, adjusted=True))
    except NotEntitledError:
        return np.full(len(missing), Reason.NOT_ENTITLED, np.int8)
    told = np.concatenate([page.ts for page in pages]) if pages else np.empty(0, np.int64)
    has = np.isin(slots, told)
    lost = np.where(reasons == Reason.FEED_DOWN, Reason.FEED_DOWN, Reason.NOT_FETCHED)
    return np.where(has, lost, Reason.VENDOR_HAS_NONE).astype(np.int8)


def _ask_trades(
    rest: RestClient, symbol: str, grid: Grid, timeframe: Timeframe, missing: NDArray[np.intp]
) -> NDArray[np.int8]:
    slots = grid.slots[missing]
    try:
        pages = list(rest.trades(symbol, int(slots[0]), int(slots[-1]) + grid.step_ns - 1))
    except NotEntitledError:
        return np.full(len(missing), Reason.VENDOR_HAS_NONE, np.int8)
    rows = Columns.concat(pages) if pages else Columns.empty(Dataset.of_stream("trades").schema)
    traded, makes_bar = windows_of(rows, slots, timeframe)
    told = np.where(traded, Reason.NO_BAR_TRADES, Reason.NO_TRADES)
    return np.where(makes_bar, Reason.VENDOR_MISSING, told).astype(np.int8)
