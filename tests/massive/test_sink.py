from __future__ import annotations

import dataclasses
import logging
import math
from typing import TYPE_CHECKING, Any

import pytest

from tests.massive.examples import EXAMPLES
from tests.massive.socket_server import MORNING_MS, MS, bar, frame, quote, trade
from tsstore.clock import ManualClock
from tsstore.errors import ClosedError
from tsstore.schema import Schema
from tsstore_massive.decoding.messages import Events
from tsstore_massive.faults import Faults
from tsstore_massive.schemas import SCHEMAS, STREAM_GROUPS
from tsstore_massive.streaming.sink import Sink
from tsstore_massive.symbols import MARKETS
from tsstore_massive.synthetic import marking

if TYPE_CHECKING:
    import tsstore
    from tsstore_massive.symbols import Market

NOW = (MORNING_MS + 5_000) * MS


def events(*messages: Any) -> Events:
    made = Events(Faults())
    made.add(frame(*messages))
    return made


@pytest.fixture
def sink(store: tsstore.Store) -> Sink:
    return Sink(store, ManualClock(NOW), logging.getLogger("tests.sink"))


def test_every_kind_goes_to_its_bucket_with_its_schema(store: tsstore.Store, sink: Sink) -> None:
    sink.write(events(trade(), quote(), bar(), trade("MSFT")))
    assert store.list() == [
        "AAPL/1Min/OHLCV", "AAPL/1Min/QUOTE", "AAPL/1Sec/TRADE", "MSFT/1Sec/TRADE"
    ]  # fmt: skip
    for kind in ("bars", "trades", "quotes"):
        assert store.info(f"AAPL/{STREAM_GROUPS[kind]}").schema == SCHEMAS[kind]


@pytest.mark.parametrize("market", MARKETS)
def test_every_event_of_every_market_is_stored(
    store: tsstore.Store, sink: Sink, market: Market
) -> None:
    examples = [example for example in EXAMPLES if example.market == market]
    made = Events(Faults(), market)
    made.add(frame(*(example.event for example in examples)))
    sink.write(made)
    for example in examples:
        key = f"{example.symbol}/{STREAM_GROUPS[example.kind]}"
        assert store.info(key).schema == SCHEMAS[example.kind]
        assert example.ts in store.read(key).ts
    assert sink.watermarks.keys() == {example.kind for example in examples}
    assert sink.rows == len(examples)


@pytest.mark.parametrize(
    ("event", "length_ms"),
    [(trade(t=MORNING_MS), 0), (bar(), 60_000), (bar(ev="A"), 1_000)],
)
def test_the_vendors_clock_has_passed_the_end_of_what_it_tells(
    store: tsstore.Store, event: Any, length_ms: int
) -> None:
    for behind_ms in (0, 700):
        clock = ManualClock((MORNING_MS + length_ms - behind_ms) * MS)
        sink = Sink(store, clock, logging.getLogger("tests.sink"))
        sink.write(events(event))
        assert sink.ahead_ns == behind_ms * MS


def test_seconds_and_minutes_are_series_of_their_own(store: tsstore.Store, sink: Sink) -> None:
    sink.write(events(bar(dv="60"), bar(ev="A", dv="1"), bar(ev="A", dv="2")))
    assert store.read("AAPL/1Min/OHLCV")["Volume"].tolist() == [60]
    assert store.read("AAPL/1Sec/OHLCV")["Volume"].tolist() == [2]


