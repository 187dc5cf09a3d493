"""When compaction works by itself, and when it waits."""

from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tsstore import CorruptionError, Settings
from tsstore.storage import compactor, writer
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

KEY = "A/1Min/OHLCV"
ROWS = 50_000
# A slice of these rows is worth a pause of a third of a second.
SETTINGS = Settings(compaction_bytes_per_s=3 << 20)


@pytest.fixture
def rush(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Rows always arrive too fast, even if there are none."""
    monkeypatch.setattr(compactor, "_RUSH_SHARE", -1.0)
    monkeypatch.setattr(compactor, "_LOOK_S", 0.01)
    monkeypatch.setattr(writer, "_AT_LEISURE_S", 0.0)
    return monkeypatch


def write(store: tsstore.Store) -> None:
    epochs = 1_704_205_800 + 60 * np.arange(ROWS)
    store.bulk({KEY: {"Epoch": epochs, "Close": np.arange(ROWS) / 100}})
    store.flush()


def has_packed(store: tsstore.Store, seconds: float) -> bool:
    """Whether the rows take less than half of their space within so much time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if store.stats()["segment_bytes"] < ROWS * 16 / 2:
            return True
        time.sleep(0.01)
    return False


def test_it_waits_while_rows_rush_in(tmp_path: Path, rush: pytest.MonkeyPatch) -> None:
    with tsstore.open(tmp_path, settings=SETTINGS) as store:
        write(store)
        assert not has_packed(store, 1.0)
        rush.setattr(compactor, "_RUSH_SHARE", 1e6)
        assert has_packed(store, 60.0)
        assert len(store.read(KEY)) == ROWS


@pytest.mark.parametrize("bound", ["_WAITING_BYTES_MAX", "_WAITING_SEGMENTS_MAX"])
def test_it_does_not_wait_for_ever(tmp_path: Path, rush: pytest.MonkeyPatch, bound: str) -> None:
    rush.setattr(compactor, bound, 0)
    with tsstore.open(tmp_path, settings=SETTINGS) as store:
        write(store)
        assert has_packed(store, 60.0)


@pytest.mark.usefixtures("rush")
def test_who_asks_for_it_does_not_wait_for_the_rush(tmp_path: Path) -> None:
    with tsstore.open(tmp_path, settings=SETTINGS) as store:
        write(store)
        store.compact()
        assert store.stats()["segment_bytes"] < ROWS * 16 / 2


@pytest.mark.usefixtures("rush")
def test_a_store_can_be_closed_in_a_rush(tmp_path: Path) -> None:
    with tsstore.open(tmp_path, settings=SETTINGS) as store:
        write(store)
        assert not has_packed(store, 0.5)
    with tsstore.open(tmp_path, read_only=True) as store:
        assert len(store.read(KEY)) == ROWS


def loaded_thrice(fs: FaultFileSystem, keys: list[str]) -> None:
    """Each bucket in three segments of its own, of more than a block: one is written at once."""
    rows = {"Epoch": 60 * np.arange(9000), "Close": np.random.default_rng(0).random(9000)}
    with Store("s", fs=fs, settings=Settings(compaction_bytes_per_s=0, bulk_bytes_min=0)) as store:
        for key in keys * 3:
            store.bulk({key: rows})


def generations_of(store: Store, keys: list[str]) -> dict[str, list[int]]:
    """How many segments of generation 0, 1 and 2 each bucket has."""
    generations = {key: [0, 0, 0] for key in keys}
    segments = store.engine.current().view.segments
    for file, generation in zip(segments.names, segments.table["generation"].tolist(), strict=True):
        generations[f"{file.split('/')[1]}/1Min/OHLCV"][generation] += 1
    return generations


def test_who_asks_for_it_does_not_wait_for_what_nobody_asked_for(monkeypatch) -> None:
    monkeypatch.setattr(writer, "_AT_LEISURE_S", 0.0)
    fs = FaultFileSystem()
    keys = [f"{symbol}/1Min/OHLCV" for symbol in "ABCDE"]
    loaded_thrice(fs, keys)
    before, deadline = set(fs.files()), time.monotonic() + 60
    # At a byte a second the background rests for hours after the first slice.
    with Store("s", fs=fs, settings=Settings(compaction_bytes_per_s=1)) as store:
        store.flush()
        while not any(name.endswith(".seg") for name in set(fs.files()) - before):
            assert time.monotonic() < deadline
            time.sleep(0.01)
        store.compact(keys[-1])
        generations = generations_of(store, keys)
    assert generations[keys[-1]] == [0, 1, 0]
    assert list(generations.values()).count([3, 0, 0]) == 3


@pytest.mark.parametrize("place", ["block", "footer"])
def test_what_cannot_be_read_keeps_nothing_else_from_being_compacted(place: str) -> None:
    fs = FaultFileSystem()
    settings = Settings(compaction_bytes_per_s=0, bulk_bytes_min=0)
    keys = [f"{symbol}/1Min/OHLCV" for symbol in "ABC"]
    loaded_thrice(fs, keys)
    name = next(name for name in sorted(fs.files()) if "/B/" in name)
    data = bytearray(fs.files()[name])
    data[100 if place == "block" else -100] ^= 1
    fs.damage(name, bytes(data))
    with Store("s", fs=fs, settings=settings) as store:
        for _ in range(2):
            with pytest.raises(CorruptionError, match=name):
                store.compact()
        generations = generations_of(store, keys)
    assert generations[keys[0]] == generations[keys[2]] == [0, 1, 0]
    assert generations[keys[1]][0] == 3
