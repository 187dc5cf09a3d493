"""Cells with times as instants, a whole column at once: Arrow finds the parts, numpy adds them."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.cli.session.golayout import MONTHS, read_layout
from tsstore.errors import InvalidArgumentError
from tsstore.times import MAX_NS
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, zone

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pyarrow as pa
    from numpy.typing import NDArray

_GREATEST = {"month": 12, "hour": 23, "hour12": 12, "minute": 59, "second": 59}
_NUMBERS = {"year", "year2", "day", "yearday", "suffix", *_GREATEST}
# What one more counts, by the number of digits: milliseconds and microseconds, as in MarketStore.
_SUFFIX_NS = {2: 1_000_000, 6: 1_000}


class BadTimeError(InvalidArgumentError):
    """A cell is no time of the layout.

    Attributes:
        at: which of the texts, the first is 0.
    """

    def __init__(self, at: int, text: str) -> None:
        super().__init__(text)
        self.at = at


class GoTimes:
    """Times in a layout of Go, such as `1/2/2006 3:04:05 PM`.

    Args:
        text: the layout.
        suffix_digits: 2 or 6 for cells that have a blank and so many digits behind what the layout
            says: milliseconds and microseconds.

    Raises:
        InvalidArgumentError: it says no date.
    """

    def __init__(self, text: str, suffix_digits: int = 0) -> None:
        self.text = text
        self._layout = read_layout(text, suffix_digits)
        self._suffix_ns = _SUFFIX_NS.get(suffix_digits, 0)

    def __repr__(self) -> str:
        return f"<GoTimes {self.text!r}>"

    def settled(self, first: str) -> GoTimes:
        """This layout, or this one with a suffix, whichever reads the first cell of a file.

        Raises:
            BadTimeError: none does.
        """
        for digits in (0, *_SUFFIX_NS):
            candidate = GoTimes(self.text, digits)
            if candidate.matches(first):
                return candidate
        raise self._bad(0, first)

    def matches(self, text: str) -> bool:
        """Whether a cell is written like that; it may still be no time, such as month 13."""
        return re.fullmatch(self._layout.expression, text, re.ASCII) is not None

    def read(self, texts: Sequence[str], tz: str) -> NDArray[np.int64]:
        """Instants in nanoseconds since 1970 UTC, shape (texts,).

        Args:
            texts: the cells.
            tz: zone of times that carry none.

        Raises:
            BadTimeError: a cell is not written like that, is no time, or outside 1678 to 2261.
            InvalidArgumentError: there is no pyarrow.
        """
        pa, pc = _import_arrow()
        found = pc.extract_regex(pa.array(texts, pa.string()), f"^(?:{self._layout.expression})$")
        self._refuse(np.asarray(found.is_null()), texts)
        parts = {name: found.field(at) for at, name in enumerate(self._layout.parts)}
        numbers = {name: _numbers(part) for name, part in parts.items() if name in _NUMBERS}
        for name, greatest in _GREATEST.items():
            if name in numbers:
                self._refuse(numbers[name] > greatest, texts)
        days, is_no_day = _days(numbers, parts.get("month_name"))
        self._refuse(is_no_day, texts)
        wall = days * NS_PER_DAY + _time_of_day(numbers, parts)
        if self._suffix_ns:
            wall = wall + numbers["suffix"] * self._suffix_ns
        return self._in_utc(wall, parts, tz, texts)

    def _in_utc(
        self, wall: NDArray[np.int64], parts: dict[str, pa.Array], tz: str, texts: Sequence[str]
    ) -> NDArray[np.int64]:
        if "offset" in parts:
            seconds, is_none = _offset_seconds(parts["offset"])
            self._refuse(is_none, texts)
            return wall - seconds * NS_PER_SECOND
        if "zone" not in parts:
            return local_to_utc(wall, tz)
        encoded = parts["zone"].dictionary_encode()
        offsets = [_abbreviated(name, tz) for name in encoded.dictionary.to_pylist()]
        known = np.array([offset is not None for offset in offsets], bool)
        codes = encoded.indices.to_numpy()
        self._refuse(~known[codes], texts)
        seconds = np.array([offset or 0 for offset in offsets], np.int64)[codes]
        return np.asarray(wall - seconds * NS_PER_SECOND)

    def _refuse(self, bad: NDArray[np.bool_], texts: Sequence[str]) -> None:
        if bad.any():
            at = int(np.argmax(bad))
            raise self._bad(at, texts[at])

    def _bad(self, at: int, text: str) -> BadTimeError:
        return BadTimeError(
            at, f"{text[:60]!r} is no time of timeFormat {self.text!r} in the years 1678 to 2261"
        )


def _import_arrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.compute as pc
    except ImportError:
        raise InvalidArgumentError(
            "\\load needs pyarrow, which is not installed; run `pip install tsstore[frames]`"
        ) from None
    return pa, pc


def _numbers(part: pa.Array) -> NDArray[np.int64]:
    import pyarrow as pa

    return np.asarray(part.cast(pa.int64()).to_numpy())


def _days(
    numbers: dict[str, NDArray[np.int64]], month_name: pa.Array | None
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Days since 1970, and which are none."""
    year = numbers.get("year")
    if year is None:
        short = numbers["year2"]
        year = short + np.where(short >= 69, 1900, 2000)
    if "yearday" in numbers:
        month, day = np.ones_like(year), numbers["yearday"]
        length = 12
    else:
        month = numbers["month"] if month_name is None else _months(month_name)
        day = numbers["day"]
        length = 1
    # Far years would wrap round; whole years at the ends that nanoseconds hold are left out.
    bad = (year < 1678) | (year > 2261) | (month < 1) | (day < 1)
    year, month = np.where(bad, 1970, year), np.where(bad, 1, month)
    months = (year - 1970) * 12 + month - 1
    first = months.astype("M8[M]").astype("M8[D]").astype(np.int64)
    after = (months + length).astype("M8[M]").astype("M8[D]").astype(np.int64)
    days = first + day - 1
    return days, bad | (days >= after)


