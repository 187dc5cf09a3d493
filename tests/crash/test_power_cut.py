"""The power fails at every single change of the workload; nothing acknowledged may be missing.

Contract C1 (durable), C2 (atomic), C3 (exactly once): the reopened store equals the model after
the acknowledged steps, or after one more, which was under way.
"""

from __future__ import annotations

import contextlib
import random

import pytest

from tests.crash.workload import CONTENTS, STEPS, contents, open_or_none, open_store, run
from tsstore.testing.faultfs import FaultFileSystem, PowerCut


def changes_of_workload() -> int:
    fs = FaultFileSystem()
    run(fs)
    return fs.changes


CHANGES = changes_of_workload()


def run_until_cut(change: int, torn_bytes: int) -> tuple[FaultFileSystem, int]:
    fs = FaultFileSystem()
    fs.cut_power_at(change, torn_bytes=torn_bytes)
    with pytest.raises(PowerCut) as cut:
        run(fs)
    return fs, cut.value.args[-1]


def check(survivors: FaultFileSystem, done: int, what: str) -> None:
    expected = CONTENTS[done : done + 2]
    seen = open_or_none(survivors)
    if seen is None:
        assert done == 0, f"{what}: the store is gone"
    else:
        assert seen in expected, f"{what}: a read-only opening sees something else"
    with open_store(survivors) as store:
        found = contents(store)
        assert found in expected, f"{what}: after {done} steps the store holds something else"
        store.write("Z/1Min/OHLCV", {"Epoch": [0], "Close": [1.0]})
    # What recovery showed once must stay, also when the power fails again at once.
    with open_store(survivors.survivors()) as store:
        assert {k: v for k, v in contents(store).items() if k != "Z/1Min/OHLCV"} == found, what
        assert store.read("Z/1Min/OHLCV")["Close"].tolist() == [1.0], what
        assert store.check().ok, what


def test_the_workload_ends_where_the_model_does() -> None:
    fs = FaultFileSystem()
    assert run(fs) == len(STEPS)
    assert open_or_none(fs) == CONTENTS[-1]


@pytest.mark.parametrize("change", range(CHANGES))
def test_everything_unsynced_is_lost(change: int) -> None:
    fs, done = run_until_cut(change, torn_bytes=0)
    check(fs.survivors(), done, f"change {change} {fs.log[-1]}")


@pytest.mark.parametrize("change", range(CHANGES))
def test_everything_unsynced_stays(change: int) -> None:
    fs, done = run_until_cut(change, torn_bytes=100)
    check(fs.survivors(all_live=True), done, f"change {change} {fs.log[-1]}")


@pytest.mark.parametrize("change", range(CHANGES))
def test_any_part_of_the_unsynced_survives(change: int) -> None:
    for seed in range(6):
        rng = random.Random(change * 1000 + seed)
        fs, done = run_until_cut(change, torn_bytes=rng.randrange(400))
        check(fs.survivors(rng), done, f"change {change} seed {seed} {fs.log[-1]}")


@pytest.mark.parametrize("change", range(0, CHANGES, 3))
def test_the_power_fails_again_during_recovery(change: int) -> None:
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
