"""Threads for calls, so that those that take long never keep others waiting.

A query or a write takes milliseconds, a bulk load or an SQL statement seconds, a compaction or a
backup hours, and a replica waits for whatever comes next. Each kind has threads of its own.
"""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from enum import Enum
from typing import TYPE_CHECKING, TypeVar

from tsstore.errors import BusyError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.server.settings import ServerSettings

_T = TypeVar("_T")

_BULK_THREADS = 2  # each writes with several


class Kind(Enum):
    """How long a call takes."""

    SHORT = "rpc"
    BULK = "bulk"
    LONG = "long"
    SQL = "sql"
    WAIT = "wait"


#: Kinds of which further calls are refused when all threads are taken, and the text of it.
_REFUSED = {
    Kind.LONG: "the server carries out {} copies, compactions or backups already; try again when "
    "one of them is done, or raise limits.long_calls",
    Kind.WAIT: "the server has {} replicas already; raise limits.replicas",
}


class Lanes:
    """The threads of one server."""

    def __init__(self, settings: ServerSettings) -> None:
        threads = self._threads = {
            Kind.SHORT: settings.threads,
            Kind.BULK: _BULK_THREADS,
            Kind.LONG: settings.long_calls,
            Kind.SQL: settings.sql_calls,
            Kind.WAIT: settings.replicas,
        }
        self._free = {kind: threading.Semaphore(threads[kind]) for kind in _REFUSED}
        self._pools = {
            kind: ThreadPoolExecutor(count, thread_name_prefix=f"tsstore-{kind.value}")
            for kind, count in threads.items()
        }

    async def run(self, kind: Kind, function: Callable[[], _T]) -> _T:
        """What the function returns, which runs in a thread.

        Raises:
            BusyError: of a long or waiting one, when as many run as may; others wait their turn.
        """
        loop = asyncio.get_running_loop()
        free = self._free.get(kind)
        if free is None:
            return await loop.run_in_executor(self._pools[kind], function)
        if not free.acquire(blocking=False):
            raise BusyError(_REFUSED[kind].format(self._threads[kind]))
        return await loop.run_in_executor(self._pools[kind], _freeing, free, function)

    def close(self) -> None:
        """Carry out nothing that has not begun; wait for nothing that has."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)


def _freeing(free: threading.Semaphore, function: Callable[[], _T]) -> _T:
    # Not when the caller stops waiting: the call goes on without it.
    try:
        return function()
    finally:
        free.release()