def test_a_late_second_has_the_last_word_over_a_fill(store: tsstore.Store, sink: Sink) -> None:
    sink.keep_bars(NOW)
    sink.write(events(bar(ev="A", dv="2")))
    fetched = {"Epoch": [MORNING_MS // 1000], **{n: [1.0] for n in SCHEMAS["bars"].names}}
    store.write("AAPL/1Sec/OHLCV", fetched)
    sink.repeat_bars()
    assert store.read("AAPL/1Sec/OHLCV")["Volume"].tolist() == [2]
    assert "AAPL/1Min/OHLCV" not in store.list()


def test_a_drain_is_one_commit(store: tsstore.Store, sink: Sink) -> None:
    commits = []
    store.add_listener(commits.append)
    sink.write(
        events(*(trade(f"S{n}", n) for n in range(100)), *(quote(f"S{n}", n) for n in range(100)))
    )
    assert len(commits) == 1
    assert (sink.commits, sink.events, sink.rows) == (1, 200, 200)


def test_a_repeated_event_is_one_row(store: tsstore.Store, sink: Sink) -> None:
    for _ in range(2):
        sink.write(events(trade(), quote(), bar(), trade(), quote(), bar()))
    assert [len(store.read(key)) for key in store.list()] == [1, 1, 1]


def test_a_bar_sent_again_replaces_the_first(store: tsstore.Store, sink: Sink) -> None:
    sink.write(events(bar(dv="1"), bar(minute=1), bar(dv="2")))
    assert store.read("AAPL/1Min/OHLCV")["Volume"].tolist() == [2, 4110.25]
    sink.write(events(bar(dv="3")))
    assert store.read("AAPL/1Min/OHLCV")["Volume"].tolist() == [3, 4110.25]


def test_events_out_of_order_come_out_in_order(store: tsstore.Store, sink: Sink) -> None:
    sink.write(events(trade(number=3), trade(number=1)))
    sink.write(events(trade(number=2)))
    assert store.read("AAPL/1Sec/TRADE")["Sequence"].tolist() == [1, 2, 3]


def test_two_trades_of_one_millisecond_are_two_rows(store: tsstore.Store, sink: Sink) -> None:
    sink.write(events(trade(number=1, t=MORNING_MS), trade(number=2, t=MORNING_MS)))
    assert len(store.read("AAPL/1Sec/TRADE")) == 2


def test_watermarks_are_the_newest_times_but_never_in_the_future(sink: Sink) -> None:
    sink.write(events(trade(number=2), trade(number=1), quote(t=MORNING_MS + 10**9)))
    assert sink.watermarks == {"trades": (MORNING_MS + 2) * MS, "quotes": NOW}


def test_the_lag_is_the_age_of_the_newest_event(sink: Sink) -> None:
    sink.write(events(trade(number=1), trade(number=2_000)))
    assert sink.lag_ms == 3_000


def test_last_prices_are_those_of_trades_and_bars(sink: Sink) -> None:
    sink.write(events(trade("A", p=1.5), trade("A", 2, p=2.5), bar("B", c=3.5), quote("C")))
    assert sink.prices == {"A": 2.5, "B": 3.5}


def test_quotes_alone_show_the_bid(sink: Sink) -> None:
    sink.write(events(quote("C", bp=4.5)))
    assert sink.prices == {"C": 4.5}


def test_a_bucket_with_other_columns_costs_only_its_own_rows(
    store: tsstore.Store, sink: Sink
) -> None:
    store.create("OLD/1Min/OHLCV", Schema.of({"Open": "f4", "Close": "f4"}))
    sink.write(events(bar("OLD"), bar("AAPL"), trade("OLD")))
    assert len(store.read("AAPL/1Min/OHLCV")) == len(store.read("OLD/1Sec/TRADE")) == 1
    assert sink.misfits == {"OLD/1Min/OHLCV"}
    sink.write(events(bar("OLD", 1), bar("AAPL", 1)))
    assert len(store.read("AAPL/1Min/OHLCV")) == 2
    assert len(store.read("OLD/1Min/OHLCV")) == 0


def test_a_bucket_with_whole_volumes_takes_bars_until_one_does_not_fit(
    store: tsstore.Store, sink: Sink
) -> None:
    columns = dict(SCHEMAS["bars"].columns)
    store.create("AAPL/1Min/OHLCV", Schema.of({**columns, "Volume": "i8"}))
    assert sink.fitting("bars", ["AAPL"]) == ("AAPL",)  # asked for by the first gap
    sink.write(events(bar(dv="4110")))
    assert len(store.read("AAPL/1Min/OHLCV")) == 1
    sink.write(events(bar(minute=1, dv="4110.25"), bar("MSFT")))
    assert (len(store.read("AAPL/1Min/OHLCV")), len(store.read("MSFT/1Min/OHLCV"))) == (1, 1)
    assert sink.misfits == {"AAPL/1Min/OHLCV"}


@pytest.mark.parametrize("is_made_up", [True, False])
def test_rows_of_the_other_kind_cost_only_themselves(
    store: tsstore.Store, *, is_made_up: bool
) -> None:
    writing = marking(store) if is_made_up else store
    sink = Sink(writing, ManualClock(NOW), logging.getLogger("tests.sink"))
    other = dataclasses.replace(SCHEMAS["trades"], synthetic=not is_made_up)
    store.create("OLD/1Sec/TRADE", other)
    sink.write(events(trade("OLD"), trade("AAPL")))
    assert len(store.read("AAPL/1Sec/TRADE")) == 1
    assert sink.fitting("trades", ["AAPL", "OLD", "NEW"]) == ("AAPL", "NEW")
    assert sink.misfits == {"OLD/1Sec/TRADE"}


def test_bars_behind_the_end_of_a_fill_are_not_kept(store: tsstore.Store, sink: Sink) -> None:
    sink.keep_bars((MORNING_MS + 60_000) * MS)
    sink.write(events(bar(), bar(minute=1), bar(minute=2)))
    store.delete("AAPL/1Min/OHLCV")
    sink.repeat_bars()
    assert (store.read("AAPL/1Min/OHLCV").ts // MS - MORNING_MS).tolist() == [0, 60_000]


def test_nothing_but_misfits_is_no_commit(store: tsstore.Store, sink: Sink) -> None:
    store.create("OLD/1Min/OHLCV", Schema.of({"Open": "f4"}))
    sink.write(events(bar("OLD")))
    sink.write(events(bar("OLD")))
    assert sink.rows == 0


def test_a_store_that_refuses_is_an_error(store: tsstore.Store, sink: Sink) -> None:
    store.close()
    with pytest.raises(ClosedError):
        sink.write(events(trade()))


def test_a_correction_streamed_during_a_fill_has_the_last_word(
    store: tsstore.Store, sink: Sink
) -> None:
    sink.keep_bars(NOW)
    sink.write(events(bar(dv="2")))
    fetched = {"Epoch": [MORNING_MS // 1000], **{n: [1.0] for n in SCHEMAS["bars"].names}}
    store.write("AAPL/1Min/OHLCV", fetched)
    sink.repeat_bars()
    rows = store.read("AAPL/1Min/OHLCV")
    assert rows["Volume"].tolist() == [2]
    assert math.isnan(rows["TradeCount"][0])


def test_a_fill_over_a_quiet_feed_keeps_what_was_fetched(store: tsstore.Store, sink: Sink) -> None:
    sink.write(events(bar(dv="2")))
    sink.keep_bars(NOW)
    fetched = {"Epoch": [MORNING_MS // 1000], **{n: [1.0] for n in SCHEMAS["bars"].names}}
    store.write("AAPL/1Min/OHLCV", fetched)
    sink.repeat_bars()
    assert store.read("AAPL/1Min/OHLCV")["Volume"].tolist() == [1]


def test_a_bar_that_came_before_its_fetch_does_not_undo_it(
    store: tsstore.Store, sink: Sink
) -> None:
    sink.keep_bars(NOW)
    sink.write(events(bar(dv="2")))
    sink.forget_bars("AAPL")
    fetched = {"Epoch": [MORNING_MS // 1000], **{n: [1.0] for n in SCHEMAS["bars"].names}}
    store.write("AAPL/1Min/OHLCV", fetched)
    sink.repeat_bars()
    assert store.read("AAPL/1Min/OHLCV")["Volume"].tolist() == [1]


def test_the_last_versions_of_kept_bars_are_repeated_in_one_commit(
    store: tsstore.Store, sink: Sink
) -> None:
    sink.keep_bars(NOW)
    for volume in "234":
        sink.write(events(bar(dv=volume), bar("MSFT", 1, dv=volume)))
    commits: list[Any] = []
    store.add_listener(commits.append)
    sink.repeat_bars()
    assert len(commits) == 1
    assert store.read("AAPL/1Min/OHLCV")["Volume"].tolist() == [4]
    assert store.read("MSFT/1Min/OHLCV")["Volume"].tolist() == [4]
