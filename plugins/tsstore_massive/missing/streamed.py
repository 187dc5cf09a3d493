"""Up to when a connection streamed before, and what: a start goes on from there.

The last stored row does not say it. A backfill after a stop stores rows that lie behind what the
stop has cost, and what trades rarely has an old one although nothing was missed. What is wanted
does not say it either: of a symbol that came while the connection was down nothing was streamed.

Up to there everything is stored, stands in the journal of gaps, or was given up for good and shown,
as what the plan does not include. So it is written where the connection begins to stream, once a
minute while it does, when it is lost, and when what is missed so far is written down; in one
commit, the symbols only when they are others than before. Of a connection with a name the buckets
end with `_NAME`.

    _massive/24H/STREAMED     a row for each kind, at the instant up to which nothing is left out
        Kind    U16  as in `data_types`

    _massive/24H/SUBSCRIBED   whose rows, a row each
        Symbol  U32  as buckets spell it; `*` for every symbol of the market
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.times import MAX_NS
from tsstore_massive.changes import ALL

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from tsstore.api import StoreApi
    from tsstore_massive.schemas import Kind

_GROUP = "_massive/24H/"
_TIMES, _SYMBOLS = "STREAMED", "SUBSCRIBED"
TIMES_SCHEMA = Schema.of({"Kind": "U16"}, variable=True)
SYMBOLS_SCHEMA = Schema.of({"Symbol": "U32"}, variable=True)

_EVER = np.datetime64(0, "ns"), np.datetime64(MAX_NS, "ns")


@dataclass(frozen=True)
class Streamed:
    """What a connection streamed before.

    Attributes:
        until_ns: up to when, by kind; ns since 1970 UTC.
        symbols: whose rows; None for all of its market.
    """

    until_ns: Mapping[Kind, int] = field(default_factory=dict)
    symbols: frozenset[str] | None = frozenset()

    @staticmethod
    def read(store: StoreApi, connection: str) -> Streamed:
        """What is written down; nothing where it was not."""
        try:
            times = store.read(_key(_TIMES, connection))
            symbols = frozenset(store.read(_key(_SYMBOLS, connection))["Symbol"].tolist())
        except NotFoundError:
            return Streamed()
        until_ns = dict(zip(times["Kind"].tolist(), times.ts.tolist(), strict=True))
        return Streamed(until_ns, None if ALL in symbols else symbols)

    def of(self, kind: Kind, symbol: str) -> int | None:
        """Up to when the rows of a symbol came; None if it was not streamed."""
        is_streamed = self.symbols is None or symbol in self.symbols
        return self.until_ns.get(kind) if is_streamed else None

    def write(self, store: StoreApi, connection: str, before: Streamed) -> None:
        """Write it down, where something else is written by now.

        Raises:
            TsStoreError: the store refused it.
        """
        replaced = []
        if self.until_ns != before.until_ns:
            kinds = {"Kind": np.array([*self.until_ns], "U16")}
            times = Columns(np.array([*self.until_ns.values()], np.int64), kinds)
            replaced.append(Replace(_key(_TIMES, connection), *_EVER, times, TIMES_SCHEMA))
        if self.symbols != before.symbols:
            names = [ALL] if self.symbols is None else sorted(self.symbols)
            symbols = Columns(np.zeros(len(names), np.int64), {"Symbol": np.array(names, "U32")})
            replaced.append(Replace(_key(_SYMBOLS, connection), *_EVER, symbols, SYMBOLS_SCHEMA))
        if replaced:
            store.commit(replaced)


def forget_others(store: StoreApi, connections: Collection[str]) -> None:
    """Forget what connections that are not made any more streamed.

    Nobody writes it on, so it would show gaps in what others stream by now.

    Raises:
        TsStoreError: the store refused it.
    """
    for what in (_TIMES, _SYMBOLS):
        known = {_key(what, name) for name in connections}
        for key in store.list(f"{_GROUP}{what}*"):
            if key not in known:
                store.destroy(key)


def _key(what: str, connection: str) -> str:
    return f"{_GROUP}{what}_{connection}" if connection else f"{_GROUP}{what}"
