"""Making the medium hold what was written: entries of a directory, or a whole file system."""

from __future__ import annotations

import os

from tsstore.vfs.refusal import Refused


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
