"""The deep check: what readers take for granted, broken on purpose with right checksums."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tsstore
from tests.storage.damaged import QUIET, directory, file_system
from tsstore.format.manifest import DELETE_DTYPE
from tsstore.storage.check import check_directory
from tsstore.storage.chunk import Chunk
from tsstore.storage.flush import SegmentWriter
from tsstore.storage.manifest import load_manifest, publish_manifest
from tsstore.storage.segment import SegmentCache
from tsstore.storage.state import State
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem

if TYPE_CHECKING:
    from tsstore.format.manifest import Manifest

KEY = "A/1Min/X"


def flushed(*writes: list[int]) -> FaultFileSystem:
    """A closed store with a segment for each write of these minutes."""
    fs = FaultFileSystem()
    with Store("store", fs=fs, settings=QUIET) as store:
        for minutes in writes:
            epochs = np.array(minutes) * 60
            store.write(KEY, {"Epoch": epochs, "Close": epochs * 1.0})
            store.flush()
    return fs


def manifest_of(fs: FaultFileSystem) -> Manifest:
    manifest = load_manifest(fs)
    assert manifest is not None
    return manifest


def publish(fs: FaultFileSystem, manifest: Manifest) -> None:
    publish_manifest(fs, replace(manifest, number=manifest.number + 1))


def add_segment(fs: FaultFileSystem, minutes: list[int], sequences: tuple[int, int]) -> None:
    """A segment with these rows as they stand, whatever their order."""
    manifest = manifest_of(fs)
    cache = SegmentCache(fs, manifest.store_id, bytes_max=1 << 20, files_max=8)
    state = State(manifest, cache)
    writer = SegmentWriter(fs, manifest.store_id, lambda: manifest.next_segment)
    ts = np.array(minutes, np.int64) * 60_000_000_000
    starts = np.array([0, len(ts)], np.int64)
    chunk = Chunk(np.array([1], np.uint32), starts, ts, [ts * 1.0], {}, *sequences)
    writer.write(1, manifest.schemas[1], chunk, state.catalog.by_id)
    segments = state.view.segments.changed(writer.finish())
    publish(
        fs,
        replace(
            manifest,
            next_segment=manifest.next_segment + 1,
            segments=segments.table,
            segment_names=segments.names,
        ),
    )


def found(fs: FaultFileSystem) -> list[str]:
    """Problems that only the deep check finds."""
    assert check_directory(fs).ok
    return [str(problem) for problem in check_directory(fs, deep=True).problems]


@pytest.mark.parametrize("closed", [True, False])
def test_nothing_is_wrong_with_a_sound_directory(closed) -> None:
    files, _ = directory(closed=closed)
    assert found(file_system(files)) == []


def test_rows_that_are_not_in_order() -> None:
    fs = flushed([0, 1, 2])
    add_segment(fs, [10, 12, 11, 13], (9, 9))
    [problem] = found(fs)
    assert "rows 1 and 2 are not in order" in problem
    assert f"2 rows of {KEY}, 1970-01-01 00:10:00Z to 1970-01-01 00:13:00Z" in problem
    assert "tsstore repair" in problem


def test_a_slot_that_is_there_twice() -> None:
    fs = flushed([0, 1, 2])
    add_segment(fs, [10, 11, 11, 13], (9, 9))
    assert "have one slot" in found(fs)[0]


def test_commits_that_interleave() -> None:
    fs = flushed([0, 1, 2], [2, 3, 4])
    add_segment(fs, [3, 8], (1, 7))
    problems = found(fs)
    assert problems
    assert all("its commits interleave" in problem for problem in problems)
    assert "1970-01-01 00:03:00Z" in problems[0]


def test_commits_may_interleave_where_no_instant_is_common() -> None:
    fs = flushed([0, 2, 4], [6, 8])
    add_segment(fs, [1, 3, 7], (1, 9))
    assert found(fs) == []


def test_a_deleted_range_of_a_segment_that_is_not_there() -> None:
    fs = flushed([0, 1, 2])
    manifest = manifest_of(fs)
    publish(fs, replace(manifest, deletes=np.array([(99, 1, 0, 5)], DELETE_DTYPE)))
    [problem] = found(fs)
    assert "MANIFEST-" in problem
    assert "deleted from segment 99, where none are" in problem


def test_a_manifest_that_says_other_things_than_the_footer() -> None:
    fs = flushed([0, 1, 2])
    manifest = manifest_of(fs)
    table = manifest.segments.copy()
    table["rows"] += 1
    table["last_ts"] += 1
    publish(fs, replace(manifest, segments=table))
    problems = found(fs)
    assert any("3 rows and the manifest says 4" in problem for problem in problems)
    assert any("its times are not those" in problem for problem in problems)


def test_a_store_checks_itself(tmp_path) -> None:
    with tsstore.open(tmp_path / "data") as store:
        store.write(KEY, {"Epoch": [0, 60], "Close": [1.0, 2.0]})
        report = store.check(deep=True)
    assert report.ok
    assert (report.buckets, report.rows) == (1, 2)
