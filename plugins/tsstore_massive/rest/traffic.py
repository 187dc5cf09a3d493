"""What goes to the vendor and back, counted by all threads that ask."""

from __future__ import annotations

import threading
from typing import NamedTuple


class Counts(NamedTuple):
    """Totals since the start.

    Attributes:
        calls: requests that were sent, those that failed included.
        bytes: of the answers, as they came.
        failures: requests without a usable answer: 5xx, time-outs, resets, broken answers.
        throttled: 429.
    """

    calls: int = 0
    bytes: int = 0
    failures: int = 0
    throttled: int = 0


class Traffic:
    """Counters; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts = Counts()

    @property
    def counts(self) -> Counts:
        """The totals now."""
        return self._counts

    def sent(self) -> None:
        """A request goes out."""
        self._add(calls=1)

    def came(self, size: int) -> None:
        """Bytes of an answer came."""
        self._add(size=size)

    def failed(self, *, throttled: bool) -> None:
        """A request has no usable answer, or is one too many."""
        self._add(failures=not throttled, throttled=throttled)

    def _add(self, calls: int = 0, size: int = 0, failures: int = 0, throttled: int = 0) -> None:
        with self._lock:
            now = self._counts
            self._counts = Counts(
                now.calls + calls,
                now.bytes + size,
                now.failures + failures,
                now.throttled + throttled,
            )
