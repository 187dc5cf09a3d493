"""The store of a session, opened when a command needs it.

A directory is held by no session: it is read beside its writer, and opened for writing only while a
command writes, or that command goes through the server that holds it. So a session may stay open
for days while others write, and shows what they wrote.
"""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

import tsstore

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.api import StoreApi
    from tsstore.cli.locate import Location
    from tsstore.client import RemoteStore
    from tsstore.store import Store


class Stores:
    """Ways to one store.

    Args:
        location: where it is.

    Raises:
        ConnectionFailedError: the server does not answer.
    """

    def __init__(self, location: Location) -> None:
        self._location = location
        self._remote: RemoteStore | None = None
        self._reader: StoreApi | None = None
        if location.url is not None:
            self._remote = tsstore.connect(location.url, token=location.token, ca=location.ca)

    @property
    def greeting(self) -> str:
        """What the session is connected to, for people."""
        if self._remote is not None:
            return f"Connected to {self._remote.url}"
        directory = self._location.directory
        if not self._location.holds_store():
            return (
                f"There is no store in {directory!r}: \\create makes one there; to reach another, "
                "start again with its --dir or --url"
            )
        return f"Connected to directory {directory}"

    def reading(self) -> StoreApi:
        """The store to read from; stays open.

        Raises:
            NotFoundError: there is no such directory.
        """
        if self._remote is not None:
            return self._remote
        if self._reader is None:
            self._reader = self._location.open_to_read()
        return self._reader

    @contextmanager
    def writing(self, *, create: bool = False) -> Iterator[Store | RemoteStore]:
        """The store to write to, for one command.

        Args:
            create: make a store where there is none.

        Raises:
            NotFoundError: there is no store.
            LockedError: a process that is not a server holds the directory.
        """
        if self._remote is not None:
            yield self._remote
            return
        with self._location.open_to_write(create=create) as store:
            yield store

    def close(self) -> None:
        """Release everything."""
        for store in (self._remote, self._reader):
            if store is not None:
                store.close()
