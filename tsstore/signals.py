"""Signals that ask a program to stop, taken without locks."""

from __future__ import annotations

import logging
import math
import signal
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from tsstore.clock import Clock

# The interpreter runs a handler when the main thread goes on. A signal that the system gives to
# another thread, or that comes the moment before the main thread waits, does not make it do so.
_LOOK_S = 0.5

logger = logging.getLogger("tsstore")


class Signals:
    """Signals, taken one after the other while the context lasts; only in the main thread.

    They come by a queue that a handler may use. An event has a lock, which the code that the
    handler interrupts may hold: neither would ever go on.

    Args:
        numbers: which ones; SIGINT and SIGTERM if none are named.

    Attributes:
        first: the number of the first that has come; None before.
    """

    def __init__(self, *numbers: signal.Signals) -> None:
        self.first: int | None = None
        self._wanted = numbers or (signal.SIGINT, signal.SIGTERM)
        self._numbers: SimpleQueue[int] = SimpleQueue()
        self._before: dict[int, Any] = {}

    def __enter__(self) -> Self:
        for number in self._wanted:
            self._before[number] = signal.signal(number, self._received)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _received(self, number: int, _: object) -> None:
        self.first = self.first or number
        self._numbers.put(number)

    @property
    def stop(self) -> bool:
        """Whether one has come."""
        return self.first is not None

    def wait(self, clock: Clock, timeout_s: float = math.inf) -> bool:
        """Wait for the next one; returns whether it came in time."""
        deadline = clock.monotonic() + timeout_s
        while True:
            left = max(0.0, deadline - clock.monotonic())
            try:
                number = self._numbers.get(timeout=min(left, _LOOK_S))
            except Empty:
                if left > _LOOK_S:
                    continue
                return False
            logger.info("%s: stopping", signal.Signals(number).name)
            return True

    def let_go(self) -> None:
        """Let further ones end the process at once."""
        for number in self._wanted:
            signal.signal(number, signal.SIG_DFL)
