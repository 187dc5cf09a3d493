"""What a backfill would cost is what it costs: exactly for bars, within a factor for ticks."""

from __future__ import annotations

import threading
from datetime import date

import pytest

from tests.massive.backfilling import LATER, TRADES_SET, Bench, at, spread
from tests.massive.http_server import Server, Vendor, bar
from tsstore.clock import ManualClock
from tsstore.times import to_ns
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.backfilling.dryrun import say_estimates
from tsstore_massive.backfilling.estimate import Estimate, Estimator, seconds_of
from tsstore_massive.datasets import Dataset
from tsstore_massive.rest.rate import RateLimiter

FIRST, LAST = date(2024, 1, 2), date(2024, 6, 3)
SYMBOLS = ["A", "B", "C", "D", "X:BTC-USD", "C:EUR-USD"]
MINUTES, HOURS, DAYS, SECONDS = map(Dataset.parse, ("1Min", "1H", "1D", "1Sec"))


@pytest.fixture
def bench():
    vendor = Vendor()
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def estimates(bench: Bench, *targets: Target, symbols=SYMBOLS, page_rows=50_000) -> list[Estimate]:
    with bench.backfiller() as backfiller:
        plan = backfiller.plan(targets, symbols)
        estimator = Estimator(bench.store, backfiller._rest, clock=bench.clock, page_rows=page_rows)
        return estimator.estimate(plan)


@pytest.mark.parametrize("dataset", [MINUTES, HOURS, DAYS, Dataset.parse("1W")], ids=str)
def test_requests_for_bars_are_exact(bench, dataset):
    bench.run(Target(dataset, date(2024, 2, 1), date(2024, 2, 20)), symbols=["B", "X:BTC-USD"])
    target = Target(dataset, FIRST, LAST)
    bench.server.requests.clear()
    found = estimates(bench, target)
    assert bench.server.requests == []
    assert all(each.is_exact for each in found)
    bench.run(target, symbols=SYMBOLS)
    assert sum(each.calls for each in found) == len(bench.server.requests)


def test_days_of_the_market_are_counted_as_such(bench):
    symbols = [f"S{n}" for n in range(300)]
    [found] = estimates(bench, Target(DAYS, FIRST, LAST), symbols=symbols)
    assert (found.calls, found.rows, found.is_exact) == (106, 106 * 300, True)


def test_bars_of_seconds_may_need_a_second_page(bench):
    [found] = estimates(bench, Target(SECONDS, LAST, LAST), symbols=["A"])
    assert (found.calls, found.is_exact) == (2, False)


def test_ticks_are_as_many_as_on_days_fetched_before(bench):
    bench.vendor.trades["A"] = spread("2024-06-03", 40) + spread("2024-06-04", 50)
    bench.run(Target(TRADES_SET, LAST, LAST), symbols=["A"])
    bench.server.requests.clear()
    wanted = Target(TRADES_SET, LAST, date(2024, 6, 4))
    [found] = estimates(bench, wanted, symbols=["A"], page_rows=20)
    assert (found.rows, found.calls, found.basis) == (40, 2, "days fetched before (1 symbol)")
    assert bench.server.requests == []
    bench.run(wanted, symbols=["A"], page_rows=20)
    assert len(bench.server.requests) == 3


def test_else_as_the_trades_that_stored_day_bars_count(bench):
    bench.vendor.bars["A"] = [bar(at("2024-06-03"))]
    bench.run(Target(DAYS, LAST, LAST), symbols=["A"])
    bench.server.requests.clear()
    [found] = estimates(bench, Target(TRADES_SET, LAST, LAST), symbols=["A"])
    assert (found.rows, found.basis) == (3, "stored day bars (1 symbol)")
    assert bench.server.requests == []


def test_else_as_one_day_of_the_market_tells(bench):
    bench.clock = ManualClock(LATER)  # a Monday
    bench.vendor.bars |= {"A": [bar(at("2024-06-28"))], "B": [bar(at("2024-06-28"))]}
    trades, quotes = estimates(
        bench,
        Target(TRADES_SET, LAST, LAST),
        Target(Dataset.parse("quotes"), LAST, LAST),
        symbols=["A", "B", "NEW"],
    )
    assert [request.path[-10:] for request in bench.server.requests] == ["2024-06-28"]
    assert trades.basis == "one day of the market (2 symbols), an average (1 symbol)"
    assert (trades.rows, quotes.rows) == (3 + 3 + 8_000, 12 + 12 + 33_000)


def test_the_time_is_that_of_the_slowest_part():
    few = Estimate(MINUTES, 1, 12, 100, "", is_exact=True)
    assert seconds_of([few], 5, 8) == 120  # five now, five in a minute, two in another
    assert seconds_of([few], 5, 8, per_day=10) == 86_400  # the last two tomorrow
    many = Estimate(TRADES_SET, 1, 1_000, 10, "", is_exact=False)
    assert seconds_of([many], 10**6, 4) == pytest.approx(62.5)
    rows = Estimate(TRADES_SET, 1, 1, 3e9, "", is_exact=False)
    assert seconds_of([rows], 10**6, 4) == pytest.approx(10_000)


def test_the_time_of_a_small_plan_is_what_its_limiter_takes():
    clock = ManualClock(to_ns("2024-07-01 12:00:30"))
    limiter, started = RateLimiter(5, 60.0, clock), clock.monotonic()
    stop = threading.Event()
    for _ in range(12):
        limiter.acquire(stop)
    estimate = Estimate(MINUTES, 1, 12, 100, "", is_exact=True)
    assert clock.monotonic() - started == pytest.approx(seconds_of([estimate], 5, 8), abs=61)


def test_what_is_said(capsys):
    found = [
        Estimate(MINUTES, 250, 1, 75_000, "an average (1 symbol)", is_exact=True),
        Estimate(TRADES_SET, 250, 250, 2e6, "an average (1 symbol)", is_exact=False),
    ]
    say_estimates(found, 3, 5, 8)
    assert capsys.readouterr().out == (
        "1Min bars of stocks: 250 symbol-days, exactly 1 request, about 75,000 rows, 2.4 MB to "
        "receive, 450.0 kB on disk once packed\n"
        "  rows by an average (1 symbol)\n"
        "trades of stocks: 250 symbol-days, about 250 requests, about 2,000,000 rows, 84.1 MB to "
        "receive, 16.0 MB on disk once packed\n"
        "  rows by an average (1 symbol); they may be 10 times as many or as few\n"
        "3 symbol-days are there already\n"
        "in all 251 requests, 86.5 MB to receive, 16.4 MB on disk, about 0:50:00 at 5 requests a "
        "minute and 8 at a time\n"
        "nothing was fetched (--dry-run)\n"
    )
