"""Numbers in few bytes: pcodec, and what has to be done for it to do well on market data.

Prices are decimals, times are multiples of a unit, a high is a little above the open or the close.
So a column is first turned into small integers, which pcodec then codes with about the bits that
are in them. Every function here is exact for the values it accepts; what cannot be turned into
integers goes to pcodec as floats.

*Whole numbers* below are the integers of a column: float64 without fraction below 2^53 for a column
of floats, so that the arithmetic stays in one vectorised type, int64 for all others.
"""

from __future__ import annotations

import struct
from functools import cache
from itertools import pairwise
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.format.encoding import UnknownEncodingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

# Level 6 is within 1 % of level 8 in size and decodes as fast as level 4.
_LEVEL = 6
# The most that pcodec takes, so that a block is always one page.
_PAGE_ROWS = 1 << 24

_PCO_TYPES = {
    "i1": "i8",
    "i2": "i16",
    "i4": "i32",
    "i8": "i64",
    "u1": "u8",
    "u2": "u16",
    "u4": "u32",
    "f4": "f32",
    "f8": "f64",
}
# What whole numbers are narrowed to; the index stands in the block.
_WIDTHS = [np.dtype(f"<i{size}") for size in (1, 2, 4, 8)]
_LIMITS = [int(np.iinfo(dtype).max) for dtype in _WIDTHS]
# How far from 0 they are at most; how far sums may be that fit in 4 bytes; how far those are that a
# decimal in float64 may not give back.
_REACHES = [1 << 8 * dtype.itemsize - 1 for dtype in _WIDTHS]
_SHORT_REACH = (1 << 31) - 1
_EXACT_REACH = 1 << 51

# Floats are whole numbers / 10^scale.
_DECIMALS_MAX = 9
_POWERS = 10.0 ** np.arange(_DECIMALS_MAX + 1)
# Above, whole numbers are not exact in the type, or so large that any float would pass for decimal.
_WHOLE_LIMITS = {4: 2.0**24, 8: 2.0**53}
# Integers of 8 bytes are whole numbers * unit: the digits that a clock does not have.
_UNITS = (1, 1_000, 1_000_000, 1_000_000_000, 60_000_000_000)

_SAMPLE_ROWS = 64

_INTEGERS = struct.Struct("<BB")  # index of the width, scale
_OFFSETS = struct.Struct("<BBBHH")  # and kind of the base, its columns
INTEGERS_BYTES, OFFSETS_BYTES = _INTEGERS.size, _OFFSETS.size

#: Kinds of a base: a column, the row before of a column, the greater or lesser of two columns.
BASE_SAME, BASE_BEFORE, BASE_GREATER, BASE_LESSER = range(4)
_PICKS: dict[int, np.ufunc] = {BASE_GREATER: np.maximum, BASE_LESSER: np.minimum}


class Base(NamedTuple):
    """What the values of a column are near to, row by row: other columns of the same block."""

    kind: int
    first: int
    second: int

    @property
    def columns(self) -> tuple[int, ...]:
        """The ones it is made of."""
        return (self.first, self.second) if self.kind in _PICKS else (self.first,)

    def of(self, columns: Sequence[NDArray[Any]], starts: Sequence[int]) -> NDArray[Any]:
        """The base of every row.

        Args:
            columns: what stands in `columns`, as numbers that can be compared.
            starts: where in them blocks begin.

        Raises:
            UnknownEncodingError: there is no such base.
        """
        if self.kind == BASE_SAME:
            return columns[0]
        if self.kind == BASE_BEFORE:
            before = np.empty_like(columns[0])
            before[1:] = columns[0][:-1]
            before[starts] = columns[0][starts]
            return before
        pick = _PICKS.get(self.kind)
        if pick is None:
            raise UnknownEncodingError(f"offsets from a base of the unknown kind {self.kind}")
        both: NDArray[Any] = pick(*columns)
        return both


class Whole(NamedTuple):
    """A column as whole numbers: float = number / 10^scale, integer = number * unit[scale]."""

    scale: int
    numbers: NDArray[Any]


class Unpacked(NamedTuple):
    """A column of neighbouring blocks.

    Attributes:
        values: of all rows.
        whole: rint(values * 10^scale), if unpacking came by it; integers or float64.
        scale: of these.
        reach: none of these is further from 0.
    """

    values: NDArray[Any]
    whole: NDArray[Any] | None = None
    scale: int = 0
    reach: int = 0

    def part(self, first: int, end: int) -> Unpacked:
        """Some of the rows, without their whole numbers."""
        return Unpacked(self.values[first:end])


