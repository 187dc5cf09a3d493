"""`tsstore query`: rows of a bucket, or of several."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options
from tsstore.cli.output import FORMATS, print_rows
from tsstore.cli.spans import as_time, check_span
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.zones import zone


@click.command("query")
@click.argument("key")
@click.option("--start", help="First instant, included: 2013-10-08, '2013-10-08 09:30', seconds.")
@click.option("--end", help="Last instant, included.")
@click.option("--tz", help="Zone of --start and --end, and of the times that are printed.")
@click.option("--limit", type=click.IntRange(min=1), help="The last so many rows of the range.")
@click.option("--from-start", is_flag=True, help="With --limit: the first ones instead.")
@click.option("--columns", help="Only these, in this order: Open,Close.")
@click.option(
    "--function",
    "functions",
    multiple=True,
    help="Applied to the rows; may be given again: \"vwap('5Min', Close, Volume)\".",
)
@click.option("--format", "style", type=click.Choice(FORMATS), default="table", show_default=True)
@location_options
def command(
    key: str,
    start: str | None,
    end: str | None,
    tz: str | None,
    limit: int | None,
    from_start: bool,
    columns: str | None,
    functions: tuple[str, ...],
    style: str,
    **where: Any,
) -> None:
    """Print the rows of KEY, such as AAPL/1Min/OHLCV, or of a pattern, such as 'A*/1D/OHLCV'.

    A timeframe that is not stored is computed from a finer one that is.
    """
    if tz is not None:
        zone(tz)
    first, last = as_time(start), as_time(end)
    check_span(first, last, tz)
    names = split_names(columns)
    with locate(**where).open_to_read() as store:
        found: Any = store.read(
            key,
            start=first,
            end=last,
            tz=tz,
            limit=limit,
            from_start=from_start,
            columns=names,
            functions=functions,
        )
        results = {key: found} if isinstance(found, Columns) else found
        shown = {name: rows.in_zone(tz) for name, rows in results.items()}
        label = None if isinstance(found, Columns) else "Key"
        print_rows(shown, style, label=label)
        partial = [name for name, rows in shown.items() if rows.partial]
        if partial:
            more = f" and {len(partial) - 1} others" if len(partial) > 1 else ""
            click.echo(f"the last row of {partial[0]}{more} is not over yet", err=True)


def split_names(text: str | None) -> list[str] | None:
    """Names of columns as typed, `Open,Close`; None for all.

    Raises:
        InvalidArgumentError: there are none.
    """
    if text is None:
        return None
    names = [name.strip() for name in text.split(",") if name.strip()]
    if not names:
        raise InvalidArgumentError(f"--columns {text!r} names no column; write Open,Close")
    return names
