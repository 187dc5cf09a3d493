"""A trigger that is told where rows changed, from one start of the server to the next."""

from __future__ import annotations

import logging
import threading
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.errors import StorageError
from tsstore.host import changes
from tsstore.host.changes import ChangeDispatcher
from tsstore.host.resolve import Plugin, trigger_pattern
from tsstore.host.stretches import STRETCHES_MAX, Stretches
from tsstore.plugin import FatalPluginError, TriggerContext
from tsstore.store import Store

SECOND = 10**9
BARS = "AAPL/1Sec/OHLCV"


@pytest.fixture(autouse=True)
def _quick(monkeypatch):
    monkeypatch.setattr(changes, "GATHER_S", 0.0)
    monkeypatch.setattr(changes, "PAUSE_FIRST_S", 0.001)


@pytest.fixture
def store(tmp_path):
    with Store(tmp_path / "data") as opened:
        yield opened


def rows(seconds) -> Columns:
    return Columns(np.array(seconds, np.int64) * SECOND, {"Price": np.ones(len(seconds))})


class Bench:
    """A dispatcher whose trigger waits for `gate` and keeps what it is told."""

    def __init__(self, store, position=0, fail=lambda _call: None, on="*/1Sec/OHLCV", **limits):
        self.store = store
        self.gate = threading.Event()
        self.entered = threading.Event()
        self.events = []
        self.closed = False
        self.calls = 0
        bench = self

        class Trigger:
            def __init__(self, context, config):
                pass

            def position(self):
                return position

            def changed(self, event):
                bench.entered.set()
                assert bench.gate.wait(30)
                bench.calls += 1
                error = fail(bench.calls)
                if error is not None:
                    raise error
                bench.events.append(event)

            def close(self):
                bench.closed = True

        context = TriggerContext(
            "t", store, SystemClock(), logging.getLogger("tsstore.test.changes"),
            lambda _key, _row: None,
        )  # fmt: skip
        plugin = Plugin("trigger", "t", Trigger, None, trigger_pattern(on))
        self.dispatcher = ChangeDispatcher(plugin, context, store, **limits)
        store.add_listener(self.dispatcher.committed)

    def start(self):
        self.dispatcher.start()
        return self

    def block(self):
        """Start, and keep the trigger busy with a key of its own."""
        self.store.write("BUSY/1Sec/OHLCV", rows([1]))
        self.start()
        assert self.entered.wait(10)
        return self

    def finish(self):
        self.gate.set()
        self.dispatcher.request_stop()
        assert self.dispatcher.join(10)

    def told(self, key=BARS):
        """Seconds (first, last) of the stretches of a key, and whether rows were removed."""
        return [
            (
                tuple((a // SECOND, b // SECOND) for a, b in event.stretches[key]),
                key in event.removed,
            )
            for event in self.events
            if event.stretches.get(key)
        ]


def test_commits_that_come_while_it_is_busy_are_one_event(store):
    bench = Bench(store).block()
    for second in [5, 6, 7, 20, 21]:
        store.write(BARS, rows([second]))
    store.write("OTHER/1Min/X", rows([60]))
    bench.finish()
    (told,) = bench.told()
    assert told == (((5, 5), (6, 6), (7, 7), (20, 20), (21, 21)), False)
    assert all("OTHER/1Min/X" not in event.stretches for event in bench.events)
    assert bench.closed


@pytest.mark.parametrize("notes_max", [1, 3])
def test_more_than_fit_are_put_together_and_none_is_lost(store, notes_max):
    bench = Bench(store, notes_max=notes_max).block()
    for second in range(100, 200, 2):
        store.write(BARS, rows([second]))
    bench.finish()
    (told,) = bench.told()
    covered = {s for first, last in told[0] for s in range(first, last + 1)}
    assert covered.issuperset(range(100, 200, 2))
    assert len(told[0]) <= STRETCHES_MAX
    assert bench.dispatcher.status()["overflow"] > 0


def test_replaced_and_deleted_ranges_are_told_retention_is_not(store):
    store.write(BARS, rows(range(100)))
    bench = Bench(store, position=store.stats()["sequence"]).block()
    at = np.array([10, 19, 40, 44]) * SECOND
    begin, end, first, last = at.view("M8[ns]")
    store.replace(BARS, begin, end, rows([12]))
    store.delete(BARS, first, last)
    store.delete(BARS, end=np.datetime64(5 * SECOND, "ns"))
    bench.finish()
    assert bench.told() == [(((10, 19), (40, 44)), True)]


def test_what_fails_comes_again_with_what_came_meanwhile(store, caplog):
    bench = Bench(store, fail=lambda call: StorageError("disk full") if 1 < call < 4 else None)
    bench.block()
    store.write(BARS, rows([1]))
    bench.gate.set()
    while bench.calls < 4:
        threading.Event().wait(0.001)
    store.write(BARS, rows([9]))
    bench.finish()
    seconds = {s for stretches, _ in bench.told() for pair in stretches for s in pair}
    assert seconds == {1, 9}
    assert bench.dispatcher.status()["errors"] == 2
    assert caplog.text.count("disk full") == 2  # the message and its traceback, once


def test_a_start_tells_what_was_written_since_the_position(store):
    store.write(BARS, rows([1, 2]))
    store.write("OLD/1Sec/OHLCV", rows([1]))
    position = store.changed_since(0).position
    store.write(BARS, rows([7]))
    bench = Bench(store, position).start()
    bench.finish()
    event = bench.events[0]
    assert event.stretches == {BARS: ((7 * SECOND, 7 * SECOND),), "OLD/1Sec/OHLCV": ()}
    assert event.position == store.changed_since(0).position


def test_events_of_much_history_are_cut_and_only_the_last_has_the_position(store):
    century = [0, 100 * 365 * 86_400]
    for number in range(3):
        store.write(f"S{number}/1Sec/OHLCV", rows(century))
    bench = Bench(store).start()
    bench.finish()
    begin = bench.events[:3]
    assert [len(event.stretches) for event in begin] == [1, 1, 1]
    assert [event.position is None for event in begin] == [True, True, False]


def test_the_last_event_is_past_its_own_writes(store):
    store.write(BARS, rows([1]))
    bench = Bench(store).block()
    store.write("MADE/1Min/OHLCV", rows([1]))  # as the trigger itself would
    bench.finish()
    assert bench.events[-1].stretches == {}
    assert bench.events[-1].position == store.changed_since(0).position


def test_what_is_not_done_at_a_stop_stays_behind_the_position(store, monkeypatch):
    monkeypatch.setattr(changes, "_LAST_WORK_S", -1.0)
    bench = Bench(store).block()
    store.write(BARS, rows([1]))
    bench.finish()
    assert bench.told() == []
    assert all(event.position < store.changed_since(0).position for event in bench.events)


def test_a_fatal_error_ends_it(store):
    bench = Bench(store, fail=lambda _call: FatalPluginError("no use")).block()
    bench.gate.set()
    assert bench.dispatcher.join(10)
    store.write(BARS, rows([1]))
    status = bench.dispatcher.status()
    assert (status["state"], status["error"]) == ("failed", "FatalPluginError: no use")
    assert status["waiting_stretches"] == 0


@given(st.lists(st.tuples(st.integers(0, 300), st.integers(0, 30)), max_size=60))
def test_stretches_cover_what_was_added_and_are_few_and_apart(added):
    stretches = Stretches()
    for first, length in added:
        stretches.add(first, first + length)
    found = list(stretches)
    covered = {n for first, last in found for n in range(first, last + 1)}
    wanted = {n for first, length in added for n in range(first, first + length + 1)}
    assert covered.issuperset(wanted)
    assert len(found) <= STRETCHES_MAX
    assert all(one[1] + 1 < two[0] for one, two in pairwise(found))
    if len(found) < STRETCHES_MAX:
        assert covered == wanted
