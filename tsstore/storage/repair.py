"""Mending a damaged directory with what can still be read. Nothing is ever thrown away.

Every file that is damaged, and every file that stops to count, is first put aside under another
name (`damaged-…/`, as a link where that is possible). Rows that can be read from damaged segments
and from the log are written to new segments; then a new manifest is published in one step. A crash
at any moment leaves the directory as it was, or mended.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from tsstore.errors import NotFoundError
from tsstore.storage.aside import put_aside
from tsstore.storage.check import check_directory
from tsstore.storage.filenames import BUCKETS_DIR, LOCK, manifest_name
from tsstore.storage.manifest import manifest_numbers, publish_manifest
from tsstore.storage.mending import Mending
from tsstore.storage.remains import Remains
from tsstore.storage.repairreport import RepairReport
from tsstore.storage.wal import wal_numbers

if TYPE_CHECKING:
    from tsstore.storage.segments import SegmentSet
    from tsstore.vfs import FileSystem


def repair_directory(fs: FileSystem, *, dry_run: bool = False) -> RepairReport:
    """Mend a directory that nobody has open.

    Args:
        fs: the directory.
        dry_run: only say what would be done.

    Raises:
        LockedError: a writer or a server has it open.
        NotFoundError: there is no store.
        FormatVersionError: written by a newer version; nothing was changed.
        StorageError: the disk refused; the directory is as it was.
    """
    if not (manifest_numbers(fs) or wal_numbers(fs) or fs.names(BUCKETS_DIR)):
        raise NotFoundError(f"{fs.describe('')} holds no store; check the path")
    lock = fs.lock(LOCK, {"command": "repair"})
    try:
        return _Repair(fs, dry_run=dry_run).run()
    finally:
        lock.release()


class _Repair:
    def __init__(self, fs: FileSystem, *, dry_run: bool) -> None:
        self._fs = fs
        self._dry_run = dry_run
        self._report = RepairReport()
        self._remains = Remains(fs, self._report)
        self._mending = Mending(fs, self._remains, self._report)

    def run(self) -> RepairReport:
        """Find out what is damaged, save what can be saved, and make it valid."""
        try:
            self._remains.replay()
            found = list(self._remains.damaged_segments())
            if not (self._remains.damaged or found) and check_directory(self._fs, deep=True).ok:
                return self._report
            self._report.files = self._files(found)
            if self._dry_run:
                self._mending.look(found)
                return self._report
            self._report.aside = put_aside(self._fs, self._report.files)
            self._publish(self._mending.run(found))
            self._remove()
        finally:
            self._remains.close()
        return self._report

    def _files(self, found: list[int]) -> list[str]:
        """Every file that is damaged or stops to count."""
        names = self._remains.state.view.segments.names
        damaged = [*self._remains.damaged, *(names[row] for row in found)]
        outdated = [*self._remains.outdated, *self._remains.unlisted_segments()]
        return [name for name in dict.fromkeys(damaged + outdated) if self._fs.exists(name)]

    def _publish(self, segments: SegmentSet) -> None:
        described, _ = self._remains.state.describe(self._remains.manifest)
        sequence = self._remains.state.view.sequence
        wal = max([self._remains.manifest.last_wal, *wal_numbers(self._fs)], default=0)
        manifest = replace(
            described,
            number=max([self._remains.manifest.number, *manifest_numbers(self._fs)]) + 1,
            checkpoint=sequence,
            catalog_sequence=sequence,
            first_wal=wal + 1,
            last_wal=0,
            sealed=(),
            next_segment=self._mending.next_segment,
            segments=segments.table,
            segment_names=segments.names,
            deletes=segments.deletes,
        )
        publish_manifest(self._fs, manifest)
        self._report.manifest = manifest_name(manifest.number)

    def _remove(self) -> None:
        for name in self._report.files:
            self._fs.remove(name)
            if name.startswith(BUCKETS_DIR):
                self._fs.prune_dirs(name.rpartition("/")[0])
