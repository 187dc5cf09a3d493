"""A file system in memory that can lose power, tear writes and refuse operations.

For every file and directory entry it knows what a program sees (*live*) and what the medium holds
(*durable*). `survivors` is what a machine finds after the power came back: everything durable,
and of the rest any part that a real file system might have written back on its own.

Usage:

    fs = FaultFileSystem()
    fs.cut_power_at(17)                     # the 17th change fails, and everything after it
    with contextlib.suppress(PowerCut):
        workload(Store("x", fs=fs))
    Store("x", fs=fs.survivors(random.Random(1)))
"""

from __future__ import annotations

import errno
import os
import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tsstore.errors import LockedError, StorageError
from tsstore.vfs import storage_error

if TYPE_CHECKING:
    import random
    from collections.abc import Callable, Iterator, Sequence

    from tsstore.vfs import Buffer


class PowerCut(Exception):  # noqa: N818  an event, not a mistake
    """The power is off; nothing works any more."""


@dataclass
class _Node:
    """A file: what is read now, and what the medium holds."""

    live: bytearray = field(default_factory=bytearray)
    durable: bytes = b""
    sync_failed: bool = False


class FaultFileSystem:
    """A `tsstore.vfs.FileSystem` in memory.

    Attributes:
        changes: how many changes (writes, syncs, renames ...) were asked for.
        log: kind and name of each, in order.
    """

    def __init__(self) -> None:
        self.changes = 0
        self.log: list[tuple[str, str]] = []
        self._live: dict[str, _Node] = {}
        self._durable: dict[str, _Node] = {}
        self._cut_at: int | None = None
        self._torn_bytes = 0
        self._refusals: dict[int, int] = {}
        self._refuse: Callable[[str, str], int | None] = lambda _kind, _name: None
        self._locked = False
        self._guard = threading.RLock()

    # What can go wrong

    def cut_power_at(self, change: int, *, torn_bytes: int = 0) -> None:
        """Fail change number `change` (from 0) and everything after it with PowerCut.

        If it is a write, its first `torn_bytes` bytes still reach the file.
        """
        self._cut_at = change
        self._torn_bytes = torn_bytes

    def refuse_at(self, change: int, code: int) -> None:
        """Refuse change number `change` (from 0) with this errno, once."""
        self._refusals[change] = code

    def refuse_when(self, refuse: Callable[[str, str], int | None]) -> None:
        """Refuse each operation for which this returns an errno; it gets kind and name.

        It is asked about every change before it happens, and about each `open` and `read`. It may
        also do something of its own in that moment, such as let another thread go first.
        """
        self._refuse = refuse

    def survivors(
        self, rng: random.Random | None = None, *, all_live: bool = False
    ) -> FaultFileSystem:
        """What is left after a power cut.

        Args:
            rng: decides what of the unsynced rest survives; without it nothing does.
            all_live: everything survives, as when only the process dies.
        """
        left = FaultFileSystem()
        with self._guard:
            for name in sorted(self._live.keys() | self._durable.keys()):
                live, durable = self._live.get(name), self._durable.get(name)
                keeps_live = all_live or (rng is not None and rng.random() < 0.5)
                node = live if keeps_live else durable
                if node is not None:
                    content = bytes(node.live) if all_live else _survivor(node, rng)
                    copy = _Node(bytearray(content), content)
                    left._live[name] = left._durable[name] = copy
        return left

    def killed(self) -> FaultFileSystem:
        """The same machine after the process was killed: nothing is lost, nothing more synced."""
        left = FaultFileSystem()
        copies: dict[int, _Node] = {}
        with self._guard:
            for here, there in ((self._live, left._live), (self._durable, left._durable)):
                for name, node in here.items():
                    copy = _Node(bytearray(node.live), node.durable, node.sync_failed)
                    there[name] = copies.setdefault(id(node), copy)
        return left

    def damage(self, name: str, data: bytes) -> None:
        """Put other bytes in the place of a file's, as a broken disk does."""
        self._live[name] = self._durable[name] = _Node(bytearray(data), data)

    def files(self) -> dict[str, bytes]:
        """Live contents by name."""
        with self._guard:
            return {name: bytes(node.live) for name, node in sorted(self._live.items())}

    def _change(self, kind: str, name: str) -> None:
        """Count a change and let it fail if it is its turn."""
        with self._guard:
            number = self.changes
            self.changes += 1
            self.log.append((kind, name))
            if self._cut_at is not None and number >= self._cut_at:
                raise PowerCut(f"at change {number}: {kind} {name}")
            code = self._refusals.pop(number, None)
        self._ask(kind, name, code)

    def _ask(self, kind: str, name: str, code: int | None = None) -> None:
        """Refuse an operation if someone wants it refused."""
        code = code or self._refuse(kind, name)
        if code is not None:
            raise storage_error(kind, name, OSError(code, os.strerror(code)))

    def _check_power(self) -> None:
        if self._cut_at is not None and self.changes > self._cut_at:
            raise PowerCut("the power is off")

    # tsstore.vfs.FileSystem

    def describe(self, name: str) -> str:
        """The name itself."""
        return name

    def make_dir(self, name: str) -> None:
        """Directories exist as soon as a file is in them."""

    def create(self, name: str) -> FaultFile:
        """Create an empty file; the entry is durable once the directory is synced."""
        self._change("create", name)
        node = _Node()
        with self._guard:
            self._live[name] = node
        return FaultFile(self, name, node)

    def open(self, name: str, *, append: bool = False) -> FaultFile:  # noqa: ARG002
        """Open a file that exists."""
        self._check_power()
        node = self._live.get(name)
        if node is None:
            raise storage_error("open", name, OSError(errno.ENOENT, os.strerror(errno.ENOENT)))
        self._ask("open", name)
        return FaultFile(self, name, node)

    def read(self, name: str) -> bytes:
        """The whole contents of a file."""
        file = self.open(name)
        return file.pread(0, file.size())

    def publish(self, name: str, data: bytes) -> None:
        """Write a temporary file, sync it, rename it, sync the directory."""
        temporary = name + ".tmp"
        file = self.create(temporary)
        try:
            file.append([data])
            file.sync()
        except StorageError:
            with self._guard:
                self._live.pop(temporary, None)
            raise
        self._change("rename", name)
        with self._guard:
            self._live[name] = self._live.pop(temporary)
        self._sync_entries([name, temporary])

    def remove(self, name: str) -> None:
        """Delete a file; durable once the directory is synced."""
        if name in self._live:
            self._change("remove", name)
            with self._guard:
                del self._live[name]

    def link(self, path: str, name: str) -> bool:  # noqa: ARG002
        """No file of one machine is one of another."""
        return False

    def prune_dirs(self, name: str) -> None:
        """Directories vanish with their last file."""

    def exists(self, name: str) -> bool:
        """Whether there is a file of that name."""
        self._check_power()
        return name in self._live

    def names(self, directory: str) -> list[str]:
        """Names of the entries of a directory, sorted."""
        self._check_power()
        prefix = directory + "/" if directory else ""
        below = (name[len(prefix) :] for name in list(self._live) if name.startswith(prefix))
        return sorted({name.partition("/")[0] for name in below})

    def walk(self, directory: str) -> Iterator[str]:
        """Names of all files below a directory."""
        self._check_power()
        prefix = directory + "/" if directory else ""
        return iter([name for name in sorted(self._live) if name.startswith(prefix)])

    def sync_files(self, names: Sequence[str]) -> None:
        """Make files and their entries durable."""
        for name in names:
            self.open(name).sync()
        self._sync_entries(names)

    def _sync_entries(self, names: Sequence[str]) -> None:
        for directory in sorted({name.rpartition("/")[0] for name in names}):
            self.sync_dir(directory)

    def sync_dir(self, name: str) -> None:
        """Make the entries of a directory durable."""
        self._change("sync directory", name)
        with self._guard:
            for entry in self._live.keys() | self._durable.keys():
                if entry.rpartition("/")[0] == name:
                    node = self._live.get(entry)
                    if node is None:
                        self._durable.pop(entry, None)
                    else:
                        self._durable[entry] = node

    def lock(self, name: str, holder: dict[str, Any]) -> FaultLock:  # noqa: ARG002
        """Take the lock, or raise LockedError."""
        with self._guard:
            if self._locked:
                raise LockedError(f"{name} is taken; stop the other writer")
            self._locked = True
        return FaultLock(self)


