"""Symbols added and removed by command, and what the worker streams now: buckets of the store.

The store is the way from a command to the worker: whoever may write to it may change the symbols,
through the server or, when none runs, beside it. So no port and no right is needed that there is
not already, and a change outlives the worker.

    _massive/1Sec/SYMBOLS   what was asked for, a row each, in order of time
        Connection  U32  whose; empty for every connection of the symbol's market
        Symbol      U32  as the vendor spells it
        Wanted      i1   1 added, -1 removed, 0 as the configuration says

    _massive/24H/WATCHED    what is streamed, one row a symbol, at the moment it was written
        Connection  U32
        Symbol      U32  `*` for every symbol of the market

    _massive/24H/CONNECTIONS   the connections that there are, in the same way
        Name        U32  empty for the only one
        Market      U8
"""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import NotFoundError, SchemaMismatchError
from tsstore.schema import Schema
from tsstore.times import MAX_NS
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tsstore.api import StoreApi

CHANGES_KEY = "_massive/1Sec/SYMBOLS"
WATCHED_KEY = "_massive/24H/WATCHED"
CONNECTIONS_KEY = "_massive/24H/CONNECTIONS"
ALL = "*"

_CHANGES = Schema.of({"Connection": "U32", "Symbol": "U32", "Wanted": "i1"}, variable=True)
_WATCHED = Schema.of({"Connection": "U32", "Symbol": "U32"}, variable=True)
_CONNECTIONS = Schema.of({"Name": "U32", "Market": "U8"}, variable=True)
_EVER = np.datetime64(0, "ns"), np.datetime64(MAX_NS, "ns")


@dataclass(frozen=True)
class Changes:
    """What commands have changed, the last word on each symbol.

    Attributes:
        added: (connection, symbol); the connection is empty for any of the symbol's market.
        removed: the same.
        odd: what somebody else has written that is no symbol of a bucket, and is left out.
    """

    added: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    removed: frozenset[tuple[str, str]] = field(default_factory=frozenset)
    odd: frozenset[str] = field(default_factory=frozenset)

    def wanted(self, connection: str, symbol: str) -> int:
        """What was asked for last: 1, -1, or 0 for what the configuration says."""
        what = connection, symbol
        return (what in self.added) - (what in self.removed)


def stamp_of_changes(store: StoreApi) -> tuple[int, int]:
    """What is another one after each command; quick, however many there were."""
    try:
        info = store.info(CHANGES_KEY)
    except NotFoundError:
        return 0, 0
    return info.rows, info.last_ns or 0


def read_changes(store: StoreApi) -> Changes:
    """What commands have changed up to now.

    Whoever may write to the store can have written the rows.

    Raises:
        SchemaMismatchError: the bucket is none of ours.
    """
    try:
        rows = store.read(CHANGES_KEY)
    except NotFoundError:
        return Changes()
    if rows.schema.dtypes != _CHANGES.dtypes:
        raise SchemaMismatchError(
            f"{CHANGES_KEY} holds other columns than `tsstore symbols` writes; destroy it, and ask "
            "for the symbols again"
        )
    last: dict[tuple[str, str], int] = {}
    columns = (rows["Connection"], rows["Symbol"], rows["Wanted"])
    for connection, symbol, wanted in zip(*(c.tolist() for c in columns), strict=True):
        last[connection, symbol] = wanted
    odd = {symbol for _, symbol in last if not _is_symbol(symbol)}
    known = [(what, wanted) for what, wanted in last.items() if what[1] not in odd]
    return Changes(
        frozenset(what for what, wanted in known if wanted > 0),
        frozenset(what for what, wanted in known if wanted < 0),
        frozenset(odd),
    )


@lru_cache(maxsize=65_536)
def _is_symbol(text: str) -> bool:
    """Whether it is exactly one symbol: more would be more topics, and `*` the whole market."""
    return not {ALL, ","}.intersection(text) and bucket_symbol(text) == text


def write_changes(
    store: StoreApi, symbols: Sequence[str], wanted: int, *, connection: str, now_ns: int
) -> None:
    """Ask for symbols to be added (1), removed (-1), or be as the configuration says (0).

    Raises:
        TsStoreError: the store takes no rows, or not from this caller.
    """
    try:
        last_ns = store.info(CHANGES_KEY).last_ns or 0
    except NotFoundError:
        last_ns = 0
    # A clock that was put back must not let an older command have the last word.
    at_ns = max(now_ns, last_ns + 1)
    rows = Columns(
        np.full(len(symbols), at_ns, np.int64),
        {
            "Connection": np.full(len(symbols), connection, "U32"),
            "Symbol": np.array(symbols, "U32"),
            "Wanted": np.full(len(symbols), wanted, np.int8),
        },
    )
    store.write(CHANGES_KEY, rows, schema=_CHANGES)


def read_watched(store: StoreApi) -> dict[str, list[str]]:
    """The symbols that the worker streams, by connection; empty if it has never run."""
    try:
        rows = store.read(WATCHED_KEY)
    except NotFoundError:
        return {}
    watched: dict[str, list[str]] = {}
    for connection, symbol in zip(
        rows["Connection"].tolist(), rows["Symbol"].tolist(), strict=True
    ):
        watched.setdefault(connection, []).append(symbol)
    return watched


def write_watched(
    store: StoreApi, watched: Mapping[str, Iterable[str] | None], *, now_ns: int
) -> None:
    """Write down what is streamed, by connection; None for every symbol of its market."""
    pairs = [
        (connection, symbol)
        for connection, symbols in watched.items()
        for symbol in ((ALL,) if symbols is None else sorted(symbols))
    ]
    names, symbols = zip(*pairs, strict=True) if pairs else ((), ())
    rows = Columns(
        np.full(len(pairs), now_ns, np.int64),
        {"Connection": np.array(names, "U32"), "Symbol": np.array(symbols, "U32")},
    )
    store.commit([Replace(WATCHED_KEY, *_EVER, rows, _WATCHED)])


def read_connections(store: StoreApi) -> dict[str, str]:
    """The market of each connection of the worker; empty if it has never run."""
    try:
        rows = store.read(CONNECTIONS_KEY)
    except NotFoundError:
        return {}
    return dict(zip(rows["Name"].tolist(), rows["Market"].tolist(), strict=True))


def write_connections(store: StoreApi, markets: Mapping[str, str], *, now_ns: int) -> None:
    """Write down which connections there are, by name, and whose market each is of."""
    rows = Columns(
        np.full(len(markets), now_ns, np.int64),
        {"Name": np.array(list(markets), "U32"), "Market": np.array([*markets.values()], "U8")},
    )
    store.commit([Replace(CONNECTIONS_KEY, *_EVER, rows, _CONNECTIONS)])
