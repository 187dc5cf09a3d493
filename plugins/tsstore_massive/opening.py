"""Opening a store for rows of the vendor, as the commands that fetch them do."""

from __future__ import annotations

import os
from contextlib import ExitStack, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

import tsstore
from tsstore.errors import InvalidArgumentError
from tsstore.usmarket import NEW_YORK
from tsstore_massive.synthetic import made_up

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.client import RemoteStore
    from tsstore.store import Store


@contextmanager
def open_for_history(
    directory: Path, timezone: str | None, *, dry_run: bool = False
) -> Iterator[Store | RemoteStore]:
    """The store of a directory, or the server that runs on it.

    Args:
        directory: of the store; made when it is not there.
        timezone: of the store; None for the one it has, and New York for a new one, which is what
            `tsstore init` writes into mkts.yml.
        dry_run: whether a new store is only to be imagined: it is empty, and gone afterwards.

    Raises:
        InvalidArgumentError: the worker keeps made-up rows there, or the zone is another.
        TsStoreError: the store cannot be used.
    """
    is_new = _is_new(directory)
    if timezone is None and is_new:
        timezone = NEW_YORK
    token = os.environ.get("TSSTORE_TOKEN")
    with ExitStack() as stack:
        if dry_run and is_new:
            directory = Path(stack.enter_context(TemporaryDirectory(prefix="tsstore-dry-run-")))
        store = tsstore.open_shared(directory, timezone=timezone, token=token)
        stack.callback(store.close)
        _check_real(store, directory)
        yield store


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
