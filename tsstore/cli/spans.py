"""Instants and lengths of time as people type them."""

from __future__ import annotations

import re

import numpy as np

from tsstore.cli.query import as_time
from tsstore.errors import InvalidArgumentError
from tsstore.times import to_ns

_SECOND_NS = 1_000_000_000
_UNITS_NS = {
    "s": _SECOND_NS,
    "min": 60 * _SECOND_NS,
    "h": 3600 * _SECOND_NS,
    "d": 86_400 * _SECOND_NS,
    "w": 7 * 86_400 * _SECOND_NS,
    "y": 365 * 86_400 * _SECOND_NS,
}


def instant(text: str | None, tz: str) -> np.datetime64 | None:
    """A time as typed, in a zone if it names none."""
    when = as_time(text)
    return None if when is None else np.datetime64(to_ns(when, tz), "ns")


def length_ns(text: str) -> int:
    """Nanoseconds of `90D`, `36h`, `2y`.

    Raises:
        InvalidArgumentError: not a number above 0 and a unit.
    """
    found = re.fullmatch(r"(\d{1,9})\s*([A-Za-z]+)", text.strip())
    unit = _UNITS_NS.get(found[2].lower()) if found else None
    if found is None or unit is None or int(found[1]) == 0:
        raise InvalidArgumentError(
            f"{text!r} is no length of time; write a number and s, min, h, D, W or Y, such as 90D"
        )
    return int(found[1]) * unit
