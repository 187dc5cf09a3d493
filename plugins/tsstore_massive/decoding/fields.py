"""Types of what the vendor writes.

Quantities are floats, because the vendor writes 12 as `12.0` or `"12.0"` when it likes; whole
numbers come in any of these spellings too. Bounds keep NaN and infinity out, and every value within
its column's type.
"""

from __future__ import annotations

import hashlib
from contextlib import suppress
from typing import Annotated, TypeAlias

from msgspec import Meta, ValidationError, convert

NAN = float("nan")

_ID_DIGITS_MAX = 19

Number: TypeAlias = Annotated[float, Meta(ge=0, le=1e15)]
#: Indices, spreads of futures and oil in April 2020 fall below zero.
Signed: TypeAlias = Annotated[float, Meta(ge=-1e15, le=1e15)]
Byte: TypeAlias = Annotated[int, Meta(ge=0, le=2**8 - 1)]
Code: TypeAlias = Annotated[int, Meta(ge=0, le=2**16 - 1)]
Count: TypeAlias = Annotated[int, Meta(ge=0, le=2**63 - 1)]
#: Milliseconds since 1973 or later, or the same in a finer unit.
Time: TypeAlias = Annotated[int, Meta(ge=10**11, le=2**63 - 1)]
Symbol: TypeAlias = Annotated[str, Meta(min_length=1, max_length=64)]
Id: TypeAlias = Annotated[int, Meta(ge=-(2**63), le=2**63 - 1)]
Letter: TypeAlias = Annotated[str, Meta(max_length=1)]


def id_number(text: str) -> int:
    """The number of a trade id that came as text: the one it spells, or one that stands for it.

    So it is one number from all sources, also where a decoder has read the text by itself: `7.0`
    is 7 to those that are not strict. No text is no id, 0.
    """
    if _is_decimal(text) or not text:
        return int(text or 0)
    with suppress(ValidationError):
        return convert(text, Id, strict=False)
    return text_id(text)


def text_id(text: str) -> int:
    """A trade id that is not a number, as a negative one: the same text always the same number."""
    digest = hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return -1 - (int.from_bytes(digest, "little") >> 1)


def _is_decimal(text: str) -> bool:
    # Python refuses to read a number of thousands of digits.
    return len(text) <= _ID_DIGITS_MAX and text.isascii() and text.isdigit() and int(text) < 2**63
