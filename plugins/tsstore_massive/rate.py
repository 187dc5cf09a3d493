"""How fast requests may go out, shared by all threads that use one API key.

A bucket of tokens in which each token comes back one period after it was taken. So never more than
`limit` requests start within any stretch of that length, which is what a vendor counts; a bucket
that refills evenly would let twice as many through.
"""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tsstore.clock import Clock

MINUTE_S = 60.0
#: Longest uninterrupted wait, so that a pause which another thread asked for is noticed.
_STEP_S = 1.0
#: What no clock waits for; a rest this short counts as over.
_RESOLUTION_S = 1e-6


class RateLimiter:
    """At most so many requests in any period. Thread-safe.

    Args:
        limit: requests per period, at least 1.
        period_s: length of the period in seconds.
        clock: the source of time.
    """

    def __init__(self, limit: int, period_s: float, clock: Clock) -> None:
        if limit < 1 or period_s <= 0:
            raise InvalidArgumentError(
                f"rate limit {limit} per {period_s} s; give at least 1 request per period"
            )
        self._period_s = period_s
        self._clock = clock
        self._lock = threading.Lock()
        self._taken: deque[float] = deque(maxlen=limit)
        self._paused_until = float("-inf")

    def acquire(self, stop: threading.Event) -> bool:
        """Wait for a token; False when `stop` was set first."""
        while True:
            wait_s = self._take()
            if wait_s <= 0:
                return not stop.is_set()
            if self._clock.wait(stop, min(wait_s, _STEP_S)):
                return False

    def pause(self, seconds: float) -> None:
        """Let no request start for so long: the vendor said that it is too many."""
        with self._lock:
            self._paused_until = max(self._paused_until, self._clock.monotonic() + seconds)

    def _take(self) -> float:
        """Take a token and return 0, or return how long to wait before trying again."""
        with self._lock:
            now = self._clock.monotonic()
            free_at = self._paused_until
            if len(self._taken) == self._taken.maxlen:
                free_at = max(free_at, self._taken[0] + self._period_s)
            if free_at > now + _RESOLUTION_S:
                return free_at - now
            self._taken.append(now)
            return 0.0
