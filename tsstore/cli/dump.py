"""`tsstore dump`: what a file of a data directory holds."""

from __future__ import annotations

from pathlib import Path

import click

from tsstore.cli.check import DAMAGED
from tsstore.cli.paths import FilledPath
from tsstore.storage.dump import dump_file
from tsstore.vfs import OsFileSystem


@click.command("dump")
@click.argument("file", type=FilledPath(exists=True, dir_okay=False, path_type=Path))
@click.option(
    "--rows", type=click.IntRange(min=0), default=0, help="Decode so many rows of each bucket."
)
def command(file: Path, rows: int) -> None:
    """Show the records of FILE, a segment, a log file or a manifest, even where it is damaged.

    Of a segment: buckets, blocks, their encodings, sizes and checksums. Exit code 4 means damage.
    """
    damaged = False
    for line in dump_file(OsFileSystem(file.parent), file.name, rows=rows):
        damaged |= line.startswith("damaged")
        click.echo(line)
    if damaged:
        click.get_current_context().exit(DAMAGED)
