"""FORMAT.md and the code say the same."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from tsstore import Schema
from tsstore.format import constants
from tsstore.format.commit import Commit, decode_commit, encode_commit, single_run
from tsstore.format.manifest import DELETE_DTYPE, SEGMENT_DTYPE
from tsstore.format.record import HEADER_BYTES, decode_record

DOCUMENT = (Path(__file__).parents[2] / "FORMAT.md").read_text()
STORE = 0x1122334455667788


def example() -> bytes:
    block = re.search(r"```hex commit\n(.*?)```", DOCUMENT, re.DOTALL)
    assert block is not None
    lines = [line.split(maxsplit=1) for line in block[1].strip().split("\n")]
    data = b"".join(bytes.fromhex(digits) for _, digits in lines)
    assert [int(offset, 16) for offset, _ in lines] == list(range(0, len(data), 16))
    return data


def test_the_hex_example_decodes_to_what_the_text_says() -> None:
    record = decode_record(example(), owner=STORE ^ 1)
    commit = decode_commit(record)
    assert (record.kind, record.sequence) == (constants.KIND_COMMIT, 1)
    assert commit.schemas == {1: Schema.of({"Close": "f8"})}
    assert commit.created == [(1, "A/1Min/OHLCV", 1)]
    assert commit.sections[0].ts.astype("M8[ns]").tolist() == [1_483_228_800_000_000_000]
    assert commit.sections[0].arrays[0].tolist() == [10.0]


def test_the_code_writes_the_hex_example() -> None:
    rows = single_run(1, 1, np.array([1_483_228_800_000_000_000]), [np.array([10.0])])
    commit = Commit({1: Schema.of({"Close": "f8"})}, [(1, "A/1Min/OHLCV", 1)], sections=[rows])
    assert encode_commit(commit).record(constants.KIND_COMMIT, 1, STORE ^ 1) == example()


def test_every_number_on_disk_is_in_the_document() -> None:
    names = [name for name in vars(constants) if name.isupper()]
    assert names
    assert [name for name in names if name not in DOCUMENT] == []
    for name in names:
        row = re.search(rf"\| {name} \| (\d+) \|", DOCUMENT)
        if row is not None:
            assert int(row[1]) == getattr(constants, name), name


def test_numbers_on_disk_never_change() -> None:
    """A file written yesterday must mean the same tomorrow."""
    assert {name: value for name, value in vars(constants).items() if name.isupper()} == {
        "FORMAT_VERSION": 3,
        "FORMAT_VERSION_PLAIN": 2,
        "RECORD_MAGIC": int.from_bytes(b"TSR1", "little"),
        "SEGMENT_END_MAGIC": int.from_bytes(b"TSSEGEND", "little"),
        "KIND_WAL_HEADER": 1,
        "KIND_COMMIT": 2,
        "KIND_SEAL": 3,
        "KIND_CHECKPOINT": 4,
        "KIND_SEGMENT_HEADER": 16,
        "KIND_SEGMENT_FOOTER": 17,
        "KIND_PACKED_FOOTER": 18,
        "KIND_MANIFEST": 32,
        "ENCODING_RAW": 0,
        "ENCODING_CONSTANT": 1,
        "ENCODING_FLOATS": 16,
        "ENCODING_INTEGERS": 17,
        "ENCODING_OFFSETS": 18,
        "ENCODING_CHARACTERS": 19,
        "ENCODING_NUMERALS": 20,
        "ENCODING_WORDS": 21,
        "BLOCK_ROWS": 4096,
        "PACKED_BLOCK_ROWS": 8192,
        "REFERENCE_DEPTH": 3,
        "RECORD_BODY_MAX": 1 << 30,
    }
    assert HEADER_BYTES == 64


def test_the_segment_table_is_in_the_document() -> None:
    assert SEGMENT_DTYPE.names is not None
    assert DELETE_DTYPE.names is not None
    assert all(name in DOCUMENT for name in (*SEGMENT_DTYPE.names, *DELETE_DTYPE.names))
