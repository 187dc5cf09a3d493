"""New bars go to the store in one commit; buckets that they do not fit are left out and named."""

from __future__ import annotations

from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Replace, Write, WriteTable
from tsstore.columns import Columns
from tsstore.errors import NotFoundError, SchemaMismatchError
from tsstore_ondiskagg.refresh import Bars

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi

# Bars that wait for a commit; a minute of all of a market is one commit.
_BARS_AT_ONCE = 200_000


class BarWriter:
    """Collects bars and writes them.

    Attributes:
        refused: how many bars did not fit their bucket.
    """

    def __init__(self, store: StoreApi, logger: logging.Logger) -> None:
        self._store = store
        self._logger = logger
        self._said: set[str] = set()
        self.refused = 0

    def write(self, bars: Iterable[Bars | Replace]) -> int:
        """Write bars; returns how many."""
        written = waiting = 0
        several: list[Bars | Replace] = []
        for each in bars:
            several.append(each)
            waiting += len(each.rows if isinstance(each, Bars) else each.data)
            if waiting >= _BARS_AT_ONCE:
                written += self._commit(several)
                several, waiting = [], 0
        return written + self._commit(several)

    def _commit(self, bars: Sequence[Bars | Replace]) -> int:
        if not bars:
            return 0
        tables, replaced = _together(bars)
        try:
            return self._store.commit([*map(_table, tables), *replaced])
        except SchemaMismatchError:
            kept = [self._fitting(table) for table in tables]
            replaced = [one for one in replaced if self._fits(one.key, one.data)]
        return self._store.commit([*chain.from_iterable(kept), *replaced])

    def _fitting(self, bars: Bars) -> list[Write]:
        """The bars of one destination, each bucket by itself, without those that do not fit."""
        operations = []
        cuts = np.flatnonzero(bars.symbols[1:] != bars.symbols[:-1]) + 1
        bounds = [0, *cuts.tolist(), len(bars.symbols)]
        for first, end in pairwise(bounds):
            key = f"{bars.symbols[first]}/{bars.group}"
            rows = bars.rows.slice(first, end)
            if self._fits(key, rows):
                operations.append(Write(key, rows))
        return operations

    def _fits(self, key: str, rows: Columns) -> bool:
        try:
            there = self._store.info(key).schema
        except NotFoundError:
            return True
        if set(there.names) == set(rows.names) and _are_lossless(rows, there.dtypes):
            return True
        self.refused += len(rows)
        if key not in self._said:
            self._said.add(key)
            self._logger.error(
                "%s: has the columns %s and the bars to write have %s; it is left as it is: rename "
                "or destroy it, or take it out of `destinations`",
                key, _shown(there.columns), _shown(rows.schema.columns),
            )  # fmt: skip
        return False


def _together(bars: Sequence[Bars | Replace]) -> tuple[list[Bars], list[Replace]]:
    """Bars of the same group and columns in one, and the rest."""
    alike: dict[Any, list[Bars]] = {}
    for each in bars:
        if isinstance(each, Bars):
            columns = tuple((name, array.dtype) for name, array in each.rows.items())
            alike.setdefault((each.group, columns), []).append(each)
    tables = [
        Bars(
            group,
            np.concatenate([each.symbols for each in several]),
            Columns.concat([each.rows for each in several]),
        )
        for (group, _), several in alike.items()
    ]
    return tables, [each for each in bars if isinstance(each, Replace)]


def _table(bars: Bars) -> WriteTable:
    columns: dict[str, NDArray[Any]] = {"Symbol": bars.symbols}
    columns["Epoch"] = bars.rows.ts.view("M8[ns]")
    return WriteTable(bars.group, columns | dict(bars.rows.items()))


def _are_lossless(rows: Columns, dtypes: Any) -> bool:
    """Whether each value stays the same in the types of the bucket."""
    return all(
        array.dtype == dtypes[name]
        or np.array_equal(array, array.astype(dtypes[name]).astype(array.dtype), equal_nan=True)
        for name, array in rows.items()
    )


def _shown(columns: Iterable[tuple[str, np.dtype[Any]]]) -> str:
    return ", ".join(f"{name} {dtype.str.lstrip('<|')}" for name, dtype in columns)
