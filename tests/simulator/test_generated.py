"""The generated market is believable, and the same for the same seed."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.names import ticker_names
from tsstore_massive_simulator.rows import Kind, Rows

DAY = date(2026, 10, 1)


@pytest.fixture
def trades(market: GeneratedMarket) -> Rows:
    return market.rows(Kind.TRADES, DAY, ["AAPL"])


@pytest.fixture
def quotes(market: GeneratedMarket) -> Rows:
    return market.rows(Kind.QUOTES, DAY, ["AAPL"])


@pytest.mark.parametrize("kind", list(Kind))
def test_the_same_seed_gives_the_same_rows(market: GeneratedMarket, kind: Kind) -> None:
    again = GeneratedMarket(seed=7, tickers=5).rows(kind, DAY, ["AAPL"])
    for name, column in market.rows(kind, DAY, ["AAPL"]).columns.items():
        np.testing.assert_array_equal(column, again[name])


def test_another_seed_gives_other_rows(trades: Rows) -> None:
    other = GeneratedMarket(seed=8, tickers=5).rows(Kind.TRADES, DAY, ["AAPL"])
    assert not np.array_equal(other["price"][:100], trades["price"][:100])


def test_a_ticker_does_not_depend_on_the_others(trades: Rows) -> None:
    alone = GeneratedMarket(seed=7, tickers=["SPY", "NVDA", "AAPL"])
    np.testing.assert_array_equal(alone.rows(Kind.TRADES, DAY, ["AAPL"])["price"], trades["price"])


@pytest.mark.parametrize("day", [date(2026, 10, 3), date(2026, 11, 26)])
def test_a_closed_day_has_no_rows(market: GeneratedMarket, day: date) -> None:
    assert len(market.rows(Kind.TRADES, day)) == 0


def test_days_are_market_days(market: GeneratedMarket) -> None:
    days = market.days(date(2026, 11, 23), date(2026, 11, 29))
    assert days == [date(2026, 11, day) for day in (23, 24, 25, 27)]


def test_trades_happen_in_trading_hours(trades: Rows) -> None:
    session = hours(DAY)
    assert session.first_ns <= trades["sip_timestamp"][0]
    assert trades["sip_timestamp"][-1] <= session.last_ns


def test_a_half_day_ends_early(market: GeneratedMarket) -> None:
    day = date(2026, 11, 27)
    last = market.rows(Kind.TRADES, day, ["AAPL"])["sip_timestamp"][-1]
    assert last <= hours(day).last_ns == hours(day).close_ns + 4 * 3600 * 10**9


def test_sequence_numbers_grow(trades: Rows, quotes: Rows) -> None:
    assert (np.diff(trades["sequence_number"]) > 0).all()
    assert (np.diff(quotes["sequence_number"]) > 0).all()


def test_trades_are_reported_after_they_happened(trades: Rows) -> None:
    assert (trades["participant_timestamp"] < trades["sip_timestamp"]).all()


def test_prices_are_whole_tenths_of_cents(trades: Rows) -> None:
    tenths = trades["price"] * 1000
    np.testing.assert_allclose(tenths, np.rint(tenths), atol=1e-6)


def test_most_trades_come_near_open_and_close(trades: Rows) -> None:
    session = hours(DAY)
    minute = 60 * 10**9
    ts = trades["sip_timestamp"]
    noon = session.open_ns + 150 * minute
    at_open = np.count_nonzero((ts >= session.open_ns) & (ts < session.open_ns + 10 * minute))
    at_noon = np.count_nonzero((ts >= noon) & (ts < noon + 10 * minute))
    assert at_open > 4 * at_noon > 0


def test_some_trades_are_fractions_of_a_share(trades: Rows) -> None:
    assert (trades["size"] < 1).any()


def test_there_were_no_fractions_before_the_vendor_showed_them(market: GeneratedMarket) -> None:
    size = market.rows(Kind.TRADES, date(2026, 2, 20), ["AAPL"])["size"]
    assert (size == np.rint(size)).all()


def test_odd_lots_carry_their_condition(trades: Rows) -> None:
    is_odd = np.array([37 in conditions for conditions in trades.sets])
    odd = trades["size"][is_odd[trades["conditions"]]]
    assert len(odd)
    assert (odd < 100).all()


def test_off_exchange_trades_name_their_facility(trades: Rows) -> None:
    assert ((trades["trf_id"] > 0) == (trades["exchange"] == 4)).all()


def test_bids_are_below_asks_and_a_few_asks_are_absent(quotes: Rows) -> None:
    present = quotes["ask_price"] > 0
    assert (quotes["bid_price"][present] < quotes["ask_price"][present]).all()
    assert 0 < np.count_nonzero(~present) < len(quotes) / 100


def test_quotes_outnumber_trades(trades: Rows, quotes: Rows) -> None:
    assert 3.5 < len(quotes) / len(trades) < 4.5


def test_busier_tickers_trade_more(market: GeneratedMarket) -> None:
    counts = np.diff(market.rows(Kind.TRADES, DAY, ["SPY", "AAPL"]).starts)
    assert 2 < counts[1] / counts[0] < 4  # SPY, after AAPL in order of bytes


def test_a_day_goes_on_where_the_one_before_ended(market: GeneratedMarket) -> None:
    before = market.rows(Kind.TRADES, DAY, ["AAPL"])["price"][-1]
    after = market.rows(Kind.TRADES, date(2026, 10, 2), ["AAPL"])["price"][0]
    assert abs(after / before - 1) < 0.01


def test_any_past_day_can_be_asked_for(market: GeneratedMarket) -> None:
    assert len(market.rows(Kind.MINUTES, date(2004, 5, 3), ["AAPL"])) > 10


def test_names_of_tickers_are_all_different() -> None:
    names = ticker_names(5000)
    assert len(set(names)) == 5000
