"""What Massive sends, as typed structs: events of the socket and rows of REST. No I/O here.

Quantities are floats, because the vendor writes 12 as `12.0` or `"12.0"` when it likes; whole
numbers come in any of these spellings too. Unknown keys are ignored. Frames and pages are decoded
at once by their types; only when something in one does not fit is it taken apart, so that a bad
element costs itself and a bad optional field costs that field. Both are counted.

Lists are tuples here: an event without conditions shares the empty one, where a list of its own
would also have the garbage collector look through the heap of the server again and again.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, TypeAlias

import msgspec
import numpy as np
from msgspec import Meta, Struct

from tsstore.columns import Columns
from tsstore_massive.faults import Faults
from tsstore_massive.rows import Records, columns_of, count_cut_conditions, records_of
from tsstore_massive.schemas import KINDS, SCHEMAS
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Iterator

    from tsstore_massive.schemas import Kind

_NAN = float("nan")

# Bounds keep NaN and infinity out, and every value within its column's type.
_Number: TypeAlias = Annotated[float, Meta(ge=0, le=1e15)]
_Byte: TypeAlias = Annotated[int, Meta(ge=0, le=2**8 - 1)]
_Code: TypeAlias = Annotated[int, Meta(ge=0, le=2**16 - 1)]
_Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: Milliseconds since 1973 or later, or the same in a finer unit.
_Time: TypeAlias = Annotated[int, Meta(ge=10**11, le=2**63 - 1)]
_Symbol: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
_Id: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]


class Status(Struct, tag_field="ev", tag="status", gc=False):
    """What the server says of the connection."""

    status: str = ""
    message: str = ""


class StreamedBar(Struct, tag_field="ev", tag="AM", gc=False):
    """A minute bar; one with a known symbol and start replaces the earlier."""

    symbol: _Symbol = msgspec.field(name="sym")
    time: _Time = msgspec.field(name="s")
    open: _Number = msgspec.field(name="o")
    high: _Number = msgspec.field(name="h")
    low: _Number = msgspec.field(name="l")
    close: _Number = msgspec.field(name="c")
    volume: _Number = msgspec.field(name="v", default=0.0)
    exact_volume: _Number = msgspec.field(name="dv", default=_NAN)
    vwap: _Number = msgspec.field(name="vw", default=_NAN)
    trade_count: _Number = msgspec.field(name="n", default=_NAN)


class StreamedTrade(Struct, tag_field="ev", tag="T", gc=False):
    """A trade; `exact_size` is there since shares are traded in fractions."""

    #: Corrections are not streamed; REST tells them afterwards.
    correction: ClassVar[int] = 0

    symbol: _Symbol = msgspec.field(name="sym")
    time: _Time = msgspec.field(name="t")
    price: _Number = msgspec.field(name="p")
    size: _Number = msgspec.field(name="s", default=0.0)
    exact_size: _Number = msgspec.field(name="ds", default=_NAN)
    exchange: _Code = msgspec.field(name="x", default=0)
    tape: _Byte = msgspec.field(name="z", default=0)
    conditions: tuple[_Byte, ...] = msgspec.field(name="c", default=())
    trf: _Byte = msgspec.field(name="trfi", default=0)
    trade_id: _Id = msgspec.field(name="i", default=0)
    sequence: _Count = msgspec.field(name="q", default=0)
    participant_time: _Count = msgspec.field(name="pt", default=0)


class StreamedQuote(Struct, tag_field="ev", tag="Q", gc=False):
    """The best bid and offer; a side that is absent has price and size 0."""

    symbol: _Symbol = msgspec.field(name="sym")
    time: _Time = msgspec.field(name="t")
    sequence: _Count = msgspec.field(name="q")
    bid_price: _Number = msgspec.field(name="bp", default=0.0)
    ask_price: _Number = msgspec.field(name="ap", default=0.0)
    bid_size: _Number = msgspec.field(name="bs", default=0.0)
    ask_size: _Number = msgspec.field(name="as", default=0.0)
    bid_exchange: _Code = msgspec.field(name="bx", default=0)
    ask_exchange: _Code = msgspec.field(name="ax", default=0)
    condition: _Byte = msgspec.field(name="c", default=0)
    indicators: tuple[_Code, ...] = msgspec.field(name="i", default=())
    tape: _Byte = msgspec.field(name="z", default=0)
    participant_time: _Count = msgspec.field(name="pt", default=0)


class FetchedBar(Struct, gc=False):
    """A row of `/v2/aggs/ticker/.../range/...`."""

    time: _Time = msgspec.field(name="t")
    open: _Number = msgspec.field(name="o")
    high: _Number = msgspec.field(name="h")
    low: _Number = msgspec.field(name="l")
    close: _Number = msgspec.field(name="c")
    volume: _Number = msgspec.field(name="v", default=0.0)
    exact_volume: _Number = msgspec.field(name="dv", default=_NAN)
    vwap: _Number = msgspec.field(name="vw", default=_NAN)
    trade_count: _Number = msgspec.field(name="n", default=_NAN)


class FetchedTrade(Struct, gc=False):
    """A row of `/v3/trades/...`."""

    time: _Time = msgspec.field(name="sip_timestamp")
    price: _Number
    size: _Number = 0.0
    exact_size: _Number = msgspec.field(name="decimal_size", default=_NAN)
    exchange: _Code = 0
    tape: _Byte = 0
    conditions: tuple[_Byte, ...] = ()
    correction: _Byte = 0
    trf: _Byte = msgspec.field(name="trf_id", default=0)
    trade_id: _Id = msgspec.field(name="id", default=0)
    sequence: _Count = msgspec.field(name="sequence_number", default=0)
    participant_time: _Count = msgspec.field(name="participant_timestamp", default=0)


class FetchedQuote(Struct, gc=False):
    """A row of `/v3/quotes/...`."""

    time: _Time = msgspec.field(name="sip_timestamp")
    sequence: _Count = msgspec.field(name="sequence_number")
    bid_price: _Number = 0.0
    ask_price: _Number = 0.0
    bid_size: _Number = 0.0
    ask_size: _Number = 0.0
    bid_exchange: _Code = 0
    ask_exchange: _Code = 0
    conditions: tuple[_Byte, ...] = ()
    indicators: tuple[_Code, ...] = ()
    tape: _Byte = 0
    participant_time: _Count = msgspec.field(name="participant_timestamp", default=0)

    @property
    def condition(self) -> int:
        """The first condition; the socket tells no more either."""
        return self.conditions[0] if self.conditions else 0


_EVENT_TYPES: dict[str, type[Struct]] = {
    "AM": StreamedBar,
    "T": StreamedTrade,
    "Q": StreamedQuote,
    "status": Status,
}
_Event: TypeAlias = StreamedBar | StreamedTrade | StreamedQuote | Status

_FRAME = msgspec.json.Decoder(list[_Event], strict=False)
_EVENT = msgspec.json.Decoder(_Event, strict=False)
_ELEMENTS = msgspec.json.Decoder(list[msgspec.Raw])
#: Structs kept until they become records; some 400 bytes each, so they fit a processor's cache.
_STRUCTS_MAX = 500
_symbol = attrgetter("symbol")
#: What looks like one object, holding at most one more level of objects.
_OBJECT = re.compile(rb"\{(?:[^{}]|\{[^{}]*\})*+\}")
_FLAT_OBJECT = re.compile(rb"\{[^{}]*\}")


class Events:
    """Decoded events by kind, gathered from any number of frames.

    Some hundred at a time become records and their structs are let go: the next ones are made in
    memory that is still in the processor's cache, which is twice as fast for long batches.

    Attributes:
        bars: minute bars in the order received, not yet records.
        trades: trades likewise.
        quotes: quotes likewise.
        faults: what was wrong.
    """

    def __init__(self, faults: Faults) -> None:
        self.bars: list[StreamedBar] = []
        self.trades: list[StreamedTrade] = []
        self.quotes: list[StreamedQuote] = []
        self.faults = faults
        self._statuses: list[Status] = []
        self._append = {
            StreamedBar: self.bars.append,
            StreamedTrade: self.trades.append,
            StreamedQuote: self.quotes.append,
            Status: self._statuses.append,
        }
        self._parts: dict[Kind, list[_Part]] = {kind: [] for kind in KINDS}
        self._rows = 0
        # One object per symbol: what is looked up by it later is found without comparing text.
        self._names: dict[str, str | None] = {}

    def __len__(self) -> int:
        """How many bars, trades and quotes."""
        return self._rows + len(self.bars) + len(self.trades) + len(self.quotes)

    def add(self, frame: bytes) -> list[Status]:
        """Decode one frame; what cannot be used is counted. Never raises.

        Returns:
            The statuses in it, for the session to judge.
        """
        append: Any = self._append
        try:
            for event in _FRAME.decode(frame):
                append[type(event)](event)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            for event in _take_apart(frame, self.faults):
                append[type(event)](event)
        if len(self.trades) + len(self.quotes) + len(self.bars) >= _STRUCTS_MAX:
            self._make_records()
        if not self._statuses:
            return []
        statuses = self._statuses.copy()
        self._statuses.clear()
        return statuses

    def table(self, kind: Kind) -> dict[str, Any] | None:
        """The events of one kind as a cross-section to write, in the order received.

        Returns:
            `Symbol` (list of str), `Epoch` (datetime64[ns]) and the columns of the kind's schema;
            None when there are none.
        """
        self._make_records()
        parts = self._parts[kind]
        if not parts:
            return None
        ts, arrays = columns_of(kind, [part.records for part in parts])
        symbols = list(chain.from_iterable(part.symbols for part in parts))
        return {"Symbol": symbols, "Epoch": ts.view("M8[ns]"), **arrays}

    def _make_records(self) -> None:
        by_kind: tuple[tuple[Kind, list[Any]], ...] = (
            ("bars", self.bars),
            ("trades", self.trades),
            ("quotes", self.quotes),
        )
        for kind, events in by_kind:
            if events:
                part = self._part(kind, events)
                events.clear()
                if part.symbols:
                    self._parts[kind].append(part)
                    self._rows += len(part.symbols)

    def _part(self, kind: Kind, events: list[Any]) -> _Part:
        symbols = self._bucket_symbols(events)
        if None in symbols:
            for event in (event for event, name in zip(events, symbols, strict=True) if not name):
                bad = event.symbol.encode(errors="replace")
                self.faults.add("symbol that cannot be a bucket", bad)
            events = [event for event, name in zip(events, symbols, strict=True) if name]
        if kind == "trades" and (cut := count_cut_conditions(events)):
            self.faults.add("trade with more than four conditions", times=cut)
        return _Part([symbol for symbol in symbols if symbol], records_of(kind, events))

    def _bucket_symbols(self, events: list[Any]) -> list[str | None]:
        """The bucket's symbol of each event; None where no bucket can have that name."""
        try:
            return list(map(self._names.__getitem__, map(_symbol, events)))
        except KeyError:
            self._names.update((name, bucket_symbol(name)) for name in set(map(_symbol, events)))
            return list(map(self._names.__getitem__, map(_symbol, events)))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some events of one kind as records."""

    symbols: list[str]
    records: Records


@dataclass(frozen=True)
class Page:
    """Rows of one REST answer.

    Attributes:
        columns: the rows in the columns of their kind's schema, ascending in time.
        next_url: where the next rows are; None on the last page.
        faults: rows that could not be used and odd fields, by kind.
    """

    columns: Columns
    next_url: str | None
    faults: Counter[str]


def decode_bars_page(body: bytes) -> Page:
    """An answer of the aggregates endpoint. Raises msgspec.DecodeError if it is no such answer."""
    return _decode_page("bars", body)


def decode_trades_page(body: bytes) -> Page:
    """An answer of the trades endpoint. Raises msgspec.DecodeError if it is no such answer."""
    return _decode_page("trades", body)


def decode_quotes_page(body: bytes) -> Page:
    """An answer of the quotes endpoint. Raises msgspec.DecodeError if it is no such answer."""
    return _decode_page("quotes", body)


class _BarsBody(Struct, gc=False):
    results: list[FetchedBar] | None = None
    next_url: str | None = None


class _TradesBody(Struct, gc=False):
    results: list[FetchedTrade] | None = None
    next_url: str | None = None


class _QuotesBody(Struct, gc=False):
    results: list[FetchedQuote] | None = None
    next_url: str | None = None


class _RawBody(Struct, gc=False):
    results: list[msgspec.Raw] | None = None
    next_url: str | None = None


_ROW_TYPES: dict[Kind, type[Struct]] = {
    "bars": FetchedBar,
    "trades": FetchedTrade,
    "quotes": FetchedQuote,
}
_BODIES: dict[Kind, msgspec.json.Decoder[Any]] = {
    "bars": msgspec.json.Decoder(_BarsBody, strict=False),
    "trades": msgspec.json.Decoder(_TradesBody, strict=False),
    "quotes": msgspec.json.Decoder(_QuotesBody, strict=False),
}
_RAW_BODY = msgspec.json.Decoder(_RawBody)


def _decode_page(kind: Kind, body: bytes) -> Page:
    faults = Faults()
    try:
        decoded = _BODIES[kind].decode(body)
        rows = decoded.results or []
    except msgspec.ValidationError:
        decoded = _RAW_BODY.decode(body)
        row_type = _ROW_TYPES[kind]
        salvaged = (_salvage(raw, row_type, kind, faults) for raw in decoded.results or [])
        rows = [row for row in salvaged if row is not None]
    ts, arrays = columns_of(kind, [records_of(kind, rows)])
    columns = Columns(ts, arrays, variable=SCHEMAS[kind].is_variable)
    if len(ts) and (ts[1:] < ts[:-1]).any():
        columns = columns.take(np.argsort(ts, kind="stable"))
    return Page(columns, decoded.next_url, faults.counts)


def _take_apart(frame: bytes, faults: Faults) -> Iterator[Any]:
    """The usable events of a frame that does not decode as a whole."""
    for element in _elements(frame, faults):
        try:
            yield _EVENT.decode(element)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            event = _salvage_event(bytes(element), faults)
            if event is not None:
                yield event


def _elements(frame: bytes, faults: Faults) -> list[Any]:
    """The elements of a frame; of one that is no JSON, whatever in it still looks like one."""
    try:
        return _ELEMENTS.decode(frame)
    except (msgspec.DecodeError, RecursionError):
        if _is_json(frame):
            return [frame]
    faults.add("frame that is no JSON", frame)
    elements = list[bytes]()
    for match in _OBJECT.finditer(frame):
        candidate = match[0]
        nested = b"{" in candidate[1:] and not _is_json(candidate)
        elements.extend(_FLAT_OBJECT.findall(candidate) if nested else [candidate])
    return elements


def _is_json(text: bytes) -> bool:
    try:
        msgspec.json.decode(text)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return False
    return True


def _salvage_event(element: bytes, faults: Faults) -> Any:
    name = _event_name(element)
    event_type = _EVENT_TYPES.get(name or "")
    if event_type is None:
        faults.add("message without a kind" if name is None else f"unknown event {name}", element)
        return None
    return _salvage(element, event_type, f"event {name}", faults)


def _event_name(element: bytes) -> str | None:
    try:
        message = msgspec.json.decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        return None
    name = message.get("ev") if isinstance(message, dict) else None
    return name if isinstance(name, str) else None


def _salvage(element: Any, row_type: type[Struct], what: str, faults: Faults) -> Any:
    """One element read field by field: odd optional fields are left out; None without the rest."""
    try:
        message = msgspec.json.decode(element)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        message = None
    if not isinstance(message, dict):
        faults.add(f"malformed {what}", bytes(element))
        return None
    values = {}
    for spec in _fields(row_type):
        value = message.get(spec.encode_name)
        if value is None:
            continue
        try:
            values[spec.name] = _convert_field(spec, value)
        except msgspec.ValidationError:
            faults.add(f"odd field {spec.encode_name} of {what}", bytes(element))
    try:
        return row_type(**values)
    except TypeError:  # a required field is missing or was odd
        faults.add(f"malformed {what}", bytes(element))
        return None


@cache
def _fields(row_type: type[Struct]) -> tuple[msgspec.structs.FieldInfo, ...]:
    return msgspec.structs.fields(row_type)


def _convert_field(spec: msgspec.structs.FieldInfo, value: Any) -> Any:
    if spec.name == "trade_id" and isinstance(value, str) and not _is_decimal(value):
        return text_id(value)
    return msgspec.convert(value, spec.type, strict=False)


def _is_decimal(text: str) -> bool:
    return text.isascii() and text.isdigit() and int(text) < 2**63


def text_id(text: str) -> int:
    """A trade id that is not a number, as a negative one: the same text always the same number."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "little") >> 1)
