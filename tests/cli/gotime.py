"""Go's time.Parse, one character after the other, to compare with: written from its source's rules.

Slow and plain on purpose, with nothing of the tested code in it.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

MONTHS = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]
LONG_MONTHS = [
    "January", "February", "March", "April", "May", "June", "July", "August", "September",
    "October", "November", "December",
]  # fmt: skip
LONG_DAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
DAYS = [name[:3] for name in LONG_DAYS]
# The parts of a layout, each as it stands there.
PARTS = (
    "January", "Jan", "Monday", "Mon", "2006", "01", "02", "03", "04", "05", "06", "15", "002",
    "__2", "_2", "PM", "pm", "Z07:00", "Z0700", "-07:00", "-0700", "-07",
    "1", "2", "3", "4", "5",
)  # fmt: skip


def number(cell: str, digits: int, *, fixed: bool) -> tuple[int, str]:
    taken = 0
    while taken < digits and cell[taken : taken + 1] in tuple("0123456789"):
        taken += 1
    if not taken or (fixed and taken < digits):
        raise ValueError("no number")
    return int(cell[:taken]), cell[taken:]


def named(cell: str, names: list[str]) -> tuple[int, str]:
    for at, name in enumerate(names):
        if cell[: len(name)].lower() == name.lower():
            return at, cell[len(name) :]
    raise ValueError("no name")


def fraction(cell: str) -> tuple[int, str]:
    """Nanoseconds of `.25`, of which digits behind the ninth do not count."""
    end = 1
    while cell[end : end + 1] in tuple("0123456789"):
        end += 1
    return int(cell[1:end][:9].ljust(9, "0")), cell[end:]


def has_fraction(cell: str) -> bool:
    return cell[:1] in (".", ",") and cell[1:2] in tuple("0123456789")


def parse(parts: list[str], cell: str, tz: str) -> int:
    """Nanoseconds since 1970 UTC; `parts` are PARTS, fractions such as .000, and plain text.

    Raises ValueError for what Go refuses.
    """
    found: dict[str, int] = {"ns": 0, "hour": 0, "minute": 0, "second": 0}
    half = offset = None
    for at, part in enumerate(parts):
        if part in ("January", "Jan"):
            month, cell = named(cell, LONG_MONTHS if part == "January" else MONTHS)
            found["month"] = month + 1
        elif part in ("Monday", "Mon"):
            _, cell = named(cell, LONG_DAYS if part == "Monday" else DAYS)
        elif part == "2006":
            found["year"], cell = number(cell, 4, fixed=True)
        elif part == "06":
            short, cell = number(cell, 2, fixed=True)
            found["year"] = short + (1900 if short >= 69 else 2000)
        elif part in ("01", "1"):
            found["month"], cell = number(cell, 2, fixed=part == "01")
        elif part in ("02", "2", "_2"):
            cell = cell[1:] if part == "_2" and cell[:1] == " " else cell
            found["day"], cell = number(cell, 2, fixed=part == "02")
        elif part in ("002", "__2"):
            for _ in range(2):
                cell = cell[1:] if part == "__2" and cell[:1] == " " else cell
            found["yearday"], cell = number(cell, 3, fixed=part == "002")
        elif part == "15":
            found["hour"], cell = bounded(cell, 23, fixed=False)
        elif part in ("03", "3"):
            found["hour"], cell = bounded(cell, 12, fixed=part == "03")
        elif part in ("04", "4"):
            found["minute"], cell = bounded(cell, 59, fixed=part == "04")
        elif part in ("05", "5"):
            found["second"], cell = bounded(cell, 59, fixed=part == "05")
            follows = at + 1 < len(parts) and parts[at + 1][:2] in (".0", ".9", ",0", ",9")
            if has_fraction(cell) and not follows:
                found["ns"], cell = fraction(cell)
        elif part in ("PM", "pm"):
            half, cell = named_exactly(cell, ("AM", "PM") if part == "PM" else ("am", "pm"))
        elif part[:2] in (".9", ",9"):
            if has_fraction(cell):
                found["ns"], cell = fraction(cell)
        elif part[:2] in (".0", ",0"):
            width = len(part)
            if not has_fraction(cell[:width]) or not cell[1:width].isdigit() or len(cell) < width:
                raise ValueError("no fraction")
            found["ns"], _ = fraction(cell[:width])
            cell = cell[width:]
        elif part[:1] in ("Z", "-") and part[1:3] == "07":
            offset, cell = zone_offset(part, cell)
        else:
            cell = after_plain(part, cell)
    if cell:
        raise ValueError("text behind the time")
    if half == 1 and found["hour"] < 12:
        found["hour"] += 12
    if half == 0 and found["hour"] == 12:
        found["hour"] = 0
    return instant(found, offset, tz)


def bounded(cell: str, greatest: int, *, fixed: bool) -> tuple[int, str]:
    value, cell = number(cell, 2, fixed=fixed)
    if value > greatest:
        raise ValueError("out of range")
    return value, cell


def named_exactly(cell: str, names: tuple[str, str]) -> tuple[int, str]:
    return names.index(cell[:2]), cell[2:]


def zone_offset(part: str, cell: str) -> tuple[int, str]:
    if part[0] == "Z" and cell[:1] == "Z":
        return 0, cell[1:]
    if cell[:1] not in ("+", "-") or cell[:1] == "":
        raise ValueError("no offset")
    sign = -1 if cell[0] == "-" else 1
    hours, cell = number(cell[1:], 2, fixed=True)
    minutes = 0
    if ":" in part:
        if cell[:1] != ":":
            raise ValueError("no colon")
        cell = cell[1:]
    if len(part) > 3:
        minutes, cell = number(cell, 2, fixed=True)
    if hours > 24 or minutes > 60:
        raise ValueError("out of range")
    return sign * (hours * 3600 + minutes * 60), cell


def after_plain(part: str, cell: str) -> str:
    for character in " ".join(part.split(" ")):
        if character == " ":
            continue
        cell = cell.lstrip(" ") if " " in part else cell
        if cell[:1] != character:
            raise ValueError("other text")
        cell = cell[1:]
    if part.endswith(" "):
        if cell[:1] != " ":
            raise ValueError("no blank")
        cell = cell.lstrip(" ")
    return cell


def instant(found: dict[str, int], offset: int | None, tz: str) -> int:
    if "yearday" in found:
        if found["yearday"] < 1:
            raise ValueError("day 0")
        day = datetime(found["year"], 1, 1) + timedelta(days=found["yearday"] - 1)
        if day.year != found["year"]:
            raise ValueError("beyond the year")
    else:
        day = datetime(found["year"], found["month"], found["day"])
    if not 1678 <= day.year <= 2261:
        raise ValueError("outside of nanoseconds")
    wall = day + timedelta(seconds=found["hour"] * 3600 + found["minute"] * 60 + found["second"])
    zoned = wall.replace(tzinfo=UTC if offset is not None else ZoneInfo(tz))
    since = zoned.astimezone(UTC) - datetime(1970, 1, 1, tzinfo=UTC)
    seconds = since.days * 86_400 + since.seconds - (offset or 0)
    return seconds * 10**9 + found["ns"]
