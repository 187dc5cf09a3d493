"""Merging chunks gives the rows that reading them one after the other would give."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.schema import Schema
from tsstore.storage.chunk import Chunk, Deletes, Merging, add_deletes, merge, split_ids
from tsstore.storage.rows import arrange, identity_columns

MS = 1_000_000
COLUMNS = {"Seq": "i4", "Mark": "i8", "Tape": "U2"}
SCHEMAS = {
    "fixed": Schema.of(COLUMNS),
    "variable": Schema.of(COLUMNS, variable=True),
    "events": Schema.of(COLUMNS, variable=True, identity=["Seq", "Tape"]),
}

Row = tuple[int, int, int, int, str]  # bucket, ns, sequence, mark, tape

# Few buckets, instants and identities, so that rows meet; buckets beyond 16 bits, which are sorted
# in another way.
_buckets = st.sampled_from([1, 2, 3, 70_000])
_instants = st.sampled_from([0, 1, 5, MS, MS + 1, 2 * MS, 3 * MS])
_rows = st.tuples(_buckets, _instants, st.integers(0, 3), st.sampled_from(["A", "B"]))
_spans = st.tuples(st.integers(0, 3), st.integers(0, 2))  # first millisecond, how many more
_deletes = st.dictionaries(_buckets, _spans, max_size=2)
_commits = st.lists(st.tuples(_deletes, st.lists(_rows, max_size=12)), min_size=1, max_size=6)


def chunk_of(schema: Schema, rows: list[Row], deletes: Deletes, sequence: int) -> Chunk:
    """What a commit of these rows leaves in memory."""
    buckets, times, *values = zip(*rows, strict=True) if rows else ([],) * 5
    ids, ts = np.array(buckets, np.uint32), np.array(times, np.int64)
    pairs = zip(values, schema.columns, strict=True)
    arrays = [np.array(column, dtype) for column, (_, dtype) in pairs]
    order = arrange(schema, ids, ts, identity_columns(schema, arrays))
    if order is not None:
        ids, ts, arrays = ids[order], ts[order], [array[order] for array in arrays]
    return Chunk(*split_ids(ids), ts, arrays, deletes, sequence, sequence)


def rows_of(chunk: Chunk) -> list[Row]:
    columns = [chunk.row_ids().tolist(), chunk.ts.tolist(), *(a.tolist() for a in chunk.arrays)]
    return list(zip(*columns, strict=True))


def expected(kind: str, commits: list[tuple[Deletes, list[Row]]]) -> list[Row]:
    """The rows in the order of FORMAT.md section 7, one commit and one row after the other."""
    kept: list[Row] = []
    for deletes, rows in commits:
        kept = [row for row in kept if not _is_deleted(row, deletes)]
        for row in rows:
            _add(kind, kept, row)
    identity = (lambda row: (row[2], row[4])) if kind == "events" else lambda _: ()
    return sorted(kept, key=lambda row: (row[0], row[1], identity(row)))


def _is_deleted(row: Row, deletes: Deletes) -> bool:
    return any(first <= row[1] <= last for first, last in deletes.get(row[0], ()))


def _add(kind: str, kept: list[Row], row: Row) -> None:
    rivals = [other for other in kept if _is_same(kind, other, row)]
    if kind == "events" and row[1] % MS == 0 and any(other[1] % MS for other in rivals):
        return
    for other in rivals:
        kept.remove(other)
    kept.append(row)


def _is_same(kind: str, a: Row, b: Row) -> bool:
    if kind == "variable" or a[0] != b[0]:
        return False
    if kind == "fixed":
        return a[1] == b[1]
    return (a[1] // MS, a[2], a[4]) == (b[1] // MS, b[2], b[4])


@pytest.mark.parametrize("kind", SCHEMAS)
@given(commits=_commits)
def test_a_merged_chunk_stands_for_its_parts(kind: str, commits: list[Any]) -> None:
    schema, marks = SCHEMAS[kind], iter(range(1000))
    marked: list[tuple[Deletes, list[Row]]] = [
        (
            {
                b: ((first * MS, (first + more) * MS + MS - 1),)
                for b, (first, more) in deletes.items()
            },
            [(bucket, ts, seq, next(marks), tape) for bucket, ts, seq, tape in rows],
        )
        for deletes, rows in commits
    ]
    chunks = [chunk_of(schema, rows, gone, n) for n, (gone, rows) in enumerate(marked)]
    merged = merge(schema, chunks)
    assert rows_of(merged) == expected(kind, marked)
    # In two steps it is the same: what is merged stands for what it was merged from.
    half = len(chunks) // 2
    if half:
        halves = [merge(schema, chunks[:half]), merge(schema, chunks[half:])]
        assert rows_of(merge(schema, halves)) == rows_of(merged)
    assert (merged.first_sequence, merged.last_sequence) == (0, len(chunks) - 1)
    # Column by column it is the same as well.
    columns = [array.tolist() for array in Merging(schema, chunks).arrays]
    assert columns == [array.tolist() for array in merged.arrays]


@given(rows=st.lists(_rows, max_size=40), rising=st.booleans())
def test_events_are_told_apart_however_they_arrive(rows: list[Any], *, rising: bool) -> None:
    """Also where every identity is above the one before, which needs no closer look."""
    rows = [(b, ts, n if rising else seq, n, tape) for n, (b, ts, seq, tape) in enumerate(rows)]
    chunk = chunk_of(SCHEMAS["events"], rows, {}, 1)
    assert rows_of(chunk) == expected("events", [({}, rows)])


@pytest.mark.parametrize("rows_each", [2, 40])
def test_short_and_long_runs_are_brought_together(rows_each: int) -> None:
    """Rows are sorted one by one, or a run at a time where runs are long."""
    commits: list[tuple[Deletes, list[Row]]] = [
        ({}, [(b, 3 * n + c, n, c, "A") for b in (1, 3, 70_000 + c) for n in range(rows_each)])
        for c in range(3)
    ]
    chunks = [chunk_of(SCHEMAS["fixed"], rows, {}, n) for n, (_, rows) in enumerate(commits)]
    assert rows_of(merge(SCHEMAS["fixed"], chunks)) == expected("fixed", commits)


_ranges = st.tuples(st.integers(0, 30), st.integers(0, 5)).map(lambda one: (one[0], sum(one)))
_some_deletes = st.dictionaries(st.integers(1, 2), st.tuples(_ranges), max_size=2)


@given(parts=st.lists(_some_deletes, max_size=8))
def test_deletes_are_as_few_ranges_as_can_be(parts: list[Deletes]) -> None:
    together: Deletes = {}
    gone: dict[int, set[int]] = {}
    for part in parts:
        together = add_deletes(together, part)
        for bucket, ranges in part.items():
            for first, last in ranges:
                gone.setdefault(bucket, set()).update(range(first, last + 1))
    assert together.keys() == gone.keys()
    for bucket, instants in gone.items():
        held = [instant for first, last in together[bucket] for instant in range(first, last + 1)]
        assert held == sorted(instants)
        assert len(together[bucket]) == sum(instant - 1 not in instants for instant in instants)
