"""What REST tells besides bars, trades and quotes in columns: one struct per thing.

Attributes are called as in the vendor's documentation, and where it writes letters (`p`, `P`), as
the columns of buckets. What the vendor leaves out is None, or 0 where a number is always meant.
Quantities are floats since shares are traded in fractions; times are nanoseconds since 1970 UTC as
the vendor counts them, unless an attribute says otherwise; days are days in New York.
"""

from __future__ import annotations

from datetime import date, datetime  # noqa: TC003  (msgspec reads the annotations)
from typing import ClassVar

from msgspec import Struct, field

_NAN = float("nan")


class GroupedBar(Struct, gc=False):
    """The day of one ticker in `/v2/aggs/grouped/...`; its `t` means nothing."""

    #: In place of the vendor's, which is sometimes the close and sometimes the start of the day.
    time: ClassVar[int] = 10**11

    ticker: str = field(name="T")
    open: float = field(name="o")
    high: float = field(name="h")
    low: float = field(name="l")
    close: float = field(name="c")
    volume: float = field(name="v", default=0.0)
    exact_volume: float = field(name="dv", default=_NAN)
    vwap: float = field(name="vw", default=_NAN)
    trade_count: float = field(name="n", default=_NAN)


class Bar(Struct, frozen=True):
    """The bar of a day or a minute; `time` is in milliseconds, and of previous closes any time."""

    open: float = field(name="o", default=_NAN)
    high: float = field(name="h", default=_NAN)
    low: float = field(name="l", default=_NAN)
    close: float = field(name="c", default=_NAN)
    volume: float = field(name="v", default=0.0)
    exact_volume: float | None = field(name="dv", default=None)
    vwap: float | None = field(name="vw", default=None)
    time: int | None = field(name="t", default=None)
    trade_count: float | None = field(name="n", default=None)
    day_volume: float | None = field(name="av", default=None)
    exact_day_volume: float | None = field(name="dav", default=None)
    otc: bool = False
    ticker: str | None = field(name="T", default=None)


class LastTrade(Struct, frozen=True):
    """The newest trade of a ticker."""

    price: float = field(name="p")
    time: int = field(name="t")
    size: float = field(name="s", default=0.0)
    ticker: str | None = field(name="T", default=None)
    exact_size: float | None = field(name="ds", default=None)
    exchange: int = field(name="x", default=0)
    tape: int = field(name="z", default=0)
    conditions: tuple[int, ...] = field(name="c", default=())
    correction: int = field(name="e", default=0)
    trf: int = field(name="r", default=0)
    trf_time: int = field(name="f", default=0)
    trade_id: str | int | None = field(name="i", default=None)
    sequence: int = field(name="q", default=0)
    participant_time: int = field(name="y", default=0)


class LastQuote(Struct, frozen=True):
    """The newest quote of a ticker; currencies have `ask` and `bid` in place of the prices."""

    time: int = field(name="t", default=0)
    ask_price: float = field(name="P", default=0.0)
    ask_size: float = field(name="S", default=0.0)
    ask_exchange: int = field(name="X", default=0)
    bid_price: float = field(name="p", default=0.0)
    bid_size: float = field(name="s", default=0.0)
    bid_exchange: int = field(name="x", default=0)
    ask: float | None = field(name="a", default=None)
    bid: float | None = field(name="b", default=None)
    conditions: tuple[int, ...] = field(name="c", default=())
    indicators: tuple[int, ...] = field(name="i", default=())
    ticker: str | None = field(name="T", default=None)
    tape: int = field(name="z", default=0)
    sequence: int = field(name="q", default=0)
    participant_time: int = field(name="y", default=0)


class Snapshot(Struct, frozen=True):
    """The present of a ticker; what the plan lacks, or has not happened yet today, is None."""

    ticker: str
    day: Bar | None = None
    minute: Bar | None = field(name="min", default=None)
    previous_day: Bar | None = field(name="prevDay", default=None)
    last_trade: LastTrade | None = field(name="lastTrade", default=None)
    last_quote: LastQuote | None = field(name="lastQuote", default=None)
    change: float | None = field(name="todaysChange", default=None)
    change_percent: float | None = field(name="todaysChangePerc", default=None)
    updated: int | None = None
    fair_value: float | None = field(name="fmv", default=None)


class UnifiedTrade(Struct, frozen=True):
    """The last trade in a `UnifiedSnapshot`."""

    price: float
    size: float = 0.0
    exact_size: float | None = field(name="decimal_size", default=None)
    exchange: int = 0
    id: str | int | None = None
    conditions: tuple[int, ...] = ()
    last_updated: int = 0
    participant_timestamp: int | None = None
    timeframe: str | None = None


class UnifiedQuote(Struct, frozen=True):
    """The last quote in a `UnifiedSnapshot`."""

    ask: float = 0.0
    ask_size: float = 0.0
    ask_exchange: int = 0
    bid: float = 0.0
    bid_size: float = 0.0
    bid_exchange: int = 0
    last_updated: int = 0
    timeframe: str | None = None


class UnifiedMinute(Struct, frozen=True):
    """The last minute in a `UnifiedSnapshot`."""

    open: float = _NAN
    high: float = _NAN
    low: float = _NAN
    close: float = _NAN
    volume: float = 0.0
    vwap: float | None = None
    transactions: float | None = None
    last_updated: int | None = None


