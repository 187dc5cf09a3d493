"""`tsstore ls`: the buckets of a store."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from tsstore.cli.locate import locate, location_options
from tsstore.cli.output import print_table
from tsstore.key import is_own
from tsstore.times import format_ns

if TYPE_CHECKING:
    from tsstore.api import BucketInfo
    from tsstore.schema import Schema

_NAMES = ("Key", "Kind", "Rows", "First", "Last", "Columns")


@click.command("ls")
@click.argument("pattern", required=False)
@click.option("--all", "with_own", is_flag=True, help="Also those of plugins, named _….")
@click.option(
    "--format",
    "style",
    type=click.Choice(["plain", "table", "csv", "json"]),
    default="plain",
    show_default=True,
    help="plain prints names alone; the others rows, time span and columns as well.",
)
@location_options
def command(pattern: str | None, with_own: bool, style: str, **where: Any) -> None:
    """List the buckets that match PATTERN, such as 'A*/1Min/*'. Rows are an upper bound.

    Without PATTERN, buckets in which plugins keep what they need themselves, whose names begin with
    an underscore, are left out.
    """
    with locate(**where).open_to_read() as store:
        keys = store.list(pattern or "*/*/*")
        if pattern is None and not with_own:
            keys = [key for key in keys if not is_own(key)]
        if style == "plain":
            click.echo("".join(key + "\n" for key in keys), nl=False)
            return
        print_table(_NAMES, iter([[_row(store.info(key)) for key in keys]]), style)


def _kind(schema: Schema) -> str:
    kind = "variable" if schema.is_variable else "fixed"
    return f"synthetic {kind}" if schema.synthetic else kind


def _row(info: BucketInfo) -> tuple[Any, ...]:
    return (
        info.key,
        _kind(info.schema),
        info.rows,
        None if info.first_ns is None else format_ns(info.first_ns),
        None if info.last_ns is None else format_ns(info.last_ns),
        " ".join(info.schema.names),
    )
