"""What a connection hands over to be fetched: clocks that lie, outages, polling; no socket."""

from __future__ import annotations

import logging
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.plugin import WorkerContext
from tsstore.times import to_ns
from tsstore_massive.config import Config
from tsstore_massive.datasets import LATE_NS
from tsstore_massive.missing import outages
from tsstore_massive.missing.catchup import CatchUp
from tsstore_massive.missing.missed import overlap_ns
from tsstore_massive.missing.streamed import Streamed
from tsstore_massive.schemas import TRADES
from tsstore_massive.sessions import day_start_ns

if TYPE_CHECKING:
    import tsstore
    from tsstore_massive.missing.gaps import Stretch
    from tsstore_massive.schemas import Kind

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
#: 10:00 in New York.
START = to_ns("2024-06-03 14:00")
TODAY = date(2024, 6, 3)
SETTLE_S = 3.0


class HandClock(SystemClock):
    """Goes on when told; its wall may be set apart."""

    def __init__(self) -> None:
        self.wall_ns = START
        self.seconds = 0.0

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic(self) -> float:
        return self.seconds

    def pass_s(self, seconds: float) -> None:
        self.seconds += seconds
        self.wall_ns += round(seconds * SECOND)


class Seen:
    """What the sink knows of the last events."""

    def __init__(self) -> None:
        self.watermarks: dict[Kind, int] = {}
        self.ahead_ns = 0


