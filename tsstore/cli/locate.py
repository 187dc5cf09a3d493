"""Which store a command works on: `--url`, else `--dir`, else ./mkts.yml, else ./data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import tsstore
from tsstore.config import FILE_NAME, StoreKeys, find_store, read_secret
from tsstore.errors import InvalidArgumentError, LockedError, NotFoundError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.api import StoreApi
    from tsstore.client import RemoteStore
    from tsstore.store import Store

DEFAULT_DIRECTORY = "data"
_F = TypeVar("_F", bound="Callable[..., Any]")


@dataclass(frozen=True)
class Location:
    """Where a store is.

    Attributes:
        url: of a server; or None.
        directory: of the files, when there is no url.
        timezone: zone whose midnights bound days; None for the one that the store has.
        token: what the server asks for; or None.
    """

    url: str | None
    directory: str
    timezone: str | None
    token: str | None

    def open_to_read(self) -> StoreApi:
        """The store, for reading; beside a writer as well."""
        if self.url is not None:
            return tsstore.connect(self.url, token=self.token)
        if not Path(self.directory).is_dir():
            raise NotFoundError(
                f"there is no directory {self.directory!r}; name the store with --dir or --url"
            )
        return tsstore.open(self.directory, read_only=True, timezone=self.timezone)

    def open_to_write(self) -> Store | RemoteStore:
        """The store, for writing: the directory, or the server that runs on it."""
        if self.url is not None:
            return tsstore.connect(self.url, token=self.token)
        try:
            return tsstore.open(self.directory, timezone=self.timezone)
        except LockedError as error:
            if error.endpoint is None:
                raise
            return tsstore.connect(error.endpoint, token=self.token)


def location_options(command: _F) -> _F:
    """Options that choose a store; the command takes them as `**where` for `locate`."""
    for option in (
        click.option(
            "--token-file",
            type=click.Path(dir_okay=False),
            help="File with the server's token; $TSSTORE_TOKEN works too.",
        ),
        click.option("--dir", "directory", help="Data directory.", type=click.Path()),
        click.option("--url", envvar="TSSTORE_URL", help="Server, such as http://127.0.0.1:5993."),
    ):
        command = option(command)
    return command


def locate(url: str | None, directory: str | None, token_file: str | None) -> Location:
    """The store that the options and the working directory mean.

    Raises:
        InvalidArgumentError: both a server and a directory are named.
        ConfigError: ./mkts.yml cannot be read.
    """
    if url is not None and directory is not None:
        raise InvalidArgumentError("--url and --dir name two stores; leave one out")
    token = os.environ.get("TSSTORE_TOKEN") or None
    if token_file is not None:
        token = read_secret(token_file, "--token-file")
    keys = _keys_of_working_directory()
    if directory is None:
        return Location(url, keys.root_directory or DEFAULT_DIRECTORY, keys.timezone, token)
    # The file's time zone counts for the file's directory only.
    same = keys.root_directory is not None and _same(keys.root_directory, directory)
    return Location(url, directory, keys.timezone if same else None, token)


def _keys_of_working_directory() -> StoreKeys:
    path = Path(FILE_NAME)
    return find_store(path) if path.is_file() else StoreKeys()


def _same(one: str, other: str) -> bool:
    return Path(one).resolve() == Path(other).resolve()
