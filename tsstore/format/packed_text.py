"""Text in few bytes: numerals as numbers, repeated words once, other text character by character.

A column of text is `U1` to `U1024`: four bytes per character, most of them zero. All of these see
it as a matrix of code points, rows by characters.
"""

from __future__ import annotations

import struct
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.format.constants import ENCODING_INTEGERS
from tsstore.format.encoding import UnknownEncodingError
from tsstore.format.packed_numbers import (
    Stored,
    Whole,
    compress,
    decompress,
    pack_integers,
    unpack_header,
    unpack_integers,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

_CHARACTERS = struct.Struct("<HBB")  # characters per row, bytes of each, whether places are apart
_LENGTH = struct.Struct("<I")  # bytes of a place
_WORDS = struct.Struct("<II")  # number of words, bytes of their characters

# From so many rows on, places coded one by one pay for what is around each of them.
_APART_ROWS_MIN = 512

_ZERO = ord("0")
# Any large odd number does (this one is 2^64 / golden ratio).
_SUM_FACTOR = np.uint64(0x9E3779B97F4A7C15)
# The longest numerals that are surely below 2^63.
_DIGITS_MAX = 18
_TENS = 10 ** np.arange(_DIGITS_MAX + 1, dtype=np.int64)


def _matrix(values: NDArray[Any]) -> NDArray[np.uint32]:
    return values.view(np.uint32).reshape(len(values), -1)


def _used(values: NDArray[Any]) -> NDArray[np.uint32]:
    """The matrix without the characters that no row has at its end."""
    matrix = _matrix(values)
    places = np.flatnonzero(matrix.any(axis=0))
    return matrix[:, : int(places[-1]) + 1 if len(places) else 1]


# ---------------------------------------------------------------- characters


def pack_characters(values: NDArray[Any]) -> bytes:
    """Place by place: the first characters of all rows, then the second ones."""
    matrix = _used(values)
    high = int(matrix.max())
    size = 1 if high < 1 << 8 else 2 if high < 1 << 16 else 4
    places = matrix.T.astype(f"<u{size}", order="C")
    apart = len(values) >= _APART_ROWS_MIN
    header = _CHARACTERS.pack(len(places), size, apart)
    if not apart:
        return header + compress(places.ravel(), delta=False)
    return b"".join([header, *map(_pack_place, places)])


def _pack_place(characters: NDArray[Any]) -> bytes:
    stored = min((compress(characters, delta=delta) for delta in (False, True)), key=len)
    return _LENGTH.pack(len(stored)) + stored


def unpack_characters(data: memoryview, out: NDArray[Any]) -> None:
    """Raises UnknownEncodingError."""
    _check_text(out)
    width, size, apart = unpack_header(_CHARACTERS, data)
    data = data[_CHARACTERS.size :]
    matrix = _matrix(out)
    if not 1 <= width <= matrix.shape[1] or size not in {1, 2, 4} or apart > 1:
        raise UnknownEncodingError(f"{width} characters of {size} bytes in a column {out.dtype}")
    places = np.empty((width, len(out)), f"<u{size}")
    if not apart:
        decompress(data, places.ravel())
    else:
        for place in places:
            (length,) = unpack_header(_LENGTH, data)
            data = data[_LENGTH.size :]
            decompress(data[:length], place)
            data = data[length:]
        if data:
            raise UnknownEncodingError("a block of characters goes on behind the last place")
    matrix[:, :width] = places.T
    matrix[:, width:] = 0


# ---------------------------------------------------------------- words


def pack_words(values: NDArray[Any]) -> bytes | None:
    """Every word once, and which word each row has; None if most words are there only once."""
    # Sorting text is slow. Two words of one sum are found out when the block is read back.
    sums = np.zeros(len(values), np.uint64)
    for characters in _used(values).T:
        sums = sums * _SUM_FACTOR + characters
    _, rows, codes = np.unique(sums, return_index=True, return_inverse=True)
    if len(rows) > len(values) // 2:
        return None
    words = pack_characters(values[rows])
    stored = pack_integers(Whole(0, codes.astype(np.int64)), delta=False)
    return _WORDS.pack(len(rows), len(words)) + words + stored


def unpack_words(data: memoryview, out: NDArray[Any]) -> None:
    """Raises UnknownEncodingError."""
    _check_text(out)
    count, length = unpack_header(_WORDS, data)
    if not 1 <= count <= len(out):
        raise UnknownEncodingError(f"{count} words for {len(out)} rows")
    words = np.empty(count, out.dtype)
    unpack_characters(data[_WORDS.size : _WORDS.size + length], words)
    codes = np.empty(len(out), np.int64)
    _unpack_integers(data[_WORDS.size + length :], codes)
    if codes.min() < 0 or codes.max() >= count:
        raise UnknownEncodingError("a block of words refers to a word that it does not have")
    words.take(codes, out=out)


# ---------------------------------------------------------------- numerals


def pack_numerals(values: NDArray[Any], *, delta: bool) -> bytes | None:
    """Decimal numbers without sign and leading zeros; None if there is any other text."""
    matrix = _used(values)
    width = matrix.shape[1]
    if width > _DIGITS_MAX or not _ZERO <= int(matrix[0, 0]) <= _ZERO + 9:
        return None
    digits = matrix.astype(np.int64) - _ZERO
    lengths = (matrix != 0).sum(axis=1)
    inside = np.arange(width) < lengths[:, None]
    if (inside & ((digits < 0) | (digits > 9))).any() or (matrix[~inside] != 0).any():
        return None
    numbers = np.zeros(len(values), np.int64)
    for place in range(width):
        numbers = np.where(inside[:, place], numbers * 10 + digits[:, place], numbers)
    if (np.maximum(_lengths(numbers), 1) != lengths).any():
        return None
    return pack_integers(Whole(0, numbers), delta=delta)


def unpack_numerals(data: memoryview, out: NDArray[Any]) -> None:
    """Raises UnknownEncodingError."""
    _check_text(out)
    numbers = np.empty(len(out), np.int64)
    _unpack_integers(data, numbers)
    matrix = _matrix(out)
    lengths = _lengths(numbers)
    width = int(lengths.max())
    if numbers.min() < 0 or width > min(matrix.shape[1], _DIGITS_MAX):
        raise UnknownEncodingError(f"numerals that do not fit in a column {out.dtype}")
    left = numbers * _TENS[width - lengths]  # the first digit of every row in the first place
    matrix[:] = 0
    for place in range(width - 1, -1, -1):
        rest = left // 10
        matrix[:, place] = left - rest * 10 + _ZERO
        left = rest
    matrix[:, :width] *= np.arange(width) < lengths[:, None]


def _unpack_integers(data: memoryview, out: NDArray[np.int64]) -> None:
    unpack_integers(Stored.block(ENCODING_INTEGERS, data, len(out)), out)


def _lengths(numbers: NDArray[np.int64]) -> NDArray[np.intp]:
    """How many digits each number has."""
    return np.maximum(_TENS.searchsorted(numbers, "right"), 1)


def _check_text(out: NDArray[Any]) -> None:
    if out.dtype.kind != "U":
        raise UnknownEncodingError("text in a column of numbers")
