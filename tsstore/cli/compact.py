"""`tsstore compact`: few packed files instead of many."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options


@click.command("compact")
@click.argument("pattern", default="*/*/*")
@location_options
def command(pattern: str, **where: Any) -> None:
    """Merge the files of the buckets that match PATTERN, and wait for it.

    A store does this by itself, slowly; this is for when it is to be small now.
    """
    with locate(**where).open_to_write() as store:
        report = store.compact(pattern)
    click.echo(
        f"{report.segments_before} segments of {report.bytes_before} bytes became "
        f"{report.segments_after} of {report.bytes_after}"
    )
