"""How long to wait before connecting again."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import random


class Backoff:
    """Pauses that double, with jitter, until a connection has proved healthy.

    A connection that was accepted proves nothing: in an eviction loop every one is. So the pauses
    start over only after a connection that lasted.

    Args:
        first_s: the first pause in seconds, before jitter.
        max_s: the longest pause.
        healthy_s: how long a connection must have streamed to count as healthy.
        jitter: takes each pause down to a random half to whole of it, so that many clients that
            were cut off together do not come back together.
    """

    def __init__(
        self, first_s: float, max_s: float, *, healthy_s: float, jitter: random.Random
    ) -> None:
        self._first_s = first_s
        self._max_s = max_s
        self._healthy_s = healthy_s
        self._jitter = jitter
        self._next_s = first_s

    def pause_s(self, streamed_s: float) -> float:
        """The pause after a connection that streamed for so many seconds; 0 if it never did."""
        if streamed_s >= self._healthy_s:
            self._next_s = self._first_s
        pause_s = self._next_s
        self._next_s = min(self._next_s * 2, self._max_s)
        return pause_s * (0.5 + self._jitter.random() / 2)
