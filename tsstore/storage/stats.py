"""How a bucket is stored: files, blocks, encodings, memory."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import numpy as np

from tsstore.format import constants
from tsstore.reports import BucketStats
from tsstore.storage.reading import chunk_runs

if TYPE_CHECKING:
    from tsstore.format.segment import Footer
    from tsstore.storage.catalog import Bucket
    from tsstore.storage.segments import Run
    from tsstore.storage.state import View


#: What people call an encoding: `raw`, `constant`, `integers`.
ENCODING_NAMES = {
    number: name.removeprefix("ENCODING_").lower()
    for name, number in vars(constants).items()
    if name.startswith("ENCODING_")
}


def bucket_stats(view: View, bucket: Bucket) -> BucketStats:
    """How a bucket is stored at one moment.

    Raises:
        CorruptionError: a segment cannot say what it holds.
    """
    table = view.segments.table
    numbers = table["number"].tolist()
    generation_of = dict(zip(numbers, table["generation"].tolist(), strict=True))
    bytes_of = dict(zip(numbers, table["bytes"].tolist(), strict=True))
    every = view.segments.runs(bucket.id, bucket.schema_ids)
    runs = [run for run in every if run.first < run.end]
    encodings: dict[str, Counter[str]] = {}
    stored, blocks = 0.0, 0
    for run in runs:
        found = _Blocks(run)
        stored += bytes_of[run.number] if run.is_whole else found.bytes
        blocks += found.count
        for column, counts in found.encodings.items():
            encodings.setdefault(column, Counter()).update(counts)
    memory_rows = sum(
        run.end - run.first
        for schema_id in bucket.schema_ids
        for run in chunk_runs(view.chunks.get(schema_id, ()), bucket.id)
    )
    return BucketStats(
        bucket.key,
        rows=sum(run.end - run.first for run in runs) + memory_rows,
        bytes=round(stored),
        segments=len(runs),
        blocks=blocks,
        generations=dict(sorted(Counter(generation_of[run.number] for run in runs).items())),
        encodings={column: dict(counts) for column, counts in encodings.items()},
        memory_rows=memory_rows,
        memory_bytes=memory_rows * bucket.schema.row_bytes,
        deleted_ranges=sum(len(run.masks) for run in runs),
    )


class _Blocks:
    """The blocks in which a run lies.

    Attributes:
        bytes: its part of the file, by rows in each block.
        count: blocks of a column each.
        encodings: blocks of each column by the name of their encoding.
    """

    def __init__(self, run: Run) -> None:
        footer = run.reader.footer
        starts = footer.block_starts
        first = int(starts.searchsorted(run.first, "right")) - 1
        stop = int(starts.searchsorted(run.end, "left"))
        blocks = slice(first, stop)
        low = np.maximum(starts[first:stop], run.first)
        high = np.minimum(starts[first + 1 : stop + 1], run.end)
        part = (high - low) / np.diff(starts[first : stop + 1])
        lengths = footer.block_lengths[:, blocks]
        self.bytes = float((lengths * part).sum())
        self.count = lengths.size
        self.encodings = _encodings(footer, blocks)


def _encodings(footer: Footer, blocks: slice) -> dict[str, Counter[str]]:
    names = ("Epoch", *footer.schema.names)
    return {
        name: Counter(map(encoding_name, footer.encodings[column, blocks].tolist()))
        for column, name in enumerate(names)
    }


def encoding_name(number: int) -> str:
    """What people call an encoding."""
    return ENCODING_NAMES.get(number, f"unknown ({number})")
