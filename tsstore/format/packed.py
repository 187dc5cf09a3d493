"""Packed column blocks: the fewest bytes that give back every bit.

Which encoding a block gets is found by trying; the winner is kept for the blocks that follow, so
that trials are rare. Whatever was chosen is unpacked again and compared before it is handed out,
and if a single bit differs it is not used.

Stored bytes, all integers little-endian. *pco* is what pcodec wrote in its wrapped format: its
header (the version), the meta of one chunk and the one page of it, to the end of the block.

| encoding | number | stored bytes | of |
|---|---|---|---|
| ENCODING_FLOATS | 16 | pco of the type of the column | f4, f8 |
| ENCODING_INTEGERS | 17 | u1 width, u1 scale, pco | all numbers, b1 |
| ENCODING_OFFSETS | 18 | u1 width, u1 scale, u1 base, u2 column, u2 column, pco | all numbers, b1 |
| ENCODING_CHARACTERS | 19 | u2 characters, u1 size, u1 apart, pco or pcos | U |
| ENCODING_NUMERALS | 20 | u1 width, u1 0, pco | U |
| ENCODING_WORDS | 21 | u4 words, u4 length, CHARACTERS of the words, INTEGERS of the rows | U |

*width* 0, 1, 2, 3: pco holds whole numbers of i1, i2, i4, i8. A float is the whole number /
10^scale (scale 0 to 9) in float64, rounded to the type of the column. An integer is the whole
number * unit (1, 10^3, 10^6, 10^9, 60·10^9 for scale 0 to 4), modulo the type of the column.

*base*: 0 the first column, 1 its row before (in the first row of the block: the row itself), 2 the
greater, 3 the lesser of the two columns; all in float64 or int64, column 0 is the time. A float is
(rint(base * 10^scale) + whole number) / 10^scale, an integer base + whole number * unit. A column
that is referred to may refer to others in turn, REFERENCE_DEPTH columns deep at most.

CHARACTERS: the first character of every row, then the second ones and so on, as code points of
*size* 1, 2 or 4 bytes; the characters behind are 0. All are in one pco if *apart* is 0. If it is 1,
every place has a pco of its own, with its length (u4) in front of it. NUMERALS: decimal numbers
without leading zeros. WORDS: the distinct values, and for every row which of them it has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.format.constants import (
    ENCODING_CHARACTERS,
    ENCODING_CONSTANT,
    ENCODING_FLOATS,
    ENCODING_INTEGERS,
    ENCODING_NUMERALS,
    ENCODING_OFFSETS,
    ENCODING_RAW,
    ENCODING_WORDS,
)
from tsstore.format.encoding import UnknownEncodingError, decode_block, encode_block
from tsstore.format.packed_numbers import (
    BASE_BEFORE,
    BASE_GREATER,
    BASE_LESSER,
    BASE_SAME,
    INTEGERS_BYTES,
    OFFSETS_BYTES,
    Base,
    Stored,
    Unpacked,
    Whole,
    pack_floats,
    pack_integers,
    pack_offsets,
    unpack_floats,
    unpack_integers,
    unpack_offsets,
    whole_numbers,
)
from tsstore.format.packed_text import (
    pack_characters,
    pack_numerals,
    pack_words,
    unpack_characters,
    unpack_numerals,
    unpack_words,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

# After so many blocks another encoding may have become the better one; something may be better than
# RAW any time, but trying everything for every block is slow.
_TRIAL_BLOCKS = 64
_TRIAL_BLOCKS_RAW = 4
# What was found on few rows says little about many times as many.
_TRIAL_GROWTH = 4
# Rows of a block on which everything is tried.
_TRIAL_ROWS = 1024
# Below, what is around packed numbers is more than can be saved.
_PACKED_BYTES_MIN = 24
# Reading a packed block costs time, and a block that refers to others costs theirs: what comes
# later in the list of candidates must save this part of what the best one before it takes.
_SAVED_PART = 1 / 32
# Of encodings that are undone for several blocks at once: what stands in front of pco.
_STEP_BYTES = {ENCODING_INTEGERS: INTEGERS_BYTES, ENCODING_OFFSETS: OFFSETS_BYTES}


class _Recipe(NamedTuple):
    """One way to pack a column."""

    encoding: int
    delta: bool = False
    base: Base | None = None


class Packer:
    """Packs the blocks of one segment. Not for several threads at once.

    Args:
        dtypes: of all columns; column 0 is the time.
        names: of all columns. They tell which columns may be near to others (Open, High, Low,
            Close, VWAP; Bid… and Ask…); a name that promises too much costs a few trials.
    """

    def __init__(self, dtypes: Sequence[np.dtype[Any]], names: Sequence[str]) -> None:
        bases = _bases(dtypes, names)
        self._columns = [
            _Column(_candidates(dtype, near)) for dtype, near in zip(dtypes, bases, strict=True)
        ]

    def pack(self, columns: Sequence[NDArray[Any]]) -> list[tuple[int, bytes | memoryview]]:
        """One block of every column.

        Args:
            columns: one-dimensional, contiguous, aligned, little-endian, of the types that were
                announced, all of one length of 1 to 2^24 rows.

        Returns:
            Per column the number of the encoding and the stored bytes.
        """
        block = _Block(columns, self._columns)
        with np.errstate(all="ignore"):  # values that are no decimals may overflow on the way
            return [column.pack(block, place) for place, column in enumerate(self._columns)]


class _Column:
    """What is known of a column from the blocks before."""

    def __init__(self, candidates: Sequence[_Recipe]) -> None:
        self.scale = 0
        self._candidates = candidates
        self._recipe = _Recipe(ENCODING_RAW)
        self._blocks_left = 0
        self._rows_max = 0

    def pack(self, block: _Block, place: int) -> tuple[int, bytes | memoryview]:
        values = block.columns[place]
        encoding, plain = encode_block(values)
        if encoding == ENCODING_CONSTANT or values.nbytes < _PACKED_BYTES_MIN:
            return encoding, plain
        if not self._blocks_left or len(values) > self._rows_max:
            self._choose(block.head(), place)
            self._rows_max = _TRIAL_GROWTH * len(values)
        self._blocks_left -= 1
        stored = self._pack(block, place)
        if stored is None and self._recipe.encoding != ENCODING_RAW:  # other values than before
            self._choose(block, place)
            stored = self._pack(block, place)
        return (encoding, plain) if stored is None else (self._recipe.encoding, stored)

    def _choose(self, block: _Block, place: int) -> None:
        self._recipe = _Recipe(ENCODING_RAW)
        size = block.columns[place].nbytes
        for recipe in self._candidates:
            stored = block.pack(place, recipe)
            if stored is not None and block.accepts(place, recipe, stored, size):
                self._recipe, size = recipe, len(stored)
        raw = self._recipe.encoding == ENCODING_RAW
        self._blocks_left = _TRIAL_BLOCKS_RAW if raw else _TRIAL_BLOCKS

    def _pack(self, block: _Block, place: int) -> bytes | None:
        stored = block.pack(place, self._recipe)
        size = block.columns[place].nbytes
        if stored is None or not block.accepts(place, self._recipe, stored, size):
            return None
        return stored


class _Block:
    """The columns of one block, and what several of them need, computed once."""

    def __init__(self, columns: Sequence[NDArray[Any]], known: Sequence[_Column]) -> None:
        self.columns = columns
        self._known = known
        self._whole: dict[int, Whole | None] = {}
        self._head: _Block | None = None

    def head(self) -> _Block:
        """The first rows of the block, enough to try on."""
        if len(self.columns[0]) <= _TRIAL_ROWS:
            return self
        if self._head is None:
            columns = [column[:_TRIAL_ROWS] for column in self.columns]
            self._head = _Block(columns, self._known)
        return self._head

    def whole(self, place: int) -> Whole | None:
        if place not in self._whole:
            found = whole_numbers(self.columns[place], self._known[place].scale)
            self._whole[place] = found
            if found is not None:
                self._known[place].scale = found.scale
        return self._whole[place]

    def pack(self, place: int, recipe: _Recipe) -> bytes | None:
        """The stored bytes; None if that cannot be done with these values."""
        values = self.columns[place]
        if recipe.encoding == ENCODING_RAW:
            return None
        if recipe.encoding == ENCODING_CHARACTERS:
            return pack_characters(values)
        if recipe.encoding == ENCODING_WORDS:
            return pack_words(values)
        if recipe.encoding == ENCODING_NUMERALS:
            return pack_numerals(values, delta=recipe.delta)
        whole = self.whole(place)
        if recipe.encoding == ENCODING_FLOATS:  # only for what has no whole numbers
            return pack_floats(values) if whole is None else None
        if whole is None:
            return None
        if recipe.base is None:
            return pack_integers(whole, delta=recipe.delta)
        return self._pack_offsets(place, recipe.base, delta=recipe.delta)

    def _pack_offsets(self, place: int, base: Base, *, delta: bool) -> bytes | None:
        scales = []
        for needed in (place, base.first, base.second):
            whole = self.whole(needed)
            if whole is None:
                return None
            scales.append(whole.scale)
        values = self.columns[place]
        # A finer scale than a column's own is exact as well: more decimals, a smaller unit.
        scale = max(scales) if values.dtype.kind == "f" else min(scales)
        return pack_offsets(values, base, scale, self.columns.__getitem__, delta=delta)

    def accepts(self, place: int, recipe: _Recipe, stored: bytes, size: int) -> bool:
        """Whether the bytes are worth it against `size` bytes, and give back every bit."""
        if len(stored) > size * (1 - _SAVED_PART):
            return False
        values = self.columns[place]
        again = np.empty_like(values)
        try:
            block = Stored.block(recipe.encoding, memoryview(stored), len(again))
            unpack(block, again, lambda other: Unpacked(self.columns[other]))
        except UnknownEncodingError:  # two words with one sum
            return False
        return again.tobytes() == values.tobytes()


def unpack(stored: Stored, out: NDArray[Any], column: Callable[[int], Unpacked]) -> Unpacked:
    """Fill `out` with the values of neighbouring blocks of a column, packed or not.

    Args:
        stored: one block or more.
        out: one-dimensional, contiguous, aligned; as long as all blocks.
        column: gives the same rows of another column. Only OFFSETS asks. It has to raise
            UnknownEncodingError for a column that is not there and for references deeper than
            REFERENCE_DEPTH, which ends cycles as well.

    Returns:
        `out`, and what other columns that refer to it need not compute.

    Raises:
        UnknownEncodingError: an encoding has no meaning here, or the bytes cannot be such blocks.
    """
    encoding = stored.encodings[0]
    if len(stored.data) > 1 and not _is_one_step(stored):
        _unpack_each(stored, out, column)
    elif encoding == ENCODING_INTEGERS:
        _check_numbers(out)
        return unpack_integers(stored, out)
    elif encoding == ENCODING_OFFSETS:
        _check_numbers(out)
        return unpack_offsets(stored, out, column)
    else:
        _unpack_block(encoding, stored.data[0], out)
    return Unpacked(out)


def _is_one_step(stored: Stored) -> bool:
    """Whether the blocks hold numbers that differ in their width at most."""
    size = _STEP_BYTES.get(stored.encodings[0], 0)
    if not size or len(set(stored.encodings)) > 1:
        return False
    return len({bytes(data[1:size]) for data in stored.data}) == 1


def _unpack_each(stored: Stored, out: NDArray[Any], column: Callable[[int], Unpacked]) -> None:
    for encoding, data, (first, end) in zip(
        stored.encodings, stored.data, stored.spans(), strict=True
    ):

        def part(other: int, first: int = first, end: int = end) -> Unpacked:
            return column(other).part(first, end)

        unpack(Stored.block(encoding, data, end - first), out[first:end], part)


def _unpack_block(encoding: int, data: memoryview, out: NDArray[Any]) -> None:
    if encoding == ENCODING_FLOATS:
        unpack_floats(data, out)
    elif encoding == ENCODING_CHARACTERS:
        unpack_characters(data, out)
    elif encoding == ENCODING_WORDS:
        unpack_words(data, out)
    elif encoding == ENCODING_NUMERALS:
        unpack_numerals(data, out)
    else:
        decode_block(encoding, data, out)


def _check_numbers(out: NDArray[Any]) -> None:
    if out.dtype.kind not in "fiub":
        raise UnknownEncodingError("numbers in a column of text")


def _candidates(dtype: np.dtype[Any], bases: Sequence[Base]) -> list[_Recipe]:
    """What is tried for a column; what costs more to read comes later."""
    if dtype.kind == "U":
        return [
            _Recipe(ENCODING_NUMERALS, delta=False),
            _Recipe(ENCODING_NUMERALS, delta=True),
            _Recipe(ENCODING_WORDS),
            _Recipe(ENCODING_CHARACTERS),
        ]
    found = [_Recipe(ENCODING_FLOATS)] if dtype.kind == "f" else []
    found += [_Recipe(ENCODING_INTEGERS, delta) for delta in (False, True)]
    found += [_Recipe(ENCODING_OFFSETS, delta, base) for base in bases for delta in (False, True)]
    return found


def _bases(dtypes: Sequence[np.dtype[Any]], names: Sequence[str]) -> list[list[Base]]:
    """What each column may be near to, by its name.

    There are no cycles: the time is near to nothing, a close or a bid to nothing but the time, the
    open to the close. Column 0 is the time, so 0 stands for a column that is not there as well.
    """
    places: dict[str, int] = {}
    for place, name in enumerate(names[1:], 1):
        places.setdefault(name.lower(), place)
    first = places.get("open", places.get("o", 0))
    close = places.get("close", places.get("c", 0))

    def near(name: str) -> Base:
        if name in {"open", "o"}:
            return Base(BASE_BEFORE, close, close)
        if name in {"high", "h"}:
            return Base(BASE_GREATER, first, close)
        if name in {"low", "l"}:
            return Base(BASE_LESSER, first, close)
        if name in {"vwap", "vw"}:
            return Base(BASE_SAME, close, close)
        if "ask" in name and name.replace("ask", "bid") in places:
            bid = places[name.replace("ask", "bid")]
            return Base(BASE_SAME, bid, bid)
        return Base(BASE_SAME, 0, 0)  # another time

    bases = [near(name.lower()) for name in names]
    return [
        [base] if place and dtypes[base.first] == dtypes[base.second] == dtypes[place] else []
        for place, base in enumerate(bases)
    ]
