"""The power fails at every single change of the workload; nothing acknowledged may be missing.

Contract C1 (durable), C2 (atomic), C3 (exactly once): the reopened store equals the model after
the acknowledged steps, or after one more, which was under way. A sample of the changes by default,
every kind among them, and all of them with TSSTORE_TEST_SCALE=50 (see `scale`).
"""

from __future__ import annotations

import contextlib
import random
from dataclasses import replace

import pytest

from tests.crash.scale import SCALE, of_every_kind, sample
from tests.crash.workload import (
    BUSY,
    CONTENTS,
    QUIET,
    REOPENED,
    STEPS,
    Contents,
    contents,
    flush,
    open_or_none,
    open_store,
    run,
)
from tsstore.storage.settings import Settings
from tsstore.testing.faultfs import FaultFileSystem, PowerCut


def changes_of_workload() -> list[tuple[str, str]]:
    fs = FaultFileSystem()
    run(fs)
    return fs.log


CHANGES = changes_of_workload()
PARTS = 8
in_parts = pytest.mark.parametrize("part", range(PARTS))


def run_until_cut(
    change: int, torn_bytes: int, settings: Settings = QUIET
) -> tuple[FaultFileSystem, int]:
    """Run the workload until the power fails; returns the acknowledged steps too."""
    fs = FaultFileSystem()
    fs.cut_power_at(change, torn_bytes=torn_bytes)
    try:
        return fs, run(fs, settings)  # what happens by itself makes a few changes more or less
    except PowerCut as cut:
        return fs, cut.args[-1]


def check(survivors: FaultFileSystem, done: int, what: str) -> None:
    """What is left is what was acknowledged, or one step more, and stays so."""
    check_one_of(survivors, CONTENTS[done : done + 2], what, may_be_new=done == 0)


def check_one_of(
    survivors: FaultFileSystem, expected: list[Contents], what: str, *, may_be_new: bool
) -> None:
    seen = open_or_none(survivors)
    if seen is None:
        assert may_be_new, f"{what}: the store is gone"
    else:
        assert seen in expected, f"{what}: a read-only opening sees something else"
    with open_store(survivors) as store:
        found = contents(store)
        assert found in expected, f"{what}: the store holds something else"
        store.write("Z/1Min/OHLCV", {"Epoch": [0], "Close": [1.0]})
        assert store.check().ok, what
        # What recovery showed once must stay, also when the power fails again at once.
        again = survivors.survivors()
    with open_store(again) as store:
        assert {k: v for k, v in contents(store).items() if k != "Z/1Min/OHLCV"} == found, what
        assert store.read("Z/1Min/OHLCV")["Close"].tolist() == [1.0], what
        assert store.check().ok, what


def test_the_workload_ends_where_the_model_does() -> None:
    fs = FaultFileSystem()
    assert run(fs) == len(STEPS)
    assert open_or_none(fs) == CONTENTS[-1]


@in_parts
def test_everything_unsynced_is_lost(part: int) -> None:
    for change in of_every_kind(CHANGES, 90, part=part, parts=PARTS):
        fs, done = run_until_cut(change, torn_bytes=0)
        check(fs.survivors(), done, f"change {change} {fs.log[-1]}")


@in_parts
def test_everything_unsynced_stays(part: int) -> None:
    for change in of_every_kind(CHANGES, 60, part=part, parts=PARTS):
        fs, done = run_until_cut(change, torn_bytes=100)
        check(fs.survivors(all_live=True), done, f"change {change} {fs.log[-1]}")


@in_parts
def test_any_part_of_the_unsynced_survives(part: int) -> None:
    for change in of_every_kind(CHANGES, 90, part=part, parts=PARTS):
        for seed in range(max(1, SCALE // 5)):
            rng = random.Random(change * 1000 + seed)
            fs, done = run_until_cut(change, torn_bytes=rng.randrange(400))
            check(fs.survivors(rng), done, f"change {change} seed {seed} {fs.log[-1]}")


@in_parts
def test_the_power_fails_again_during_recovery(part: int) -> None:
    for change in sample(len(CHANGES), 8, part=part, parts=PARTS):
        fs, done = run_until_cut(change, torn_bytes=64)
        rng = random.Random(change)
        first = fs.survivors(rng)
        for again in range(40):
            survivors = first.survivors(all_live=True)
            survivors.cut_power_at(again)
            finished = False
            with contextlib.suppress(PowerCut):
                open_store(survivors).close()
                finished = True
            check(survivors.survivors(rng), done, f"change {change}, again at {again}")
            if finished:
                break


@in_parts
def test_the_power_fails_while_flushes_and_compactions_run_by_themselves(part: int) -> None:
    for number in range(part, 32 * SCALE, PARTS):
        rng = random.Random(number)
        change = rng.randrange(len(CHANGES))
        fs, done = run_until_cut(change, rng.randrange(400), BUSY)
        left = fs.survivors(rng) if rng.random() < 0.7 else fs.survivors(all_live=True)
        check(left, done, f"number {number}, change {change} {fs.log[-1]}")


def least_durable(done: int) -> int:
    """So many steps are on the medium for certain when nobody syncs the log."""
    flushes = [number + 1 for number, step in enumerate(STEPS[:done]) if step is flush]
    return max([0, *flushes, *(number for number in REOPENED if number < done)])


@in_parts
@pytest.mark.parametrize("settings", [QUIET, BUSY], ids=["quiet", "busy"])
def test_a_log_that_is_not_synced_loses_whole_steps_from_its_end(
    settings: Settings, part: int
) -> None:
    lazy = replace(settings, wal_sync="off")
    for number, change in enumerate(sample(len(CHANGES), 24, part=part, parts=PARTS)):
        rng = random.Random(change)
        fs, done = run_until_cut(change, rng.randrange(400), lazy)
        left = fs.survivors() if number % 2 else fs.survivors(rng)
        least = least_durable(done)
        expected = CONTENTS[least : done + 2]
        what = f"change {change} {fs.log[-1]}, steps {least} to {done}"
        check_one_of(left, expected, what, may_be_new=done == 0)
