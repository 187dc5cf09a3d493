"""Every event of every market: its row, its damage, and what the official client makes of it."""

from __future__ import annotations

import json
import logging
from dataclasses import fields
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from massive.websocket.models import (
    MARKET_EVENT_MAP,
    CryptoQuote,
    CryptoTrade,
    CurrencyAgg,
    EquityAgg,
    EquityQuote,
    EquityTrade,
    FairMarketValue,
    ForexQuote,
    FuturesAgg,
    FuturesQuote,
    FuturesTrade,
    Imbalance,
    IndexValue,
    LimitUpLimitDown,
    parse,
)
from massive.websocket.models import Market as OfficialMarket

from tests.massive.examples import EXAMPLES, MS, NAN, START, Example
from tests.massive.socket_server import frame
from tsstore_massive.channels import channels_of
from tsstore_massive.decoding.messages import Events
from tsstore_massive.faults import Faults
from tsstore_massive.schemas import SCHEMAS, Kind
from tsstore_massive.symbols import MARKETS, Market, bucket_symbol

BY_MARKET = {
    market: [example for example in EXAMPLES if example.market == market] for market in MARKETS
}


def decode(market: Market, *frames: bytes) -> Events:
    events = Events(Faults(), market)
    for data in frames:
        events.add(data)
    return events


def row_of(market: Market, kind: Kind, event: Any) -> dict[str, Any]:
    events = decode(market, frame(event))
    table = events.table(kind)
    assert table is not None
    assert not events.faults.counts
    assert table["Epoch"].shape == (1,)
    return {name: column[0] for name, column in table.items()}


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_an_event_is_exactly_its_row(example: Example) -> None:
    row = row_of(example.market, example.kind, example.event)
    assert row.pop("Symbol") == example.symbol
    assert row.pop("Epoch") == np.datetime64(example.ts, "ns")
    schema = SCHEMAS[example.kind]
    assert {name: value.dtype for name, value in row.items()} == schema.dtypes
    blank = {name: np.zeros((), dtype)[()] for name, dtype in schema.dtypes.items()}
    blank |= dict.fromkeys(blank.keys() & {"VWAP", "TradeCount"}, NAN)
    expected = blank | example.row
    assert row.pop("AuctionType", "") == expected.pop("AuctionType", "")
    assert row == pytest.approx(expected, rel=1e-15, nan_ok=True)


def test_there_is_an_example_of_every_channel() -> None:
    shown = {(example.market, example.event["ev"]) for example in EXAMPLES}
    assert shown == {(m, channel.topic) for m in MARKETS for channel in channels_of(m)}


@pytest.mark.parametrize("market", MARKETS)
def test_all_kinds_of_a_market_come_in_one_frame(market: Market) -> None:
    events = decode(market, frame(*(example.event for example in BY_MARKET[market])))
    assert len(events) == len(BY_MARKET[market])
    assert set(events.tables()) == {example.kind for example in BY_MARKET[market]}
    assert not events.faults.counts


@pytest.mark.parametrize("name", ["LV", "XL2", "ZZ"])
@pytest.mark.parametrize("market", MARKETS)
def test_an_event_that_is_not_stored_is_counted(market: Market, name: str) -> None:
    good = BY_MARKET[market][0].event
    events = decode(market, frame(good, {"ev": name, "sym": "A", "val": 1, "t": START}, good))
    assert len(events) == 2
    assert events.faults.counts == {f"unknown event {name}": 1}


# The same key means other things in other markets.


def test_money_is_no_volume() -> None:
    future = next(e for e in EXAMPLES if (e.market, e.kind) == ("futures", "bars")).event
    assert row_of("futures", "bars", future)["Volume"] == 204
    assert np.isnan(row_of("futures", "bars", future | {"v": 0})["VWAP"])
    without = {name: value for name, value in future.items() if name != "dv"}
    assert np.isnan(row_of("futures", "bars", without)["VWAP"])


