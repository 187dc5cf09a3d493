"""The disk refuses one operation, each in turn; the store says so and loses nothing.

A refused step may be tried again; a store whose sync failed must be opened again first. Each case
ends with a power cut, because a mistake after a fault often shows only then.
"""

from __future__ import annotations

import contextlib
import errno
from typing import TYPE_CHECKING

import pytest

from tests.crash.test_power_cut import CHANGES
from tests.crash.workload import CONTENTS, STEPS, bars, contents, open_store
from tsstore.errors import AlreadyExistsError, StorageError, TsStoreError
from tsstore.testing.faultfs import FaultFileSystem
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from tsstore.store import Store


def run_through(fs: FaultFileSystem) -> Store:
    """Run every step until it is acknowledged, opening again where the store asks for it."""
    store = retry(lambda: open_store(fs))
    for number, step in enumerate(STEPS):
        if number == 7:
            store.close()
            store = retry(lambda: open_store(fs))
        for _ in range(4):
            try:
                step(store)
                break
            except StorageError as error:
                assert str(error).count("\n") == 0
                if "opened again" in str(error):
                    store.close()
                    store = retry(lambda: open_store(fs))
                    if contents(store) == CONTENTS[number + 1]:
                        break  # its fate was unknown, and it is there: appending again would double
            except AlreadyExistsError:
                break  # the refused create() was on the disk after all
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


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("change", range(CHANGES))
def test_one_refused_operation_loses_nothing(change: int, code: int) -> None:
    fs = FaultFileSystem()
    fs.refuse_at(change, code)
    store = run_through(fs)
    assert contents(store) == CONTENTS[-1]
    with open_store(fs.survivors()) as after_the_cut:
        assert contents(after_the_cut) == CONTENTS[-1]
        assert after_the_cut.check().ok
    store.close()


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EIO])
@pytest.mark.parametrize("change", range(CHANGES))
@pytest.mark.parametrize("ending", ["kill", "cut", "close"])
def test_what_was_acknowledged_before_and_after_a_refusal_stays(
    change: int, code: int, ending: str
) -> None:
    """One change is refused, the next steps go on, then it ends in one of three ways."""
    fs = FaultFileSystem()
    fs.refuse_at(change, code)
    store = retry(lambda: open_store(fs))
    follower = open_store(fs, read_only=True)
    last_step = 5 if change % 2 else len(STEPS)
    model = ModelStore()
    unknown = False
    for step in STEPS[:last_step]:
        try:
            step(store)
        except StorageError as error:
            unknown = "opened again" in str(error)
            break
        step(model)
    with contextlib.suppress(StorageError):
        store.write("after/1Min/OHLCV", bars(0, 2, 5.0))
        model.write("after/1Min/OHLCV", bars(0, 2, 5.0))
        store.flush()
    expected = contents(model)
    if not unknown:
        assert contents(store) == expected
        assert contents(follower) == expected
    if ending == "close":
        store.close()
    after = {"kill": fs.killed, "cut": fs.survivors, "close": fs.killed}[ending]()
    with open_store(after) as again:
        seen = contents(again)
        assert seen == expected or unknown
        assert again.check().ok
        again.write("more/1Min/OHLCV", bars(0, 1, 6.0))
    with open_store(after.survivors()) as finally_:
        assert {k: v for k, v in contents(finally_).items() if k != "more/1Min/OHLCV"} == seen


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
