"""Threads beside the feed of a connection, which end with it and whose failure ends it."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.clock import Clock

_GRACE_S = 0.5


class Helpers:
    """Starts them and waits for them.

    Args:
        stop: ends each of them.
        on_failure: told what one failed with, unless it was being stopped.
        clock: the source of time.
    """

    def __init__(
        self, stop: threading.Event, on_failure: Callable[[Exception], None], clock: Clock
    ) -> None:
        self._stop = stop
        self._on_failure = on_failure
        self._clock = clock
        self._threads: list[threading.Thread] = []

    def start(self, work: Callable[[], None], name: str) -> None:
        """Have something done beside the feed."""
        thread = threading.Thread(target=self._guarded, args=(work,), name=name, daemon=True)
        self._threads.append(thread)
        thread.start()

    def end(self) -> None:
        """Stop them and wait a little; one that waits for the vendor is left and stores nothing."""
        self._stop.set()
        deadline = self._clock.monotonic() + _GRACE_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - self._clock.monotonic()))

    def _guarded(self, work: Callable[[], None]) -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  (raised again by the feed, on the line's thread)
            if not self._stop.is_set():
                self._on_failure(error)
