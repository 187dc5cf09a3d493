"""`tsstore rename`: another name for a bucket."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options


@click.command("rename")
@click.argument("key")
@click.argument("new_key")
@location_options
def command(key: str, new_key: str, **where: Any) -> None:
    """Give the bucket KEY the name NEW_KEY, which has the same timeframe. No row is moved."""
    with locate(**where).open_to_write() as store:
        store.rename(key, new_key)
    click.echo(f"{key} is now {new_key}")
