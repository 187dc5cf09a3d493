"""Which reference data were fetched, so that a refresh asks for little.

`_massive/24H/REFERENCE` has a row for each kind and symbol, at the moment of the last refresh:

    Kind    U16  splits, dividends, tickers or names
    Symbol  U32  whose; empty for every symbol of the market
    Whole   i8   when everything from the first day on was fetched, ns since 1970 UTC

It is written after the rows of which it speaks, so it never claims more than is stored.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.times import MAX_NS
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.api import StoreApi
    from tsstore_massive.schemas import ReferenceKind

KEY = "_massive/24H/REFERENCE"
SCHEMA = Schema.of({"Kind": "U16", "Symbol": "U32", "Whole": "i8"}, variable=True)
EVERY_SYMBOL = ""

_EVER = np.datetime64(0, "ns"), np.datetime64(MAX_NS, "ns")


class Entry(NamedTuple):
    """What was fetched of a kind and symbol.

    Attributes:
        latest_ns: when it was refreshed.
        whole_ns: when all of it was fetched.
    """

    latest_ns: int
    whole_ns: int


class Ledger:
    """What was fetched; not thread-safe.

    Args:
        store: where it is written down.
        now_ns: the wall clock, nanoseconds since 1970 UTC. What is dated more than a day later was
            written by a clock that was wrong, and counts as never fetched.
    """

    def __init__(self, store: StoreApi, now_ns: int) -> None:
        self._store = store
        self._last_ns = now_ns + NS_PER_DAY
        self._entries = self._read()

    def find(self, kind: ReferenceKind, symbol: str) -> Entry | None:
        """What was fetched of a symbol, by itself or with the whole market."""
        own = self._entries.get((kind, symbol))
        market = self._entries.get((kind, EVERY_SYMBOL))
        return max(filter(None, (own, market)), default=None)

    def note(
        self, kind: ReferenceKind, symbols: Iterable[str], now_ns: int, *, whole: bool
    ) -> None:
        """Write down that some symbols were fetched: all of their rows, or the newer ones."""
        self._entries = self._read()  # others may have written meanwhile
        for symbol in symbols:
            before = self.find(kind, symbol)
            since = now_ns if whole or before is None else before.whole_ns
            self._entries[kind, symbol] = Entry(now_ns, since)
        self._store.commit([self._replace()])

    def _replace(self) -> Replace:
        ordered = sorted(self._entries.items(), key=lambda item: (item[1], item[0]))
        columns = {
            "Kind": np.array([kind for (kind, _), _ in ordered], "U16"),
            "Symbol": np.array([symbol for (_, symbol), _ in ordered], "U32"),
            "Whole": np.array([entry.whole_ns for _, entry in ordered], np.int64),
        }
        ts = np.array([entry.latest_ns for _, entry in ordered], np.int64)
        return Replace(KEY, *_EVER, Columns(ts, columns, variable=True), SCHEMA)

    def _read(self) -> dict[tuple[str, str], Entry]:
        try:
            rows = self._store.read(KEY, end=np.datetime64(self._last_ns, "ns"))
        except NotFoundError:
            return {}
        keys = zip(rows["Kind"].tolist(), rows["Symbol"].tolist(), strict=True)
        return dict(zip(keys, map(Entry, rows.ts.tolist(), rows["Whole"].tolist()), strict=True))
