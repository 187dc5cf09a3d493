from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from tests.massive.socket_server import MORNING_MS, MS
from tsstore.errors import ConfigError
from tsstore_massive.decoding.fields import text_id
from tsstore_massive.decoding.pages import Page, decode_page
from tsstore_massive.schemas import SCHEMAS, Kind

if TYPE_CHECKING:
    from tsstore_massive.symbols import Market


def decoded(kind: Kind, answer: bytes) -> Page:
    return decode_page(answer, "stocks", kind)


TRADE_ROW = {
    "conditions": [12, 37], "decimal_size": "40.5", "exchange": 4, "id": "143541",
    "participant_timestamp": MORNING_MS * MS - 1, "price": 297.845, "sequence_number": 7,
    "sip_timestamp": MORNING_MS * MS + 123_456, "size": 40, "tape": 3, "trf_id": 202,
    "correction": 1, "trf_timestamp": 1,
}  # fmt: skip
QUOTE_ROW = {
    "ask_exchange": 12, "ask_price": 297.86, "ask_size": 160, "bid_exchange": 15,
    "bid_price": 297.83, "bid_size": 80, "conditions": [1, 2], "indicators": [604],
    "participant_timestamp": MORNING_MS * MS - 1, "sequence_number": 7,
    "sip_timestamp": MORNING_MS * MS + 123_456, "tape": 3,
}  # fmt: skip
BAR_ROW = {
    "v": 9099.618093, "vw": 297.8134, "o": 297.79, "c": 297.85, "h": 297.9, "l": 297.75,
    "t": MORNING_MS, "n": 318,
}  # fmt: skip


def body(*rows: Any, **extra: Any) -> bytes:
    return json.dumps({"status": "OK", "request_id": 1, "results": rows, **extra}).encode()


def test_a_fetched_trade_has_the_columns_of_a_streamed_one_and_exact_times() -> None:
    page = decoded("trades", body(TRADE_ROW))
    assert page.columns.schema.dtypes == SCHEMAS["trades"].dtypes
    assert page.columns.ts.tolist() == [MORNING_MS * MS + 123_456]
    row = {name: column[0] for name, column in page.columns.items()}
    assert row == {
        "Price": 297.845, "Size": 40.5, "Exchange": 4, "TapeID": 3, "Cond1": 12, "Cond2": 37,
        "Cond3": 0, "Cond4": 0, "Correction": 1, "TRF": 202, "TradeID": 143541, "Sequence": 7,
        "ParticipantNs": MORNING_MS * MS - 1,
    }  # fmt: skip


def test_a_fetched_quote_has_the_columns_of_a_streamed_one() -> None:
    page = decoded("quotes", body(QUOTE_ROW))
    assert page.columns.schema.dtypes == SCHEMAS["quotes"].dtypes
    row = {name: column[0] for name, column in page.columns.items()}
    assert row == {
        "BidPrice": 297.83, "AskPrice": 297.86, "BidSize": 80, "AskSize": 160, "BidExchange": 15,
        "AskExchange": 12, "Condition": 1, "Indicator": 604, "TapeID": 3, "Sequence": 7,
        "ParticipantNs": MORNING_MS * MS - 1,
    }  # fmt: skip


def test_a_fetched_bar_has_the_columns_of_a_streamed_one() -> None:
    page = decoded("bars", body(BAR_ROW))
    assert page.columns.schema == SCHEMAS["bars"]
    row = {name: column[0] for name, column in page.columns.items()}
    assert row == {
        "Open": 297.79, "High": 297.9, "Low": 297.75, "Close": 297.85, "Volume": 9099.618093,
        "VWAP": 297.8134, "TradeCount": 318,
    }  # fmt: skip


def test_a_row_without_vwap_and_count_has_nan_there() -> None:
    page = decoded("bars", body({n: v for n, v in BAR_ROW.items() if n not in ("vw", "n")}))
    assert np.isnan(page.columns["VWAP"]).all()
    assert np.isnan(page.columns["TradeCount"]).all()


@pytest.mark.parametrize("text", [b'{"status":"OK"}', b'{"results":null}', b'{"results":[]}'])
@pytest.mark.parametrize("kind", ["bars", "trades", "quotes"])
def test_no_results_are_no_rows(kind: Kind, text: bytes) -> None:
    page = decoded(kind, text)
    assert len(page.columns) == 0
    assert page.next_url is None


def test_rows_are_put_in_order_of_time_and_ties_stay() -> None:
    times = [5, 3, 5, 1]
    rows = [BAR_ROW | {"t": MORNING_MS + at, "v": number} for number, at in enumerate(times)]
    columns = decoded("bars", body(*rows)).columns
    assert columns["Volume"].tolist() == [3, 1, 0, 2]


def test_the_next_page_is_told() -> None:
    assert decoded("bars", body(next_url="https://h/p?cursor=x")).next_url == "https://h/p?cursor=x"
    assert decoded("bars", body(next_url=None)).next_url is None


