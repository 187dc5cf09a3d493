"""Damages single events on their way to a client."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import msgspec

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore_massive_simulator.faults import Faults

_DISTURBING = (
    "unknown_event", "unknown_field", "absent_field", "float_ints", "duplicates", "out_of_order",
    "malformed", "one_sided", "luld_micros", "fmv_millis",
)  # fmt: skip
_ODD_ELEMENTS: tuple[Any, ...] = (
    None, 17, "T", [], {}, {"ev": "T"}, {"ev": "AM", "sym": 5}, {"ev": "Q", "sym": "X", "t": "soon"}
)  # fmt: skip
#: Fields that the vendor may leave out, or that are new or old.
_DISPENSABLE = ("pt", "i", "c", "z", "a", "av", "op", "dav", "vw", "trft", "r")
_MICROS, _MILLIS = 1000, 1_000_000


class Disturber:
    """Damages events as the faults that are on say."""

    def __init__(self, faults: Faults, seed: int = 1) -> None:
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 nothing here is secret

    def is_idle(self) -> bool:
        """Whether no fault that concerns single events is on."""
        return not any(self._faults.on(name) for name in _DISTURBING)

    def disturb(self, events: Iterable[Any]) -> list[Any]:
        """The events as JSON values, with damages."""
        made: list[Any] = []
        for event in msgspec.to_builtins(list(events)):
            self._change(event)
            made.append(event)
            if self._hits("duplicates"):
                made.append(event)
            if self._hits("unknown_event"):
                made.append({"ev": "ZZ", "sym": event.get("sym"), "t": 1})
            if self._hits("malformed"):
                made.append(self._random.choice(_ODD_ELEMENTS))
        for at in range(len(made) - 1):
            if self._hits("out_of_order"):
                made[at], made[at + 1] = made[at + 1], made[at]
        return made

    def _change(self, event: dict[str, Any]) -> None:
        kind = event["ev"]
        if kind == "LULD" and self._faults.on("luld_micros"):
            event["t"] //= _MICROS
        if kind == "FMV" and self._faults.on("fmv_millis"):
            event["t"] //= _MILLIS
        if kind == "Q" and self._hits("one_sided"):
            for name in self._random.choice((("bp", "bs", "bx", "bt"), ("ap", "as", "ax", "at"))):
                event.pop(name, None)
        if self._hits("absent_field"):
            event.pop(self._random.choice(_DISPENSABLE), None)
        if self._hits("unknown_field"):
            event["zz"] = {"new": [1, 2.5, None]}
        if self._hits("float_ints"):
            _to_floats(event)

    def breaks_json(self) -> bool:
        """Whether a frame that is not JSON comes now."""
        return self._hits("broken_json")

    def _hits(self, name: str) -> bool:
        return self._faults.on(name) and self._random.random() < self._faults.number(name, 0)


def _to_floats(event: dict[str, Any]) -> None:
    for name in ("s", "v", "av", "z", "bs", "as"):
        # `s` of a bar is its start, which the vendor never sends so.
        if isinstance(event.get(name), int) and not (name == "s" and "e" in event):
            event[name] = float(event[name])
