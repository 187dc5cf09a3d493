"""What readers take for granted about rows, looked at: order, slots, footers, which rows are newer.

Each function yields what is wrong as (where, what, which rows).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import CorruptionError
from tsstore.format.manifest import SHARED
from tsstore.storage.places import Place, place_of_block, place_of_rows
from tsstore.storage.rows import MILLISECOND_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from numpy.typing import NDArray

    from tsstore.format.segment import Footer
    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket
    from tsstore.storage.chunk import Chunk
    from tsstore.storage.segment import SegmentReader
    from tsstore.storage.segments import Run, SegmentSet

Found = tuple[int, str, Place | None]

# Blocks that are decoded at a time.
_BLOCKS = 64


def check_entry(entry: np.void, footer: Footer, schemas: Mapping[int, Schema]) -> Iterator[Found]:
    """Whether a footer fits what the manifest says of its segment, and itself."""
    if schemas.get(int(entry["schema"])) != footer.schema:
        yield 0, "its columns are not those of the schema in the manifest", None
    if footer.rows != int(entry["rows"]):
        yield 0, f"it has {footer.rows} rows and the manifest says {entry['rows']}", None
    if (np.diff(footer.starts) <= 0).any() or (np.diff(footer.ids.astype(np.int64)) <= 0).any():
        yield 0, "the buckets in its footer are not in order", None
    span = int(footer.first_ts.min()), int(footer.last_ts.max())
    if span != (int(entry["first_ts"]), int(entry["last_ts"])):
        yield 0, "its times are not those that the manifest says", None
    if entry["bucket"] != SHARED and footer.ids.tolist() != [entry["bucket"]]:
        yield 0, "it holds another bucket than the manifest says", None


def check_rows(reader: SegmentReader, keys: Mapping[int, str]) -> Iterator[Found]:
    """Whether every block can be decoded, and the rows are in the order the footer says."""
    footer = reader.footer
    ts = np.empty(footer.rows, np.int64)
    columns = range(len(footer.schema.columns) + 1)
    blocks = len(footer.block_starts) - 1
    whole = True
    for low in range(0, blocks, _BLOCKS):
        first = int(footer.block_starts[low])
        end = int(footer.block_starts[min(low + _BLOCKS, blocks)])
        try:
            ts[first:end] = reader.columns(columns, first, end)[0]
        except CorruptionError as error:
            whole = False
            yield error.offset, error.what, place_of_block(footer, error.offset, keys)
        reader.drop_rows()
    if whole:
        yield from _check_order_in(footer, ts, keys)


def _check_order_in(
    footer: Footer, ts: NDArray[np.int64], keys: Mapping[int, str]
) -> Iterator[Found]:
    for row in _disorder(footer.starts, ts, footer.schema)[:1].tolist():
        what = f"rows {row} and {row + 1} are not in order, or have one slot"
        yield 0, what, place_of_rows(footer, row, row + 2, keys)
    ends = (
        (footer.first_ts, ts[footer.starts[:-1]], "the first rows of buckets"),
        (footer.last_ts, ts[footer.starts[1:] - 1], "the last rows of buckets"),
        (footer.block_first_ts, ts[footer.block_starts[:-1]], "the first rows of blocks"),
    )
    for said, found, what in ends:
        if not np.array_equal(said, found):
            yield 0, f"the footer has other times for {what}", None


def _disorder(starts: NDArray[np.int64], ts: NDArray[np.int64], schema: Schema) -> NDArray[np.intp]:
    """Rows that do not come before the next one of their bucket."""
    wrong = ts[1:] < ts[:-1] if schema.is_variable else ts[1:] <= ts[:-1]
    between = starts[1:-1]
    wrong[between[between > 0] - 1] = False
    return np.flatnonzero(wrong)


def check_chunk(chunk: Chunk, schema: Schema) -> Iterator[str]:
    """Whether rows that are in the log alone are in order."""
    if len(chunk.ts) > 1 and len(_disorder(chunk.starts, chunk.ts, schema)):
        first, last = chunk.first_sequence, chunk.last_sequence
        yield f"rows of commits {first} to {last} are not in order"


def check_masks(segments: SegmentSet, keys: Mapping[int, str]) -> Iterator[Found]:
    """Whether what is deleted is deleted from segments that have the bucket."""
    owners = dict(
        zip(segments.table["number"].tolist(), segments.table["bucket"].tolist(), strict=True)
    )
    for number, bucket_id, first, last in segments.deletes.tolist():
        owner = owners.get(number)
        if owner not in (SHARED, bucket_id) or first > last:
            what = f"rows of bucket {bucket_id} are deleted from segment {number}, where none are"
            names = (keys[bucket_id],) if bucket_id in keys else ()
            yield number, what, Place(names, 0, first, last)


def check_order(segments: SegmentSet, bucket: Bucket) -> Iterator[Found]:
    """Whether of two segments with rows of one instant one is newer as a whole."""
    runs = [r for r in segments.runs(bucket.id, bucket.schema_ids) if r.first < r.end]
    unit = MILLISECOND_NS if bucket.schema.identity else 1
    runs.sort(key=lambda run: run.first_ts)
    open_runs: list[Run] = []
    for run in runs:
        open_runs = [r for r in open_runs if r.last_ts // unit >= run.first_ts // unit]
        for other in open_runs:
            if _interleave(run, other) and (at := _common(run, other, unit)) is not None:
                what = f"its commits interleave with those of segment {other.number}"
                yield run.number, what, Place((bucket.key,), 1, at, at)
        open_runs.append(run)


def _interleave(one: Run, other: Run) -> bool:
    return one.first_sequence <= other.last_sequence and other.first_sequence <= one.last_sequence


def _common(one: Run, other: Run, unit: int) -> int | None:
    """An instant of which both have rows."""
    first, last = max(one.first_ts, other.first_ts), min(one.last_ts, other.last_ts)
    first, last = first - first % unit, last - last % unit + unit - 1
    both = np.intersect1d(_units(one, first, last, unit), _units(other, first, last, unit))
    return int(both[0]) * unit if len(both) else None


def _units(run: Run, first: int, last: int, unit: int) -> NDArray[np.int64]:
    low, high = run.search(first, "left"), run.search(last, "right")
    ts: NDArray[np.int64] = run.rows((0,), low, high)[0]
    return ts // unit
