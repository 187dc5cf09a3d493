"""The state of an open store: catalog, segments and chunks, and how a commit changes it.

The writer, recovery and read-only openings share it: applying the same commits in the same order
gives the same state. Readers take a `View`, which never changes, and need no lock.
"""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING
from weakref import WeakSet

import numpy as np

from tsstore.errors import CorruptionError
from tsstore.format.commit import single_run
from tsstore.format.manifest import SHARED
from tsstore.storage.adapting import Adapted
from tsstore.storage.catalog import Bucket, Catalog
from tsstore.storage.chunk import Chunk, merge, mergeable
from tsstore.storage.cutting import cut_milliseconds, survivors, whole_milliseconds
from tsstore.storage.reading import Reading, chunk_runs
from tsstore.storage.segments import SegmentChange, SegmentSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.format.commit import Commit
    from tsstore.format.manifest import Manifest
    from tsstore.schema import Schema
    from tsstore.storage.chunk import Deletes
    from tsstore.storage.reading import Rows, Source
    from tsstore.storage.segment import SegmentCache

logger = logging.getLogger("tsstore.storage")

Chunks = dict[int, tuple[Chunk, ...]]


@dataclass(frozen=True, eq=False)
class View:
    """What readers see at one moment.

    Attributes:
        segments: rows that are in files.
        chunks: rows that are not yet, by schema id, oldest first.
        sequence: of the newest commit that is in the view.
    """

    segments: SegmentSet
    chunks: Chunks
    sequence: int

    def sources(self, bucket: Bucket, schemas: dict[int, Schema]) -> Sequence[Source]:
        """All places that hold rows of a bucket, oldest first.

        Args:
            bucket: whose rows.
            schemas: all schemas by number.
        """
        if bucket.former:
            return self._adapted(bucket, schemas)
        runs = self.segments.runs(bucket.id, bucket.schema_ids)
        chunks = self.chunks.get(bucket.schema_id)
        if not chunks:
            return runs
        in_memory = chunk_runs(chunks, bucket.id)
        sources: list[Source] = [*runs, *in_memory]
        if runs and in_memory and runs[-1].first_sequence > in_memory[0].first_sequence:
            # A bulk load is in files before older commits are.
            sources.sort(key=lambda source: source.first_sequence)
        return sources

    def _adapted(self, bucket: Bucket, schemas: dict[int, Schema]) -> list[Source]:
        """The same for a bucket whose rows have several schemas."""
        sources: list[Source] = []
        for run in self.segments.runs(bucket.id, bucket.schema_ids):
            current = run.schema_id == bucket.schema_id
            old = schemas[run.schema_id]
            sources.append(run if current else Adapted(run, old, bucket.schema))
        for schema_id in bucket.schema_ids:
            for chunk in chunk_runs(self.chunks.get(schema_id, ()), bucket.id):
                current = schema_id == bucket.schema_id
                old = schemas[schema_id]
                sources.append(chunk if current else Adapted(chunk, old, bucket.schema))
        return sorted(sources, key=lambda source: (source.first_sequence, source.first_ts))

    def read(
        self,
        bucket: Bucket,
        schemas: dict[int, Schema],
        start: int,
        end: int,
        *,
        limit: int,
        from_start: bool,
        columns: Sequence[int],
    ) -> Rows:
        """Rows of a bucket between two instants, both included; see `Reading`."""
        reading = Reading(bucket.schema, start, end, limit, from_start=from_start, columns=columns)
        return reading.rows(self.sources(bucket, schemas))

    @cached_property
    def chunk_count(self) -> int:
        """How many chunks there are."""
        return sum(map(len, self.chunks.values()))

    @cached_property
    def chunk_bytes(self) -> int:
        """Memory of the rows that are not in segments."""
        return sum(chunk.bytes for chunks in self.chunks.values() for chunk in chunks)


