"""Files become rows: by header name, with odd cells, in any order of tickers."""

from __future__ import annotations

import errno
import gzip
import io
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tsstore
from tests.flatfiles.conftest import packed
from tsstore_massive.decoding.messages import Events
from tsstore_massive.decoding.pages import decode_page
from tsstore_massive.errors import StoppedError
from tsstore_massive.faults import Faults
from tsstore_massive.flatfiles import inflate, lines, parse, pieces
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.covering import coverage_of_file, covered_days
from tsstore_massive.flatfiles.errors import BadFileError
from tsstore_massive.flatfiles.inflate import open_gzip
from tsstore_massive.flatfiles.load import Job, Loader
from tsstore_massive.flatfiles.selection import Selection

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tsstore_massive.flatfiles.load import Loaded

DAY = date(2026, 8, 31)
T0 = 1_788_183_000_000_000_000  # 09:30 in New York
MINUTE = 60 * 10**9
DAY_NS = 1440 * MINUTE
BARS = "ticker,volume,open,close,high,low,window_start,transactions\n"
TRADES = (
    "ticker,conditions,correction,exchange,id,participant_timestamp,price,sequence_number,"
    "sip_timestamp,size,tape,trf_id,trf_timestamp\n"
)
QUOTES = (
    "ticker,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size,conditions,indicators,"
    "participant_timestamp,sequence_number,sip_timestamp,tape,trf_timestamp\n"
)
STOCK_BARS = FlatSet.of("stocks", "minute_aggs")
STOCK_TRADES = FlatSet.of("stocks", "trades")


def bar(ticker: str, minute: int = 0, close: object = 2, volume: object = 10) -> str:
    return f"{ticker},{volume},1,{close},3,0.5,{T0 + minute * MINUTE},4\n"


def trade(
    ticker: str, number: int, *, at: int | None = None, conditions: str = "", size: str = "100",
    number_text: str | None = None,
) -> str:  # fmt: skip
    at = number * 1_000_000 if at is None else at
    text = number if number_text is None else number_text
    return f"{ticker},{conditions},,11,{text},{T0 + at - 5},10.5,{number},{T0 + at},{size},1,,\n"


@pytest.fixture
def load_file(store: tsstore.Store, tmp_path: Path) -> Callable[..., Loaded]:
    """Loads a file of text into the store."""

    def run(
        flat: FlatSet, *texts: str, symbols: str = "*", exclude: tuple[str, ...] = (),
        body: bytes | None = None, replaces: bool = False,
    ) -> Loaded:  # fmt: skip
        path = tmp_path / "2026-08-31.csv.gz"
        path.write_bytes(packed(*texts) if body is None else body)
        loader = Loader(store, timezone="UTC", is_stopped=lambda: False, on_rows=lambda _: None)
        selection = Selection(symbols.split(","), exclude)
        return loader.load(Job(flat, DAY, path, selection, replaces=replaces))

    return run


# Where columns stand, and what cells may hold


def test_bars_are_found_by_header_name_and_have_no_vwap(load_file, store):
    done = load_file(STOCK_BARS, BARS + bar("A", 1, volume="17798.430378") + bar("A", 0))
    rows = store.read("A/1Min/OHLCV")
    assert (done.rows, done.symbols, rows.ts.tolist()) == (2, 1, [T0, T0 + MINUTE])
    names = ("Open", "High", "Low", "Close", "Volume", "TradeCount")
    assert [rows[name][1] for name in names] == [1, 3, 0.5, 2, 17798.430378, 4]
    assert np.isnan(rows["VWAP"]).all()


def test_unknown_columns_are_left_and_absent_ones_are_empty(load_file, store):
    text = f"new,window_start,ticker,low,high,open,close\nx,{T0},A,1,2,1,2\n"
    load_file(STOCK_BARS, text)
    rows = store.read("A/1Min/OHLCV")
    assert (rows["Volume"][0], np.isnan(rows["TradeCount"][0])) == (0, True)


