"""A statement at work on a thread of its own, so that others can end it.

DuckDB does not hear Ctrl-C, and knows no time limit. So the caller waits, for no longer than the
statement may take, and whatever ends the waiting ends the statement. So does closing the store.

DuckDB in turn looks only between pieces of rows whether it should end, and one call of a function
on one long text can take hours. Nobody waits for that: the statement is left behind, on a daemon
thread that closes its connection when DuckDB comes back.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tsstore.errors import ClosedError, LimitExceededError

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

_T = TypeVar("_T")

#: How often DuckDB is told to end; what it did not do yet it will begin all the same.
_INTERRUPT_EVERY_S = 0.02
#: What a statement gets to end in before it is left behind.
_GRACE_S = 1.0


class Running(Generic[_T]):
    """One statement.

    Args:
        connection: a DuckDB connection, used by this statement only, and closed after it.
        time_s: longest time it may take; None for any.
        on_over: called on the thread of the statement when that uses nothing any more.
    """

    def __init__(
        self, connection: Any, time_s: float | None, on_over: Callable[[Running[_T]], object]
    ) -> None:
        self._connection = connection
        self._time_s = time_s
        self._on_over = on_over
        self._has_begun = False
        self._is_over = False
        self._is_ended = False
        self._is_let_go = False
        self._value: _T | None = None
        self._error: BaseException | None = None
        self._lock = threading.Lock()
        # Not an event: Ctrl-C may leave the lock of one taken, as `storage/latch.py` says.
        self._until_let_go = threading.Lock()
        self._until_let_go.acquire()

    @property
    def is_at_work(self) -> bool:
        """Whether its thread has begun and uses anything still."""
        return self._has_begun and not self._is_over

    @property
    def is_awaited(self) -> bool:
        """Whether it is at work and was not left behind."""
        return self._has_begun and not self._is_let_go

    @property
    def connection(self) -> Any:
        """The connection; for the work.

        Raises:
            ClosedError: the statement was ended. DuckDB forgets that with its next query.
        """
        self.check()
        return self._connection

    def result(self, work: Callable[[], _T]) -> _T:
        """What the work returns or raises.

        Raises:
            LimitExceededError: it took too long.
            ClosedError: it was ended by another thread.
        """
        thread = threading.Thread(target=self._run, args=(work,), name="tsstore-sql", daemon=True)
        try:
            thread.start()
            self.wait(-1 if self._time_s is None else self._time_s)
            is_late = not (self._is_over or self._is_ended)
        finally:
            end([self])
        if is_late:
            raise LimitExceededError(
                f"the statement took longer than {self._time_s:g} s; ask for fewer rows, or allow "
                "it more time"
            )
        if not self._is_over:
            self.check()
        if self._error is not None:
            raise self._error
        return self._value  # type: ignore[return-value]  # it is there when no error is

    def check(self) -> None:
        """Raise ClosedError when the statement was ended. For what DuckDB calls and waits for."""
        if self._is_ended:
            raise ClosedError("the store was closed while the statement ran; open it again")

    def forbid(self) -> None:
        """Let it begin nothing new; a thread that begins only now finds nothing to do."""
        self._is_ended = True

    def interrupt(self) -> None:
        """Have DuckDB end what it does, once it looks."""
        with self._lock:  # a connection that is being closed must not be interrupted
            if self._connection is not None:
                self._connection.interrupt()

    def wait(self, timeout_s: float) -> None:
        """Return when it is over or was left behind, or when the time is over."""
        if self._until_let_go.acquire(timeout=timeout_s):
            self._until_let_go.release()  # for others that wait

    def let_go(self) -> None:
        """Nobody needs to wait for it any longer: it is over, or left behind."""
        with self._lock:
            was_let_go, self._is_let_go = self._is_let_go, True
        if not was_let_go:
            self._until_let_go.release()

    def _run(self, work: Callable[[], _T]) -> None:
        self._has_begun = True
        try:
            self.check()
            self._value = work()
        except BaseException as error:  # noqa: BLE001  (raised where it is waited for)
            self._error = error
        with self._lock:
            connection, self._connection = self._connection, None
        with suppress(Exception):  # it may be broken
            connection.close()
        self._is_over = True
        self._on_over(self)
        self.let_go()


def end(statements: Collection[Running[Any]]) -> None:
    """End statements. Those that DuckDB does not end within a moment are left behind."""
    until = monotonic() + _GRACE_S
    for one in statements:
        one.forbid()
    while awaited := [one for one in statements if one.is_awaited]:
        for one in awaited:
            if monotonic() < until:
                one.interrupt()
            else:
                one.let_go()
        awaited[0].wait(_INTERRUPT_EVERY_S)
