"""What becomes of a symbol that a command was given, in a line for people.

The worker takes the change later, by itself; this is what it will do, as far as the store can tell.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore_massive.changes import ALL
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsstore_massive.changes import Changes

_BEFORE: Mapping[int, str] = {
    1: "was added before",
    -1: "was removed before",
    0: "was neither added nor removed",
}


@dataclass(frozen=True)
class Outcome:
    """Tells it of a command.

    Attributes:
        markets: of the worker's connections; none if it has never run.
        watched: what they stream.
        before: what was asked for before.
        connection: of the command; empty for any of a symbol's market.
    """

    markets: Mapping[str, str]
    watched: Mapping[str, Sequence[str]]
    before: Changes
    connection: str

    def of(self, symbol: str, wanted: int) -> str:
        """What becomes of a symbol that is added (1), removed (-1) or reset (0)."""
        if self.before.wanted(self.connection, symbol) == wanted:
            return f"{symbol} {_BEFORE[wanted]}{self._elsewhere(symbol)}; nothing was changed"
        if wanted == 0:
            return f"{symbol} is streamed, or is not, as the configuration says"
        return f"{symbol} {self._added(symbol) if wanted > 0 else self._removed(symbol)}"

    def _elsewhere(self, symbol: str) -> str:
        """Where else a command has changed it."""
        names = {name for name, one in self.before.added | self.before.removed if one == symbol}
        others = sorted(filter(None, names - {self.connection}))
        return f" (but was with --connection {', '.join(others)})" if others else ""

    def _added(self, symbol: str) -> str:
        streaming = self._streaming(symbol)
        if streaming and self.before.wanted(self.connection, symbol) == 0:
            return f"is streamed already{_by(streaming[0])}, and stays until it is reset"
        fitting = [name for name, market in self.markets.items() if market == market_of(symbol)]
        name = self.connection or next(iter((*streaming, *fitting)), "")
        for other in {"", name} - {self.connection}:
            # Removals have the last word, whichever of the two commands came first.
            if self.before.wanted(other, symbol) < 0:
                option = f" --connection {other}" if other else ""
                return f"is added, but was removed{option}; `reset {symbol}{option}` undoes that"
        return f"is added to connection {name}" if name else "is added"

    def _removed(self, symbol: str) -> str:
        streaming = self._streaming(symbol)
        if self.watched and not streaming:
            return "is not streamed, and stays so until it is reset"
        names = ", ".join(filter(None, streaming))
        return f"is removed from connection {names}" if names else "is removed"

    def _streaming(self, symbol: str) -> list[str]:
        return [
            name
            for name, symbols in self.watched.items()
            if self.connection in ("", name)
            and (symbol in symbols or (ALL in symbols and self.markets[name] == market_of(symbol)))
        ]


def _by(connection: str) -> str:
    return f" by connection {connection}" if connection else ""