def test_a_bad_row_costs_itself_only_and_is_counted() -> None:
    page = decoded("trades", body(TRADE_ROW, {"price": 1}, 5, TRADE_ROW | {"exchange": 70_000}))
    assert len(page.columns) == 2
    assert sum(page.faults.values()) == 3


@pytest.mark.parametrize("text", [b"", b"<html>", b"[]", b'{"results":5}', b'{"results":[{"t":1'])
def test_what_is_no_page_is_an_error(text: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        decoded("bars", text)


# Other markets.

EXACT = MORNING_MS * MS + 123_456
MARKET_ROWS: list[tuple[Market, Kind, dict[str, Any], dict[str, Any]]] = [
    (
        "options", "trades",
        {"conditions": [209], "correction": 1, "exchange": 312, "participant_timestamp": EXACT - 9,
         "price": 4.95, "sip_timestamp": EXACT, "size": 2, "sequence_number": 7},
        {"Price": 4.95, "Size": 2, "Exchange": 312, "Cond1": 209, "Correction": 1,
         "ParticipantNs": EXACT - 9},
    ),
    (
        "options", "quotes",
        {"ask_exchange": 303, "ask_price": 5.0, "ask_size": 24, "bid_exchange": 302,
         "bid_price": 4.9, "bid_size": 17, "sequence_number": 844090, "sip_timestamp": EXACT},
        {"BidPrice": 4.9, "AskPrice": 5.0, "BidSize": 17, "AskSize": 24, "BidExchange": 302,
         "AskExchange": 303, "Sequence": 844090},
    ),
    (
        "indices", "bars",
        {"o": -5.0, "h": 2.0, "l": -7.5, "c": 1.0, "t": MORNING_MS},
        {"Open": -5.0, "High": 2.0, "Low": -7.5, "Close": 1.0},
    ),
    (
        "forex", "quotes",
        {"ask_exchange": 48, "ask_price": 1.0634, "bid_exchange": 48, "bid_price": 1.0631,
         "participant_timestamp": EXACT},
        {"BidPrice": 1.0631, "AskPrice": 1.0634, "BidExchange": 48, "AskExchange": 48,
         "ParticipantNs": EXACT},
    ),
    (
        "crypto", "trades",
        {"conditions": [1], "exchange": 1, "id": "0b1c-77", "participant_timestamp": EXACT,
         "price": 33021.9, "size": 0.01616617},
        {"Price": 33021.9, "Size": 0.01616617, "Exchange": 1, "Cond1": 1,
         "TradeID": text_id("0b1c-77"), "ParticipantNs": EXACT},
    ),
    (
        "futures", "bars",
        {"ticker": "GCZ6", "open": 2874.2, "high": 2874.5, "low": 2874.0, "close": 2874.4,
         "volume": 204, "dollar_volume": 586357.2, "transactions": 93, "window_start": EXACT,
         "session_end_date": "2026-10-05", "settlement_price": 2874.0},
        {"Open": 2874.2, "High": 2874.5, "Low": 2874.0, "Close": 2874.4, "Volume": 204,
         "VWAP": 586357.2 / 204, "TradeCount": 93},
    ),
    (
        "futures", "trades",
        {"ticker": "GCZ6", "timestamp": EXACT, "price": -1.25, "size": 2, "exchange": 4,
         "sequence_number": 6173, "report_sequence": 1, "session_end_date": "2026-10-05"},
        {"Price": -1.25, "Size": 2, "Sequence": 6173},
    ),
    (
        "futures", "quotes",
        {"ticker": "GCZ6", "timestamp": EXACT, "bid_price": 2874.2, "bid_size": 9,
         "bid_timestamp": EXACT - 2, "ask_price": 2874.4, "ask_size": 5,
         "ask_timestamp": EXACT - 1, "sequence_number": 9},
        {"BidPrice": 2874.2, "AskPrice": 2874.4, "BidSize": 9, "AskSize": 5,
         "ParticipantNs": EXACT - 1},
    ),
]  # fmt: skip


@pytest.mark.parametrize(("market", "kind", "row", "columns"), MARKET_ROWS)
def test_a_row_of_another_market_has_the_columns_of_the_streamed_one(
    market: Market, kind: Kind, row: dict[str, Any], columns: dict[str, Any]
) -> None:
    page = decode_page(body(row), market, kind)
    assert not page.faults
    assert page.columns.schema.dtypes == SCHEMAS[kind].dtypes
    assert page.columns.ts.tolist() == [MORNING_MS * MS if market == "indices" else EXACT]
    found = {name: column[0] for name, column in page.columns.items()}
    assert {name: value for name, value in found.items() if value and value == value} == columns  # noqa: PLR0124


@pytest.mark.parametrize("kind", ["values", "luld", "imbalances", "fair_values"])
def test_what_only_the_socket_tells_is_no_page(kind: Kind) -> None:
    market: Market = "indices" if kind == "values" else "stocks"
    with pytest.raises(ConfigError, match=f"REST tells no {kind} of {market}"):
        decode_page(body(), market, kind)