class Stored(NamedTuple):
    """Neighbouring blocks of a column as bytes.

    Attributes:
        encodings: of each block.
        data: of each block.
        starts: first row of each block, from 0 on, then the number of rows.
    """

    encodings: Sequence[int]
    data: Sequence[memoryview]
    starts: Sequence[int]

    @classmethod
    def block(cls, encoding: int, data: memoryview, rows: int) -> Stored:
        """A single one."""
        return cls([encoding], [data], [0, rows])

    def spans(self) -> Iterator[tuple[int, int]]:
        """First row and end row of each block."""
        return pairwise(self.starts)


def whole_numbers(values: NDArray[Any], hint: int) -> Whole | None:
    """The whole numbers of a column, as small as they get; None if it has none.

    Args:
        values: of any type of numbers or truth values.
        hint: the scale to try first, because the block before had it.
    """
    if values.dtype.kind == "f":
        return _decimals(values, hint)
    if values.dtype.itemsize == 8:
        return _multiples(_widened(values), hint)
    return Whole(0, _widened(values))


def _decimals(values: NDArray[Any], hint: int) -> Whole | None:
    numbers = _scaled(values, hint)
    step = len(values) // _SAMPLE_ROWS + 1
    if numbers is not None and (hint == 0 or (numbers[::step] % 10).any()):
        return Whole(hint, numbers)
    for scale in _possible_scales(values[::step]):
        numbers = _scaled(values, scale)
        if numbers is not None:
            return Whole(scale, numbers)
    return None


def _scaled(values: NDArray[Any], scale: int) -> NDArray[np.float64] | None:
    power = _POWERS[scale]
    numbers: NDArray[np.float64] = np.multiply(values, power, dtype=np.float64)
    np.rint(numbers, out=numbers)
    limit = _WHOLE_LIMITS[values.dtype.itemsize]
    if not (-limit < numbers.min() and numbers.max() < limit):  # so that NaN is refused as well
        return None
    again = (numbers / power).astype(values.dtype, copy=False)
    return numbers if again.tobytes() == values.tobytes() else None


def _possible_scales(sample: NDArray[Any]) -> list[int]:
    numbers = np.rint(np.multiply.outer(_POWERS, sample.astype(np.float64)))
    again = (numbers / _POWERS[:, None]).astype(sample.dtype)
    fits: NDArray[np.bool_] = (again == sample).all(axis=1)
    return fits.nonzero()[0].tolist()


def _multiples(values: NDArray[np.int64], hint: int) -> Whole:
    step = len(values) // _SAMPLE_ROWS + 1
    numbers = _divided(values, _UNITS[hint])
    if numbers is not None:
        larger = _UNITS[hint + 1] // _UNITS[hint] if hint + 1 < len(_UNITS) else 0
        if not larger or (numbers[::step] % larger).any():
            return Whole(hint, numbers)
    for scale in range(len(_UNITS) - 1, 0, -1):
        unit = _UNITS[scale]
        if (values[::step] % unit).any():
            continue
        numbers = _divided(values, unit)
        if numbers is not None:
            return Whole(scale, numbers)
    return Whole(0, values)


def _divided(values: NDArray[np.int64], unit: int) -> NDArray[np.int64] | None:
    if unit == 1:
        return values
    numbers = values // unit
    return numbers if (numbers * unit == values).all() else None


def _widened(values: NDArray[Any]) -> NDArray[Any]:
    kind, size = values.dtype.kind, values.dtype.itemsize
    if kind == "f":
        return values.astype(np.float64, copy=False)
    if kind == "u" and size == 8:  # the bits: what counts is that they come back
        return values.view(np.int64)
    if kind in "iub":
        return values.astype(np.int64, copy=False)
    raise UnknownEncodingError("offsets from a column of text")


# ---------------------------------------------------------------- floats as they are


def pack_floats(values: NDArray[Any]) -> bytes:
    """Floats that are no decimals; pcodec looks for what there is."""
    return compress(values, delta=None)


def unpack_floats(data: memoryview, out: NDArray[Any]) -> None:
    """Raises UnknownEncodingError."""
    if out.dtype.kind != "f":
        raise UnknownEncodingError("floats in a column of another type")
    decompress(data, out)


# ---------------------------------------------------------------- whole numbers


def pack_integers(whole: Whole, *, delta: bool) -> bytes:
    """Whole numbers, or with `delta` the steps from row to row."""
    width, numbers = _narrowed(whole.numbers)
    return _INTEGERS.pack(width, whole.scale) + compress(numbers, delta=delta)


