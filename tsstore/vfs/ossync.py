"""Making the medium hold what was written: entries of a directory, or a whole file system."""

from __future__ import annotations

import os
from functools import cache
from typing import TYPE_CHECKING

from tsstore.vfs.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable

_SYNC_FILE_RANGE_WRITE = 2


def sync_dir(path: str) -> None:
    """Return once the entries of a directory are on the medium."""
    with Refused("sync directory", path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def sync_file_system(root: str) -> bool:
    """Write back all of the file system a directory is in; False where that cannot be done."""
    import ctypes  # only large flushes need it, and it is slow to import

    syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
    if syncfs is None:
        return False
    with Refused("sync", root):
        fd = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            if syncfs(fd) != 0:
                code = ctypes.get_errno()
                raise OSError(code, os.strerror(code))
        finally:
            os.close(fd)
    return True


def begin_write_back(fd: int) -> None:
    """Have the system write back what a file has; nothing where that cannot be asked for.

    What goes wrong is told by the sync, which has to come all the same.
    """
    sync_file_range = _sync_file_range()
    if sync_file_range is not None:
        sync_file_range(fd, 0, 0, _SYNC_FILE_RANGE_WRITE)


@cache
def _sync_file_range() -> Callable[[int, int, int, int], int] | None:
    import ctypes  # see above

    function = getattr(ctypes.CDLL(None), "sync_file_range", None)
    if function is not None:
        function.argtypes = [ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint]
    return function
