"""Jumps of the wall clock: this machine slept, or somebody set the clock.

The monotonic clock stands still while a laptop sleeps and is never set, so the two clocks drift
apart at a jump and at nothing else. After one, nothing that waits by monotonic time knows how late
it is, and a connection may have died without a trace.
"""

from __future__ import annotations

#: Shorter ones are the clock being slewed, or a pause of the process between two looks.
JUMP_S = 10.0


class Jumps:
    """Finds jumps of the wall clock between two looks.

    Args:
        wall_ns: the wall clock now.
        monotonic_s: the monotonic clock now.
    """

    def __init__(self, wall_ns: int, monotonic_s: float) -> None:
        self._wall_ns = wall_ns
        self._monotonic_s = monotonic_s

    def look(self, wall_ns: int, monotonic_s: float) -> float:
        """How far the wall clock has jumped since the last look, in seconds; 0.0 if it has not.

        Positive after a sleep, or when the clock was put forward; negative when it was put back.
        """
        wall_s = (wall_ns - self._wall_ns) / 1e9
        jump_s = wall_s - (monotonic_s - self._monotonic_s)
        self._wall_ns, self._monotonic_s = wall_ns, monotonic_s
        return jump_s if abs(jump_s) >= JUMP_S else 0.0
