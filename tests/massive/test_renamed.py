"""A backfill of a share that was called otherwise before."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.massive.backfilling import MONDAY, TUESDAY, WEDNESDAY, Bench, spread, ticks
from tests.massive.http_server import Server, Vendor
from tsstore_massive.reference import read_through_names
from tsstore_massive.reference.names import store_names
from tsstore_massive.rest.models import TickerChange, TickerEvent, TickerEvents

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture
def bench() -> Iterator[Bench]:
    """META was FB until Monday; another company was META until then."""
    vendor = Vendor()
    for symbol, price in (("FB", 100.0), ("META", 7.0), ("AAPL", 50.0)):
        vendor.trades[symbol] = [
            row for day in ("03", "04", "05") for row in spread(f"2024-06-{day}", 1, price)
        ]
    with Server(vendor) as server:
        bench = Bench(server.url, vendor, server)
        changes = [(TUESDAY, "META"), (MONDAY.replace(year=2012), "FB")]
        events = tuple(TickerEvent(day, "ticker_change", TickerChange(n)) for day, n in changes)
        assert store_names(bench.store, "META", TickerEvents(events=events))
        yield bench


def test_each_name_is_fetched_for_its_own_days(bench):
    report = bench.run(ticks(MONDAY, WEDNESDAY), symbols=["META", "AAPL"])
    assert report.progress.days == 6
    assert [price for _, price in bench.rows("FB/1Sec/TRADE")] == [100.0]
    assert [price for _, price in bench.rows("META/1Sec/TRADE")] == [7.0, 7.0]
    assert len(bench.rows("AAPL/1Sec/TRADE")) == 3
    together = read_through_names(bench.store, "META", "1Sec/TRADE")
    assert together["Price"].tolist() == [100.0, 7.0, 7.0]
    assert bench.plan(ticks(MONDAY, WEDNESDAY), symbols=["META", "AAPL"]).total_days == 0


def test_a_former_name_that_is_wanted_itself_is_fetched_once_for_all_days(bench):
    plan = bench.plan(ticks(MONDAY, WEDNESDAY), symbols=["FB", "META"])
    days = {(job.symbol, job.day_count) for job in plan.jobs}
    assert days == {("FB", 3), ("META", 2)}


def test_days_before_all_names_and_after_them_cost_nothing(bench):
    assert {
        job.symbol for job in bench.plan(ticks(WEDNESDAY, WEDNESDAY), symbols=["META"]).jobs
    } == {"META"}
    assert [job.symbol for job in bench.plan(ticks(MONDAY), symbols=["META"]).jobs] == ["FB"]
