"""Opening a store for rows of the vendor, as the commands that fetch them do."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import tsstore
from tsstore.errors import InvalidArgumentError, TsStoreError
from tsstore.usmarket import NEW_YORK
from tsstore_massive.synthetic import made_up

if TYPE_CHECKING:
    from pathlib import Path

    from tsstore.client import RemoteStore
    from tsstore.store import Store


def open_for_history(directory: Path, timezone: str | None) -> Store | RemoteStore:
    """The store of a directory, or the server that runs on it.

    Args:
        directory: of the store; made when it is not there.
        timezone: of the store; None for the one it has, and New York for a new one, which is what
            `tsstore init` writes into mkts.yml.

    Raises:
        InvalidArgumentError: the worker keeps made-up rows there, or the zone is another.
        TsStoreError: the store cannot be used.
    """
    if timezone is None and _is_new(directory):
        timezone = NEW_YORK
    token = os.environ.get("TSSTORE_TOKEN")
    store = tsstore.open_shared(directory, timezone=timezone, token=token)
    try:
        _check_real(store, directory)
    except TsStoreError:
        store.close()
        raise
    return store


def _is_new(directory: Path) -> bool:
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


def _check_real(store: Store | RemoteStore, directory: Path) -> None:
    """Refuse before anything is fetched: new symbols would get real buckets beside made-up ones."""
    found = made_up(store)
    if found is not None:
        raise InvalidArgumentError(
            f"{directory} holds made-up rows ({found}): the worker runs with data_source: "
            "synthetic there; name another directory with --dir"
        )
