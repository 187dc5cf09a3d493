"""A statement at work on a thread of its own, so that others can end it.

DuckDB does not hear Ctrl-C, and knows no time limit. So the caller waits, for no longer than the
statement may take, and whatever ends the waiting ends the statement. So does closing the store.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tsstore.errors import ClosedError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Callable

_T = TypeVar("_T")

#: How often DuckDB is told to end; what it did not do yet it will begin all the same.
_INTERRUPT_EVERY_S = 0.02


class Running(Generic[_T]):
    """One statement.

    Args:
        connection: a DuckDB connection, used by this statement only.
        time_s: longest time it may take; None for any.

    Attributes:
        connection: see above.
    """

    def __init__(self, connection: Any, time_s: float | None) -> None:
        self.connection = connection
        self._time_s = time_s
        self._has_begun = False
        self._is_done = False
        self._is_ended = False
        self._value: _T | None = None
        self._error: BaseException | None = None
        # Not an event: Ctrl-C may leave the lock of one taken, as `storage/latch.py` says.
        self._until_done = threading.Lock()
        self._until_done.acquire()

    def result(self, work: Callable[[], _T]) -> _T:
        """What the work returns or raises.

        Raises:
            LimitExceededError: it took too long.
        """
        thread = threading.Thread(target=self._run, args=(work,), name="tsstore-sql", daemon=True)
        try:
            thread.start()
            self._wait(-1 if self._time_s is None else self._time_s)
            is_late = not self._is_done
        finally:
            self.end()
        if is_late:
            raise LimitExceededError(
                f"the statement took longer than {self._time_s:g} s; ask for fewer rows, or allow "
                "it more time"
            )
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # it is there when no error is

    def check(self) -> None:
        """Raise ClosedError when the statement was ended. For what DuckDB calls and waits for."""
        if self._is_ended:
            raise ClosedError("the store was closed while the statement ran; open it again")

    def end(self) -> None:
        """End the statement; return when it uses nothing any more."""
        if self._is_done:
            return
        self._is_ended = True
        # A thread that begins only now finds that there is nothing to do.
        while self._has_begun and not self._is_done:
            self.connection.interrupt()
            self._wait(_INTERRUPT_EVERY_S)

    def _run(self, work: Callable[[], _T]) -> None:
        self._has_begun = True
        try:
            self.check()
            self._value = work()
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            self._error = error
        self._is_done = True
        self._until_done.release()

    def _wait(self, timeout_s: float) -> None:
        if self._until_done.acquire(timeout=timeout_s):
            self._until_done.release()  # for others that wait