@pytest.mark.parametrize("exchange", [44, "44", 44.0, "44.0"])
def test_the_exchange_of_a_forex_quote_is_a_number_or_text(exchange: Any) -> None:
    event = BY_MARKET["forex"][0].event | {"x": exchange}
    row = row_of("forex", "quotes", event)
    assert row["BidExchange"] == row["AskExchange"] == 44


def test_the_id_of_a_crypto_trade_is_a_number_or_text() -> None:
    event = BY_MARKET["crypto"][0].event
    ids = [
        row_of("crypto", "trades", event | {"i": text})["TradeID"]
        for text in (14272084, "14272084", "0b1c-77", "0b1c-78", 2**70)
    ]
    assert ids[0] == ids[1] == 14272084
    assert len({*ids[1:]}) == 4
    assert max(ids[2:]) < 0


@pytest.mark.parametrize("kind", ["luld", "imbalances", "fair_values"])
@pytest.mark.parametrize("unit", [1, 1_000, 1_000_000])
def test_times_come_in_any_unit(kind: Kind, unit: int) -> None:
    event = next(e for e in BY_MARKET["stocks"] if e.kind == kind).event | {"t": START * unit}
    assert row_of("stocks", kind, event)["Epoch"] == np.datetime64(START * MS, "ns")


def test_a_fifth_indicator_is_cut_and_counted() -> None:
    event = next(e for e in BY_MARKET["stocks"] if e.kind == "luld").event
    events = decode("stocks", frame(event | {"i": [15, 16, 17, 18, 19]}))
    table = events.table("luld")
    assert table is not None
    assert [table[f"Indicator{n}"][0] for n in (1, 2, 3, 4)] == [15, 16, 17, 18]
    assert events.faults.counts == {"limits with more than four indicators": 1}


@pytest.mark.parametrize(
    ("market", "event"),
    [
        ("forex", {"p": "EURUSDX"}),
        ("forex", {"p": "C:"}),
        ("crypto", {"pair": "O:BTC-USD"}),
        ("indices", {"T": "C:EUR-USD"}),
        ("stocks", {"sym": "BTC-USD"}),
    ],
)
def test_a_symbol_of_another_market_is_counted(market: Market, event: dict[str, Any]) -> None:
    events = decode(market, frame(BY_MARKET[market][0].event | event))
    assert events.tables() == {}
    assert events.faults.counts == {"symbol that cannot be a bucket": 1}


# Damage costs the damaged event only.

JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=5,
)


@given(st.sampled_from(EXAMPLES), st.data())
def test_any_value_in_any_field_costs_one_event_at_most(example: Example, data: Any) -> None:
    name = data.draw(st.sampled_from(sorted(example.event)))
    good = BY_MARKET[example.market]
    events = decode(
        example.market,
        frame(*(e.event for e in good), example.event | {name: data.draw(JSON)}),
    )
    tables = events.tables()
    assert len(events) in (len(good), len(good) + 1)
    for kind, table in tables.items():
        assert {name: table[name].dtype for name in SCHEMAS[kind].names} == SCHEMAS[kind].dtypes
    for one in good:
        assert one.symbol in tables[one.kind]["Symbol"]


@given(st.sampled_from(MARKETS), st.data())
def test_one_changed_byte_costs_one_event_at_most(market: Market, data: Any) -> None:
    examples = data.draw(st.lists(st.sampled_from(BY_MARKET[market]), min_size=1, max_size=5))
    whole = frame(*(example.event for example in examples))
    at = data.draw(st.integers(0, len(whole) - 1))
    damaged = whole[:at] + bytes([data.draw(st.integers(0, 255))]) + whole[at + 1 :]
    # A byte between two elements may join them, which costs both.
    lost = 2 if whole[at : at + 1] in b"{}," else 1
    assert len(decode(market, damaged)) >= len(examples) - lost


#: Made of two fields: without the exact one, or the newer one, the other one counts.
COMPUTED = {"Volume", "Size", "VWAP", "ParticipantNs"}


