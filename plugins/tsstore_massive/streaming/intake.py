"""The queue between the socket and the writer: bounded in bytes, nothing is ever dropped.

The event loop puts frames in, one writer thread takes them out. At the bound the loop stops
reading, so the kernel's buffers fill and TCP holds the sender back; how often is counted.
"""

from __future__ import annotations

import asyncio
import threading
from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

Source = TypeVar("Source")

#: Bytes of one frame besides its text: the objects that hold it.
_FRAME_OVERHEAD_BYTES = 200


class Intake(Generic[Source]):
    """Frames received and not yet stored, each with the connection it came from.

    Args:
        bytes_max: from this size on the reader waits.

    Attributes:
        pauses: how often the reader had to wait.
    """

    def __init__(self, bytes_max: int) -> None:
        self.pauses = 0
        self._bytes_max = bytes_max
        self._frames: deque[tuple[Source, bytes]] = deque()
        self._bytes = 0
        self._taken_bytes = 0
        self._closed = False
        self._condition = threading.Condition()
        self._loop: asyncio.AbstractEventLoop | None = None
        self._changed = asyncio.Event()

    def __len__(self) -> int:
        """Bytes held, those the writer is busy with included."""
        return self._bytes

    @property
    def is_full(self) -> bool:
        """Whether the reader waits for room."""
        return self._bytes >= self._bytes_max

    # The event loop's side.

    def put(self, source: Source, frame: bytes) -> None:
        """Add a frame; await `room` before the next one."""
        with self._condition:
            self._frames.append((source, frame))
            self._bytes += len(frame) + _FRAME_OVERHEAD_BYTES
            self._condition.notify()

    async def room(self) -> None:
        """Wait until there is room."""
        if self.is_full:
            self.pauses += 1
            await self._until(lambda: not self.is_full)

    async def drained(self) -> None:
        """Wait until the writer has dealt with everything."""
        await self._until(lambda: not self._bytes)

    async def _until(self, condition: Callable[[], bool]) -> None:
        self._loop = asyncio.get_running_loop()
        while not condition():
            self._changed.clear()
            if condition():  # the writer was done just before the clear
                return
            await self._changed.wait()

    # The writer's side.

    def take(self, bytes_max: int) -> list[tuple[Source, bytes]]:
        """Wait for frames and take some, oldest first; empty when closed and nothing is left.

        Args:
            bytes_max: stop taking at this size, so that one batch stays bounded.
        """
        with self._condition:
            while not self._frames and not self._closed:
                self._condition.wait()
            taken = []
            while self._frames and self._taken_bytes < bytes_max:
                source, frame = self._frames.popleft()
                taken.append((source, frame))
                self._taken_bytes += len(frame) + _FRAME_OVERHEAD_BYTES
            return taken

    def done(self) -> None:
        """What was taken is stored."""
        with self._condition:
            self._bytes -= self._taken_bytes
            self._taken_bytes = 0
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is over, nobody waits
                self._loop.call_soon_threadsafe(self._changed.set)

    def close(self, *, abandon: bool = False) -> None:
        """Nothing more will come; with `abandon`, what is waiting is given up as well."""
        with self._condition:
            self._closed = True
            if abandon:
                self._frames.clear()
            self._condition.notify_all()
