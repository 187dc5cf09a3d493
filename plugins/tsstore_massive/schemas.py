"""Buckets of Massive's data: one schema for streamed, fetched and loaded rows of every market.

| rows | bucket | kind |
|---|---|---|
| bars, second_bars | `{symbol}/1Min/OHLCV`, `1Sec/OHLCV`; other bar lengths by backfill | fixed |
| trades | `{symbol}/1Sec/TRADE` | variable, identity Sequence + Exchange + TradeID |
| quotes | `{symbol}/1Min/QUOTE` | variable, identity Sequence |
| values | `{symbol}/1Sec/VALUE` | variable, identity Value |
| luld | `{symbol}/1Sec/LULD` | variable, identity Sequence |
| imbalances | `{symbol}/1Sec/NOI` | variable, identity SymbolSequence + Exchange |
| fair_values | `{symbol}/1Sec/FMV` | variable, identity Price |

The socket tells a time in milliseconds and history in nanoseconds; the identity makes both one row,
and the exact time stays. What no source of a market numbers gets its identity from its content, see
`identity`. Sizes are shares, contracts or coins and may be fractions. What a source does not tell
is NaN for VWAP and trade count of bars and 0 elsewhere.
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from tsstore.schema import Schema
from tsstore_massive.symbols import parse_symbol

Kind: TypeAlias = Literal[
    "bars",
    "second_bars",
    "trades",
    "quotes",
    "values",
    "luld",
    "imbalances",
    "fair_values",
]
#: Reference data that can be brought up to date.
ReferenceKind: TypeAlias = Literal["splits", "dividends", "tickers", "names"]

KINDS: tuple[Kind, ...] = (
    "bars",
    "second_bars",
    "trades",
    "quotes",
    "values",
    "luld",
    "imbalances",
    "fair_values",
)

#: Kinds whose rows replace one another: one row for each slot.
BAR_KINDS: frozenset[Kind] = frozenset({"bars", "second_bars"})

BARS = Schema.of(
    dict.fromkeys(("Open", "High", "Low", "Close", "Volume", "VWAP", "TradeCount"), "f8")
)

# Exchanges of options have numbers above 255.
TRADES = Schema.of(
    {
        "Price": "f8",
        "Size": "f8",
        "Exchange": "u2",
        "TapeID": "u1",
        "Cond1": "u1",
        "Cond2": "u1",
        "Cond3": "u1",
        "Cond4": "u1",
        "Correction": "u1",
        "TRF": "u1",
        "TradeID": "i8",
        "Sequence": "i8",
        "ParticipantNs": "i8",
    },
    variable=True,
    identity=("Sequence", "Exchange", "TradeID"),
)

QUOTES = Schema.of(
    {
        "BidPrice": "f8",
        "AskPrice": "f8",
        "BidSize": "f8",
        "AskSize": "f8",
        "BidExchange": "u2",
        "AskExchange": "u2",
        "Condition": "u1",
        "Indicator": "u2",
        "TapeID": "u1",
        "Sequence": "i8",
        "ParticipantNs": "i8",
    },
    variable=True,
    identity=("Sequence",),
)

#: Of an index; equal values within one millisecond are one row.
VALUES = Schema.of({"Value": "f8"}, variable=True, identity=("Value",))

#: Limits up and down.
LULD = Schema.of(
    {
        "High": "f8",
        "Low": "f8",
        "Indicator1": "u1",
        "Indicator2": "u1",
        "Indicator3": "u1",
        "Indicator4": "u1",
        "TapeID": "u1",
        "Sequence": "i8",
    },
    variable=True,
    identity=("Sequence",),
)

#: What an auction lacks; its time as HHMM in New York, its type a letter of the vendor's.
IMBALANCES = Schema.of(
    {
        "AuctionTime": "u2",
        "AuctionType": "U1",
        "ImbalanceSize": "f8",
        "PairedSize": "f8",
        "BookPrice": "f8",
        "Exchange": "u2",
        "SymbolSequence": "i8",
    },
    variable=True,
    identity=("SymbolSequence", "Exchange"),
)

FAIR_VALUES = Schema.of({"Price": "f8"}, variable=True, identity=("Price",))

SCHEMAS: dict[Kind, Schema] = {
    "bars": BARS,
    "second_bars": BARS,
    "trades": TRADES,
    "quotes": QUOTES,
    "values": VALUES,
    "luld": LULD,
    "imbalances": IMBALANCES,
    "fair_values": FAIR_VALUES,
}

#: Timeframe and attribute group of what the socket delivers.
STREAM_GROUPS: dict[Kind, str] = {
    "bars": "1Min/OHLCV",
    "second_bars": "1Sec/OHLCV",
    "trades": "1Sec/TRADE",
    "quotes": "1Min/QUOTE",
    "values": "1Sec/VALUE",
    "luld": "1Sec/LULD",
    "imbalances": "1Sec/NOI",
    "fair_values": "1Sec/FMV",
}


def bar_group(timeframe: str) -> str:
    """Timeframe and attribute group of bars of that length: `5Min/OHLCV`."""
    return f"{timeframe}/OHLCV"


def bucket_key(symbol: str, group: str) -> str:
    """The bucket key of a symbol in any spelling that names its market.

    Raises:
        InvalidKeyError: no bucket can have that name.
    """
    return f"{parse_symbol(symbol)}/{group}"
