"""Threads for calls, so that those that take long never keep others waiting.

A query or a write takes milliseconds, a bulk load seconds, a compaction or a backup hours. Each
kind has threads of its own.
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


class Lanes:
    """The threads of one server."""

    def __init__(self, settings: ServerSettings) -> None:
        self._long_calls = settings.long_calls
        self._free = threading.Semaphore(settings.long_calls)
        threads = {
            Kind.SHORT: settings.threads,
            Kind.BULK: _BULK_THREADS,
            Kind.LONG: settings.long_calls,
        }
        self._pools = {
            kind: ThreadPoolExecutor(count, thread_name_prefix=f"tsstore-{kind.value}")
            for kind, count in threads.items()
        }

    async def run(self, kind: Kind, function: Callable[[], _T]) -> _T:
        """What the function returns, which runs in a thread.

        Raises:
            BusyError: of a long one, when as many run as may; the others wait for their turn.
        """
        loop = asyncio.get_running_loop()
        if kind is not Kind.LONG:
            return await loop.run_in_executor(self._pools[kind], function)
        if not self._free.acquire(blocking=False):
            raise BusyError(
                f"the server carries out {self._long_calls} copies, compactions or backups "
                "already; try again when one of them is done, or raise limits.long_calls"
            )
        return await loop.run_in_executor(self._pools[kind], self._freeing, function)

    def _freeing(self, function: Callable[[], _T]) -> _T:
        # Not when the caller stops waiting: the call goes on without it.
        try:
            return function()
        finally:
            self._free.release()

    def close(self) -> None:
        """Carry out nothing that has not begun; wait for nothing that has."""
        for pool in self._pools.values():
            pool.shutdown(wait=False, cancel_futures=True)
