"""`tsstore compact`: few packed files instead of many."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.locate import locate, location_options
from tsstore.cli.matching import matching


@click.command("compact")
@click.argument("pattern", required=False)
@location_options
def command(pattern: str | None, **where: Any) -> None:
    """Merge the files of the buckets that match PATTERN, or of all, and wait for it.

    A store does this by itself, slowly; this is for when it is to be small now.
    """
    with locate(**where).open_to_write() as store:
        if pattern is not None:
            matching(store, pattern)  # a mistyped one would be done at once
        report = store.compact(pattern or "*/*/*")
    click.echo(
        f"{report.segments_before} segments of {report.bytes_before} bytes became "
        f"{report.segments_after} of {report.bytes_after}"
    )
