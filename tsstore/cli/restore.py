"""`tsstore restore`: a store from a backup."""

from __future__ import annotations

from pathlib import Path

import click

from tsstore.cli.check import DAMAGED
from tsstore.cli.paths import FilledPath
from tsstore.errors import NotFoundError
from tsstore.storage.backup import restore
from tsstore.storage.check import check_directory
from tsstore.vfs import OsFileSystem


@click.command("restore")
@click.argument("backup", type=FilledPath())
@click.argument("directory", type=FilledPath())
def command(backup: str, directory: str) -> None:
    """Copy BACKUP to DIRECTORY, which is empty or not there yet, and check it.

    Exit codes: 0 done, 2 DIRECTORY holds something, 3 BACKUP is none or was not finished, 4 it is
    damaged, 7 the disk refused.
    """
    if not Path(backup).is_dir():
        raise NotFoundError(f"there is no directory {backup!r}; name a backup")
    dest = OsFileSystem(directory)
    report = restore(OsFileSystem(backup), dest)
    checked = check_directory(dest)
    for problem in checked.problems:
        click.echo(f"damaged: {problem}", err=True)
    click.echo(f"{directory}: commit {report.sequence}, {checked.rows} rows of {backup}")
    if not checked.ok:
        click.get_current_context().exit(DAMAGED)
