"""Instants and lengths of time as people type them."""

from __future__ import annotations

import re
from typing import Any

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.times import format_ns, to_ns

_SECOND_NS = 1_000_000_000
_UNITS_NS = {
    "s": _SECOND_NS,
    "min": 60 * _SECOND_NS,
    "h": 3600 * _SECOND_NS,
    "d": 86_400 * _SECOND_NS,
    "w": 7 * 86_400 * _SECOND_NS,
    "y": 365 * 86_400 * _SECOND_NS,
}


#: How many digits a year and a day without dashes have. As seconds they would be of 1970, and a
#: command that deletes from there on deletes everything.
_DATE_DIGITS = (4, 8)


def as_time(text: str | None) -> str | int | None:
    """A time as typed; bare digits are seconds since 1970.

    Raises:
        InvalidArgumentError: digits that look like a year or a day.
    """
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit()):
        return text
    if len(text) in _DATE_DIGITS:
        raise InvalidArgumentError(
            f"{text} is {format_ns(int(text) * _SECOND_NS)} as seconds since 1970; write a day as "
            "2013-10-08, and if you mean that instant, with its time"
        )
    return int(text)


def instant(text: str | None, tz: str) -> np.datetime64 | None:
    """A time as typed, in a zone if it names none."""
    when = as_time(text)
    return None if when is None else np.datetime64(to_ns(when, tz), "ns")


def check_span(start: Any, end: Any, tz: str | None) -> None:
    """Whether a range goes forwards; ends that are None are open.

    Raises:
        InvalidArgumentError: its start is after its end, or one is no time.
    """
    if start is None or end is None:
        return
    first, last = to_ns(start, tz), to_ns(end, tz)
    if first > last:
        raise InvalidArgumentError(
            f"--start {format_ns(first)} is after --end {format_ns(last)}; exchange them"
        )


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
