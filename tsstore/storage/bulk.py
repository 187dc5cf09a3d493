"""Bulk loads: sorted columns go straight to segment files, past the log.

The files are on the medium before the commit that brings them into the store is appended to the
log, so the commit is as durable and as atomic as any other, whatever the number of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.format.commit import single_run
from tsstore.storage.chunk import Chunk
from tsstore.storage.flush import OWN_FILE_ROWS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsstore.format.commit import Commit, Section
    from tsstore.storage.batch import Batch
    from tsstore.storage.flush import SegmentWriter
    from tsstore.storage.reading import Rows

# More than there are processors: some wait for the medium while others make what is written next.
_THREADS_MAX = 8


def write_bulk(batch: Batch, bytes_min: int, segments: SegmentWriter, *, told: bool) -> Commit:
    """Write the rows of a batch to files, in parallel, and sync them; returns the commit.

    Args:
        batch: what is written.
        bytes_min: buckets whose rows are fewer bytes together stay in the commit, and so in the
            log: such as the one row that says how far a backfill has come.
        segments: writes the files.
        told: whether listeners will be told of the rows.

    Raises:
        SchemaMismatchError: columns that do not fit their bucket.
        StorageError: the disk refused; `segments.abandon` removes the files.
    """
    from concurrent.futures import ThreadPoolExecutor  # slow to import

    def write(make: Callable[[], Section]) -> Section:
        section = make()
        if section.bytes < bytes_min:
            return section
        chunk = Chunk.of(section, {}, 0)
        schema = batch.schema(section.schema_id)
        segments.write(section.schema_id, schema, chunk, batch.bucket)
        return section

    segments.syncs_at_once = True
    with ThreadPoolExecutor(_THREADS_MAX) as pool:
        tasks = [pool.submit(write, make) for make in batch.bulk_sections(OWN_FILE_ROWS)]
        try:
            sections = [task.result() for task in tasks]
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    change = segments.finish()
    small = [section.copied() for section in sections if section.bytes < bytes_min]
    large = [section.copied() for section in sections if told and section.bytes >= bytes_min]
    return batch.bulk_commit(change.table, list(change.names), small, large)


def copy_bulk(batch: Batch, rows: Iterable[Rows], segments: SegmentWriter) -> Commit:
    """Write rows to the one bucket that a batch creates, and sync them; returns the commit.

    Args:
        batch: creates the bucket.
        rows: its rows in order, in parts that no instant is cut by.
        segments: writes the files.

    Raises:
        StorageError: the disk refused; `segments.abandon` removes the files.
    """
    bucket = batch.created
    for ts, arrays in rows:
        section = single_run(bucket.schema_id, bucket.id, ts, arrays)
        chunk = Chunk.of(section, {}, 0)
        segments.write(bucket.schema_id, bucket.schema, chunk, batch.bucket)
    change = segments.finish()
    return batch.bulk_commit(change.table, list(change.names), [], [])
