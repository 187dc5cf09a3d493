"""Days that came by file are not asked of REST, and the other way round."""

from __future__ import annotations

from datetime import date

import pytest

from tests.massive.backfilling import Bench, at, ticks
from tests.massive.http_server import Server, Vendor, bar, trade
from tsstore.clock import ManualClock
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.covering import coverage_of_file, covered_days, dataset_of
from tsstore_massive.flatfiles.selection import Selection

MONDAY, TUESDAY = date(2024, 6, 3), date(2024, 6, 4)
MINUTES = FlatSet.of("stocks", "minute_aggs")


@pytest.fixture
def bench():
    vendor = Vendor()
    vendor.bars["A"] = [bar(at("2024-06-03 09:30")), bar(at("2024-06-04 09:30"))]
    vendor.trades["A"] = [trade(at("2024-06-03 09:30"), 1)]
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def load(bench: Bench, flat: FlatSet, day: date, **rows: int) -> None:
    for symbol in filter(rows.get, rows):
        bench.store.create(f"{symbol}/{flat.group}", flat.schema)
    bench.store.commit(coverage_of_file(flat, day, rows, bench.clock.now_ns()))


def minutes(bench: Bench, symbols: list[str], *, adjusted: bool = False) -> int:
    target = Target(dataset_of(MINUTES), MONDAY, TUESDAY)
    return bench.plan(target, symbols=symbols, adjusted=adjusted).total_days


def test_a_loaded_day_is_not_asked_of_rest(bench):
    load(bench, MINUTES, MONDAY, A=390, B=12)
    assert minutes(bench, ["A", "B", "C"]) == 1 + 1 + 2
    assert minutes(bench, ["A"], adjusted=True) == 2, "files are not adjusted"


def test_a_file_tells_that_a_named_ticker_has_no_rows(bench):
    load(bench, MINUTES, MONDAY, A=390, C=0)
    assert minutes(bench, ["A", "C"]) == 1 + 1
    assert bench.store.read("C/24H/OHLCV_1Min_BACKFILL")["Rows"].tolist() == [0]


def test_a_day_that_rest_brought_needs_no_file(bench):
    exact = Selection(["A"])
    days = [MONDAY, TUESDAY]
    assert covered_days(bench.store, MINUTES, days, exact) == set()
    bench.run(Target(dataset_of(MINUTES), MONDAY, MONDAY), adjusted=False, symbols=["A"])
    assert covered_days(bench.store, MINUTES, days, exact) == {MONDAY}
    assert covered_days(bench.store, MINUTES, days, Selection(["A", "B"])) == set()
    assert covered_days(bench.store, MINUTES, days, Selection(["A*"])) == set()


def test_adjusted_bars_of_rest_do_not_stand_for_a_file(bench):
    bench.run(Target(dataset_of(MINUTES), MONDAY, MONDAY), adjusted=True, symbols=["A"])
    assert covered_days(bench.store, MINUTES, [MONDAY], Selection(["A"])) == set()


def test_a_day_of_ticks_that_is_under_way_does_not_either(bench):
    bench.clock = ManualClock(at("2024-06-03 12:00"))
    bench.run(ticks(), symbols=["A"])
    trades = FlatSet.of("stocks", "trades")
    assert covered_days(bench.store, trades, [MONDAY], Selection(["A"])) == set()


def test_days_of_other_markets_are_theirs(bench):
    flat = FlatSet.of("crypto", "trades")
    load(bench, flat, date(2024, 6, 8), **{"X:BTC-USD": 4})
    target = Target(dataset_of(flat), date(2024, 6, 8), date(2024, 6, 9))
    assert bench.plan(target, symbols=["X:BTC-USD"]).total_days == 1


def test_values_of_indices_are_no_rows_of_rest(bench):
    flat = FlatSet.of("indices", "values")
    assert coverage_of_file(flat, MONDAY, {"I:SPX": 3}, 0) == []
    assert covered_days(bench.store, flat, [MONDAY], Selection(["I:SPX"])) == set()
