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
from tsstore_massive.schemas import SCHEMAS, STREAM_GROUPS, Kind
from tsstore_massive.symbols import MARKETS, Market

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.schema import Schema


@dataclass(frozen=True, slots=True)
class Channel:
    """One kind of rows of one market.

    Attributes:
        market: whose.
        kind: what.
        topic: its name in subscriptions and events.
        has_history: whether REST tells the same rows later on.
    """

    market: Market
    kind: Kind
    topic: str
    has_history: bool

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


_TOPICS: Mapping[Market, Mapping[Kind, str]] = {
    "stocks": {
        "bars": "AM",
        "second_bars": "A",
        "trades": "T",
        "quotes": "Q",
        "luld": "LULD",
        "imbalances": "NOI",
        "fair_values": "FMV",
    },
    "options": {
        "bars": "AM",
        "second_bars": "A",
        "trades": "T",
        "quotes": "Q",
        "fair_values": "FMV",
    },
    "indices": {"bars": "AM", "second_bars": "A", "values": "V"},
    "forex": {"bars": "CA", "second_bars": "CAS", "quotes": "C", "fair_values": "FMV"},
    "crypto": {
        "bars": "XA",
        "second_bars": "XAS",
        "trades": "XT",
        "quotes": "XQ",
        "fair_values": "FMV",
    },
    "futures": {"bars": "AM", "second_bars": "A", "trades": "T", "quotes": "Q"},
}


def _has_history(market: Market, kind: Kind) -> bool:
    """REST has bars of everything, and ticks but for the quotes of crypto."""
    if kind == "quotes":
        return market != "crypto"
    return kind in ("bars", "second_bars", "trades")


_CHANNELS: Mapping[Market, Mapping[Kind, Channel]] = {
    market: {
        kind: Channel(market, kind, topic, _has_history(market, kind))
        for kind, topic in _TOPICS[market].items()
    }
    for market in MARKETS
}