class UnifiedSession(Struct, frozen=True):
    """The day in a `UnifiedSnapshot`."""

    open: float | None = None
    high: float | None = None
    low: float | None = None
    close: float | None = None
    previous_close: float | None = None
    change: float | None = None
    change_percent: float | None = None
    volume: float | None = None
    exact_volume: float | None = field(name="decimal_volume", default=None)
    vwap: float | None = None
    price: float | None = None


class UnifiedSnapshot(Struct, frozen=True):
    """The present of a ticker of any market; `error` says why there is none."""

    ticker: str
    error: str | None = None
    message: str | None = None
    name: str | None = None
    type: str | None = None
    market_status: str | None = None
    last_trade: UnifiedTrade | None = None
    last_quote: UnifiedQuote | None = None
    last_minute: UnifiedMinute | None = None
    session: UnifiedSession | None = None
    value: float | None = None
    fair_value: float | None = field(name="fmv", default=None)


class Ticker(Struct, frozen=True):
    """A row of the list of tickers."""

    ticker: str
    name: str | None = None
    market: str | None = None
    locale: str | None = None
    type: str | None = None
    active: bool = True
    primary_exchange: str | None = None
    currency_name: str | None = None
    currency_symbol: str | None = None
    base_currency_name: str | None = None
    base_currency_symbol: str | None = None
    cik: str | None = None
    composite_figi: str | None = None
    share_class_figi: str | None = None
    delisted_utc: datetime | None = None
    last_updated_utc: datetime | None = None


class Address(Struct, frozen=True):
    """Where a company is."""

    address1: str | None = None
    address2: str | None = None
    city: str | None = None
    state: str | None = None
    country: str | None = None
    postal_code: str | None = None


class Branding(Struct, frozen=True):
    """Pictures of a company."""

    icon_url: str | None = None
    logo_url: str | None = None


class TickerDetails(Ticker, frozen=True):
    """Everything that is known of a ticker."""

    address: Address | None = None
    branding: Branding | None = None
    description: str | None = None
    homepage_url: str | None = None
    list_date: date | None = None
    market_cap: float | None = None
    phone_number: str | None = None
    round_lot: float | None = None
    share_class_shares_outstanding: float | None = None
    sic_code: str | None = None
    sic_description: str | None = None
    ticker_root: str | None = None
    ticker_suffix: str | None = None
    total_employees: float | None = None
    weighted_shares_outstanding: float | None = None


class TickerType(Struct, frozen=True):
    """What `Ticker.type` can be."""

    code: str
    description: str | None = None
    asset_class: str | None = None
    locale: str | None = None


class TickerChange(Struct, frozen=True):
    """A new name."""

    ticker: str


class TickerEvent(Struct, frozen=True):
    """Something that happened to a ticker; its first name counts as a change as well."""

    date: date
    type: str
    ticker_change: TickerChange | None = None


class TickerEvents(Struct, frozen=True):
    """What happened to a company's ticker, the newest first."""

    name: str | None = None
    composite_figi: str | None = None
    cik: str | None = None
    events: tuple[TickerEvent, ...] = ()


class Split(Struct, frozen=True):
    """`split_from` shares become `split_to`; either may be a fraction, and one side may be 0."""

    ticker: str
    execution_date: date
    split_from: float = 0.0
    split_to: float = 0.0
    id: str | int | None = None
    adjustment_type: str | None = None


class Dividend(Struct, frozen=True):
    """Money paid for a share, in the currency and for the shares of its day."""

    ticker: str
    ex_dividend_date: date
    cash_amount: float = 0.0
    currency: str | None = None
    declaration_date: date | None = None
    record_date: date | None = None
    pay_date: date | None = None
    frequency: float | None = None
    dividend_type: str | None = None
    distribution_type: str | None = None
    id: str | int | None = None


class MarketStatus(Struct, frozen=True, rename="camel"):
    """Which markets are open now: `open`, `closed` or `extended-hours`."""

    market: str
    server_time: datetime | None = None
    early_hours: bool = False
    after_hours: bool = False
    exchanges: dict[str, str] = {}
    currencies: dict[str, str] = {}
    indices_groups: dict[str, str] = {}


class Holiday(Struct, frozen=True):
    """A day on which an exchange is closed, or closes early."""

    date: date
    exchange: str
    status: str
    name: str | None = None
    open: datetime | None = None
    close: datetime | None = None


class UpdateRule(Struct, frozen=True):
    """What a trade with a condition changes of a bar."""

    updates_high_low: bool = True
    updates_open_close: bool = True
    updates_volume: bool = True


class UpdateRules(Struct, frozen=True):
    """The rules of the consolidated tape, and of a market centre's own."""

    consolidated: UpdateRule | None = None
    market_center: UpdateRule | None = None


class Condition(Struct, frozen=True):
    """What a code in `conditions` means; one id may stand for two, told by `data_types`."""

    id: int
    name: str | None = None
    type: str | None = None
    asset_class: str | None = None
    data_types: tuple[str, ...] = ()
    abbreviation: str | None = None
    description: str | None = None
    exchange: int | None = None
    legacy: bool = False
    sip_mapping: dict[str, str] = {}
    update_rules: UpdateRules | None = None


class Exchange(Struct, frozen=True):
    """An exchange or a reporting facility; `id` is what trades and quotes name."""

    id: int
    name: str | None = None
    type: str | None = None
    asset_class: str | None = None
    locale: str | None = None
    mic: str | None = None
    operating_mic: str | None = None
    acronym: str | None = None
    participant_id: str | None = None
    url: str | None = None
