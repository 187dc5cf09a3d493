"""Up to when a connection streamed before, kept in the store: a start goes on from there.

The last stored row does not say it. A backfill after a stop stores rows that lie behind what the
stop has cost, and what trades rarely has an old one although nothing was missed.

`_massive/24H/STREAMED`, of a connection with a name `STREAMED_NAME`, has a row for each kind, at
the instant up to which its rows have come. It is written once a minute and when the connection is
lost, and left as it is while others stream its symbols.

    Kind   U16   as in `data_types`
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
from tsstore_massive.changes import ALL, read_watched

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.api import StoreApi
    from tsstore_massive.schemas import Kind

SCHEMA = Schema.of({"Kind": "U16"}, variable=True)

_EVER = np.datetime64(0, "ns"), np.datetime64(MAX_NS, "ns")


@dataclass(frozen=True)
class Streamed:
    """What a connection streamed before.

    Attributes:
        until_ns: up to when, by kind; ns since 1970 UTC.
        symbols: whose rows; None for all of its market.
    """

    until_ns: Mapping[str, int] = field(default_factory=dict)
    symbols: frozenset[str] | None = frozenset()

    @staticmethod
    def read(store: StoreApi, connection: str) -> Streamed:
        """What is written down; before the desk writes which symbols are streamed from now on."""
        try:
            rows = store.read(_key(connection))
        except NotFoundError:
            return Streamed()
        until_ns = dict(zip(rows["Kind"].tolist(), rows.ts.tolist(), strict=True))
        watched = read_watched(store).get(connection, [])
        return Streamed(until_ns, None if ALL in watched else frozenset(watched))

    def of(self, kind: Kind, symbol: str) -> int | None:
        """Up to when the rows of a symbol came; None if it was not streamed."""
        is_streamed = self.symbols is None or symbol in self.symbols
        return self.until_ns.get(kind) if is_streamed else None


def write(store: StoreApi, connection: str, until_ns: Mapping[Kind, int]) -> None:
    """Write down up to when a connection streamed, by kind.

    Raises:
        TsStoreError: the store refused it.
    """
    rows = Columns(
        np.array(list(until_ns.values()), np.int64), {"Kind": np.array(list(until_ns), "U16")}
    )
    store.commit([Replace(_key(connection), *_EVER, rows, SCHEMA)])


def _key(connection: str) -> str:
    return f"_massive/24H/STREAMED_{connection}" if connection else "_massive/24H/STREAMED"
