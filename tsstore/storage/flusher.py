"""The background thread of a writer: merges chunks, flushes, syncs now and then, and closes.

Whatever must not be torn by a signal happens here: callers ask and wait. The thread starts with the
first need for it, so a store that is only read has none.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from tsstore.clock import SystemClock
from tsstore.errors import ClosedError
from tsstore.storage.latch import Latch

if TYPE_CHECKING:
    from collections.abc import Callable

logger = logging.getLogger("tsstore.storage")

# After a refused flush that nobody asked for, the disk gets so much time to recover.
_RETRY_S = 1.0


class _Request:
    """A caller waiting for a flush or for the end."""

    def __init__(self, action: Callable[[], None]) -> None:
        self.action = action
        self.done = Latch()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            self.action()
        except BaseException as error:  # noqa: BLE001  handed to the caller
            self.error = error
        self.done.open()

    def result(self) -> None:
        self.done.wait()
        if self.error is not None:
            raise self.error


class Flusher:
    """Runs the background work of one writer.

    Args:
        flush: writes what is in memory to segments.
        tidy: merges chunks.
        is_due: whether there is enough to flush.
        sync: brings the log to the medium, once per interval; None when commits do that.
        interval_s: see `sync`.
    """

    def __init__(
        self,
        flush: Callable[[], None],
        tidy: Callable[[], None],
        *,
        is_due: Callable[[], bool],
        sync: Callable[[], None] | None,
        interval_s: float,
    ) -> None:
        self._flush = flush
        self._tidy = tidy
        self._is_due = is_due
        self._sync = sync
        self._interval_s = interval_s
        self._requests: list[_Request] = []
        self._looks = False
        self._closing = False
        self._ended = False
        self._clock = SystemClock()
        self._retry_at = 0.0
        self._mutex = threading.RLock()  # see CommitLog
        self._wake = threading.Condition(self._mutex)
        self._thread: threading.Thread | None = None

    def look(self) -> None:
        """Something was committed: see whether there is work."""
        if self._looks:
            return
        with self._mutex:
            self._looks = True
            self._start()
            self._wake.notify_all()

    def flush(self) -> None:
        """Flush, and return when it is done; raises what it raised."""
        self._ask(self._flush)

    def close(self, finish: Callable[[], None]) -> None:
        """Carry out what was asked for before, then `finish`, and end."""
        self._ask(finish, closing=True)
        thread = self._thread
        if thread is not None:
            thread.join()

    def _ask(self, action: Callable[[], None], *, closing: bool = False) -> None:
        request = _Request(action)
        with self._mutex:
            if self._closing and not closing:
                raise ClosedError("the store was closed; open it again")
            if self._ended:
                return
            self._requests.append(request)
            self._closing |= closing  # afterwards: with nothing asked for, it is the end
            self._start()
            self._wake.notify_all()
        request.result()

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="tsstore-flush", daemon=True)
            self._thread.start()

    def _run(self) -> None:
        while True:
            with self._mutex:
                if self._closing and not self._requests:
                    self._ended = True  # nothing more is taken in
                    return
                if not self._requests and not self._looks:
                    self._wake.wait(self._pause())
                requests, self._requests = self._requests, []
                self._looks = False
            for request in requests:
                request.run()
            if not self._closing:
                self._work()

    def _pause(self) -> float | None:
        """How long to wait if nothing happens."""
        if self._retry_at:
            return max(0.0, self._retry_at - self._clock.monotonic())
        return self._interval_s if self._sync is not None else None

    def _work(self) -> None:
        """What nobody asked for."""
        try:
            if self._sync is not None:
                self._sync()
            self._tidy()
            if self._is_due() and self._clock.monotonic() >= self._retry_at:
                self._flush()
                self._retry_at = 0.0
        except Exception as error:  # noqa: BLE001  writers learn of it when memory is full
            logger.warning("flush failed and will be tried again: %s", error)
            self._retry_at = self._clock.monotonic() + _RETRY_S
