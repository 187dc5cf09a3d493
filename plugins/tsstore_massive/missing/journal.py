"""Stretches that are still to be fetched, kept in the store: a new start goes on with them.

Up to when a connection streamed (`streamed.py`) says how far an earlier run got, but not what it
left out before: once it streams again, a stretch that was missed lies behind that. So it stands in
a bucket of its own, `_massive/24H/TRADES_GAPS` for trades, before the first of those rows is
stored, and until it is filled. A connection with a name has its own, `TRADES_GAPS_NAME`. There is
one row per stretch and symbol, at the first instant of the stretch:

    End       i8   its last instant, ns since 1970 UTC
    Symbol    U32  as the vendor spells it; empty for every symbol there is
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.times import MAX_NS
from tsstore_massive.schemas import KINDS

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore_massive.schemas import Kind

SCHEMA = Schema.of({"End": "i8", "Symbol": "U32"}, variable=True)

_EVER = np.datetime64(0, "ns"), np.datetime64(MAX_NS, "ns")

#: First instant, last instant and symbol; no symbol stands for all of them.
Entry = tuple[int, int, str]


class Journal:
    """Writes down what is missing; not thread-safe.

    Args:
        store: where.
        connection: whose gaps; empty for the only one.
    """

    def __init__(self, store: StoreApi, connection: str = "") -> None:
        self._store = store
        self._ending = f"_{connection}" if connection else ""
        self._written: dict[Kind, list[Entry]] = {}

    def read(self, kind: Kind) -> list[Entry]:
        """What was missing when it was written down last, in order of time."""
        try:
            rows = self._store.read(self.key(kind))
        except NotFoundError:
            return []
        columns = (rows.ts, rows["End"], rows["Symbol"])
        entries = list(zip(*(column.tolist() for column in columns), strict=True))
        self._written[kind] = sorted(entries)
        return entries

    def write(self, missing: Mapping[Kind, Iterable[Entry]]) -> None:
        """Have exactly this written down, in one commit; a kind without an entry has no gap.

        Raises:
            TsStoreError: the store refused it.
        """
        now = {kind: sorted(missing.get(kind, ())) for kind in KINDS}
        changed = [kind for kind in KINDS if now[kind] != self._written.get(kind, [])]
        if changed:
            self._store.commit([_replace(self.key(kind), now[kind]) for kind in changed])
            self._written = now

    def key(self, kind: Kind) -> str:
        """The bucket of the gaps of a kind."""
        return f"_massive/24H/{kind.upper()}_GAPS{self._ending}"


def written_down(
    store: StoreApi, kind: Kind
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_]]:
    """What all connections are still to fetch: first and last instants, and whose, or no symbol."""
    starts, ends = [np.empty(0, np.int64)], [np.empty(0, np.int64)]
    symbols = [np.empty(0, "U32")]
    for key in store.list(f"_massive/24H/{kind.upper()}_GAPS*"):
        rows = store.read(key)
        starts.append(rows.ts)
        ends.append(rows["End"])
        symbols.append(rows["Symbol"])
    return np.concatenate(starts), np.concatenate(ends), np.concatenate(symbols)


def abandoned(store: StoreApi, connections: Collection[str]) -> list[str]:
    """Buckets with gaps of other connections than these, which nobody fetches."""
    known = {Journal(store, name).key(kind) for name in connections for kind in KINDS}
    there = [key for kind in KINDS for key in store.list(f"_massive/24H/{kind.upper()}_GAPS*")]
    return sorted(key for key in there if key not in known and store.info(key).last_ns is not None)


def _replace(key: str, entries: Sequence[Entry]) -> Replace:
    starts, ends, symbols = zip(*entries, strict=True) if entries else ((), (), ())
    rows = Columns(
        np.array(starts, np.int64),
        {"End": np.array(ends, np.int64), "Symbol": np.array(symbols, "U32")},
    )
    return Replace(key, *_EVER, rows, SCHEMA)