def _months(names: pa.Array) -> NDArray[np.int64]:
    import pyarrow as pa
    import pyarrow.compute as pc

    short = pc.utf8_slice_codeunits(pc.utf8_lower(names), 0, 3)
    places = pc.index_in(short, pa.array([name[:3] for name in MONTHS]))
    return np.asarray(places.to_numpy()).astype(np.int64) + 1


def _time_of_day(
    numbers: dict[str, NDArray[np.int64]], parts: dict[str, pa.Array]
) -> NDArray[np.int64]:
    """Nanoseconds since midnight."""
    import pyarrow.compute as pc

    rows = len(next(iter(parts.values())))
    zero = np.zeros(rows, np.int64)
    hour = numbers.get("hour", numbers.get("hour12", zero))
    if "half" in parts:
        is_pm = np.asarray(pc.equal(pc.utf8_upper(parts["half"]), "PM"))
        hour = np.where(is_pm, np.where(hour < 12, hour + 12, hour), np.where(hour == 12, 0, hour))
    seconds = hour * 3600 + numbers.get("minute", zero) * 60 + numbers.get("second", zero)
    ns = seconds * NS_PER_SECOND
    if "fraction" in parts:
        ns = ns + _numbers(pc.utf8_rpad(parts["fraction"], 9, "0"))
    return np.asarray(ns)


def _offset_seconds(texts: pa.Array) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """Offsets from UTC, and which are none that Go takes; files have few different ones."""
    encoded = texts.dictionary_encode()
    seconds, is_none = [], []
    for text in encoded.dictionary.to_pylist():
        digits = text[1:].replace(":", "").ljust(6, "0") if text != "Z" else "000000"
        hours, minutes, rest = (int(digits[at : at + 2]) for at in (0, 2, 4))
        sign = -1 if text.startswith("-") else 1
        seconds.append(sign * (hours * 3600 + minutes * 60 + rest))
        is_none.append(hours > 24 or minutes > 60 or rest > 60)
    codes = encoded.indices.to_numpy()
    return np.array(seconds, np.int64)[codes], np.array(is_none, bool)[codes]


@lru_cache(maxsize=256)
def _abbreviated(name: str, tz: str) -> int | None:
    """Seconds that a zone is ahead of UTC while it goes by a name such as EST; None if never."""
    if name in ("UTC", "GMT"):
        return 0
    info = zone(tz)
    for year in range(2037, 1969, -1):
        for month in (1, 7):
            local = datetime(year, month, 1, tzinfo=UTC).astimezone(info)
            offset = local.utcoffset()
            if local.tzname() == name and offset is not None:
                return round(offset.total_seconds())
    return None


class Timestamps:
    """The format `timestamp`: seconds since 1970, with or without decimals."""

    _EXPRESSION = r"^(?P<sign>-?)(?P<seconds>\d{1,12})(?:\.(?P<fraction>\d{1,9})\d*)?$"

    def settled(self, first: str) -> Timestamps:
        """This format: it knows no suffix."""
        del first
        return self

    def read(self, texts: Sequence[str], tz: str) -> NDArray[np.int64]:
        """Instants in nanoseconds since 1970 UTC; `tz` has no meaning here.

        Raises:
            BadTimeError: a cell is no such number, or outside 1678 to 2261.
            InvalidArgumentError: there is no pyarrow.
        """
        del tz
        pa, pc = _import_arrow()
        found = pc.extract_regex(pa.array(texts, pa.string()), self._EXPRESSION)
        bad = np.asarray(found.is_null())
        _refuse_timestamp(bad, texts)
        seconds = _numbers(found.field(1))
        _refuse_timestamp(seconds >= MAX_NS // NS_PER_SECOND, texts)
        ns = seconds * NS_PER_SECOND + _numbers(pc.utf8_rpad(found.field(2), 9, "0"))
        is_negative = np.asarray(pc.equal(found.field(0), "-"))
        return np.where(is_negative, -ns, ns).astype(np.int64)


def _refuse_timestamp(bad: NDArray[np.bool_], texts: Sequence[str]) -> None:
    if bad.any():
        at = int(np.argmax(bad))
        raise BadTimeError(
            at, f"{texts[at][:60]!r} is not a number of seconds since 1970 (timeFormat timestamp)"
        )


def time_format(text: str) -> GoTimes | Timestamps:
    """The format that `timeFormat` of a control file names.

    Raises:
        InvalidArgumentError: a layout without a date.
    """
    return Timestamps() if text.strip() == "timestamp" else GoTimes(text)
