"""The events of a day, in the order and shape the vendor sends them."""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.flatfiles import FlatFileMarket
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.sources import Timing
from tsstore_massive_simulator.tape import CHUNK, Tape

if TYPE_CHECKING:
    from tsstore_massive_simulator.generated import GeneratedMarket

DAY = date(2026, 10, 1)
AAPL = frozenset({"AAPL"})


def sent(tape: Tape, low: int = 0, high: int | None = None) -> list[dict[str, Any]]:
    batches = tape.batches(low, len(tape) if high is None else high, 100, keep=False)
    return [event for batch in batches for event in json.loads(batch.text)]


@pytest.fixture(scope="module")
def bars(market: GeneratedMarket) -> list[dict[str, Any]]:
    return sent(Tape(market, DAY, {"AM": AAPL}, Timing()))


def test_all_channels_are_merged_in_order_of_time(market: GeneratedMarket) -> None:
    tape = Tape(
        market, DAY, {"T": AAPL, "Q": AAPL, "A": AAPL, "AM": None}, Timing(revised_share=0.01)
    )
    assert (np.diff(tape.due) >= 0).all()
    channels = {event["ev"] for event in sent(tape, 0, 20_000)}
    assert channels == {"T", "Q", "A", "AM"}


def test_only_wanted_tickers_are_on_it(market: GeneratedMarket) -> None:
    tape = Tape(market, DAY, {"T": frozenset({"AAPL", "NOSUCH"})}, Timing())
    assert {event["sym"] for event in sent(tape, 0, 1000)} == {"AAPL"}


def test_frames_hold_so_many_events(market: GeneratedMarket) -> None:
    batches = Tape(market, DAY, {"T": AAPL}, Timing()).batches(0, 250, 100, keep=False)
    assert [len(json.loads(batch.text)) for batch in batches] == [100, 100, 50]
    assert [batch.events for batch in batches] == [100, 100, 50]


def test_remembered_frames_are_the_same(market: GeneratedMarket) -> None:
    tape = Tape(market, DAY, {"T": AAPL}, Timing())
    fresh = tape.batches(0, CHUNK, 100, keep=False)
    kept = tape.batches(0, CHUNK, 100, keep=True)
    assert kept == fresh
    assert tape.batches(0, CHUNK, 100, keep=True) is kept


def test_trades_have_the_vendor_s_fields(market: GeneratedMarket) -> None:
    events = sent(Tape(market, DAY, {"T": AAPL}, Timing()), 0, 5000)
    needed = {"ev", "sym", "i", "x", "p", "s", "t", "q", "z", "ds", "pt"}
    assert all(needed <= event.keys() for event in events)
    assert all(isinstance(event["s"], int) and isinstance(event["i"], str) for event in events)


def test_absent_fields_are_left_out(market: GeneratedMarket) -> None:
    events = sent(Tape(market, DAY, {"T": None, "Q": None}, Timing()), 0, 20_000)
    assert all(value is not None for event in events for value in event.values())
    assert any("c" not in event for event in events if event["ev"] == "T")
    assert any("trfi" in event for event in events)
    assert any("ap" not in event for event in events if event["ev"] == "Q")


def test_a_fraction_of_a_share_has_size_zero_and_its_text(market: GeneratedMarket) -> None:
    events = sent(Tape(market, DAY, {"T": AAPL}, Timing()), 0, 5000)
    below = [event for event in events if event["s"] == 0]
    assert below
    assert all(0 < float(event["ds"]) < 1 for event in below)


def test_times_are_milliseconds(market: GeneratedMarket) -> None:
    tape = Tape(market, DAY, {"T": AAPL}, Timing())
    assert [event["t"] for event in sent(tape, 0, 100)] == (tape.due[:100] // 10**6).tolist()


def test_a_minute_bar_comes_one_to_three_seconds_after_its_end(market: GeneratedMarket) -> None:
    tape = Tape(market, DAY, {"AM": AAPL}, Timing())
    ends = np.array([event["e"] for event in sent(tape)]) * 10**6
    assert (tape.due - ends >= 10**9).all()
    assert (tape.due - ends <= 3 * 10**9).all()


def test_bars_have_start_and_end(bars: list[dict[str, Any]]) -> None:
    assert all(bar["e"] == bar["s"] + 60_000 and bar["s"] % 60_000 == 0 for bar in bars)


def test_bars_add_up_the_day(bars: list[dict[str, Any]]) -> None:
    volume = sum(float(bar["dv"]) for bar in bars)
    assert float(bars[-1]["dav"]) == pytest.approx(volume)


def test_the_official_open_is_zero_before_the_bell(bars: list[dict[str, Any]]) -> None:
    open_ms = hours(DAY).open_ns // 10**6
    first = next(bar for bar in bars if bar["s"] >= open_ms)
    assert {bar["op"] for bar in bars if bar["s"] < open_ms} == {0}
    assert {bar["op"] for bar in bars if bar["s"] >= open_ms} == {first["o"]}


def test_some_bars_are_sent_again_and_the_last_one_counts(market: GeneratedMarket) -> None:
    rows = market.rows(Kind.MINUTES, DAY, ["AAPL"])
    events = sent(Tape(market, DAY, {"AM": AAPL}, Timing(revised_share=0.2)))
    assert len(rows) * 1.1 < len(events) < len(rows) * 1.3
    last = {event["s"]: float(event["dv"]) for event in events}
    assert [last[start] for start in sorted(last)] == rows["volume"].tolist()


def test_the_corrected_bar_comes_within_fifteen_minutes(market: GeneratedMarket) -> None:
    tape = Tape(market, DAY, {"AM": AAPL}, Timing(revised_share=0.2))
    ends = np.array([event["e"] for event in sent(tape)]) * 10**6
    assert (tape.due - ends < 15 * 60 * 10**9).all()


def test_a_channel_without_data_is_silent(market: GeneratedMarket) -> None:
    assert len(Tape(market, DAY, {"LV": None}, Timing())) == 0


def test_counts_are_told_by_channel(market: GeneratedMarket) -> None:
    tape = Tape(market, DAY, {"T": AAPL, "AM": AAPL}, Timing(revised_share=0.2))
    counts = tape.count(0, len(tape))
    assert counts["T"] == len(market.rows(Kind.TRADES, DAY, ["AAPL"]))
    assert counts["T"] + counts["AM"] == len(tape)


def test_real_trades_are_all_on_it_with_their_values(real_market: FlatFileMarket) -> None:
    market, day = real_market, date(2013, 10, 7)
    rows = market.rows(Kind.TRADES, day).of("AIG")
    events = sent(Tape(market, day, {"T": frozenset({"AIG"})}, Timing()))
    assert [event["p"] for event in events] == rows["price"].tolist()
    assert [event["s"] for event in events] == rows["size"].astype(int).tolist()
    assert [event["t"] for event in events] == (rows["sip_timestamp"] // 10**6).tolist()
    assert [event["q"] for event in events] == rows["sequence_number"].tolist()
    assert [tuple(event.get("c", ())) for event in events] == [
        rows.sets[code] for code in rows["conditions"]
    ]
