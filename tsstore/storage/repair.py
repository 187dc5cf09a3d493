"""Mending a damaged directory with what can still be read. Nothing is ever thrown away.

Every file that is damaged, and every file that stops to count, is first put aside under another
name (`damaged-…/`, as a link where that is possible). Rows that can be read from damaged segments
and from the log are written to new segments; then a new manifest is published in one step. A crash
at any moment leaves the directory as it was, or mended.

A row that cannot be read may have replaced an older one, which must not come back: rows of fixed
buckets that are older than lost ones, and of the same time, are left out as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from tsstore.clock import SystemClock
from tsstore.errors import CorruptionError, NotFoundError, StorageError
from tsstore.format.commit import Commit, decode_commit
from tsstore.format.manifest import SHARED, Manifest, decode_manifest
from tsstore.format.record import RecordError, decode_record
from tsstore.storage.bitflip import mended
from tsstore.storage.check import check_directory
from tsstore.storage.chunk import without
from tsstore.storage.deepcheck import check_entry, check_rows
from tsstore.storage.filenames import (
    BUCKETS_DIR,
    LOCK,
    manifest_name,
    segment_number,
    wal_name,
)
from tsstore.storage.flush import SegmentWriter, deletes_of_former, runs_before
from tsstore.storage.logscan import commits_of, scan_file
from tsstore.storage.manifest import load_manifest, manifest_numbers, publish_manifest
from tsstore.storage.places import Place
from tsstore.storage.rebuild import rebuild_manifest
from tsstore.storage.salvage import SegmentSalvage, find_footer, stretches
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.storage.wal import wal_numbers
from tsstore.times import format_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tsstore.storage.logscan import Stretch
    from tsstore.storage.salvage import Salvage
    from tsstore.storage.segments import Run, SegmentSet
    from tsstore.vfs import FileSystem

    # Commit of a segment, a bucket, and the times of its rows that are lost, shape (ranges, 2).
    _Gone = tuple[int, int, NDArray[np.int64]]
    _Write = Callable[[SegmentWriter, SegmentSet], None]

_COPY_BYTES = 8 << 20
_CACHE_BYTES = 64 << 20
_IN_NAMES = str.maketrans({" ": "T", ":": None, "-": None})
_MAY_BE_BACK = "its rows are lost, and older ones that they replaced or deleted may be back"


@dataclass
class RepairReport:
    """What a repair found, saved and lost.

    Attributes:
        aside: directory with the files that were damaged or stopped to count; empty if none.
        files: their names.
        rows_saved: rows of damaged segments that are in new ones, and rows of the log.
        lost: rows that could not be read.
        hidden: rows that are left out because lost rows may have replaced them.
        notes: what else should be known, one line each.
    """

    aside: str = ""
    files: list[str] = field(default_factory=list)
    rows_saved: int = 0
    lost: list[Place] = field(default_factory=list)
    hidden: list[Place] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    @property
    def rows_lost(self) -> int:
        """How many rows could not be read."""
        return sum(place.rows for place in self.lost)


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
        self._damaged: list[str] = []  # files that are put aside
        self._outdated: list[str] = []  # files that stop to count, and are put aside as well
        self._manifest = self._base()
        cache = SegmentCache(
            fs, self._manifest.store_id, bytes_max=_CACHE_BYTES, files_max=_CACHE_BYTES >> 20
        )
        self._cache = cache
        self._state = State(self._manifest, cache)
        # Above all files there are: those of a repair that was cut off must not be written over.
        files = map(segment_number, fs.walk(BUCKETS_DIR))
        taken = max((number for number in files if number is not None), default=0)
        self._next_segment = max(self._manifest.next_segment, taken + 1)

    def run(self) -> RepairReport:
        """Find out what is damaged, save what can be saved, and make it valid."""
        try:
            self._replay()
            segments = self._state.view.segments
            found = list(self._damage(segments))
            if not (self._damaged or found) and check_directory(self._fs, deep=True).ok:
                return self._report
            if self._dry_run:
                self._look(segments, found)
                return self._report
            self._put_aside(found)
            self._mend(found)
        finally:
            self._cache.close()
        return self._report

    # What there is

    def _base(self) -> Manifest:
        """The manifest, made again if it has to be."""
        names = [manifest_name(number) for number in manifest_numbers(self._fs)]
        try:
            manifest = load_manifest(self._fs)
        except CorruptionError as error:
            self._report.notes.append(str(error.path) + f" is damaged: {error.what}")
            manifest = None
        if manifest is not None:
            self._outdated += names
            return manifest
        self._damaged += names or [manifest_name(1)]
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

    def _replay(self) -> None:
        """Apply every commit of the log that can be read, and note what cannot."""
        manifest = self._manifest
        numbers = [n for n in wal_numbers(self._fs) if n >= manifest.first_wal]
        log: list[Stretch] = []
        for number in numbers:
            of_file = list(scan_file(self._fs, manifest.store_id, number))
            self._note_unreadable(of_file)
            log += of_file
        for number in set(range(manifest.first_wal, manifest.last_wal + 1)) - set(numbers):
            self._log_damage(number, f"{self._path(wal_name(number))} is gone; {_MAY_BE_BACK}")
        self._outdated += [wal_name(number) for number in wal_numbers(self._fs)]
        for number, length in manifest.sealed:
            if sum(s.length for s in log if s.number == number) != length:
                self._log_damage(number, f"{self._path(wal_name(number))} was cut; {_MAY_BE_BACK}")
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
            if place == len(stretches) - 1 and number not in dict(self._manifest.sealed):
                self._report.notes.append(
                    f"{path} ends with {length} bytes from {offset} on that are no whole commit: "
                    "writes that were never acknowledged, or the last ones, damaged"
                )
            else:
                self._log_damage(number, f"{path} has {length} unreadable bytes from {offset} on")

    def _log_damage(self, number: int, note: str) -> None:
        self._report.notes.append(note)
        self._damaged.append(wal_name(number))

    def _note_missing(self, first: int, last: int) -> None:
        commits = f"commit {first}" if first == last else f"commits {first} to {last}"
        self._report.notes.append(f"{commits} cannot be read; {_MAY_BE_BACK}")
        self._damaged += [] if self._damaged else [wal_name(self._manifest.first_wal)]

    def _apply(self, sequence: int, commit: Commit) -> None:
        """Apply a commit, without what needs another one that is lost."""
        catalog = self._state.catalog
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
        self._state.apply(readable, sequence)

    def _damage(self, segments: SegmentSet) -> Iterator[int]:
        """Rows of the segment table whose file is damaged."""
        catalog = self._state.catalog
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

    # Putting aside

    def _put_aside(self, found: list[int]) -> None:
        """Give every file that is damaged or stops to count another name; nothing is removed."""
        segments = self._state.view.segments
        self._damaged += [segments.names[row] for row in found]
        self._outdated += self._unlisted(segments)
        now = format_ns(SystemClock().now_ns())[:19].translate(_IN_NAMES)
        aside = f"damaged-{now}"
        for place in range(1, 1000):
            if not self._fs.names(aside):
                break
            aside = f"damaged-{now}.{place}"
        self._report.aside = aside
        names = [n for n in dict.fromkeys([*self._damaged, *self._outdated]) if self._fs.exists(n)]
        self._report.files = names
        for name in names:
            self._keep(name, f"{aside}/{name}")
        self._fs.sync_files([f"{aside}/{name}" for name in names])

    def _unlisted(self, segments: SegmentSet) -> list[str]:
        """Segment files that nothing names: of writes that failed, or of commits that are lost."""
        files = [name for name in self._fs.walk(BUCKETS_DIR) if segment_number(name) is not None]
        unlisted = [name for name in files if name not in segments.files]
        self._report.notes += [
            f"{self._path(name)} belongs to no commit that can be read" for name in unlisted
        ]
        return unlisted

    def _keep(self, name: str, new_name: str) -> None:
        self._fs.make_dir(new_name.rpartition("/")[0])
        if self._fs.link(self._path(name), new_name):
            return
        source, copy = self._fs.open(name), self._fs.create(new_name)
        try:
            offset = 0
            while data := source.pread(offset, _COPY_BYTES):
                copy.append([data])
                offset += len(data)
        finally:
            source.close()
            copy.close()

    # Saving

    def _look(self, segments: SegmentSet, found: list[int]) -> None:
        """What a repair would save and lose."""
        for row in found:
            self._report.files.append(segments.names[row])
            self._salvage(segments, row)
        self._report.files += self._damaged

    def _mend(self, found: list[int]) -> None:
        segments = self._state.view.segments
        damaged = set(segments.table["number"][found].tolist())
        # Rows of the log first: where they are newer or older than a lost row is then all the same.
        segments = self._write(segments, self._flush)
        gone: list[_Gone] = []
        segments = self._write(segments, partial(self._save_all, damaged, gone))
        # Afterwards, so that what was saved of older segments is looked at as well.
        segments = self._write(segments, partial(self._hide_all, gone))
        self._publish(segments)
        for name in self._report.files:
            self._fs.remove(name)
            if name.startswith(BUCKETS_DIR):
                self._fs.prune_dirs(name.rpartition("/")[0])

    def _write(self, segments: SegmentSet, write: _Write) -> SegmentSet:
        writer = SegmentWriter(self._fs, self._manifest.store_id, self._take_number)
        try:
            write(writer, segments)
            return segments.changed(writer.finish())
        except BaseException:
            writer.abandon()
            raise

    def _take_number(self) -> int:
        number = self._next_segment
        self._next_segment += 1
        return number

    def _flush(self, writer: SegmentWriter, segments: SegmentSet) -> None:
        """Write the rows of the log to segments."""
        catalog, chunks = self._state.catalog, self._state.view.chunks
        newer = deletes_of_former(chunks, catalog)
        for schema_id, of_schema in chunks.items():
            self._report.rows_saved += sum(len(chunk.ts) for chunk in of_schema)
            schema, deletes = catalog.schemas[schema_id], newer.get(schema_id, {})
            writer.flush(schema_id, schema, of_schema, catalog, segments, deletes)

    def _save_all(
        self, damaged: set[int], gone: list[_Gone], writer: SegmentWriter, segments: SegmentSet
    ) -> None:
        """Write what can be read of damaged segments to new ones, and note what is gone."""
        for row, number in enumerate(segments.table["number"].tolist()):
            if number not in damaged:
                continue
            writer.replace([number])
            salvage = self._salvage(segments, row)
            if salvage is None:
                continue
            entry = segments.table[row]
            sequences = (int(entry["first_sequence"]), int(entry["last_sequence"]))
            gone += [(sequences[0], bucket_id, times) for bucket_id, times in salvage.gone]
            self._keep_deletes(writer, segments, sequences[0], salvage)
            chunk = without(salvage.chunk(sequences), segments.masks(number))
            schema_id, catalog = int(entry["schema"]), self._state.catalog
            writer.write(schema_id, catalog.schemas[schema_id], chunk, catalog.by_id)

    def _keep_deletes(
        self, writer: SegmentWriter, segments: SegmentSet, sequence: int, salvage: Salvage
    ) -> None:
        """What segments of format 1 delete from older ones becomes a matter of the manifest."""
        for bucket_id, first, last in salvage.deletes:
            bucket = self._state.catalog.by_id(bucket_id)
            for run in runs_before(segments, bucket, sequence) if bucket else ():
                writer.delete(run.number, bucket_id, first, last)

    def _salvage(self, segments: SegmentSet, row: int) -> Salvage | None:
        """What can be read of a damaged segment; None if that is nothing."""
        entry, name = segments.table[row], segments.names[row]
        number, owner = int(entry["number"]), int(entry["bucket"])
        catalog = self._state.catalog
        keys, schema = catalog.keys_by_id(), catalog.schemas[int(entry["schema"])]
        found = find_footer(self._fs, name, self._manifest.store_id ^ number)
        if found is not None and not found.sound:
            # The manifest knows the columns, and is sound or made from sound files.
            found = replace(found, footer=replace(found.footer, schema=schema))
        if found is None or found.footer.schema != schema:
            key = keys.get(owner)
            place = (int(entry["rows"]), int(entry["first_ts"]), int(entry["last_ts"]))
            self._report.lost.append(Place((key,) if key else (), *place))
            self._report.notes.append(
                f"{self._path(name)} is gone or says nothing that can be believed; {_MAY_BE_BACK}"
            )
            return None
        bucket = None if owner == SHARED else owner
        salvage = SegmentSalvage(self._fs, name, found, keys, bucket).run()
        if not all(place.keys for place in salvage.lost):
            self._report.notes.append(
                f"{self._path(name)} does not say whose rows some of it are; {_MAY_BE_BACK}"
            )
        self._report.lost += salvage.lost
        self._report.rows_saved += len(salvage.ts)
        return salvage

    def _hide_all(self, gone: list[_Gone], writer: SegmentWriter, segments: SegmentSet) -> None:
        """Leave out older rows that lost ones may have replaced."""
        for sequence, bucket_id, times in gone:
            bucket = self._state.catalog.by_id(bucket_id)
            if bucket is None or bucket.schema.is_variable:
                continue
            for run in runs_before(segments, bucket, sequence):
                for first, last, rows in _hidden(run, times):
                    writer.delete(run.number, bucket_id, first, last)
                    self._report.hidden.append(Place((bucket.key,), rows, first, last))

    def _publish(self, segments: SegmentSet) -> None:
        described, _ = self._state.describe(self._manifest)
        sequence = self._state.view.sequence
        wal = max([self._manifest.last_wal, *wal_numbers(self._fs)], default=0)
        manifest = replace(
            described,
            number=max([self._manifest.number, *manifest_numbers(self._fs)]) + 1,
            checkpoint=sequence,
            catalog_sequence=sequence,
            first_wal=wal + 1,
            last_wal=0,
            sealed=(),
            next_segment=self._next_segment,
            segments=segments.table,
            segment_names=segments.names,
            deletes=segments.deletes,
        )
        publish_manifest(self._fs, manifest)

    def _path(self, name: str) -> str:
        return self._fs.describe(name)


def _nameless(rows: int, commit: Commit) -> Place:
    """Rows of buckets that nothing names any more."""
    times = np.concatenate([section.ts for section in commit.sections])
    return Place((), rows, int(times.min()), int(times.max()))


def _hidden(run: Run, times: NDArray[np.int64]) -> Iterator[tuple[int, int, int]]:
    """First and last instant, and number, of neighbouring rows whose time is in one of the ranges.

    Args:
        run: whose rows.
        times: int64 nanoseconds, shape (ranges, 2), both ends included.
    """
    near = times[(times[:, 1] >= run.first_ts) & (times[:, 0] <= run.last_ts)]
    if len(near) == 0:
        return
    near = near[np.argsort(near[:, 0], kind="stable")]
    low, high = run.search(int(near[0, 0]), "left"), run.search(int(near[:, 1].max()), "right")
    if low == high:
        return
    ts = run.rows((0,), low, high)[0]
    before = near[:, 0].searchsorted(ts, "right")
    reach = np.maximum.accumulate(near[:, 1])
    inside = (before > 0) & (reach[before - 1] >= ts)
    for first, end in stretches(inside):
        yield int(ts[first]), int(ts[end - 1]), end - first
