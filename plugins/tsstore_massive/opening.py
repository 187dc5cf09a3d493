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
from tsstore_massive.synthetic import marking, other_kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.client import RemoteStore
    from tsstore.store import Store


@contextmanager
def open_for_history(
    directory: Path, timezone: str | None, *, synthetic: bool = False, dry_run: bool = False
) -> Iterator[Store | RemoteStore]:
    """The store of a directory, or the server that runs on it.

    Args:
        directory: of the store; made when it is not there.
        timezone: of the store; None for the one it has, and New York for a new one, which is what
            `tsstore init` writes into mkts.yml.
        synthetic: whether the rows are made up, and are to be marked.
        dry_run: whether a new store is only to be imagined: it is empty, and gone afterwards.

    Raises:
        InvalidArgumentError: the rows there are not of this kind, or the zone is another.
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
        _check_unmixed(store, directory, synthetic=synthetic)
        yield marking(store) if synthetic else store


def _is_new(directory: Path) -> bool:
    return not directory.exists() or (directory.is_dir() and not any(directory.iterdir()))


def _check_unmixed(store: Store | RemoteStore, directory: Path, *, synthetic: bool) -> None:
    """Refuse before anything is fetched: new symbols would get buckets beside others' of a kind."""
    found = other_kind(store, synthetic=synthetic)
    if found is None:
        return
    if synthetic:
        raise InvalidArgumentError(
            f"{directory} holds real rows ({found}), and data_source is synthetic; name another "
            "directory with --dir, or take data_source out"
        )
    raise InvalidArgumentError(
        f"{directory} holds made-up rows ({found}): the worker runs with data_source: "
        "synthetic there; name another directory with --dir, or that mkts.yml with --config"
    )
