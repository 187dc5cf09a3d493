"""A backup is cut off or refused at each change: the older one stays, or the newer one is whole.

A sample of the changes by default, every kind among them (see `scale`).
"""

from __future__ import annotations

import errno
import random
from collections.abc import Iterator

import pytest

from tests.crash.scale import of_every_kind
from tests.crash.workload import STEPS, contents, open_or_none, open_store
from tsstore.errors import StorageError
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem, PowerCut


@pytest.fixture(scope="module")
def backed_up() -> Iterator[tuple[Store, FaultFileSystem]]:
    """A store, and the older of its backups."""
    store = open_store(FaultFileSystem())
    for step in STEPS[:13]:
        step(store)
    older = FaultFileSystem()
    store.engine.backup(older)
    for step in STEPS[13:25]:
        step(store)
    yield store, older
    store.close()


def changes_of_backup(store: Store, older: FaultFileSystem) -> list[tuple[str, str]]:
    dest = older.survivors()
    store.engine.backup(dest)
    return dest.log


def check(store: Store, older: FaultFileSystem, dest: FaultFileSystem, what: str) -> None:
    possible = [open_or_none(older), contents(store)]
    assert open_or_none(dest) in possible, what
    store.engine.backup(dest)
    with open_store(dest.survivors()) as backup:
        assert contents(backup) == contents(store), what
        assert backup.check(deep=True).ok, what


@pytest.mark.parametrize("first", [True, False], ids=["first", "second"])
def test_the_power_fails(backed_up: tuple[Store, FaultFileSystem], *, first: bool) -> None:
    store, older = backed_up
    if first:
        older = FaultFileSystem()
    for change in of_every_kind(changes_of_backup(store, older), 24):
        dest = older.survivors()
        dest.cut_power_at(change, torn_bytes=50)
        with pytest.raises(PowerCut):
            store.engine.backup(dest)
        rng = random.Random(change)
        for left in (dest.survivors(), dest.survivors(rng), dest.survivors(all_live=True)):
            check(store, older, left, f"change {change} {dest.log[-1]}")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO], ids=errno.errorcode.get)
def test_a_change_is_refused(backed_up: tuple[Store, FaultFileSystem], code: int) -> None:
    store, older = backed_up
    for change in of_every_kind(changes_of_backup(store, older), 24):
        dest = older.survivors()
        dest.refuse_at(change, code)
        try:
            store.engine.backup(dest)
        except StorageError as error:
            assert str(error).count("\n") == 0
        check(store, older, dest, f"change {change} {dest.log[-1]}")
