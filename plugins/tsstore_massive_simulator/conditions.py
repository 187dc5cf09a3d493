"""Which sale conditions let a trade into which field of a bar (the vendor's consolidated rules)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Sets

VOLUME = 1
HIGH_LOW = 2
OPEN_CLOSE = 4

FORM_T = 12
CLOSING_PRINT = 8

#: What the conditions that forbid something allow; all others allow everything.
_ALLOWED = {
    **dict.fromkeys((5, 10, 22, 32, 33), VOLUME | HIGH_LOW),
    **dict.fromkeys((2, 7, 12, 13, 20, 21, 29, 37, 52, 53), VOLUME),
    **dict.fromkeys((15, 16), 0),
    38: HIGH_LOW | OPEN_CLOSE,
}
EVERYTHING = VOLUME | HIGH_LOW | OPEN_CLOSE


def day_rules(sets: Sets) -> NDArray[np.uint8]:
    """What each set of conditions allows in a day bar: an OR of the constants above, uint8."""
    return np.array([_allowed(conditions) for conditions in sets], np.uint8)


def window_rules(sets: Sets) -> NDArray[np.uint8]:
    """The same for bars of seconds and minutes.

    Form T does not keep extended-hours trades out of them, and the closing auction is in none.
    """
    return np.array(
        [
            0
            if CLOSING_PRINT in conditions
            else _allowed(tuple(each for each in conditions if each != FORM_T))
            for conditions in sets
        ],
        np.uint8,
    )


def _allowed(conditions: tuple[int, ...]) -> int:
    allowed = EVERYTHING
    for condition in conditions:
        allowed &= _ALLOWED.get(condition, EVERYTHING)
    return allowed
