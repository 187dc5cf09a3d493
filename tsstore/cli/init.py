"""`tsstore init`: a commented mkts.yml to begin with."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import click

from tsstore.cli.paths import FilledPath
from tsstore.config import FILE_NAME
from tsstore.errors import AlreadyExistsError, StorageError

EXAMPLE = "mkts.yml.example"


@click.command("init")
@click.argument("path", default=FILE_NAME, type=FilledPath(path_type=Path))
def command(path: Path) -> None:
    """Write a mkts.yml with every key and what it does to PATH. An existing file is kept."""
    if path.is_dir():
        path /= FILE_NAME
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(example())
    except FileExistsError:
        raise AlreadyExistsError(f"{path} is there already; name another file") from None
    except OSError as error:
        raise StorageError(f"cannot write {path}: {error.strerror}; name another file") from None
    click.echo(
        f"wrote {path}; edit it, then run `tsstore start -c {path}`\n"
        "Its bgworker wants a key of Massive.com in $MASSIVE_API_KEY. Without one, write "
        "`data_source: synthetic` in\nplace of `api_key`, for a market that is made up here; or "
        "take bgworkers out, for a server without that feed."
    )


def example() -> str:
    """The text of mkts.yml.example."""
    return (files("tsstore.cli") / EXAMPLE).read_text(encoding="utf-8")
