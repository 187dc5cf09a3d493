"""Space is given back: nothing grows without end, whatever is written, replaced and deleted."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tsstore import Settings

MONDAY = 1_704_205_800  # 2024-01-02 14:30 UTC
SYMBOLS = [f"S{number:03d}" for number in range(100)]
MIB = 1 << 20


def minute(epoch: int, rng: np.random.Generator) -> dict[str, object]:
    close = np.round(100 + rng.normal(0, 1, len(SYMBOLS)), 2)
    columns = dict.fromkeys(("Open", "High", "Low", "Close"), close)
    volume = rng.integers(1, 5000, len(SYMBOLS)).astype("f8")
    return {
        "Symbol": SYMBOLS,
        "Epoch": np.full(len(SYMBOLS), epoch),
        **columns,
        "Volume": volume,
    }


def used_bytes(directory: Path) -> int:
    return sum(file.stat().st_size for file in directory.rglob("*") if file.is_file())


def wait_until_still(store: tsstore.Store) -> None:
    """Until the background has done what it wants to do."""
    store.flush()
    before = None
    deadline = time.monotonic() + 60
    while (now := store.stats()) != before and time.monotonic() < deadline:
        before = now
        time.sleep(0.3)


def test_a_week_of_streaming_stays_within_bounds(tmp_path: Path) -> None:
    """A week of minute bars of 100 symbols, each minute sent twice, two days kept."""
    settings = Settings(wal_sync="off", memtable_bytes=MIB, compaction_bytes_per_s=1 << 40)
    rng = np.random.default_rng(7)
    most = 0
    with tsstore.open(tmp_path, settings=settings) as store:
        for day in range(7):
            for number in range(390):
                epoch = MONDAY + 86_400 * day + 60 * number
                store.write_table("1Min/OHLCV", minute(epoch, rng))
                store.write_table("1Min/OHLCV", minute(epoch, rng))  # a correction
            wait_until_still(store)
            for symbol in SYMBOLS:
                store.delete(f"{symbol}/1Min/OHLCV", end=MONDAY + 86_400 * (day - 1) - 1)
            most = max(most, used_bytes(tmp_path))
        wait_until_still(store)
        # A week of rows written twice would be 25 MiB; two days are 3.7 MiB before they are packed.
        assert most < 14 * MIB
        assert store.stats()["segments"] < 40
        assert len(list((tmp_path / "wal").iterdir())) <= 2
        assert len(list(tmp_path.glob("MANIFEST-*"))) == 1
        rows = store.read("S042/1Min/OHLCV")
        assert len(rows) == 2 * 390
        assert rows.ts[0] == (MONDAY + 86_400 * 5) * 10**9
        assert store.check().ok


@pytest.mark.parametrize("what", ["delete", "destroy", "replace"])
def test_files_go_when_their_rows_do(tmp_path: Path, what: str) -> None:
    count = 200_000
    epochs = MONDAY + 60 * np.arange(count)
    values = np.random.default_rng(1).random(count)
    key = "A/1Min/OHLCV"
    with tsstore.open(tmp_path, settings=Settings(compaction_bytes_per_s=0)) as store:
        store.bulk({key: {"Epoch": epochs, "Close": values}})
        store.flush()
        assert used_bytes(tmp_path) > 3 * 10**6
        if what == "delete":
            assert store.delete(key) == count
        elif what == "destroy":
            store.destroy(key)
        else:
            store.replace(key, epochs[0], epochs[-1], {"Epoch": epochs[:1], "Close": [1.0]})
        store.flush()
        assert used_bytes(tmp_path) < 10**5


def test_a_file_stays_as_long_as_someone_reads_it(tmp_path: Path) -> None:
    count = 50_000
    epochs = MONDAY + 60 * np.arange(count)
    key = "A/1Min/OHLCV"
    settings = Settings(compaction_bytes_per_s=0, cache_bytes=1, files_max=1)
    with tsstore.open(tmp_path, settings=settings) as store:
        store.bulk({key: {"Epoch": epochs, "Close": np.arange(count, dtype="f8")}})
        slices = store.iterate(key, rows=5_000)
        first = next(slices)
        store.compact()
        store.delete(key)
        store.flush()
        rest = list(slices)
        assert [*first["Close"], *(v for part in rest for v in part["Close"])] == list(range(count))
        del slices, rest, first
        store.flush()
        assert used_bytes(tmp_path) < 10**5
