"""Bucket keys `symbol/timeframe/attribute group`, their patterns, and their names on disk."""

from __future__ import annotations

import re
from functools import lru_cache
from typing import TYPE_CHECKING, NamedTuple

from tsstore.errors import InvalidKeyError
from tsstore.shown import shown
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Iterable

#: What MarketStore appends to a key on the wire: the names of its three parts.
KEY_CATEGORY = "Symbol/Timeframe/AttributeGroup"
PART_BYTES_MAX = 128
# File systems take names of 255 bytes.
_DISK_NAME_MAX = 200
# What a pattern from a stranger may cost: its choices are written out, its parts looked for. A
# thousand characters take some milliseconds, during which little else is done.
_CHOICES_MAX = 100
_PATTERN_CHARACTERS_MAX = 4096
_PATTERNS_CHARACTERS_MAX = 65_536

# '/' ',' and the glob characters have a meaning in requests; ':' is part of real symbols (O:AAPL…).
# Compiled when a name that is not just letters and digits asks for it: most programs see none.
_FORBIDDEN = r"[\x00-\x1f\x7f/\\,*?\[\]{}\s\ud800-\udfff\u200e\u200f\u202a-\u202e\u2066-\u2069]"
_SURROGATE = r"[\ud800-\udfff]"
_PLAIN_ON_DISK = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.-_=+^")


class BucketKey(NamedTuple):
    """The name of a bucket.

    Attributes:
        symbol: the instrument, case-sensitive (`BCpC` is not `BCPC`).
        timeframe: the slot length as it was spelled, such as `1Min`.
        attribute_group: the name of the column set, such as `OHLCV`.
    """

    symbol: str
    timeframe: str
    attribute_group: str

    @staticmethod
    @lru_cache(maxsize=65536)
    def parse(text: str) -> BucketKey:
        """Read `AAPL/1Min/OHLCV`, with or without MarketStore's suffix.

        Raises:
            InvalidKeyError: not three parts, or a part that is not allowed.
        """
        if not isinstance(text, str):
            raise InvalidKeyError(
                f"a bucket key is text such as AAPL/1Min/OHLCV, not {shown(text)}"
            )
        parts = text.removesuffix(":" + KEY_CATEGORY).split("/")
        if len(parts) != 3:
            raise InvalidKeyError(
                f"bucket key {shown(text)} has {len(parts)} part(s); "
                "write symbol/timeframe/attribute group, such as AAPL/1Min/OHLCV"
            )
        symbol, timeframe, attribute_group = parts
        if is_pattern(text) or "," in text:
            raise _several(text, parts)
        check_part("symbol", symbol)
        Timeframe.parse(timeframe)
        check_part("attribute group", attribute_group)
        return BucketKey(symbol, timeframe, attribute_group)

    def __str__(self) -> str:
        return f"{self.symbol}/{self.timeframe}/{self.attribute_group}"


def _several(text: str, parts: list[str]) -> InvalidKeyError:
    """What to do where one bucket is wanted and several are named."""
    bad = next(character for character in text if character in "*?[{,")
    # MarketStore's users write `AAPL,MSFT/1Min/OHLCV`, and tsstore's `{AAPL,MSFT}/1Min/OHLCV`.
    chosen = [f"{{{part}}}" if "," in part and not is_pattern(part) else part for part in parts]
    pattern = "/".join(chosen)
    refusal = (
        f"bucket key {shown(text)} holds {bad!r}, which no name may hold, and this takes one bucket"
    )
    error = InvalidKeyError(
        f"{refusal}; several are read with read({pattern!r}), and found with list({pattern!r})"
    )
    error.shell_text = (
        f"{refusal}; `tsstore query '{pattern}'` reads several, and `tsstore ls '{pattern}'` lists "
        "them, to run this for each"
    )
    return error


