"""The state of an open store: catalog, segments and chunks, and how a commit changes it.

The writer, recovery and read-only openings share it: applying the same commits in the same order
gives the same state. Readers take a `View`, which never changes, and need no lock.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tsstore.format.manifest import SHARED
from tsstore.storage.catalog import Bucket, Catalog
from tsstore.storage.chunk import Chunk, merge, mergeable
from tsstore.storage.reading import Reading, chunk_runs
from tsstore.storage.segments import SegmentSet

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.format.commit import Commit
    from tsstore.format.manifest import Manifest
    from tsstore.storage.chunk import Deletes
    from tsstore.storage.reading import Rows, Source
    from tsstore.storage.segment import SegmentCache

Chunks = dict[int, tuple[Chunk, ...]]


@dataclass(frozen=True)
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

    def sources(self, bucket: Bucket) -> Sequence[Source]:
        """All places that hold rows of a bucket, oldest first."""
        runs = self.segments.runs(bucket.id, bucket.schema_id)
        chunks = self.chunks.get(bucket.schema_id)
        if not chunks:
            return runs
        return [*runs, *chunk_runs(chunks, bucket.id)]

    def read(
        self,
        bucket: Bucket,
        start: int,
        end: int,
        *,
        limit: int,
        from_start: bool,
        columns: Sequence[int],
    ) -> Rows:
        """Rows of a bucket between two instants, both included; see `Reading`."""
        reading = Reading(bucket.schema, start, end, limit, from_start=from_start, columns=columns)
        return reading.rows(self.sources(bucket))

    @cached_property
    def chunk_bytes(self) -> int:
        """Memory of the rows that are not in segments."""
        return sum(chunk.bytes for chunks in self.chunks.values() for chunk in chunks)


class State:
    """Catalog and view. `apply`, `adopt_segments` and `tidy` may run on different threads.

    Attributes:
        catalog: all buckets.
        view: what readers see; replaced as a whole.
        doomed: names of segment files that nothing refers to once the next manifest is published.
    """

    def __init__(self, manifest: Manifest, cache: SegmentCache) -> None:
        self.catalog = Catalog(manifest)
        segments = SegmentSet(manifest.segments, manifest.segment_names, cache)
        self.view = View(segments, {}, manifest.checkpoint)
        self.doomed: list[str] = []
        self._lock = threading.Lock()
        self._barrier = manifest.checkpoint
        self._catalog_sequence = manifest.catalog_sequence

    def apply(self, commit: Commit, sequence: int) -> None:
        """Show a commit to readers."""
        with self._lock:
            # A manifest may know buckets of commits whose rows are still in the log alone; some of
            # these buckets may even be destroyed since.
            if sequence > self._catalog_sequence:
                self.catalog.settle(commit.schemas, commit.created)
            chunks = dict(self.view.chunks)
            for schema_id, chunk in self._chunks_of(commit, sequence).items():
                chunks[schema_id] = (*chunks.get(schema_id, ()), chunk)
            segments = self.view.segments
            if commit.destroyed:
                segments, dropped = segments.without(set(commit.destroyed))
                self.doomed += dropped
                self.catalog.remove(commit.destroyed)
            self.view = View(segments, chunks, sequence)

    def _chunks_of(self, commit: Commit, sequence: int) -> dict[int, Chunk]:
        deletes: dict[int, Deletes] = {}
        for bucket_id, first, last in commit.deletes:
            schema_id = self._schema_id(bucket_id)
            if schema_id == 0:  # replayed, and the bucket was destroyed since
                continue
            of_schema = deletes.setdefault(schema_id, {})
            of_schema[bucket_id] = (*of_schema.get(bucket_id, ()), (first, last))
        chunks = {}
        for section in commit.sections:
            of_schema = deletes.pop(section.schema_id, {})
            chunks[section.schema_id] = Chunk.of(section, of_schema, sequence)
        for schema_id, of_schema in deletes.items():
            schema = self.catalog.schemas[schema_id]
            chunks[schema_id] = Chunk.of_deletes(schema, of_schema, sequence)
        return chunks

    def _schema_id(self, bucket_id: int) -> int:
        return int(self.catalog.schema_ids(np.array([bucket_id], np.uint32))[0])

    def barrier(self) -> int:
        """Never merge chunks from before this moment with later ones; returns the sequence.

        A flush takes the chunks up to a barrier and leaves the later ones.
        """
        with self._lock:
            self._barrier = self.view.sequence
            return self._barrier

    def tidy(self) -> bool:
        """Merge neighbouring chunks so that readers look at few; returns whether any were."""
        merged = False
        for schema_id, chunks in list(self.view.chunks.items()):
            recent = [chunk for chunk in chunks if chunk.first_sequence > self._barrier]
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
            if place is None or new.first_sequence <= self._barrier < new.last_sequence:
                return False
            exchanged = (*chunks[:place], new, *chunks[place + len(old) :])
            self.view = replace(self.view, chunks={**self.view.chunks, schema_id: exchanged})
            return True

    def adopt_segments(self, table: NDArray[np.void], names: list[str], checkpoint: int) -> None:
        """Rows up to the checkpoint are in these new segments: drop their chunks."""
        with self._lock:
            # A bucket may have been destroyed while its rows were being flushed.
            alive = self.catalog.keys_by_id()
            owners = table["bucket"].tolist()
            stays = [i for i, owner in enumerate(owners) if owner == SHARED or owner in alive]
            self.doomed += [name for i, name in enumerate(names) if i not in set(stays)]
            table, names = table[stays], [names[i] for i in stays]
            self.view = View(
                self.view.segments.with_added(table, names),
                _later(self.view.chunks, checkpoint),
                self.view.sequence,
            )

    def adopt_manifest(self, manifest: Manifest, cache: SegmentCache) -> None:
        """Take the segments that a writer published in place of the chunks they hold.

        The catalog stays: it followed the log and may be ahead of the manifest.
        """
        with self._lock:
            segments = SegmentSet(manifest.segments, manifest.segment_names, cache)
            alive = self.catalog.keys_by_id()
            dead = {owner for owner in manifest.segments["bucket"].tolist() if owner not in alive}
            segments, _ = segments.without(dead - {SHARED})
            chunks = _later(self.view.chunks, manifest.checkpoint)
            self.view = View(segments, chunks, self.view.sequence)

    def describe(self, manifest: Manifest) -> tuple[Manifest, SegmentSet]:
        """A manifest with the buckets of this moment, and the live segments."""
        with self._lock:
            catalog = self.catalog
            keys, ids, schemas = catalog.tables()
            described = replace(
                manifest,
                catalog_sequence=self.view.sequence,
                next_bucket=catalog.next_bucket,
                next_schema=catalog.next_schema,
                schemas=dict(catalog.schemas),
                keys=keys,
                bucket_ids=ids,
                bucket_schemas=schemas,
            )
            return described, self.view.segments


def _later(chunks: Chunks, checkpoint: int) -> Chunks:
    later = {
        schema_id: tuple(chunk for chunk in of_schema if chunk.last_sequence > checkpoint)
        for schema_id, of_schema in chunks.items()
    }
    return {schema_id: of_schema for schema_id, of_schema in later.items() if of_schema}
