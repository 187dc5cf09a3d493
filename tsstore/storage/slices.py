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
    """All rows of a range in order, so many at a time; no instant is cut in two.

    Args:
        view: what is read, whatever is written meanwhile.
        bucket: whose rows.
        schemas: all schemas by number.
        rows: of a slice; fewer of the last one and where the next instant has too many, more only
            where one instant alone has more.
        start: first instant, included.
        end: last instant, included.
        columns: positions in the schema of the wanted columns; all by default.
    """
    wanted = range(len(bucket.schema.columns)) if columns is None else columns
    # Of ticks one more than is handed out, which tells whether the last instant goes on.
    limit = rows + 1 if bucket.schema.is_variable else rows
    while start <= end:
        ts, arrays = view.read(
            bucket, schemas, start, end, limit=limit, from_start=True, columns=wanted
        )
        if len(ts) < limit:
            if len(ts):
                yield ts, arrays
            return
        last = int(ts[-1])
        if not bucket.schema.is_variable:
            yield ts, arrays
            start = last + 1
            continue
        whole = int(ts.searchsorted(last, "left"))
        if whole:
            yield ts[:whole], [array[:whole] for array in arrays]
            start = last
        else:
            yield view.read(bucket, schemas, last, last, limit=0, from_start=True, columns=wanted)
            start = last + 1
