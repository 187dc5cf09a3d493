"""Backfills of markets other than stocks: their days, and what there is of them."""

from __future__ import annotations

from datetime import date

import pytest

from tests.massive.backfilling import Bench, at
from tests.massive.http_server import Server, Vendor, bar, trade
from tsstore.clock import ManualClock
from tsstore.times import to_ns
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.datasets import Dataset
from tsstore_massive.tradingdays import day_in, trading_days

MINUTES, DAYS, TRADES = map(Dataset.parse, ("1Min", "1D", "trades"))
#: A Friday to a Monday, between the two changes of the clocks.
FIRST, LAST = date(2024, 6, 7), date(2024, 6, 10)
DAY_NS = 24 * 3600 * 10**9


@pytest.fixture
def bench():
    vendor = Vendor()
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


@pytest.mark.parametrize(
    ("market", "days"),
    [
        ("stocks", [7, 10]),
        ("indices", [7, 10]),
        ("forex", [7, 9, 10]),
        ("futures", [7, 9, 10]),
        ("crypto", [7, 8, 9, 10]),
    ],
)
def test_each_market_has_its_days(market, days):
    assert [day.day for day in trading_days(market, FIRST, LAST).tolist()] == days


@pytest.mark.parametrize(("market", "day"), [("stocks", 9), ("crypto", 10)])
def test_each_market_has_its_midnights(market, day):
    instant = to_ns("2024-06-10 03:59:59")
    assert day_in(MINUTES.of(market), instant) == date(2024, 6, day)


def test_crypto_is_asked_for_by_days_of_utc_and_every_day(bench):
    start = to_ns("2024-06-08")
    bench.vendor.trades["X:BTC-USD"] = [trade(start + n * DAY_NS // 4, n + 1) for n in range(12)]
    bench.run(Target(TRADES, FIRST, LAST), symbols=["X:BTC-USD"])
    asked = [int(request.query["timestamp.gte"]) for request in bench.server.requests]
    assert asked == [start + n * DAY_NS for n in (-1, 0, 1, 2)]
    assert len(bench.rows("X:BTC-USD/1Sec/TRADE")) == 12
    covered = bench.store.read("X:BTC-USD/24H/TRADE_1Sec_BACKFILL")
    assert covered["Rows"].tolist() == [0, 4, 4, 4]
    assert covered["Through"].tolist() == [start + n * DAY_NS - 1 for n in (0, 1, 2, 3)]


def test_a_day_of_a_pair_stands_at_its_date(bench):
    midnights = [to_ns(f"2024-06-{day:02}") for day in (7, 9)]
    bench.vendor.bars["C:EURUSD"] = [bar(ns) for ns in midnights]
    bench.run(Target(DAYS, FIRST, LAST), symbols=["C:EUR-USD"])
    assert [ns for ns, _ in bench.rows("C:EUR-USD/1D/OHLCV")] == midnights


def test_a_request_of_minutes_round_the_clock_is_of_fewer_days(bench):
    bench.run(Target(MINUTES, date(2024, 1, 1), date(2024, 3, 8)), symbols=["X:BTC-USD"])
    assert len(bench.server.requests) == 2  # 68 days of 1,440 minutes


def test_symbols_of_all_markets_go_into_one_run(bench):
    bench.clock = ManualClock(at("2024-06-09 22:00"))
    bench.vendor.bars |= {
        "X:BTCUSD": [bar(to_ns("2024-06-08 12:00"))],
        "AAPL": [bar(at("2024-06-07 12:00"))],
        "O:SPY251219C00650000": [bar(at("2024-06-07 12:00"))],
        "I:SPX": [bar(at("2024-06-07 12:00"))],
    }
    symbols = ["AAPL", "O:SPY251219C00650000", "I:SPX", "X:BTC-USD"]
    report = bench.run(Target(MINUTES, FIRST, LAST), symbols=symbols)
    assert report.gaps == ()
    assert report.progress.total_days == 3 * 1 + 4  # it is Monday in UTC only
    assert sorted(bench.store.list("*/1Min/OHLCV")) == sorted(f"{s}/1Min/OHLCV" for s in symbols)
    covered = bench.store.read("X:BTC-USD/24H/OHLCV_1Min_BACKFILL")
    assert covered["Rows"].tolist() == [0, 1]  # an empty day stays open for two more
    assert covered.ts.tolist() == [to_ns("2024-06-07"), to_ns("2024-06-08")]


def test_what_there_is_no_history_of_is_told(bench):
    wanted = Target(TRADES, FIRST, LAST)
    plan = bench.plan(wanted, symbols=["C:EUR-USD", "I:SPX", "GCZ6", "AAPL"])
    assert [job.symbol for job in plan.jobs] == ["GCZ6", "AAPL"]
    assert plan.notes == [
        f"there is no history of trades of {market} by REST" for market in ("forex", "indices")
    ]


@pytest.mark.parametrize("kind", ["trades", "1Min", "1D"])
def test_a_day_that_goes_on_at_midnight_is_not_over_until_what_is_late_has_come(bench, kind):
    """A plan that is delayed tells the last minutes of a UTC day a quarter of an hour later."""
    dataset, day, symbol = Dataset.parse(kind), date(2024, 6, 8), "X:BTC-USD"
    midnight = to_ns("2024-06-09")
    minute, early, late = 60 * 10**9, midnight - 1800 * 10**9, midnight - 60 * 10**9
    begin = midnight - DAY_NS if kind == "1D" else early
    bench.vendor.trades[symbol] = [trade(early, 1)]
    bench.vendor.bars["X:BTCUSD"] = [bar(begin, 10.0)]
    bench.clock = ManualClock(midnight + 5 * minute)
    bench.run(Target(dataset, day, day), symbols=[symbol])
    assert bench.plan(Target(dataset, day, day), symbols=[symbol]).total_days == 1
    bench.vendor.trades[symbol].append(trade(late, 2))
    bench.vendor.bars["X:BTCUSD"] = [bar(begin, 11.0), bar(late, 12.0)][: 1 + (kind != "1D")]
    bench.clock = ManualClock(midnight + 60 * minute)
    bench.run(Target(dataset, day, day), symbols=[symbol])
    assert bench.plan(Target(dataset, day, day), symbols=[symbol]).total_days == 0
    rows = bench.rows(dataset.of("crypto").key(symbol))
    assert len(rows) == 1 + (kind != "1D")
    assert kind == "trades" or rows[0][1] == 11.0


def test_a_day_of_all_pairs_waits_as_well(bench):
    wanted = Target(DAYS, date(2024, 6, 8), date(2024, 6, 8))
    pairs = ["X:BTC-USD", "X:ETH-USD"]
    bench.clock = ManualClock(to_ns("2024-06-09 00:05"))
    bench.run(wanted, symbols=pairs)
    assert bench.server.requests == []
    bench.clock = ManualClock(to_ns("2024-06-09 01:00"))
    bench.run(wanted, symbols=pairs)
    assert "/grouped/" in bench.server.requests[0].path
