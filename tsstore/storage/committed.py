"""What listeners learn of a commit; put together only when they ask."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.columns import Columns
from tsstore.times import MAX_NS, MIN_NS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from tsstore.format.commit import Commit, Section
    from tsstore.storage.catalog import Catalog


logger = logging.getLogger("tsstore.storage")


def tell(listeners: Iterable[Callable[[Committed], None]], event: Committed) -> None:
    """Call each listener; one that fails keeps the others from nothing."""
    for listener in listeners:
        try:
            listener(event)
        except Exception:
            logger.exception("a listener failed; the commit is not affected")


class Stretch(NamedTuple):
    """A stretch of time in which rows of a bucket changed.

    Attributes:
        key: the bucket.
        first_ns: the first instant.
        last_ns: the last instant, included.
        removed: whether rows were removed, and not only written.
    """

    key: str
    first_ns: int
    last_ns: int
    removed: bool


class Touched:
    """Where a commit changed rows, without the rows: little enough to keep many of them.

    Attributes:
        sequence: number of the commit.
    """

    __slots__ = ("_names", "_removed", "_written", "sequence")

    def __init__(self, commit: Commit, names: Mapping[int, str], sequence: int) -> None:
        self.sequence = sequence
        self._names = names
        self._written = [_ends(section) for section in (*commit.sections, *commit.loaded)]
        if commit.segment_names and not commit.loaded:  # a copy, whose rows nobody has in memory
            table = commit.segments
            first, last = int(table["first_ts"].min()), int(table["last_ts"].max())
            self._written += [_one(bucket_id, first, last) for bucket_id, _, _ in commit.created]
        self._written += [_one(bucket_id, MIN_NS, MAX_NS) for bucket_id, _ in commit.renamed]
        # Who deletes from the very first row on makes room: that is no news of what the rows said.
        self._removed = [one for one in commit.deletes if one[1] != MIN_NS]

    def __len__(self) -> int:
        """How many stretches there are."""
        return sum(len(ids) for ids, _, _ in self._written) + len(self._removed)

    def stretches(self, wanted: Callable[[str], bool]) -> Iterator[Stretch]:
        """Those of the wanted buckets."""
        written = (
            (bucket_id, first, last, False)
            for ends in self._written
            for bucket_id, first, last in zip(*(array.tolist() for array in ends), strict=True)
        )
        removed = ((bucket_id, first, last, True) for bucket_id, first, last in self._removed)
        for several in (removed, written):
            for bucket_id, first, last, is_removed in several:
                key = self._names.get(bucket_id)
                if key is not None and wanted(key):
                    yield Stretch(key, first, last, is_removed)


_Ends = tuple["NDArray[np.uint32]", "NDArray[np.int64]", "NDArray[np.int64]"]


def _ends(section: Section) -> _Ends:
    """Buckets of a section, first and last instant of each."""
    starts = section.starts
    return section.ids, section.ts[starts[:-1]], section.ts[starts[1:] - 1]


def _one(bucket_id: int, first: int, last: int) -> _Ends:
    return np.array([bucket_id], np.uint32), np.array([first]), np.array([last])


class Committed:
    """The rows of one commit, by bucket.

    Attributes:
        sequence: number of the commit.
    """

    def __init__(self, commit: Commit, catalog: Catalog, sequence: int) -> None:
        self.sequence = sequence
        self._commit = commit
        self._sections = [*commit.sections, *commit.loaded]
        self._names = catalog.keys_by_id()
        self._schemas = catalog.schemas

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return sum(len(section.ts) for section in self._sections)

    @property
    def bytes(self) -> int:
        """What the rows take in memory."""
        return sum(section.bytes for section in self._sections)

    @property
    def is_told(self) -> bool:
        """Whether all its rows are here; not of a bulk load that began before anyone listened."""
        return bool(self._commit.loaded) or not self._commit.segment_names

    @property
    def keys(self) -> list[str]:
        """Names of the buckets that got rows."""
        names = self._names
        ids = (bucket_id for section in self._sections for bucket_id in section.ids.tolist())
        return [names[bucket_id] for bucket_id in ids if bucket_id in names]

    def touched(self) -> Touched:
        """Where rows changed."""
        return Touched(self._commit, self._names, self.sequence)

    def batches(self, wanted: Callable[[str], bool]) -> dict[str, Columns]:
        """The rows of the wanted buckets, as they were written: ascending, no row twice."""
        return {
            key: rows
            for section in self._sections
            for key, rows in self._of_section(section, wanted)
        }

    def _of_section(
        self, section: Section, wanted: Callable[[str], bool]
    ) -> list[tuple[str, Columns]]:
        schema = self._schemas[section.schema_id]
        batches = []
        for place, bucket_id in enumerate(section.ids.tolist()):
            key = self._names.get(bucket_id)
            if key is None or not wanted(key):
                continue
            rows = slice(int(section.starts[place]), int(section.starts[place + 1]))
            columns = zip(schema.names, section.arrays, strict=True)
            arrays = {name: array[rows] for name, array in columns}
            batches.append((key, Columns(section.ts[rows], arrays, variable=schema.is_variable)))
        return batches
