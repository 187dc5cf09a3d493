"""Any way a person writes a time, as int64 nanoseconds since 1970 UTC and back."""

from __future__ import annotations

import re
from datetime import UTC, date, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.shown import shown
from tsstore.zones import NS_PER_SECOND, local_to_utc, zone

if TYPE_CHECKING:
    from numpy.typing import NDArray

TimeLike: TypeAlias = str | int | float | date | datetime | np.datetime64 | np.integer[Any]

MIN_NS = -(2**63) + 1  # the smallest int64 is numpy's NaT
MAX_NS = 2**63 - 1

_FINER_UNITS = {"milliseconds": 1_000, "microseconds": 1_000_000, "nanoseconds": 1_000_000_000}

_ISO = (
    r"(?P<date>\d{4}-\d{2}-\d{2})"
    r"(?:[T ](?P<time>\d{2}:\d{2}(?::\d{2}(?:\.\d{1,9})?)?))?"
    r"\s*(?P<zone>Z|UTC|[+-]\d{2}:?\d{2})?"
)


def to_ns(value: TimeLike, tz: str | None = None) -> int:
    """One instant as nanoseconds since 1970 UTC.

    Args:
        value: an ISO string (`2013-10-08`, `2013-10-08 09:30`, `...T09:30:00.123456789-04:00`),
            int or float seconds since 1970, a date, a datetime, a numpy datetime64, or a pandas
            Timestamp.
        tz: zone of values that carry none; UTC when absent.

    Raises:
        InvalidArgumentError: not a time, or outside 1677..2262, which int64 nanoseconds can hold.
    """
    try:
        ns = _to_ns(value, tz)
    except (ValueError, OverflowError, TypeError) as error:
        if isinstance(error, InvalidArgumentError):
            raise
        raise _not_a_time(value) from None
    if not MIN_NS <= ns <= MAX_NS:
        where = f"time {shown(value)} is outside the years 1678 to 2261"
        finer = None if isinstance(value, str | date | np.datetime64) else _finer(int(value))
        raise InvalidArgumentError(
            where if finer is None else f"{where} as seconds since 1970; {finer}"
        )
    return ns


def _finer(value: int) -> str | None:
    """What a number that is too large for seconds would be in the coarsest finer unit it fits."""
    for unit, per_second in _FINER_UNITS.items():
        ns = value * (NS_PER_SECOND // per_second)
        if MIN_NS <= ns <= MAX_NS:
            return f"as {unit} it would be {format_ns(ns)}: divide it by {per_second}"
    return None


def _to_ns(value: TimeLike, tz: str | None) -> int:
    if type(value) is int:
        return value * NS_PER_SECOND
    if isinstance(value, str):
        return _parse_iso(value.strip(), tz)
    if isinstance(value, bool):
        raise _not_a_time(value)
    if isinstance(value, np.datetime64):
        if np.isnat(value):
            raise _not_a_time(value)
        return _localise(_datetime64_ns(value), tz)
    if isinstance(value, datetime):
        return _datetime_ns(value, tz)
    if isinstance(value, date):
        return _localise(
            int(np.datetime64(value, "D").astype(np.int64)) * 86_400 * NS_PER_SECOND, tz
        )
    if isinstance(value, SupportsIndex):
        return int(value) * NS_PER_SECOND
    if isinstance(value, float | np.floating):
        return round(float(value) * NS_PER_SECOND)
    raise _not_a_time(value)


def _not_a_time(value: object) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{shown(value)} is not a time; write 2013-10-08, '2013-10-08 09:30', seconds since 1970, "
        "or pass a datetime"
    )


@lru_cache(maxsize=4096)
def _parse_iso(text: str, tz: str | None) -> int:
    match = re.fullmatch(_ISO, text)
    if match is None:
        raise _not_a_time(text)
    wall = _datetime64_ns(np.datetime64(f"{match['date']}T{match['time'] or '00:00'}"))
    suffix = match["zone"]
    if suffix is None:
        return _localise(wall, tz)
    if suffix in ("Z", "UTC"):
        return wall
    digits = suffix[1:].replace(":", "")
    offset_s = int(digits[:2]) * 3600 + int(digits[2:]) * 60
    return wall - (offset_s if suffix[0] == "+" else -offset_s) * NS_PER_SECOND


