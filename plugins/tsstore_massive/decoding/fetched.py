"""Rows of REST as structs, market by market; attributes are named as in `streamed`."""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct, field

from tsstore_massive.decoding.fields import (
    NAN,
    Byte,
    Code,
    Count,
    Id,
    Number,
    Signed,
    Time,
    id_number,
)


class Bar(Struct, gc=False):
    """A row of `/v2/aggs/ticker/.../range/...`."""

    time: Time = field(name="t")
    open: Number = field(name="o")
    high: Number = field(name="h")
    low: Number = field(name="l")
    close: Number = field(name="c")
    volume: Number = field(name="v", default=0.0)
    exact_volume: Number = field(name="dv", default=NAN)
    vwap: Number = field(name="vw", default=NAN)
    trade_count: Number = field(name="n", default=NAN)


class IndexBar(Struct, gc=False):
    """The same of an index, which has no volume."""

    volume: ClassVar[float] = 0.0
    exact_volume: ClassVar[float] = NAN
    vwap: ClassVar[float] = NAN
    trade_count: ClassVar[float] = NAN

    time: Time = field(name="t")
    open: Signed = field(name="o")
    high: Signed = field(name="h")
    low: Signed = field(name="l")
    close: Signed = field(name="c")


class FuturesBar(Struct, gc=False):
    """A row of `/futures/v1/aggs/...`."""

    exact_volume: ClassVar[float] = NAN

    time: Time = field(name="window_start")
    open: Signed
    high: Signed
    low: Signed
    close: Signed
    volume: Number = 0.0
    dollar_volume: Signed = NAN
    trade_count: Number = field(name="transactions", default=NAN)

    @property
    def vwap(self) -> float:
        """Money by contracts."""
        return self.dollar_volume / self.volume if self.volume else NAN


class StockTrade(Struct, gc=False):
    """A row of `/v3/trades/...`."""

    time: Time = field(name="sip_timestamp")
    price: Number
    size: Number = 0.0
    exact_size: Number = field(name="decimal_size", default=NAN)
    exchange: Code = 0
    tape: Byte = 0
    conditions: tuple[Byte, ...] = ()
    correction: Byte = 0
    trf: Byte = field(name="trf_id", default=0)
    trade_id: Id = field(name="id", default=0)
    sequence: Count = field(name="sequence_number", default=0)
    participant_time: Count = field(name="participant_timestamp", default=0)


class OptionTrade(Struct, gc=False):
    """The same of an option, without sequence and id."""

    tape: ClassVar[int] = 0
    trf: ClassVar[int] = 0
    trade_id: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    time: Time = field(name="sip_timestamp")
    price: Number
    size: Number = 0.0
    exact_size: Number = field(name="decimal_size", default=NAN)
    exchange: Code = 0
    conditions: tuple[Byte, ...] = ()
    correction: Byte = 0
    participant_time: Count = field(name="participant_timestamp", default=0)


class CryptoTrade(Struct, gc=False):
    """The same of a crypto pair; the only time is that of the exchange."""

    exact_size: ClassVar[float] = NAN
    tape: ClassVar[int] = 0
    correction: ClassVar[int] = 0
    trf: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    time: Time = field(name="participant_timestamp")
    price: Number
    size: Number = 0.0
    exchange: Code = 0
    conditions: tuple[Byte, ...] = ()
    any_id: int | str = field(name="id", default=0)

    @property
    def trade_id(self) -> int:
        """The id as a number, however the exchange writes it."""
        return id_number(str(self.any_id)) if self.any_id else 0

    @property
    def participant_time(self) -> int:
        """The time."""
        return self.time


class FuturesTrade(Struct, gc=False):
    """A row of `/futures/v1/trades/...`; a contract has one exchange."""

    exact_size: ClassVar[float] = NAN
    exchange: ClassVar[int] = 0
    tape: ClassVar[int] = 0
    conditions: ClassVar[tuple[int, ...]] = ()
    trf: ClassVar[int] = 0
    trade_id: ClassVar[int] = 0
    participant_time: ClassVar[int] = 0

    time: Time = field(name="timestamp")
    price: Signed
    size: Number = 0.0
    sequence: Count = field(name="sequence_number", default=0)
    correction: Byte = 0


class StockQuote(Struct, gc=False):
    """A row of `/v3/quotes/...`, of a stock or an option."""

    time: Time = field(name="sip_timestamp")
    sequence: Count = field(name="sequence_number", default=0)
    bid_price: Number = 0.0
    ask_price: Number = 0.0
    bid_size: Number = 0.0
    ask_size: Number = 0.0
    bid_exchange: Code = 0
    ask_exchange: Code = 0
    conditions: tuple[Byte, ...] = ()
    indicators: tuple[Code, ...] = ()
    tape: Byte = 0
    participant_time: Count = field(name="participant_timestamp", default=0)

    @property
    def condition(self) -> int:
        """The first condition; the socket tells no more either."""
        return self.conditions[0] if self.conditions else 0


class ForexQuote(Struct, gc=False):
    """The same of a pair of currencies: no sizes, and the only time is that of the exchange."""

    bid_size: ClassVar[float] = 0.0
    ask_size: ClassVar[float] = 0.0
    condition: ClassVar[int] = 0
    indicators: ClassVar[tuple[int, ...]] = ()
    tape: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    time: Time = field(name="participant_timestamp")
    bid_price: Number = 0.0
    ask_price: Number = 0.0
    bid_exchange: Code = 0
    ask_exchange: Code = 0

    @property
    def participant_time(self) -> int:
        """The time."""
        return self.time


class FuturesQuote(Struct, gc=False):
    """A row of `/futures/v1/quotes/...`; its sequence is left out, as the socket tells none."""

    bid_exchange: ClassVar[int] = 0
    ask_exchange: ClassVar[int] = 0
    condition: ClassVar[int] = 0
    indicators: ClassVar[tuple[int, ...]] = ()
    tape: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    time: Time = field(name="timestamp")
    bid_price: Signed = 0.0
    ask_price: Signed = 0.0
    bid_size: Number = 0.0
    ask_size: Number = 0.0
    bid_time: Count = field(name="bid_timestamp", default=0)
    ask_time: Count = field(name="ask_timestamp", default=0)

    @property
    def participant_time(self) -> int:
        """When the newer of both sides was quoted."""
        return max(self.bid_time, self.ask_time)
