"""How many units of work are under way at a time: as many as pay.

The number grows while more of them bring more requests per second, by doubling at first and by one
after that; it goes back when the last step brought nothing, and is halved when the vendor is
overtaxed (429, 5xx, time-outs). So a slow line gets many requests at a time, a slow machine or a
small plan gets few, and nobody has to know which it is.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.clock import Clock
    from tsstore_massive.rest.traffic import Traffic

#: A pace is judged after so many seconds, and so many requests for each unit under way.
WINDOW_S = 0.5
_CALLS_PER_UNIT = 2
#: A step pays when it brings at least this share of what it would bring at best.
_PAYS = 0.25
#: Windows after which a pace that was given up is tried again: lines and vendors change.
_TRY_AGAIN = 20


class FixedPace:
    """So many units at a time, whatever happens.

    Args:
        limit: how many.
    """

    def __init__(self, limit: int) -> None:
        if limit < 1:
            raise InvalidArgumentError(f"parallelism {limit}; use at least 1")
        self.most = self.limit = limit

    def enter(self, is_over: Callable[[], bool]) -> bool:
        """Wait until one more unit may begin; False when `is_over` said so first."""
        return not is_over()

    def leave(self) -> None:
        """A unit is done."""


class AdaptivePace:
    """As many units at a time as pay; thread-safe.

    Args:
        most: never more than this.
        traffic: tells how many requests were answered, and how many not.
        clock: the source of time.
        first: units at the start.

    Attributes:
        limit: how many units may be under way now.
    """

    def __init__(self, most: int, traffic: Traffic, clock: Clock, *, first: int = 2) -> None:
        if most < 1:
            raise InvalidArgumentError(f"parallelism {most}; use at least 1")
        self.most = most
        self.limit = min(first, most)
        self._traffic = traffic
        self._clock = clock
        self._changed = threading.Condition()
        self._busy = 0
        self._doubling = True
        self._before: tuple[int, float] | None = None
        self._resting = 0
        self._begin_window()

    def enter(self, is_over: Callable[[], bool]) -> bool:
        """Wait until one more unit may begin; False when `is_over` said so first."""
        with self._changed:
            while not is_over():
                if self._busy < self.limit:
                    self._busy += 1
                    return True
                self._changed.wait(0.1)
            return False

    def leave(self) -> None:
        """A unit is done; now and then the pace is judged."""
        with self._changed:
            self._busy -= 1
            self._judge()
            self._changed.notify_all()

    def _begin_window(self) -> None:
        self._since_s = self._clock.monotonic()
        self._since = self._traffic.counts

    def _judge(self) -> None:
        now = self._traffic.counts
        troubles = now.failures + now.throttled - self._since.failures - self._since.throttled
        if troubles:
            self._slow_down()
            return
        seconds = self._clock.monotonic() - self._since_s
        calls = now.calls - self._since.calls
        if seconds < WINDOW_S or calls < _CALLS_PER_UNIT * self.limit:
            return
        self._step(calls / seconds)
        self._begin_window()

    def _slow_down(self) -> None:
        """Half as many; at most once for what is under way, whose failures come together."""
        seconds = self._clock.monotonic() - self._since_s
        if seconds < WINDOW_S and not self._doubling:
            return
        self._doubling = False
        self._go(max(1, self.limit // 2), None)
        self._resting = _TRY_AGAIN // 4
        self._begin_window()

    def _step(self, per_s: float) -> None:
        """One more, or as many as before, by what the last step has brought."""
        if self._resting:
            self._resting -= 1
            return
        if self._before is not None:
            limit, before_per_s = self._before
            at_best = before_per_s * self.limit / limit
            if per_s - before_per_s < _PAYS * (at_best - before_per_s):
                self._doubling = False
                self._resting = _TRY_AGAIN
                self._go(limit, None)
                return
        more = self.limit * 2 if self._doubling else self.limit + max(1, self.limit // 8)
        if self.limit < self.most:
            self._go(min(more, self.most), (self.limit, per_s))

    def _go(self, limit: int, before: tuple[int, float] | None) -> None:
        self.limit = limit
        self._before = before
