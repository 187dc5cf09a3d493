"""What Massive's socket sends, decoded: frames become columns by kind. No I/O here.

Frames are decoded at once by their types; only when something in one does not fit is it taken
apart, so that a bad element costs itself only. Unknown keys are ignored, unknown events counted.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from itertools import chain
from operator import attrgetter
from typing import TYPE_CHECKING, Any, Union

import msgspec

from tsstore.typed import whole
from tsstore_massive.channels import channels_of
from tsstore_massive.decoding.rows import Records, columns_of, count_cut_codes, records_of
from tsstore_massive.decoding.salvage import DECODE_ERRORS, elements, event_name, salvage
from tsstore_massive.decoding.streamed import Status
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from msgspec import Struct

    from tsstore_massive.faults import Faults
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

#: Structs kept until they become records; some 400 bytes each, so they fit a processor's cache.
_STRUCTS_MAX = 500
_CUT: Mapping[Kind, str] = {
    "trades": "trade with more than four conditions",
    "luld": "limits with more than four indicators",
}
_symbol = attrgetter("symbol")


class Events:
    """Decoded events of one market by kind, gathered from any number of frames.

    Some hundred at a time become records and their structs are let go: the next ones are made in
    memory that is still in the processor's cache, which is twice as fast for long batches.

    Args:
        faults: where is counted what was wrong.
        market: of the socket; the same tag means other things in other markets.

    Attributes:
        faults: what was wrong.
    """

    def __init__(self, faults: Faults, market: Market = "stocks") -> None:
        self.faults = faults
        self._market = market
        self._wire = wire = _wire_of(market)
        self._statuses: list[Status] = []
        # In the order received, not yet records.
        self._structs: dict[Kind, list[Any]] = {kind: [] for kind in wire.kinds.values()}
        self._append: dict[type[Struct], Any] = {
            event: self._structs[kind].append for event, kind in wire.kinds.items()
        }
        self._append[Status] = self._statuses.append
        self._parts: dict[Kind, list[_Part]] = {kind: [] for kind in self._structs}
        self._rows = 0
        # One object per symbol: what is looked up by it later is found without comparing text.
        self._names: dict[str, str | None] = {}

    def __len__(self) -> int:
        """How many events, statuses apart."""
        return self._rows + sum(map(len, self._structs.values()))

    def add(self, frame: bytes) -> list[Status]:
        """Decode one frame; what cannot be used is counted. Never raises.

        Returns:
            The statuses in it, for the session to judge.
        """
        append = self._append
        try:
            for event in self._wire.frame.decode(frame):
                append[type(event)](event)
        except DECODE_ERRORS:
            for event in self._wire.take_apart(frame, self.faults):
                append[type(event)](event)
        if sum(map(len, self._structs.values())) >= _STRUCTS_MAX:
            self._make_records()
        if not self._statuses:
            return []
        statuses = self._statuses.copy()
        self._statuses.clear()
        return statuses

    def tables(self) -> dict[Kind, dict[str, Any]]:
        """The events of each kind that there are any of, see `table`."""
        return {kind: table for kind in self._parts if (table := self.table(kind)) is not None}

    def table(self, kind: Kind) -> dict[str, Any] | None:
        """The events of one kind as a cross-section to write, in the order received.

        Returns:
            `Symbol` (list of str, as buckets spell them), `Epoch` (datetime64[ns]) and the columns
            of the kind's schema; None when there are none.
        """
        self._make_records()
        parts = self._parts.get(kind)
        if not parts:
            return None
        ts, arrays = columns_of(kind, [part.records for part in parts])
        symbols = list(chain.from_iterable(part.symbols for part in parts))
        return {"Symbol": symbols, "Epoch": ts.view("M8[ns]"), **arrays}

    def _make_records(self) -> None:
        for kind, events in self._structs.items():
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
        if kind in _CUT and (cut := count_cut_codes(kind, events)):
            self.faults.add(_CUT[kind], times=cut)
        return _Part([symbol for symbol in symbols if symbol], records_of(kind, events))

    def _bucket_symbols(self, events: list[Any]) -> list[str | None]:
        """The bucket's symbol of each event; None where no bucket can have that name."""
        try:
            return list(map(self._names.__getitem__, map(_symbol, events)))
        except KeyError:
            for name in set(map(_symbol, events)):
                self._names[name] = bucket_symbol(name, self._market)
            return list(map(self._names.__getitem__, map(_symbol, events)))


@dataclass(frozen=True, slots=True)
class _Part:
    """Some events of one kind as records."""

    symbols: list[str]
    records: Records


@dataclass(frozen=True, slots=True)
class _Wire:
    """How the socket of a market writes.

    Attributes:
        kinds: of its events.
        types: of its events and statuses, by tag.
        frame: reads a whole frame.
        element: reads one element of it.
    """

    kinds: Mapping[type[Struct], Kind]
    types: Mapping[str, type[Struct]]
    frame: msgspec.json.Decoder[list[Any]]
    element: msgspec.json.Decoder[Any]

    def take_apart(self, frame: bytes, faults: Faults) -> Iterator[Any]:
        """The usable events of a frame that does not decode as a whole."""
        for element in elements(frame, faults):
            try:
                yield self.element.decode(element)
            except DECODE_ERRORS:
                event = self._salvage(bytes(element), faults)
                if event is not None:
                    yield event

    def _salvage(self, element: bytes, faults: Faults) -> Any:
        name = event_name(element)
        event_type = self.types.get(name or "")
        if event_type is None:
            what = "message without a kind" if name is None else f"unknown event {name}"
            faults.add(what, element)
            return None
        return salvage(element, event_type, f"event {name}", faults)


@cache
def _wire_of(market: Market) -> _Wire:
    channels = channels_of(market)
    types = {channel.topic: channel.event for channel in channels} | {"status": Status}
    event: Any = Union[tuple(types.values())]  # noqa: UP007  (a type that is made of a table)
    return _Wire(
        kinds={channel.event: channel.kind for channel in channels},
        types=types,
        frame=msgspec.json.Decoder(whole(list[event]), strict=False),
        element=msgspec.json.Decoder(whole(event), strict=False),
    )