@given(st.sampled_from(EXAMPLES), st.data())
def test_an_absent_optional_field_is_no_damage(example: Example, data: Any) -> None:
    struct = next(
        channel.event for channel in channels_of(example.market) if channel.kind == example.kind
    )
    needed = {
        wire
        for name, wire in zip(
            struct.__struct_fields__, struct.__struct_encode_fields__, strict=True
        )
        if name in struct.__struct_fields__[: -len(struct.__struct_defaults__) or None]
    }
    optional = sorted(example.event.keys() - needed - {"ev"})
    if not optional:
        return
    left_out = data.draw(st.sampled_from(optional))
    event = {name: value for name, value in example.event.items() if name != left_out}
    row = row_of(example.market, example.kind, event)
    whole = row_of(example.market, example.kind, example.event)
    assert (row["Symbol"], row["Epoch"]) == (whole["Symbol"], whole["Epoch"])
    for name in row.keys() - COMPUTED:
        # NaN, which is what a bar is not told, equals nothing.
        assert row[name] == whole[name] or row[name] != row[name] or not row[name], name


# What the official client makes of it.

_TIMES = {"Epoch", "ParticipantNs"}
_BARS = {
    "open": "Open", "high": "High", "low": "Low", "close": "Close", "volume": "Volume",
    "start_timestamp": "Epoch",
}  # fmt: skip
#: The column of each attribute that is stored.
COLUMNS: dict[type, dict[str, str]] = {
    EquityAgg: _BARS | {"symbol": "Symbol", "vwap": "VWAP", "fractional_volume": "Volume"},
    CurrencyAgg: _BARS | {"pair": "Symbol", "vwap": "VWAP"},
    FuturesAgg: _BARS | {"symbol": "Symbol", "transactions": "TradeCount"},
    EquityTrade: {
        "symbol": "Symbol", "exchange": "Exchange", "id": "TradeID", "tape": "TapeID",
        "price": "Price", "size": "Size", "fractional_shares": "Size", "timestamp": "Epoch",
        "sequence_number": "Sequence", "trf_id": "TRF", "conditions": "Cond",
    },
    CryptoTrade: {
        "pair": "Symbol", "exchange": "Exchange", "id": "TradeID", "price": "Price",
        "size": "Size", "timestamp": "Epoch", "conditions": "Cond",
    },
    FuturesTrade: {
        "symbol": "Symbol", "price": "Price", "size": "Size", "timestamp": "Epoch",
        "sequence_number": "Sequence",
    },
    EquityQuote: {
        "symbol": "Symbol", "bid_exchange_id": "BidExchange", "bid_price": "BidPrice",
        "bid_size": "BidSize", "ask_exchange_id": "AskExchange", "ask_price": "AskPrice",
        "ask_size": "AskSize", "condition": "Condition", "indicators": "Indicator",
        "timestamp": "Epoch", "tape": "TapeID", "sequence_number": "Sequence",
    },
    ForexQuote: {
        "pair": "Symbol", "exchange_id": "BidExchange", "ask_price": "AskPrice",
        "bid_price": "BidPrice", "timestamp": "Epoch",
    },
    CryptoQuote: {
        "pair": "Symbol", "bid_price": "BidPrice", "bid_size": "BidSize",
        "ask_price": "AskPrice", "ask_size": "AskSize", "timestamp": "Epoch",
        "exchange_id": "BidExchange",
    },
    FuturesQuote: {
        "symbol": "Symbol", "bid_price": "BidPrice", "bid_size": "BidSize",
        "ask_price": "AskPrice", "ask_size": "AskSize", "sip_timestamp": "Epoch",
    },
    Imbalance: {
        "symbol": "Symbol", "time_stamp": "Epoch", "auction_time": "AuctionTime",
        "auction_type": "AuctionType", "symbol_sequence": "SymbolSequence",
        "exchange_id": "Exchange", "imbalance_quantity": "ImbalanceSize",
        "paired_quantity": "PairedSize", "book_clearing_price": "BookPrice",
    },
    LimitUpLimitDown: {
        "symbol": "Symbol", "high_price": "High", "low_price": "Low", "indicators": "Indicator",
        "tape": "TapeID", "timestamp": "Epoch", "sequence_number": "Sequence",
    },
    IndexValue: {"ticker": "Symbol", "value": "Value", "timestamp": "Epoch"},
    FairMarketValue: {"ticker": "Symbol", "fmv": "Price", "timestamp": "Epoch"},
}  # fmt: skip
#: What is not stored: it follows from other rows or from the bucket, or nobody asks for it.
LEFT_OUT: dict[type, set[str]] = {
    EquityAgg: {
        "accumulated_volume", "official_open_price", "aggregate_vwap", "average_size",
        "end_timestamp", "otc", "fractional_accumulated_volume",
    },
    CurrencyAgg: {"end_timestamp", "avg_trade_size"},
    FuturesAgg: {"end_timestamp", "total_value"},  # VWAP is made of it
    EquityTrade: {"trf_timestamp"},
    CryptoTrade: {"received_timestamp"},
    EquityQuote: {"trf_id", "trf_timestamp"},
    CryptoQuote: {"received_timestamp"},
    FuturesQuote: {"bid_timestamp", "ask_timestamp"},  # ParticipantNs is the newer of them
}  # fmt: skip


