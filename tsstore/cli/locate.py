"""Which store a command works on: `--url`, else `--dir`, else ./mkts.yml, else ./data."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import tsstore
from tsstore.cli.paths import FilledPath
from tsstore.config import FILE_NAME, StoreKeys, find_store, read_secret
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.vfs import OsFileSystem
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Callable

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
        ca: file of certificates to trust, of a server that speaks https; or None.
    """

    url: str | None
    directory: str
    timezone: str | None
    token: str | None
    ca: str | None = None

    def open_to_read(self) -> Store | RemoteStore:
        """The store, for reading; beside a writer as well."""
        if self.url is not None:
            return tsstore.connect(self.url, token=self.token, ca=self.ca)
        if not Path(self.directory).is_dir():
            raise NotFoundError(
                f"there is no directory {self.directory!r}; name the store with --dir or --url"
            )
        if self.timezone is None:
            return tsstore.open(self.directory, read_only=True)
        zone(self.timezone)
        try:
            return tsstore.open(self.directory, read_only=True, timezone=self.timezone)
        except (
            InvalidArgumentError
        ):  # its days begin at other midnights, which reading does not move
            store = tsstore.open(self.directory, read_only=True)
        click.echo(
            f"tsstore: {self.directory} has days in timezone {store.timezone}, and {FILE_NAME} "
            f"here says {self.timezone}: reading in {store.timezone}; correct {FILE_NAME}",
            err=True,
        )
        return store

    def open_to_write(self, *, create: bool = False) -> Store | RemoteStore:
        """The store, for writing: the directory, or the server that runs on it.

        Args:
            create: make a store where there is none. Only for what brings rows or buckets: whoever
                deletes from a mistyped directory should not get an empty store there.
        """
        if self.url is not None:
            return tsstore.connect(self.url, token=self.token, ca=self.ca)
        if not (create or self.holds_store()):
            raise NotFoundError(
                f"there is no store in {self.directory!r}; name the store with --dir or --url"
            )
        return tsstore.open_shared(
            self.directory, timezone=self.timezone, token=self.token, ca=self.ca
        )

    def holds_store(self) -> bool:
        """Whether there is a store in the directory, damaged or not."""
        from tsstore.storage.manifest import manifest_numbers
        from tsstore.storage.wal import wal_numbers

        fs = OsFileSystem(self.directory)
        return Path(self.directory).is_dir() and bool(manifest_numbers(fs) or wal_numbers(fs))


def location_options(command: _F) -> _F:
    """Options that choose a store; the command takes them as `**where` for `locate`."""
    for option in (
        click.option(
            "--token-file",
            type=FilledPath(dir_okay=False),
            help="File with the server's token; $TSSTORE_TOKEN works too.",
        ),
        click.option(
            "--ca-file",
            type=FilledPath(dir_okay=False),
            help="Certificates to trust of an https server, as PEM.",
        ),
        click.option("-d", "--dir", "directory", help="Data directory.", type=FilledPath()),
        click.option(
            "-u", "--url", envvar="TSSTORE_URL", help="Server, such as http://127.0.0.1:5993."
        ),
    ):
        command = option(command)
    return command


def locate(
    url: str | None, directory: str | None, token_file: str | None, ca_file: str | None = None
) -> Location:
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
        found = keys.root_directory or DEFAULT_DIRECTORY
        return Location(url, found, keys.timezone, token, ca_file)
    # The file's time zone counts for the file's directory only.
    same = keys.root_directory is not None and same_path(keys.root_directory, directory)
    return Location(url, directory, keys.timezone if same else None, token, ca_file)


def _keys_of_working_directory() -> StoreKeys:
    path = Path(FILE_NAME)
    return find_store(path) if path.is_file() else StoreKeys()


def same_path(one: str | os.PathLike[str], other: str | os.PathLike[str]) -> bool:
    """Whether two paths lead to one place, which need not be there."""
    return os.path.realpath(one) == os.path.realpath(other)
