"""`tsstore check`: is every byte what was written?"""

from __future__ import annotations

from pathlib import Path

import click

from tsstore.cli.locate import locate
from tsstore.cli.paths import FilledPath
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.storage.check import check_directory
from tsstore.vfs import OsFileSystem

DAMAGED = 4


@click.command("check")
@click.argument("directory", required=False, type=FilledPath())
@click.option("--dir", "option", type=FilledPath(), help="The same as DIRECTORY.")
@click.option("--deep", is_flag=True, help="Decode every block, and look at the order of the rows.")
def command(directory: str | None, option: str | None, deep: bool) -> None:
    """Read every byte of DIRECTORY and report damage; a server may be running on it.

    Without DIRECTORY it is root_directory of ./mkts.yml, else ./data. Exit codes: 0 no damage,
    3 no store there, 4 damage, 7 the disk refused.
    """
    if directory is not None and option is not None:
        raise InvalidArgumentError("DIRECTORY and --dir name two stores; leave one out")
    path = locate(None, directory if directory is not None else option, None).directory
    if not Path(path).is_dir():
        raise NotFoundError(f"there is no directory {path!r}; name the data directory")
    report = check_directory(OsFileSystem(path), deep=deep)
    for name in report.leftovers:
        click.echo(f"left over: {name} (removed when a server or writer opens the store)")
    for problem in report.problems:
        click.echo(f"damaged: {problem}", err=True)
    click.echo(
        f"{path}: {report.buckets} buckets, {report.segments} segments, {report.rows} rows, "
        f"{report.bytes} bytes in segments: "
        + ("no damage" if report.ok else f"{len(report.problems)} problem(s)")
    )
    if not report.ok:
        click.get_current_context().exit(DAMAGED)
