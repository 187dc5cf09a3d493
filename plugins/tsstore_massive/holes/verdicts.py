"""From what the store knows to why bars are missing: all missing bars of a symbol at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive.holes.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tsstore_massive.holes.evidence import Evidence, Held
    from tsstore_massive.holes.grid import Grid


@dataclass(frozen=True)
class Hole:
    """Neighbouring bars of a day that are missing for one reason.

    Attributes:
        symbol: as buckets spell it.
        first_ns: start of the first one.
        last_ns: start of the last one.
        count: how many.
        reason: why.
    """

    symbol: str
    first_ns: int
    last_ns: int
    count: int
    reason: Reason


def judge(
    held: Held, evidence: Evidence, grid: Grid, missing: NDArray[np.intp]
) -> NDArray[np.int8]:
    """The reason of each missing bar by what the store knows, as numbers of `Reason`."""
    slots, days = grid.slots[missing], grid.days[missing]
    traded, makes_bar = evidence.trades_of(held.symbol, missing)
    told = held.trades_fetched[missing]
    fetched = held.fetched[missing]
    down = evidence.feed_down(held.symbol, slots)
    bare = ~np.isin(days, grid.days[held.bars])
    reasons = [
        (evidence.halted(held.symbol, missing) & ~makes_bar, Reason.HALTED),
        (told & ~traded, Reason.NO_TRADES),
        (told & ~makes_bar, Reason.NO_BAR_TRADES),
        (evidence.written_down(held.symbol, slots), Reason.WRITTEN_DOWN),
        (fetched & makes_bar, Reason.VENDOR_MISSING),
        (fetched, Reason.VENDOR_HAS_NONE),
        (evidence.refused(held.symbol, days), Reason.NOT_ENTITLED),
        (down, Reason.FEED_DOWN),
        (makes_bar | bare, Reason.NOT_FETCHED),
    ]
    conditions, numbers = zip(*reasons, strict=True)
    told_why: NDArray[np.int8] = np.select(conditions, numbers, Reason.UNKNOWN).astype(np.int8)
    return told_why


def holes(
    symbol: str, grid: Grid, missing: NDArray[np.intp], reasons: NDArray[np.int8]
) -> Iterator[Hole]:
    """Missing bars as holes, in order of time."""
    if not len(missing):
        return
    changes = (np.diff(missing) != 1) | (np.diff(reasons) != 0) | (np.diff(grid.days[missing]) != 0)
    firsts = np.append(0, np.flatnonzero(changes) + 1)
    lasts = np.append(firsts[1:], len(missing)) - 1
    slots = grid.slots[missing]
    columns = (slots[firsts], slots[lasts], lasts - firsts + 1, reasons[firsts])
    for first_ns, last_ns, count, reason in zip(*(c.tolist() for c in columns), strict=True):
        yield Hole(symbol, first_ns, last_ns, count, Reason(reason))
