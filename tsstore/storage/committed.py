"""What listeners learn of a commit; put together only when they ask."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from tsstore.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

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


class Committed:
    """The rows of one commit, by bucket."""

    def __init__(self, commit: Commit, catalog: Catalog) -> None:
        self._sections = [*commit.sections, *commit.loaded]
        self._names = catalog.keys_by_id()
        self._schemas = catalog.schemas

    @property
    def rows(self) -> int:
        """How many rows were written."""
        return sum(len(section.ts) for section in self._sections)

    @property
    def keys(self) -> list[str]:
        """Names of the buckets that got rows."""
        names = self._names
        ids = (bucket_id for section in self._sections for bucket_id in section.ids.tolist())
        return [names[bucket_id] for bucket_id in ids if bucket_id in names]

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
