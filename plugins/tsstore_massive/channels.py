"""The socket's channels: what each market streams, and which bucket it goes to.

| kind | stocks | options | indices | forex | crypto | futures |
|---|---|---|---|---|---|---|
| bars | AM | AM | AM | CA | XA | AM |
| second_bars | A | A | A | CAS | XAS | A |
| trades | T | T | | | XT | T |
| quotes | Q | Q | | C | XQ | Q |
| values | | | V | | | |
| luld | LULD | | | | | |
| imbalances | NOI | | | | | |
| fair_values | FMV | FMV | | FMV | FMV | |
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore.errors import ConfigError
from tsstore_massive.decoding import fetched, streamed
from tsstore_massive.schemas import SCHEMAS, STREAM_GROUPS

if TYPE_CHECKING:
    from collections.abc import Mapping

    from msgspec import Struct

    from tsstore.schema import Schema
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of rows of one market.

    Attributes:
        market: whose.
        kind: what.
        event: what the socket sends.
        row: what REST answers; None when only the socket tells such rows.
    """

    market: Market
    kind: Kind
    event: type[Struct]
    row: type[Struct] | None

    @property
    def topic(self) -> str:
        """Its name in subscriptions, and in `ev` of the events."""
        return str(self.event.__struct_config__.tag)

    @property
    def has_history(self) -> bool:
        """Whether REST tells the same rows later on."""
        return self.row is not None

    @property
    def group(self) -> str:
        """Timeframe and attribute group of its buckets."""
        return STREAM_GROUPS[self.kind]

    @property
    def schema(self) -> Schema:
        """The columns of its buckets."""
        return SCHEMAS[self.kind]


def channels_of(market: Market) -> tuple[Channel, ...]:
    """Everything that a market streams."""
    return tuple(_CHANNELS[market].values())


def channel_of(market: Market, kind: Kind) -> Channel:
    """The channel of one kind.

    Raises:
        ConfigError: the market has no such rows.
    """
    channel = _CHANNELS[market].get(kind)
    if channel is None:
        known = ", ".join(_CHANNELS[market])
        raise ConfigError(f"the vendor streams no {kind} of {market}; there are {known}")
    return channel


#: What the socket sends and what REST answers.
_STRUCTS: Mapping[Market, Mapping[Kind, tuple[type[Struct], type[Struct] | None]]] = {
    "stocks": {
        "bars": (streamed.MinuteBar, fetched.Bar),
        "second_bars": (streamed.SecondBar, fetched.Bar),
        "trades": (streamed.StockTrade, fetched.StockTrade),
        "quotes": (streamed.StockQuote, fetched.StockQuote),
        "luld": (streamed.LimitUpDown, None),
        "imbalances": (streamed.Imbalance, None),
        "fair_values": (streamed.FairValue, None),
    },
    "options": {
        "bars": (streamed.MinuteBar, fetched.Bar),
        "second_bars": (streamed.SecondBar, fetched.Bar),
        "trades": (streamed.OptionTrade, fetched.OptionTrade),
        "quotes": (streamed.StockQuote, fetched.StockQuote),
        "fair_values": (streamed.FairValue, None),
    },
    "indices": {
        "bars": (streamed.IndexMinuteBar, fetched.IndexBar),
        "second_bars": (streamed.IndexSecondBar, fetched.IndexBar),
        "values": (streamed.IndexValue, None),
    },
    "forex": {
        "bars": (streamed.ForexMinuteBar, fetched.Bar),
        "second_bars": (streamed.ForexSecondBar, fetched.Bar),
        "quotes": (streamed.ForexQuote, fetched.ForexQuote),
        "fair_values": (streamed.FairValue, None),
    },
    "crypto": {
        "bars": (streamed.CryptoMinuteBar, fetched.Bar),
        "second_bars": (streamed.CryptoSecondBar, fetched.Bar),
        "trades": (streamed.CryptoTrade, fetched.CryptoTrade),
        "quotes": (streamed.CryptoQuote, None),
        "fair_values": (streamed.FairValue, None),
    },
    "futures": {
        "bars": (streamed.FuturesMinuteBar, fetched.FuturesBar),
        "second_bars": (streamed.FuturesSecondBar, fetched.FuturesBar),
        "trades": (streamed.FuturesTrade, fetched.FuturesTrade),
        "quotes": (streamed.FuturesQuote, fetched.FuturesQuote),
    },
}

_CHANNELS: Mapping[Market, Mapping[Kind, Channel]] = {
    market: {kind: Channel(market, kind, *structs) for kind, structs in of_kind.items()}
    for market, of_kind in _STRUCTS.items()
}
