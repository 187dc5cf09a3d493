"""A replica's directory follows its writer through the workload, power cuts and refusals.

At every moment it reads as the writer did at one of its steps; a replica that is brought up to
date reads as the writer does now.
"""

from __future__ import annotations

import contextlib
import errno
import random
import threading
from collections.abc import Callable, Iterator

import pytest

from tests.crash.scale import SCALE, of_every_kind
from tests.crash.workload import (
    BUSY,
    CONTENTS,
    QUIET,
    REOPENED,
    STEPS,
    contents,
    open_or_none,
    open_store,
)
from tsstore import Store
from tsstore.clock import SystemClock
from tsstore.errors import (
    ConnectionFailedError,
    InvalidArgumentError,
    LockedError,
    NotFoundError,
    StorageError,
)
from tsstore.storage.mirror import Mirror
from tsstore.storage.settings import Settings
from tsstore.storage.shipping import Mark, Shipping
from tsstore.storage.writer import Writer
from tsstore.testing.faultfs import FaultFileSystem, PowerCut

WRITER = "the writer"


def shipping_of(store: Store) -> Shipping:
    assert isinstance(store.engine, Writer)
    return store.engine.shipping


def update(mirror: Mirror, store: Store, seen: Callable[[], object] = lambda: None) -> None:
    """Bring a replica to this moment."""
    shipping = shipping_of(store)
    for _ in range(100):
        with contextlib.suppress(NotFoundError):  # replaced meanwhile
            mirror.update(
                shipping.shipment(mirror.manifest_number), shipping, lambda: seen() and None
            )
            return
    raise AssertionError("files go faster than they are fetched")


def steps(fs: FaultFileSystem, settings: Settings) -> Iterator[tuple[int, Store]]:
    """The writer after each step."""
    store = open_store(fs, settings)
    try:
        for done, step in enumerate(STEPS):
            if done in REOPENED:
                store.close()
                store = open_store(fs, settings)
            step(store)
            yield done + 1, store
    finally:
        store.close()


@contextlib.contextmanager
def mirror_of(fs: FaultFileSystem) -> Iterator[Mirror]:
    mirror = Mirror(fs, WRITER)
    try:
        yield mirror
    finally:
        mirror.close()


@pytest.mark.parametrize("settings", [QUIET, BUSY], ids=["quiet", "busy"])
@pytest.mark.parametrize("seed", range(6))
def test_a_replica_reads_as_its_writer_after_each_step(settings: Settings, seed: int) -> None:
    rng = random.Random(seed)
    there, here = FaultFileSystem(), FaultFileSystem()
    with contextlib.ExitStack() as stack:
        mirror = stack.enter_context(mirror_of(here))
        follower: Store | None = None
        for done, store in steps(there, settings):
            if seed and done < len(STEPS) and rng.random() < 0.5:
                continue  # it was away
            if seed and rng.random() < 0.1:
                stack.pop_all().close()
                mirror, follower = stack.enter_context(mirror_of(here)), None
            update(mirror, store, (follower.engine.current) if follower else (lambda: None))
            if follower is None:
                follower = stack.enter_context(open_store(here, read_only=True))
            assert contents(follower) == CONTENTS[done], f"step {done}"
            assert open_or_none(here) == CONTENTS[done], f"step {done}, opened now"
            assert follower.check().ok
    assert segments(here) <= segments(there), "files that the writer does not have"


def segments(fs: FaultFileSystem) -> set[str]:
    return {name for name in fs.files() if name.endswith(".seg")}


def changes_of_replica() -> list[tuple[str, str]]:
    there, here = FaultFileSystem(), FaultFileSystem()
    with mirror_of(here) as mirror:
        for _, store in steps(there, QUIET):
            update(mirror, store)
    return here.log


CHANGES = changes_of_replica()
PARTS = 4
CODES = [errno.ENOSPC, errno.EIO]


@pytest.mark.parametrize("part", range(PARTS))
def test_the_power_of_a_replica_fails(part: int) -> None:
    for change in of_every_kind(CHANGES, 16, part=part, parts=PARTS):
        rng = random.Random(change)
        there, here = FaultFileSystem(), FaultFileSystem()
        here.cut_power_at(change, torn_bytes=rng.randrange(300))
        mirror: Mirror | None = None
        shown = 0
        for done, store in steps(there, QUIET):
            try:
                mirror = mirror or Mirror(here, WRITER)
                update(mirror, store)
                shown = done
            except PowerCut:
                here = here.survivors(rng)
                seen = open_or_none(here)
                assert seen in [*CONTENTS[shown : done + 1], None if shown == 0 else ...]
                mirror = Mirror(here, WRITER)
                update(mirror, store)
                assert open_or_none(here) == CONTENTS[done], f"change {change}, step {done}"
        assert open_or_none(here) == CONTENTS[-1], f"change {change}"


