"""File access. The only module that opens, writes, syncs, renames and locks files.

Everything else is handed a `FileSystem` that is rooted in the data directory and takes names
relative to it (`wal/000001.wal`), so nothing can leave the directory, and
`tsstore.testing.faultfs` can stand in its place and lose, tear or refuse any operation.

Rules that hold for every implementation:

* A file whose `sync` failed is never trusted again: the kernel may have dropped the pages and
  marked them clean, so a second sync that succeeds proves nothing.
* `publish` replaces a whole file atomically; nothing else renames.
* Whatever the system refuses is raised as `StorageError` with its `errno`.
"""

from __future__ import annotations

import contextlib
import errno
import fcntl
import os
import threading
from typing import TYPE_CHECKING, Any, Protocol

from tsstore.errors import LockedError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    Buffer = bytes | bytearray | memoryview

_IOV_MAX = 512
# Up to so many files, syncing each costs less than making the kernel write back everything.
_SYNC_SINGLY_MAX = 16
# Another disk, no such links there, or too many of them.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


class File(Protocol):
    """An open file."""

    def append(self, parts: Sequence[Buffer]) -> None:
        """Write the parts one after the other at the end, all of them or raise."""
        ...

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`; fewer at the end of the file."""
        ...

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset`; returns the number of bytes there were."""
        ...

    def size(self) -> int:
        """Length in bytes."""
        ...

    def sync(self) -> None:
        """Return once the contents and the length are on the medium."""
        ...

    def truncate(self, length: int) -> None:
        """Cut the file to `length` bytes."""
        ...

    def close(self) -> None:
        """Release the file; does not sync."""
        ...


class FileSystem(Protocol):
    """A directory and the files below it, by relative names with `/`."""

    def describe(self, name: str) -> str:
        """The full path, for messages."""
        ...

    def make_dir(self, name: str) -> None:
        """Create a directory and the ones above it; nothing happens if it is there."""
        ...

    def create(self, name: str) -> File:
        """Create an empty file for appending, and the directories it lies in.

        One that is there is emptied.
        """
        ...

    def open(self, name: str, *, append: bool = False) -> File:
        """Open a file that exists."""
        ...

    def read(self, name: str) -> bytes:
        """The whole contents of a file."""
        ...

    def publish(self, name: str, data: bytes) -> None:
        """Make `name` hold exactly `data`, on the medium, or leave what was there."""
        ...

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        ...

    def link(self, path: str, name: str) -> bool:
        """Make `name` another name of a file elsewhere; False where that cannot be.

        Args:
            path: as the file system it is in describes it.
            name: of a file that is not there yet, in a directory that is.
        """
        ...

    def prune_dirs(self, name: str) -> None:
        """Remove a directory and those above it as long as they are empty."""
        ...

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        ...

    def names(self, directory: str) -> list[str]:
        """Names of the entries of a directory, sorted; none if it is not there."""
        ...

    def walk(self, directory: str) -> Iterator[str]:
        """Names of all files below a directory, relative to the root."""
        ...

    def sync_files(self, names: Sequence[str]) -> None:
        """Return once these closed files and their directory entries are on the medium."""
        ...

    def sync_dir(self, name: str) -> None:
        """Return once the entries of a directory are on the medium."""
        ...

    def lock(self, name: str, holder: dict[str, Any]) -> Lock:
        """Take the writer's lock, or raise LockedError naming who has it."""
        ...


class Lock(Protocol):
    """A lock that vanishes with its process."""

    def note(self, holder: dict[str, Any]) -> None:
        """Change what others are told about the holder."""
        ...

    def release(self) -> None:
        """Let others have it."""
        ...


class _Refused:
    """What the system refuses in a `with` block is raised as `StorageError`.

    A class, because a generator would take as long as a short read does.
    """

    __slots__ = ("_action", "_path")

    def __init__(self, action: str, path: str) -> None:
        self._action = action
        self._path = path

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: object, trace: object) -> None:
        if isinstance(error, OSError):
            raise storage_error(self._action, self._path, error) from None


def storage_error(action: str, path: str, error: OSError) -> StorageError:
    """The error for an operation that the system refused, with what to do about it."""
    advice = {
        errno.ENOSPC: "free some space and write again",
        errno.EDQUOT: "free some space and write again",
        errno.EROFS: "the file system is read-only; open the store with read_only=True",
        errno.EACCES: "check the owner and the permissions of the directory",
        errno.EPERM: "check the owner and the permissions of the directory",
        errno.EMFILE: "raise the limit of open files (ulimit -n)",
        errno.ENFILE: "the machine has no file handles left; close other programs",
        errno.ENOENT: "the file is gone; do not change files of the data directory by hand",
        errno.EIO: "the disk reported an error; check it before trusting this directory",
    }.get(error.errno or 0, "see the system's log")
    refusal = StorageError(f"cannot {action} {path}: {error.strerror or error}; {advice}")
    refusal.errno = error.errno
    return refusal


