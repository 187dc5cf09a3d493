"""What the simulator does wrong on purpose, by name.

`--fault NAME` or `--fault NAME=VALUE` at the start, or `POST /_simulator/faults` with a JSON object
of names and values (null ends a fault) while it runs.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

Value = float | str | None


class FaultError(ValueError):
    """No such fault, or a value it cannot have; the text says what there is."""


class Unit(Enum):
    """What the value of a fault is."""

    NONE = "no value"
    TIMES = "how many times; always when absent"
    EVENTS = "events"
    SECONDS = "seconds"
    SHARE = "share of events, 0 to 1"
    NUMBER = "a number"
    TEXT = "text"


@dataclass(frozen=True)
class Fault:
    """One thing that can go wrong.

    Attributes:
        name: how it is switched on.
        unit: what its value is.
        default: its value when none is given.
        text: what happens.
    """

    name: str
    unit: Unit
    default: Value
    text: str


_WEBSOCKET = (
    Fault("refuse", Unit.NUMBER, 503, "the handshake is answered with this HTTP status"),
    Fault("drop_open", Unit.TIMES, None, "TCP is dropped in place of the handshake's answer"),
    Fault("connect_delay", Unit.SECONDS, 1, "the connected message comes so much later"),
    Fault("drop_connected", Unit.TIMES, None, "TCP is dropped after the connected message"),
    Fault("drop_auth", Unit.TIMES, None, "TCP is dropped after auth_success"),
    Fault("drop_subscribed", Unit.TIMES, None, "TCP is dropped after the acknowledgements"),
    Fault("drop_every", Unit.EVENTS, 10_000, "TCP is dropped after so many events, every time"),
    Fault("drop_midframe", Unit.EVENTS, 10_000, "the same, in the middle of a frame"),
    Fault(
        "close", Unit.NUMBER, 1000, "every connection is closed with this code after 1,000 events"
    ),
    Fault("wrong_key", Unit.TIMES, None, "auth_failed and a TCP drop, whatever the key"),
    Fault("no_plan", Unit.TIMES, None, "auth_failed because of the plan, and a TCP drop"),
    Fault("mute_auth", Unit.TIMES, None, "auth is never answered"),
    Fault("auth_timeout", Unit.SECONDS, 1, "how long the server waits for auth; 30 otherwise"),
    Fault("connections", Unit.NUMBER, 2, "connections allowed at a time per key; 1 otherwise"),
    Fault("evict_newer", Unit.NONE, None, "max_connections closes the newer, not the older one"),
    Fault("force_disconnect", Unit.TIMES, None, "the status force_disconnect, then a close"),
    Fault("not_authorized", Unit.TEXT, "Q", "channels or topics the plan lacks, as T+Q.AAPL"),
    Fault("no_acks", Unit.NONE, None, "subscriptions are not acknowledged"),
    Fault("late_acks", Unit.NONE, None, "acknowledgements come in the first frame of data"),
    Fault("slow_acks", Unit.SECONDS, 1, "acknowledgements come so much later"),
    Fault("split_acks", Unit.NONE, None, "every acknowledgement comes in a frame of its own"),
    Fault("mute", Unit.NONE, None, "no data"),
    Fault("unknown_event", Unit.SHARE, 0.01, "events of a type nobody knows in between"),
    Fault("unknown_field", Unit.SHARE, 0.01, "a field nobody knows"),
    Fault("absent_field", Unit.SHARE, 0.01, "a field that may be absent is"),
    Fault("one_sided", Unit.SHARE, 0.01, "quotes lack their bid or their ask"),
    Fault("luld_micros", Unit.NONE, None, "price bands are stamped in microseconds"),
    Fault("fmv_millis", Unit.NONE, None, "fair values are stamped in milliseconds"),
    Fault("float_ints", Unit.SHARE, 0.01, "whole numbers as 12.0"),
    Fault("duplicates", Unit.SHARE, 0.01, "events twice"),
    Fault("out_of_order", Unit.SHARE, 0.01, "events swapped with the next"),
    Fault("malformed", Unit.SHARE, 0.01, "elements that are no events: numbers, null, odd types"),
    Fault("broken_json", Unit.SHARE, 0.01, "extra frames that are not JSON"),
    Fault("revised_bars", Unit.SHARE, 0.05, "minute bars sent too early and corrected later"),
    Fault("late_bars", Unit.SECONDS, 10, "bars come so much later"),
    Fault("delay", Unit.SECONDS, 900, "new connections are sent everything so much later"),
    Fault("frame_events", Unit.NUMBER, 1, "events per frame at most; 100 otherwise"),
    Fault("frame_bytes", Unit.NUMBER, 4096, "bytes per frame at most"),
    Fault(
        "client_buffer",
        Unit.NUMBER,
        1 << 20,
        "a reader for whom more bytes wait than that is closed",
    ),
    Fault("slow_consumer", Unit.SECONDS, 1, "a reader that blocks so long is closed"),
    Fault("deflate", Unit.NONE, None, "permessage-deflate is accepted"),
    Fault("no_pongs", Unit.NONE, None, "pings are not answered"),
    Fault("server_pings", Unit.SECONDS, 1, "the server pings so often"),
)
_REST = (
    Fault("rate", Unit.NUMBER, 5, "requests a minute per key, then 429"),
    Fault("rate_day", Unit.NUMBER, 1000, "requests a day per key, then 429"),
    Fault("too_many", Unit.TIMES, None, "429"),
    Fault("retry_after", Unit.SECONDS, 1, "429 carries a Retry-After header"),
    Fault("empty_429", Unit.NONE, None, "429 has no body"),
    Fault("server_error", Unit.TIMES, None, "5xx with an HTML body"),
    Fault("server_status", Unit.NUMBER, 500, "which 5xx; 502 otherwise"),
    Fault("no_route", Unit.TIMES, None, "404 with a text body"),
    Fault("drop_request", Unit.TIMES, None, "TCP is dropped in place of an answer"),
    Fault("truncate", Unit.TIMES, None, "half of the body, then TCP is dropped"),
    Fault("cut_gzip", Unit.TIMES, None, "a compressed body that ends too early"),
    Fault("not_json", Unit.TIMES, None, "200 with an HTML body"),
    Fault("slow_body", Unit.SECONDS, 1, "the second half of a body comes so much later"),
    Fault("forbidden", Unit.TEXT, "entitlement", "403: entitlement, timeframe or today"),
    Fault("forbidden_paths", Unit.TEXT, "/v3/quotes", "only paths that begin so are forbidden"),
    Fault("null_next_url", Unit.NONE, None, "the last page has next_url: null"),
    Fault("null_results", Unit.NONE, None, "an empty answer has results: null"),
    Fault("no_results", Unit.TIMES, None, "200 without the results there are"),
    Fault("test_tickers", Unit.NONE, None, "stocks' grouped bars hold ZTST, without any volume"),
    Fault("page", Unit.NUMBER, 100, "rows per page at most, whatever the limit"),
    Fault("clock", Unit.SECONDS, 90, "the header Date is ahead of the real time"),
)
FAULTS = {fault.name: fault for fault in (*_WEBSOCKET, *_REST)}


class Faults:
    """The faults that are switched on."""

    def __init__(self) -> None:
        self._active: dict[str, Value] = {}

    def set(self, name: str, value: Value = None) -> None:
        """Switch a fault on.

        Raises:
            FaultError: there is no such fault, or it cannot have this value.
        """
        fault = FAULTS.get(name)
        if fault is None:
            raise FaultError(f"unknown fault {name!r}; there are {', '.join(FAULTS)}")
        self._active[name] = fault.default if value is None else _converted(fault, value)

    def set_text(self, text: str) -> None:
        """Switch a fault on as the command line writes it, `NAME` or `NAME=VALUE`.

        Raises:
            FaultError: there is no such fault, or it cannot have this value.
        """
        name, equals, value = text.partition("=")
        self.set(name, value if equals else None)

    def clear(self, name: str) -> None:
        """Switch a fault off."""
        self._active.pop(name, None)

    def active(self) -> Mapping[str, Value]:
        """Names and values of the faults that are on."""
        return dict(self._active)

    def on(self, name: str) -> bool:
        """Whether a fault is on."""
        return name in self._active

    def number(self, name: str, otherwise: float) -> float:
        """The value of a fault, or another when it is off."""
        value = self._active.get(name)
        return value if isinstance(value, float | int) else otherwise

    def text(self, name: str, otherwise: str = "") -> str:
        """The same for text."""
        value = self._active.get(name)
        return value if isinstance(value, str) else otherwise

    def strikes(self, name: str) -> bool:
        """Whether a fault happens now; one that happens N times is off after the last."""
        if name not in self._active:
            return False
        times = self._active[name]
        if isinstance(times, float | int):
            if times <= 1:
                self.clear(name)
            else:
                self._active[name] = times - 1
        return True


def _converted(fault: Fault, value: Value) -> Value:
    if fault.unit is Unit.TEXT:
        return str(value)
    if fault.unit is Unit.NONE:
        raise FaultError(f"fault {fault.name} takes no value")
    try:
        number = float(value) if value is not None else 0.0
    except ValueError:
        raise FaultError(f"fault {fault.name}: {value!r} is not {fault.unit.value}") from None
    if not 0 < number < float("inf") or (fault.unit is Unit.SHARE and number > 1):
        raise FaultError(f"fault {fault.name}: {value} is not {fault.unit.value}")
    return number
