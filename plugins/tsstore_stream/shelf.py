"""Rows that wait for the end of their window."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tsstore.clock import Clock


class Shelf:
    """Keeps the latest row of each window and hands it on when the window ends.

    A thread waits while there is something to wait for. `put` and `close` may be called from any
    thread.
    """

    def __init__(self, clock: Clock, publish: Callable[[str, Mapping[str, Any]], None]) -> None:
        self._clock = clock
        self._publish = publish
        self._lock = threading.Lock()
        self._rows: dict[tuple[int, str], dict[str, Any]] = {}
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def put(self, key: str, deadline_ns: int, row: Mapping[str, Any]) -> None:
        """Keep a row until its deadline, instead of the one kept for the same deadline.

        A row whose deadline has passed is dropped: it belongs to history, not to the stream.
        """
        if deadline_ns <= self._clock.now_ns():
            return
        with self._lock:
            if self._is_closed:
                return
            self._rows[(deadline_ns, key)] = dict(row)  # a view would keep its whole batch alive
            self._changed.set()
            if self._thread is None:
                self._thread = threading.Thread(target=self._wait, name="stream", daemon=True)
                self._thread.start()

    def close(self) -> None:
        """Drop what still waits and end the thread."""
        with self._lock:
            self._is_closed = True
            self._rows.clear()
            thread = self._thread
            self._changed.set()
        if thread is not None:
            thread.join()

    def _wait(self) -> None:
        while True:
            with self._lock:
                if not self._rows:
                    self._thread = None
                    return
                self._changed.clear()
                due = self._take_due()
                pause_s = self._pause_s()
            for key, row in due:
                self._publish(key, row)
            if pause_s is not None:
                self._clock.wait(self._changed, pause_s)

    def _take_due(self) -> list[tuple[str, dict[str, Any]]]:
        now_ns = self._clock.now_ns()
        due = sorted(place for place in self._rows if place[0] <= now_ns)
        return [(place[1], self._rows.pop(place)) for place in due]

    def _pause_s(self) -> float | None:
        if not self._rows:
            return None
        return max(0.0, (min(self._rows)[0] - self._clock.now_ns()) / NS_PER_SECOND)