def unpack_integers(stored: Stored, out: NDArray[Any]) -> Unpacked:
    """Fill `out` with blocks of one scale.

    Raises:
        UnknownEncodingError: they cannot be such blocks.
    """
    _, scale = unpack_header(_INTEGERS, stored.data[0])
    widths = _widths(stored, _INTEGERS)
    if out.dtype.kind == "f":
        numbers = _numbers(stored, _INTEGERS, widths)
        return _put_decimals(numbers, scale, _REACHES[max(widths)], out)
    unit = _item(_UNITS, scale, "scale")
    if unit == 1:
        _fill(stored, _INTEGERS, widths, out)
    else:
        numbers = _numbers(stored, _INTEGERS, widths)
        np.multiply(numbers, unit, out=out, casting="unsafe", dtype=np.int64)
    return Unpacked(out)


# ---------------------------------------------------------------- offsets from other columns


def pack_offsets(
    values: NDArray[Any],
    base: Base,
    scale: int,
    column: Callable[[int], NDArray[Any]],
    *,
    delta: bool,
) -> bytes | None:
    """How far values are from their base, as whole numbers.

    Args:
        values: the column.
        base: which columns it is near to.
        scale: one at which all of them are whole.
        column: gives these columns.
        delta: whether to code the steps of the offsets from row to row.

    Returns:
        None if they are so far from it that the arithmetic is not exact.
    """
    near = base.of([_widened(column(place)) for place in base.columns], [0])
    if values.dtype.kind == "f":
        power = _POWERS[scale]
        offsets = np.rint(np.multiply(values, power, dtype=np.float64)) - np.rint(near * power)
        if np.abs(offsets).max() >= _WHOLE_LIMITS[8]:
            return None
    else:
        offsets = (_widened(values) - near) // _UNITS[scale]
    width, numbers = _narrowed(offsets)
    return _OFFSETS.pack(width, scale, *base) + compress(numbers, delta=delta)


def unpack_offsets(
    stored: Stored, out: NDArray[Any], column: Callable[[int], Unpacked]
) -> Unpacked:
    """Fill `out` with blocks of one scale and one base.

    Raises:
        UnknownEncodingError: they cannot be such blocks.
    """
    _, scale, *of = unpack_header(_OFFSETS, stored.data[0])
    base = Base(*of)
    columns = [column(place) for place in base.columns]
    if out.dtype.kind == "f":
        return _unpack_decimals(stored, out, base, columns, scale)
    near = _near(base, columns, stored, out)
    unit = _item(_UNITS, scale, "scale")
    numbers = _numbers(stored, _OFFSETS, _widths(stored, _OFFSETS))
    steps = np.multiply(numbers, unit, dtype=np.int64)
    np.add(near, steps, out=out, casting="unsafe")
    return Unpacked(out)


def _unpack_decimals(
    stored: Stored, out: NDArray[Any], base: Base, columns: Sequence[Unpacked], scale: int
) -> Unpacked:
    widths = _widths(stored, _OFFSETS)
    whole = [each.whole for each in columns if each.whole is not None and each.scale == scale]
    with np.errstate(all="ignore"):  # a damaged base may be anything
        if len(whole) == len(columns):
            near = base.of(whole, stored.starts[:-1])
            reach = max(each.reach for each in columns) + _REACHES[max(widths)]
        else:
            power = _item(_POWERS, scale, "scale")
            near = np.rint(_near(base, columns, stored, out) * power)
            reach = _EXACT_REACH
        dtype = np.int32 if reach <= _SHORT_REACH else np.float64
        numbers = np.add(near, _numbers(stored, _OFFSETS, widths), dtype=dtype)
        return _put_decimals(numbers, scale, reach, out)


def _near(
    base: Base, columns: Sequence[Unpacked], stored: Stored, out: NDArray[Any]
) -> NDArray[Any]:
    """The base of every row, from the values of its columns."""
    near = base.of([_widened(column.values) for column in columns], stored.starts[:-1])
    if (near.dtype.kind == "f") != (out.dtype.kind == "f") or len(near) != len(out):
        raise UnknownEncodingError("offsets from a column of another type")
    return near


# ---------------------------------------------------------------- parts


def _widths(stored: Stored, header: struct.Struct) -> list[int]:
    """The width of each block."""
    widths = [unpack_header(header, data)[0] for data in stored.data]
    _item(_WIDTHS, max(widths), "width")
    return widths


