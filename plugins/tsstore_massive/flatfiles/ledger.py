"""Which files are in the store, kept in the store itself.

There is a bucket for each data set, `_massive/24H/FLATFILES_STOCKS_MINUTE_AGGS`, with a row for
each day and selection of tickers, at midnight UTC of the day:

    ETag       U64  of the file that was loaded, or the name of who is about to bring rows
    Rows       i8   that it gave; -1 while rows may come: of a load, or of somebody else
    Selection  U64  the tickers that were asked for, or a digest of a long list

The row of a file is written when everything it speaks of is stored. It counts as long as the
vendor's file has that ETag; a file with another one takes the place of what is there.
"""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.api import Operation, StoreApi
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.selection import Selection

SCHEMA = Schema.of({"ETag": "U64", "Rows": "i8", "Selection": "U64"}, variable=True)

_EPOCH = date(1970, 1, 1)
_ALL = "*"
#: In place of a number of rows.
_BEGUN = -1


class Entry(NamedTuple):
    """That a file was loaded."""

    etag: str
    rows: int
    selection: str


class Ledger:
    """The loaded files of one data set; not thread-safe.

    Args:
        store: where it is kept.
        flat: the data set.
    """

    def __init__(self, store: StoreApi, flat: FlatSet) -> None:
        self._store = store
        self._key = f"_massive/24H/FLATFILES_{flat.market.upper()}_{flat.name.upper()}"
        self._entries = self._read()

    def is_loaded(self, day: date, etag: str, selection: Selection) -> bool:
        """Whether the wanted rows of that very file are in the store."""
        return any(
            entry.etag == _cut(etag) and entry.selection in (selection.name, _ALL)
            for entry in self._entries.get(day, ())
        )

    def has_rows(self, day: date, selection: Selection) -> bool:
        """Whether the wanted rows of a file of that day are in the store, whichever file it was."""
        return any(
            entry.rows > 0 and entry.selection in (selection.name, _ALL)
            for entry in self._entries.get(day, ())
        )

    def had_other(self, day: date, etag: str) -> bool:
        """Whether rows of an older file of that day are in the store."""
        return any(entry.etag != _cut(etag) for entry in self._entries.get(day, ()))

    def add(
        self,
        day: date,
        etag: str,
        rows: int,
        selection: Selection,
        also: Iterable[Operation] = (),
    ) -> None:
        """Write down that a file was loaded.

        What was loaded of an older one is forgotten as far as it has taken its place.

        `also` is written in the same commit.
        """
        new = Entry(_cut(etag), rows, selection.name)
        old = self._entries.get(day, [])
        others = [entry for entry in old if entry.selection != new.selection]
        kept = [] if new.selection == _ALL else others
        entries = sorted([*kept, new])
        at_ns = (day - _EPOCH).days * NS_PER_DAY
        columns = {
            "ETag": np.array([entry.etag for entry in entries], "U64"),
            "Rows": np.array([entry.rows for entry in entries], np.int64),
            "Selection": np.array([entry.selection for entry in entries], "U64"),
        }
        at = np.datetime64(at_ns, "ns")
        data = Columns(np.full(len(entries), at_ns, np.int64), columns, variable=True)
        self._store.commit([Replace(self._key, at, at, data, SCHEMA), *also])
        self._entries[day] = entries

    def begin(self, day: date, name: str, selection: Selection) -> None:
        """Write down, if nothing is known of a day, that somebody is about to bring rows of it.

        Whatever file is loaded then takes the place of these.
        """
        if day not in self._entries:
            self.add(day, name, _BEGUN, selection)

    def _read(self) -> dict[date, list[Entry]]:
        try:
            rows = self._store.read(self._key)
        except NotFoundError:
            return {}
        entries: dict[date, list[Entry]] = {}
        columns = (rows.ts // NS_PER_DAY, rows["ETag"], rows["Rows"], rows["Selection"])
        for number, *values in zip(*(column.tolist() for column in columns), strict=True):
            entries.setdefault(_EPOCH + timedelta(days=number), []).append(Entry(*values))
        return entries


def _cut(etag: str) -> str:
    return etag[:64]
