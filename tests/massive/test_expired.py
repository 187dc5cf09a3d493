"""Contracts of options have no rows after the day on which they expire."""

from __future__ import annotations

from datetime import date

import pytest

from tests.massive.backfilling import Bench, at
from tests.massive.http_server import Server, Vendor, bar, trade
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.datasets import Dataset
from tsstore_massive.symbols import expiry_of

EXPIRED, LONGER = "O:SPY240604C00500000", "O:SPY240607C00500000"
FIRST, LAST = date(2024, 6, 3), date(2024, 6, 14)


@pytest.fixture
def bench():
    vendor = Vendor()
    for symbol in (EXPIRED, LONGER):
        vendor.trades[symbol] = [trade(at("2024-06-04 16:10"), 1)]
        vendor.bars[symbol] = [bar(at("2024-06-04 16:10"))]
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def test_days_after_the_last_one_are_not_asked_for(bench):
    wanted = Target(Dataset.parse("trades"), FIRST, LAST)
    report = bench.run(wanted, symbols=[EXPIRED, LONGER])
    assert len(bench.server.requests) == report.progress.days == 2 + 5
    assert [len(bench.store.read(f"{s}/1Sec/TRADE")) for s in (EXPIRED, LONGER)] == [1, 1]
    assert bench.plan(wanted, symbols=[EXPIRED, LONGER]).total_days == 0


def test_who_asks_for_later_days_alone_is_told(bench):
    wanted = Target(Dataset.parse("1Min"), date(2024, 6, 6), LAST)
    plan = bench.plan(wanted, symbols=[EXPIRED, LONGER])
    assert plan.notes == ["1Min bars of O:SPY240604C00500000: expired on 2024-06-04"]
    assert plan.total_days == 2


@pytest.mark.parametrize(
    ("symbol", "day"),
    [
        (EXPIRED, date(2024, 6, 4)),
        ("O:NVDA1241220P00012500", date(2024, 12, 20)),
        ("O:SPY241350C00500000", None),
        ("O:SPY", None),
        ("AAPL", None),
        ("GCZ6", None),
    ],
)
def test_the_day_of_a_contract_is_in_its_symbol(symbol, day):
    assert expiry_of(symbol) == day
