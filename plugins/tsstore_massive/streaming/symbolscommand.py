"""`tsstore symbols`: what the worker streams, changed while it streams."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from tsstore.clock import SystemClock
from tsstore.errors import InvalidArgumentError, InvalidKeyError, NotFoundError
from tsstore_massive.changes import (
    ALL,
    read_changes,
    read_connections,
    read_watched,
    write_changes,
)
from tsstore_massive.streaming.doubts import Doubts
from tsstore_massive.streaming.outcome import Outcome
from tsstore_massive.symbols import market_of, parse_symbol

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.api import StoreApi
    from tsstore.plugin import StoreLocation

#: Columns of the buckets hold no longer ones.
_LENGTH_MAX = 32
_CONNECTION = click.option(
    "--connection",
    default="",
    metavar="NAME",
    help="One of `connections` of the worker [any of the symbol's market].",
)
_SYMBOLS = click.argument("symbols", nargs=-1, required=True)


@click.group("symbols")
def command() -> None:
    """Show and change what the Massive worker streams, while it streams.

    A change is a row in the store. The worker takes it within a second, or with its next start, and
    it stays until `reset`, whatever the configuration says.
    """


@command.command("list")
@click.pass_obj
def show(location: StoreLocation) -> None:
    """Print what is streamed, and on standard error what is asked for and is not, or in vain."""
    with location.open_to_read() as store:
        watched = read_watched(store)
        changes = read_changes(store)
        doubts = Doubts(store, read_connections(store))
        doubted = {symbol: doubts.of(symbol, connection) for connection, symbol in changes.added}
    for connection, symbols in watched.items():
        for symbol in symbols:
            click.echo(f"{connection} {symbol}".lstrip())
    streamed = {symbol for symbols in watched.values() for symbol in symbols}
    for _, symbol in sorted(changes.added):
        if doubt := doubted[symbol]:
            click.echo(f"{symbol} is added, but {doubt}", err=True)
        elif symbol not in streamed and ALL not in streamed:
            click.echo(f"{symbol} is added, and nothing streams it yet", err=True)
    for _, symbol in sorted(changes.removed):
        if symbol in streamed:
            click.echo(f"{symbol} is removed, and still streamed", err=True)


@command.command("add")
@_SYMBOLS
@_CONNECTION
@click.pass_obj
def add(location: StoreLocation, symbols: tuple[str, ...], connection: str) -> None:
    """Stream these symbols as well; what came today is fetched.

    A symbol that may be a mistake is added all the same, and standard error says why.
    """
    _ask(location, symbols, 1, connection)


@command.command("remove")
@_SYMBOLS
@_CONNECTION
@click.pass_obj
def remove(location: StoreLocation, symbols: tuple[str, ...], connection: str) -> None:
    """Stream these symbols no more; what is stored stays."""
    _ask(location, symbols, -1, connection)


@command.command("reset")
@click.argument("symbols", nargs=-1)
@_CONNECTION
@click.pass_obj
def reset(location: StoreLocation, symbols: tuple[str, ...], connection: str) -> None:
    """Stream these symbols, or do not, as the configuration says; all of them if none is named."""
    if symbols:
        _ask(location, symbols, 0, connection)
    else:
        _reset_all(location, connection)


def _ask(location: StoreLocation, symbols: tuple[str, ...], wanted: int, connection: str) -> None:
    names = list(dict.fromkeys(_parsed(symbol) for symbol in symbols))
    with location.open_to_write() as store:
        markets = read_connections(store)
        _check(store, wanted, connection, names, markets)
        before = read_changes(store)
        news = [name for name in names if before.wanted(connection, name) != wanted]
        _write(store, news, wanted, connection)
        outcome = Outcome(markets, read_watched(store), before, connection)
        doubts = Doubts(store, markets)
        for name in names:
            if wanted > 0 and (doubt := doubts.of(name, connection)):
                click.echo(f"{name} is added, but {doubt}", err=True)
            else:
                click.echo(outcome.of(name, wanted))


def _reset_all(location: StoreLocation, connection: str) -> None:
    with location.open_to_write() as store:
        before = read_changes(store)
        changed = sorted(
            (whose, name)
            for whose, name in before.added | before.removed
            if connection in ("", whose)
        )
        for whose in dict.fromkeys(whose for whose, _ in changed):
            names = [name for one, name in changed if one == whose]
            _write(store, names, 0, whose)
            outcome = Outcome({}, {}, before, whose)
            click.echo("\n".join(outcome.of(name, 0) for name in names))
        if not changed:
            click.echo("no symbol was added or removed; nothing was changed")


def _write(store: StoreApi, names: list[str], wanted: int, connection: str) -> None:
    if names:
        now_ns = SystemClock().now_ns()
        write_changes(store, names, wanted, connection=connection, now_ns=now_ns)


def _parsed(text: str) -> str:
    try:
        symbol = parse_symbol(text)
    except InvalidKeyError as error:
        raise InvalidArgumentError(f"{text!r} is not a symbol: {error}") from None
    if len(symbol) > _LENGTH_MAX or "*" in symbol or "," in symbol:
        raise InvalidArgumentError(f"{text!r} is not a symbol; name each one, such as AAPL SPY")
    return symbol


def _check(
    store: StoreApi, wanted: int, connection: str, names: list[str], markets: Mapping[str, str]
) -> None:
    if wanted == 0:
        return  # what was asked of a connection that is gone can be taken back
    if connection and markets and connection not in markets:
        there = ", ".join(filter(None, markets)) or "only one, without a name"
        raise NotFoundError(f"the worker has no connection {connection!r}; there is {there}")
    whole = {
        markets.get(name)
        for name, symbols in read_watched(store).items()
        if symbols == [ALL] and connection in ("", name)
    }
    for name in names:
        if (market := market_of(name)) in whole:
            raise InvalidArgumentError(
                f"the worker streams every symbol of {market}, {name} as well; name `symbols` in "
                "its options to choose some"
            )