class OsFile:
    """A file of the operating system."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path
        self._sync_failed = False

    def append(self, parts: Sequence[Buffer]) -> None:
        """Write the parts one after the other at the end, all of them or raise."""
        with _Refused("write", self._path):
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
        with _Refused("read", self._path):
            return os.pread(self._fd, length, offset)

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset`; returns the number of bytes there were."""
        with _Refused("read", self._path):
            done = 0
            while done < len(buffer):
                count = os.preadv(self._fd, [buffer[done:]], offset + done)
                if count == 0:
                    break
                done += count
            return done

    def size(self) -> int:
        """Length in bytes."""
        with _Refused("look at", self._path):
            return os.fstat(self._fd).st_size

    def sync(self) -> None:
        """Return once the contents and the length are on the medium."""
        with _Refused("sync", self._path):
            if self._sync_failed:
                raise OSError(errno.EIO, "an earlier sync of this file failed")
            try:
                os.fdatasync(self._fd)
            except OSError:
                self._sync_failed = True
                raise

    def truncate(self, length: int) -> None:
        """Cut the file to `length` bytes."""
        with _Refused("truncate", self._path):
            os.ftruncate(self._fd, length)

    def close(self) -> None:
        """Release the file; does not sync."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with _Refused("close", self._path):
                os.close(fd)


class OsFileSystem:
    """A real directory. Files are private to the owner; links are not followed."""

    def __init__(self, root: str | os.PathLike[str]) -> None:
        self.root = os.path.abspath(root)
        # One thread removes the last file of a directory, and the directory with it, while another
        # is about to create a file there.
        self._tree = threading.Lock()

    def describe(self, name: str) -> str:
        """The full path, for messages."""
        return f"{self.root}/{name}"

    def make_dir(self, name: str) -> None:
        """Create a directory and the ones above it; nothing happens if it is there."""
        path = self.describe(name)
        if os.path.isdir(path):
            return
        with _Refused("create directory", path):
            os.makedirs(path, mode=0o700, exist_ok=True)
        if not name:  # the entry of the root itself; the others are synced with their files
            _sync_dir(os.path.dirname(path))

    def create(self, name: str) -> OsFile:
        """Create an empty file, and the directories it lies in; one that is there is emptied."""
        with self._tree:
            self.make_dir(os.path.dirname(name))
            return self._open(name, os.O_RDWR | os.O_CREAT | os.O_TRUNC | os.O_APPEND, "create")

    def open(self, name: str, *, append: bool = False) -> OsFile:
        """Open a file that exists."""
        return self._open(name, os.O_RDWR | os.O_APPEND if append else os.O_RDONLY, "open")

    def _open(self, name: str, flags: int, action: str) -> OsFile:
        path = self.describe(name)
        with _Refused(action, path):
            return OsFile(os.open(path, flags | os.O_CLOEXEC | os.O_NOFOLLOW, 0o600), path)

    def read(self, name: str) -> bytes:
        """The whole contents of a file."""
        file = self.open(name)
        try:
            return file.pread(0, file.size())
        finally:
            file.close()

    def publish(self, name: str, data: bytes) -> None:
        """Make `name` hold exactly `data`, on the medium, or leave what was there."""
        temporary = name + ".tmp"
        file = self.create(temporary)
        try:
            file.append([data])
            file.sync()
        except BaseException:
            file.close()
            with contextlib.suppress(StorageError):
                self.remove(temporary)
            raise
        file.close()
        path = self.describe(name)
        with _Refused("rename", path):
            os.replace(self.describe(temporary), path)
        _sync_dir(os.path.dirname(path))

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        path = self.describe(name)
        with _Refused("remove", path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def link(self, path: str, name: str) -> bool:
        """Make `name` another name of a file elsewhere; False where that cannot be."""
        with _Refused("link", path):
            try:
                os.link(path, self.describe(name), follow_symlinks=False)
            except OSError as error:
                if error.errno not in _NO_LINKS:
                    raise
                return False
        return True

    def prune_dirs(self, name: str) -> None:
        """Remove a directory and those above it as long as they are empty."""
        with self._tree:
            while name:
                try:
                    os.rmdir(self.describe(name))
                except OSError:
                    return
                name = os.path.dirname(name)

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        return os.path.lexists(f"{self.root}/{name}")

    def names(self, directory: str) -> list[str]:
        """Names of the entries of a directory, sorted; none if it is not there."""
        path = self.describe(directory)
        with _Refused("list", path):
            try:
                return sorted(os.listdir(path))
            except FileNotFoundError:
                return []

    def walk(self, directory: str) -> Iterator[str]:
        """Names of all files below a directory, relative to the root."""
        for folder, _, files in os.walk(self.describe(directory)):
            for file in sorted(files):
                yield os.path.relpath(f"{folder}/{file}", self.root)

    def sync_files(self, names: Sequence[str]) -> None:
        """Return once these closed files and their directory entries are on the medium."""
        if len(names) > _SYNC_SINGLY_MAX and self._sync_file_system():
            return
        for name in names:
            file = self._open(name, os.O_RDWR, "open")
            try:
                file.sync()
            finally:
                file.close()
        folders = {folder for name in names for folder in _folders(name)}
        for folder in sorted(folders, key=len, reverse=True):
            self.sync_dir(folder)

    def _sync_file_system(self) -> bool:
        """Write back the whole file system at once; False where that does not exist."""
        import ctypes  # only large flushes need it, and it is slow to import

        syncfs = getattr(ctypes.CDLL(None, use_errno=True), "syncfs", None)
        if syncfs is None:
            return False
        with _Refused("sync", self.root):
            fd = os.open(self.root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
            try:
                if syncfs(fd) != 0:
                    code = ctypes.get_errno()
                    raise OSError(code, os.strerror(code))
            finally:
                os.close(fd)
        return True

    def sync_dir(self, name: str) -> None:
        """Return once the entries of a directory are on the medium."""
        _sync_dir(self.describe(name))

    def lock(self, name: str, holder: dict[str, Any]) -> OsLock:
        """Take the writer's lock, or raise LockedError naming who has it."""
        path = self.describe(name)
        while True:
            with _Refused("open", path):
                flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
                fd = os.open(path, flags, 0o600)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except OSError as error:
                try:
                    if error.errno != errno.EWOULDBLOCK:
                        raise storage_error("lock", path, error) from None
                    raise _locked(self.root, os.pread(fd, 65536, 0)) from None
                finally:
                    os.close(fd)
            if _is_same_file(fd, path):
                lock = OsLock(fd, path)
                lock.note(holder)
                return lock
            os.close(fd)  # the name was deleted or replaced between open and lock


