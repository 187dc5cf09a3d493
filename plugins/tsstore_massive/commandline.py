"""What the commands of this package share: options, the worker's part of mkts.yml, and ends."""

from __future__ import annotations

import os
import signal
import sys
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import click

from tsstore.config import FILE_NAME, load_config
from tsstore.errors import InvalidArgumentError, TsStoreError
from tsstore.yamlfile import Value
from tsstore.yamlsettings import convert
from tsstore_massive.config import API_KEY_VARIABLE, Config
from tsstore_massive.optionvalues import is_loopback
from tsstore_massive.synthetic import SYNTHETIC, named_simulator

if TYPE_CHECKING:
    from collections.abc import Mapping

_FIRST_DAY = date(1970, 1, 2)  # others are reckoned from the day before
DEFAULT_CONFIG = "/etc/mkts.yml"
_WORKER_MODULES = frozenset({"massive", "massive.so", "tsstore_massive:Worker"})

config_option = click.option(
    "--config",
    "config_path",
    metavar="FILE",
    type=click.Path(path_type=Path),
    help=f"mkts.yml of the server [./{FILE_NAME}, else {DEFAULT_CONFIG}].",
)
directory_option = click.option(
    "--dir",
    "directory",
    metavar="DIR",
    type=click.Path(path_type=Path),
    help="Directory of the store; a new one without a config has days of New York "
    "[root_directory of the config].",
)


def run(command: click.Command, name: str) -> None:
    """Run a command as a program of that name; what goes wrong is a line and an exit code."""
    try:
        command.main(standalone_mode=False)
    except click.ClickException as error:
        error.show()
        sys.exit(error.exit_code)
    except click.Abort:
        sys.exit(128 + signal.SIGINT)
    except TsStoreError as error:
        click.echo(f"{name}: {error}", err=True)
        sys.exit(error.exit_code)


def store_directory(flags: Mapping[str, Any], root: str | None) -> Path:
    """Where the store is: what `--dir` says, else the root directory of mkts.yml.

    Raises:
        InvalidArgumentError: neither does.
    """
    directory = flags["directory"] or root
    if directory is None:
        raise InvalidArgumentError(
            "where is the store? give its directory with --dir, or a mkts.yml with --config"
        )
    return Path(directory)


def source_of(config: Config, *, dry_run: bool = False) -> tuple[Config, bool]:
    """Where a command fetches from, and whether what comes from there is made up.

    A simulator that the options name is asked as if it were the vendor. One that they do not call
    so cannot be told from the vendor behind a proxy, and the user is warned.

    Args:
        config: the options.
        dry_run: whether nothing is going to be stored.
    """
    synthetic = config.data_source == SYNTHETIC
    if is_loopback(config.base_url) and not synthetic and not dry_run:
        host = urlsplit(config.base_url).hostname
        click.echo(
            f"rows of {host} are stored as real; data_source: synthetic in mkts.yml marks them",
            err=True,
        )
    return named_simulator(config), synthetic


def day_of_flag(text: str) -> date:
    """A day of a command line.

    Raises:
        InvalidArgumentError: it is none, or is before all that can be stored.
    """
    try:
        day = date.fromisoformat(text)
    except ValueError:
        raise InvalidArgumentError(f"{text!r} is not a date such as 2024-01-31") from None
    if day < _FIRST_DAY:
        raise InvalidArgumentError(
            f"{day} is before 1970, where time begins here; name a later day"
        )
    return day


def split_list(text: str) -> list[str]:
    """Items of a list with commas, each once; a comma within braces belongs to a pattern."""
    items, depth = [""], 0
    for character in text:
        depth += (character == "{") - (character == "}")
        if character == "," and depth == 0:
            items.append("")
        else:
            items[-1] += character
    return list(dict.fromkeys(item.strip() for item in items if item.strip()))


def find_config(given: Path | None) -> Path | None:
    """The mkts.yml of a command: what `--config` says, else ./mkts.yml, else the machine's."""
    if given is not None:
        return given
    usual = (Path(FILE_NAME), Path(DEFAULT_CONFIG))
    return next((path for path in usual if path.is_file()), None)


def from_file(
    given: Path | None, directory: Path | None = None
) -> tuple[Config, str | None, str | None]:
    """Options of the Massive worker, root directory and time zone of mkts.yml.

    Args:
        given: what `--config` says.
        directory: what `--dir` says. The zone of a file that was not given counts for the file's
            own directory only.

    Raises:
        ConfigError: the file cannot be read, or something in it is wrong.
    """
    path = find_config(given)
    if path is None:
        return Config(), None, None
    file = load_config(path)
    root, timezone = file.root_directory, file.timezone
    if given is None and directory is not None and directory.resolve() != Path(root).resolve():
        timezone = None
    for entry in file.bgworkers:
        if entry.module.content in _WORKER_MODULES and entry.config is not None:
            return convert(_without_unset_key(entry.config), Config), root, timezone
    return Config(), root, timezone


def _without_unset_key(options: Value) -> Value:
    """Without the line of the key that `tsstore init` writes, if its variable is not set.

    Some commands need no key or are given one, and `resolve_key` tells the others.
    """
    key = options.get("api_key")
    is_variable = key is not None and key.content == f"${{{API_KEY_VARIABLE}}}"
    if not is_variable or os.environ.get(API_KEY_VARIABLE):
        return options
    kept = {name: value for name, value in options.content.items() if name != "api_key"}
    return Value(options.file, options.line, options.path, kept)
