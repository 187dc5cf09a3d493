from __future__ import annotations

import threading
from contextlib import suppress
from datetime import date

import numpy as np
import pytest

from tests.massive.backfilling import (
    LATER,
    MINUTES,
    MONDAY,
    TRADE_KEY,
    TRADES_SET,
    TUESDAY,
    WEDNESDAY,
    Bench,
    at,
    minutes,
    spread,
    ticks,
    write_trades,
)
from tests.massive.http_server import Reply, Server, Vendor, bar, empty, page, trade
from tsstore import StorageError
from tsstore.clock import ManualClock
from tsstore.testing.model import ModelStore
from tsstore.times import to_ns
from tsstore_massive.backfilling import backfill
from tsstore_massive.backfilling.backfill import Target, targets
from tsstore_massive.config import Config
from tsstore_massive.datasets import Dataset
from tsstore_massive.errors import ApiKeyError, UnavailableError
from tsstore_massive.reference.buckets import SPLITS
from tsstore_massive.schemas import BARS, TRADES

COVERAGE_KEY = "AAPL/24H/TRADE_1Sec_BACKFILL"


@pytest.fixture
def bench():
    vendor = Vendor()
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


# Ticks of days that are over


def test_trades_without_a_number_are_as_many_as_there_were_whatever_the_pages(bench):
    option, start = "O:SPY251219C00650000", at("2024-06-03 09:30") + 7
    bench.vendor.trades[option] = [
        {"sip_timestamp": start + n // 4, "price": 1.5, "size": 1, "exchange": 312}
        for n in range(11)
    ]
    for rows in (2, 3, 50):
        bench.run(ticks(), symbols=[option], page_rows=rows, refetch=True)
        stored = bench.store.read(f"{option}/1Sec/TRADE")
        assert stored.ts.tolist() == [start + n // 4 for n in range(11)]


def test_a_gap_begins_with_a_whole_millisecond(bench):
    option, start = "O:SPY251219C00650000", at("2024-06-03 09:30")
    bench.vendor.trades[option] = [
        {"sip_timestamp": start + n, "price": 1.5, "size": 1, "exchange": 312} for n in (1, 5, 9)
    ]
    with bench.backfiller() as backfiller:
        for first in (start, start + 3):
            backfiller.fill_gap([option], [TRADES_SET], first, start + 10)
    assert len(bench.store.read(f"{option}/1Sec/TRADE")) == 3


def test_trades_of_every_market_day_are_stored_with_their_nanoseconds(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 3) + spread("2024-06-04", 2)
    report = bench.run(ticks(MONDAY, TUESDAY))
    assert bench.rows() == [
        (row["sip_timestamp"], row["price"]) for row in bench.vendor.trades["AAPL"]
    ]
    assert report.progress.rows == 5
    assert report.gaps == ()


def test_a_trade_that_was_not_asked_for_is_kept_and_replaces_nothing(bench):
    before = spread("2024-06-03", 3)
    bench.vendor.trades["AAPL"] = before
    bench.run(ticks())
    strays = [before[1], trade(at("2024-06-04 10:00"), 9, 20.0), trade(at("2024-06-05"), 10, 30.0)]
    bench.vendor.fault = lambda _: page(strays)
    report = bench.run(ticks(TUESDAY, TUESDAY))
    assert report.gaps == ()
    assert [price for _, price in bench.rows()] == [10.0, 11.0, 12.0, 20.0, 30.0]


def test_a_bucket_has_the_schema_of_streamed_rows(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 1)
    bench.run(ticks())
    assert bench.store.info(TRADE_KEY).schema == TRADES


def test_weekends_and_holidays_are_not_asked_for(bench):
    bench.run(Target(TRADES_SET, date(2024, 6, 14), date(2024, 6, 20)))
    days = {int(request.query["timestamp.gte"]) for request in bench.server.requests}
    expected = ["2024-06-14", "2024-06-17", "2024-06-18", "2024-06-20"]
    assert days == {at(day) for day in expected}


def test_a_second_run_asks_nothing_and_changes_nothing(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 4)
    bench.run(ticks())
    before, asked = bench.everything(), len(bench.server.requests)
    report = bench.run(ticks())
    assert bench.everything() == before
    assert len(bench.server.requests) == asked
    assert report.progress.total_days == 0


def test_fetching_again_on_request_changes_nothing_either(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 4)
    bench.run(ticks())
    before = bench.everything()
    report = bench.run(ticks(), refetch=True)
    assert report.progress.rows == 4
    assert bench.everything() == before


def test_rows_that_the_vendor_withdrew_are_replaced(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 4)
    bench.run(ticks())
    del bench.vendor.trades["AAPL"][1]
    bench.run(ticks(), refetch=True)
    assert len(bench.rows()) == 3


def test_streamed_rows_of_the_day_become_the_exact_ones(bench):
    exact = spread("2024-06-03", 3)
    bench.vendor.trades["AAPL"] = exact
    streamed = [row["sip_timestamp"] // 10**6 * 10**6 for row in exact]
    write_trades(bench.store, streamed, [1, 2, 3])
    bench.run(ticks())
    assert [ns for ns, _ in bench.rows()] == [row["sip_timestamp"] for row in exact]


def test_rows_of_other_days_are_left_alone(bench):
    write_trades(bench.store, [at("2024-05-31 15:00"), at("2024-06-04 04:00")], [8, 9])
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 1)
    bench.run(ticks())
    assert len(bench.rows()) == 3


def test_a_large_day_is_stored_range_after_range(bench, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_ROWS", 5)
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 23)
    report = bench.run(ticks(), page_rows=2)
    assert len(bench.rows()) == report.progress.rows == 23


def test_ties_across_ranges_are_neither_lost_nor_doubled(bench, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_ROWS", 3)
    start = at("2024-06-03 09:30")
    offsets = [0, 0, 0, 0, 1, 10**6, 10**6, 10**6 + 5, 10**6 + 5, 2 * 10**6, 2 * 10**6]
    bench.vendor.trades["AAPL"] = [trade(start + ns, n) for n, ns in enumerate(offsets)]
    bench.run(ticks(), page_rows=2)
    assert [ns - start for ns, _ in bench.rows()] == offsets


@pytest.mark.parametrize("commits", range(8))
def test_a_crash_after_any_commit_is_made_good_by_the_next_run(bench, monkeypatch, commits):
    monkeypatch.setattr(backfill, "BATCH_ROWS", 4)
    rows = spread("2024-06-03", 14) + spread("2024-06-04", 9)
    bench.vendor.trades["AAPL"] = rows
    bench.vendor.bars["AAPL"] = [bar(at("2024-06-03 09:30")), bar(at("2024-06-04 09:30"))]
    left = [commits]
    commit = bench.store.commit

    def dying(operations):
        if not left[0]:
            raise StorageError("the machine went away")
        left[0] -= 1
        return commit(operations)

    monkeypatch.setattr(bench.store, "commit", dying)
    wanted = (ticks(MONDAY, TUESDAY), minutes(MONDAY, TUESDAY))
    with suppress(StorageError):
        bench.run(*wanted, page_rows=3)
    monkeypatch.setattr(bench.store, "commit", commit)
    report = bench.run(*wanted, page_rows=3)
    assert [ns for ns, _ in bench.rows()] == [row["sip_timestamp"] for row in rows]
    assert len(bench.rows("AAPL/1Min/OHLCV")) == 2
    assert report.gaps == ()
    assert bench.run(*wanted).progress.total_days == 0


def test_a_crash_in_the_middle_of_a_day_goes_on_from_there(bench, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_ROWS", 4)
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 20)
    tries = []

    def fault(request):
        if "cursor" in request.query:
            tries.append(request)
        return Reply(status=500) if len(tries) > 4 else None

    bench.vendor.fault = fault
    report = bench.run(ticks(), page_rows=2)
    [gap] = report.gaps
    assert "fails (500)" in gap.reason
    assert gap.start_ns > at("2024-06-03 09:30")
    bench.vendor.fault = lambda _: None
    bench.server.requests.clear()
    bench.run(ticks(), page_rows=2)
    assert int(bench.server.requests[0].query["timestamp.gte"]) == gap.start_ns
    assert len(bench.rows()) == 20


def test_the_coverage_says_what_was_fetched(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 3)
    bench.run(ticks())
    rows = bench.store.read(COVERAGE_KEY)
    assert rows.ts.tolist() == [to_ns("2024-06-03")]
    assert rows["Rows"].tolist() == [3]
    assert rows["Through"].tolist() == [at("2024-06-04") - 1]
    assert rows["Fetched"].tolist() == [LATER]


# Empty answers


def test_an_old_day_without_rows_is_not_asked_for_again(bench):
    bench.run(ticks())
    asked = len(bench.server.requests)
    bench.run(ticks())
    assert len(bench.server.requests) == asked
    assert bench.store.list("*/1Sec/*") == []


def test_a_recent_day_without_rows_is_asked_for_again(bench):
    bench.clock = ManualClock(at("2024-06-04 01:00"))
    bench.run(ticks())
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 2)
    bench.run(ticks())
    assert len(bench.rows()) == 2


def test_an_empty_answer_deletes_nothing_and_is_reported(bench):
    write_trades(bench.store, [at("2024-06-03 10:00")], [1])
    report = bench.run(ticks())
    [gap] = report.gaps
    assert "were kept" in gap.reason
    assert len(bench.rows()) == 1


# The day that is under way


@pytest.fixture
def midday(bench):
    """It is Wednesday noon."""
    bench.clock = ManualClock(at("2024-06-05 12:00"))
    return bench


def test_an_open_day_is_fetched_up_to_now(midday):
    midday.vendor.trades["AAPL"] = spread("2024-06-05", 3)
    report = midday.run(ticks(WEDNESDAY, date(2024, 6, 7)))
    assert len(midday.rows()) == 3
    assert report.progress.total_days == 1
    [request] = midday.server.requests
    assert int(request.query["timestamp.lte"]) == at("2024-06-05 12:00")


def test_rows_streamed_meanwhile_stay(midday):
    exact = spread("2024-06-05", 3)
    midday.vendor.trades["AAPL"] = exact
    last = exact[-1]["sip_timestamp"]
    streamed = [row["sip_timestamp"] // 10**6 * 10**6 for row in exact] + [
        last // 10**9 * 10**9 + 10**9
    ]
    write_trades(midday.store, streamed, [1, 2, 3, 4])
    midday.run(ticks(WEDNESDAY, WEDNESDAY))
    assert [ns for ns, _ in midday.rows()] == [
        *(row["sip_timestamp"] for row in exact),
        streamed[-1],
    ]


def test_streamed_rows_that_the_history_of_an_open_day_lacks_stay(midday, monkeypatch):
    monkeypatch.setattr(backfill, "BATCH_ROWS", 3)
    exact = spread("2024-06-05", 9)
    write_trades(
        midday.store, [row["sip_timestamp"] // 10**6 * 10**6 for row in exact], range(1, 10)
    )
    midday.vendor.trades["AAPL"] = [row for n, row in enumerate(exact) if n not in {1, 7}]
    midday.run(ticks(WEDNESDAY, WEDNESDAY), page_rows=2)
    assert midday.store.read(TRADE_KEY)["Sequence"].tolist() == list(range(1, 10))


def test_the_rest_of_an_open_day_is_fetched_later(midday):
    midday.vendor.trades["AAPL"] = spread("2024-06-05", 3)
    midday.run(ticks(WEDNESDAY, WEDNESDAY))
    midday.vendor.trades["AAPL"] = spread("2024-06-05", 5)
    midday.server.requests.clear()
    midday.run(ticks(WEDNESDAY, WEDNESDAY))
    assert len(midday.rows()) == 5
    third = spread("2024-06-05", 3)[-1]["sip_timestamp"]
    assert int(midday.server.requests[0].query["timestamp.gte"]) == third // 10**6 * 10**6


def test_a_day_is_fetched_from_its_start_once_it_is_over(midday):
    midday.vendor.trades["AAPL"] = spread("2024-06-05", 3)
    midday.run(ticks(WEDNESDAY, WEDNESDAY))
    midday.clock = ManualClock(LATER)
    midday.vendor.trades["AAPL"] = spread("2024-06-05", 4, price=20.0)
    midday.run(ticks(WEDNESDAY, WEDNESDAY))
    assert [price for _, price in midday.rows()] == [20.0, 21.0, 22.0, 23.0]
    assert midday.plan(ticks(WEDNESDAY, WEDNESDAY)).total_days == 0


def test_an_open_day_without_rows_is_no_failure(midday):
    write_trades(midday.store, [at("2024-06-05 10:00")], [1])
    report = midday.run(ticks(WEDNESDAY, WEDNESDAY))
    assert report.gaps == ()
    assert len(midday.rows()) == 1


# Bars


def test_bars_are_upserted_and_second_run_asks_nothing(bench):
    start = at("2024-06-03 09:30")
    bench.vendor.bars["AAPL"] = [bar(start, 11.0), bar(start + 60 * 10**9, 12.0)]
    bench.store.write(
        "AAPL/1Min/OHLCV",
        {"Epoch": [start // 10**9]} | {name: np.ones(1) for name in BARS.names},
        schema=BARS,
    )
    report = bench.run(minutes())
    assert bench.rows("AAPL/1Min/OHLCV") == [(start, 11.0), (start + 60 * 10**9, 12.0)]
    assert report.progress.rows == 2
    assert bench.run(minutes()).progress.total_days == 0


def test_days_of_bars_share_a_request(bench):
    bench.run(Target(MINUTES, date(2024, 1, 2), date(2024, 6, 28)))
    assert [len(request.path.split("/")) for request in bench.server.requests] == [10, 10, 10]


def test_only_missing_days_are_asked_for(bench):
    bench.run(minutes(TUESDAY, TUESDAY))
    bench.server.requests.clear()
    bench.run(minutes(MONDAY, WEDNESDAY))
    starts = [int(request.path.split("/")[8]) * 10**6 for request in bench.server.requests]
    assert starts == [at("2024-06-03"), at("2024-06-05")]


def test_whether_bars_are_adjusted_is_asked_for_and_remembered(bench):
    bench.vendor.bars["AAPL"] = [bar(at("2024-06-03 09:30"))]
    bench.run(minutes(), adjusted=False)
    assert bench.server.requests[0].query["adjusted"] == "false"
    assert bench.plan(minutes(), adjusted=False).total_days == 0
    assert bench.plan(minutes(), adjusted=True).total_days == 1


def test_adjusted_bars_are_fetched_again_after_a_split(bench):
    """What the vendor told before it is in other units than what it tells now."""
    bench.vendor.bars["AAPL"] = [bar(at("2024-06-03 09:30"), 40.0)]
    for adjusted in (True, False):
        bench.run(minutes(), symbols=["AAPL" if adjusted else "MSFT"], adjusted=adjusted)
    for symbol in ("AAPL", "MSFT"):
        epoch = np.array(["2024-07-02T08:00", "2024-08-01T08:00"], "M8[ns]")
        table = {"Epoch": epoch, "From": np.ones(2), "To": np.full(2, 4.0)}
        bench.store.write(f"{symbol}/1D/SPLITS", table, schema=SPLITS)
    assert bench.plan(minutes(), adjusted=True).total_days == 0, "it is announced"
    bench.clock = ManualClock(at("2024-07-03 12:00"))
    assert bench.plan(minutes(), symbols=["MSFT"], adjusted=False).total_days == 0
    bench.vendor.bars["AAPL"] = [bar(at("2024-06-03 09:30"), 10.0)]
    bench.run(minutes(), adjusted=True)
    assert [close for _, close in bench.rows("AAPL/1Min/OHLCV")] == [10.0]
    assert bench.plan(minutes(), adjusted=True).total_days == 0


def test_a_bar_that_is_not_over_is_left_out(midday):
    noon = at("2024-06-05 12:00")
    midday.clock.advance(30)
    midday.vendor.bars["AAPL"] = [bar(noon - 60 * 10**9), bar(noon)]
    midday.run(minutes(WEDNESDAY, WEDNESDAY))
    assert [ns for ns, _ in midday.rows("AAPL/1Min/OHLCV")] == [noon - 60 * 10**9]
    assert midday.plan(minutes(WEDNESDAY, WEDNESDAY)).total_days == 1


@pytest.mark.parametrize("timezone", ["UTC", "America/Los_Angeles", "Asia/Tokyo"])
@pytest.mark.parametrize(
    ("timeframe", "start", "date_"),
    [("1D", "2024-06-03", "2024-06-03"), ("1D", "2024-01-03", "2024-01-03"),
     ("1W", "2024-06-02", "2024-06-03"), ("1M", "2024-05-01", "2024-05-01"),
     ("1Y", "2023-01-01", "2023-01-01")],
)  # fmt: skip
def test_bars_of_days_and_longer_stand_at_their_date_in_the_zone_of_the_store(
    bench, timezone, timeframe, start, date_
):
    bench.store = ModelStore(timezone=timezone)
    bench.vendor.bars["AAPL"] = [bar(at(start))]
    day = date.fromisoformat(date_)
    bench.run(Target(Dataset.parse(timeframe), day, day.replace(day=4)), timezone=timezone)
    [(ns, _)] = bench.rows(f"AAPL/{timeframe}/OHLCV")
    assert ns == to_ns(date_, timezone)


def test_a_bar_that_begins_between_slots_is_refused_and_not_stored_at_another_time(bench):
    bench.vendor.bars["AAPL"] = [bar(at("2024-06-03 10:00") + n * 10**9) for n in (0, 90)]
    (gap,) = bench.run(minutes()).gaps
    assert "a bar begins at 2024-06-03 14:01:30Z" in gap.reason
    assert bench.store.list("AAPL/1Min/*") == []


def test_a_week_is_done_when_it_is_over(bench):
    bench.clock = ManualClock(at("2024-06-07 21:00"))
    bench.vendor.bars["AAPL"] = [bar(at("2024-06-02"))]
    week = Target(Dataset.parse("1W"), MONDAY, WEDNESDAY)
    bench.run(week)
    assert bench.store.list() == []
    bench.clock = ManualClock(at("2024-06-10 00:00"))
    bench.run(week)
    assert len(bench.rows("AAPL/1W/OHLCV")) == 1


# What fails


def test_a_failed_day_costs_no_other_day(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 2) + spread("2024-06-05", 2)
    tuesday = str(at("2024-06-04"))

    def fault(request):
        return Reply(status=500) if request.query.get("timestamp.gte") == tuesday else None

    bench.vendor.fault = fault
    report = bench.run(ticks(MONDAY, WEDNESDAY))
    [gap] = report.gaps
    assert str(gap).startswith("AAPL trades of 2024-06-04: 127.0.0.1")
    assert gap.entitled
    assert report.progress.failed_days == 1
    assert len(bench.rows()) == 4


def test_a_failed_day_is_tried_again_by_the_next_run(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 2)
    bench.vendor.fault = lambda _: Reply(b"<html>", 404)
    assert len(bench.run(ticks()).gaps) == 1
    bench.vendor.fault = lambda _: None
    assert bench.run(ticks()).gaps == ()
    assert len(bench.rows()) == 2


def test_a_plan_without_trades_is_asked_once_per_symbol(bench):
    bench.vendor.fault = lambda _: Reply(b'{"message":"You are not entitled to this data."}', 403)
    report = bench.run(ticks(MONDAY, WEDNESDAY), symbols=["AAPL", "MSFT"])
    assert len(bench.server.requests) == 2
    assert [(gap.symbol, gap.days) for gap in report.gaps] == [("AAPL", 3), ("MSFT", 3)]
    assert not any(gap.entitled for gap in report.gaps)
    assert report.progress.failed_days == report.progress.days == 6


def test_days_before_the_history_of_the_plan_cost_no_later_day(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-05", 2)
    old = at("2024-06-05")

    def fault(request):
        if int(request.query["timestamp.gte"]) >= old:
            return None
        return Reply(b'{"message":"Your plan doesn\'t include this data timeframe."}', 403)

    bench.vendor.fault = fault
    [gap] = bench.run(ticks(MONDAY, WEDNESDAY)).gaps
    assert (gap.start_ns, gap.end_ns, gap.days) == (at("2024-06-03"), old - 1, 2)
    assert len(bench.rows()) == 2


def test_a_wrong_key_ends_the_run(bench):
    bench.vendor.fault = lambda _: Reply(b'{"error":"Unknown API Key"}', 401)
    with pytest.raises(ApiKeyError):
        bench.run(ticks(MONDAY, WEDNESDAY), parallelism=3)
    assert len(bench.server.requests) <= 3


def test_a_service_that_is_down_ends_the_run(bench):
    bench.vendor.fault = lambda _: Reply(status=503)
    with pytest.raises(UnavailableError):
        bench.run(ticks(date(2024, 1, 2), date(2024, 6, 28)))
    assert len(bench.server.requests) == 4


def test_a_store_that_refuses_ends_the_run(bench, monkeypatch):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 2)

    def full(_):
        raise StorageError("no space left")

    monkeypatch.setattr(bench.store, "commit", full)
    with pytest.raises(StorageError, match="no space left"):
        bench.run(ticks(MONDAY, WEDNESDAY))


# Running


def test_many_symbols_are_fetched_in_parallel(bench):
    symbols = [f"S{n}" for n in range(6)]
    barrier = threading.Barrier(3, timeout=10)

    plain = bench.server.answer

    def together(request):
        barrier.wait()
        return plain(request)

    bench.server.answer = together
    for symbol in symbols:
        bench.vendor.trades[symbol] = spread("2024-06-03", 2)
    report = bench.run(ticks(), symbols=symbols, parallelism=3)
    assert report.progress.rows == 12
    assert len(bench.store.list("*/1Sec/TRADE")) == 6


def test_progress_is_told_after_each_commit(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 3) + spread("2024-06-04", 2)
    told = []
    with bench.backfiller() as backfiller:
        plan = backfiller.plan([ticks(MONDAY, WEDNESDAY)], ["AAPL"])
        backfiller.run(plan, progress=told.append)
    assert [p.total_days for p in told] == [3] * len(told)
    assert (told[-1].days, told[-1].rows, told[-1].failed_days) == (3, 5, 0)
    assert [p.rows for p in told] == sorted(p.rows for p in told)


def test_a_run_that_is_stopped_says_so_and_stores_nothing_more(bench):
    bench.vendor.trades["AAPL"] = spread("2024-06-03", 3) + spread("2024-06-04", 2)

    def stop_at_tuesday(request):
        if request.query.get("timestamp.gte") == str(at("2024-06-04")):
            bench.stop.set()

    bench.vendor.fault = stop_at_tuesday
    report = bench.run(ticks(MONDAY, WEDNESDAY))
    assert report.stopped
    assert report.gaps == ()
    assert len(bench.rows()) == 3


def test_a_plan_counts_what_was_fetched_before(bench):
    bench.run(ticks(MONDAY, MONDAY))
    plan = bench.plan(ticks(MONDAY, WEDNESDAY), symbols=["AAPL", "MSFT"])
    assert (plan.covered_days, plan.total_days) == (1, 5)


def test_days_that_are_yet_to_come_are_no_work(bench):
    assert bench.plan(ticks(date(2030, 1, 2), date(2030, 1, 4))).total_days == 0


def test_a_plan_of_many_symbols_knows_each(bench):
    symbols = [f"S{n}" for n in range(450)]
    bench.run(ticks(), symbols=symbols[:3] + symbols[-2:])
    plan = bench.plan(ticks(), symbols=symbols)
    assert (plan.covered_days, plan.total_days) == (5, 445)


def test_a_symbol_with_a_slash_goes_to_a_bucket_with_a_dot(bench):
    bench.vendor.trades["BRK%2FB"] = spread("2024-06-03", 1)
    bench.run(ticks(), symbols=["BRK/B"])
    assert bench.store.list("*/1Sec/*") == ["BRK.B/1Sec/TRADE"]


# Gaps of a stream


def test_a_gap_of_ticks_is_filled_without_doubling_or_deleting(midday):
    exact = spread("2024-06-05", 6)
    midday.vendor.trades["AAPL"] = exact
    seen = [row["sip_timestamp"] // 10**6 * 10**6 for row in exact]
    write_trades(midday.store, [seen[0], seen[1], seen[5]], [1, 2, 6])
    with midday.backfiller() as backfiller:
        report = backfiller.fill_gap(["AAPL"], [TRADES_SET], seen[1], exact[4]["sip_timestamp"])
    assert report.gaps == ()
    assert [ns for ns, _ in midday.rows()] == [
        seen[0], *(row["sip_timestamp"] for row in exact[1:5]), seen[5],
    ]  # fmt: skip


def test_a_gap_of_bars_is_filled_with_finished_ones(midday):
    noon = at("2024-06-05 12:00")
    midday.vendor.bars["AAPL"] = [bar(noon - n * 60 * 10**9, float(n)) for n in (3, 2, 1, 0)]
    with midday.backfiller() as backfiller:
        report = backfiller.fill_gap(["AAPL"], [MINUTES], noon - 170 * 10**9, noon)
    assert report.progress.rows == 2
    assert [close for _, close in midday.rows("AAPL/1Min/OHLCV")] == [2.0, 1.0]


def test_a_clock_that_is_behind_leaves_no_bar_out_of_a_gap(midday):
    """The end of a gap has passed for the vendor, see `catchup.py`."""
    noon = at("2024-06-05 12:00")
    midday.vendor.bars["AAPL"] = [bar(noon - n * 60 * 10**9, float(n)) for n in (2, 1, 0)]
    midday.clock.advance(-90)
    with midday.backfiller() as backfiller:
        backfiller.fill_gap(["AAPL"], [MINUTES], noon - 120 * 10**9, noon + 3 * 10**9)
    assert [close for _, close in midday.rows("AAPL/1Min/OHLCV")] == [2.0, 1.0]


def test_a_gap_that_cannot_be_filled_is_reported(midday):
    midday.vendor.fault = lambda _: Reply(status=500)
    noon = at("2024-06-05 12:00")
    with midday.backfiller() as backfiller:
        report = backfiller.fill_gap(["AAPL"], [MINUTES], noon - 10**9, noon)
    [gap] = report.gaps
    assert (gap.symbol, gap.start_ns, gap.end_ns) == ("AAPL", noon - 10**9, noon)


def test_a_failure_between_two_symbols_ends_the_run(midday):
    def broken(_):
        raise StorageError("no space left")

    with (
        midday.backfiller() as backfiller,
        pytest.raises(StorageError, match="no space left"),
    ):
        backfiller.fill_gap(["AAPL"], [MINUTES], 0, 1, on_symbol=broken)


def test_a_gap_of_nothing_is_no_work(midday):
    with midday.backfiller() as backfiller:
        assert backfiller.fill_gap([], [MINUTES], 0, 1).progress.total_days == 0


# Configuration


def test_query_start_says_what_is_wanted():
    config = Config(
        query_start=({"1Min": MONDAY}, {"trades": TUESDAY}, {"quotes": TUESDAY}),
        data_types=("bars", "trades"),
    )
    assert targets(config, WEDNESDAY) == [
        Target(MINUTES, MONDAY, WEDNESDAY),
        Target(TRADES_SET, TUESDAY, WEDNESDAY),
    ]


def test_an_answer_without_rows_is_still_an_answer(bench):
    bench.vendor.fault = lambda _: empty()
    assert bench.run(minutes()).gaps == ()
