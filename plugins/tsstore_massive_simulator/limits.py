"""How many requests each key has made, and whether that is too many."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsstore.clock import Clock

_MINUTE_S = 60
_DAY_S = 86_400


class RequestCount:
    """Counts requests by key and market, in windows that slide. Safe to use from any thread.

    Args:
        clock: the real one.

    Attributes:
        busiest_minute: the most requests that one key was answered within a minute.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._lock = threading.Lock()
        self._asked_at: dict[tuple[str, str], deque[float]] = {}
        self.busiest_minute = 0

    def admit(self, key: str, market: str, per_minute: float | None, per_day: float | None) -> bool:
        """Count a request; return False, and count nothing, when it is one too many."""
        with self._lock:
            now = self._clock.monotonic()
            asked = self._asked_at.setdefault((key, market), deque())
            while asked and asked[0] <= now - _DAY_S:
                asked.popleft()
            recent = 0
            for at in reversed(asked):
                if at <= now - _MINUTE_S:
                    break
                recent += 1
            if per_minute is not None and recent >= per_minute:
                return False
            if per_day is not None and len(asked) >= per_day:
                return False
            asked.append(now)
            self.busiest_minute = max(self.busiest_minute, recent + 1)
            return True
