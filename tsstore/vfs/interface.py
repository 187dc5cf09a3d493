"""What the store asks of a file system: plain classes of a directory, a file, a lock."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

Buffer = bytes | bytearray | memoryview


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

    def begin_sync(self) -> None:
        """Have what was written brought to the medium, so that `sync` has less to wait for."""
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
