"""What calls that look after a store report."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class BucketStats:
    """How a bucket is stored.

    Attributes:
        key: its name.
        rows: rows in segments and in memory; replaced ones not yet compacted count twice.
        bytes: of the files, its part of those that it shares with other buckets.
        segments: files that hold rows of it.
        blocks: blocks of a column each that hold rows of it.
        generations: files by how often their rows were compacted; 0 is flushed or loaded.
        encodings: for each column, blocks by the name of their encoding; the time is `Epoch`.
        memory_rows: rows that are in the log and not in a segment yet.
        memory_bytes: of these rows.
        deleted_ranges: ranges that are left out of segments until they are compacted.
    """

    key: str
    rows: int
    bytes: int
    segments: int
    blocks: int
    generations: dict[int, int]
    encodings: dict[str, dict[str, int]]
    memory_rows: int
    memory_bytes: int
    deleted_ranges: int

    @property
    def bytes_per_row(self) -> float:
        """Bytes in files for each row in files; 0 where there is none."""
        rows = self.rows - self.memory_rows
        return self.bytes / rows if rows else 0.0


@dataclass(frozen=True)
class CompactionReport:
    """What a compaction did.

    Attributes:
        segments_before: live segments at its beginning.
        segments_after: live segments at its end.
        bytes_before: of these files.
        bytes_after: of these files.
    """

    segments_before: int = 0
    segments_after: int = 0
    bytes_before: int = 0
    bytes_after: int = 0


@dataclass(frozen=True)
class BackupReport:
    """What a backup holds, and what making it took.

    Attributes:
        path: where it is.
        sequence: number of the newest commit in it.
        segments: files with rows in it.
        bytes: of these files.
        rows: rows in it; replaced ones not yet compacted count twice.
        kept: files that an older backup in this place had already.
        linked: files that are another name of the store's own, on the same disk.
        copied: files that were copied.
        copied_bytes: of the files that were copied, with what was in the log alone.
        problems: what a check of the backup found; empty when every byte is right.
    """

    path: str
    sequence: int = 0
    segments: int = 0
    bytes: int = 0
    rows: int = 0
    kept: int = 0
    linked: int = 0
    copied: int = 0
    copied_bytes: int = 0
    problems: tuple[str, ...] = ()
