"""What must have ended before a store lets go of its directory."""

from __future__ import annotations

import threading

from tsstore.errors import ClosedError


class Gate:
    """Lets work in until it is closed; closing waits for what is inside.

    Work is a lock that is held as long as it is under way: that an interrupt comes when the work
    has ended and nobody was told yet cannot be.
    """

    def __init__(self) -> None:
        self._inside: list[threading.Lock] = []
        self._closed = False
        self._lock = threading.Lock()

    def enter(self, work: threading.Lock) -> None:
        """Let work in, which its caller has begun by taking this lock.

        Raises:
            ClosedError: it was closed.
        """
        with self._lock:
            if self._closed:
                raise ClosedError("the store was closed; open it again")
            self._inside = [*(other for other in self._inside if other.locked()), work]

    def close(self) -> None:
        """Let nothing in any more, and return when everything has ended."""
        with self._lock:
            self._closed = True
            inside = self._inside
        for work in inside:
            with work:
                pass
