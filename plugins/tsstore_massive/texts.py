"""Numbers as people read them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date

_UNITS = ("B", "kB", "MB", "GB", "TB", "PB")


def counted(count: int, one: str, many: str | None = None) -> str:
    """A number of things: `1 call`, `2,000 calls`; the plural adds an s unless it is given."""
    return f"{count:,} {one if count == 1 else many or one + 's'}"


def day_range(first: date, last: date) -> str:
    """Days from a first to a last one, both included: `2024-06-03 to 2024-06-07`."""
    return f"{first}" if first == last else f"{first} to {last}"


def size(count: float) -> str:
    """A number of bytes for people: `3.4 MB`."""
    unit = 0
    while count >= 1000 and unit < len(_UNITS) - 1:
        count, unit = count / 1000, unit + 1
    return f"{count:.0f} {_UNITS[unit]}" if unit == 0 else f"{count:,.1f} {_UNITS[unit]}"


def duration(seconds: float) -> str:
    """A time for people: `0:12:30`, hours, minutes and seconds."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"