def _datetime64_ns(value: np.datetime64) -> int:
    ns = int(value.astype("M8[ns]").astype(np.int64))
    # astype wraps silently; the round trip through whole seconds shows it.
    if abs(ns // NS_PER_SECOND - int(value.astype("M8[s]").astype(np.int64))) > 1:
        raise OverflowError
    return ns


def _datetime_ns(value: datetime, tz: str | None) -> int:
    exact = getattr(value, "value", None)  # pandas.Timestamp keeps its nanoseconds there
    if isinstance(exact, int):
        as_unit = getattr(value, "as_unit", None)
        if as_unit is not None:
            exact = as_unit("ns").value
        return int(exact) if value.tzinfo is not None else _localise(int(exact), tz)
    if exact is not None or value != value:  # noqa: PLR0124  (NaT is not equal to itself)
        raise _not_a_time(value)
    if value.tzinfo is None:
        value = value.replace(tzinfo=zone(tz) if tz else UTC)
    delta = value - datetime(1970, 1, 1, tzinfo=UTC)
    return ((delta.days * 86_400 + delta.seconds) * 1_000_000 + delta.microseconds) * 1_000


def _localise(wall_ns: int, tz: str | None) -> int:
    if tz is None or tz == "UTC":
        return wall_ns
    return int(local_to_utc(np.array([wall_ns], np.int64), tz)[0])


def array_to_ns(values: Any, tz: str | None = None) -> NDArray[np.int64]:
    """A column of times as int64 nanoseconds since 1970 UTC.

    Args:
        values: integers (seconds since 1970), datetime64 of any unit, or a list of anything
            `to_ns` takes.
        tz: zone of datetimes that carry none; UTC when absent.

    Raises:
        InvalidArgumentError: a value is missing (NaT, NaN), not a time, or out of range.
    """
    array = np.asarray(values)
    if array.dtype.kind == "M":
        return _datetimes_to_ns(array, tz)
    if array.dtype.kind in "iu":
        seconds = array.astype(np.int64)
        limit = MAX_NS // NS_PER_SECOND
        bad = (seconds > limit) | (seconds < -limit) | (array < 0) & (array.dtype.kind == "u")
        if bad.any():
            at = int(np.argmax(bad))
            finer = _finer(int(array[at])) or "pass whole seconds, or datetimes"
            raise InvalidArgumentError(
                f"Epoch {int(array[at])} in row {at} is not seconds since 1970; {finer}"
            )
        return seconds * NS_PER_SECOND
    if array.dtype.kind == "f":
        if not np.isfinite(array).all():
            at = int(np.argmax(~np.isfinite(array)))
            raise InvalidArgumentError(f"Epoch in row {at} is {array[at]}, not a time")
        if (array != np.floor(array)).any():
            raise InvalidArgumentError(
                "Epoch holds fractions of seconds as floats, which cannot keep nanoseconds; "
                "pass whole seconds and a Nanoseconds column, or datetimes"
            )
        return array_to_ns(array.astype(np.int64))
    if array.dtype.kind in "OUT":
        return np.array([to_ns(value, tz) for value in array.tolist()], np.int64)
    raise InvalidArgumentError(
        f"Epoch has dtype {array.dtype}; pass whole seconds since 1970 or datetimes"
    )


def _datetimes_to_ns(array: NDArray[Any], tz: str | None) -> NDArray[np.int64]:
    if np.isnat(array).any():
        raise InvalidArgumentError(f"Epoch in row {int(np.argmax(np.isnat(array)))} is NaT")
    ns = array.astype("M8[ns]").astype(np.int64)
    seconds = array.astype("M8[s]").astype(np.int64)
    wrapped = np.abs(ns // NS_PER_SECOND - seconds) > 1
    if wrapped.any():
        at = int(np.argmax(wrapped))
        raise InvalidArgumentError(f"Epoch {array[at]} in row {at} is outside 1678 to 2261")
    if tz is None or tz == "UTC":
        return ns
    return local_to_utc(ns, tz)


def format_ns(ns: int) -> str:
    """An instant as people read it: `2013-10-08 13:30:00.000000001Z`, zeros left out."""
    text = str(np.datetime64(int(ns), "ns")).replace("T", " ")
    return text.rstrip("0").rstrip(".") + "Z" if "." in text else text + "Z"
