"""Decides what each connection streams: its options, universes, commands, and who is down.

It looks every half second, so nobody has to call it: a command writes a row into the store, a
universe is a file, and a connection says how long it has been down.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import ConfigError, TsStoreError
from tsstore_massive.changes import (
    CHANGES_KEY,
    Changes,
    read_changes,
    stamp_of_changes,
    write_connections,
    write_watched,
)
from tsstore_massive.missing.journal import abandoned
from tsstore_massive.missing.streamed import forget_others
from tsstore_massive.streaming.failover import Standing, carried_topics, carriers
from tsstore_massive.streaming.named import (
    OPTION_QUOTES_MAX,
    book_of,
    has_contract_quotes,
    named_symbols,
)
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsstore.plugin import WorkerContext
    from tsstore_massive.config import Config
    from tsstore_massive.streaming.line import Line
    from tsstore_massive.streaming.lineup import Planned

_STRAYS_SHOWN = 20
_LOGGED = 10


class Desk:
    """What each connection is to stream.

    Args:
        context: what the host gives.
        config: the worker's options.
        planned: the connections.

    Raises:
        ConfigError: a universe is not there, or holds what the market does not.
    """

    def __init__(self, context: WorkerContext, config: Config, planned: Sequence[Planned]) -> None:
        self._context = context
        self._planned = planned
        self._dead_after_s = config.dead_after_s
        self._book = book_of(config, planned)
        self._changes = Changes()
        self._stamp: tuple[int, int] | None = None
        self._carriers: Mapping[str, str] = {}
        self._command_error = self._universe_error = ""
        self._read_changes()
        self._abandoned = abandoned(context.store, [one.name for one in planned])
        self._named = {one.name: named_symbols(one, self._book) for one in planned}
        self.watched = self._wanted()

    @property
    def problems(self) -> list[str]:
        """What is wrong with a universe or a command, for people."""
        strays = [f"no connection streams {name}" for name in sorted(self._strays)[:_STRAYS_SHOWN]]
        odd = [f"{text!r} in {CHANGES_KEY} is no symbol" for text in sorted(self._changes.odd)]
        left = [
            f"{key} holds gaps of a connection that is not made, so nobody fetches them; make one "
            "of that name, or fetch them with massive_backfiller and destroy it"
            for key in self._abandoned
        ]
        errors = [self._command_error, self._universe_error, *left, *odd[:_STRAYS_SHOWN], *strays]
        return [text for text in errors if text]

    def open(self) -> None:
        """Write down which connections there are and what they stream; once, when they begin."""
        markets = {one.name: one.config.market for one in self._planned}
        now_ns = self._context.clock.now_ns()
        write_connections(self._context.store, markets, now_ns=now_ns)
        forget_others(self._context.store, [*markets])
        self._write_watched()

    def look(self, lines: Sequence[Line]) -> None:
        """Have each connection stream what it should by now."""
        if self._has_news():
            before, self.watched = self.watched, self._wanted()
            if self.watched != before:
                self._write_watched()
        self._watch(lines)
        self._carry(lines)

    def _write_watched(self) -> None:
        write_watched(self._context.store, self.watched, now_ns=self._context.clock.now_ns())

    def _has_news(self) -> bool:
        news = self._read_changes()
        before = self._book.error
        if self._book.refresh():
            news |= self._take_universes()
        elif self._book.error != before:
            self._note_universe(self._book.error)
        return news

    def _read_changes(self) -> bool:
        """Read what commands have changed; whether that is something else now."""
        before, error = self._changes, ""
        try:
            stamp = stamp_of_changes(self._context.store)
            if stamp == self._stamp:
                return False
            self._changes, self._stamp = read_changes(self._context.store), stamp
        except TsStoreError as failure:
            error, self._stamp = str(failure), None
        if error and error != self._command_error:
            self._context.logger.error("%s", error)
        self._command_error = error
        return self._changes != before

    def _take_universes(self) -> bool:
        try:
            self._named = {one.name: named_symbols(one, self._book) for one in self._planned}
        except ConfigError as error:
            self._note_universe(f"universe_file: {error}; the symbols stay as they were")
            return False
        self._note_universe("")
        return True

    def _note_universe(self, problem: str) -> None:
        if problem and problem != self._universe_error:
            self._context.logger.error("%s", problem)
        self._universe_error = problem

    def _watch(self, lines: Sequence[Line]) -> None:
        for line in lines:
            # Each is asked, as one may just have been made anew of what was wanted before.
            old, new = line.symbols, self.watched[line.name]
            if old == new:
                continue
            added, gone = set(new or ()) - set(old or ()), set(old or ()) - set(new or ())
            self._context.logger.info(
                "%s: added %s; removed %s", line.name or "symbols", _shown(added), _shown(gone)
            )
            line.watch(new)

    def _wanted(self) -> dict[str, tuple[str, ...] | None]:
        self._strays = set[str]()
        watched = dict(self._named)
        for connection, symbol in sorted(self._changes.added):
            name = self._place(connection, symbol, watched)
            if name is None:
                self._strays.add(symbol)
            elif (some := watched[name]) is not None and symbol not in some:
                watched[name] = (*some, symbol)
        for name, some in watched.items():
            gone = {s for connection, s in self._changes.removed if connection in ("", name)}
            if gone and some is not None:
                watched[name] = tuple(symbol for symbol in some if symbol not in gone)
        self._cut_contracts(watched)
        return watched

    def _cut_contracts(self, watched: dict[str, tuple[str, ...] | None]) -> None:
        """Commands may ask for more contracts than a connection may have; the last ones wait."""
        for one in self._planned:
            some = watched[one.name]
            if some is not None and has_contract_quotes(one.config):
                self._strays.update(some[OPTION_QUOTES_MAX:])
                watched[one.name] = some[:OPTION_QUOTES_MAX]

    def _place(
        self, connection: str, symbol: str, watched: Mapping[str, tuple[str, ...] | None]
    ) -> str | None:
        """The connection that an added symbol goes to; None if there is none for it."""
        market = market_of(symbol)
        fitting = [
            one.name
            for one in self._planned
            if one.config.market == market and connection in ("", one.name)
        ]
        covering = [name for name in fitting if _covers(watched[name], symbol)]
        return next(iter((*covering, *fitting)), None)

    def _carry(self, lines: Sequence[Line]) -> None:
        standings = [
            Standing(line.name, line.planned.config.market, line.planned.is_moved, line.down_s())
            for line in lines
        ]
        found = carriers(standings, self._carriers, dead_after_s=self._dead_after_s)
        if found != self._carriers:
            for name in found.keys() - self._carriers.keys():
                self._context.logger.warning(
                    "connection %s is down; %s carries its symbols", name, found[name]
                )
            for name in self._carriers.keys() - found.keys():
                self._context.logger.info("connection %s carries its symbols again", name)
        self._carriers = found
        for line in lines:
            line.is_carried = line.name in found
        for line in lines:
            charges = [one for one in lines if found.get(one.name) == line.name]
            topics = [topic for one in charges for topic in one.topics()]
            if line.planned.config.market == "options":
                topics = carried_topics(line.topics(), topics, quotes_max=OPTION_QUOTES_MAX)
            line.carry(topics, charges)


def _shown(symbols: set[str]) -> str:
    """Some of the symbols, and how many there are when those are not all."""
    some = ", ".join(sorted(symbols)[:_LOGGED]) or "none"
    return some if len(symbols) <= _LOGGED else f"{some} and {len(symbols) - _LOGGED:,} more"


def _covers(symbols: tuple[str, ...] | None, symbol: str) -> bool:
    return symbols is None or symbol in symbols