class Handed:
    """Takes stretches in the gap filler's place, and fetches none."""

    def __init__(self) -> None:
        self.stretches: list[Stretch] = []

    def add(self, *stretches: Stretch) -> None:
        self.stretches += stretches

    def resume(self) -> None:
        pass

    def take(self) -> list[tuple[str, int, int]]:
        """Kind, start and end in seconds from START."""
        taken, self.stretches = self.stretches, []
        return [
            (s.kind, (s.start_ns - START) // SECOND, (s.end_ns - START) // SECOND) for s in taken
        ]


class Tried:
    def __init__(
        self, store: tsstore.Store, down_since: float | None = None, **options: Any
    ) -> None:
        self.clock = HandClock()
        self.seen = Seen()
        self.handed = Handed()
        defaults = {"data_types": ["trades"], "symbols": ["SPY"]}
        self.config = config = msgspec.convert(defaults | options, Config)
        self.symbols = config.bucket_symbols
        context = WorkerContext("massive", store, self.clock, logging.getLogger("tests.catchup"))
        named: Any = {"gaps": self.handed, "sink": self.seen}
        self.catch_up = CatchUp(
            context,
            config,
            "",
            symbols=self._watched,
            settle_s=SETTLE_S,
            down_since=down_since,
            **named,
        )

    def _watched(self) -> tuple[str, ...] | None:
        return None if self.config.all_symbols else self.symbols

    def streamed(self) -> None:
        """Start, stream for a minute with an event at its end."""
        self.catch_up.resume()
        self.catch_up.streaming()
        self.handed.take()
        self.clock.pass_s(60)
        self.seen.watermarks["trades"] = self.clock.wall_ns


OVERLAP_S = overlap_ns("trades") // SECOND
LATE_S = LATE_NS // SECOND


def test_a_start_fetches_from_the_start_on_and_the_bars_of_today(store: tsstore.Store) -> None:
    tried = Tried(store, data_types=["bars", "trades"])
    tried.catch_up.resume()
    tried.clock.pass_s(2)
    tried.catch_up.streaming()
    today_s = (day_start_ns(TODAY) - START) // SECOND
    assert sorted(tried.handed.take()) == [
        ("bars", today_s, 5),
        ("bars", -900, 5),
        ("trades", -OVERLAP_S, 5),
    ]


def test_an_outage_is_fetched_from_the_last_event_on_and_written_down(store: tsstore.Store) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.clock.pass_s(30)  # quiet
    tried.catch_up.lost()
    assert tried.catch_up.down_s() == 0.0
    tried.clock.pass_s(10)
    assert tried.catch_up.down_s() == 10.0
    tried.catch_up.streaming()
    assert tried.handed.take() == [("trades", 60 - OVERLAP_S, 103)]
    starts, ends, markets = outages.read(store)
    assert [starts.tolist()[-1], ends.tolist()[-1]] == [START + 60 * SECOND, START + 100 * SECOND]
    assert set(markets.tolist()) == {"stocks"}


def test_a_clock_put_forward_while_it_is_down_leaves_nothing_out(store: tsstore.Store) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.lost()
    tried.clock.wall_ns += 3600 * SECOND
    tried.catch_up.streaming()
    assert tried.handed.take() == [("trades", 60 - OVERLAP_S, 3663)]


def test_a_clock_put_back_while_it_is_down_leaves_nothing_out(
    store: tsstore.Store, caplog: Any
) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.lost()
    tried.clock.pass_s(40)  # the vendor's clock is at 100 s
    tried.clock.wall_ns -= 3600 * SECOND
    tried.catch_up.streaming()
    tried.handed.take()
    tried.catch_up.heed_clock()
    assert tried.handed.take() == []
    tried.clock.pass_s(1)
    tried.seen.ahead_ns = 3600 * SECOND
    tried.catch_up.heed_clock()
    ((kind, start_s, end_s),) = tried.handed.take()
    assert kind == "trades"
    assert start_s <= 60
    assert end_s >= 101
    assert "3600 s behind" in caplog.text
    tried.seen.ahead_ns = 3600 * SECOND + 1
    tried.catch_up.heed_clock()
    assert tried.handed.take() == []  # told once


def test_it_polls_bars_once_a_minute_and_leaves_ticks_to_the_gap(store: tsstore.Store) -> None:
    tried = Tried(store, data_types=["bars", "trades"], poll_after_s=120)
    tried.streamed()
    tried.seen.watermarks["bars"] = START
    tried.catch_up.lost()
    tried.clock.pass_s(119)
    tried.catch_up.poll(["bars"])
    assert tried.handed.take() == []
    tried.clock.pass_s(10)
    tried.catch_up.poll(["bars"])
    assert tried.handed.take() == [("bars", -900, 189)]
    tried.clock.pass_s(10)
    tried.catch_up.poll(["bars"])
    assert tried.handed.take() == []
    tried.clock.pass_s(3600)
    tried.catch_up.poll(["bars"])
    assert tried.handed.take() == [("bars", -900, 3799)]
    tried.clock.pass_s(1)
    tried.catch_up.streaming()
    assert sorted(tried.handed.take()) == [
        ("bars", 3799 - 900 - LATE_S, 3803),
        ("trades", 60 - OVERLAP_S, 3803),
    ]
    assert not tried.catch_up.polling.is_on


def test_what_was_missed_before_another_one_carries_it_is_fetched_at_once(
    store: tsstore.Store,
) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.lost()
    tried.clock.pass_s(3600)
    tried.catch_up.carried()
    (stretch,) = tried.handed.stretches
    assert stretch.not_before == 3660 + SETTLE_S
    assert tried.handed.take() == [("trades", 60 - OVERLAP_S, 3663)]
    tried.clock.pass_s(1000)
    tried.catch_up.streaming()
    assert tried.handed.take() == [("trades", 3663 - OVERLAP_S - LATE_S, 4663)]


def test_today_of_coins_begins_at_midnight_utc(store: tsstore.Store) -> None:
    tried = Tried(store, market="crypto", symbols=["BTC-USD"], data_types=["bars"])
    tried.clock.wall_ns = to_ns("2024-06-03 05:00")
    tried.catch_up.streaming()
    tried.catch_up.added(("X:ETH-USD",))
    assert tried.handed.stretches[-1].start_ns == to_ns("2024-06-03")


def trades_at(store: tsstore.Store, *times_ns: int) -> None:
    arrays = {name: np.ones(len(times_ns), dtype) for name, dtype in TRADES.columns}
    store.write("SPY/1Sec/TRADE", Columns(np.array(times_ns), arrays), schema=TRADES)


def test_one_that_never_ran_goes_on_from_its_own_rows_when_it_is_carried(
    store: tsstore.Store,
) -> None:
    trades_at(store, START - 3600 * SECOND)
    tried = Tried(store)  # its key is locked, say
    tried.catch_up.carried()
    start_s = min(start_s for _, start_s, _ in tried.handed.take())
    trades_at(store, START + SECOND)  # by the other one
    assert start_s <= -3600
    tried.catch_up.resume()
    assert tried.handed.take() == []


def test_a_symbol_added_to_one_that_is_carried_is_fetched_at_once(store: tsstore.Store) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.lost()
    tried.catch_up.carried()
    tried.handed.take()
    tried.catch_up.added(("AAPL",))
    assert ("AAPL",) in {stretch.symbols for stretch in tried.handed.stretches}


def test_what_was_not_lost_when_it_ended_is_missed_from_then_on(store: tsstore.Store) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.ended()
    tried.clock.pass_s(10)
    assert tried.catch_up.down_s() == 10.0
    tried.catch_up.ended()
    tried.catch_up.carried()
    assert tried.handed.take() == [("trades", 60 - OVERLAP_S, 73)]


def test_one_that_is_made_anew_has_been_down_since_before(store: tsstore.Store) -> None:
    tried = Tried(store, down_since=-50.0)
    assert tried.catch_up.down_s() == 50.0


def test_a_time_from_the_future_hides_nothing_from_a_start(store: tsstore.Store) -> None:
    trades_at(store, START - 600 * SECOND, to_ns("2103-01-01"))
    tried = Tried(store)
    tried.catch_up.resume()
    tried.catch_up.streaming()
    assert min(start_s for _, start_s, _ in tried.handed.take()) <= -600


def test_a_market_that_nobody_lists_is_not_polled_but_kept(store: tsstore.Store) -> None:
    tried = Tried(store, market="options", symbols=[], data_types=["bars"], poll_after_s=10)
    tried.streamed()
    tried.catch_up.lost()
    tried.clock.pass_s(100)
    tried.catch_up.poll(["bars"])
    tried.catch_up.carried()
    assert tried.handed.stretches == []
    tried.catch_up.streaming()
    (given_up,) = tried.handed.stretches
    assert given_up.hopeless
    assert given_up.end_ns - given_up.start_ns > 100 * SECOND


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"data_types": ["luld"]}, "socket only"),
        ({"market": "options", "symbols": []}, "nobody lists all contracts"),
    ],
)
def test_what_nobody_can_fetch_is_given_up_with_the_reason(
    store: tsstore.Store, options: dict[str, Any], words: str
) -> None:
    tried = Tried(store, **options)
    tried.catch_up.streaming()
    tried.catch_up.lost()
    tried.clock.pass_s(10)
    tried.catch_up.streaming()
    (given_up,) = tried.handed.stretches
    assert given_up.hopeless
    assert words in given_up.reason


