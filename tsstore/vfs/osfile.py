"""A file of the operating system."""

from __future__ import annotations

import errno
import os
from typing import TYPE_CHECKING

from tsstore.vfs.ossync import begin_write_back
from tsstore.vfs.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore.vfs.interface import Buffer

_IOV_MAX = 512


class OsFile:
    """A file of the operating system."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._sync_failed = False

    def append(self, parts: Sequence[Buffer]) -> None:
        """Write the parts one after the other at the end, all of them or raise."""
        with Refused("write", self._path):
            for first in range(0, len(parts), _IOV_MAX):
                self._write_all(list(parts[first : first + _IOV_MAX]))

    def _write_all(self, parts: list[Buffer]) -> None:
        views = [memoryview(part).cast("B") for part in parts if len(part)]
        while views:
            written = os.writev(self._fd, views)
            while views and written >= len(views[0]):
                written -= len(views.pop(0))
            if views and written:
                views[0] = views[0][written:]

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end of the file."""
        with Refused("read", self._path):
            return os.pread(self._fd, length, offset)

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset`; returns the number of bytes there were."""
        with Refused("read", self._path):
            done = 0
            while done < len(buffer):
                count = os.preadv(self._fd, [buffer[done:]], offset + done)
                if count == 0:
                    break
                done += count
            return done

    def size(self) -> int:
        """Length in bytes."""
        with Refused("look at", self._path):
            return os.fstat(self._fd).st_size

    def begin_sync(self) -> None:
        """Have what was written brought to the medium, so that `sync` has less to wait for."""
        begin_write_back(self._fd)

    def sync(self) -> None:
        """Return once the contents and the length are on the medium."""
        with Refused("sync", self._path):
            if self._sync_failed:
                raise OSError(errno.EIO, "an earlier sync of this file failed")
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._sync_failed = True
                raise

    def truncate(self, length: int) -> None:
        """Cut the file to `length` bytes."""
        with Refused("truncate", self._path):
            os.ftruncate(self._fd, length)

    def close(self) -> None:
        """Release the file; does not sync."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with Refused("close", self._path):
                os.close(fd)
