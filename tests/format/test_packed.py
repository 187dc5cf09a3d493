"""Packed blocks give back every bit, are small where they should be, and survive damaged bytes."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from itertools import accumulate, pairwise
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsstore.format import constants
from tsstore.format.constants import REFERENCE_DEPTH
from tsstore.format.encoding import UnknownEncodingError
from tsstore.format.packed import Packer, unpack
from tsstore.format.packed_numbers import Stored, Unpacked, compress, decompress

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

Columns = list["NDArray[Any]"]
Packed = list[tuple[int, bytes | memoryview]]

NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "b1"]
TEXT = ["U1", "U3", "U16", "U40"]
MINUTE = 60_000_000_000
START = 1_704_205_800_000_000_000


def unpack_block(
    encoding: int,
    data: bytes | memoryview,
    out: NDArray[Any],
    column: Callable[[int], NDArray[Any]],
) -> None:
    """One block, beside columns that come from elsewhere."""
    stored = Stored.block(encoding, memoryview(data), len(out))
    unpack(stored, out, lambda place: Unpacked(column(place)))


def reader(packed: Packed, like: Columns) -> Callable[[int], NDArray[Any]]:
    """Columns of a block, unpacked when they are asked for, as a segment does it."""
    return several_reader([packed], [like])


def several_reader(
    packed: Sequence[Packed], like: Sequence[Columns]
) -> Callable[[int], NDArray[Any]]:
    """Columns of neighbouring blocks in one step."""
    starts = [0, *accumulate(len(columns[0]) for columns in like)]

    def column(place: int, depth: int = 0) -> Unpacked:
        if depth > REFERENCE_DEPTH:
            raise UnknownEncodingError("references are too deep")
        if place >= len(packed[0]):
            raise UnknownEncodingError("a reference to a column that is not there")
        encodings = [block[place][0] for block in packed]
        stored = Stored(encodings, [memoryview(block[place][1]) for block in packed], starts)
        out = np.empty(starts[-1], like[0][place].dtype)
        return unpack(stored, out, lambda other: column(other, depth + 1))

    return lambda place: column(place).values


def assert_gives_back(packer: Packer, columns: Columns) -> Packed:
    packed = packer.pack(columns)
    column = reader(packed, columns)
    for place, values in enumerate(columns):
        assert column(place).tobytes() == values.tobytes(), (place, packed[place][0])
    return packed


def assert_gives_back_together(packed: Sequence[Packed], blocks: Sequence[Columns]) -> None:
    column = several_reader(packed, blocks)
    for place, values in enumerate(zip(*blocks, strict=True)):
        assert column(place).tobytes() == np.concatenate(values).tobytes(), place


def pack(names: list[str], columns: Columns) -> Packed:
    return assert_gives_back(Packer([column.dtype for column in columns], names), columns)


def pack_one(values: NDArray[Any]) -> tuple[int, int]:
    """Encoding and bytes of one column beside a time that is like nothing."""
    times = np.random.default_rng(0).integers(-(2**63), 2**63 - 1, len(values))
    encoding, data = pack(["Time", "Column"], [times, values])[1]
    return encoding, len(data)


def minutes(rows: int) -> NDArray[np.int64]:
    """Minutes of trading days of 390."""
    places = np.arange(rows)
    return START + (places // 390 * 1440 + places % 390) * MINUTE


def random_walk(rows: int, seed: int = 1) -> tuple[list[str], Columns]:
    """Bars in cents, with whole volumes that are lognormal."""
    rng = np.random.default_rng(seed)
    close = 20_000 + np.cumsum(np.rint(rng.normal(0, 6, rows)))
    first = np.append(20_000, close[:-1]) + np.rint(rng.normal(0, 1, rows))
    high = np.maximum(first, close) + np.abs(np.rint(rng.normal(0, 4, rows)))
    low = np.minimum(first, close) - np.abs(np.rint(rng.normal(0, 4, rows)))
    volume = np.rint(rng.lognormal(8, 1, rows))
    names = ["Time", "Open", "High", "Low", "Close", "Volume"]
    return names, [minutes(rows), first / 100, high / 100, low / 100, close / 100, volume]


# ---------------------------------------------------------------- every bit comes back


NASTY_FLOATS = [0.0, -0.0, np.nan, np.inf, -np.inf, 5e-324, -2.2e-308, 1.8e308, 0.1, 123.45, 1e15]
NASTY_BITS = [0x7FF8000000000001, 0xFFF0DEADBEEF0001, 0x7FF0000000000001, 0x8000000000000000]


@st.composite
def numbers(draw: st.DrawFn, dtype: str, rows: int) -> NDArray[Any]:
    """Any bits, few distinct values, decimals with something nasty among them, or a run."""
    kind = draw(st.sampled_from(["bits", "repeated", "decimal", "run"]))
    seed = draw(st.integers(0, 2**32 - 1))
    rng = np.random.default_rng(seed)
    if dtype == "b1":
        return rng.random(rows) < draw(st.sampled_from([0.0, 0.1, 0.5]))
    if kind == "bits":
        return np.frombuffer(rng.bytes(rows * np.dtype(dtype).itemsize), dtype)
    if kind == "repeated":
        return rng.choice(draw(hnp.arrays(dtype, 3)), rows)
    if kind == "run":
        step = draw(st.integers(-(10**10), 10**10))
        with np.errstate(all="ignore"):
            return (np.arange(rows) * step + rng.integers(-3, 3, rows)).astype(dtype)
    decimals = rng.integers(-(10**6), 10**6, rows) / 10.0 ** draw(st.integers(0, 12))
    with np.errstate(all="ignore"):
        values = decimals.astype(dtype)
    if np.dtype(dtype).kind == "f":
        for place in draw(st.lists(st.integers(0, rows - 1), max_size=3)):
            nasty = draw(st.sampled_from(NASTY_FLOATS))
            with np.errstate(all="ignore"):
                values[place] = nasty
    return values


@st.composite
def text(draw: st.DrawFn, dtype: str, rows: int) -> NDArray[Any]:
    """Numerals, words, or any text."""
    kind = draw(st.sampled_from(["numerals", "words", "any"]))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    if kind == "numerals":
        digits = draw(st.integers(1, 20))
        return rng.integers(0, 10 ** min(digits, 18), rows).astype(dtype)
    if kind == "words":
        return rng.choice(draw(hnp.arrays(dtype, 4)), rows)
    if rows <= 50:
        return draw(hnp.arrays(dtype, rows))
    return rng.choice(draw(hnp.arrays(dtype, 50)), rows)


@st.composite
def tables(draw: st.DrawFn) -> tuple[list[str], list[Columns]]:
    """A few blocks of different lengths of one table, whose names promise this and that."""
    names = draw(
        st.lists(
            st.sampled_from(["Open", "high", "Low", "Close", "c", "VWAP", "BidX", "AskX", "Other"]),
            min_size=1,
            max_size=5,
        )
    )
    one = st.sampled_from(NUMBERS + TEXT)
    dtypes = draw(
        st.lists(one, min_size=len(names), max_size=len(names))
        | one.map(lambda dtype: [dtype] * len(names))
    )
    blocks = []
    for rows in draw(st.lists(st.integers(1, 500), min_size=1, max_size=3)):
        columns = [draw(numbers("i8", rows))]
        columns += [draw((text if dtype[0] == "U" else numbers)(dtype, rows)) for dtype in dtypes]
        blocks.append([np.ascontiguousarray(column) for column in columns])
    return ["Time", *names], blocks


@given(tables())
def test_every_bit_comes_back(table: tuple[list[str], list[Columns]]) -> None:
    names, blocks = table
    packer = Packer([column.dtype for column in blocks[0]], names)
    packed = [assert_gives_back(packer, columns) for columns in blocks]
    assert_gives_back_together(packed, blocks)


@pytest.mark.parametrize("dtype", [*NUMBERS[:8], "U5"])
@pytest.mark.parametrize("rows", [1, 2, 3, 17, 5000])
def test_the_ends_of_a_type_come_back(dtype: str, rows: int) -> None:
    if dtype == "U5":
        ends = np.array(["", "\0\0a", "0", "00", "99999"], dtype)
    else:
        info = np.iinfo(dtype)
        ends = np.array([info.min, info.max, 0, 1], dtype)
    pack_one(np.resize(ends, rows))
    pack_one(np.sort(np.resize(ends, rows)))


@pytest.mark.parametrize("bits", NASTY_BITS)
@pytest.mark.parametrize("name", ["Open", "High", "Low", "Close", "VWAP"])
def test_one_odd_value_among_bars_comes_back(bits: int, name: str) -> None:
    names, columns = random_walk(300)
    columns.append(columns[4].copy())
    names.append("VWAP")
    columns[names.index(name)].view(np.uint64)[7] = bits
    pack(names, columns)


def test_text_that_is_no_text_comes_back() -> None:
    """An array of text can hold any 32 bits; such an item cannot even be shown."""
    points = np.random.default_rng(0).integers(0, 2**32, (100, 8), np.uint32)
    pack_one(points.view("U8").ravel())


def test_two_words_of_one_sum_are_told_apart() -> None:
    """WORDS finds equal text by sums. These two have the same one."""
    words = np.array([[2_000_000] * 3, [1_440_195, 33_147, 862_078]], np.uint32).view("U3")
    assert pack_one(np.resize(words.ravel(), 64))[0] == constants.ENCODING_CHARACTERS


# ---------------------------------------------------------------- sizes


def test_bars_of_a_random_walk_take_less_than_four_bytes() -> None:
    names, columns = random_walk(8192)
    packed = pack(names, columns)
    assert [encoding for encoding, _ in packed] == [
        constants.ENCODING_INTEGERS,
        constants.ENCODING_OFFSETS,
        constants.ENCODING_OFFSETS,
        constants.ENCODING_OFFSETS,
        constants.ENCODING_INTEGERS,
        constants.ENCODING_INTEGERS,
    ]
    assert sum(len(data) for _, data in packed) < 3.5 * 8192
    alone = pack(["Time", "A", "B", "C", "D", "E"], columns)
    assert sum(len(data) for _, data in alone) > 1.15 * sum(len(data) for _, data in packed)


@pytest.mark.parametrize(("rows", "per_row"), [(100, 4.8), (390, 4.0)])
def test_short_runs_are_compact(rows: int, per_row: float) -> None:
    names, columns = random_walk(rows * 20)
    packer = Packer([column.dtype for column in columns], names)
    size = 0
    for start in range(0, rows * 20, rows):
        block = [column[start : start + rows] for column in columns]
        size += sum(len(data) for _, data in assert_gives_back(packer, block))
    assert size < per_row * rows * 20


def test_real_bars_take_less_than_four_bytes(real_data: Path) -> None:
    rows = size = 0
    for file in sorted(real_data.glob("us_stocks_sip/minute_aggs_v1/*/*/*.csv.gz")):
        table = pa.csv.read_csv(file)
        tickers = table["ticker"].to_numpy()
        for ticker in np.unique(tickers):
            names = ["window_start", "open", "high", "low", "close", "volume"]
            columns = [table[name].to_numpy()[tickers == ticker] for name in names]
            columns[1:] = [column.astype("f8") for column in columns[1:]]
            rows += len(columns[0])
            size += sum(len(data) for _, data in pack(names, columns))
    assert rows > 10_000
    assert size <= 4.2 * rows  # runs of one day; 3.7 for all days in one


@pytest.mark.parametrize(
    ("values", "encoding", "per_row"),
    [
        (minutes(4000), constants.ENCODING_INTEGERS, 0.03),
        (np.arange(4000, dtype="u4"), constants.ENCODING_INTEGERS, 0.01),
        (np.arange(4000) % 7 == 0, constants.ENCODING_INTEGERS, 0.15),
        (np.arange(4000) % 300 / 4, constants.ENCODING_INTEGERS, 0.1),
        ((np.arange(4000) % 300 / 4).astype("f4"), constants.ENCODING_INTEGERS, 0.1),
        (np.sin(np.arange(4000)), constants.ENCODING_FLOATS, 7.5),
        (np.full(4000, np.nan), constants.ENCODING_CONSTANT, 0.01),
        (np.arange(4000).astype("U20"), constants.ENCODING_NUMERALS, 0.01),
        (np.resize(np.array(["AAPL", "IBM", "F"], "U16"), 4000), constants.ENCODING_WORDS, 0.25),
        (
            np.array([f"{place:06d}-x" for place in range(4000)], "U16"),
            constants.ENCODING_CHARACTERS,
            0.2,
        ),
        (
            np.random.default_rng(0).integers(0, 2**64, 4000, np.uint64),
            constants.ENCODING_RAW,
            8.0,
        ),
        (np.array([1.5, 2.5]), constants.ENCODING_RAW, 8.0),
    ],
    ids=lambda value: str(value.dtype) if isinstance(value, np.ndarray) else "",
)
def test_each_encoding_is_chosen_where_it_pays(
    values: NDArray[Any], encoding: int, per_row: float
) -> None:
    found, size = pack_one(values)
    assert found == encoding
    assert size <= per_row * len(values)


def test_another_time_of_the_row_costs_nothing() -> None:
    rng = np.random.default_rng(0)
    times = START + np.cumsum(rng.integers(0, 10**9, 4000))
    packed = pack(["Time", "ParticipantNs"], [times, times - 250])
    assert packed[1][0] == constants.ENCODING_OFFSETS
    assert len(packed[1][1]) < 40


def test_what_was_found_for_one_block_does_not_bind_the_next() -> None:
    """Buckets of other decimals, text of another kind, and long runs after short ones."""
    rng = np.random.default_rng(0)
    packer = Packer([np.dtype("i8"), np.dtype("f8"), np.dtype("U12")], ["Time", "Price", "Id"])
    for rows, decimals in [(5, 2), (4000, 2), (400, 4), (4000, 2), (4000, 0), (400, 2)]:
        walk = 10**decimals * 10 + np.cumsum(rng.integers(-9, 10, rows))
        ids = walk.astype("U12") if decimals else np.resize(np.array(["a", "bc"], "U12"), rows)
        packed = assert_gives_back(packer, [minutes(rows), walk / 10.0**decimals, ids])
        if rows > 5:
            assert packed[1][0] == constants.ENCODING_INTEGERS
            assert len(packed[1][1]) < 0.56 * rows + 60  # 19 steps: 0.53 bytes of entropy
    assert_gives_back(packer, [minutes(300), rng.normal(size=300), np.full(300, "12345678", "U12")])


def test_what_fits_the_first_rows_only_is_not_used_for_all() -> None:
    prices = np.arange(4000) / 100
    prices[3000:] = np.sin(np.arange(1000))
    assert pack_one(prices)[0] == constants.ENCODING_FLOATS
    words = np.resize(np.array(["12", "345"], "U8"), 4000)
    words[3000] = "12a"
    assert pack_one(words)[0] == constants.ENCODING_WORDS


# ---------------------------------------------------------------- several blocks


def cut(columns: Columns, *edges: int) -> list[Columns]:
    """Blocks that end at these rows."""
    spans = pairwise([0, *edges, len(columns[0])])
    return [[np.ascontiguousarray(c[first:end]) for c in columns] for first, end in spans]


@pytest.mark.parametrize(
    ("dtype", "dollars"),
    [("f8", 0), ("f8", 5_000), ("f8", 100_000_000), ("f4", 0), ("i8", 0), ("i4", 0)],
)
def test_blocks_that_follow_each_other_come_back_in_one_step(dtype: str, dollars: int) -> None:
    names, columns = random_walk(3000)
    per_dollar = 1 if dtype[0] == "f" else 100
    for place in range(1, 5):
        prices = np.round(columns[place] + dollars, 2) * per_dollar
        columns[place] = np.rint(prices).astype(dtype) if dtype[0] == "i" else prices.astype(dtype)
    blocks = cut(columns, 1, 1000, 1700)
    packer = Packer([column.dtype for column in columns], names)
    packed = [packer.pack(block) for block in blocks]
    first, second = constants.ENCODING_INTEGERS, constants.ENCODING_OFFSETS
    for block in packed[1:]:
        assert [encoding for encoding, _ in block[:5]] == [first, second, second, second, first]
    assert_gives_back_together(packed, blocks)
    assert_gives_back_together(packed[1:], blocks[1:])


@pytest.mark.parametrize(("bits", "offset_bits"), [(7, 7), (15, 15), (31, 15), (49, 31)])
def test_the_ends_of_whole_numbers_add_up(bits: int, offset_bits: int) -> None:
    """Numbers and offsets that just fit in their width, in blocks of which one is narrower."""
    rng = np.random.default_rng(bits)
    edges = [700, 1400]

    def far(bits: int) -> NDArray[np.float64]:
        numbers = rng.integers(-(2**bits), 2**bits, 2000)
        numbers[::50], numbers[25::50] = 2**bits - 1, -(2**bits)
        return numbers.astype(np.float64)

    close = far(bits)
    close[1400:] = 3
    close[1405] = 4
    before = np.append(close[0], close[:-1])
    before[edges] = close[edges]
    opened = before + far(offset_bits)
    high = np.maximum(opened, close) + far(offset_bits)
    low = np.minimum(opened, close) + far(offset_bits)
    columns = [minutes(2000), *(cents / 100 for cents in (opened, high, low, close))]
    names = ["Time", "Open", "High", "Low", "Close"]
    blocks = cut(columns, *edges)
    packer = Packer([column.dtype for column in columns], names)
    packed = [packer.pack(block) for block in blocks]
    assert packed[0][2][0] == packed[0][3][0] == constants.ENCODING_OFFSETS
    assert_gives_back_together(packed, blocks)


def test_offsets_of_a_finer_scale_than_their_base_come_back() -> None:
    names, columns = random_walk(3000)
    tenths = np.random.default_rng(1).integers(0, 10, 3000)
    columns[2] = np.round(columns[2] * 1000 + tenths) / 1000
    blocks = cut(columns, 1000, 2000)
    packer = Packer([column.dtype for column in columns], names)
    packed = [packer.pack(block) for block in blocks]
    assert [bytes(data[1:3]) for _, data in packed[0][1:3]] == [b"\x02\x01", b"\x03\x02"]
    assert_gives_back_together(packed, blocks)


def test_blocks_of_different_scales_and_encodings_come_back() -> None:
    names, columns = random_walk(4000)
    columns[4][1000:2000] = np.round(columns[4][1000:2000] + 0.005, 3)
    columns[2][2000:3000] = np.sin(np.arange(1000))
    columns[5][3000:] = 7
    blocks = cut(columns, 1000, 2000, 3000)
    packer = Packer([column.dtype for column in columns], names)
    assert_gives_back_together([packer.pack(block) for block in blocks], blocks)


# ---------------------------------------------------------------- references


def test_a_block_asks_for_the_columns_it_refers_to() -> None:
    names, columns = random_walk(1000)
    asked: list[set[int]] = []
    for (encoding, data), like in zip(pack(names, columns), columns, strict=True):
        others: set[int] = set()

        def column(other: int, others: set[int] = others) -> NDArray[Any]:
            others.add(other)
            return columns[other]

        out = np.empty_like(like)
        unpack_block(encoding, data, out, column)
        assert out.tobytes() == like.tobytes()
        asked.append(others)
    assert asked == [set(), {4}, {1, 4}, {1, 4}, set(), set()]


@given(
    st.lists(
        st.sampled_from(["open", "O", "high", "low", "close", "C", "vw", "bid", "ask", "AskBid"]),
        min_size=1,
        max_size=8,
    )
)
def test_references_have_an_end(names: list[str]) -> None:
    """Whatever the names are, and also if prices are integers like the time."""
    rng = np.random.default_rng(0)
    near = np.sort(rng.integers(0, 10**9, 200))
    columns = [near + rng.integers(0, 9, 200) for _ in range(len(names) + 1)]
    pack(["Time", *names], columns)


# ---------------------------------------------------------------- bytes never change meaning


def golden_columns() -> Columns:
    """Time, Close, Open, High, Root, Count, Id, Word, Note."""
    rows = np.arange(40)
    close = (2000 + rows * 7 % 13) / 100
    first = np.append(close[0], close[:-1])
    notes = [chr(65 + row * 7 % 26) + chr(97 + row * 11 % 26) for row in rows.tolist()]
    return [
        START + rows * MINUTE,
        close,
        first,
        np.round(np.maximum(first, close) + 0.01 * (rows % 3), 2),
        np.sqrt(rows * rows % 7).astype("f4"),
        (rows * 5 % 11).astype("u2"),
        (90 + rows * 3).astype("U8"),
        np.array(["AB", "C"])[rows * rows % 5 % 2].astype("U8"),
        np.array(notes, "U8"),
    ]


GOLDEN = [
    (17, "02040401100101800000004000e666b181"),
    (17, "0102040110510200a8ff07dc012000d087218f0cf417f07b08"),
    (18, "0002010100010004010010000004"),
    (18, "000202020001000401001000001424499224499224499224"),
    (16, "0401004500180000008000020000fc05d23c41ed2f800000008001669d0e7172244773a12bd0aa01"),
    (17, "0000040110410200d3032c0480f1c4d4a0800201"),
    (20, "01000401100101800140005a80"),
    (21, "020000000f00000002000100040100220000000c122a6000000401001000000c524a29a594"),
    (
        19,
        (
            "0200010004010010000832c0e15442025dc42265464305c8630d4a8415cc041c4e2524d0452c5266"
            "34e06a9ff2e8e66a6dc6628ba7740987ec8dcee40baef6298f6eaed6662cb6"
        ),
    ),
]


def test_what_was_packed_yesterday_can_be_read() -> None:
    assert {encoding for encoding, _ in GOLDEN} == set(range(16, 22))
    columns = golden_columns()
    column = reader([(encoding, bytes.fromhex(stored)) for encoding, stored in GOLDEN], columns)
    for place, values in enumerate(columns):
        assert column(place).tobytes() == values.tobytes(), place


def test_one_block_byte_by_byte() -> None:
    """The Open of the golden block as the table of the module says it."""
    encoding, stored = GOLDEN[2]
    data = bytes.fromhex(stored)
    assert encoding == constants.ENCODING_OFFSETS
    assert data[:3] == bytes([0, 2, 1])  # i1, two decimals, the row before
    assert data[3:7] == bytes([1, 0, 1, 0])  # of column 1
    offsets = decompress(data[7:], np.empty(40, np.int8))
    assert not offsets.any()


# ---------------------------------------------------------------- damaged bytes


def samples() -> list[tuple[int, bytes, NDArray[Any], Columns]]:
    """Every packed encoding and some types: encoding, bytes, values, columns of the block."""
    names, columns = random_walk(600)
    rng = np.random.default_rng(0)
    names += ["Id", "Word", "Note", "Sine", "F4", "Byte", "Big", "Flag", "Also"]
    columns += [
        rng.integers(0, 10**9, 600).astype("U12"),
        rng.choice(np.array(["AAPL", "IBM"], "U16"), 600),
        rng.integers(65, 90, (600, 5), np.uint32).view("U5").ravel(),
        np.sin(np.arange(600.0)),
        (rng.integers(0, 500, 600) / 4).astype("f4"),
        rng.integers(0, 50, 600).astype("u1"),
        np.arange(600).astype("u8") * np.uint64(10) + np.uint64(2**63),
        rng.random(600) < 0.1,
        columns[0] + rng.integers(0, 5, 600),
    ]
    packed = pack(names, columns)
    assert {encoding for encoding, _ in packed} == set(range(16, 22))
    return [
        (encoding, bytes(data), values, columns)
        for (encoding, data), values in zip(packed, columns, strict=True)
    ]


SAMPLES = samples()


def unpack_damaged(encoding: int, data: bytes, out: NDArray[Any], columns: Columns) -> None:
    """Only UnknownEncodingError may come out of damaged bytes."""

    def column(place: int) -> NDArray[Any]:
        if place >= len(columns):
            raise UnknownEncodingError("no such column")
        return columns[place]

    with contextlib.suppress(UnknownEncodingError):
        unpack_block(encoding, data, out, column)


@given(
    st.sampled_from(SAMPLES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=4),
    st.integers(0, 3000),
    st.integers(0, 400),
)
def test_damaged_bytes_are_refused_or_give_some_values(
    sample: tuple[int, bytes, NDArray[Any], Columns],
    changes: list[tuple[int, int]],
    end: int,
    rows: int,
) -> None:
    encoding, data, values, columns = sample
    damaged = bytearray(data)
    for place, byte in changes:
        damaged[place % len(damaged)] = byte
    out = np.empty(rows or len(values), values.dtype)
    unpack_damaged(encoding, bytes(damaged[:end]), out, columns)


@given(
    st.integers(0, 30),
    st.binary(max_size=60),
    st.sampled_from([*NUMBERS, "U1", "U16"]),
    st.integers(1, 300),
)
def test_any_bytes_are_refused_or_give_some_values(
    encoding: int, data: bytes, dtype: str, rows: int
) -> None:
    _, _, _, columns = SAMPLES[0]
    unpack_damaged(encoding, data, np.empty(rows, dtype), columns)


@pytest.mark.parametrize("dtype", [*NUMBERS, "U1", "U16"])
def test_a_block_of_another_type_is_refused_or_gives_some_values(dtype: str) -> None:
    for encoding, data, values, columns in SAMPLES:
        unpack_damaged(encoding, data, np.empty(len(values), dtype), columns)


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: f"{sample[0]}-{sample[2].dtype}")
def test_a_block_cut_short_or_too_long_is_refused(
    sample: tuple[int, bytes, NDArray[Any], Columns],
) -> None:
    encoding, data, values, columns = sample
    for wrong in (data[:-1], data[: len(data) // 2], data[:3], b"", data + b"\0"):
        with pytest.raises(UnknownEncodingError):
            unpack_block(encoding, wrong, np.empty_like(values), columns.__getitem__)
    unpack_damaged(encoding, data, np.empty(len(values) + 256, values.dtype), columns)


def test_an_offset_from_a_column_of_another_type_is_refused() -> None:
    names, columns = random_walk(300)
    encoding, data = pack(names, columns)[1]
    for other in (columns[0], np.full(300, "x"), columns[1][:7]):
        with pytest.raises(UnknownEncodingError):
            unpack_block(encoding, data, np.empty(300), ([other] * 6).__getitem__)


@pytest.mark.parametrize("bits", NASTY_BITS)
@pytest.mark.parametrize("dtype", ["f4", "f8", "i8"])
def test_offsets_from_damaged_columns_are_some_values(bits: int, dtype: str) -> None:
    """Without a warning, too."""
    for encoding, data, values, _ in SAMPLES:
        other = np.full(len(values), bits, np.uint64).view(dtype)[: len(values)]
        other.view(np.uint8)[:64] = 0xFF
        unpack_damaged(encoding, data, np.empty_like(values), [other] * 9)


def test_damaged_text_that_all_rows_share_gives_some_values() -> None:
    """Python cannot even make a text of it."""
    out = np.empty(3, "U1")
    unpack_block(constants.ENCODING_CONSTANT, b"\x00\x00\x00\x01", out, lambda _: out)
    assert out.view(np.uint32).tolist() == [1 << 24] * 3


def test_a_later_version_of_the_codec_is_refused() -> None:
    data = compress(np.arange(100), delta=True)
    with pytest.raises(UnknownEncodingError):
        decompress(b"\xff" + data[1:], np.empty(100, np.int64))


def test_the_codec_is_loaded_with_the_first_packed_block() -> None:
    code = "import sys, tsstore; sys.exit('pcodec' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
