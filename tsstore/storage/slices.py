"""Reading a bucket that is larger than memory, slice by slice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsstore.schema import Schema
    from tsstore.storage.catalog import Bucket
    from tsstore.storage.reading import Rows
    from tsstore.storage.state import View


def slices(
    view: View,
    bucket: Bucket,
    schemas: dict[int, Schema],
    rows: int,
    *,
    start: int = MIN_NS,
    end: int = MAX_NS,
    columns: Sequence[int] | None = None,
) -> Iterator[Rows]:
    """All rows of a range in order, about so many at a time; no instant is cut in two.

    Args:
        view: what is read, whatever is written meanwhile.
        bucket: whose rows.
        schemas: all schemas by number.
        rows: of a slice; more only where one instant has more.
        start: first instant, included.
        end: last instant, included.
        columns: positions in the schema of the wanted columns; all by default.
    """
    wanted = range(len(bucket.schema.columns)) if columns is None else columns
    while start <= end:
        ts, arrays = view.read(
            bucket, schemas, start, end, limit=rows, from_start=True, columns=wanted
        )
        if len(ts) < rows:
            if len(ts):
                yield ts, arrays
            return
        last = int(ts[-1])
        whole = int(ts.searchsorted(last, "left"))
        if whole:
            yield ts[:whole], [array[:whole] for array in arrays]
            start = last
        else:
            yield view.read(bucket, schemas, last, last, limit=0, from_start=True, columns=wanted)
            start = last + 1