@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("part", range(PARTS))
def test_the_disk_of_a_replica_refuses_once(code: int, part: int) -> None:
    first = CODES.index(code) * len(CHANGES)
    for number in of_every_kind(CHANGES * len(CODES), 24, part=part, parts=PARTS):
        change = number - first
        if not 0 <= change < len(CHANGES):
            continue
        there, here = FaultFileSystem(), FaultFileSystem()
        here.refuse_at(change, code)
        try:
            mirror = Mirror(here, WRITER)
        except StorageError:
            mirror = Mirror(here, WRITER)
        for done, store in steps(there, QUIET):
            try:
                update(mirror, store)
            except StorageError:
                update(mirror, store)
            assert open_or_none(here) == CONTENTS[done], f"change {change}, step {done}"
        mirror.close()


@pytest.mark.parametrize("seed", range(3 * SCALE))
def test_a_replica_that_keeps_up_shows_every_state_in_order(seed: int) -> None:
    """The writer flushes and compacts at will, the replica fetches at will, a reader looks on."""
    there, here = FaultFileSystem(), FaultFileSystem()
    current: list[Store] = []
    failures: list[BaseException] = []
    done = threading.Event()
    rng = random.Random(seed)

    def follow() -> None:
        follower: Store | None = None
        at = 0
        try:
            with mirror_of(here) as mirror:
                while not done.is_set():
                    shipping = shipping_of(current[-1])
                    try:
                        shipment = shipping.shipment(mirror.manifest_number)
                        mirror.update(shipment, shipping, lambda: None)
                    except NotFoundError:
                        continue
                    follower = follower or open_store(here, read_only=True)
                    found = contents(follower)
                    assert found in CONTENTS[at:], f"after step {at}"
                    at = at + CONTENTS[at:].index(found)
                    shipping.wait(shipment.mark, rng.random() / 100, SystemClock())
        except BaseException as failure:
            failures.append(failure)
        finally:
            if follower is not None:
                follower.close()

    thread = threading.Thread(target=follow)
    settings = Settings(memtable_bytes=2_000, compaction_bytes_per_s=1 << 50, bulk_bytes_min=0)
    store = open_store(there, settings)
    current.append(store)
    thread.start()
    try:
        for step in STEPS:
            step(store)
    finally:
        done.set()
        thread.join()
    assert not failures, failures
    with mirror_of(here) as mirror:
        update(mirror, store)
    store.close()
    assert open_or_none(here) == CONTENTS[-1]


def test_a_wait_ends_with_the_next_commit_and_not_before() -> None:
    fs = FaultFileSystem()
    with open_store(fs) as store:
        STEPS[0](store)
        shipping = shipping_of(store)
        mark = shipping.shipment().mark
        assert shipping.wait(mark, 0.01, SystemClock()) == 1
        assert shipping.shipment().mark == mark
        assert shipping.wait(Mark(), 60, SystemClock()) == 1
        thread = threading.Timer(0.05, lambda: STEPS[1](store))
        thread.start()
        assert shipping.wait(mark, 60, SystemClock()) == 2
        thread.join()
        assert shipping.shipment().mark != mark


@pytest.mark.parametrize("wal_sync", ["interval", "off"])
def test_a_replica_never_has_what_its_writer_may_lose(wal_sync: str) -> None:
    there, here = FaultFileSystem(), FaultFileSystem()
    settings = Settings(wal_sync=wal_sync, wal_sync_interval_s=3600, compaction_bytes_per_s=0)
    missing = 0
    with mirror_of(here) as mirror:
        for done, store in steps(there, settings):
            update(mirror, store)
            kept = CONTENTS.index(open_or_none(there.survivors()) or {})
            at = CONTENTS.index(open_or_none(here) or {})
            assert at <= kept
            missing += at < done
    assert missing, "everything was synced at once, so nothing was tried"


def test_a_directory_that_is_something_else_is_left_alone() -> None:
    fs = FaultFileSystem()
    with open_store(fs) as store:
        STEPS[0](store)
        with pytest.raises(LockedError):
            Mirror(fs, WRITER)
    with pytest.raises(InvalidArgumentError, match="holds a store of its own"):
        Mirror(fs, WRITER)
    fs = FaultFileSystem()
    fs.create("notes.txt").close()
    with pytest.raises(InvalidArgumentError, match=r"holds 'notes\.txt'"):
        Mirror(fs, WRITER)


def test_a_replica_that_was_written_to_is_not_overwritten() -> None:
    there, here = FaultFileSystem(), FaultFileSystem()
    with open_store(there) as store:
        STEPS[0](store)
        with mirror_of(here) as mirror:
            update(mirror, store)
            with pytest.raises(LockedError):
                open_store(here)
        with open_store(here) as promoted:
            STEPS[1](promoted)
    with pytest.raises(InvalidArgumentError, match="was written to since it was a replica"):
        Mirror(here, WRITER)


