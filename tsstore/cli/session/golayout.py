"""Layouts of Go's time package as regular expressions.

A layout shows how the reference time, Mon Jan 2 15:04:05 2006, would stand in a cell. What Go's
time.Parse takes is taken, and nothing else, so that a control file of MarketStore reads what it
read there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Names of the months.
MONTHS = (
    "january", "february", "march", "april", "may", "june", "july", "august", "september",
    "october", "november", "december",
)  # fmt: skip
_DAYS = ("monday", "tuesday", "wednesday", "thursday", "friday", "saturday", "sunday")
_OFFSETS = ("070000", "07:00:00", "0700", "07:00", "07")
# The group of each part is called _ until its place is known.
_TWO, _ONE_OR_TWO = r"(?P<_>\d\d)", r"(?P<_>\d{1,2})"


def _any_of(names: Sequence[str]) -> str:
    return f"(?P<_>(?i:{'|'.join(names)}))"


def _offset(form: str, *, or_z: bool) -> str:
    digits = re.sub(r"\d\d", r"\\d\\d", form)
    return f"(?P<_>Z|[+-]{digits})" if or_z else f"(?P<_>[+-]{digits})"


_FRACTION = r"(?:[.,](?P<_>\d{1,9})\d*)?"

# What stands for a part of the time: as it is in a layout, which part it is, as it is in a cell.
# In the order in which Go looks for them.
_PARTS: tuple[tuple[str, str, str], ...] = (
    (r"January", "month_name", _any_of(MONTHS)),
    (r"Jan(?![a-z])", "month_name", _any_of([name[:3] for name in MONTHS])),
    (r"Monday", "weekday", _any_of(_DAYS)),
    (r"Mon(?![a-z])", "weekday", _any_of([name[:3] for name in _DAYS])),
    (r"MST", "zone", r"(?P<_>[A-Z]{3,5})"),
    (r"002", "yearday", r"(?P<_>\d{3})"),
    (r"01", "month", _TWO),
    (r"02", "day", _TWO),
    (r"03", "hour12", _TWO),
    (r"04", "minute", _TWO),
    (r"05", "second", _TWO),
    (r"06", "year2", _TWO),
    (r"15", "hour", _ONE_OR_TWO),
    (r"1", "month", _ONE_OR_TWO),
    (r"2006", "year", r"(?P<_>\d{4})"),
    (r"2", "day", _ONE_OR_TWO),
    (r"__2", "yearday", r" {0,2}(?P<_>\d{1,3})"),
    (r"_2(?!006)", "day", " ?" + _ONE_OR_TWO),
    (r"3", "hour12", _ONE_OR_TWO),
    (r"4", "minute", _ONE_OR_TWO),
    (r"5", "second", _ONE_OR_TWO),
    (r"PM", "half", r"(?P<_>AM|PM)"),
    (r"pm", "half", r"(?P<_>am|pm)"),
    *((rf"-{form}", "offset", _offset(form, or_z=False)) for form in _OFFSETS),
    *((rf"Z{form}", "offset", _offset(form, or_z=True)) for form in _OFFSETS),
    (r"[.,]0+(?!\d)", "fraction", ""),
    (r"[.,]9+(?!\d)", "fraction", _FRACTION),
)
_PART = re.compile("|".join(f"(?P<p{at}>{form})" for at, (form, _, _) in enumerate(_PARTS)))


class Layout(NamedTuple):
    """A layout that was read.

    Attributes:
        expression: matches a whole cell, in the syntax of RE2 and of Python; its groups are called
            g0, g1, ...
        parts: what each group is: year, year2, month, month_name, day, yearday, weekday, hour,
            hour12, half, minute, second, fraction, suffix, offset or zone. Of two of a name the
            later one counts.
    """

    expression: str
    parts: list[str]


def read_layout(text: str, suffix_digits: int = 0) -> Layout:
    """The layout.

    Args:
        text: such as `1/2/2006 3:04:05 PM`.
        suffix_digits: for cells that have a blank and so many digits behind what the layout says.

    Raises:
        InvalidArgumentError: it says no date.
    """
    expression, parts = _expression(_tokens(text))
    _check_date(text, set(parts))
    if suffix_digits:
        expression += rf" (?P<g{len(parts)}>\d{{{suffix_digits}}})"
        parts.append("suffix")
    return Layout(expression, parts)


class _Token(NamedTuple):
    """A part of a layout: its name and expression; of plain text the name is empty."""

    name: str
    expression: str
    starts_with_digit: bool


def _tokens(text: str) -> list[_Token]:
    tokens = []
    end = 0
    for match in _PART.finditer(text):
        if match.start() > end:
            tokens.append(_plain(text[end : match.start()]))
        _, name, expression = _PARTS[int((match.lastgroup or "p0")[1:])]
        if not expression:
            expression = rf"[.,](?P<_>\d{{{min(len(match[0]) - 1, 9)}}})"
        tokens.append(_Token(name, expression, expression.startswith(r"(?P<_>\d")))
        end = match.end()
    if end < len(text):
        tokens.append(_plain(text[end:]))
    return tokens


def _plain(text: str) -> _Token:
    if not text.isprintable():
        raise InvalidArgumentError(f"timeFormat holds the control character {text!r}; remove it")
    # A run of blanks stands for any other run.
    expression = re.sub(r"(?:\\ )+", " +", re.escape(text))
    return _Token("", expression, text[0].isdigit())


def _expression(tokens: list[_Token]) -> tuple[str, list[str]]:
    """The expression of a layout, and the parts that its groups are."""
    pieces: list[str] = []
    names: list[str] = []
    for at, token in enumerate(tokens):
        following = tokens[at + 1] if at + 1 < len(tokens) else None
        expression = token.expression
        if following is not None and following.starts_with_digit:
            # Go takes a second digit where there is one, and here always is one.
            expression = expression.replace(_ONE_OR_TWO, _TWO)
        pieces.append(expression)
        if token.name:
            pieces[-1] = expression.replace("<_>", f"<g{len(names)}>")
            names.append(token.name)
        if token.name == "second" and (following is None or following.name != "fraction"):
            # Go takes it wherever it stands there.
            pieces.append(_FRACTION.replace("<_>", f"<g{len(names)}>"))
            names.append("fraction")
    return "".join(pieces), names


def _check_date(text: str, names: set[str]) -> None:
    has_day = "yearday" in names or ("day" in names and names & {"month", "month_name"})
    if not (has_day and names & {"year", "year2"}):
        raise InvalidArgumentError(
            f"timeFormat {text!r} does not say year, month and day; write how the time 15:04:05 of "
            "2 January 2006 would stand in the file, or timestamp for seconds since 1970"
        )
