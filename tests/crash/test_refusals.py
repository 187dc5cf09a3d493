"""The disk refuses operations, at each change in turn; the store says so and loses nothing.

A refused step may be tried again; a store whose sync failed must be opened again first. Each case
ends with a power cut, because a mistake after a fault often shows only then. A sample of the
changes by default, every kind among them, and all of them with TSSTORE_TEST_SCALE=120 (see
`scale`).
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING, Any

import pytest

from tests.crash.scale import of_every_kind, sample
from tests.crash.test_power_cut import CHANGES
from tests.crash.workload import (
    BUSY,
    CONTENTS,
    QUIET,
    REOPENED,
    STEPS,
    Contents,
    bars,
    contents,
    open_store,
)
from tsstore.errors import AlreadyExistsError, NotFoundError, StorageError, TsStoreError
from tsstore.storage.settings import Settings
from tsstore.testing.faultfs import FaultFileSystem
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.store import Store

CODES = [errno.ENOSPC, errno.EIO, errno.EMFILE, errno.EROFS]
LOOKS = ("open", "read")


def run_through(fs: FaultFileSystem, settings: Settings = QUIET) -> Store:
    """Run every step until it is acknowledged, opening again where the store asks for it."""
    store = retry(lambda: open_store(fs, settings))
    for number, step in enumerate(STEPS):
        if number in REOPENED:
            store.close()
            store = retry(lambda: open_store(fs, settings))
        for _ in range(4):
            try:
                step(store)
                break
            except StorageError as error:
                assert str(error).count("\n") == 0
                if "opened again" in str(error):
                    store.close()
                    store = retry(lambda: open_store(fs, settings))
                    if contents(store) == CONTENTS[number + 1]:
                        break  # its fate was unknown, and it is there: appending again would double
            except (AlreadyExistsError, NotFoundError):
                break  # the refused create(), or destroy(), was on the disk after all
        else:
            pytest.fail(f"step {number} never went through")
    return store


def retry(action):
    for _ in range(3):
        try:
            return action()
        except StorageError:
            continue
    return action()


def refused_with(code: int, cases: int) -> list[int]:
    """The changes to refuse with one of the codes, each of which has others in a sample."""
    first = CODES.index(code) * len(CHANGES)
    chosen = of_every_kind(CHANGES * len(CODES), cases)
    return [number - first for number in chosen if 0 <= number - first < len(CHANGES)]


@pytest.mark.parametrize("settings", [QUIET, BUSY], ids=["quiet", "busy"])
@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
def test_one_refused_operation_loses_nothing(code: int, settings: Settings) -> None:
    for change in refused_with(code, 60):
        fs = FaultFileSystem()
        fs.refuse_at(change, code)
        store = run_through(fs, settings)
        assert retry(lambda store=store: contents(store)) == CONTENTS[-1], f"change {change}"
        with open_store(fs.survivors()) as after_the_cut:
            assert contents(after_the_cut) == CONTENTS[-1], f"change {change}"
            assert after_the_cut.check().ok
        store.close()


def test_a_read_that_fails_once_loses_nothing() -> None:
    looks = Looks(None)
    fs = FaultFileSystem()
    fs.refuse_when(looks)
    run_through(fs).close()
    for number in sample(looks.count, 30):
        fs = FaultFileSystem()
        fs.refuse_when(Looks(number))
        store = run_through(fs)
        assert retry(lambda store=store: contents(store)) == CONTENTS[-1], f"read {number}"
        with open_store(fs.survivors()) as after_the_cut:
            assert contents(after_the_cut) == CONTENTS[-1], f"read {number}"
        store.close()


class Looks:
    """Counts openings and reads, and refuses one of them."""

    def __init__(self, refused: int | None) -> None:
        self.count = 0
        self._refused = refused

    def __call__(self, kind: str, name: str) -> int | None:
        if kind not in LOOKS:
            return None
        self.count += 1
        return errno.EIO if self.count - 1 == self._refused else None


@pytest.mark.parametrize("code", CODES, ids=errno.errorcode.get)
@pytest.mark.parametrize("ending", ["kill", "cut", "close"])
def test_what_was_acknowledged_before_and_after_a_refusal_stays(code: int, ending: str) -> None:
    """One change is refused, the next steps go on, then it ends in one of three ways."""
    for number, change in enumerate(refused_with(code, 20)):
        last_step = 8 if number % 2 else len(STEPS)
        go_on_and_end(change, code, ending, last_step)


def go_on_and_end(change: int, code: int, ending: str, last_step: int) -> None:
    fs = FaultFileSystem()
    fs.refuse_at(change, code)
    store = retry(lambda: open_store(fs))
    follower = open_store(fs, read_only=True)
    model = ModelStore()
    possible: list[Contents] = []

    def carry_out(step: Callable[[Any], object]) -> bool:
        try:
            step(store)
        except StorageError as error:
            if "opened again" in str(error):  # only opening it shows whether the step is there
                possible.append(contents(model))
                step(model)
            return False
        step(model)
        return True

    all(map(carry_out, STEPS[:last_step]))
    if not possible:
        carry_out(lambda target: target.write("after/1Min/OHLCV", bars(0, 2, 5.0)))
        with contextlib.suppress(StorageError):
            store.flush()
    else:
        with pytest.raises(StorageError, match="opened again"):
            store.write("after/1Min/OHLCV", bars(0, 2, 5.0))
    if not possible:
        assert contents(store) == contents(model)
        assert contents(follower) == contents(model)
    possible.append(contents(model))
    if ending == "close":
        store.close()
    after = {"kill": fs.killed, "cut": fs.survivors, "close": fs.killed}[ending]()
    with open_store(after) as again:
        seen = contents(again)
        assert seen in possible
        assert again.check().ok
        again.write("more/1Min/OHLCV", bars(0, 1, 6.0))
    with open_store(after.survivors()) as finally_:
        assert {k: v for k, v in contents(finally_).items() if k != "more/1Min/OHLCV"} == seen
    store.close()


def refuse_from(change: int, refuse: Callable[[str, str], int | None]) -> FaultFileSystem:
    """A file system that refuses what `refuse` says from a change on."""
    fs = FaultFileSystem()
    fs.refuse_when(lambda kind, name: refuse(kind, name) if fs.changes > change else None)
    return fs


def run_until_refused(fs: FaultFileSystem) -> tuple[Store, int]:
    """The store and the acknowledged steps when the first one is refused."""
    store = open_store(fs)
    for number, step in enumerate(STEPS):
        try:
            step(store)
        except StorageError as error:
            assert any(word in str(error) for word in ("read-only", "space")), error
            return store, number
    return store, len(STEPS)


def test_a_directory_that_becomes_read_only_can_still_be_read() -> None:
    def refuse(kind: str, _name: str) -> int | None:
        return None if kind in LOOKS else errno.EROFS

    for change in sample(len(CHANGES), 15):
        fs = refuse_from(change + 10, refuse)
        store, done = run_until_refused(fs)
        fs.refuse_when(refuse)
        expected = CONTENTS[done : done + 2]
        assert contents(store) == expected[0], f"change {change}"
        with pytest.raises(StorageError, match=r"read-only|opened again"):
            store.write("X/1Min/OHLCV", bars(0, 1, 1.0))
        store.close()
        with open_store(fs, read_only=True) as reader:
            assert contents(reader) in expected, f"change {change}"
        with pytest.raises(StorageError, match="read_only=True"):
            open_store(fs).write("X/1Min/OHLCV", bars(0, 1, 1.0))
        with open_store(fs.survivors()) as mounted_again:
            assert contents(mounted_again) in expected, f"change {change}"


def test_a_disk_that_is_full_for_a_while_refuses_writes_for_a_while() -> None:
    grows = ("write", "create")
    for change in sample(len(CHANGES), 15):
        fs = refuse_from(change + 10, lambda kind, name: errno.ENOSPC if kind in grows else None)
        store, done = run_until_refused(fs)
        if done == len(STEPS):
            store.close()
            continue
        assert contents(store) == CONTENTS[done], f"change {change}"
        fs.refuse_when(lambda kind, name: None)
        for step in STEPS[done:]:
            step(store)
        assert contents(store) == CONTENTS[-1], f"change {change}"
        store.close()
        with open_store(fs.survivors()) as again:
            assert contents(again) == CONTENTS[-1], f"change {change}"


def test_a_failed_sync_is_never_followed_by_an_acknowledgement() -> None:
    """The kernel may have dropped the pages: a later sync that succeeds proves nothing."""
    fs = FaultFileSystem()
    store = open_store(fs)
    STEPS[0](store)
    fs.refuse_when(lambda kind, name: errno.EIO if (kind, name[:3]) == ("sync", "wal") else None)
    with pytest.raises(StorageError):
        STEPS[1](store)
    fs.refuse_when(lambda kind, name: None)
    with pytest.raises(StorageError, match="opened again"):
        STEPS[1](store)
    assert contents(store) == CONTENTS[1]
    with open_store(fs.survivors()) as after_the_cut:
        assert contents(after_the_cut) == CONTENTS[1]


def test_a_full_disk_refuses_writes_and_goes_on_when_there_is_room_again() -> None:
    fs = FaultFileSystem()
    store = open_store(fs)
    STEPS[0](store)
    full = {"write", "create"}
    fs.refuse_when(lambda kind, name: errno.ENOSPC if kind in full else None)
    with pytest.raises(StorageError, match="No space left on device; free some space"):
        STEPS[1](store)
    with pytest.raises(StorageError):
        store.flush()
    assert contents(store) == CONTENTS[1]
    fs.refuse_when(lambda kind, name: None)
    STEPS[1](store)
    store.flush()
    assert contents(store) == CONTENTS[2]
    store.close()
    with open_store(fs.survivors()) as again:
        assert contents(again) == CONTENTS[2]


def test_half_a_record_that_cannot_be_cut_off_ends_writing() -> None:
    fs = FaultFileSystem()
    store = open_store(fs)
    STEPS[0](store)
    bad = {"write", "truncate"}
    fs.refuse_when(lambda kind, name: errno.EIO if kind in bad else None)
    with pytest.raises(StorageError):
        STEPS[1](store)
    fs.refuse_when(lambda kind, name: None)
    with pytest.raises(TsStoreError):
        STEPS[1](store)
    with open_store(fs.survivors(all_live=True)) as again:
        assert contents(again) == CONTENTS[1]
