"""`tsstore copy`: a bucket with the rows of another."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options


@click.command("copy")
@click.argument("key")
@click.argument("new_key")
@location_options
def command(key: str, new_key: str, **where: Any) -> None:
    """Make the bucket NEW_KEY with the columns and the rows that KEY has now."""
    with locate(**where).open_to_write() as store:
        store.copy(key, new_key)
        rows = store.info(new_key).rows
    click.echo(f"copied {rows} rows of {key} to {new_key}")
