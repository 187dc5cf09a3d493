"""What is left of a directory that may be damaged: its manifest, its log, its segments.

Nothing is changed here. What cannot be read is noted in the report of the repair.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import CorruptionError, StorageError
from tsstore.format.commit import Commit, decode_commit
from tsstore.format.manifest import Manifest, decode_manifest
from tsstore.format.record import RecordError, decode_record
from tsstore.storage.bitflip import mended
from tsstore.storage.deepcheck import check_entry, check_rows
from tsstore.storage.filenames import BUCKETS_DIR, manifest_name, segment_number, wal_name
from tsstore.storage.logscan import commits_of, scan_file
from tsstore.storage.manifest import load_manifest, manifest_numbers
from tsstore.storage.places import Place
from tsstore.storage.rebuild import rebuild_manifest
from tsstore.storage.repairreport import MAY_BE_BACK
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.storage.wal import wal_numbers

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.storage.logscan import Stretch
    from tsstore.storage.repairreport import RepairReport
    from tsstore.vfs import FileSystem

_CACHE_BYTES = 64 << 20


class Remains:
    """What can be read of a directory.

    Attributes:
        manifest: the one there is, or one that was made again.
        state: what the manifest says, and after `replay` what the log says.
        damaged: files that are damaged.
        outdated: files that stop to count when a new manifest is published.
    """

    def __init__(self, fs: FileSystem, report: RepairReport) -> None:
        self._fs = fs
        self._report = report
        self.damaged: list[str] = []
        self.outdated: list[str] = []
        self.manifest = self._base()
        self._cache = SegmentCache(
            fs, self.manifest.store_id, bytes_max=_CACHE_BYTES, files_max=_CACHE_BYTES >> 20
        )
        self.state = State(self.manifest, self._cache)

    def close(self) -> None:
        """Close the files."""
        self._cache.close()

    def _base(self) -> Manifest:
        """The manifest, made again if it has to be."""
        names = [manifest_name(number) for number in manifest_numbers(self._fs)]
        try:
            manifest = load_manifest(self._fs)
        except CorruptionError as error:
            self._report.notes.append(str(error.path) + f" is damaged: {error.what}")
            manifest = None
        if manifest is not None:
            self.outdated += names
            return manifest
        self.damaged += names or [manifest_name(1)]
        mended_manifest = self._mended_manifest()
        if mended_manifest is not None:
            self._report.notes.append("it had one wrong bit, which was put right")
            return mended_manifest
        rebuilt = rebuild_manifest(self._fs)
        self._report.notes.append("the manifest was made again from the segments and the log")
        self._report.notes += rebuilt.notes
        return rebuilt.manifest

    def _mended_manifest(self) -> Manifest | None:
        numbers = manifest_numbers(self._fs)
        if not numbers:
            return None
        whole = mended(self._fs.read(manifest_name(numbers[-1])))
        try:
            manifest = decode_manifest(decode_record(whole or b""))
        except RecordError:
            return None
        return manifest if manifest.number == numbers[-1] else None

    def replay(self) -> None:
        """Apply every commit of the log that can be read, and note what cannot."""
        manifest = self.manifest
        numbers = [n for n in wal_numbers(self._fs) if n >= manifest.first_wal]
        log: list[Stretch] = []
        for number in numbers:
            of_file = list(scan_file(self._fs, manifest.store_id, number))
            self._note_unreadable(of_file)
            log += of_file
        for number in set(range(manifest.first_wal, manifest.last_wal + 1)) - set(numbers):
            self._log_damage(number, f"{self._path(wal_name(number))} is gone; {MAY_BE_BACK}")
        self.outdated += [wal_name(number) for number in wal_numbers(self._fs)]
        for number, length in manifest.sealed:
            if sum(s.length for s in log if s.number == number) != length:
                self._log_damage(number, f"{self._path(wal_name(number))} was cut; {MAY_BE_BACK}")
        expected = manifest.checkpoint + 1
        for sequence, record in commits_of(log).items():
            if sequence <= manifest.checkpoint:
                continue
            if sequence > expected:
                self._note_missing(expected, sequence - 1)
            self._apply(sequence, decode_commit(record))
            expected = sequence + 1

    def _note_unreadable(self, stretches: list[Stretch]) -> None:
        for place, stretch in enumerate(stretches):
            number, offset, length, record, is_mended = stretch
            path = self._path(wal_name(number))
            if is_mended:
                self._log_damage(number, f"{path} had one wrong bit in the record at byte {offset}")
            if record is not None:
                continue
            if place == len(stretches) - 1 and number not in dict(self.manifest.sealed):
                self._report.notes.append(
                    f"{path} ends with {length} bytes from {offset} on that are no whole commit: "
                    "writes that were never acknowledged, or the last ones, damaged"
                )
            else:
                self._log_damage(number, f"{path} has {length} unreadable bytes from {offset} on")

    def _log_damage(self, number: int, note: str) -> None:
        self._report.notes.append(note)
        self.damaged.append(wal_name(number))

    def _note_missing(self, first: int, last: int) -> None:
        commits = f"commit {first}" if first == last else f"commits {first} to {last}"
        self._report.notes.append(f"{commits} cannot be read; {MAY_BE_BACK}")
        self.damaged += [] if self.damaged else [wal_name(self.manifest.first_wal)]

    def _apply(self, sequence: int, commit: Commit) -> None:
        """Apply a commit, without what needs another one that is lost."""
        catalog = self.state.catalog
        schemas = catalog.schemas.keys() | commit.schemas.keys()
        created = [one for one in commit.created if one[2] in schemas]
        known = catalog.keys_by_id().keys() | {number for number, _, _ in created}
        sections = [s for s in commit.sections if s.schema_id in schemas]
        lost = sum(len(s.ts) for s in commit.sections if s.schema_id not in schemas)
        for section in sections:
            unknown = ~np.isin(section.ids, np.array(sorted(known), np.uint32))
            lost += int(np.diff(section.starts)[unknown].sum())
        if lost:
            self._report.lost.append(_nameless(lost, commit))
        loaded = np.isin(commit.segments["schema"], np.array(sorted(schemas), np.uint32))
        names = zip(commit.segment_names, loaded.tolist(), strict=True)
        readable = replace(
            commit,
            created=created,
            segments=commit.segments[loaded],
            segment_names=[name for name, stays in names if stays],
            altered=[one for one in commit.altered if one[1] in schemas],
            deletes=[one for one in commit.deletes if one[0] in known],
            sections=sections,
        )
        self.state.apply(readable, sequence)

    def damaged_segments(self) -> Iterator[int]:
        """Rows of the segment table whose file is damaged."""
        segments, catalog = self.state.view.segments, self.state.catalog
        for row in range(len(segments.table)):
            try:
                reader = segments.open_reader(row)
            except (CorruptionError, StorageError):
                yield row
                continue
            try:
                sound = (
                    not any(True for _ in reader.verify())
                    and not any(
                        True
                        for _ in check_entry(segments.table[row], reader.footer, catalog.schemas)
                    )
                    and not any(True for _ in check_rows(reader, catalog.keys_by_id()))
                )
            except CorruptionError:
                sound = False
            finally:
                reader.drop_rows()
                reader.close_file()
            if not sound:
                yield row

    def unlisted_segments(self) -> list[str]:
        """Segment files that nothing names: of writes that failed, or of commits that are lost."""
        segments = self.state.view.segments
        files = [name for name in self._fs.walk(BUCKETS_DIR) if segment_number(name) is not None]
        unlisted = [name for name in files if name not in segments.files]
        self._report.notes += [
            f"{self._path(name)} belongs to no commit that can be read" for name in unlisted
        ]
        return unlisted

    def _path(self, name: str) -> str:
        return self._fs.describe(name)


def _nameless(rows: int, commit: Commit) -> Place:
    """Rows of buckets that nothing names any more."""
    times = np.concatenate([section.ts for section in commit.sections])
    return Place((), rows, int(times.min()), int(times.max()))