def test_new_symbols_get_today_whether_it_streams_or_not(store: tsstore.Store) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.added(("AAPL",))
    (stretch,) = tried.handed.stretches
    assert (stretch.symbols, stretch.end_ns) == (("AAPL",), START + 63 * SECOND)
    assert stretch.start_ns == day_start_ns(TODAY)
    tried.handed.take()
    tried.catch_up.lost()
    tried.catch_up.added(("MSFT",))
    today_s = (day_start_ns(TODAY) - START) // SECOND
    assert ("trades", today_s, 63) in tried.handed.take()
    tried.catch_up.streaming()
    assert {s.symbols for s in tried.handed.stretches} == {("MSFT",), ("SPY",)}
    started = Tried(store, symbols=["SPY"])
    started.catch_up.added(("LATE",))  # nothing of the start is written down yet
    assert started.handed.take() == []


def test_one_that_has_nothing_to_stream_is_not_down(store: tsstore.Store) -> None:
    tried = Tried(store, data_types=["bars"], poll_after_s=120)
    tried.catch_up.resume()
    tried.clock.pass_s(7200)
    tried.catch_up.idle()
    tried.clock.pass_s(1)  # a symbol was added, and it connects
    assert tried.catch_up.down_s() == 1.0
    tried.catch_up.poll(["bars"])
    assert tried.handed.take() == []
    tried.catch_up.streaming()
    tried.catch_up.idle()
    assert tried.catch_up.down_s() == 0.0