@pytest.mark.parametrize(
    ("flat", "text", "column"),
    [
        (STOCK_BARS, f"ticker,window_start,open,high,low\nA,{T0},1,1,1\n", "close"),
        (STOCK_BARS, "ticker,open,high,low,close\nA,1,1,1,1\n", "window_start"),
        (STOCK_TRADES, BARS + bar("A"), "price"),
    ],
)
def test_a_file_without_what_it_needs_is_refused(load_file, store, flat, text, column):
    with pytest.raises(BadFileError, match=f"2026-08-31.csv.gz has no column '{column}'"):
        load_file(flat, text)
    assert store.list() == []


@pytest.mark.parametrize(
    ("body", "told"),
    [
        (b"", "is empty"),
        (packed(""), "is empty"),
        (BARS.encode() * 9, "is no gzip file"),
        (packed(BARS.replace("volume", "close")), "has two columns 'close'"),
    ],
)
def test_what_is_no_such_file_at_all_is_named(load_file, body, told):
    with pytest.raises(BadFileError, match=rf"2026-08-31\.csv\.gz {told}$"):
        load_file(STOCK_BARS, body=body)


def test_every_column_of_a_trade(load_file, store):
    size = "0.700000"
    load_file(STOCK_TRADES, TRADES + trade("A", 7, conditions='"12,37,41,2,99"', size=size))
    rows = store.read("A/1Sec/TRADE")
    names = ("Price", "Size", "Exchange", "TapeID", "Correction", "TRF", "TradeID", "Sequence")
    assert [rows[name][0] for name in names] == [10.5, 0.7, 11, 1, 0, 0, 7, 7]
    assert [rows[f"Cond{n}"][0] for n in (1, 2, 3, 4)] == [12, 37, 41, 2]
    assert rows["ParticipantNs"][0] == rows.ts[0] - 5


@pytest.mark.parametrize(
    "text", ["5XB-1", "0x10", "-7", "7.0", "1e3", "00123", "+7", "9" * 20, "9" * 18, ""]
)
def test_a_trade_is_one_row_from_all_sources_however_its_id_is_written(load_file, store, text):
    answer = f'{{"results":[{{"sip_timestamp":{T0},"price":1,"sequence_number":1,"id":"{text}"}}]}}'
    fetched = decode_page(answer.encode(), "stocks", "trades").columns["TradeID"]
    events = Events(Faults(), "stocks")
    events.add(f'[{{"ev":"T","sym":"A","t":{T0 // 10**6},"p":1,"q":1,"i":"{text}"}}]'.encode())
    streamed = events.tables()["trades"]["TradeID"]
    for others in ("", trade("B", 2), trade("B", 2, number_text="A-1")):
        load_file(STOCK_TRADES, TRADES + trade("A", 1, number_text=text) + others)
        assert store.read("A/1Sec/TRADE")["TradeID"].tolist() == streamed.tolist()
    assert fetched.tolist() == streamed.tolist()


def test_sets_in_cells_of_quotes_and_a_side_that_is_absent(load_file, store):
    row = f'A,12,,,15,297.83,80,"1,5","604,7",{T0 - 5},4,{T0},3,0\n'
    load_file(FlatSet.of("stocks", "quotes"), QUOTES + row)
    rows = store.read("A/1Min/QUOTE")
    names = ("AskPrice", "AskSize", "BidPrice", "BidSize", "Condition", "Indicator", "Sequence")
    assert [rows[name][0] for name in names] == [0, 0, 297.83, 80, 1, 604, 4]


def test_rows_that_cannot_be_right_are_left_out_and_counted(load_file, store):
    year_1754 = f"C,1,1,1,1,1,{-6_816_000_000_000_000_000},1\n"
    done = load_file(
        STOCK_BARS,
        BARS + bar("A") + bar("B", close="") + year_1754 + "D,1,2\n" + bar("") + bar("E F")
        + bar("G", close="nan") + bar("H", close=-1),
    )  # fmt: skip
    assert store.list() == ["A/1Min/OHLCV"]
    assert done.faults == {
        "row without what it needs": 3,
        "row with a time of another day": 1,
        "row with too many or too few cells": 1,
        "row whose ticker cannot be a bucket": 2,
    }


