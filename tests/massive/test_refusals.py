"""What the plan of a key excludes: how much is asked to learn it, and what the next run knows."""

from __future__ import annotations

import json
import threading
from datetime import date

import numpy as np
import pytest

from tests.massive.backfilling import (
    MINUTES,
    MONDAY,
    TRADES_SET,
    TUESDAY,
    WEDNESDAY,
    Bench,
    at,
    minutes,
    spread,
    ticks,
)
from tests.massive.http_server import Reply, Server, Vendor, bar
from tsstore.clock import ManualClock
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.backfilling.refusals import KEY as REFUSED_KEY
from tsstore_massive.sessions import MarketCalendar, day_of

UPGRADE = "Please upgrade your plan at https://massive.com/pricing"
ENTITLEMENT = f"You are not entitled to this data. {UPGRADE}"
TIMEFRAME = f"Your plan doesn't include this data timeframe. {UPGRADE}"
TODAY = f"Attempted to request today's data before end of day. {UPGRADE}"


@pytest.fixture
def bench():
    vendor = Vendor()
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def refusal(text: str) -> Reply:
    return Reply(json.dumps({"status": "NOT_AUTHORIZED", "message": text}).encode(), 403)


def days_asked(request) -> tuple[date, date]:
    """First and last day of what a request is about."""
    if request.path.startswith("/v2/aggs/"):
        first, last = (int(part) * 10**6 for part in request.path.split("/")[8:10])
    else:
        first, last = (int(request.query[f"timestamp.{end}"]) for end in ("gte", "lte"))
    return day_of(first), day_of(last)


def history_from(first: date):
    """A plan whose history begins on a day: what begins before it is refused as a whole."""
    return lambda request: refusal(TIMEFRAME) if days_asked(request)[0] < first else None


SYMBOLS = [f"S{n:02}" for n in range(40)]


def test_a_kind_that_is_not_in_the_plan_is_asked_for_a_few_symbols_only(bench):
    bench.vendor.fault = lambda _: refusal(ENTITLEMENT)
    report = bench.run(ticks(MONDAY, WEDNESDAY), symbols=SYMBOLS)
    assert len(bench.server.requests) == 3
    assert {gap.symbol for gap in report.gaps} == set(SYMBOLS)
    assert {gap.refused for gap in report.gaps} == {"entitlement"}
    assert report.progress.failed_days == report.progress.days == 3 * len(SYMBOLS)


def test_another_kind_is_another_matter(bench):
    bench.vendor.bars["S00"] = [bar(at("2024-06-03 09:30"))]
    bench.vendor.fault = lambda r: refusal(ENTITLEMENT) if "trades" in r.path else None
    bench.run(ticks(), minutes(), symbols=SYMBOLS)
    assert len(bench.server.requests) == 3 + len(SYMBOLS)


def test_symbols_are_asked_one_by_one_where_some_are_in_the_plan(bench):
    bench.vendor.trades["S00"] = spread("2024-06-03", 1)
    bench.vendor.fault = lambda r: None if "S00" in r.path else refusal(ENTITLEMENT)
    bench.run(ticks(), symbols=SYMBOLS)
    assert len(bench.server.requests) == len(SYMBOLS)


def test_the_next_run_knows_what_the_plan_excludes_for_a_day(bench):
    bench.vendor.fault = lambda _: refusal(ENTITLEMENT)
    bench.run(ticks(), symbols=SYMBOLS)
    bench.server.requests.clear()
    report = bench.run(ticks(), symbols=SYMBOLS)
    assert bench.server.requests == []
    assert len(report.gaps) == len(SYMBOLS)
    assert report.gaps[0].reason.startswith("You are not entitled to this data (asked at 2024-07")
    bench.clock = ManualClock(bench.clock.now_ns() + 24 * 3600 * 10**9)
    bench.run(ticks(), symbols=SYMBOLS)
    assert len(bench.server.requests) == 3
    assert len(bench.store.read(REFUSED_KEY)) == 4  # what is not believed any more is gone


