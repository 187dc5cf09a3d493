"""`tsstore connect`: a session on a store."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click

from tsstore.cli.locate import locate, location_options
from tsstore.cli.session.run import Session
from tsstore.cli.session.source import Stream, Terminal, history_path, is_terminal
from tsstore.cli.session.stores import Stores
from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from tsstore.cli.session.source import Source


@click.command("connect")
@location_options
@click.pass_context
def command(context: click.Context, /, **where: Any) -> None:
    r"""Show, load and change buckets in a session, as with MarketStore's `connect`.

    \help lists the commands of the session, such as

        \show AAPL/1Min/OHLCV 2024-01-02 2024-01-03

    and everything else is SQL.

    Without a terminal, lines are read from standard input. A line that fails is told with its
    number, the next ones are carried out, and the exit code is that of the first failure.
    """
    if sys.stdin is None:  # whoever started the command has closed it
        raise InvalidArgumentError("there is no standard input; `tsstore connect < FILE` reads one")
    stores = Stores(locate(**where))
    try:
        click.echo(stores.greeting, err=True)
        terminal = None
        source: Source = Stream(sys.stdin.buffer)
        if is_terminal():
            source = terminal = Terminal(
                lambda pattern: stores.reading().list(pattern), history_path()
            )
            click.echo("\\help lists the commands, \\q ends the session", err=True)
        session = Session(stores, source)
        try:
            session.run()
        finally:
            if terminal is not None:
                terminal.close()
    finally:
        stores.close()
    context.exit(session.exit_code if not source.is_terminal else 0)
