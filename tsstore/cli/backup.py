"""`tsstore backup`: a copy of a store, while it is written to."""

from __future__ import annotations

from typing import Any

import click

from tsstore.cli.check import DAMAGED
from tsstore.cli.locate import locate, location_options
from tsstore.cli.paths import FilledPath


@click.command("backup")
@click.argument("dest", type=FilledPath())
@location_options
def command(dest: str, **where: Any) -> None:
    """Copy the store, as it is now, to the directory DEST; a server may be running on it.

    DEST is empty or not there yet, or an older backup of the store: then only what is new is
    copied. On the same disk files are not copied at all but linked, which protects against
    mistakes and not against the disk. With --url, DEST is a name below the server's
    backup_directory. The backup is checked at the end; exit code 4 means that it is damaged.
    """
    with locate(**where).open_to_read() as store:
        report = store.backup(dest)
    click.echo(
        f"{report.path}: commit {report.sequence}, {report.rows} rows, {report.segments} segments "
        f"of {report.bytes} bytes; {report.kept} kept, {report.linked} linked, {report.copied} "
        f"copied, {report.copied_bytes} bytes copied"
    )
    for problem in report.problems:
        click.echo(f"damaged: {problem}", err=True)
    if report.problems:
        click.get_current_context().exit(DAMAGED)