def _put_decimals(numbers: NDArray[Any], scale: int, reach: int, out: NDArray[Any]) -> Unpacked:
    """Fill `out` with numbers / 10^scale; whoever refers to them can use the numbers if exact."""
    power = _item(_POWERS, scale, "scale")
    np.divide(numbers, power, out=out, casting="unsafe", dtype=np.float64)
    if out.dtype.itemsize < 8 or reach >= _EXACT_REACH:
        return Unpacked(out)
    return Unpacked(out, numbers, scale, reach)


def _numbers(stored: Stored, header: struct.Struct, widths: Sequence[int]) -> NDArray[Any]:
    """The whole numbers of all blocks, as wide as the widest."""
    numbers = np.empty(stored.starts[-1], _WIDTHS[max(widths)])
    _fill(stored, header, widths, numbers)
    return numbers


def _fill(stored: Stored, header: struct.Struct, widths: Sequence[int], out: NDArray[Any]) -> None:
    for data, width, (first, end) in zip(stored.data, widths, stored.spans(), strict=True):
        rows, dtype = out[first:end], _WIDTHS[width]
        if dtype == out.dtype:
            decompress(data[header.size :], rows)
        else:
            rows[:] = decompress(data[header.size :], np.empty(len(rows), dtype))


def _narrowed(numbers: NDArray[Any]) -> tuple[int, NDArray[Any]]:
    reach = max(int(numbers.max()), -1 - int(numbers.min()))
    width = next(index for index, limit in enumerate(_LIMITS) if reach <= limit)
    return width, numbers.astype(_WIDTHS[width], copy=False)


def unpack_header(header: struct.Struct, data: memoryview) -> tuple[int, ...]:
    """The numbers that a block begins with. Raises UnknownEncodingError."""
    if len(data) < header.size:
        raise UnknownEncodingError(f"a packed block of {len(data)} bytes is cut short")
    return header.unpack_from(data)


def _item(items: Any, index: int, what: str) -> Any:
    if index >= len(items):
        raise UnknownEncodingError(f"a packed block of the unknown {what} {index}")
    return items[index]


class _Codec:
    """pcodec, imported when the first block is packed or unpacked."""

    def __init__(self) -> None:
        from pcodec import ChunkConfig, DeltaSpec, ModeSpec, PagingSpec, wrapped

        self.compressor = wrapped.FileCompressor()
        self.version = self.compressor.write_header()
        self.open = wrapped.FileDecompressor.new
        self.file, _ = self.open(self.version)
        auto = (ModeSpec.auto(), DeltaSpec.auto())
        plain = (ModeSpec.classic(), DeltaSpec.no_op())
        steps = (ModeSpec.classic(), DeltaSpec.try_consecutive(1))
        self.configs = {
            delta: ChunkConfig(
                compression_level=_LEVEL,
                mode_spec=mode,
                delta_spec=spec,
                paging_spec=PagingSpec.equal_pages_up_to(_PAGE_ROWS),
                enable_8_bit=True,
            )
            for delta, (mode, spec) in {None: auto, False: plain, True: steps}.items()
        }


_codec = cache(_Codec)


def compress(numbers: NDArray[Any], *, delta: bool | None) -> bytes:
    """What pcodec makes of numbers: its version, a chunk, a page.

    Args:
        numbers: one-dimensional and contiguous, 1 to 2^24 of them.
        delta: whether to code the steps from row to row; None lets pcodec choose how to code.
    """
    codec = _codec()
    chunk = codec.compressor.chunk_compressor(numbers, codec.configs[delta])
    return b"".join((codec.version, chunk.write_meta(), chunk.write_page(0)))


def decompress(data: bytes | memoryview, out: NDArray[Any]) -> NDArray[Any]:
    """Fill `out`, which is returned.

    Raises:
        UnknownEncodingError: the bytes are not as many numbers of that type.
    """
    codec = _codec()
    start = len(codec.version)
    try:
        if data[:start] == codec.version:
            file = codec.file
        else:
            file, start = codec.open(bytes(data))
        chunk, length = file.chunk_decompressor(bytes(data[start:]), _PCO_TYPES[out.dtype.str[1:]])
        start += length
        progress, length = chunk.read_page_into(bytes(data[start:]), len(out), out)
    except RuntimeError as error:
        raise UnknownEncodingError(f"pcodec cannot read a packed block: {error}") from None
    if not progress.finished or progress.n_processed != len(out) or start + length != len(data):
        raise UnknownEncodingError(f"a packed block does not hold {len(out)} rows")
    return out
