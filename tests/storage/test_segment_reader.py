"""Reading segments piece by piece, in any order, within the bounds of memory and open files."""

from __future__ import annotations

import os
import random
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tsstore
from tsstore import Settings
from tsstore.storage.blocks import BlockReader, SegmentFile
from tsstore.vfs import OsFileSystem

if TYPE_CHECKING:
    from numpy.typing import NDArray

T0 = 1_483_228_800
KEY = "A/1Min/OHLCV"
ROWS = 60_000
_BY_HAND = Settings(compaction_bytes_per_s=0)


def bars(rows: int, seed: int = 1) -> dict[str, NDArray[Any]]:
    values = np.random.default_rng(seed)
    close = np.round(100 + values.normal(0, 0.1, rows).cumsum(), 2)
    return {
        "Epoch": T0 + 60 * np.arange(rows),
        "Open": np.round(close + values.integers(-5, 5, rows) / 100, 2),
        "Close": close,
        "Flag": np.zeros(rows, np.int8),
        "Venue": np.where(values.integers(0, 9, rows) == 0, "XNYS", ""),
    }


def minute(row: int) -> np.datetime64:
    return np.datetime64(T0 + 60 * row, "s")


@pytest.fixture(params=["flat", "packed"])
def path(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A store with one bucket in one segment."""
    with tsstore.open(tmp_path, settings=_BY_HAND) as store:
        store.bulk({KEY: bars(ROWS)})
        store.flush()
        if request.param == "packed":
            store.compact()
    return tmp_path


@pytest.mark.parametrize("seed", range(4))
def test_pieces_read_in_any_order_are_pieces_of_the_whole(path: Path, seed: int) -> None:
    draw = random.Random(seed)
    columns = bars(ROWS)
    names = [name for name in columns if name != "Epoch"]
    with tsstore.open(path, read_only=True) as store:
        for _ in range(60):
            first = draw.randrange(ROWS)
            end = min(ROWS, first + draw.choice([1, 50, 4096, 9000, 30_000, ROWS])) - 1
            wanted = draw.sample(names, draw.randrange(len(names) + 1))
            found = store.read(KEY, start=minute(first), end=minute(end), columns=wanted)
            assert found["Epoch"].tolist() == list(range(T0 + 60 * first, T0 + 60 * end + 1, 60))
            for name in wanted:
                assert np.array_equal(found[name], columns[name][first : end + 1])


@pytest.mark.parametrize("flushed", [True, False])
def test_few_rows_do_not_keep_many_in_memory(tmp_path: Path, *, flushed: bool) -> None:
    with tsstore.open(tmp_path, settings=_BY_HAND) as store:
        store.write(KEY, bars(20_000))
        if flushed:
            store.flush()
        rows = store.read(KEY, limit=10)
        for array in (rows.ts, rows["Close"], rows["Venue"]):
            kept = array if array.base is None else array.base
            assert kept.nbytes <= 4096
            assert not array.flags.writeable


def test_damage_is_found_again_and_rows_before_it_are_read(path: Path) -> None:
    file = next(path.glob("buckets/A/*/*/*.seg"))
    data = bytearray(file.read_bytes())
    with tsstore.open(path, read_only=True) as store:
        reader = store.engine.current().view.segments.reader(0)
        data[int(reader.footer.block_offsets[2, 5])] ^= 1
    file.write_bytes(data)
    with tsstore.open(path, read_only=True) as store:
        for _ in range(2):
            with pytest.raises(tsstore.CorruptionError, match="checksum of a block of column"):
                store.read(KEY)
        first = store.read(KEY, limit=100, from_start=True)
    assert np.array_equal(first["Close"], bars(ROWS)["Close"][:100])


def test_what_cannot_be_decoded_is_told_of_the_block_where_it_is(path: Path) -> None:
    with tsstore.open(path, read_only=True) as store:
        reader = store.engine.current().view.segments.reader(0)
        footer, name = reader.footer, reader.name
    encodings = footer.encodings.copy()
    encodings[2, 5] = 99  # of Close, to which Open refers
    file = SegmentFile(OsFileSystem(path), name)
    blocks = BlockReader(file, replace(footer, encodings=encodings))

    def read(count: int) -> list[NDArray[Any]]:
        rows = int(footer.block_starts[count])
        outs = [np.empty(rows, dtype) for dtype in blocks.dtypes]
        blocks.read(range(len(outs)), range(count), outs, lambda _column, _blocks: None)
        return outs

    with pytest.raises(tsstore.CorruptionError, match="encoding 99") as found:
        read(7)
    assert found.value.offset == footer.block_offsets[2, 5]
    assert np.array_equal(read(5)[2], bars(ROWS)["Close"][: int(footer.block_starts[5])])
    file.close()


@pytest.mark.skipif(sys.platform != "linux", reason="counts open files in /proc")
def test_memory_and_open_files_stay_bounded(tmp_path: Path) -> None:
    keys = [f"S{number:02d}/1Min/OHLCV" for number in range(20)]
    rows = 8192
    with tsstore.open(tmp_path, settings=_BY_HAND) as store:
        store.bulk({key: bars(rows, seed) for seed, key in enumerate(keys)})
        store.flush()
    bucket_bytes = rows * (8 + 8 + 8 + 1 + 16)
    small = Settings(cache_bytes=4 * bucket_bytes, files_max=3, compaction_bytes_per_s=0)
    with tsstore.open(tmp_path, read_only=True, settings=small) as store:
        for _ in range(2):
            for seed, key in enumerate(keys):
                assert np.array_equal(store.read(key)["Close"], bars(rows, seed)["Close"])
                assert _open_segments(tmp_path) <= 3
                assert store.engine.current().cache.bytes <= 4 * bucket_bytes


def _open_segments(directory: Path) -> int:
    """Files of this store only: other tests' stores may not have been collected yet."""
    targets = [os.path.realpath(link) for link in Path("/proc/self/fd").iterdir()]
    return sum(
        target.startswith(str(directory.resolve())) and target.endswith(".seg")
        for target in targets
    )
