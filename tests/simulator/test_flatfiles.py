"""Flat files are read as the vendor writes them."""

from __future__ import annotations

import gzip
import threading
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tsstore_massive_simulator.flatfiles import FlatFileError, FlatFileMarket
from tsstore_massive_simulator.rows import Kind

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

DAY = date(2026, 10, 1)
HEADER = (
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    "sip_timestamp,size,tape,trf_id,trf_timestamp\n"
)
T0 = 1_790_852_400_000_000_000


def trade(ticker: str, at: int, conditions: str = "", size: str = "100", number: str = "7") -> str:
    return f"{ticker},{conditions},0,11,{number},{T0 + at - 5},10.5,{at},{T0 + at},{size},1,0,0\n"


@pytest.fixture
def of_trades(flat_file: Callable[..., Path]) -> Callable[..., FlatFileMarket]:
    def read(*texts: str) -> FlatFileMarket:
        return FlatFileMarket(flat_file("trades_v1", str(DAY), *texts))

    return read


def test_columns_are_found_by_name(flat_file: Callable[..., Path]) -> None:
    text = f"window_start,ticker,close,open,low,high,volume,transactions\n{T0},A,2,1,0.5,3,9,4\n"
    rows = FlatFileMarket(flat_file("minute_aggs_v1", str(DAY), text)).rows(Kind.MINUTES, DAY)
    names = ("open", "high", "low", "close", "volume", "transactions")
    assert [rows[name][0] for name in names] == [1, 3, 0.5, 2, 9, 4]


def test_bars_of_files_have_no_vwap(flat_file: Callable[..., Path]) -> None:
    text = f"ticker,volume,open,close,high,low,window_start,transactions\nA,9,1,1,1,1,{T0},4\n"
    rows = FlatFileMarket(flat_file("minute_aggs_v1", str(DAY), text)).rows(Kind.MINUTES, DAY)
    assert np.isnan(rows["vwap"]).all()


def test_a_file_may_be_several_gzip_members(of_trades: Callable[..., FlatFileMarket]) -> None:
    rows = of_trades(HEADER + trade("A", 1), trade("A", 2), trade("B", 1)).rows(Kind.TRADES, DAY)
    assert (len(rows), rows.tickers) == (3, ("A", "B"))


def test_a_ticker_may_stand_in_two_runs(of_trades: Callable[..., FlatFileMarket]) -> None:
    market = of_trades(HEADER + trade("B", 3) + trade("A", 1) + trade("B", 1))
    rows = market.rows(Kind.TRADES, DAY).of("B")
    assert rows["sequence_number"].tolist() == [1, 3]


def test_rows_are_put_in_order_of_time(of_trades: Callable[..., FlatFileMarket]) -> None:
    rows = of_trades(HEADER + trade("A", 5) + trade("A", 2)).rows(Kind.TRADES, DAY)
    assert (rows["sip_timestamp"] - T0).tolist() == [2, 5]


def test_conditions_are_sets_in_a_cell(of_trades: Callable[..., FlatFileMarket]) -> None:
    rows = of_trades(HEADER + trade("A", 1, '"12,37"') + trade("A", 2)).rows(Kind.TRADES, DAY)
    assert [rows.sets[code] for code in rows["conditions"]] == [(12, 37), ()]


def test_sizes_may_be_decimals(of_trades: Callable[..., FlatFileMarket]) -> None:
    rows = of_trades(HEADER + trade("A", 1, size="0.700000")).rows(Kind.TRADES, DAY)
    assert rows["size"].tolist() == [0.7]


def test_empty_cells_are_zero(of_trades: Callable[..., FlatFileMarket]) -> None:
    row = f"A,,,11,7,{T0},10.5,1,{T0},100,1,,\n"
    rows = of_trades(HEADER + row).rows(Kind.TRADES, DAY)
    assert (rows["correction"][0], rows["trf_id"][0], rows["trf_timestamp"][0]) == (0, 0, 0)


def test_ids_are_text(of_trades: Callable[..., FlatFileMarket]) -> None:
    number = "00052983525029461-a-long-one"
    rows = of_trades(HEADER + trade("A", 1, number=number)).rows(Kind.TRADES, DAY)
    assert rows["id"].tolist() == [number.encode()]


@pytest.mark.parametrize("ticker", ["NA", "NULL", "TRUE", "BCpC", "BRK.B"])
def test_any_ticker_is_text(of_trades: Callable[..., FlatFileMarket], ticker: str) -> None:
    assert of_trades(HEADER + trade(ticker, 1)).rows(Kind.TRADES, DAY).tickers == (ticker,)