@pytest.mark.parametrize("model", COLUMNS, ids=lambda model: model.__name__)
def test_every_attribute_of_the_official_models_is_thought_of(model: type) -> None:
    known = COLUMNS[model].keys() | LEFT_OUT.get(model, set()) | {"event_type"}
    assert known == {field.name for field in fields(model)}


@pytest.mark.parametrize("market", MARKETS)
def test_the_same_feed_is_the_same_events_as_for_the_official_client(market: Market) -> None:
    recorded = frame(*(example.event for example in BY_MARKET[market] * 3))
    models = parse(json.loads(recorded), logging.getLogger(__name__), OfficialMarket(market))
    kinds = {channel.topic: channel.kind for channel in channels_of(market)}
    tables = decode(market, recorded).tables()
    read = dict.fromkeys(tables, 0)
    for model in models:
        kind = kinds[model.event_type]
        assert MARKET_EVENT_MAP[OfficialMarket(market)][model.event_type] is type(model)
        row = {name: column[read[kind]] for name, column in tables[kind].items()}
        read[kind] += 1
        for attribute, column in COLUMNS[type(model)].items():
            told = getattr(model, attribute)
            if told is not None and not _is_replaced(model, attribute, market):
                assert _stored(row, column) == _told(told, column, market), attribute
    assert read == {kind: len(table["Symbol"]) for kind, table in tables.items()}


def _is_replaced(model: Any, attribute: str, market: Market) -> bool:
    """Rounded numbers beside exact ones, and sequences that history does not tell."""
    exact = {"volume": "fractional_volume", "size": "fractional_shares"}.get(attribute)
    if exact and getattr(model, exact, None) is not None:
        return True
    return attribute == "sequence_number" and (market, type(model)) == ("options", EquityTrade)


def _stored(row: dict[str, Any], column: str) -> Any:
    if column == "Cond":
        return [code for n in (1, 2, 3, 4) if (code := row[f"Cond{n}"])]
    if column == "Indicator" and "Indicator1" in row:
        return [code for n in (1, 2, 3, 4) if (code := row[f"Indicator{n}"])]
    return row[column].astype(np.int64) if column in _TIMES else row[column]


def _told(told: Any, column: str, market: Market) -> Any:
    if column in _TIMES:
        return told if told > 10**17 else told * MS
    if column == "Symbol":
        return bucket_symbol(told, market)
    if column == "Indicator" and len(told) == 1:
        return told[0]
    return float(told) if isinstance(told, str) and column != "AuctionType" else told
