"""Commits: what one write call changes, as the body of one WAL record.

The steps of a commit are carried out in this order: buckets are created, renamed and altered,
ranges deleted, rows written, buckets destroyed. Rows come as one section per schema, whatever the
number of buckets, or as a few. Those of a bulk load are in segment files, which are on the medium
before the commit.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.format.manifest import (
    SEGMENT_DTYPE,
    lines_from_array,
    lines_to_array,
    table_from_arrays,
    table_to_arrays,
)
from tsstore.format.record import Body, Record
from tsstore.format.segment import schema_from_meta, schema_to_meta, version_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.schema import Schema


class Section(NamedTuple):
    """Rows of buckets that share a schema, sorted by bucket, then time, no row twice.

    Attributes:
        schema_id: which schema.
        ids: uint32 bucket ids, ascending, each once.
        starts: int64, first row of each bucket, and the number of rows at the end.
        ts: int64 nanoseconds, shape (rows,).
        arrays: the columns in the order of the schema, each of shape (rows,).
    """

    schema_id: int
    ids: NDArray[np.uint32]
    starts: NDArray[np.int64]
    ts: NDArray[np.int64]
    arrays: list[NDArray[Any]]

    @property
    def bytes(self) -> int:
        """Memory of the rows."""
        return self.ts.nbytes + sum(array.nbytes for array in self.arrays)

    def copied(self) -> Section:
        """The same in memory of its own."""
        return self._replace(ts=self.ts.copy(), arrays=[array.copy() for array in self.arrays])


@dataclass(frozen=True, eq=False)
class Commit:
    """What one write call changes.

    Attributes:
        schemas: new schemas by id.
        created: (bucket id, key, schema id) of new buckets.
        renamed: (bucket id, new key).
        altered: (bucket id, new schema id); its older rows keep the schema they have.
        deletes: (bucket id, first ns, last ns), both ends included.
        sections: rows.
        segments: rows of SEGMENT_DTYPE: finished files whose rows this commit adds; their sequence
            numbers are those of the commit.
        segment_names: their file names.
        destroyed: bucket ids.
        loaded: the rows of `segments`, for listeners; not part of the record.
    """

    schemas: dict[int, Schema] = field(default_factory=dict)
    created: list[tuple[int, str, int]] = field(default_factory=list)
    renamed: list[tuple[int, str]] = field(default_factory=list)
    altered: list[tuple[int, int]] = field(default_factory=list)
    deletes: list[tuple[int, int, int]] = field(default_factory=list)
    sections: list[Section] = field(default_factory=list)
    segments: NDArray[np.void] = field(default_factory=lambda: np.empty(0, SEGMENT_DTYPE))
    segment_names: list[str] = field(default_factory=list)
    destroyed: list[int] = field(default_factory=list)
    loaded: list[Section] = field(default_factory=list)

    @property
    def changes_anything(self) -> bool:
        """Whether there is something to carry out."""
        return bool(self.created or self.deletes or self.sections or self.segment_names)


def encode_commit(commit: Commit) -> Body:
    """The body of a COMMIT record."""
    meta: dict[str, Any] = {}
    if commit.schemas:
        meta["schemas"] = [[number, schema_to_meta(s)] for number, s in commit.schemas.items()]
    if commit.created:
        meta["created"] = [list(bucket) for bucket in commit.created]
    if commit.renamed:
        meta["renamed"] = [list(bucket) for bucket in commit.renamed]
    if commit.altered:
        meta["altered"] = [list(bucket) for bucket in commit.altered]
    if commit.deletes:
        meta["deletes"] = [list(delete) for delete in commit.deletes]
    if commit.destroyed:
        meta["destroyed"] = commit.destroyed
    arrays: list[NDArray[Any]] = []
    if commit.sections:
        meta["sections"] = [[s.schema_id, len(s.arrays)] for s in commit.sections]
        for section in commit.sections:
            arrays += [section.ids, section.starts, section.ts, *section.arrays]
    if commit.segment_names:
        meta["segments"] = len(commit.segment_names)
        arrays += [lines_to_array(commit.segment_names), *table_to_arrays(commit.segments)]
    return Body(meta, arrays, version=version_of(commit.schemas.values()))


def decode_commit(record: Record) -> Commit:
    """The commit of a COMMIT record; its arrays are views into the record."""
    meta = record.meta
    sections = []
    position = 0
    for schema_id, columns in meta.get("sections", ()):
        ids, starts, ts = record.arrays[position : position + 3]
        arrays = record.arrays[position + 3 : position + 3 + columns]
        sections.append(Section(schema_id, ids, starts, ts, arrays))
        position += 3 + columns
    table, names = np.empty(0, SEGMENT_DTYPE), []
    if meta.get("segments"):
        names = lines_from_array(record.arrays[position])
        table = table_from_arrays(SEGMENT_DTYPE, record.arrays[position + 1 :])
    return Commit(
        schemas={number: schema_from_meta(s) for number, s in meta.get("schemas", ())},
        created=[(number, key, schema) for number, key, schema in meta.get("created", ())],
        renamed=[(number, key) for number, key in meta.get("renamed", ())],
        altered=[(number, schema) for number, schema in meta.get("altered", ())],
        deletes=[(bucket, first, last) for bucket, first, last in meta.get("deletes", ())],
        sections=sections,
        segments=table,
        segment_names=names,
        destroyed=list(meta.get("destroyed", ())),
    )


def single_run(schema_id: int, bucket_id: int, ts: NDArray[np.int64], arrays: list[Any]) -> Section:
    """The section of rows that all belong to one bucket."""
    starts = np.array([0, len(ts)], np.int64)
    return Section(schema_id, np.array([bucket_id], np.uint32), starts, ts, arrays)
