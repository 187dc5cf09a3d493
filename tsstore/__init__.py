"""tsstore: an embedded, columnar time-series store for market data.

import tsstore

with tsstore.open("data") as store:                 # or tsstore.connect("http://127.0.0.1:5993")
    store.write("AAPL/1Min/OHLCV", frame)
    bars = store.read("AAPL/1Min/OHLCV", start="2024-01-02 09:30", tz="America/New_York")
    bars.to_pandas()
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore.api import BucketInfo, Replace, StoreApi, Write, WriteTable
from tsstore.columns import Columns
from tsstore.errors import (
    AlreadyExistsError,
    BusyError,
    ClosedError,
    ConfigError,
    ConnectionFailedError,
    CorruptionError,
    ForbiddenError,
    FormatVersionError,
    InvalidArgumentError,
    InvalidKeyError,
    LimitExceededError,
    LockedError,
    NotFoundError,
    ReadOnlyError,
    SchemaMismatchError,
    StorageError,
    TsStoreError,
)
from tsstore.schema import Schema
from tsstore.storage.settings import Settings
from tsstore.store import Store

if TYPE_CHECKING:
    import os

    from tsstore.client import RemoteStore
    from tsstore.client.aio import AsyncStore
    from tsstore.following import Subscription, Update

__version__ = "0.1.0"

__all__ = [
    "AlreadyExistsError",
    "BucketInfo",
    "BusyError",
    "ClosedError",
    "Columns",
    "ConfigError",
    "ConnectionFailedError",
    "CorruptionError",
    "ForbiddenError",
    "FormatVersionError",
    "InvalidArgumentError",
    "InvalidKeyError",
    "LimitExceededError",
    "LockedError",
    "NotFoundError",
    "ReadOnlyError",
    "Replace",
    "Schema",
    "SchemaMismatchError",
    "Settings",
    "StorageError",
    "Store",
    "StoreApi",
    "Subscription",
    "TsStoreError",
    "Update",
    "Write",
    "WriteTable",
    "connect",
    "connect_async",
    "open",
    "open_shared",
]

#: Opens a data directory in this process; see `Store`.
open = Store  # noqa: A001  the name every user expects


def connect(
    url: str,
    *,
    token: str | None = None,
    timeout_s: float = 30.0,
    ca: str | os.PathLike[str] | None = None,
) -> RemoteStore:
    """Reach a running server, with the same methods, results and exceptions as `open`.

    Args:
        url: such as `http://127.0.0.1:5993`.
        token: bearer token, when the server asks for one.
        timeout_s: longest wait for an answer.
        ca: PEM file of certificates to trust instead of the machine's, of an https server.

    Raises:
        ConnectionFailedError: nobody answers there, or no tsstore server that can be trusted does.
    """
    from tsstore.client import connect as connect_to

    return connect_to(url, token=token, timeout_s=timeout_s, ca=ca)


async def connect_async(url: str, **options: Any) -> AsyncStore:
    """Reach a running server from asyncio: the methods of `connect`'s store, awaited.

        async with await tsstore.connect_async("http://127.0.0.1:5993") as store:
            async for update in store.follow("AAPL/1Min/OHLCV", since="2024-01-02"): ...

    Arguments and errors are those of `connect`.
    """
    from tsstore.client.aio import connect_async as connect_to

    return await connect_to(url, **options)


def open_shared(
    path: str | os.PathLike[str],
    *,
    timezone: str | None = None,
    token: str | None = None,
    ca: str | os.PathLike[str] | None = None,
) -> Store | RemoteStore:
    """Write to a directory whether or not a server runs on it.

    Opens the directory; or, where a running server holds it, connects to that server.

    Args:
        path: the data directory.
        timezone: see `Store`; a server that holds the directory must have the same.
        token: bearer token, when that server asks for one.
        ca: PEM file of certificates to trust, when that server speaks https. Its certificate has to
            name the address that it announces, such as 127.0.0.1; otherwise use `connect`.

    Raises:
        InvalidArgumentError: days were written with another zone, or the server has another.
        LockedError: a process that is not a server holds it.
        ConnectionFailedError: the server's certificate is not trusted.
    """
    try:
        return Store(path, timezone=timezone)
    except LockedError as error:
        if error.endpoint is None:
            raise
        trusted = ca if error.endpoint.startswith("https:") else None
        remote = connect(error.endpoint, token=token, ca=trusted)
    try:
        has = remote.timezone
        if timezone not in (None, has):
            raise InvalidArgumentError(
                f"the server {remote.url} holds {path} with timezone {has}, not {timezone}; leave "
                f"the timezone out (`timezone:` in mkts.yml), say {has}, or start the server with "
                f"{timezone}"
            )
    except BaseException:
        remote.close()
        raise
    return remote


def __getattr__(name: str) -> object:
    """Names that few need and all would wait for."""
    if name in ("Subscription", "Update"):
        from tsstore import following

        return getattr(following, name)
    raise AttributeError(f"module 'tsstore' has no attribute {name!r}")
