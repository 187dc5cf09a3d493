"""The writer's lock: `flock` on a file that names who has it."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
from typing import Any

from tsstore.errors import LockedError, StorageError
from tsstore.vfs.refusal import Refused, storage_error

#: The files that this process has locked: process, device, inode. A number of a process alone does
#: not tell who it is: in containers that share a directory, many are number 1.
_OWN: set[tuple[int, int, int]] = set()


class OsLock:
    """`flock` on a file; the kernel drops it when the process ends, however it ends."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._identity = _identity(fd)
        _OWN.add(self._identity)

    def note(self, holder: dict[str, Any]) -> None:
        """Change what others are told about the holder. Not synced: a crash also ends the lock."""
        import json

        text = json.dumps(holder).encode() + b"\n"
        with Refused("write", self._path):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text, 0)

    def release(self) -> None:
        """Let others have it."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            _OWN.discard(self._identity)
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may hold a copy of it
            os.close(fd)


def take_lock(root: str, path: str, holder: dict[str, Any]) -> OsLock:
    """Lock a directory by a file in it.

    Args:
        root: the directory, for messages.
        path: the file; created when it is not there.
        holder: what others are told about this process.

    Raises:
        LockedError: it is taken; the text says by whom.
        StorageError: the system refused.
    """
    while True:
        with Refused("open", path):
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600)
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            try:
                if error.errno != errno.EWOULDBLOCK:
                    raise storage_error("lock", path, error) from None
                raise _locked(root, os.pread(fd, 65536, 0), is_own=_identity(fd) in _OWN) from None
            finally:
                os.close(fd)
        if _is_same_file(fd, path):
            lock = OsLock(fd, path)
            with contextlib.suppress(StorageError):  # a full disk keeps nobody from reading
                lock.note(holder)
            return lock
        os.close(fd)  # the name was deleted or replaced between open and lock


def _is_same_file(fd: int, path: str) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(fd)
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


def _identity(fd: int) -> tuple[int, int, int]:
    found = os.fstat(fd)
    return os.getpid(), found.st_dev, found.st_ino


def _locked(root: str, note: bytes, *, is_own: bool) -> LockedError:
    import json

    try:
        holder = json.loads(note or b"{}")
    except ValueError:
        holder = {}
    pid = holder.get("pid")
    endpoint = holder.get("endpoint")
    who = f"process {pid} ({holder.get('command')})" if pid else "another process"
    what = f"{root} is being written by {who}"
    advice = f"connect to {endpoint}" if endpoint else "stop it"
    if is_own:
        what = f"{root} is open for writing in this process already"
        advice = "use that Store, close it first"
    error = LockedError(f"{what}; {advice}, or open the directory with read_only=True")
    end = f"end it (`kill {pid}`)" if pid else "end it"
    shell_advice = f"use its server with --url {endpoint}, or {end}" if endpoint else end
    error.shell_text = f"{what}; {shell_advice}, and try again"
    error.pid = pid
    error.endpoint = endpoint
    return error
