"""Waiting for something that happens once."""

from __future__ import annotations

import threading


class Latch:
    """Closed until it is opened, and open from then on.

    No `threading.Event`: an interrupt in its `wait` may leave its lock taken, and the thread that
    is to set it would wait for ever. This one has nothing but a lock of the interpreter, which is
    taken and given back by a `with` statement that no interrupt can tear.
    """

    __slots__ = ("_lock",)

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._lock.acquire()

    def open(self) -> None:
        """Let everyone go; once."""
        self._lock.release()

    def wait(self) -> None:
        """Return when it is open."""
        with self._lock:
            pass