class FaultFile:
    """A file of a `FaultFileSystem`."""

    def __init__(self, fs: FaultFileSystem, name: str, node: _Node) -> None:
        self._fs = fs
        self._name = name
        self._node = node

    def append(self, parts: Sequence[Buffer]) -> None:
        """Write at the end; a refused or cut write may leave a part behind."""
        data = b"".join(bytes(part) for part in parts)
        try:
            self._fs._change("write", self._name)  # noqa: SLF001
        except PowerCut:
            if self._fs.changes - 1 == self._fs._cut_at:  # noqa: SLF001
                self._node.live += data[: self._fs._torn_bytes]  # noqa: SLF001
            raise
        except StorageError:
            self._node.live += data[: len(data) // 2]
            raise
        with self._fs._guard:  # noqa: SLF001
            self._node.live += data

    def pread(self, offset: int, length: int) -> bytes:
        """Up to `length` bytes from `offset`."""
        self._fs._check_power()  # noqa: SLF001
        self._fs._ask("read", self._name)  # noqa: SLF001
        return bytes(self._node.live[offset : offset + length])

    def pread_into(self, buffer: memoryview, offset: int) -> int:
        """Fill the buffer from `offset`."""
        data = self.pread(offset, len(buffer))
        buffer[: len(data)] = data
        return len(data)

    def size(self) -> int:
        """Length in bytes."""
        return len(self._node.live)

    def begin_sync(self) -> None:
        """Nothing is certain before the sync."""

    def sync(self) -> None:
        """Make the contents durable; after a refused sync what was not durable is lost."""
        if self._node.sync_failed:
            code = errno.EIO
            raise storage_error("sync", self._name, OSError(code, os.strerror(code)))
        try:
            self._fs._change("sync", self._name)  # noqa: SLF001
        except StorageError:
            self._node.sync_failed = True
            raise
        with self._fs._guard:  # noqa: SLF001
            self._node.durable = bytes(self._node.live)

    def truncate(self, length: int) -> None:
        """Cut the file."""
        self._fs._change("truncate", self._name)  # noqa: SLF001
        with self._fs._guard:  # noqa: SLF001
            del self._node.live[length:]

    def close(self) -> None:
        """Nothing to release."""


class FaultLock:
    """The lock of a `FaultFileSystem`."""

    def __init__(self, fs: FaultFileSystem) -> None:
        self._fs = fs

    def note(self, holder: dict[str, Any]) -> None:
        """Nobody else can read it."""

    def release(self) -> None:
        """Let others have it."""
        self._fs._locked = False  # noqa: SLF001


def _survivor(node: _Node, rng: random.Random | None) -> bytes:
    """Contents of a file after a power cut."""
    live, durable = bytes(node.live), node.durable
    if rng is None or not live.startswith(durable) or node.sync_failed:
        return durable
    fate = rng.randrange(4)
    if fate == 0:
        return durable
    if fate == 1:
        return live
    cut = rng.randint(len(durable), len(live))
    if fate == 2:
        return live[:cut]
    return live[:cut] + bytes(len(live) - cut)  # the length was written back, the data not
