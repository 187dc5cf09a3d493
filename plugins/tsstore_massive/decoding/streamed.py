"""Events of the socket as structs, market by market.

One tag means other things in other markets, so each market has structs of its own where its events
differ. Whatever they are called on the wire, attributes of one kind of rows have the same names, as
have those of `fetched`; `rows` makes columns of them. What an event of a market never tells, or
tells otherwise than the market's history, is a constant of the class.

Lists are tuples here: an event without conditions shares the empty one, where a list of its own
would also have the garbage collector look through the heap of the server again and again.
"""

from __future__ import annotations

from typing import ClassVar

from msgspec import Struct, field

from tsstore_massive.decoding.fields import (
    NAN,
    Byte,
    Code,
    Count,
    Id,
    Letter,
    Number,
    Signed,
    Symbol,
    Time,
    id_number,
)


class Status(Struct, tag_field="ev", tag="status", gc=False):
    """What the server says of the connection."""

    status: str = ""
    message: str = ""


# Bars. One with a known symbol and start replaces the earlier.


class MinuteBar(Struct, tag_field="ev", tag="AM", gc=False):
    """A minute of a stock or an option; `exact_volume` is there where shares have fractions."""

    symbol: Symbol = field(name="sym")
    time: Time = field(name="s")
    open: Number = field(name="o")
    high: Number = field(name="h")
    low: Number = field(name="l")
    close: Number = field(name="c")
    volume: Number = field(name="v", default=0.0)
    exact_volume: Number = field(name="dv", default=NAN)
    vwap: Number = field(name="vw", default=NAN)
    trade_count: Number = field(name="n", default=NAN)


class SecondBar(MinuteBar, tag="A", gc=False):
    """A second of a stock or an option."""


class IndexMinuteBar(Struct, tag_field="ev", tag="AM", gc=False):
    """A minute of an index, which has no volume."""

    volume: ClassVar[float] = 0.0
    exact_volume: ClassVar[float] = NAN
    vwap: ClassVar[float] = NAN
    trade_count: ClassVar[float] = NAN

    symbol: Symbol = field(name="sym")
    time: Time = field(name="s")
    open: Signed = field(name="o")
    high: Signed = field(name="h")
    low: Signed = field(name="l")
    close: Signed = field(name="c")


class IndexSecondBar(IndexMinuteBar, tag="A", gc=False):
    """A second of an index."""


class ForexMinuteBar(Struct, tag_field="ev", tag="CA", gc=False):
    """A minute of a pair of currencies; the volume is a number of quotes."""

    exact_volume: ClassVar[float] = NAN

    symbol: Symbol = field(name="pair")
    time: Time = field(name="s")
    open: Number = field(name="o")
    high: Number = field(name="h")
    low: Number = field(name="l")
    close: Number = field(name="c")
    volume: Number = field(name="v", default=0.0)
    vwap: Number = field(name="vw", default=NAN)
    trade_count: Number = field(name="n", default=NAN)


class ForexSecondBar(ForexMinuteBar, tag="CAS", gc=False):
    """A second of a pair of currencies."""


class CryptoMinuteBar(ForexMinuteBar, tag="XA", gc=False):
    """A minute of a crypto pair."""


class CryptoSecondBar(ForexMinuteBar, tag="XAS", gc=False):
    """A second of a crypto pair."""


class FuturesMinuteBar(Struct, tag_field="ev", tag="AM", gc=False):
    """A minute of a future; its `dv` is money, where that of stocks is the exact volume."""

    exact_volume: ClassVar[float] = NAN

    symbol: Symbol = field(name="sym")
    time: Time = field(name="s")
    open: Signed = field(name="o")
    high: Signed = field(name="h")
    low: Signed = field(name="l")
    close: Signed = field(name="c")
    volume: Number = field(name="v", default=0.0)
    dollar_volume: Signed = field(name="dv", default=NAN)
    trade_count: Number = field(name="n", default=NAN)

    @property
    def vwap(self) -> float:
        """Money by contracts."""
        return self.dollar_volume / self.volume if self.volume else NAN


class FuturesSecondBar(FuturesMinuteBar, tag="A", gc=False):
    """A second of a future."""


# Trades. Corrections are not streamed; history tells them afterwards.


class StockTrade(Struct, tag_field="ev", tag="T", gc=False):
    """A trade; `exact_size` is there since shares are traded in fractions."""

    correction: ClassVar[int] = 0

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    price: Number = field(name="p")
    size: Number = field(name="s", default=0.0)
    exact_size: Number = field(name="ds", default=NAN)
    exchange: Code = field(name="x", default=0)
    tape: Byte = field(name="z", default=0)
    conditions: tuple[Byte, ...] = field(name="c", default=())
    trf: Byte = field(name="trfi", default=0)
    trade_id: Id = field(name="i", default=0)
    sequence: Count = field(name="q", default=0)
    participant_time: Count = field(name="pt", default=0)


class OptionTrade(Struct, tag_field="ev", tag="T", gc=False):
    """A trade of an option. Its sequence is left out: REST and flat files tell none."""

    tape: ClassVar[int] = 0
    correction: ClassVar[int] = 0
    trf: ClassVar[int] = 0
    trade_id: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    price: Number = field(name="p")
    size: Number = field(name="s", default=0.0)
    exact_size: Number = field(name="ds", default=NAN)
    exchange: Code = field(name="x", default=0)
    conditions: tuple[Byte, ...] = field(name="c", default=())
    participant_time: Count = field(name="pt", default=0)