def check_part(what: str, text: str) -> None:
    """Refuse a symbol or attribute group that is not allowed. Every name passes here.

    Raises:
        InvalidKeyError: empty, too long, dots only, or with a character that is not allowed.
    """
    if not text or not text.strip("."):
        raise InvalidKeyError(
            f"{what} {shown(text)} is empty or only dots; use a name such as AAPL"
        )
    bad = None if text.isascii() and text.isalnum() else re.search(_FORBIDDEN, text)
    if bad is not None:
        raise InvalidKeyError(
            f"{what} {shown(text)} holds {bad[0]!r}, which no name may hold; "
            "blanks, control characters and / \\ , * ? [ ] { } are refused"
        )
    if len(text.encode()) > PART_BYTES_MAX:
        raise InvalidKeyError(
            f"{what} {text[:20]!r}… is longer than {PART_BYTES_MAX} bytes; use a shorter name"
        )


def check_unicode(text: str) -> None:
    """Refuse half a character, which no name has and no message can carry.

    Raises:
        InvalidKeyError: a lone surrogate.
    """
    if not text.isascii() and re.search(_SURROGATE, text):
        raise InvalidKeyError(f"{text[:40]!r} is no Unicode text; correct the name")


def name_on_disk(part: str) -> str:
    """A file name for one part of a key, different for different parts on every file system.

    Capitals, digits and a few signs stay; a small letter `p` becomes `~p`, so that `BCpC` and
    `BCPC` differ where the file system ignores case; other bytes become `%XX`, and so does a dot
    in front. A name that would be too long for a file system ends in a hash of the part.
    """
    pieces = []
    for index, character in enumerate(part):
        if character in _PLAIN_ON_DISK and not (index == 0 and character == "."):
            pieces.append(character)
        elif "a" <= character <= "z":
            pieces.append("~" + character)
        else:
            pieces.extend(f"%{byte:02X}" for byte in character.encode())
    name = "".join(pieces)
    if len(name) <= _DISK_NAME_MAX:
        return name
    from hashlib import blake2b  # names this long are rare, and the import is slow

    return name[: _DISK_NAME_MAX - 33] + "%" + blake2b(part.encode(), digest_size=16).hexdigest()


class KeyPattern:
    """A glob over bucket keys: `A*/1Min/OHLCV`, `*/1Min/*`, `{AAPL,MSFT}/1D/OHLCV`.

    `*` and `?` and `[...]` match within one part of the key; `{a,b}` are alternatives.

    Attributes:
        text: the pattern as it was written.
        parts: its three parts.
        characters: how long it is with its `{}` written out.

    Raises:
        InvalidKeyError: not three parts, an unfinished choice or set, more than 4096 characters
            or, with its `{}` written out, more than 100 choices for one part or 4096 characters.
    """

    def __init__(self, text: str) -> None:
        if not isinstance(text, str):
            raise InvalidKeyError(f"a pattern is text such as */1Min/OHLCV, not {shown(text)}")
        check_unicode(text)
        if len(text) > _PATTERN_CHARACTERS_MAX:
            raise InvalidKeyError(
                f"pattern {text[:20]!r}… is longer than {_PATTERN_CHARACTERS_MAX} characters; "
                "use several shorter ones"
            )
        parts = _split_outside_braces(text.removesuffix(":" + KEY_CATEGORY))
        if len(parts) != 3:
            raise InvalidKeyError(
                f"pattern {shown(text)} has {len(parts)} part(s); write three, such as */1Min/OHLCV"
            )
        self.text = text
        self.parts = tuple(parts)
        try:
            choices = [_expanded(part) for part in parts]
            self.characters = _characters([text for several in choices for text in several])
            self._match = re.compile("/".join(map(_translate, choices))).fullmatch
        except re.error:
            raise InvalidKeyError(f"pattern {shown(text)} has an unfinished [ or {{") from None

    def matches(self, key: str) -> bool:
        """Whether a key, written as text, matches."""
        return self._match(key) is not None

    def filter(self, keys: Iterable[str]) -> list[str]:
        """The keys that match, in their order."""
        match = self._match
        return [key for key in keys if match(key)]


