"""The identity of ticks that nobody numbers, made of what they say.

The vendor tells neither a sequence nor an id of quotes of forex, crypto and futures, and of trades
of options (the socket alone does). Their rows must be one row nevertheless when they come from the
socket, from REST and from a flat file, and two rows when the market quoted the same twice within a
millisecond. So each is named by

- a *digest* of what all sources tell of it: prices and sizes, and where a trade was made;
- its *place*: how many of the same symbol, millisecond and digest came before it.

Sources order the ticks of a millisecond differently; the place does not depend on that, as it is
counted among equals only. Whoever has all of them has the same names, and whoever has some has a
part of the same names. Times count as milliseconds because the socket tells no more.

Equals are counted over batches, pages and runs of a file: what came lately is remembered as numbers
of eight bytes. A new connection, request or file begins to count anew.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore_massive.schemas import Kind

#: As many ticks at least, and twice as many at most, lie between equals that are told apart.
REMEMBERED = 1 << 16

_MS = 1_000_000
_PLACE_BITS = 15
_DIGEST_BITS = 48


class Numbering:
    """Names ticks that have no number; one for each connection, request or file."""

    def __init__(self) -> None:
        self._newer = _Counts.none()
        self._older = _Counts.none()

    def named(
        self,
        kind: Kind,
        ts: NDArray[np.int64],
        columns: dict[str, NDArray[Any]],
        symbols: Callable[[NDArray[np.intp]], Sequence[str]],
    ) -> dict[str, NDArray[Any]]:
        """The columns with an identity for those rows that have none.

        Args:
            kind: what the rows are.
            ts: int64 nanoseconds since 1970 UTC, shape (rows,).
            columns: of the kind's schema, each of shape (rows,), in the order they came.
            symbols: tells the symbols of rows by their positions; asked only when it matters.

        Returns:
            The same columns, or new ones in place of those that name a row.
        """
        rule = _RULES.get(kind)
        if rule is None:
            return columns
        nameless = columns["Sequence"] == 0
        if "TradeID" in columns:
            nameless &= columns["TradeID"] == 0
        if not nameless.any():
            return columns
        rows = np.flatnonzero(nameless)
        digests = _digest([ts[rows] // _MS, *(columns[name][rows] for name in rule.content)])
        hashes = np.array(list(map(hash, symbols(rows))), np.int64)
        places = self._places(_digest([digests.view(np.int64), hashes]))
        named = {name: columns[name].copy() for name in rule.names}
        for name, values in rule.names_of(places, digests).items():
            named[name][rows] = values
        return {**columns, **named}

    def _places(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """How many equal keys came before each, int64 of the shape of the keys."""
        order = np.argsort(keys, kind="stable")
        ordered = keys[order]
        starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1]))
        distinct, counts = ordered[starts], np.diff(np.append(starts, len(ordered)))
        before = np.maximum(self._newer.of(distinct), self._older.of(distinct))
        self._remember(distinct, before + counts)
        places = np.empty(len(keys), np.int64)
        places[order] = np.arange(len(keys)) - np.repeat(starts - before, counts)
        return places

    def _remember(self, keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> None:
        self._newer = self._newer.updated(keys, counts)
        if len(self._newer.keys) >= REMEMBERED:
            self._older, self._newer = self._newer, _Counts.none()


@dataclass(frozen=True, slots=True)
class _Counts:
    """How often keys came.

    Attributes:
        keys: uint64, ascending, each once.
        counts: int64, one for each key.
    """

    keys: NDArray[np.uint64]
    counts: NDArray[np.int64]

    @staticmethod
    def none() -> _Counts:
        return _Counts(np.empty(0, np.uint64), np.empty(0, np.int64))

    def of(self, keys: NDArray[np.uint64]) -> NDArray[np.int64]:
        """The count of each key, 0 for those that never came."""
        if not len(self.keys):
            return np.zeros(len(keys), np.int64)
        at = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return np.where(self.keys[at] == keys, self.counts[at], 0)

    def updated(self, keys: NDArray[np.uint64], counts: NDArray[np.int64]) -> _Counts:
        """With other counts for some keys, which ascend."""
        both = np.concatenate((self.keys, keys))
        order = np.argsort(both, kind="stable")  # two ascending runs: a merge
        ordered = both[order]
        last = np.append(ordered[1:] != ordered[:-1], True)
        return _Counts(ordered[last], np.concatenate((self.counts, counts))[order][last])


@dataclass(frozen=True, slots=True)
class _Rule:
    """How rows of a kind are named.

    Attributes:
        content: the columns that all sources tell alike.
        names: the columns that name a row.
        names_of: their values, of places and digests.
    """

    content: tuple[str, ...]
    names: tuple[str, ...]
    names_of: Callable[[NDArray[np.int64], NDArray[np.uint64]], dict[str, NDArray[np.int64]]]


def _two_names(
    places: NDArray[np.int64], digests: NDArray[np.uint64]
) -> dict[str, NDArray[np.int64]]:
    """A negative id, as of ids that are text."""
    return {"Sequence": places, "TradeID": -1 - (digests >> np.uint64(1)).astype(np.int64)}


def _one_name(
    places: NDArray[np.int64], digests: NDArray[np.uint64]
) -> dict[str, NDArray[np.int64]]:
    high = np.minimum(places, (1 << _PLACE_BITS) - 1) << _DIGEST_BITS
    low = (digests >> np.uint64(64 - _DIGEST_BITS)).astype(np.int64)
    return {"Sequence": high | low}


_RULES: Mapping[Kind, _Rule] = {
    "trades": _Rule(("Price", "Size", "Exchange"), ("Sequence", "TradeID"), _two_names),
    "quotes": _Rule(("BidPrice", "AskPrice", "BidSize", "AskSize"), ("Sequence",), _one_name),
    "luld": _Rule(("High", "Low", "Indicator1"), ("Sequence",), _one_name),
}


def _digest(columns: Sequence[NDArray[Any]]) -> NDArray[np.uint64]:
    """A number for each row that differs when any of its values does, uint64.

    The same on every machine and in every process: it is stored. Never change it.
    """
    digest = np.zeros(len(columns[0]), np.uint64)
    for column in columns:
        if column.dtype.kind == "f":
            wide = (column.astype("f8") + 0.0).view(np.uint64)  # -0.0 is 0.0
        else:
            wide = column.astype("i8").view(np.uint64)
        # One round of splitmix64.
        digest = (digest ^ wide) + np.uint64(0x9E3779B97F4A7C15)
        digest = (digest ^ (digest >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        digest = (digest ^ (digest >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        digest ^= digest >> np.uint64(31)
    return digest
