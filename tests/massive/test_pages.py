from __future__ import annotations

import json
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.massive.socket_server import MORNING_MS, MS
from tsstore_massive.pages import Page, decode_page
from tsstore_massive.schemas import SCHEMAS, Kind


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
