"""Day bars of a whole market by one request a day."""

from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tests.massive.backfilling import MONDAY, TUESDAY, WEDNESDAY, Bench, at
from tests.massive.http_server import Server, Vendor, bar
from tests.massive.test_refusals import ENTITLEMENT, TIMEFRAME, refusal
from tsstore.clock import ManualClock
from tsstore.testing.model import ModelStore
from tsstore.times import to_ns
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.datasets import Dataset

DAYS = Dataset.parse("1D")
SYMBOLS = ["A", "BCpC", "BCPC", "D", "E"]
GROUPED = "/v2/aggs/grouped/locale/us/market/stocks/"


@pytest.fixture
def bench():
    vendor = Vendor()
    for n, symbol in enumerate([*SYMBOLS, "OTHER"]):
        vendor.bars[symbol] = [
            bar(at(f"2024-06-0{day}"), 10.0 * n + day, volume=1.5 * day) for day in (3, 4, 5)
        ]
    del vendor.bars["D"][1]
    del vendor.bars["E"][0]["vw"], vendor.bars["E"][0]["n"]
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def days(first: date = MONDAY, last: date = TUESDAY) -> Target:
    return Target(DAYS, first, last)


def paths(bench: Bench) -> list[str]:
    return [request.path for request in bench.server.requests]


@pytest.mark.parametrize("timezone", ["UTC", "America/New_York"])
def test_a_day_of_the_market_gives_the_same_as_each_symbol_by_itself(bench, timezone):
    bench.store = ModelStore(timezone=timezone)
    report = bench.run(days(), symbols=SYMBOLS, timezone=timezone)
    assert paths(bench) == [f"{GROUPED}2024-06-03", f"{GROUPED}2024-06-04"]
    assert {request.query["adjusted"] for request in bench.server.requests} == {"false"}
    assert {request.query["include_otc"] for request in bench.server.requests} == {"true"}
    assert (report.progress.rows, report.progress.empty_days) == (9, 1)
    assert report.progress.days == report.progress.total_days == 10
    together, bench.store = bench.everything(), ModelStore(timezone=timezone)
    for symbol in SYMBOLS:
        bench.run(days(), symbols=[symbol], timezone=timezone)
    alone = bench.everything()
    assert together.keys() == alone.keys()
    for key, rows in together.items():
        np.testing.assert_array_equal(np.array(rows), np.array(alone[key]))
    assert bench.rows("A/1D/OHLCV")[0][0] == to_ns("2024-06-03", timezone)


def test_a_second_run_asks_nothing(bench):
    bench.run(days(), symbols=SYMBOLS)
    bench.server.requests.clear()
    assert bench.run(days(), symbols=SYMBOLS).progress.total_days == 0
    assert bench.server.requests == []


def test_what_is_fewer_requests_is_taken(bench):
    assert bench.plan(days(MONDAY, WEDNESDAY), symbols=SYMBOLS[:3]).notes == []
    plan = bench.plan(days(MONDAY, WEDNESDAY), symbols=SYMBOLS)
    [note] = plan.notes
    assert note == (
        "1D bars of stocks: 3 requests for a day of the whole market (grouped daily), where 5 by "
        "symbol would do the same"
    )
    assert plan.total_days == 15


def test_a_symbol_that_misses_more_than_the_others_is_fetched_by_itself(bench):
    bench.run(days(), symbols=SYMBOLS)
    bench.server.requests.clear()
    report = bench.run(days(date(2024, 1, 2), WEDNESDAY), symbols=["OTHER"])
    bench.server.requests.clear()
    wanted = Target(DAYS, MONDAY, WEDNESDAY)
    bench.run(wanted, symbols=[*SYMBOLS, "NEW"])
    assert paths(bench)[0] == f"{GROUPED}2024-06-05"
    assert len(paths(bench)) == 2
    assert "/ticker/NEW/" in paths(bench)[1]
    assert report.gaps == ()


def test_other_markets_and_bars_of_other_lengths_are_not_grouped(bench):
    plan = bench.plan(days(), Target(Dataset.parse("1Min"), MONDAY, MONDAY), symbols=["O:A", "O:B"])
    assert plan.notes == []


def test_a_recent_day_without_a_row_is_asked_for_again(bench):
    bench.clock = ManualClock(at("2024-06-05 01:00"))
    bench.run(days(), symbols=SYMBOLS)
    bench.server.requests.clear()
    bench.run(days(), symbols=SYMBOLS)
    assert len(paths(bench)) == 1
    assert "/ticker/D/" in paths(bench)[0]


def test_the_day_under_way_is_left_for_later(bench):
    bench.clock = ManualClock(at("2024-06-05 19:00"))
    bench.run(days(WEDNESDAY, WEDNESDAY), symbols=SYMBOLS)
    assert bench.store.list() == []
    bench.clock = ManualClock(at("2024-06-06 00:00"))
    bench.run(days(WEDNESDAY, WEDNESDAY), symbols=SYMBOLS)
    assert len(bench.store.list("*/1D/OHLCV")) == 5


def test_a_plan_without_it_gets_each_symbol_by_itself(bench):
    bench.vendor.fault = lambda r: refusal(ENTITLEMENT) if "grouped" in r.path else None
    report = bench.run(days(), symbols=SYMBOLS)
    assert (report.gaps, report.progress.rows) == ((), 9)
    assert report.progress.days == report.progress.total_days
    assert len(paths(bench)) <= 1 + 5 + 5  # the first day was asked for as a day of the market
    bench.server.requests.clear()
    bench.run(days(), symbols=SYMBOLS, refetch=True)
    assert not any("grouped" in path for path in paths(bench))


def test_days_before_the_history_of_the_plan_are_searched_for_once(bench):
    first = "2024-06-04"

    def fault(request):
        day = request.path.rpartition("/")[2]
        return refusal(TIMEFRAME) if "grouped" in request.path and day < first else None

    bench.vendor.fault = fault
    symbols = [f"S{n}" for n in range(200)] + SYMBOLS
    report = bench.run(days(date(2024, 1, 2), TUESDAY), symbols=symbols)
    assert len(paths(bench)) <= 1 + 7 + 1
    [gap] = report.gaps
    assert (gap.symbol, gap.refused, gap.days) == ("*", "timeframe", 106 * len(symbols))
    assert len(bench.store.list("*/1D/OHLCV")) == 4