def test_capitals_come_before_small_letters(of_trades: Callable[..., FlatFileMarket]) -> None:
    rows = of_trades(HEADER + trade("Ab", 1) + trade("AZ", 1)).rows(Kind.TRADES, DAY)
    assert rows.tickers == ("AZ", "Ab")


def test_only_wanted_tickers_are_read(flat_file: Callable[..., Path]) -> None:
    folder = flat_file("trades_v1", str(DAY), HEADER + trade("A", 1) + trade("B", 1))
    assert FlatFileMarket(folder, ["B"]).rows(Kind.TRADES, DAY).tickers == ("B",)


def test_bars_without_a_file_are_built_from_trades(
    of_trades: Callable[..., FlatFileMarket],
) -> None:
    market = of_trades(HEADER + trade("A", 1) + trade("A", 2))
    assert market.rows(Kind.MINUTES, DAY)["volume"].tolist() == [200]
    assert market.rows(Kind.DAYS, DAY)["volume"].tolist() == [200]


def test_a_day_without_a_file_has_no_rows(of_trades: Callable[..., FlatFileMarket]) -> None:
    assert len(of_trades(HEADER + trade("A", 1)).rows(Kind.TRADES, date(2026, 10, 2))) == 0


def test_a_file_with_a_header_only_has_no_rows(of_trades: Callable[..., FlatFileMarket]) -> None:
    assert len(of_trades(HEADER).rows(Kind.TRADES, DAY)) == 0


def test_days_with_trades_are_played(flat_file: Callable[..., Path]) -> None:
    bars = f"ticker,volume,open,close,high,low,window_start,transactions\nA,9,1,1,1,1,{T0},4\n"
    flat_file("day_aggs_v1", "2026-09-30", bars)
    market = FlatFileMarket(flat_file("trades_v1", str(DAY), HEADER + trade("A", 1)))
    assert market.days(date.min, date.max) == [date(2026, 9, 30), DAY]
    assert market.played_days(date.min, date.max) == [DAY]


def test_a_folder_without_flat_files_is_refused(tmp_path: Path) -> None:
    with pytest.raises(FlatFileError, match=r"no flat file in .*expected us_stocks_sip/trades_v1/"):
        FlatFileMarket(tmp_path)


def test_a_file_of_another_kind_is_refused(of_trades: Callable[..., FlatFileMarket]) -> None:
    with pytest.raises(FlatFileError, match=r"2026-10-01.csv.gz has no column 'sip_timestamp'"):
        of_trades("ticker,volume\nA,1\n").rows(Kind.TRADES, DAY)


def test_a_cut_file_is_refused(flat_file: Callable[..., Path]) -> None:
    folder = flat_file("trades_v1", str(DAY), HEADER + trade("A", 1))
    path = next(folder.rglob("*.gz"))
    path.write_bytes(gzip.compress((HEADER + trade("A", 1)).encode())[:-10])
    with pytest.raises(FlatFileError, match=r"2026-10-01.csv.gz cannot be read"):
        FlatFileMarket(folder).rows(Kind.TRADES, DAY)


def test_rows_may_be_asked_for_from_several_threads(
    of_trades: Callable[..., FlatFileMarket],
) -> None:
    market = of_trades(HEADER + "".join(trade("A", at) for at in range(1000)))
    counts: list[int] = []
    threads = [
        threading.Thread(target=lambda: counts.append(len(market.rows(Kind.TRADES, DAY))))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert counts == [1000] * 4


@pytest.mark.parametrize(
    ("kind", "day", "count"),
    [
        (Kind.TRADES, date(2013, 10, 7), 388_417),
        (Kind.TRADES, date(2013, 10, 8), 654_140),
        (Kind.QUOTES, date(2013, 10, 7), 109_066),
        (Kind.QUOTES, date(2013, 10, 8), 125_749),
    ],
)
def test_every_row_of_real_files_is_read(
    real_market: FlatFileMarket, kind: Kind, day: date, count: int
) -> None:
    assert len(real_market.rows(kind, day)) == count


def test_real_tickers_are_those_of_all_files(real_market: FlatFileMarket) -> None:
    tickers = real_market.tickers()
    assert {"SPY", "AIG", "BAC", "IBM", "AAPL"} <= set(tickers)
    assert list(tickers) == sorted(tickers)