def test_another_store_is_refused() -> None:
    here = FaultFileSystem()
    for text in ("", "is a replica of another store"):
        with open_store(FaultFileSystem()) as store, mirror_of(here) as mirror:
            STEPS[0](store)
            if text:
                with pytest.raises(InvalidArgumentError, match=text):
                    update(mirror, store)
            else:
                update(mirror, store)


def test_a_writer_that_went_back_in_time_is_refused() -> None:
    there, here = FaultFileSystem(), FaultFileSystem()
    with open_store(there) as store:
        STEPS[0](store)
        store.flush()
    older = there.survivors(all_live=True)
    with open_store(there) as store, mirror_of(here) as mirror:
        STEPS[1](store)
        store.flush()
        update(mirror, store)
    with (
        open_store(older) as store,
        mirror_of(here) as mirror,
        pytest.raises(InvalidArgumentError, match="before it was restored from a backup"),
    ):
        update(mirror, store)


def test_only_files_of_the_store_can_be_fetched() -> None:
    fs = FaultFileSystem()
    with open_store(fs) as store:
        STEPS[0](store)
        shipping = shipping_of(store)
        for name in ("LOCK", "MANIFEST-000001", "../secret", "wal/../LOCK", "wal/x.wal", "", "/"):
            with pytest.raises(NotFoundError, match="is no file of this store"):
                shipping.read(name, 0, 10)


def test_a_replica_never_goes_on_with_a_restored_writer() -> None:
    """A backup counts manifests, files of the log and segments anew."""
    from tsstore.storage.backup import back_up_beside, restore

    there, here = FaultFileSystem(), FaultFileSystem()
    backup, restored = FaultFileSystem(), FaultFileSystem()
    with open_store(there) as store:
        STEPS[0](store)
        store.flush()
        back_up_beside(there, backup)
        with mirror_of(here) as mirror:
            update(mirror, store)
    restore(backup, restored)
    for other in (backup, restored):
        with open_store(other) as store, mirror_of(here) as mirror:
            for step in STEPS[1:6]:
                step(store)
            store.flush()
            with pytest.raises(InvalidArgumentError, match="before it was restored from a backup"):
                update(mirror, store)
    assert open_or_none(here) == CONTENTS[1]


class CutOff:
    """A writer whose connection breaks after so many pieces."""

    def __init__(self, shipping: Shipping, pieces: int) -> None:
        self._shipping = shipping
        self._left = pieces
        self.read_names = list[str]()

    def read(self, name: str, offset: int, length: int) -> bytes:
        self._left -= 1
        if self._left < 0:
            raise ConnectionFailedError("cut off")
        self.read_names.append(name)
        return self._shipping.read(name, offset, length)

    def digest(self, name: str, length: int) -> int:
        return self._shipping.digest(name, length)


@pytest.mark.parametrize("restarted", [False, True])
def test_a_copy_that_is_broken_off_goes_on_where_it_was(restarted: bool) -> None:
    there, here = FaultFileSystem(), FaultFileSystem()
    with open_store(there) as store:
        for number in range(6):
            store.bulk({f"S{number}/1Min/OHLCV": {"Epoch": [number * 60], "Close": [1.0]}})
        store.flush()
        shipping = shipping_of(store)
        fetched = list[str]()
        mirror = Mirror(here, WRITER)
        for pieces in (2, 2, 2, 100):
            source = CutOff(shipping, pieces)
            with contextlib.suppress(ConnectionFailedError):
                mirror.update(shipping.shipment(mirror.manifest_number), source, lambda: None)
            fetched += [name for name in source.read_names if name.endswith(".seg")]
            if restarted:
                mirror.close()
                mirror = Mirror(here, WRITER)
        assert sorted(fetched) == sorted(set(fetched)) == sorted(segments(there))
        assert segments(here) == segments(there)
        with open_store(here, read_only=True) as copy:
            assert contents(copy) == contents(store)


def test_the_log_goes_on_in_a_file_that_is_there() -> None:
    """Between two steps of a replica, the end of a file may name the next one."""
    there, here = FaultFileSystem(), FaultFileSystem()
    with open_store(there) as store:
        STEPS[0](store)
        with mirror_of(here) as mirror:
            update(mirror, store)
            writer = store.engine
            assert isinstance(writer, Writer)
            with writer._log.leader:
                writer._log.rotate()
            STEPS[1](store)
            changes = here.changes
            update(mirror, store)
            for change in range(changes, here.changes):
                assert_readable_after(there, change)


def assert_readable_after(there: FaultFileSystem, change: int) -> None:
    """A replica of this writer whose power is cut at a change can be read and promoted."""
    here = FaultFileSystem()
    with open_store(there.survivors(all_live=True)) as store, contextlib.suppress(PowerCut):
        here.cut_power_at(change, torn_bytes=100)
        update(Mirror(here, WRITER), store)
    for left in (here.survivors(), here.survivors(all_live=True)):
        open_or_none(left)
