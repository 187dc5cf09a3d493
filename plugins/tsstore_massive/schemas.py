"""Buckets of Massive's data: one schema for streamed and for backfilled rows.

| rows | bucket | kind |
|---|---|---|
| bars | `{symbol}/1Min/OHLCV`, other bar lengths by backfill | fixed |
| trades | `{symbol}/1Sec/TRADE` | variable, identity Sequence + Exchange + TradeID |
| quotes | `{symbol}/1Min/QUOTE` | variable, identity Sequence |

The socket tells a trade's time in milliseconds and REST in nanoseconds; the identity makes both one
row, and the exact time stays. Sizes are shares and may be fractions. What a source does not tell is
NaN in bars (the socket has no trade count) and 0 elsewhere.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Literal, TypeAlias

from tsstore.errors import InvalidKeyError
from tsstore.key import check_part
from tsstore.schema import Schema

Kind: TypeAlias = Literal["bars", "trades", "quotes"]

KINDS: tuple[Kind, ...] = ("bars", "trades", "quotes")

BARS = Schema.of(
    dict.fromkeys(("Open", "High", "Low", "Close", "Volume", "VWAP", "TradeCount"), "f8")
)

TRADES = Schema.of(
    {
        "Price": "f8",
        "Size": "f8",
        "Exchange": "u1",
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
        "BidExchange": "u1",
        "AskExchange": "u1",
        "Condition": "u1",
        "Indicator": "u2",
        "TapeID": "u1",
        "Sequence": "i8",
        "ParticipantNs": "i8",
    },
    variable=True,
    identity=("Sequence",),
)

SCHEMAS: dict[Kind, Schema] = {"bars": BARS, "trades": TRADES, "quotes": QUOTES}

#: Timeframe and attribute group of what the socket delivers.
STREAM_GROUPS: dict[Kind, str] = {
    "bars": "1Min/OHLCV",
    "trades": "1Sec/TRADE",
    "quotes": "1Min/QUOTE",
}


def bar_group(timeframe: str) -> str:
    """Timeframe and attribute group of bars of that length: `5Min/OHLCV`."""
    return f"{timeframe}/OHLCV"


@lru_cache(maxsize=65_536)
def bucket_symbol(vendor_symbol: str) -> str | None:
    """The bucket's symbol of a vendor's one: `/` becomes `.`, capitals and small letters stay.

    Returns:
        None when no bucket can have that name, which only a damaged message asks for.
    """
    symbol = vendor_symbol.replace("/", ".")
    try:
        check_part("symbol", symbol)
    except InvalidKeyError:
        return None
    return symbol


def bucket_key(vendor_symbol: str, group: str) -> str:
    """The bucket key of a vendor's symbol.

    Raises:
        InvalidKeyError: no bucket can have that name.
    """
    symbol = vendor_symbol.replace("/", ".")
    check_part("symbol", symbol)
    return f"{symbol}/{group}"