def test_what_a_removed_symbol_missed_is_fetched_and_polled_no_more(store: tsstore.Store) -> None:
    tried = Tried(store, data_types=["bars"], symbols=["SPY", "AAPL"], poll_after_s=10)
    tried.streamed()
    tried.seen.watermarks["bars"] = START
    tried.catch_up.lost()
    tried.clock.pass_s(60)
    tried.catch_up.removed(("AAPL",))
    (left,) = tried.handed.stretches
    assert left.symbols == ("AAPL",)
    assert tried.handed.take() == [("bars", -900, 123)]
    tried.clock.pass_s(60)
    tried.catch_up.poll(["bars"])
    assert [stretch.symbols for stretch in tried.handed.stretches] == [("SPY",)]


def test_what_stays_missed_while_another_one_carries_it_outlives_a_stop(
    store: tsstore.Store,
) -> None:
    """The other one's rows lie behind it, and may lack some."""
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.lost()
    tried.catch_up.carried()
    tried.handed.take()
    tried.clock.pass_s(1000)
    trades_at(store, tried.clock.wall_ns)
    tried.catch_up.ended()
    tried = Tried(store)
    tried.clock.pass_s(1200)
    tried.catch_up.carried()
    assert min(start_s for _, start_s, _ in tried.handed.take()) <= 60 + SETTLE_S - LATE_S


def test_ticks_alone_are_not_said_to_be_polled(store: tsstore.Store, caplog: Any) -> None:
    tried = Tried(store, poll_after_s=10)
    tried.streamed()
    tried.catch_up.lost()
    tried.clock.pass_s(100)
    tried.catch_up.poll([])
    assert not tried.catch_up.polling.is_on
    assert "fetched every minute" not in caplog.text


def test_up_to_when_it_streamed_is_written_down_while_it_does(store: tsstore.Store) -> None:
    tried = Tried(store, data_types=["bars", "trades"])
    tried.catch_up.remember()
    assert Streamed.read(store, "").until_ns == {}
    tried.streamed()
    tried.catch_up.remember()
    assert Streamed.read(store, "").until_ns == {
        "bars": START - LATE_NS,  # none came
        "trades": START + MINUTE,
    }
    tried.clock.pass_s(2 * 86_400)  # nothing came; not to hear is not to miss
    tried.catch_up.lost()
    a_day_ago_ns = START + MINUTE + 86_400 * SECOND
    remembered = dict.fromkeys(("bars", "trades"), a_day_ago_ns)
    assert Streamed.read(store, "").until_ns == remembered
    tried.clock.pass_s(86_400)
    tried.catch_up.remember()
    assert Streamed.read(store, "").until_ns == remembered


def test_only_what_was_streamed_counts_as_streamed(store: tsstore.Store) -> None:
    """However it ended before a new symbol was subscribed to, its day is fetched."""

    def subscribed() -> frozenset[str] | None:
        return Streamed.read(store, "").symbols

    tried = Tried(store)
    tried.streamed()
    assert subscribed() == {"SPY"}
    tried.catch_up.added(("QQQ",))
    assert subscribed() == {"SPY", "QQQ"}
    tried.catch_up.removed(("QQQ",))
    assert subscribed() == {"SPY"}
    tried.catch_up.lost()
    tried.handed.take()
    tried.catch_up.added(("LATE",))
    assert ("LATE",) in {s.symbols for s in tried.handed.stretches}  # its day is written down
    tried = Tried(store, data_types=["bars", "trades"], symbols=["SPY", "LATE", "NEW"])
    tried.catch_up.resume()
    tried.catch_up.ended()  # the key was refused, say, or nobody answered
    assert subscribed() == {"SPY", "LATE"}
    tried = Tried(store, data_types=["bars"], symbols=["SPY", "LATE"])
    tried.catch_up.resume()
    tried.catch_up.streaming()
    days = {s.symbols for s in tried.handed.stretches if s.start_ns == day_start_ns(TODAY)}
    assert ("SPY", "LATE") in days  # of bars nothing was streamed at all
    assert subscribed() == {"SPY", "LATE"}
    tried = Tried(store, symbols=[])
    tried.streamed()
    assert subscribed() is None


