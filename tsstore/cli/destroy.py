"""`tsstore destroy`: remove a bucket."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options


@click.command("destroy")
@click.argument("key")
@click.option("--yes", is_flag=True, help="Do not ask.")
@location_options
def command(key: str, yes: bool, **where: Any) -> None:
    """Remove the bucket KEY and all of its rows.

    `tsstore delete` removes rows and keeps the bucket.
    """
    with locate(**where).open_to_write() as store:
        info = store.info(key)  # before anybody is asked
        if not yes:
            click.confirm(f"Destroy {info.key} and its rows, up to {info.rows}?", abort=True)
        store.destroy(key)
    click.echo(f"destroyed {info.key}")
