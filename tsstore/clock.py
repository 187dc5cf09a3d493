"""The only place that asks the machine what time it is.

Order on disk never depends on a clock (it is a sequence number); clocks are for people, for market
hours and for waiting. Tests pass a `ManualClock`.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import threading


class Clock(Protocol):
    """Wall time and waiting."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds that never run backwards, for time-outs and rates."""
        ...

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until the event is set or the time is over; return whether it is set."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now_ns(self) -> int:
        """Nanoseconds since 1970-01-01 UTC."""
        return time.time_ns()

    def monotonic(self) -> float:
        """Seconds that never run backwards."""
        return time.monotonic()

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Wait until the event is set or the time is over; return whether it is set."""
        return event.wait(timeout_s)


class ManualClock:
    """A clock that a test moves by hand; waiting moves it and never sleeps."""

    def __init__(self, now_ns: int = 0) -> None:
        self._now_ns = now_ns

    def now_ns(self) -> int:
        """The instant it was set to."""
        return self._now_ns

    def monotonic(self) -> float:
        """The same instant in seconds."""
        return self._now_ns / 1e9

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        """Move on by the time-out, unless the event is set already."""
        if event.is_set():
            return True
        self.advance(timeout_s)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        """Move the clock forward."""
        self._now_ns += round(seconds * 1e9)
