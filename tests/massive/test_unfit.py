"""Buckets in which somebody keeps something else cost their symbol, and no other."""

from __future__ import annotations

import dataclasses
from datetime import date

import numpy as np
import pytest

from tests.massive.backfilling import MONDAY, TUESDAY, WEDNESDAY, Bench, at, spread, ticks
from tests.massive.http_server import Server, Vendor, bar
from tsstore.schema import Schema
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.datasets import Dataset
from tsstore_massive.misfits import misfit
from tsstore_massive.schemas import BARS, TRADES
from tsstore_massive.synthetic import marking

DAYS = Target(Dataset.parse("1D"), MONDAY, WEDNESDAY)
SYMBOLS = ["A", "B", "C", "D"]
MADE_UP = dataclasses.replace(BARS, synthetic=True)
OTHERS = [Schema.of({"Close": "f4"}), MADE_UP]


@pytest.fixture
def bench():
    vendor = Vendor()
    for n, symbol in enumerate(SYMBOLS):
        vendor.bars[symbol] = [bar(at(f"2024-06-0{day}"), 10.0 * n + day) for day in (3, 4, 5)]
    vendor.trades["AAPL"] = spread("2024-06-04", 3)
    vendor.trades["MSFT"] = spread("2024-06-04", 3)
    with Server(vendor) as server:
        yield Bench(server.url, vendor, server)


def asked(bench: Bench) -> list[str]:
    return [request.path for request in bench.server.requests]


def gaps(report) -> list[tuple]:
    return [
        (gap.symbol, str(gap.dataset), gap.days, gap.is_misfit, gap.reason) for gap in report.gaps
    ]


@pytest.mark.parametrize("columns", OTHERS)
def test_all_days_of_a_misfit_are_one_gap_and_none_is_asked_for(bench, columns):
    schema = dataclasses.replace(TRADES, synthetic=True) if columns is MADE_UP else columns
    bench.store.create("AAPL/1Sec/TRADE", schema)
    report = bench.run(ticks(date(2024, 5, 29), WEDNESDAY), symbols=["AAPL", "MSFT"], parallelism=4)
    [(symbol, dataset, days, is_misfit, reason)] = gaps(report)
    assert (symbol, dataset, days, is_misfit) == ("AAPL", "trades", 6, True)
    assert reason.startswith("AAPL/1Sec/TRADE holds ")
    assert reason.endswith("copy what you need of it to another attribute group, and destroy it")
    assert not any("AAPL" in path for path in asked(bench))
    assert len(bench.store.read("MSFT/1Sec/TRADE")) == 3
    assert report.progress.days == report.progress.total_days == 12


def test_columns_of_integers_take_whole_numbers(bench):
    """MarketStore's volumes are such."""
    for symbol in ("A", "B"):
        bench.store.create(f"{symbol}/1Min/OHLCV", Schema.of({**BARS.dtypes, "Volume": "i8"}))
    bench.vendor.bars["B"][1]["v"] = 0.5
    minutes = Target(Dataset.parse("1Min"), MONDAY, WEDNESDAY)
    report = bench.run(minutes, symbols=["A", "B"])
    assert [gap[:4] for gap in gaps(report)] == [("B", "1Min bars", 3, True)]
    assert len(bench.store.read("A/1Min/OHLCV")) == 3


@pytest.mark.parametrize("parallelism", [1, 4])
@pytest.mark.parametrize("key", ["B/1D/OHLCV", "B/24H/OHLCV_1D_BACKFILL"])
def test_a_misfit_of_days_of_the_market_costs_its_symbol_alone(bench, key, parallelism):
    bench.store.create(key, Schema.of({"Close": "f4"}))
    report = bench.run(DAYS, symbols=SYMBOLS, parallelism=parallelism)
    [(symbol, _, days, is_misfit, reason)] = gaps(report)
    assert (symbol, days, is_misfit) == ("B", 3, True)
    assert key in reason
    assert [len(bench.store.read(f"{name}/1D/OHLCV")) for name in "ACD"] == [3, 3, 3]
    assert report.progress.days == report.progress.total_days == 12
    assert len(set(asked(bench))) == 3
    assert len(asked(bench)) <= 3 + parallelism  # what was under way comes once more


def test_a_misfit_made_meanwhile_costs_its_symbol_the_rest_of_a_market(bench):
    made = []

    def fault(request):
        if "2024-06-04" in request.path and not made:
            made.append(bench.store.destroy("B/1D/OHLCV"))
            bench.store.create("B/1D/OHLCV", OTHERS[0])

    bench.vendor.fault = fault
    symbols = [*SYMBOLS, "E"]
    report = bench.run(DAYS, symbols=symbols)
    assert [gap[:4] for gap in gaps(report)] == [("B", "1D bars", 2, True)]
    assert [len(bench.store.read(f"{name}/1D/OHLCV")) for name in "ACD"] == [3, 3, 3]
    assert len(asked(bench)) == 4  # the day of which the commit was refused once more
    assert report.progress.days == report.progress.total_days == 15


def test_a_misfit_made_meanwhile_is_not_asked_for_any_more(bench):
    def fault(_):
        if not bench.store.list("AAPL/1Sec/TRADE"):
            bench.store.create("AAPL/1Sec/TRADE", OTHERS[0])

    bench.vendor.fault = fault
    days = ticks(TUESDAY, WEDNESDAY)
    report = bench.run(days, symbols=["AAPL", "MSFT"])
    assert [gap[:4] for gap in gaps(report)] == [("AAPL", "trades", 2, True)]
    assert sum("AAPL" in path for path in asked(bench)) == 1
    assert len(bench.store.read("MSFT/1Sec/TRADE")) == 3


@pytest.mark.parametrize(
    ("columns", "why"),
    [
        ({}, None),
        ({"TradeID": "i8", "Exchange": "u4", "Cond1": "i2"}, None),
        ({"Price": "f4"}, "other columns"),
        ({"TradeID": "f8"}, "other columns"),
        ({"Note": "U8"}, "other columns"),
    ],
)
def test_wider_columns_take_the_rows_and_others_do_not(store, columns, why):
    store.create("A/1Sec/TRADE", Schema.of({**TRADES.dtypes, **columns}, variable=True))
    found = misfit(store, "A/1Sec/TRADE", TRADES)
    assert (why is None and found is None) or why in found
    made_up = misfit(marking(store), "A/1Sec/TRADE", TRADES)
    assert made_up == "A/1Sec/TRADE holds rows that are real, and these are made up"
    if why is None:
        row = {name: np.zeros(1, dtype) for name, dtype in TRADES.columns}
        store.write("A/1Sec/TRADE", {"Epoch": [1], **row}, schema=TRADES)


def test_ticks_do_not_fit_where_each_slot_has_one_row(store):
    store.create("A/1Sec/TRADE", Schema.of(TRADES.dtypes))
    assert "other columns" in misfit(store, "A/1Sec/TRADE", TRADES)
    assert misfit(store, "B/1Sec/TRADE", TRADES) is None
