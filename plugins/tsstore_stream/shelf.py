"""Rows that wait for the end of their window.

What is written shortly after the end, such as the last minute of a window of five, which comes when
that is over, goes out at once: the same bar again, and now whole.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.clock import Clock
    from tsstore.plugin import Publish

LATE_NS = 60 * NS_PER_SECOND


class Shelf:
    """Keeps the latest row of each window and hands it on when the window ends.

    A thread waits while there is something to wait for. `put` and `close` may be called from any
    thread.
    """

    def __init__(self, clock: Clock, publish: Publish) -> None:
        self._clock = clock
        self._publish = publish
        self._lock = threading.Lock()
        self._sending = threading.Lock()  # so that of two versions of a row the later one is last
        self._rows: dict[tuple[int, str], tuple[dict[str, Any], int | None]] = {}
        self._changed = threading.Event()
        self._thread: threading.Thread | None = None
        self._is_closed = False

    def put(
        self, key: str, deadline_ns: int, row: Mapping[str, Any], commit: int | None = None
    ) -> None:
        """Keep a row until its deadline, instead of the one kept for the same deadline.

        A row whose deadline passed more than a minute ago belongs to history and is dropped.
        """
        late_ns = self._clock.now_ns() - deadline_ns
        if late_ns >= 0:
            if late_ns < LATE_NS:
                self._send_late(key, deadline_ns, row, commit)
            return
        with self._lock:
            if self._is_closed:
                return
            # Copied, for a view would keep its whole batch alive.
            self._rows[(deadline_ns, key)] = (dict(row), commit)
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

    def _send_late(
        self, key: str, deadline_ns: int, row: Mapping[str, Any], commit: int | None
    ) -> None:
        with self._sending:
            with self._lock:
                self._rows.pop((deadline_ns, key), None)  # it would come after its replacement
            self._publish(key, row, commit=commit)

    def _wait(self) -> None:
        while True:
            with self._sending:
                with self._lock:
                    if not self._rows:
                        self._thread = None
                        return
                    self._changed.clear()
                    due = self._take_due()
                    pause_s = self._pause_s()
                for key, row, commit in due:
                    self._publish(key, row, commit=commit)
            if pause_s is not None:
                self._clock.wait(self._changed, pause_s)

    def _take_due(self) -> list[tuple[str, dict[str, Any], int | None]]:
        now_ns = self._clock.now_ns()
        due = sorted(place for place in self._rows if place[0] <= now_ns)
        return [(place[1], *self._rows.pop(place)) for place in due]

    def _pause_s(self) -> float | None:
        if not self._rows:
            return None
        return max(0.0, (min(self._rows)[0] - self._clock.now_ns()) / NS_PER_SECOND)
