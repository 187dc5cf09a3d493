"""`tsstore create`: an empty bucket."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options
from tsstore.errors import InvalidArgumentError
from tsstore.schema import Schema


@click.command("create")
@click.argument("key")
@click.argument("columns", metavar="NAME:TYPE...", nargs=-1, required=True)
@click.option("--variable", is_flag=True, help="Keep any number of rows per slot.")
@click.option("--identity", help="Columns that tell one event from another: Sequence,Exchange.")
@location_options
def command(
    key: str, columns: tuple[str, ...], variable: bool, identity: str | None, **where: Any
) -> None:
    """Create the bucket KEY with columns such as Close:f8 Volume:i8 Note:U16.

    Types are i1 i2 i4 i8 u1 u2 u4 u8 f4 f8 b1 and U1 to U1024, text of so many characters. Of the
    rows of a slot the last one stays, or, with --variable, all.
    """
    schema = Schema.of(map(_column, columns), variable=variable, identity=_names(identity))
    with locate(**where).open_to_write(create=True) as store:
        store.create(key, schema)
    click.echo(f"created {key}: {schema}")


def _column(text: str) -> tuple[str, str]:
    name, colon, kind = text.partition(":")
    if not colon:
        raise InvalidArgumentError(f"{text!r} is not NAME:TYPE, such as Close:f8 or Note:U16")
    return name, kind


def _names(identity: str | None) -> list[str]:
    if identity is None:
        return []
    names = [name.strip() for name in identity.split(",") if name.strip()]
    if not names:
        raise InvalidArgumentError(f"--identity {identity!r} names no column; leave it out")
    return names