def bounded(patterns: Iterable[KeyPattern]) -> list[KeyPattern]:
    """Several patterns, made while they are gone through.

    Raises:
        InvalidKeyError: together they are too long to be looked for.
    """
    listed: list[KeyPattern] = []
    characters = 0
    for pattern in patterns:
        listed.append(pattern)
        characters += pattern.characters
        if characters > _PATTERNS_CHARACTERS_MAX:
            raise InvalidKeyError(
                f"patterns of more than {_PATTERNS_CHARACTERS_MAX} characters, their {{}} written "
                "out; use fewer or wider ones"
            )
    return listed


def is_own(key: str) -> bool:
    """Whether a bucket holds what a plugin keeps for itself, by its name, `_massive/24H/…`."""
    return key.startswith("_")


def is_pattern(text: str) -> bool:
    """Whether the text holds a glob character."""
    return any(character in text for character in "*?[{")


def _split_outside_braces(text: str) -> list[str]:
    return re.split(r"/(?![^{]*\})", text)


def _translate(choices: list[str]) -> str:
    """One part of a pattern as a regular expression, which takes time as it is long."""
    return f"(?:{'|'.join(map(_translate_plain, choices))})"


def _characters(choices: list[str]) -> int:
    characters = sum(map(len, choices))
    if characters > _PATTERN_CHARACTERS_MAX:
        raise InvalidKeyError(
            f"a pattern is longer than {_PATTERN_CHARACTERS_MAX} characters with its {{}} written "
            "out; use * or several patterns"
        )
    return characters


def _expanded(part: str) -> list[str]:
    """`a{b,c}` as `ab` and `ac`. Choices are written out so that each has its own stars."""
    if part.count("{") > _CHOICES_MAX:
        raise _too_many_choices()
    opening = _opening_brace(part)
    if opening is None:
        return [part]
    depth = 0
    begin = opening + 1
    choices = []
    for index in range(opening, len(part)):
        character = part[index]
        depth += (character == "{") - (character == "}")
        if depth == 0 or (character == "," and depth == 1):
            choices.append(part[begin:index])
            begin = index + 1
        if depth == 0:
            break
    else:
        raise re.error("unfinished choice")
    inner = [text for choice in choices for text in _expanded(choice)]
    rest = _expanded(part[begin:])
    if len(inner) * len(rest) > _CHOICES_MAX:
        raise _too_many_choices()
    expanded = [part[:opening] + choice + tail for choice in inner for tail in rest]
    _characters(expanded)  # here as well, for it grows at each level
    return expanded


def _too_many_choices() -> InvalidKeyError:
    return InvalidKeyError(
        f"a pattern has more than {_CHOICES_MAX} choices in its {{}}; use * or several patterns"
    )


def _opening_brace(part: str) -> int | None:
    """Where the first `{` stands that is not within `[...]`."""
    index = 0
    while index < len(part):
        if part[index] == "{":
            return index
        index = _set_end(part, index) if part[index] == "[" else index + 1
    return None


def _set_end(part: str, opening: int) -> int:
    """Where what follows `[...]` begins."""
    end = part.find("]", opening + 2)
    if end < 0:
        raise re.error("unfinished set")
    return end + 1


def _translate_plain(text: str) -> str:
    pieces = [""]  # what stands between stars
    index = 0
    while index < len(text):
        character = text[index]
        if character == "*":
            if text[index - 1 : index] != "*":  # several are one
                pieces.append("")
        elif character == "?":
            pieces[-1] += "[^/]"
        elif character == "[":
            end = _set_end(text, index)
            pieces[-1] += _translate_set(text[index + 1 : end - 1])
            index = end - 1
        else:
            pieces[-1] += re.escape(character)
        index += 1
    first, *rest = pieces
    if not rest:
        return first
    # The first place where a piece fits is as good as any later one, so a star need not be tried
    # again: the atomic groups say so, and `*a*a*a*a*b` stays linear.
    between = "".join(f"(?>[^/]*?{piece})" for piece in rest[:-1])
    return f"{first}{between}[^/]*{rest[-1]}"


def _translate_set(body: str) -> str:
    negated = body[:1] in ("!", "^")
    # All but the range sign stands for itself.
    members = re.sub(r"([\\\[\]^&~|]|(?<=-)-)", r"\\\1", body[negated:])
    return f"[{'^' * negated}{members}]"