def test_another_key_has_another_plan(bench):
    bench.vendor.fault = lambda _: refusal(ENTITLEMENT)
    bench.run(ticks())
    bench.run(ticks(), key="another-key")
    assert len(bench.server.requests) == 2


def test_it_is_asked_again_on_demand(bench):
    bench.vendor.fault = lambda _: refusal(ENTITLEMENT)
    bench.run(ticks())
    with bench.backfiller() as backfiller:
        backfiller.forget_refusals()
        backfiller.run(backfiller.plan([ticks()], ["AAPL"]))
    assert len(bench.server.requests) == 2


# A history that begins somewhere

FIRST, LAST = date(2022, 6, 1), date(2024, 5, 31)


@pytest.mark.parametrize("begins", ["2024-03-28", "2024-05-31"])
def test_where_the_history_of_the_plan_begins_is_found_by_halves(bench, begins):
    bench.vendor.fault = history_from(date.fromisoformat(begins))
    calendar = MarketCalendar().days(FIRST, LAST)
    inside = int((calendar >= np.datetime64(begins)).sum())
    report = bench.run(Target(TRADES_SET, FIRST, LAST), symbols=["A", "B", "C"])
    assert len(bench.server.requests) <= 3 * inside + 1 + 9, "503 days are 9 halves"
    assert [(gap.symbol, gap.days, gap.refused) for gap in report.gaps] == [
        (symbol, len(calendar) - inside, "timeframe") for symbol in "ABC"
    ]
    for symbol in "ABC":
        covered = bench.store.read(f"{symbol}/24H/TRADE_1Sec_BACKFILL").ts
        assert len(covered) == inside
    bench.server.requests.clear()
    bench.run(Target(TRADES_SET, FIRST, LAST), symbols=["A", "D"])
    assert len(bench.server.requests) == inside


def test_days_of_one_request_on_both_sides_of_it_are_told_apart(bench):
    begins = date(2023, 3, 17)
    bench.vendor.fault = history_from(begins)
    bench.vendor.bars["A"] = [bar(at("2023-03-16 09:30")), bar(at("2023-03-17 09:30"))]
    [gap] = bench.run(Target(MINUTES, FIRST, LAST), symbols=["A"]).gaps
    assert day_of(gap.end_ns) == date(2023, 3, 16)
    assert [day_of(ns) for ns, _ in bench.rows("A/1Min/OHLCV")] == [begins]
    assert bench.store.read("A/24H/OHLCV_1Min_BACKFILL").ts[0] == np.datetime64(begins, "ns").view(
        "i8"
    )
    # One is refused, 9 halves, and 305 days are 6 requests.
    assert len(bench.server.requests) <= 1 + 9 + 6


def test_threads_that_learn_it_together_search_once(bench):
    together, plain = threading.Barrier(3, timeout=10), bench.server.answer
    bench.vendor.fault = history_from(date(2024, 5, 20))

    def answer(request):
        if len(bench.server.requests) <= 3:
            together.wait()
        return plain(request)

    bench.server.answer = answer
    bench.run(Target(TRADES_SET, FIRST, LAST), symbols=["A", "B", "C"], parallelism=3)
    assert len(bench.server.requests) <= 3 + 9 + 3 * 9


# The day under way


def test_the_day_under_way_costs_no_earlier_day_and_is_asked_for_once(bench):
    bench.clock = ManualClock(at("2024-06-05 12:00"))
    bench.vendor.bars |= {
        s: [bar(at("2024-06-03 09:30")), bar(at("2024-06-04 09:30"))] for s in "ABC"
    }
    bench.vendor.fault = lambda r: refusal(TODAY) if days_asked(r)[1] >= WEDNESDAY else None
    report = bench.run(minutes(MONDAY, WEDNESDAY), symbols=["A", "B", "C"])
    assert [(gap.symbol, gap.days, gap.refused) for gap in report.gaps] == [
        (symbol, 1, "today") for symbol in "ABC"
    ]
    assert [len(bench.rows(f"{symbol}/1Min/OHLCV")) for symbol in "ABC"] == [2, 2, 2]
    assert len(bench.server.requests) == 1 + 3
    bench.clock = ManualClock(at("2024-06-06 00:00"))
    bench.vendor.fault = lambda _: None
    assert bench.run(minutes(MONDAY, WEDNESDAY), symbols=["A", "B", "C"]).gaps == ()


