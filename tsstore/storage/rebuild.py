"""A manifest made again from the segments and the log, when there is none that can be trusted.

Footers say which buckets a segment holds, with which columns, and of which commits; the log says
what was created, renamed, altered and destroyed lately. A manifest with wrong bytes is asked only
where nothing else knows: which buckets were destroyed or renamed long ago, and what was deleted.
What it says of them is believed if number and name bear each other out.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import CorruptionError, InvalidArgumentError, TsStoreError
from tsstore.format.commit import Commit, decode_commit
from tsstore.format.manifest import (
    DELETE_DTYPE,
    SEGMENT_DTYPE,
    SHARED,
    Manifest,
    decode_manifest,
)
from tsstore.format.record import HEADER_BYTES, RecordError, VersionError, decode_header
from tsstore.key import BucketKey
from tsstore.storage.filenames import (
    BUCKETS_DIR,
    SHARED_DIR,
    manifest_name,
    segment_number,
    wal_name,
)
from tsstore.storage.logscan import commits_of, scan_file
from tsstore.storage.manifest import manifest_numbers
from tsstore.storage.salvage import NONSENSE, FoundFooter, find_footer, unchecked_record
from tsstore.storage.wal import wal_numbers
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.schema import Schema
    from tsstore.vfs import FileSystem


@dataclass
class _Segment:
    name: str
    number: int
    size: int
    found: FoundFooter
    sequences: tuple[int, int]

    @property
    def is_shared(self) -> bool:
        return self.name.startswith(SHARED_DIR + "/")


@dataclass
class Rebuilt:
    """A manifest that was made again.

    Attributes:
        manifest: of what the segments hold; the log comes on top.
        notes: what could not be known, for people.
    """

    manifest: Manifest
    notes: list[str] = field(default_factory=list)


def rebuild_manifest(fs: FileSystem) -> Rebuilt:
    """The manifest of a directory whose own is damaged or gone.

    Raises:
        CorruptionError: nothing says which store this was.
    """
    return _Rebuild(fs).run()


class _Rebuild:
    def __init__(self, fs: FileSystem) -> None:
        self._fs = fs
        self._files = [n for n in fs.walk(BUCKETS_DIR) if segment_number(n) is not None]
        self._store_id = self._find_store_id()
        self._hint = _hint(fs, self._store_id)
        self._notes: list[str] = []
        self._schemas: dict[int, Schema] = {}

    def run(self) -> Rebuilt:
        """Put together what there is."""
        log = self._log()
        segments = self._segments(log)
        checkpoint = max((s.found.footer.last_sequence for s in segments), default=0)
        self._find_schemas(segments, log)
        keys, schema_of, former = self._catalog(segments, log, checkpoint)
        later = {
            name
            for sequence, commit in log.items()
            if sequence > checkpoint
            for name in commit.segment_names
        }
        segments = [s for s in segments if s.name not in later]
        table = self._table(segments, keys)
        ids = np.array(list(keys), np.uint32)
        numbers = [number for name in self._files if (number := segment_number(name)) is not None]
        hint = self._hint
        manifest = Manifest(
            number=max(manifest_numbers(self._fs), default=0),
            store_id=self._store_id,
            checkpoint=checkpoint,
            catalog_sequence=checkpoint,
            first_wal=min(wal_numbers(self._fs), default=1),
            next_bucket=max([0, *keys, *(hint.bucket_ids.tolist() if hint else [])]) + 1,
            next_schema=max(self._schemas, default=0) + 1,
            next_segment=max(numbers, default=0) + 1,
            schemas=self._schemas,
            keys=list(keys.values()),
            bucket_ids=ids,
            bucket_schemas=np.array([schema_of[i] for i in keys], np.uint32),
            segments=table,
            segment_names=self._names(segments, keys),
            deletes=self._deletes(table, keys),
            timezone=self._timezone(),
            former={i: tuple((number, checkpoint) for number in of) for i, of in former.items()},
        )
        return Rebuilt(manifest, self._notes)

    def _find_store_id(self) -> int:
        """What most files say, by their first record."""
        votes: Counter[int] = Counter()
        for name, number in [
            *((name, segment_number(name) or 0) for name in self._files),
            *((wal_name(number), number) for number in wal_numbers(self._fs)),
            *((manifest_name(number), 0) for number in manifest_numbers(self._fs)),
        ]:
            try:
                file = self._fs.open(name)
                try:
                    votes[decode_header(file.pread(0, HEADER_BYTES)).owner ^ number] += 1
                finally:
                    file.close()
            except (TsStoreError, RecordError, VersionError):
                continue
        if not votes:
            path = self._fs.describe("MANIFEST")
            raise CorruptionError(path, 0, "no file says which store this was")
        return votes.most_common(1)[0][0]

    def _log(self) -> dict[int, Commit]:
        stretches = (
            stretch
            for number in wal_numbers(self._fs)
            for stretch in scan_file(self._fs, self._store_id, number)
        )
        return {number: decode_commit(record) for number, record in commits_of(stretches).items()}

    # Segments

    def _segments(self, log: dict[int, Commit]) -> list[_Segment]:
        """The segments that count, each with the commits whose rows it holds."""
        segments = []
        for name in self._files:
            number = segment_number(name) or 0
            found = find_footer(self._fs, name, self._store_id ^ number)
            if found is None or not found.sound:
                self._notes.append(f"{self._fs.describe(name)} cannot say what it holds")
                continue
            footer = found.footer
            sequences = (footer.first_sequence, footer.last_sequence)
            segments.append(_Segment(name, number, _size(self._fs, name), found, sequences))
        segments.sort(key=lambda segment: segment.number)
        _number_loads(segments, log)
        return self._without_replaced(segments)

    def _without_replaced(self, segments: list[_Segment]) -> list[_Segment]:
        """Leave out what a compaction has put into another segment and not removed yet."""
        packed = [s for s in segments if s.found.footer.packed]
        live = []
        for segment in segments:
            if any(_replaces(other, segment) for other in packed):
                path = self._fs.describe(segment.name)
                self._notes.append(f"{path} was merged into another segment before")
                continue
            live.append(segment)
        return live

    def _table(self, segments: list[_Segment], keys: dict[int, str]) -> Any:
        rows = []
        for s in self._counted(segments, keys):
            footer = s.found.footer
            owner = SHARED if s.is_shared else int(footer.ids[0])
            head = (owner, s.number, self._schema_id(footer.schema), int(footer.packed), s.size)
            span = (int(footer.first_ts.min()), int(footer.last_ts.max()))
            rows.append((*head, s.found.checksum, footer.rows, *span, *s.sequences))
        return np.array(rows, SEGMENT_DTYPE)

    def _names(self, segments: list[_Segment], keys: dict[int, str]) -> list[str]:
        return [segment.name for segment in self._counted(segments, keys)]

    def _counted(self, segments: list[_Segment], keys: dict[int, str]) -> list[_Segment]:
        """Segments of buckets that there are, in the order of a manifest."""

        def order(segment: _Segment) -> tuple[int, int, int]:
            owner = SHARED if segment.is_shared else int(segment.found.footer.ids[0])
            return owner, segment.sequences[0], segment.number

        counted = [s for s in segments if s.is_shared or int(s.found.footer.ids[0]) in keys]
        return sorted(counted, key=order)

    # Schemas and buckets

    def _find_schemas(self, segments: list[_Segment], log: dict[int, Commit]) -> None:
        """Numbers for all schemas: those that the log uses, as far as it tells, and new ones."""
        hint = self._hint.schemas if self._hint else {}
        for commit in log.values():
            self._schemas |= commit.schemas
        of_bucket = {
            int(bucket_id): segment.found.footer.schema
            for segment in segments
            for bucket_id in segment.found.footer.ids
        }
        for commit in log.values():
            for section in commit.sections:
                known = [of_bucket[i] for i in section.ids.tolist() if i in of_bucket]
                dtypes = [array.dtype for array in section.arrays]
                for schema in known:
                    if [dtype for _, dtype in schema.columns] == dtypes:
                        self._schemas.setdefault(section.schema_id, schema)
        known_schemas = {*of_bucket.values(), *self._schemas.values()}
        for number, schema in hint.items():
            if schema in known_schemas:
                self._schemas.setdefault(number, schema)
        for segment in segments:
            self._schema_id(segment.found.footer.schema)

    def _schema_id(self, schema: Schema) -> int:
        for number, known in self._schemas.items():
            if known == schema:
                return number
        number = max(self._schemas, default=0) + 1
        self._schemas[number] = schema
        return number

    def _catalog(
        self, segments: list[_Segment], log: dict[int, Commit], checkpoint: int
    ) -> tuple[dict[int, str], dict[int, int], dict[int, tuple[int, ...]]]:
        """Name, schema and former schemas of each bucket at the checkpoint."""
        keys: dict[int, str] = {}
        seen: dict[int, list[int]] = {}
        for segment in sorted(segments, key=lambda s: (s.sequences[1], s.number)):
            footer = segment.found.footer
            number = self._schema_id(footer.schema)
            for bucket_id, key in zip(footer.ids.tolist(), footer.keys, strict=True):
                keys[bucket_id] = key
                numbers = seen.setdefault(bucket_id, [])
                if number not in numbers:
                    numbers.append(number)
        self._take_hint(keys)
        for sequence, commit in log.items():
            if sequence > checkpoint:
                break
            for bucket_id, key, schema_id in commit.created:
                keys.setdefault(bucket_id, key)
                if schema_id in self._schemas:
                    seen.setdefault(bucket_id, [schema_id])
            keys |= {bucket_id: key for bucket_id, key in commit.renamed if bucket_id in keys}
            for bucket_id, schema_id in commit.altered:
                numbers = seen.setdefault(bucket_id, [])
                if schema_id in self._schemas and schema_id not in numbers:
                    numbers.append(schema_id)
            for bucket_id in commit.destroyed:
                keys.pop(bucket_id, None)
        keys = self._one_of_a_name({i: key for i, key in keys.items() if seen.get(i)})
        schema_of = {bucket_id: seen[bucket_id][-1] for bucket_id in keys}
        former = {i: tuple(seen[i][:-1]) for i in keys if len(seen[i]) > 1}
        return dict(sorted(keys.items())), schema_of, former

    def _take_hint(self, keys: dict[int, str]) -> None:
        """Buckets that were destroyed or renamed long ago, as the damaged manifest knows it."""
        if self._hint is None:
            return
        names = dict(zip(self._hint.bucket_ids.tolist(), self._hint.keys, strict=True))
        listed = set(self._hint.keys)
        for bucket_id, key in list(keys.items()):
            new = names.get(bucket_id)
            if new is None and key not in listed:
                del keys[bucket_id]
            elif new is not None and new != key and _is_other_name(key, new):
                keys[bucket_id] = new

    def _one_of_a_name(self, keys: dict[int, str]) -> dict[int, str]:
        """Of two buckets of one name, the later one: the other was destroyed before."""
        newest = {key: bucket_id for bucket_id, key in sorted(keys.items())}
        return {bucket_id: key for key, bucket_id in newest.items()}

    def _deletes(self, table: Any, keys: dict[int, str]) -> Any:
        if self._hint is None:
            self._notes.append(
                "ranges that were deleted and not compacted yet may be back: no file knows them"
            )
            return np.empty(0, DELETE_DTYPE)
        deletes = self._hint.deletes
        owners = np.isin(deletes["segment"], table["number"])
        known = np.isin(deletes["bucket"], np.array(list(keys), np.uint32))
        return deletes[owners & known & (deletes["first_ts"] <= deletes["last_ts"])]

    def _timezone(self) -> str | None:
        if self._hint is None or self._hint.timezone is None:
            return None
        try:
            zone(self._hint.timezone)
        except InvalidArgumentError:
            return None
        return self._hint.timezone


def _hint(fs: FileSystem, store_id: int) -> Manifest | None:
    """The newest manifest, its checksums not looked at; None if it makes no sense at all."""
    for number in reversed(manifest_numbers(fs)):
        try:
            record = unchecked_record(fs.read(manifest_name(number)))
            manifest = decode_manifest(record)
        except (TsStoreError, *NONSENSE):
            continue
        if manifest.store_id == store_id and len(manifest.keys) == len(manifest.bucket_ids):
            return manifest
    return None


def _number_loads(segments: list[_Segment], log: dict[int, Commit]) -> None:
    """Commits of bulk loads, which their files do not know: by the log, else by their numbers."""
    named = {name: number for number, commit in log.items() for name in commit.segment_names}
    ranges = [s.sequences for s in segments if s.sequences != (0, 0)]
    newest = 0
    for segment in segments:
        if segment.sequences == (0, 0):
            number = named.get(segment.name) or _free_after(newest, ranges)
            segment.sequences = (number, number)
        newest = max(newest, segment.sequences[1])


def _free_after(sequence: int, ranges: Iterable[tuple[int, int]]) -> int:
    """The next number that is in no other segment: no segment holds commits around a load."""
    number = sequence + 1
    for first, last in sorted(ranges):
        if first <= number <= last:
            number = last + 1
    return number


def _replaces(packed: _Segment, other: _Segment) -> bool:
    """Whether all of a segment is in one that a compaction made of it."""
    if packed.number <= other.number or packed.is_shared != other.is_shared:
        return False
    mine, theirs = packed.found.footer, other.found.footer
    inside = packed.sequences[0] <= other.sequences[0] <= other.sequences[1] <= packed.sequences[1]
    if not inside or not set(theirs.ids.tolist()) <= set(mine.ids.tolist()):
        return False
    # Files of a bucket are merged within a period, whose name comes before the number.
    return packed.is_shared or packed.name.rsplit(".", 2)[0] == other.name.rsplit(".", 2)[0]


def _is_other_name(old: str, new: str) -> bool:
    """Whether a bucket was renamed, and its name is not just one with a wrong byte."""
    try:
        if str(BucketKey.parse(new)) != new:
            return False
    except InvalidArgumentError:
        return False
    pairs = zip(old.encode(), new.encode(), strict=False)
    different = sum((one ^ two).bit_count() for one, two in pairs)
    return len(old) != len(new) or different > 1


def _size(fs: FileSystem, name: str) -> int:
    file = fs.open(name)
    try:
        return file.size()
    finally:
        file.close()
