"""What can be set of a store; none of it changes the meaning of a byte on disk."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from tsstore.errors import InvalidArgumentError

MIB = 1 << 20


@dataclass(frozen=True)
class Settings:
    """Durability and memory of an open store.

    Attributes:
        wal_sync: when a write returns. `always`: its rows are on the medium. `interval`: they
            survive the process, and a power cut after `wal_sync_interval_s`. `off`: they survive
            the process; the system decides when they reach the medium.
        wal_sync_interval_s: see `wal_sync`.
        memtable_bytes: rows kept in memory before they are flushed to segments.
        cache_bytes: decoded blocks of segments kept in memory.
        files_max: segment files kept open.
        compaction_bytes_per_s: how fast rows are merged into packed segments in the background,
            in bytes of unpacked rows; 0 leaves it to `Store.compact`.
    """

    wal_sync: Literal["always", "interval", "off"] = "always"
    wal_sync_interval_s: float = 1.0
    memtable_bytes: int = 64 * MIB
    cache_bytes: int = 512 * MIB
    files_max: int = 256
    compaction_bytes_per_s: int = 64 * MIB

    def __post_init__(self) -> None:
        if self.wal_sync not in ("always", "interval", "off"):
            raise InvalidArgumentError(
                f"wal_sync is {self.wal_sync!r}; write always, interval or off"
            )
        for name in ("wal_sync_interval_s", "memtable_bytes", "cache_bytes", "files_max"):
            if not getattr(self, name) > 0:
                raise InvalidArgumentError(f"{name} is {getattr(self, name)!r}; it must be above 0")
        if not self.compaction_bytes_per_s >= 0:
            raise InvalidArgumentError(
                f"compaction_bytes_per_s is {self.compaction_bytes_per_s!r}; 0 switches it off"
            )