def test_a_refusal_that_says_nothing_about_the_days_asked_for_is_a_gap(bench):
    bench.vendor.fault = lambda _: refusal(TODAY)
    [gap] = bench.run(ticks(MONDAY, TUESDAY)).gaps
    assert gap.refused == "today"
    assert (gap.days, len(bench.server.requests)) == (2, 2)


@pytest.mark.parametrize("market", ["crypto", "stocks"])
def test_the_day_under_way_is_that_of_the_market(bench, market):
    """Half past eight in the evening in New York: of UTC it is the next day already."""
    day, symbol = date(2024, 6, 5), {"crypto": "X:BTC-USD", "stocks": "AAPL"}[market]
    bench.clock = ManualClock(at("2024-06-05 20:30"))
    dataset = MINUTES.of(market)
    today = {"crypto": date(2024, 6, 6), "stocks": day}[market]
    begins_ms = dataset.window(today, today)[0] // 10**6
    bench.vendor.bars["X:BTCUSD"] = bench.vendor.bars["AAPL"] = [bar(at("2024-06-05 12:00"))]
    bench.vendor.fault = lambda r: (
        refusal(TODAY) if int(r.path.split("/")[9]) >= begins_ms else None
    )
    [gap] = bench.run(minutes(TUESDAY, today), symbols=[symbol]).gaps
    assert (gap.days, gap.refused) == (1, "today")
    assert len(bench.store.list("*/1Min/OHLCV")) == (market == "crypto")


def test_a_failure_during_the_search_for_the_plans_history_ends_no_run(bench):
    first = date(2024, 1, 2)
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 3)
    broken = iter([False, True, True])  # the first unit is refused, then the search fails

    def fault(request):
        if next(broken, False):
            return Reply(b"no JSON")
        return refusal(TIMEFRAME) if days_asked(request)[0] < MONDAY else None

    bench.vendor.fault = fault
    report = bench.run(ticks(first, MONDAY))
    assert len(bench.rows()) == 3
    assert {gap.refused for gap in report.gaps} == {"timeframe"}
    assert sum(gap.days for gap in report.gaps) == report.progress.total_days - 1


def test_a_gap_of_several_days_loses_none_of_them_to_the_day_under_way(bench):
    """The vendor refuses what reaches into today, and says so of the whole."""
    bench.clock = ManualClock(at("2024-06-07 12:00"))
    bench.vendor.bars["A"] = [bar(at(f"2024-06-{day:02} 10:00")) for day in range(3, 8)]
    bench.vendor.fault = lambda request: (
        refusal(TODAY) if days_asked(request)[1] >= date(2024, 6, 7) else None
    )
    start_ns, end_ns = at("2024-06-03 09:30"), at("2024-06-07 12:00")
    with bench.backfiller() as backfiller:
        report = backfiller.fill_gap(["A"], [MINUTES], start_ns, end_ns)
    assert [ts for ts, _ in bench.rows("A/1Min/OHLCV")] == [
        at(f"2024-06-{day:02} 10:00") for day in range(3, 7)
    ]
    [gap] = report.gaps
    assert (gap.refused, day_of(gap.start_ns)) == ("today", date(2024, 6, 7))


def test_a_gap_on_a_day_without_a_market_is_refused_like_others(bench):
    bench.clock = ManualClock(at("2024-06-08 12:00"))  # a Saturday
    bench.vendor.fault = lambda _: refusal(TIMEFRAME)
    with bench.backfiller() as backfiller:
        report = backfiller.fill_gap(
            ["A"], [MINUTES], at("2024-06-08 09:30"), at("2024-06-08 10:00")
        )
    [gap] = report.gaps
    assert (gap.symbol, gap.refused) == ("A", "timeframe")