def test_each_minute_only_the_time_is_written(
    store: tsstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a connection with thousands of symbols their names would be most of what is stored."""
    tried = Tried(store)
    tried.streamed()
    written = list[list[str]]()
    commit = store.commit

    def noting(operations: list[Any]) -> None:
        written.append([operation.key for operation in operations])
        commit(operations)

    monkeypatch.setattr(store, "commit", noting)
    tried.catch_up.remember()
    tried.catch_up.remember()  # nothing came since
    tried.clock.pass_s(60)
    tried.seen.watermarks["trades"] = tried.clock.wall_ns
    tried.catch_up.remember()
    tried.catch_up.added(("QQQ",))
    tried.catch_up.lost()
    times, symbols = "_massive/24H/STREAMED", "_massive/24H/SUBSCRIBED"
    assert written == [[times], [times], [symbols]]


def test_one_that_is_carried_for_weeks_shows_no_gap_of_weeks(store: tsstore.Store) -> None:
    """What is missed is written down once a day, so a kill leaves no more than that."""
    tried = Tried(store)
    tried.streamed()
    tried.catch_up.lost()
    tried.catch_up.carried()
    for _ in range(20 * 24):
        tried.clock.pass_s(3600)
        tried.catch_up.remember()
    assert len(tried.handed.take()) == 21
    (until_ns,) = Streamed.read(store, "").until_ns.values()
    assert tried.clock.wall_ns - until_ns < 2 * 86_400 * SECOND


def test_one_that_only_polls_goes_on_from_the_rows_there_are(store: tsstore.Store) -> None:
    streamed = Streamed({"trades": START - 86_400 * SECOND}, frozenset({"SPY"}))
    streamed.write(store, "", Streamed())
    trades_at(store, START - 3600 * SECOND)
    for least_s in (-86_400, -3600):
        tried = Tried(store)
        tried.catch_up.resume()
        tried.catch_up.only_polls()
        tried.catch_up.poll(["trades"])
        start_s = min(start_s for _, start_s, _ in tried.handed.take())
        assert least_s - 1800 < start_s <= least_s


@pytest.mark.parametrize("delay_s", [0, 900])
def test_polls_of_ticks_go_on_from_the_last_one_that_came(
    store: tsstore.Store, delay_s: int
) -> None:
    """Ticks are many, and a plan that is not delayed has told all of them up to now."""
    tried = Tried(store, symbols=["SPY", "NONE"], poll_after_s=10)
    tried.streamed()
    tried.catch_up.lost()
    tried.catch_up.only_polls()
    told_s = asked_s = 0
    for minute in range(60):
        tried.clock.pass_s(60)
        tried.catch_up.poll(["trades"])
        now_s = (tried.clock.wall_ns - START) // SECOND
        for stretch in tried.handed.stretches:
            if "SPY" in (stretch.symbols or ()):
                start_s = (stretch.start_ns - START) // SECOND
                assert start_s <= max(told_s, 60)
                asked_s += (now_s - start_s) * (minute > 30)
        assert {name for s in tried.handed.stretches for name in s.symbols or ()} == {"SPY", "NONE"}
        tried.handed.take()
        told_s = now_s - delay_s
        if told_s > 60:
            trades_at(store, START + told_s * SECOND)
    assert (asked_s < 3 * 29 * 60) == (delay_s == 0)


def test_without_a_symbol_nothing_is_missed(store: tsstore.Store) -> None:
    tried = Tried(store)
    tried.streamed()
    tried.symbols = ()
    tried.catch_up.lost()
    for _ in range(5):
        tried.clock.pass_s(3600)
        tried.catch_up.idle()
    tried.clock.pass_s(1)  # one was added, and it connects
    tried.catch_up.streaming()
    assert tried.handed.take() == []
    starts, ends, _ = outages.read(store)
    assert ends[-1] - starts[-1] == SECOND  # a feed that was not wanted explains no hole


def test_before_the_first_event_a_delayed_plan_may_be_far_behind(store: tsstore.Store) -> None:
    """It streams what happened before the connection was made, and history ends there too."""
    tried = Tried(store)
    tried.catch_up.resume()
    tried.catch_up.streaming()
    tried.handed.take()
    tried.clock.pass_s(30)
    tried.catch_up.lost()
    assert Streamed.read(store, "").until_ns["trades"] <= START - 15 * MINUTE
    tried.catch_up.streaming()
    ((_, start_s, _),) = tried.handed.take()
    assert start_s <= -900
