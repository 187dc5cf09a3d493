"""What can be set of a store; none of it changes the meaning of a byte on disk."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from typing import Literal

from tsstore.errors import InvalidArgumentError, StorageError
from tsstore.shown import shown
from tsstore.vfs import OsFileSystem

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Durability and memory of an open store.

    Attributes:
        wal_sync: when a write returns. `always`: its rows are on the medium. `interval`: they
            survive the process, and a power cut after `wal_sync_interval_s`. `off`: they survive
            the process; the system decides when they reach the medium.
        wal_sync_interval_s: see `wal_sync`.
        memtable_bytes: rows kept in memory before they are flushed to segments; by default a 128th
            of the memory this process may use, 64 MiB at most.
        cache_bytes: decoded blocks of segments kept in memory; by default an eighth, 2 GiB at most.
        files_max: segment files kept open.
        compaction_bytes_per_s: how fast rows are merged into packed segments in the background,
            in bytes of unpacked rows; 0 leaves it to `Store.compact`.
        bulk_bytes_min: bulk loads of fewer bytes go through the log, which costs less than files of
            their own.
    """

    wal_sync: Literal["always", "interval", "off"] = "always"
    wal_sync_interval_s: float = 1.0
    memtable_bytes: int = field(default_factory=lambda: _part_of_memory(128, 64 * MIB))
    cache_bytes: int = field(default_factory=lambda: _part_of_memory(8, 2048 * MIB))
    files_max: int = 256
    compaction_bytes_per_s: int = 64 * MIB
    bulk_bytes_min: int = 256 << 10

    def __post_init__(self) -> None:
        if self.wal_sync not in ("always", "interval", "off"):
            raise InvalidArgumentError(
                f"wal_sync is {shown(self.wal_sync)}; write always, interval or off"
            )
        for name in ("wal_sync_interval_s", "memtable_bytes", "cache_bytes", "files_max"):
            if not getattr(self, name) > 0:
                raise InvalidArgumentError(
                    f"{name} is {shown(getattr(self, name))}; it must be above 0"
                )
        for name in ("compaction_bytes_per_s", "bulk_bytes_min"):
            if not getattr(self, name) >= 0:
                raise InvalidArgumentError(
                    f"{name} is {shown(getattr(self, name))}; 0 is the least"
                )


def _part_of_memory(part: int, most: int) -> int:
    return max(8 * MIB, min(most, memory_bytes() // part))


@cache
def memory_bytes() -> int:
    """Memory this process may use: what the machine has, or its control group allows."""
    bytes_max = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        file = OsFileSystem("/sys/fs/cgroup").open("memory.max")
        try:
            return min(bytes_max, int(file.pread(0, 32)))
        finally:
            file.close()
    except (StorageError, ValueError):  # not there, or `max`
        return bytes_max
