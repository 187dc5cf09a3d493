"""What counts as a difference between the bar of the minutes and the vendor's bar of the day.

| | is a difference | is none |
|---|---|---|
| open | another price | |
| high, low | another price | the closing auction went beyond all minutes |
| close | further away than `close_tolerance` | the auction closes a little off the last minute |
| volume | under `volume_share` of the day's, or the other way round | auctions, late reports |
| minutes | a day with volume and no minute in the store | |
| official | minutes and no bar of the vendor's | |

The auction's print and late reports are in the vendor's day and in none of its minutes, so equal
volumes and closes are the exception. Trade counts are not compared: the socket tells none.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive.schemas import BARS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from tsstore_massive.rollup.day import DayBars, Tracked

#: Prices are told with four decimals.
_PRICE_TOLERANCE = 1e-4


class Differs(enum.IntFlag):
    """What differs; the numbers stand in the store."""

    OPEN = 1
    HIGH = 2
    LOW = 4
    CLOSE = 8
    VOLUME = 16
    MINUTES = 32
    OFFICIAL = 64


@dataclass(frozen=True)
class Tolerance:
    """What is none.

    Attributes:
        close: share of the price by which closes may differ.
        volume: share of the day's volume that the minutes have at least, and the day of theirs:
            rows that came twice show as well.
    """

    close: float = 0.02
    volume: float = 0.6


@dataclass(frozen=True)
class Official:
    """The vendor's bars of the tracked symbols, in their order.

    Attributes:
        columns: float64 of the columns of bars, shape (symbols,); NaN where the vendor has none.
    """

    columns: dict[str, NDArray[np.float64]]

    @property
    def known(self) -> NDArray[np.bool_]:
        """Which of them there are."""
        return ~np.isnan(self.columns["Close"])


def official_of(table: Mapping[str, Any] | None, tracked: Tracked) -> Official:
    """The rows of a cross-section that belong to the tracked symbols; made-up ones have none.

    Args:
        table: `Symbol` and columns of bars; None for no rows.
        tracked: the symbols.
    """
    symbols = tracked.symbols
    arrays = {name: np.full(len(symbols), np.nan) for name in BARS.names}
    if table is None:
        return Official(arrays)
    named = np.asarray(table["Symbol"], np.str_)
    at = np.searchsorted(symbols, named).clip(max=len(symbols) - 1)
    is_ours = (symbols[at] == named) & ~tracked.synthetic[at]
    for name, array in arrays.items():
        if name in table:
            array[at[is_ours]] = np.asarray(table[name], np.float64)[is_ours]
    return Official(arrays)


def differences(made: DayBars, official: Official, tolerance: Tolerance) -> NDArray[np.uint16]:
    """What differs of each symbol: bits of `Differs`, shape (symbols,); 0 for nothing."""
    ours, theirs = made.columns, official.columns
    both = made.known & official.known
    found = np.zeros(len(made.minutes), np.uint16)

    def mark(bit: Differs, where: NDArray[np.bool_]) -> None:
        found[where] |= np.uint16(bit)

    with np.errstate(invalid="ignore"):
        off = {name: np.abs(ours[name] - theirs[name]) > _PRICE_TOLERANCE for name in BARS.names}
        by_auction = {
            "High": (theirs["High"] == theirs["Close"]) & (theirs["High"] > ours["High"]),
            "Low": (theirs["Low"] == theirs["Close"]) & (theirs["Low"] < ours["Low"]),
        }
        far = np.abs(ours["Close"] - theirs["Close"]) > tolerance.close * theirs["Close"]
        volume = theirs["Volume"]
        lacking = ours["Volume"] < tolerance.volume * volume
        beyond = volume < tolerance.volume * ours["Volume"]
    mark(Differs.OPEN, both & off["Open"])
    mark(Differs.HIGH, both & off["High"] & ~by_auction["High"])
    mark(Differs.LOW, both & off["Low"] & ~by_auction["Low"])
    mark(Differs.CLOSE, both & far)
    mark(Differs.VOLUME, both & (lacking | beyond))
    mark(Differs.MINUTES, official.known & (made.minutes == 0) & (volume > 0))
    mark(Differs.OFFICIAL, made.known & ~official.known)
    return found
