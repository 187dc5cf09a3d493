"""Which row comes first and which row wins: the one place that knows.

* Rows are ordered by bucket, then time; equal times by order of arrival, or by identity.
* In a fixed bucket the row that arrived last replaces the others of its slot.
* In a variable bucket with identity, rows within one millisecond whose identity is equal are one
  event: the one with digits below the millisecond wins (a feed sends milliseconds, history has
  nanoseconds), else the one that arrived last.

Callers pass rows in order of arrival.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.schema import RecordKind, Schema

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

MILLISECOND_NS = 1_000_000


def arrange(
    schema: Schema,
    ids: NDArray[np.uint32] | None,
    ts: NDArray[np.int64],
    identity: list[NDArray[Any]],
) -> NDArray[np.intp] | None:
    """Positions of the rows that stay, in order; None when all stay where they are.

    Args:
        schema: of the buckets.
        ids: bucket of each row, shape (rows,); None when all are of one bucket.
        ts: int64 nanoseconds, shape (rows,).
        identity: the columns named by `schema.identity`, in that order.
    """
    if len(ts) < 2:
        return None
    order = _sort(ids, ts)
    if schema.kind is RecordKind.FIXED:
        return _keep_last_of_slot(order, ids, ts)
    if schema.identity:
        return _keep_one_of_event(order, ids, ts, identity)
    return order


def identity_columns(schema: Schema, columns: Sequence[Any]) -> list[Any]:
    """The identity columns out of all columns in the order of the schema."""
    return [columns[schema.names.index(name)] for name in schema.identity]


def stable_order(ids: NDArray[np.uint32]) -> NDArray[np.intp]:
    """Positions of bucket ids in ascending order; those of one bucket stay in their order."""
    # Radix sort, which numpy has for 16 bits, is several times faster than merging.
    narrow = ids.astype(np.uint16) if len(ids) and int(ids.max()) < 1 << 16 else ids
    return np.argsort(narrow, kind="stable")


def _sort(ids: NDArray[np.uint32] | None, ts: NDArray[np.int64]) -> NDArray[np.intp] | None:
    """A stable order by bucket and time; None when the rows are in order."""
    if ids is None:
        return None if (ts[1:] >= ts[:-1]).all() else np.argsort(ts, kind="stable")
    order = None
    if not (ids[1:] >= ids[:-1]).all():
        order = stable_order(ids)
        ids, ts = ids[order], ts[order]
    if ((ts[1:] >= ts[:-1]) | (ids[1:] != ids[:-1])).all():
        return order
    by_time = np.lexsort((ts, ids))
    return by_time if order is None else order[by_time]


def _keep_last_of_slot(
    order: NDArray[np.intp] | None, ids: NDArray[np.uint32] | None, ts: NDArray[np.int64]
) -> NDArray[np.intp] | None:
    if order is not None:
        ts = ts[order]
        ids = None if ids is None else ids[order]
    replaced = ts[:-1] == ts[1:]
    if ids is not None:
        replaced &= ids[:-1] == ids[1:]
    if not replaced.any():
        return order
    stays = np.flatnonzero(np.append(~replaced, True))
    return stays if order is None else order[stays]


def _keep_one_of_event(
    order: NDArray[np.intp] | None,
    ids: NDArray[np.uint32] | None,
    ts: NDArray[np.int64],
    identity: list[NDArray[Any]],
) -> NDArray[np.intp] | None:
    sorted_ts = ts if order is None else ts[order]
    milliseconds = sorted_ts // MILLISECOND_NS
    near = milliseconds[1:] == milliseconds[:-1]
    if ids is not None:
        sorted_ids = ids if order is None else ids[order]
        near &= sorted_ids[1:] == sorted_ids[:-1]
    if not near.any():
        return order
    contested = _contested(near, order, identity)
    if not contested.any():
        return order
    group = np.concatenate(([0], np.cumsum(~near)))
    unsure = np.zeros(int(group[-1]) + 1, np.bool_)
    unsure[group[1:][contested]] = True
    crowded = unsure[group]
    places = np.flatnonzero(crowded)
    rows = places if order is None else order[places]
    winners, winner_groups = _one_of_each(rows, group[places], ts, identity)
    if order is None and np.array_equal(winners, rows):
        return None
    others = np.flatnonzero(~crowded)
    both = np.concatenate((others if order is None else order[others], winners))
    groups = np.concatenate((group[others], winner_groups))
    return both[np.argsort(groups, kind="stable")]


def _contested(
    near: NDArray[np.bool_], order: NDArray[np.intp] | None, identity: list[NDArray[Any]]
) -> NDArray[np.bool_]:
    """Which neighbours of one bucket and millisecond need a closer look.

    Where the identity rises from row to row, all are different events and stand in order; sequence
    numbers do so nearly always.
    """
    second = np.flatnonzero(near) + 1
    first = second - 1
    if order is not None:
        first, second = order[first], order[second]
    rises = np.zeros(len(second), np.bool_)
    equal = np.ones(len(second), np.bool_)
    for column in identity:
        before, after = column[first], column[second]
        rises |= equal & (before < after)
        equal &= before == after
    contested = near.copy()
    contested[near] = ~rises
    return contested


def _one_of_each(
    rows: NDArray[np.intp],
    group: NDArray[np.int64],
    ts: NDArray[np.int64],
    identity: list[NDArray[Any]],
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """The winning row of each event and its group, ordered by group, time, identity."""
    keys = [column[rows] for column in identity]
    precise = ts[rows] % MILLISECOND_NS != 0
    # Rows are in arrival order only within equal times; their position says when they arrived.
    by_event = np.lexsort((rows, precise, *reversed(keys), group))
    same = group[by_event][1:] == group[by_event][:-1]
    for key in keys:
        same &= key[by_event][1:] == key[by_event][:-1]
    winner = by_event[np.append(~same, True)]
    by_time = (*(key[winner] for key in reversed(keys)), ts[rows[winner]], group[winner])
    winner = winner[np.lexsort(by_time)]
    return rows[winner], group[winner]
