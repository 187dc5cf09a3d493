"""Which rows of the store make up for commits that did not come."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.errors import LimitExceededError, NotFoundError
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tsstore.api import BucketInfo, Snapshot
    from tsstore.columns import Columns

PART_ROWS = 500_000


class Part(NamedTuple):
    """A stretch of a bucket that was read.

    Attributes:
        first_ns: its first instant; nothing lies between it and the end of the part before.
        last_ns: its last one, included.
        position: the newest commit that the rows show.
        rows: all rows between the two.
    """

    first_ns: int
    last_ns: int
    position: int
    rows: Columns

    def lacks(self, commit: int, rows: Columns) -> Columns:
        """Those of the rows of a commit that are not among its own."""
        if commit > self.position:
            return rows
        first, stop = _bounds(rows, self.first_ns, self.last_ns)
        if first == stop:
            return rows
        kept = np.ones(len(rows), bool)
        kept[first:stop] = False
        return rows.take(kept)


def between(rows: Columns, first_ns: int, last_ns: int) -> Columns:
    """The rows of a stretch, both ends included."""
    return rows.slice(*_bounds(rows, first_ns, last_ns))


def parts(
    info: BucketInfo,
    snapshot: Callable[[int | None, int | None], Snapshot],
    first_ns: int,
    last_ns: int,
) -> Iterator[Part]:
    """A stretch of a bucket, some hundred thousand rows at a time, ascending.

    Args:
        info: how much there is.
        snapshot: reads the rows between two instants.
        first_ns: first instant; of a fixed bucket the begin of a slot.
        last_ns: last instant.

    Nothing comes of a bucket that is not there any more.
    """
    todo = _cuts(info, first_ns, last_ns)
    while todo:
        first, last = todo.pop()
        try:
            found = snapshot(_end(first, MIN_NS), _end(last, MAX_NS))
        except NotFoundError:
            return
        except LimitExceededError:
            if first >= last:
                raise
            middle = first + (last - first) // 2
            todo += [(middle + 1, last), (first, middle)]
            continue
        # Of a slot that two parts share, only the one that holds its instant has the row.
        yield Part(first, last, found.position, between(found.rows, first, last))


def merged(stretches: Iterable[tuple[int, int]]) -> list[tuple[int, int]]:
    """Stretches of time in order, those that overlap as one."""
    found: list[tuple[int, int]] = []
    for first, last in sorted(stretches):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(last, found[-1][1]))
        else:
            found.append((first, last))
    return found


def _cuts(info: BucketInfo, first_ns: int, last_ns: int) -> list[tuple[int, int]]:
    """Stretches of about equal length, the last one first; together they are the whole."""
    if info.first_ns is None or info.last_ns is None:
        return [(first_ns, last_ns)]
    first, last = max(first_ns, info.first_ns), min(last_ns, info.last_ns)
    share = max(0, last - first) / max(1, info.last_ns - info.first_ns)
    count = max(1, int(info.rows * share) // PART_ROWS)
    inner = [first + (last - first) * number // count for number in range(1, count)]
    begins = [first_ns, *(at + 1 for at in inner)]
    return list(zip(begins, [*inner, last_ns], strict=True))[::-1]


def _end(instant_ns: int, open_ns: int) -> int | None:
    return None if instant_ns == open_ns else instant_ns


def _bounds(rows: Columns, first_ns: int, last_ns: int) -> tuple[int, int]:
    first = int(rows.ts.searchsorted(first_ns, "left"))
    return first, max(first, int(rows.ts.searchsorted(last_ns, "right")))
