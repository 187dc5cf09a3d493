"""What is missing at a start, from what was streamed before and what is stored."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from tsstore.columns import Columns
from tsstore.times import to_ns
from tsstore_massive.config import Config
from tsstore_massive.missing.missed import overlap_ns
from tsstore_massive.missing.resume import RESUME_GRID_NS, TOO_OLD, Start, at_start
from tsstore_massive.missing.streamed import Streamed
from tsstore_massive.schemas import TRADES

if TYPE_CHECKING:
    import tsstore

NOW = to_ns("2024-06-05 18:00")
HOUR = 3600 * 10**9
DAY = 24 * HOUR


def stored(store: tsstore.Store, symbol: str, *ages_ns: int) -> None:
    arrays = {name: np.ones(len(ages_ns), dtype) for name, dtype in TRADES.columns}
    times = NOW - np.array(ages_ns)
    store.write(f"{symbol}/1Sec/TRADE", Columns(times, arrays), schema=TRADES)


def streamed_until(
    store: tsstore.Store, age_ns: int, *symbols: str, connection: str = ""
) -> Streamed:
    found = Streamed({"trades": NOW - age_ns}, frozenset(symbols) or None)
    found.write(store, connection, Streamed.read(store, connection))
    assert Streamed.read(store, connection) == found
    return found


def start(store: tsstore.Store, before: Streamed, *symbols: str, **options: Any) -> Start:
    defaults = {"data_types": ["trades"], "symbols": symbols}
    config = msgspec.convert(defaults | options, Config)
    return at_start(store, config, symbols or None, before, NOW)


def missed_since(found: Start, symbol: str) -> int:
    """How long ago the first missed instant of a symbol was."""
    return NOW - min(one.start_ns for one in found.missed if symbol in (one.symbols or ()))


@pytest.mark.parametrize("name", ["", "stocks"])
def test_rows_of_a_backfill_after_the_stop_do_not_hide_it(store: tsstore.Store, name: str) -> None:
    stored(store, "SPY", 26 * HOUR, HOUR // 60)
    before = streamed_until(store, 26 * HOUR, "SPY", connection=name)
    assert 26 * HOUR < missed_since(start(store, before, "SPY"), "SPY") < 27 * HOUR


def test_what_was_never_streamed_goes_on_from_its_rows(store: tsstore.Store) -> None:
    stored(store, "SPY", 5 * HOUR)
    stored(store, "QQQ", 5 * HOUR)
    found = start(store, streamed_until(store, 2 * HOUR, "QQQ"), "SPY", "QQQ")
    for symbol in ("SPY", "QQQ"):  # the rows of one that was added while it was down
        assert 5 * HOUR < missed_since(found, symbol) < 6 * HOUR
    assert start(store, Streamed(), "SPY").given_up == []


def test_what_trades_rarely_is_missed_since_the_stop_and_not_since_it_traded(
    store: tsstore.Store,
) -> None:
    stored(store, "THIN", 15 * DAY)
    for streamed in (("THIN", "NONE"), ()):  # these, or all of the market
        found = start(store, streamed_until(store, 2 * HOUR, *streamed), "THIN", "NONE")
        assert 2 * HOUR < missed_since(found, "THIN") < 3 * HOUR
        assert found.given_up == []
    found = start(store, streamed_until(store, 2 * HOUR, "NONE"), "THIN", "NONE")
    assert 2 * HOUR < missed_since(found, "NONE") < 3 * HOUR
    assert [one.reason for one in found.given_up] == [TOO_OLD]


def test_a_stop_of_weeks_is_given_up_up_to_the_rows_that_came_since(store: tsstore.Store) -> None:
    stored(store, "SPY", 20 * DAY, HOUR)
    found = start(store, streamed_until(store, 20 * DAY, "SPY"), "SPY")
    (given_up,) = found.given_up
    assert 0 <= NOW - 20 * DAY - given_up.start_ns < 2 * RESUME_GRID_NS
    assert HOUR < missed_since(found, "SPY") < 2 * HOUR


def test_of_a_market_those_that_live_are_asked_for_and_not_all_that_are_stored(
    store: tsstore.Store,
) -> None:
    for name in ("AAA", "O:SPY240621C00500000"):
        stored(store, name, 3 * HOUR)
    for name in ("GONE", "O:SPY230616C00400000"):
        stored(store, name, 300 * DAY)
    before = streamed_until(store, 2 * HOUR)
    for market, named in (("stocks", set()), ("options", {("O:SPY240621C00500000",)})):
        found = start(store, before, market=market)
        assert {one.symbols for one in found.missed} == {None, *named}  # the list says who lives
        assert {NOW - one.start_ns for one in found.missed} == {2 * HOUR + overlap_ns("trades")}
        assert found.given_up == []
    found = start(store, Streamed())
    assert {one.symbols for one in found.missed} == {("AAA",)}


def test_a_time_from_the_future_is_not_believed(store: tsstore.Store) -> None:
    stored(store, "SPY", HOUR)
    found = start(store, streamed_until(store, -DAY, "SPY"), "SPY")
    assert missed_since(found, "SPY") > HOUR


def test_it_was_seen_when_it_streamed_and_not_when_rows_came(store: tsstore.Store) -> None:
    stored(store, "SPY", HOUR)
    assert start(store, Streamed(), "SPY").seen_ns == NOW - HOUR
    assert start(store, streamed_until(store, 3 * HOUR, "SPY"), "SPY").seen_ns == NOW - 3 * HOUR
