"""Repair: what can be read is saved, nothing wrong is ever shown, and nothing is thrown away."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

import tsstore
from tests.storage.damaged import (
    BIG,
    QUIET,
    T0,
    A,
    B,
    Contents,
    contents,
    difference,
    directory,
    file_system,
    read_all,
)
from tsstore.errors import FormatVersionError, LockedError, NotFoundError, TsStoreError
from tsstore.storage.check import check_directory
from tsstore.storage.repair import RepairReport, repair_directory
from tsstore.store import Store
from tsstore.testing.faultfs import FaultFileSystem, PowerCut
from tsstore.vfs import OsFileSystem

GOLDEN = Path(__file__).parent.parent / "golden"
STATES = pytest.mark.parametrize("closed", [True, False], ids=["closed", "killed"])


def flipped(data: bytes, offset: int, bits: int = 1) -> bytes:
    """The bytes with one bit, or several neighbouring bytes, turned over."""
    wrong = bytearray(data)
    if bits == 1:
        wrong[offset] ^= 1 << (offset % 8)
        return bytes(wrong)
    for place in range(offset, min(offset + bits, len(wrong))):
        wrong[place] ^= 0xA5
    return bytes(wrong)


def mend(files: dict[str, bytes], name: str, data: bytes | None) -> tuple[RepairReport, Contents]:
    """Repair a directory of which one file is damaged, or gone; checks what is always so."""
    fs = file_system(files)
    if data is None:
        fs.remove(name)
    else:
        fs.damage(name, data)
    report = repair_directory(fs)
    problems = [str(problem) for problem in check_directory(fs, deep=True).problems]
    assert problems == []
    for moved in report.files:
        assert fs.files()[f"{report.aside}/{moved}"] == (data if moved == name else files[moved])
    return report, read_all(fs)


def some_offsets(name: str, data: bytes, count: int) -> list[int]:
    """Places all over a file, more of them near its end, where footers are."""
    rng = random.Random(name)
    near_end = range(max(0, len(data) - 1500), len(data))
    return sorted({*rng.choices(range(len(data)), k=count), *rng.choices(near_end, k=count)})


def named(files: dict[str, bytes], part: str) -> str:
    """The largest file with this in its name."""
    return max((name for name in files if part in name), key=lambda name: len(files[name]))


@STATES
def test_one_wrong_bit_costs_at_most_the_rows_of_its_block(closed) -> None:
    files, truth = directory(closed=closed)
    for name in (name for name in files if name != "LOCK"):
        for offset in some_offsets(name, files[name], 4):
            where = f"{name} byte {offset}"
            report, found = mend(files, name, flipped(files[name], offset))
            missing, wrong = difference(found, truth)
            if closed or not name.startswith("wal/"):
                assert wrong == 0, where
            assert missing <= report.rows_lost + sum(p.rows for p in report.hidden), where
            if not name.startswith("buckets/"):
                assert missing == 0, f"{where}: a record with one wrong bit can be put right"


@STATES
def test_many_wrong_bytes_of_a_segment_never_give_a_wrong_row(closed) -> None:
    files, truth = directory(closed=closed)
    for name in (name for name in files if name.startswith("buckets/")):
        for offset in some_offsets(name, files[name], 4):
            report, found = mend(files, name, flipped(files[name], offset, 7))
            missing, wrong = difference(found, truth)
            told = any("may be back" in note for note in report.notes)
            where = f"{name} byte {offset}: {report.notes}"
            assert wrong == 0 or told, where
            assert missing <= report.rows_lost + sum(p.rows for p in report.hidden), where


def test_a_lost_block_does_not_bring_back_what_its_rows_replaced() -> None:
    """A load replaced minutes of B; when its values cannot be read, the old ones stay hidden."""
    files, truth = directory(closed=True)
    name = named(files, "%shared")
    fs = file_system(files)
    with Store("store", fs=fs, settings=QUIET, read_only=True) as store:
        segments = store.engine.current().view.segments
        footer = segments.reader(segments.names.index(name)).footer
    offset, length = footer.block_offsets[1, 0], footer.block_lengths[1, 0]
    report, found = mend(files, name, flipped(files[name], int(offset), int(length)))
    assert report.hidden
    assert {key for place in report.hidden for key in place.keys} <= {A, B, BIG}
    missing, wrong = difference(found, truth)
    assert wrong == 0
    assert 0 < missing <= report.rows_lost


def test_each_loss_is_named_with_its_bucket_and_time() -> None:
    files, _ = directory(closed=True)
    name = named(files, "buckets/T")
    report, _ = mend(files, name, flipped(files[name], 150, 20))
    assert report.lost
    assert all(place.keys == ("T/1Sec/TRADE",) for place in report.lost)
    assert all(place.first_ts <= place.last_ts for place in report.lost)
    assert report.rows_lost + report.rows_saved >= 6000


@STATES
@pytest.mark.parametrize("part", ["MANIFEST", "wal/", "%shared", "buckets/BIG", "buckets/T"])
@pytest.mark.parametrize("left", [0, 40, None], ids=["empty", "cut", "gone"])
def test_a_file_that_is_gone_or_cut_is_told(closed, part: str, left: int | None) -> None:
    files, truth = directory(closed=closed)
    name = named(files, part)
    report, found = mend(files, name, None if left is None else files[name][:left])
    if not closed and part == "wal/" and left is not None:
        return  # a log that was not closed may have ended there
    assert report.notes
    missing, wrong = difference(found, truth)
    if missing or wrong:
        assert report.rows_lost or any("may be back" in note for note in report.notes)


@STATES
def test_without_a_manifest_the_rows_come_from_segments_and_log(closed) -> None:
    files, truth = directory(closed=closed)
    report, found = mend(files, named(files, "MANIFEST"), None)
    assert found.keys() == {*truth}
    missing, wrong = difference(found, truth)
    assert missing == 0
    assert wrong <= 11, "only what was deleted and not compacted yet"
    assert any("made again" in note for note in report.notes)


def test_commits_before_and_behind_an_unreadable_one_are_kept() -> None:
    fs = FaultFileSystem()
    store = Store("store", fs=fs, settings=QUIET)
    for number in range(6):
        store.write("A/1Sec/TICK", {"Epoch": [number], "N": [number]}, variable=True)
    files = fs.survivors(all_live=True).files()
    name = named(files, "wal/")
    starts = [at for at in range(len(files[name])) if files[name].startswith(b"TSR1", at)]
    report, found = mend(files, name, flipped(files[name], starts[3] + 70, 9))
    assert [n for _, n in found["A/1Sec/TICK"]] == [0, 1, 3, 4, 5]
    assert any("commit 3 cannot be read" in note for note in report.notes)


def test_rows_of_a_bucket_whose_creation_is_lost_are_counted() -> None:
    fs = FaultFileSystem()
    store = Store("store", fs=fs, settings=QUIET)
    store.write("A/1Min/X", {"Epoch": [0], "N": [1]})
    store.write("B/1Min/X", {"Epoch": [0, 60], "N": [1, 2]})
    store.write("B/1Min/X", {"Epoch": [120], "N": [3]})
    files = fs.survivors(all_live=True).files()
    name = named(files, "wal/")
    starts = [at for at in range(len(files[name])) if files[name].startswith(b"TSR1", at)]
    report, found = mend(files, name, flipped(files[name], starts[2] + 70, 9))
    assert list(found) == ["A/1Min/X"]
    assert report.rows_lost == 1


def test_a_sound_directory_is_left_as_it_is() -> None:
    files, _ = directory(closed=True)
    fs = file_system(files)
    report = repair_directory(fs)
    assert (report.files, report.notes, report.lost) == ([], [], [])
    assert {name: data for name, data in fs.files().items() if name != "LOCK"} == files


@pytest.mark.parametrize("closed", [True, False])
def test_a_dry_run_changes_nothing_and_says_the_same(closed) -> None:
    files, _ = directory(closed=closed)
    name = named(files, "buckets/T")
    damaged = files | {name: flipped(files[name], 150, 20)}
    fs = file_system(damaged)
    dry = repair_directory(fs, dry_run=True)
    assert {n: data for n, data in fs.files().items() if n != "LOCK"} == damaged
    real = repair_directory(fs)
    assert name in dry.files
    assert len(dry.files) > 1, "the log and the manifest stop to count"
    assert (dry.files, dry.rows_saved, dry.lost) == (real.files, real.rows_saved, real.lost)
    assert dry.notes == real.notes


@pytest.mark.parametrize("torn", [0, 30])
def test_a_power_cut_leaves_the_directory_as_it_was_or_mended(torn: int) -> None:
    files, _ = directory(closed=True)
    name = named(files, "buckets/T")
    damaged = files | {name: flipped(files[name], 150, 20)}
    fs = file_system(damaged)
    repair_directory(fs)
    changes = fs.changes
    wanted = read_all(fs)
    for change in range(0, changes, 3):
        fs = file_system(damaged)
        fs.cut_power_at(change, torn_bytes=torn)
        try:
            repair_directory(fs)
        except PowerCut:
            fs = fs.survivors(random.Random(change))
        report = repair_directory(fs)
        assert check_directory(fs, deep=True).ok, (change, report.notes)
        assert read_all(fs) == wanted, change


def test_repair_of_a_real_directory(tmp_path) -> None:
    files, truth = directory(closed=True)
    for file, data in files.items():
        path = tmp_path / "data" / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    name = named(files, "buckets/BIG")
    (tmp_path / "data" / name).write_bytes(flipped(files[name], 120, 40))
    report = repair_directory(OsFileSystem(tmp_path / "data"))
    assert report.rows_lost > 0
    assert (tmp_path / "data" / report.aside / name).is_file()
    with tsstore.open(tmp_path / "data") as store:
        assert store.check(deep=True).ok
        assert difference(contents(store), truth)[1] == 0
        store.write(BIG, {"Epoch": [T0], "Close": [1.0]})
    with tsstore.open(tmp_path / "data") as store:
        assert store.read(BIG, limit=1, from_start=True)["Close"].tolist() == [1.0]


@pytest.mark.parametrize("root", sorted(GOLDEN.glob("v*")), ids=lambda root: root.name)
def test_directories_of_every_version_are_mended(root: Path) -> None:
    paths = [path for path in root.rglob("*") if path.is_file()]
    files = {path.relative_to(root).as_posix(): path.read_bytes() for path in paths}
    files = {name: data for name, data in files.items() if name.startswith(("M", "wal/", "buck"))}
    truth = read_all(file_system(files))
    assert truth
    for name in (name for name in files if name.endswith(".seg")):
        for offset in some_offsets(name, files[name], 2):
            report, found = mend(files, name, flipped(files[name], offset))
            missing, wrong = difference(found, truth)
            assert wrong == 0, f"{name} byte {offset}"
            assert missing <= report.rows_lost + sum(place.rows for place in report.hidden)


def test_an_open_store_is_not_repaired(tmp_path) -> None:
    with tsstore.open(tmp_path / "data") as store:
        store.write("A/1Min/X", {"Epoch": [0], "N": [1]})
        with pytest.raises(LockedError):
            repair_directory(OsFileSystem(tmp_path / "data"))


def test_files_of_a_newer_version_are_not_touched() -> None:
    files, _ = directory(closed=True)
    name = named(files, "MANIFEST")
    newer = bytearray(files[name])
    newer[6] = 99
    import xxhash

    newer[56:64] = xxhash.xxh3_64_intdigest(bytes(newer[:56])).to_bytes(8, "little")
    fs = file_system(files | {name: bytes(newer)})
    with pytest.raises(FormatVersionError):
        repair_directory(fs)
    assert fs.files()[name] == bytes(newer)


def test_where_no_store_is_there_is_nothing_to_repair() -> None:
    with pytest.raises(NotFoundError):
        repair_directory(FaultFileSystem())


def test_files_that_do_not_say_whose_they_are_cannot_be_mended() -> None:
    fs = FaultFileSystem()
    fs.damage("MANIFEST-000001", b"nothing")
    with pytest.raises(TsStoreError, match="which store"):
        repair_directory(fs)
