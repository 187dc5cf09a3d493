"""Deletes that begin or end inside a millisecond of a bucket with identity.

Of the rows of one event within one millisecond only one counts (see rows). Were the range left out
of each source by itself, a row that had lost to a deleted one would come back. So whole
milliseconds are deleted, and what the bucket showed in them outside of the range is written again.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.storage.chunk import deleted
from tsstore.storage.reading import Reading
from tsstore.storage.rows import MILLISECOND_NS
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore.schema import Schema
    from tsstore.storage.reading import Rows, Source


def cut_milliseconds(schema: Schema, first: int, last: int) -> list[int]:
    """First instants of the milliseconds of which a range holds a part."""
    if not schema.identity:
        return []
    cut = []
    if first > MIN_NS and first % MILLISECOND_NS:
        cut.append(first - first % MILLISECOND_NS)
    if last < MAX_NS and (last + 1) % MILLISECOND_NS:
        cut.append(last - last % MILLISECOND_NS)
    return cut


def whole_milliseconds(first: int, last: int) -> tuple[int, int]:
    """The range of the milliseconds that a range touches."""
    start = max(first - first % MILLISECOND_NS, MIN_NS)
    return start, min(last - last % MILLISECOND_NS + MILLISECOND_NS - 1, MAX_NS)


def survivors(
    schema: Schema, sources: Sequence[Source], ranges: Sequence[tuple[int, int]]
) -> Rows | None:
    """Rows in cut milliseconds that lie in none of the ranges; None when there are none.

    Args:
        schema: of the bucket.
        sources: its rows before the delete, oldest first.
        ranges: all that is deleted from it at once.
    """
    cut = sorted({ms for first, last in ranges for ms in cut_milliseconds(schema, first, last)})
    columns = range(len(schema.columns))
    found = [
        Reading(schema, ms, ms + MILLISECOND_NS - 1, 0, from_start=True, columns=columns).rows(
            sources
        )
        for ms in cut
    ]
    if not found:
        return None
    ts = np.concatenate([rows[0] for rows in found])
    stays = ~deleted(ts, ranges)
    if not stays.any():
        return None
    arrays = [np.concatenate(parts)[stays] for parts in zip(*(r[1] for r in found), strict=True)]
    return ts[stays], arrays
