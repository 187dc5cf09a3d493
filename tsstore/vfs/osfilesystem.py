"""A directory of the operating system."""

from __future__ import annotations

import contextlib
import errno
import os
import threading
from typing import TYPE_CHECKING, Any

from tsstore.errors import StorageError
from tsstore.vfs.osfile import OsFile
from tsstore.vfs.oslock import take_lock
from tsstore.vfs.ossync import sync_dir, sync_file_system
from tsstore.vfs.refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsstore.vfs.oslock import OsLock

# Up to so many files, syncing each costs less than making the kernel write back everything.
_SYNC_SINGLY_MAX = 16
# Another disk, no such links there, or too many of them.
_NO_LINKS = (errno.EXDEV, errno.EPERM, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK)


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
        with Refused("create directory", path):
            os.makedirs(path, mode=0o700, exist_ok=True)
        if not name:  # the entry of the root itself; the others are synced with their files
            sync_dir(os.path.dirname(path))

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
        with Refused(action, path):
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
        with Refused("rename", path):
            os.replace(self.describe(temporary), path)
        sync_dir(os.path.dirname(path))

    def remove(self, name: str) -> None:
        """Delete a file; nothing happens if it is not there."""
        path = self.describe(name)
        with Refused("remove", path), contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    def link(self, path: str, name: str) -> bool:
        """Make `name` another name of a file elsewhere; False where that cannot be."""
        with Refused("link", path):
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
        with Refused("list", path):
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
        if len(names) > _SYNC_SINGLY_MAX and sync_file_system(self.root):
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

    def sync_dir(self, name: str) -> None:
        """Return once the entries of a directory are on the medium."""
        sync_dir(self.describe(name))

    def lock(self, name: str, holder: dict[str, Any]) -> OsLock:
        """Take the writer's lock, or raise LockedError naming who has it."""
        return take_lock(self.root, self.describe(name), holder)


def _folders(name: str) -> Iterator[str]:
    """The directories above a file, the root (as an empty name) included."""
    while name:
        name = os.path.dirname(name)
        yield name
