"""`tsstore repair`: mend a damaged directory."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tsstore.cli.check import DAMAGED
from tsstore.cli.paths import FilledPath
from tsstore.errors import NotFoundError
from tsstore.storage.check import check_directory
from tsstore.storage.repair import repair_directory
from tsstore.vfs import OsFileSystem

if TYPE_CHECKING:
    from tsstore.storage.repairreport import RepairReport


_FILES_SHOWN = 20


@click.command("repair")
@click.argument("directory", type=FilledPath())
@click.option("--dry-run", is_flag=True, help="Only say what would be done.")
def command(directory: str, dry_run: bool) -> None:
    """Save what can be read of DIRECTORY, which nobody may have open.

    Damaged files are put aside in DIRECTORY/damaged-…, never deleted; what can be read of them goes
    to new files. Rows that are lost, and rows that are left out because lost ones may have replaced
    them, are listed, and the command that undoes it all. Exit codes: 0 nothing is damaged any more,
    3 no store there, 4 damage that cannot be mended, or that --dry-run has found, 6 somebody has it
    open, 7 the disk refused.
    """
    if not Path(directory).is_dir():
        raise NotFoundError(f"there is no directory {directory!r}; name the data directory")
    fs = OsFileSystem(directory)
    report = repair_directory(fs, dry_run=dry_run)
    for note in report.notes:
        click.echo(note)
    for place in report.lost:
        click.echo(f"lost: {place}")
    for place in report.hidden:
        click.echo(f"left out: {place}; lost rows may have replaced them")
    if not report.files:
        click.echo(f"{directory}: no damage")
        return
    verb = "would put aside" if dry_run else "put aside"
    for name in report.files[:_FILES_SHOWN]:
        click.echo(f"{verb}: {name}")
    if len(report.files) > _FILES_SHOWN:
        click.echo(f"{verb}: {len(report.files) - _FILES_SHOWN} more")
    click.echo(_summary(directory, report, dry_run=dry_run))
    if not dry_run:
        click.echo(f"to undo it, before anything is written there:\n  {_undo(directory, report)}")
    checked = check_directory(fs, deep=True)
    for problem in checked.problems if not dry_run else ():
        click.echo(f"damaged: {problem}", err=True)
    if not checked.ok:
        click.get_current_context().exit(DAMAGED)


def _undo(directory: str, report: RepairReport) -> str:
    """The command that makes a directory what it was before its repair."""
    root = Path(directory)
    aside, back, manifest = (
        shlex.quote(str(path)) for path in (root / report.aside, root, root / report.manifest)
    )
    return f"cp -a {aside}/. {back}/ && rm {manifest}"


def _summary(directory: str, report: RepairReport, *, dry_run: bool) -> str:
    counts = f"{report.rows_saved} rows saved, {report.rows_lost} lost"
    if dry_run:
        return f"{directory}: would put {len(report.files)} files aside; {counts}"
    return f"{directory}: {len(report.files)} files put aside in {report.aside}; {counts}"