@pytest.mark.parametrize(
    ("market", "ticker", "minutes"),
    [
        ("stocks", "A", [-570, 869]),  # of 2026-08-31 in New York
        ("options", "O:A261218C00100000", [-570, 869]),
        ("indices", "I:A", [-570, 869]),
        ("crypto", "X:A-USD", [-810 - 300, 629 + 300]),  # in UTC, and hours beyond
    ],
)
def test_rows_of_days_that_the_file_does_not_speak_of_stay_out(
    load_file, store, market, ticker, minutes
):
    flat = FlatSet.of(market, "minute_aggs")
    others = [minutes[0] - 1, minutes[1] + 1]
    rows = [bar(ticker, minute) for minute in (*minutes, *others)]
    done = load_file(flat, BARS + "".join(rows))
    assert done.faults == {"row with a time of another day": 2}
    expected = [T0 + minute * MINUTE for minute in minutes]
    assert store.read(f"{ticker}/1Min/OHLCV").ts.tolist() == expected


def test_a_file_of_another_day_is_refused(load_file, store):
    before = [bar(ticker, -1440) for ticker in "ABC"]
    with pytest.raises(BadFileError, match=r"31\.csv\.gz is no file of the day .* 3 rows are of"):
        load_file(STOCK_BARS, BARS + "".join(before))
    assert store.list() == []
    lacking = [bar(ticker, close="") for ticker in "AB"]
    assert load_file(STOCK_BARS, BARS + bar("A") + "".join(before) + "".join(lacking)).rows == 1


def test_odd_cells_cost_no_row(load_file, store):
    done = load_file(STOCK_BARS, BARS + bar("A", volume="-5") + bar("B", volume=""))
    assert [store.read(f"{name}/1Min/OHLCV")["Volume"][0] for name in "AB"] == [0, 0]
    assert done.faults == {"odd volume": 1}


def test_a_cell_that_is_no_number_refuses_the_file(load_file):
    with pytest.raises(BadFileError, match=r"2026-08-31.csv.gz cannot be read: .*abc"):
        load_file(STOCK_BARS, BARS + bar("A", close="abc"))


# Order of tickers, members, damage


def test_a_file_may_be_several_gzip_members(load_file):
    assert load_file(STOCK_TRADES, TRADES + trade("A", 1), trade("A", 2), trade("B", 3)).rows == 3


@pytest.mark.parametrize("commit_bytes", [1, pieces.PIECE_BYTES])
def test_a_ticker_may_stand_in_two_runs(load_file, store, monkeypatch, commit_bytes):
    monkeypatch.setattr(pieces, "PIECE_BYTES", commit_bytes)
    monkeypatch.setattr("tsstore_massive.flatfiles.parse._BLOCK_BYTES", 300)
    tickers = ["B"] * 9 + ["A"] * 9 + ["B"] * 9
    text = TRADES + "".join(trade(ticker, n + 1) for n, ticker in enumerate(tickers))
    for _ in range(2):
        load_file(STOCK_TRADES, text)
        expected = [*range(1, 10), *range(19, 28)]
        assert store.read("B/1Sec/TRADE")["Sequence"].tolist() == expected
        assert len(store.read("A/1Sec/TRADE")) == 9


def test_times_that_go_back_within_a_ticker(load_file, store):
    load_file(STOCK_TRADES, TRADES + trade("A", 2) + trade("A", 1) + trade("A", 3))
    assert store.read("A/1Sec/TRADE")["Sequence"].tolist() == [1, 2, 3]


def test_capitals_and_small_letters_are_different_tickers(load_file, store):
    load_file(STOCK_BARS, BARS + bar("BCPC", close=2) + bar("BCpC", close=3))
    assert store.read("BCpC/1Min/OHLCV")["Close"][0] == 3
    assert store.read("BCPC/1Min/OHLCV")["Close"][0] == 2


@pytest.mark.parametrize("symbols", ["*", "A", "absent"])
@pytest.mark.parametrize("kept", [0.5, 0.99])
def test_a_truncated_file_is_refused(load_file, kept, symbols):
    whole = packed(TRADES + "".join(trade("A", n) for n in range(1, 3000)))
    with pytest.raises(BadFileError, match="cannot be read"):
        load_file(STOCK_TRADES, body=whole[: int(len(whole) * kept)], symbols=symbols)