class CryptoTrade(Struct, tag_field="ev", tag="XT", gc=False):
    """A trade of a crypto pair; its time is the exchange's."""

    exact_size: ClassVar[float] = NAN
    tape: ClassVar[int] = 0
    correction: ClassVar[int] = 0
    trf: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    symbol: Symbol = field(name="pair")
    time: Time = field(name="t")
    price: Number = field(name="p")
    size: Number = field(name="s", default=0.0)
    exchange: Code = field(name="x", default=0)
    conditions: tuple[Byte, ...] = field(name="c", default=())
    any_id: int | str = field(name="i", default=0)

    @property
    def trade_id(self) -> int:
        """The id as a number, however the exchange writes it."""
        return id_number(str(self.any_id)) if self.any_id else 0

    @property
    def participant_time(self) -> int:
        """The time."""
        return self.time


class FuturesTrade(Struct, tag_field="ev", tag="T", gc=False):
    """A trade of a future; a contract has one exchange, which goes without saying."""

    exact_size: ClassVar[float] = NAN
    exchange: ClassVar[int] = 0
    tape: ClassVar[int] = 0
    conditions: ClassVar[tuple[int, ...]] = ()
    correction: ClassVar[int] = 0
    trf: ClassVar[int] = 0
    trade_id: ClassVar[int] = 0
    participant_time: ClassVar[int] = 0

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    price: Signed = field(name="p")
    size: Number = field(name="s", default=0.0)
    sequence: Count = field(name="q", default=0)


# Quotes. A side that is absent has price and size 0.


class StockQuote(Struct, tag_field="ev", tag="Q", gc=False):
    """The best bid and offer of a stock or an option."""

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    sequence: Count = field(name="q", default=0)
    bid_price: Number = field(name="bp", default=0.0)
    ask_price: Number = field(name="ap", default=0.0)
    bid_size: Number = field(name="bs", default=0.0)
    ask_size: Number = field(name="as", default=0.0)
    bid_exchange: Code = field(name="bx", default=0)
    ask_exchange: Code = field(name="ax", default=0)
    condition: Byte = field(name="c", default=0)
    indicators: tuple[Code, ...] = field(name="i", default=())
    tape: Byte = field(name="z", default=0)
    participant_time: Count = field(name="pt", default=0)


class _PairQuote(Struct, gc=False):
    """What quotes of pairs share: the time is the exchange's, and both sides are of it."""

    condition: ClassVar[int] = 0
    indicators: ClassVar[tuple[int, ...]] = ()
    tape: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    time: Time = field(name="t")
    bid_exchange: Code = field(name="x", default=0)

    @property
    def ask_exchange(self) -> int:
        """That of the bid."""
        return self.bid_exchange

    @property
    def participant_time(self) -> int:
        """The time."""
        return self.time


class ForexQuote(_PairQuote, tag_field="ev", tag="C", kw_only=True, gc=False):
    """A quote of a pair of currencies, which has no sizes."""

    bid_size: ClassVar[float] = 0.0
    ask_size: ClassVar[float] = 0.0

    symbol: Symbol = field(name="p")
    bid_price: Number = field(name="b", default=0.0)
    ask_price: Number = field(name="a", default=0.0)


class CryptoQuote(_PairQuote, tag_field="ev", tag="XQ", kw_only=True, gc=False):
    """A quote of a crypto pair."""

    symbol: Symbol = field(name="pair")
    bid_price: Number = field(name="bp", default=0.0)
    ask_price: Number = field(name="ap", default=0.0)
    bid_size: Number = field(name="bs", default=0.0)
    ask_size: Number = field(name="as", default=0.0)


class FuturesQuote(Struct, tag_field="ev", tag="Q", gc=False):
    """The best bid and offer of a future. It has no sequence, so that of history is left out."""

    bid_exchange: ClassVar[int] = 0
    ask_exchange: ClassVar[int] = 0
    condition: ClassVar[int] = 0
    indicators: ClassVar[tuple[int, ...]] = ()
    tape: ClassVar[int] = 0
    sequence: ClassVar[int] = 0

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    bid_price: Signed = field(name="bp", default=0.0)
    ask_price: Signed = field(name="ap", default=0.0)
    bid_size: Number = field(name="bs", default=0.0)
    ask_size: Number = field(name="as", default=0.0)
    bid_time: Count = field(name="bt", default=0)
    ask_time: Count = field(name="at", default=0)

    @property
    def participant_time(self) -> int:
        """When the newer of both sides was quoted."""
        return max(self.bid_time, self.ask_time)


# Other events.


class IndexValue(Struct, tag_field="ev", tag="V", gc=False):
    """The value of an index."""

    symbol: Symbol = field(name="T")
    time: Time = field(name="t")
    value: Signed = field(name="val")


class LimitUpDown(Struct, tag_field="ev", tag="LULD", gc=False):
    """The prices between which a stock may trade."""

    symbol: Symbol = field(name="T")
    time: Time = field(name="t")
    high: Number = field(name="h", default=0.0)
    low: Number = field(name="l", default=0.0)
    indicators: tuple[Byte, ...] = field(name="i", default=())
    tape: Byte = field(name="z", default=0)
    sequence: Count = field(name="q", default=0)


class Imbalance(Struct, tag_field="ev", tag="NOI", gc=False):
    """What an auction lacks; more to sell than to buy may be told as a negative number."""

    symbol: Symbol = field(name="T")
    time: Time = field(name="t")
    auction_time: Code = field(name="at", default=0)
    auction_type: Letter = field(name="a", default="")
    imbalance_size: Signed = field(name="o", default=0.0)
    paired_size: Number = field(name="p", default=0.0)
    book_price: Number = field(name="b", default=0.0)
    exchange: Code = field(name="x", default=0)
    symbol_sequence: Count = field(name="i", default=0)


class FairValue(Struct, tag_field="ev", tag="FMV", gc=False):
    """What the vendor takes for the fair price."""

    symbol: Symbol = field(name="sym")
    time: Time = field(name="t")
    price: Number = field(name="fmv")
