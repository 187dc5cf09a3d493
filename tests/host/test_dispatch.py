"""A trigger in its own thread, and the bounded queue between commits and `fire`."""

from __future__ import annotations

import logging
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.host import dispatch
from tsstore.host.dispatch import TriggerDispatcher
from tsstore.host.resolve import Plugin, trigger_pattern
from tsstore.plugin import FatalPluginError, TriggerContext
from tsstore.schema import Schema
from tsstore.testing.model import ModelStore

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.plugin import TriggerEvent

SECOND = 1_000_000_000
BARS = "AAPL/1Sec/OHLCV"
TICKS = "AAPL/1Sec/TRADE"


def rows(seconds: list[int], price: float = 1.0, name: str = "Price") -> Columns:
    return Columns(np.array(seconds, np.int64) * SECOND, {name: np.full(len(seconds), price)})


@dataclass
class Committed:
    """A commit, as a store tells it."""

    data: dict[str, Columns]
    sequence: int = 0

    @property
    def rows(self) -> int:
        return sum(map(len, self.data.values()))

    def batches(self, wanted: Callable[[str], bool]) -> dict[str, Columns]:
        return {key: columns for key, columns in self.data.items() if wanted(key)}


class Bench:
    """A dispatcher whose trigger waits for `gate` and keeps what it is fired with."""

    def __init__(self, on: str = "*/*/*", fail: Callable[[int], Exception | None] = lambda _: None,
                 **limits: int) -> None:  # fmt: skip
        self.gate = threading.Event()
        self.fired: list[TriggerEvent] = []
        self.closed = False
        self.entered = threading.Event()
        self.store = ModelStore()
        self.sequence = 0
        bench = self

        class Trigger:
            def __init__(self, context, config):
                self.calls = 0

            def fire(self, event):
                bench.entered.set()
                bench.gate.wait(30)
                self.calls += 1
                error = fail(self.calls)
                if error is not None:
                    raise error
                bench.fired.append(event)

            def close(self):
                bench.closed = True

        context = TriggerContext(
            "t", self.store, SystemClock(), logging.getLogger("tsstore.test.trigger"),
            lambda _key, _row: None,
        )  # fmt: skip
        plugin = Plugin("trigger", "t", Trigger, None, trigger_pattern(on))
        self.dispatcher = TriggerDispatcher(plugin, context, **limits)

    def commit(self, data: dict[str, Columns]) -> None:
        """Write to the store, then tell the dispatcher, as a store does."""
        for key, columns in data.items():
            self.store.write(key, columns)
        self.sequence += 1
        self.dispatcher.committed(Committed(data, self.sequence))

    def block(self) -> None:
        """Start, and keep the trigger busy with one row of a key of its own."""
        self.dispatcher.start()
        self.commit({"BUSY/1Sec/OHLCV": rows([1])})
        assert self.entered.wait(10)

    def finish(self) -> None:
        self.gate.set()
        self.dispatcher.request_stop()
        assert self.dispatcher.join(10)

    def seen(self, key: str) -> list[tuple[int, float]]:
        """(second, price) of all rows fired for a key, in order."""
        return [
            (int(ts) // SECOND, float(price))
            for event in self.fired
            if key in event.batches
            for ts, price in zip(event.batches[key].ts, event.batches[key]["Price"], strict=True)
        ]


def test_rows_come_with_the_number_of_their_commit() -> None:
    bench = Bench("*/1Sec/OHLCV")
    bench.block()
    bench.commit({BARS: rows([5, 6]), TICKS: rows([1])})
    bench.commit({BARS: rows([4, 6])})
    bench.finish()
    event = next(event for event in bench.fired if BARS in event.batches)
    assert event.commits is not None
    assert event.batches[BARS].ts.tolist() == [second * SECOND for second in (4, 5, 6, 6)]
    assert event.commits[BARS].tolist() == [3, 2, 2, 3]


def test_rows_that_are_read_again_have_no_commit() -> None:
    bench = Bench("*/1Sec/OHLCV", commits_max=1)
    bench.block()
    for second in range(5):
        bench.commit({BARS: rows([second])})
    bench.finish()
    assert any(event.commits is None for event in bench.fired if BARS in event.batches)
    assert {second for second, _ in bench.seen(BARS)} == set(range(5))


def test_rows_of_matching_keys_are_fired() -> None:
    bench = Bench("*/1Sec/OHLCV")
    bench.dispatcher.start()
    bench.commit({BARS: rows([1, 2]), TICKS: rows([1])})
    bench.finish()
    assert bench.seen(BARS) == [(1, 1.0), (2, 1.0)]
    assert bench.seen(TICKS) == []


def test_what_waits_is_fired_as_one_batch_in_commit_order() -> None:
    bench = Bench()
    bench.block()
    for second in (1, 2, 3):
        bench.commit({BARS: rows([second])})
    bench.finish()
    assert len(bench.fired) == 2
    assert bench.seen(BARS) == [(1, 1.0), (2, 1.0), (3, 1.0)]


def test_joined_commits_are_ascending_and_the_later_version_comes_last() -> None:
    bench = Bench()
    bench.block()
    bench.commit({BARS: rows([5], 1.0)})
    bench.commit({BARS: rows([4, 5], 2.0)})
    bench.finish()
    assert bench.seen(BARS) == [(4, 2.0), (5, 1.0), (5, 2.0)]


def test_an_event_holds_one_timeframe_and_attribute_group() -> None:
    bench = Bench()
    bench.block()
    bench.commit({BARS: rows([1]), TICKS: rows([1]), "MSFT/1Sec/OHLCV": rows([1])})
    bench.finish()
    assert sorted(sorted(event.batches) for event in bench.fired[1:]) == [
        [BARS, "MSFT/1Sec/OHLCV"],
        [TICKS],
    ]


def test_a_change_of_columns_between_commits_begins_a_new_batch() -> None:
    bench = Bench()
    bench.block()
    bench.dispatcher.committed(Committed({BARS: rows([1])}))
    bench.dispatcher.committed(Committed({BARS: rows([2], name="Other")}))
    bench.finish()
    assert [event.batches[BARS].names for event in bench.fired[1:]] == [("Price",), ("Other",)]


@pytest.mark.parametrize("limits", [{"commits_max": 2}, {"rows_max": 3}])
def test_what_does_not_fit_is_read_from_the_store_and_counted(limits, caplog) -> None:
    bench = Bench(**limits)
    bench.block()
    with caplog.at_level(logging.WARNING):
        for second in range(1, 11):
            bench.commit({BARS: rows([second])})
    assert bench.dispatcher.status()["overflow"] == 8
    assert len(caplog.records) == 1
    bench.finish()
    assert bench.seen(BARS) == [(second, 1.0) for second in range(1, 11)]


def test_a_row_that_overflowed_comes_in_its_latest_version() -> None:
    bench = Bench(commits_max=1)
    bench.block()
    for price in (1.0, 2.0, 3.0):
        bench.commit({BARS: rows([1], price)})
    bench.finish()
    assert bench.seen(BARS) == [(1, 1.0), (1, 3.0)]


def test_after_an_overflow_the_queue_is_used_again() -> None:
    bench = Bench(commits_max=1)
    bench.block()
    bench.commit({BARS: rows([1])})
    bench.commit({BARS: rows([2])})
    bench.gate.set()
    deadline = SystemClock().monotonic() + 60
    while len(bench.seen(BARS)) < 2 and SystemClock().monotonic() < deadline:
        threading.Event().wait(0.005)
    bench.commit({BARS: rows([3])})
    bench.finish()
    assert bench.seen(BARS) == [(1, 1.0), (2, 1.0), (3, 1.0)]
    assert bench.dispatcher.status()["overflow"] == 1


def test_a_long_stretch_is_read_in_pieces_and_no_row_is_missed(monkeypatch) -> None:
    monkeypatch.setattr(dispatch, "REFIRE_ROWS", 3)
    bench = Bench(commits_max=1)
    bench.store.create(TICKS, Schema.of({"Price": "f8"}, variable=True))
    bench.block()
    seconds = [1, 2, 2, 2, 2, 3, 4, 4, 5]
    ticks = Columns(
        np.array(seconds, np.int64) * SECOND,
        {"Price": np.arange(len(seconds), dtype=float)},
        variable=True,
    )
    bench.commit({BARS: rows([1])})
    bench.commit({TICKS: ticks})
    bench.finish()
    assert [price for _, price in bench.seen(TICKS)] == list(range(9))


def test_a_bucket_destroyed_before_it_is_read_again_is_left_out() -> None:
    bench = Bench(commits_max=1)
    bench.block()
    bench.commit({"MSFT/1Sec/OHLCV": rows([1])})
    bench.commit({BARS: rows([1])})
    bench.store.destroy(BARS)
    bench.finish()
    assert bench.seen(BARS) == []
    assert bench.dispatcher.status()["errors"] == 0


def test_a_commit_larger_than_the_queue_passes() -> None:
    bench = Bench(rows_max=2)
    bench.gate.set()
    bench.dispatcher.start()
    bench.commit({BARS: rows([1, 2, 3, 4])})
    bench.finish()
    assert len(bench.seen(BARS)) == 4


def test_a_trigger_that_raises_goes_on_and_is_counted(caplog) -> None:
    bench = Bench(fail=lambda call: ValueError("bad") if call == 1 else None)
    with caplog.at_level(logging.ERROR):
        bench.block()
        bench.commit({BARS: rows([1])})
        bench.finish()
    status = bench.dispatcher.status()
    assert (status["errors"], status["error"]) == (1, "ValueError: bad")
    assert bench.seen(BARS) == [(1, 1.0)]
    assert len(caplog.records) == 1


def test_a_fatal_error_switches_the_trigger_off() -> None:
    bench = Bench(fail=lambda _: FatalPluginError("no use"))
    bench.block()
    bench.gate.set()
    assert bench.dispatcher.join(10)
    bench.commit({BARS: rows([1])})
    status = bench.dispatcher.status()
    assert (status["state"], status["queued_rows"]) == ("failed", 0)
    assert "no use" in status["error"]
    assert bench.closed


def test_everything_committed_is_fired_before_the_end() -> None:
    bench = Bench(commits_max=2)
    bench.block()
    for second in range(1, 20):
        bench.commit({BARS: rows([second])})
    bench.finish()
    assert len(bench.seen(BARS)) == 19
    assert bench.closed
    assert bench.dispatcher.status()["state"] == "stopped"


def test_status_counts_rows() -> None:
    bench = Bench()
    bench.block()
    bench.commit({BARS: rows([1, 2])})
    assert bench.dispatcher.status()["queued_rows"] == 3
    bench.finish()
    assert bench.dispatcher.status()["queued_rows"] == 0
    assert bench.dispatcher.status()["fired_rows"] == 3
