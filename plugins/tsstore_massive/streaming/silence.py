"""How long nothing may come before a connection counts as broken."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.clock import Clock

_DOUBLINGS_MAX = 5


class Silence:
    """Judges silences; what came after one may be told from another thread.

    Args:
        first_s: how long nothing may come at first; twice as long after each silence in a row,
            since the symbols may just be quiet.
        market_open: whether messages must be coming at an instant (ns since 1970 UTC).
        clock: the source of time.
    """

    def __init__(self, first_s: float, market_open: Callable[[int], bool], clock: Clock) -> None:
        self._first_s = first_s
        self._market_open = market_open
        self._clock = clock
        self._in_a_row = 0

    @property
    def patience_s(self) -> float:
        """How long to wait for a frame."""
        return self._first_s * (1 << self._in_a_row)

    def over(self) -> None:
        """Events came."""
        self._in_a_row = 0

    def is_broken(self, silent_s: float) -> bool:
        """Whether nothing came for so long although the market was open all the time."""
        now_ns = self._clock.now_ns()
        if not (self._market_open(now_ns) and self._market_open(now_ns - round(silent_s * 1e9))):
            return False
        self._in_a_row = min(self._in_a_row + 1, _DOUBLINGS_MAX)
        return True