class State:
    """Catalog and view. `apply`, `adopt` and `tidy` may run on different threads.

    Attributes:
        catalog: all buckets.
        view: what readers see; replaced as a whole.
        cache: open segments.
        loaded_bytes: of files of bulk loads since the last flush.
    """

    def __init__(self, manifest: Manifest, cache: SegmentCache) -> None:
        self.catalog = Catalog(manifest)
        self.cache = cache
        self.loaded_bytes = 0
        segments = _segments(manifest, cache)
        self.view = View(segments, {}, manifest.checkpoint)
        self._held: WeakSet[SegmentSet] = WeakSet([segments])
        self._doomed: dict[str, int] = {}
        self._released: dict[str, int] = {}
        self._lock = threading.Lock()
        self._barrier = manifest.checkpoint
        self._barriers: dict[int, int] = {}  # by schema; the one of all counts where it is later
        self._catalog_sequence = manifest.catalog_sequence

    def apply(self, commit: Commit, sequence: int) -> None:
        """Show a commit to readers: buckets and rows at once."""
        with self._lock, self.catalog.lock:
            # A manifest may know buckets of commits whose rows are still in the log alone; some of
            # these buckets may even be destroyed since.
            known = sequence <= self._catalog_sequence
            if not known:
                self.catalog.settle(commit.schemas, commit.created)
                self.catalog.rename(commit.renamed)
                self.catalog.alter(commit.altered, sequence)
            if commit.altered:
                # Rows of before and after have different schemas, and stay in order by this.
                self._barrier = sequence
            chunks = dict(self.view.chunks)
            for schema_id, chunk in self._chunks_of(commit, sequence).items():
                chunks[schema_id] = (*chunks.get(schema_id, ()), chunk)
            segments = self.view.segments
            if commit.segment_names:
                # Rows of files that lie between two commits in order: chunks of before and after
                # must not become one.
                for schema_id in np.unique(commit.segments["schema"]).tolist():
                    self._barriers[schema_id] = sequence
                self.loaded_bytes += int(commit.segments["bytes"].sum())
                if not known:
                    segments = self._loaded(segments, commit, sequence)
            if commit.destroyed:
                removed = segments.of_buckets(commit.destroyed)
                segments, replaced = self._changed(segments, SegmentChange(removed=removed))
                self._doomed |= replaced
                self.catalog.remove(commit.destroyed)
            self.view = View(segments, chunks, sequence)

    def _loaded(self, segments: SegmentSet, commit: Commit, sequence: int) -> SegmentSet:
        """With the segments of a bulk load, under the number that its commit got."""
        table = commit.segments.copy()
        table["first_sequence"] = table["last_sequence"] = sequence
        change = SegmentChange(table, commit.segment_names)
        return self._without_dead(self._changed(segments, change)[0], table)

    def _without_dead(self, segments: SegmentSet, table: NDArray[np.void]) -> SegmentSet:
        """Leave out segments whose bucket was destroyed while they were written."""
        segments, replaced = self._changed(segments, SegmentChange(removed=self._dead(table)))
        self._doomed |= replaced
        return segments

    def _dead(self, table: NDArray[np.void]) -> frozenset[int]:
        """Numbers of segments whose bucket was destroyed."""
        alive = self.catalog.keys_by_id()
        pairs = zip(table["number"].tolist(), table["bucket"].tolist(), strict=True)
        return frozenset(n for n, owner in pairs if owner != SHARED and owner not in alive)

    def _changed(
        self, segments: SegmentSet, change: SegmentChange
    ) -> tuple[SegmentSet, dict[str, int]]:
        """The segments after a change, and the files that were replaced; call under the lock.

        The view is for the caller to exchange, once: between two exchanges rows would be there
        twice, or not at all.
        """
        new = segments.changed(change)
        self._held.add(new)
        if not change.removed:
            return new, {}
        pairs = zip(segments.names, segments.table["number"].tolist(), strict=True)
        return new, {name: number for name, number in pairs if number in change.removed}

    def _chunks_of(self, commit: Commit, sequence: int) -> dict[int, Chunk]:
        deletes: dict[int, Deletes] = {}
        for bucket_id, first, last in commit.deletes:
            schema_id = self.catalog.schema_at(bucket_id, sequence)
            if schema_id == 0:  # replayed, and the bucket was destroyed since
                continue
            of_schema = deletes.setdefault(schema_id, {})
            of_schema[bucket_id] = (*of_schema.get(bucket_id, ()), (first, last))
        written: dict[int, list[Chunk]] = {}
        for section in commit.sections:  # a bulk load has several of one schema
            written.setdefault(section.schema_id, []).append(Chunk.of(section, {}, sequence))
        chunks = {number: merge(self.catalog.schemas[number], of) for number, of in written.items()}
        for schema_id, of_schema in deletes.items():
            schema = self.catalog.schemas[schema_id]
            deleting = self._deleting(schema, of_schema, sequence)
            chunk = chunks.get(schema_id)
            if chunk is None:
                chunks[schema_id] = deleting
            elif len(deleting.ts):
                chunks[schema_id] = merge(schema, [deleting, chunk])
            else:
                chunks[schema_id] = replace(chunk, deletes=deleting.deletes)
        return chunks

    def _deleting(self, schema: Schema, deletes: Deletes, sequence: int) -> Chunk:
        """A chunk that deletes ranges; it has rows only where a millisecond of events is cut."""
        if not any(
            cut_milliseconds(schema, first, last)
            for ranges in deletes.values()
            for first, last in ranges
        ):
            return Chunk.of_deletes(schema, deletes, sequence)
        kept = []
        whole = dict(deletes)
        for bucket_id, ranges in sorted(deletes.items()):
            bucket = self.catalog.by_id(bucket_id)
            if bucket is None:
                continue
            # While the log is replayed, files of later bulk loads are there already.
            every = self.view.sources(bucket, self.catalog.schemas)
            older = [source for source in every if source.last_sequence < sequence]
            try:
                rows = survivors(schema, older, ranges)
            except CorruptionError as error:
                # The commit is on disk and must be carried out: what cannot be read cannot come
                # back either, and the readable rows outside of the range stay.
                logger.warning("rows beside a deleted range cannot be read: %s", error)
                continue
            whole[bucket_id] = tuple(whole_milliseconds(first, last) for first, last in ranges)
            if rows is not None:
                kept.append(Chunk.of(single_run(0, bucket_id, *rows), {}, sequence))
        return merge(schema, [Chunk.of_deletes(schema, whole, sequence), *kept])

    def barrier(self) -> int:
        """Never merge chunks from before this moment with later ones; returns the sequence.

        A flush takes the chunks up to a barrier and leaves the later ones.
        """
        with self._lock:
            self._barrier = self.view.sequence
            return self._barrier

    def _barrier_of(self, schema_id: int) -> int:
        return max(self._barrier, self._barriers.get(schema_id, 0))

    def tidy(self) -> bool:
        """Merge neighbouring chunks so that readers look at few; returns whether any were."""
        merged = False
        for schema_id, chunks in list(self.view.chunks.items()):
            barrier = self._barrier_of(schema_id)
            recent = [chunk for chunk in chunks if chunk.first_sequence > barrier]
            part = mergeable(recent)
            if part is None:
                continue
            old = recent[part]
            new = merge(self.catalog.schemas[schema_id], old)
            merged |= self._exchange(schema_id, old, new)
        return merged

    def _exchange(self, schema_id: int, old: list[Chunk], new: Chunk) -> bool:
        with self._lock:
            chunks = self.view.chunks.get(schema_id, ())
            place = next((i for i, chunk in enumerate(chunks) if chunk is old[0]), None)
            barrier = self._barrier_of(schema_id)
            if place is None or new.first_sequence <= barrier < new.last_sequence:
                return False
            exchanged = (*chunks[:place], new, *chunks[place + len(old) :])
            self.view = replace(self.view, chunks={**self.view.chunks, schema_id: exchanged})
            return True

    def adopt(self, change: SegmentChange, checkpoint: int = 0) -> dict[str, int]:
        """Show what a flush or a compaction made of the segments.

        Args:
            change: new segments, and those they stand for.
            checkpoint: rows of commits up to this one are in segments: their chunks go.

        Returns:
            Names and numbers of the files that are no longer needed.
        """
        with self._lock:
            segments, replaced = self._changed(self.view.segments, change)
            segments = self._without_dead(segments, change.table)
            chunks = self.view.chunks
            if checkpoint:
                self.loaded_bytes = 0
                chunks = _later(chunks, checkpoint)
            self.view = View(segments, chunks, self.view.sequence)
            return replaced

    def adopt_manifest(self, manifest: Manifest) -> None:
        """Take the segments that a writer published in place of the chunks they hold.

        The catalog stays: it followed the log and may be ahead of the manifest.
        """
        with self._lock:
            segments = _segments(manifest, self.cache)
            segments = segments.changed(self._loaded_after(manifest.catalog_sequence))
            segments = segments.changed(SegmentChange(removed=self._dead(segments.table)))
            chunks = _later(self.view.chunks, manifest.checkpoint)
            self.view = View(segments, chunks, self.view.sequence)
            self._doomed = {}  # not ours to remove
        self.cache.keep(frozenset(segments.table["number"].tolist()))

    def _loaded_after(self, sequence: int) -> SegmentChange:
        """Bulk loads that came while the writer published what it had at this commit."""
        segments = self.view.segments
        rows = np.flatnonzero(segments.table["first_sequence"] > sequence)
        return SegmentChange(segments.table[rows], [segments.names[row] for row in rows.tolist()])

    # Files that were replaced. They are doomed as long as the manifest may name them, released
    # afterwards, and removed when no reader looks at them any more.

    @property
    def has_doomed_files(self) -> bool:
        """Whether publishing a manifest would give back space."""
        return bool(self._doomed)

    def take_doomed(self) -> dict[str, int]:
        """Files that the next manifest will not name."""
        with self._lock:
            doomed, self._doomed = self._doomed, {}
            return doomed

    def put_back_doomed(self, doomed: dict[str, int]) -> None:
        """There was no next manifest."""
        with self._lock:
            self._doomed |= doomed

    def release(self, files: dict[str, int]) -> None:
        """The manifest on the medium does not name these files."""
        with self._lock:
            self._released |= files

    def take_unused(self, *, closing: bool = False) -> dict[str, int]:
        """Names and numbers of released files that no reader looks at, for the caller to remove.

        Args:
            closing: whether readers no longer count.
        """
        if not self._released:
            return {}
        with self._lock:
            others = () if closing else self._held
            held = [segments for segments in others if segments is not self.view.segments]
            free = [n for n in self._released if not any(n in s.files for s in held)]
            files = {name: self._released.pop(name) for name in free}
            for number in files.values():
                self.cache.forget(number)
            return files

    def describe(self, manifest: Manifest) -> tuple[Manifest, View]:
        """A manifest with the buckets of this moment, and what readers see at this moment."""
        with self._lock:
            catalog = self.catalog
            keys, ids, schemas = catalog.tables()
            described = replace(
                manifest,
                catalog_sequence=self.view.sequence,
                next_bucket=catalog.next_bucket,
                next_schema=catalog.next_schema,
                schemas=catalog.logged_schemas(),
                keys=keys,
                bucket_ids=ids,
                bucket_schemas=schemas,
                former=catalog.former(),
            )
            return described, self.view


def _segments(manifest: Manifest, cache: SegmentCache) -> SegmentSet:
    return SegmentSet(manifest.segments, manifest.segment_names, manifest.deletes, cache)


def _later(chunks: Chunks, checkpoint: int) -> Chunks:
    later = {
        schema_id: tuple(chunk for chunk in of_schema if chunk.last_sequence > checkpoint)
        for schema_id, of_schema in chunks.items()
    }
    return {schema_id: of_schema for schema_id, of_schema in later.items() if of_schema}