def test_a_damaged_file_is_refused(load_file):
    body = bytearray(packed(TRADES + "".join(trade("A", n) for n in range(1, 3000))))
    body[-6] ^= 1  # its sum
    with pytest.raises(BadFileError, match="cannot be read"):
        load_file(STOCK_TRADES, body=bytes(body))


@pytest.mark.parametrize("has_isal", [True, False])
def test_a_file_damaged_in_its_midst_is_refused(load_file, monkeypatch, has_isal):
    if not has_isal:
        monkeypatch.setattr(inflate, "_opener", gzip)
    whole = packed(TRADES + "".join(trade("A", n) for n in range(1, 3000)))
    for flipped in range(20, len(whole) - 8, len(whole) // 40):
        body = bytearray(whole)
        body[flipped] ^= 0x55
        with pytest.raises(BadFileError, match=r"2026-08-31\.csv\.gz"):
            load_file(STOCK_TRADES, body=bytes(body))


def test_a_disk_that_refuses_to_read_is_no_damage(load_file, monkeypatch):
    def failing(path: Path) -> io.BytesIO:
        raise OSError(errno.EMFILE, "Too many open files", str(path))

    monkeypatch.setattr(parse, "open_gzip", failing)
    with pytest.raises(tsstore.StorageError, match=r"2026-08-31.csv.gz .*Too many open files"):
        load_file(STOCK_BARS, BARS + bar("A"))


def test_pythons_own_gzip_gives_the_same_bytes(tmp_path, monkeypatch):
    path = tmp_path / "a.gz"
    path.write_bytes(packed("one\n", "", "two\n"))
    with open_gzip(path) as fast:
        assert not isinstance(fast, gzip.GzipFile) or type(fast) is not gzip.GzipFile
        unpacked = fast.read()
    monkeypatch.setattr(inflate, "_opener", gzip)
    with open_gzip(path) as plain:
        assert type(plain) is gzip.GzipFile
        assert plain.read() == unpacked == b"one\ntwo\n"


# Which tickers


def test_names_and_patterns_choose_tickers(load_file, store):
    text = BARS + "".join(bar(ticker) for ticker in ("AA", "AB", "ABC", "SPY", "Z"))
    load_file(STOCK_BARS, text, symbols="A?,SPY", exclude=("AB",))
    assert store.list() == ["AA/1Min/OHLCV", "SPY/1Min/OHLCV"]


@pytest.mark.parametrize("block_bytes", [1, 7, 60, 61, 1 << 20])
@pytest.mark.parametrize("end", ["\n", ""])
def test_lines_of_few_tickers_are_found_wherever_blocks_end(monkeypatch, block_bytes, end):
    monkeypatch.setattr(lines, "_BLOCK_BYTES", block_bytes)
    rows = [
        trade(ticker, n)
        for ticker in ("A", "AA", "B", "LONGTICKER", "A", "LONGTICKET", "C")
        for n in range(3)
    ]
    text = (TRADES + "".join(rows)).rstrip("\n") + end
    for tickers in (["A"], ["AA", "C"], ["C"], ["absent"], ["A", "AA", "B", "C"], ["LONGTICKET"]):
        with io.BufferedReader(lines.LinesOf(io.BytesIO(text.encode()), tickers)) as found:
            header, *got = found.read().decode().splitlines(keepends=True)
        assert header == TRADES
        expected = [row for row in rows if row.split(",")[0] in tickers]
        assert [row for row in got if row.split(",")[0] in tickers] == expected
        if block_bytes == 1:
            begins = tuple(f"{ticker},"[:8] for ticker in tickers)
            assert got == [row for row in rows if row.startswith(begins)]


@pytest.mark.parametrize(
    "symbols", ["S3,S7", "S[37]", "S3,S7," + ",".join(f"Z{n}" for n in range(300))]
)
def test_few_tickers_are_read_as_many_are(load_file, store, symbols):
    rows = [trade(f"S{n}", k) for n in (*range(10), 3) for k in range(1, 400)]
    assert load_file(STOCK_TRADES, TRADES + "".join(rows[:-399]), symbols=symbols).rows == 798
    assert store.list() == ["S3/1Sec/TRADE", "S7/1Sec/TRADE"]
    assert store.read("S7/1Sec/TRADE")["Sequence"].tolist() == list(range(1, 400))


# What stands there already


def test_a_day_of_ticks_is_replaced_and_other_days_are_not(load_file, store):
    load_file(STOCK_TRADES, TRADES + trade("A", 1) + trade("A", 2))
    rows = store.read("A/1Sec/TRADE")
    before = tsstore.Columns(rows.ts - 86_400 * 10**9, dict(rows.items()), variable=True)
    store.write("A/1Sec/TRADE", before)
    load_file(STOCK_TRADES, TRADES + trade("A", 2))
    assert store.read("A/1Sec/TRADE")["Sequence"].tolist() == [1, 2, 2]


def test_bars_are_upserted_and_keep_a_vwap_that_fits(load_file, store):
    columns = {name: np.array([1.0, 1, 1]) for name in ("Open", "High", "Low", "Close", "Volume")}
    ts = np.array([T0, T0 + MINUTE, T0 + 2 * MINUTE])
    vwap = {"VWAP": np.array([2.5, 99.0, 1.0]), "TradeCount": np.ones(3)}
    store.write("A/1Min/OHLCV", {"Epoch": ts.view("M8[ns]"), **columns, **vwap})
    load_file(STOCK_BARS, BARS + bar("A", 0) + bar("A", 1))
    rows = store.read("A/1Min/OHLCV")
    assert rows["Close"].tolist() == [2, 2, 1]
    assert np.array_equal(rows["VWAP"], [2.5, np.nan, 1.0], equal_nan=True)


def test_each_day_of_a_run_keeps_its_vwap(store, tmp_path):
    names = ("Open", "High", "Low", "Close", "Volume", "VWAP", "TradeCount")
    stored = {"A": [T0 + DAY_NS], "B": [T0 - DAY_NS, T0 + DAY_NS], "C": [T0]}
    for symbol, instants in stored.items():
        ts = np.array(instants).view("M8[ns]")
        bars = dict.fromkeys(names, np.ones(len(instants)))
        store.write(f"{symbol}/1Min/OHLCV", {"Epoch": ts, **bars})
    loader = Loader(store, timezone="UTC", is_stopped=lambda: False, on_rows=lambda _: None)
    path = tmp_path / "day.csv.gz"
    for day in range(2):
        at = day * DAY_NS // MINUTE
        path.write_bytes(packed(BARS, *(bar(symbol, at) for symbol in "ABCD")))
        loader.load(Job(STOCK_BARS, DAY + timedelta(days=day), path, Selection(["*"]), False))
    vwap = {symbol: store.read(f"{symbol}/1Min/OHLCV")["VWAP"].tolist() for symbol in "ABCD"}
    nan = pytest.approx(np.nan, nan_ok=True)
    assert vwap == {"A": [nan, 1], "B": [1, nan, 1], "C": [1, nan], "D": [nan, nan]}


def test_a_replaced_file_takes_away_the_bars_it_lacks(load_file, store):
    load_file(STOCK_BARS, BARS + bar("A", 0) + bar("A", 1))
    load_file(STOCK_BARS, BARS + bar("A", 1, close=2.5), replaces=True)
    rows = store.read("A/1Min/OHLCV")
    assert (rows.ts.tolist(), rows["Close"].tolist()) == ([T0 + MINUTE], [2.5])


# Other data sets and markets


@pytest.mark.parametrize("zone", ["UTC", "America/New_York"])
def test_a_day_bar_stands_at_its_date_in_the_zone_of_the_store(tmp_path, zone):
    midnight = T0 - 34_200 * 10**9
    path = tmp_path / "2026-08-31.csv.gz"
    path.write_bytes(packed(BARS + f"A,1,1,1,1,1,{midnight},1\n"))
    with tsstore.open(tmp_path / "data", timezone=zone) as store:
        loader = Loader(store, timezone=zone, is_stopped=lambda: False, on_rows=lambda _: None)
        flat = FlatSet.of("stocks", "day_aggs")
        loader.load(Job(flat, DAY, path, Selection(["*"]), replaces=False))
        at = store.read("A/1D/OHLCV").ts.view("M8[ns]")[0]
    assert at == np.datetime64("2026-08-31T00:00" if zone == "UTC" else "2026-08-31T04:00")


def test_index_bars_have_no_volume_and_values_a_bucket(load_file, store):
    text = f"ticker,open,close,high,low,window_start\nI:SPX,1,2,3,0.5,{T0}\n"
    load_file(FlatSet.of("indices", "minute_aggs"), text)
    load_file(FlatSet.of("indices", "values"), f"ticker,value,timestamp\nI:SPX,5988.73,{T0 + 1}\n")
    assert store.read("I:SPX/1Min/OHLCV")["Volume"][0] == 0
    assert store.read("I:SPX/1Sec/VALUE")["Value"][0] == 5988.73


def test_crypto_trades_have_text_ids_and_no_sequence(load_file, store):
    text = "ticker,conditions,exchange,id,participant_timestamp,price,size\n" + "".join(
        f"X:BTC-USD,{side},3,{number},{T0},33021.9,0.01616617\n"
        for side, number in ((1, 8), (2, 9))
    )
    load_file(FlatSet.of("crypto", "trades"), text)
    rows = store.read("X:BTC-USD/1Sec/TRADE")
    assert rows["TradeID"].tolist() == [8, 9]
    assert rows["Cond1"].tolist() == [1, 2]


def test_ticks_without_sequence_and_id_stay_apart(load_file, store, monkeypatch):
    monkeypatch.setattr("tsstore_massive.flatfiles.parse._BLOCK_BYTES", 200)
    row = "O:SPY261218C00650000,209,0,312,{price},{at},{size}\n"
    first = [row.format(price=price, at=T0, size=1) for price in (1.5, 1.5, 1.6)]
    again = [row.format(price=1.5, at=T0, size=2)]  # in another run of the file
    other = "".join(row.format(price=9, at=T0 + n * MINUTE, size=1) for n in range(9))
    header = "ticker,conditions,correction,exchange,price,sip_timestamp,size\n"
    flat = FlatSet.of("options", "trades")
    for _ in range(2):
        load_file(flat, header + "".join(first) + other.replace("O:SPY", "O:QQQ") + "".join(again))
        rows = store.read("O:SPY261218C00650000/1Sec/TRADE")
        assert sorted(zip(rows["Price"], rows["Size"], strict=True)) == [
            (1.5, 1), (1.5, 1), (1.5, 2), (1.6, 1),
        ]  # fmt: skip
        assert len(store.read("O:QQQ261218C00650000/1Sec/TRADE")) == 9


def test_forex_quotes_have_no_sizes(load_file, store):
    header = "ticker,ask_exchange,ask_price,bid_exchange,bid_price,participant_timestamp\n"
    rows = [f"C:EUR-USD,48,1.0{n},48,1.05,{T0}\n" for n in (6, 7)]
    load_file(FlatSet.of("forex", "quotes"), header + "".join(rows))
    assert sorted(store.read("C:EUR-USD/1Min/QUOTE")["AskPrice"]) == [1.06, 1.07]


def test_a_pair_is_found_in_any_spelling(load_file, store):
    header = "ticker,ask_exchange,ask_price,bid_exchange,bid_price,participant_timestamp\n"
    rows = "".join(f"C:{pair},48,1.1,48,1.0,{T0}\n" for pair in ("EUR-GBP", "EUR-USD"))
    load_file(FlatSet.of("forex", "quotes"), header + rows, symbols="C:EURUSD")
    assert store.list() == ["C:EUR-USD/1Min/QUOTE"]
    with pytest.raises(tsstore.InvalidKeyError, match="write C:EUR-USD for forex"):
        Selection(["EUR/USD"])


def test_a_market_has_only_its_own_data_sets():
    with pytest.raises(
        tsstore.InvalidArgumentError, match="there are minute_aggs, day_aggs, quotes"
    ):
        FlatSet.of("forex", "trades")
    assert FlatSet.of("stocks", "trades_v1").path(DAY) == (
        "us_stocks_sip/trades_v1/2026/08/2026-08-31.csv.gz"
    )


# A load that is killed between two commits


@pytest.fixture
def killed_load(store: tsstore.Store, tmp_path: Path, monkeypatch) -> Callable[..., bool]:
    """Loads trades in tiny commits, until so many are done; whether that was before the end."""
    monkeypatch.setattr(pieces, "PIECE_BYTES", 1)
    monkeypatch.setattr("tsstore_massive.flatfiles.parse._BLOCK_BYTES", 300)

    def run(text: str, commits: int) -> bool:
        path = tmp_path / "killed.csv.gz"
        path.write_bytes(packed(text))
        left = iter(range(commits))
        loader = Loader(
            store,
            timezone="UTC",
            is_stopped=lambda: next(left, None) is None,
            on_rows=lambda _: None,
        )
        try:
            loader.load(Job(STOCK_TRADES, DAY, path, Selection(["*"]), replaces=False))
        except StoppedError:
            return True
        return False

    return run


def test_at_no_moment_of_a_load_are_there_fewer_rows_than_before(load_file, store, killed_load):
    def stored() -> list[tuple[str, int]]:
        both = store.read(["A", "B"], "1Sec/TRADE")
        return [(key, number) for key in sorted(both) for number in both[key]["Sequence"].tolist()]

    text = TRADES + "".join(trade(ticker, n) for ticker in "AB" for n in range(1, 20))
    load_file(STOCK_TRADES, text + trade("A", 90) + trade("B", 90))
    before = stored()
    commits = 1
    while killed_load(text, commits):
        withdrawn = {("A/1Sec/TRADE", 90), ("B/1Sec/TRADE", 90)}
        assert {*before} - {*stored()} <= withdrawn, f"after {commits} commits"
        commits += 1
    assert commits > 4
    assert stored() == [row for row in before if row[1] != 90]


def test_a_ticker_that_ends_with_a_commit_loses_what_the_file_lacks(load_file, store, killed_load):
    old = TRADES + "".join(trade(ticker, n) for ticker in "AB" for n in range(1, 40))
    for count in range(2, 12):  # the end of A falls before, on and after the end of a batch
        load_file(STOCK_TRADES, old)
        a = "".join(trade("A", n) for n in range(1, count))
        assert not killed_load(TRADES + a + trade("B", 1), 99)
        assert store.read("A/1Sec/TRADE")["Sequence"].tolist() == list(range(1, count))
        assert store.read("B/1Sec/TRADE")["Sequence"].tolist() == [1]


def test_what_is_under_way_is_not_called_fetched(load_file, store, killed_load):
    text = TRADES + "".join(trade("A", n) for n in range(1, 20))
    load_file(STOCK_TRADES, text)
    store.commit(coverage_of_file(STOCK_TRADES, DAY, {"A": 19}, T0))
    assert covered_days(store, STOCK_TRADES, [DAY], Selection(["A"])) == {DAY}
    assert killed_load(text, 1)
    assert covered_days(store, STOCK_TRADES, [DAY], Selection(["A"])) == set()


# Files that unpack to more than they should


@pytest.mark.parametrize("header", ["", BARS])
@pytest.mark.parametrize("symbols", ["*", "A"])
def test_a_line_without_end_is_refused_and_not_held(load_file, monkeypatch, header, symbols):
    unpacked = 0

    class Counted(io.RawIOBase):
        """256 MiB of one line."""

        def __init__(self) -> None:
            self._left = io.BytesIO(header.encode())

        def readable(self) -> bool:
            return True

        def readinto(self, buffer) -> int:
            nonlocal unpacked
            head = self._left.readinto(buffer)
            count = 0 if unpacked >= 256 << 20 else len(buffer)
            if not head:
                buffer[:count] = b"A" * count
                unpacked += count
            return head or count

    monkeypatch.setattr(parse, "open_gzip", lambda _: io.BufferedReader(Counted()))
    with pytest.raises(BadFileError, match=r"line|column|cannot be read"):
        load_file(STOCK_BARS, body=b"", symbols=symbols)
    assert unpacked < 160 << 20  # pyarrow reads some blocks ahead