class OsLock:
    """`flock` on a file; the kernel drops it when the process ends, however it ends."""

    def __init__(self, fd: int, path: str) -> None:
        self._fd = fd
        self._path = path

    def note(self, holder: dict[str, Any]) -> None:
        """Change what others are told about the holder. Not synced: a crash also ends the lock."""
        import json

        text = json.dumps(holder).encode() + b"\n"
        with _Refused("write", self._path):
            os.ftruncate(self._fd, 0)
            os.pwrite(self._fd, text, 0)

    def release(self) -> None:
        """Let others have it."""
        if self._fd >= 0:
            fd, self._fd = self._fd, -1
            with contextlib.suppress(OSError):
                os.ftruncate(fd, 0)
                fcntl.flock(fd, fcntl.LOCK_UN)  # a forked child may hold a copy of it
            os.close(fd)


def _sync_dir(path: str) -> None:
    with _Refused("sync directory", path):
        fd = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)


def _folders(name: str) -> Iterator[str]:
    """The directories above a file, the root (as an empty name) included."""
    while name:
        name = os.path.dirname(name)
        yield name


def _is_same_file(fd: int, path: str) -> bool:
    try:
        named = os.stat(path, follow_symlinks=False)
    except FileNotFoundError:
        return False
    opened = os.fstat(fd)
    return (opened.st_dev, opened.st_ino) == (named.st_dev, named.st_ino)


def _locked(root: str, note: bytes) -> LockedError:
    import json

    try:
        holder = json.loads(note or b"{}")
    except ValueError:
        holder = {}
    pid = holder.get("pid")
    endpoint = holder.get("endpoint")
    who = f"process {pid} ({holder.get('command')})" if pid else "another process"
    advice = f"connect to {endpoint}" if endpoint else "stop it"
    error = LockedError(
        f"{root} is being written by {who}; {advice}, or open the directory with read_only=True"
    )
    error.pid = pid
    error.endpoint = endpoint
    return error
