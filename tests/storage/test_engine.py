"""The engine over real files: what one process, several threads and several processes see."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest

import tsstore
from tsstore import InvalidArgumentError, Replace, Schema, Settings, Write
from tsstore.times import to_ns

T0 = 1_483_228_800


def bars(first: int, count: int, value: float = 1.0) -> dict[str, object]:
    return {"Epoch": T0 + 60 * np.arange(first, first + count), "Close": np.full(count, value)}


def test_a_bucket_whose_rows_were_all_deleted_has_no_ends(store: tsstore.Store) -> None:
    store.write("A/1D/OHLCV", bars(0, 1))
    store.commit([Replace("A/1D/OHLCV", T0, T0, bars(0, 0))])
    assert store.info("A/1D/OHLCV").first_ns is None


def test_a_deleted_range_of_a_destroyed_bucket_is_replayed(tmp_path: Path) -> None:
    with tsstore.open(tmp_path) as store:
        store.commit([Replace("A/1D/OHLCV", T0, T0, bars(0, 1))])
        store.destroy("A/1D/OHLCV")
        store.write("B/1D/OHLCV", bars(0, 1))
    with tsstore.open(tmp_path) as store:
        assert store.list() == ["B/1D/OHLCV"]


def test_a_symbol_may_be_named_like_one_of_our_files(tmp_path: Path) -> None:
    names = ["LOCK", "MANIFEST-000001", "wal", "%shared", "buckets", "..x", "a", "A", "é"]
    with tsstore.open(tmp_path) as store:
        for number, name in enumerate(names):
            store.bulk({f"{name}/1Min/OHLCV": bars(0, 20_000, number)})
        store.flush()
    with tsstore.open(tmp_path) as store:
        for number, name in enumerate(names):
            assert set(store.read(f"{name}/1Min/OHLCV")["Close"]) == {number}


def test_callers_may_change_their_arrays_after_a_write(store: tsstore.Store) -> None:
    data = bars(0, 3)
    store.write("A/1Min/OHLCV", data)
    data["Close"][:] = 99.0  # type: ignore[index]
    assert store.read("A/1Min/OHLCV")["Close"].tolist() == [1.0, 1.0, 1.0]


def test_what_is_read_cannot_be_changed(store: tsstore.Store) -> None:
    store.write("A/1Min/OHLCV", bars(0, 3))
    for _ in range(2):
        rows = store.read("A/1Min/OHLCV")
        with pytest.raises(ValueError, match="read-only"):
            rows["Close"][0] = 5.0
        with pytest.raises(ValueError, match="read-only"):
            rows.ts[0] = 5
        store.flush()


def test_a_refused_write_leaves_no_bucket_behind(store: tsstore.Store) -> None:
    store.write("A/1Min/OHLCV", bars(0, 3))
    with pytest.raises(tsstore.SchemaMismatchError):
        store.write_many({"NEW/1Min/OHLCV": bars(0, 1), "A/1Min/OHLCV": {"Epoch": [T0], "X": [1]}})
    assert store.list() == ["A/1Min/OHLCV"]
    assert len(store.read("A/1Min/OHLCV")) == 3


def test_many_small_buckets_share_a_file(tmp_path: Path) -> None:
    with tsstore.open(tmp_path) as store:
        symbols = [f"S{number}" for number in range(500)]
        data = {"Symbol": symbols, "Epoch": np.full(500, T0), "Close": np.arange(500.0)}
        store.write_table("1Min/OHLCV", data)
        store.write("BIG/1Min/OHLCV", bars(0, 70_000))
        store.flush()
        assert store.stats()["segments"] == 2
        assert (tmp_path / "buckets/BIG/1Min/OHLCV").is_dir()
        assert store.read("S77/1Min/OHLCV")["Close"].tolist() == [77.0]


def test_flush_happens_by_itself_and_readers_do_not_notice(tmp_path: Path) -> None:
    settings = Settings(memtable_bytes=200_000)
    with (
        tsstore.open(tmp_path, settings=settings) as store,
        tsstore.open(tmp_path, read_only=True) as reader,
    ):
        for number in range(120):
            store.write("A/1Min/OHLCV", bars(number * 200, 200, number))
            assert len(store.read("A/1Min/OHLCV")) == (number + 1) * 200
            assert reader.read("A/1Min/OHLCV", limit=1)["Close"].tolist() == [number]
        assert store.stats()["segments"] > 0
        expected = np.repeat(np.arange(120.0), 200)
        np.testing.assert_array_equal(reader.read("A/1Min/OHLCV")["Close"], expected)


def test_threads_write_and_read_at_once(tmp_path: Path) -> None:
    settings = Settings(memtable_bytes=300_000)
    with tsstore.open(tmp_path, settings=settings) as store:
        failures: list[str] = []

        def write(thread: int) -> None:
            for number in range(40):
                key = f"T{thread}/1Sec/TICK"
                rows = {"Epoch": T0 + np.arange(50), "N": np.full(50, number)}
                store.write(key, rows, variable=True)
                store.write("ALL/1Min/OHLCV", bars(thread, 1, number))

        def read() -> None:
            while not done.is_set():
                for key in store.list("T*/1Sec/TICK"):
                    rows = store.read(key)
                    if len(rows) % 50:
                        failures.append(f"{key}: half a write is visible, {len(rows)} rows")

        done = threading.Event()
        reader = threading.Thread(target=read)
        reader.start()
        writers = [threading.Thread(target=write, args=(number,)) for number in range(6)]
        for thread in writers:
            thread.start()
        for thread in writers:
            thread.join()
        done.set()
        reader.join()
        assert failures == []
        assert [len(store.read(f"T{n}/1Sec/TICK")) for n in range(6)] == [2000] * 6
        assert store.read("ALL/1Min/OHLCV")["Close"].tolist() == [39.0] * 6


def test_a_second_writer_is_refused_and_told_by_whom(tmp_path: Path) -> None:
    program = f"""import tsstore
try:
    tsstore.open({str(tmp_path)!r})
except tsstore.LockedError as error:
    print(error)"""
    with tsstore.open(tmp_path):
        told = subprocess.check_output([sys.executable, "-c", program], text=True)
    assert f"is being written by process {os.getpid()} (" in told
    assert "stop it, or open the directory with read_only=True" in told
    tsstore.open(tmp_path).close()


def test_a_second_opening_in_one_process_is_told_that_it_is_its_own(tmp_path: Path) -> None:
    with tsstore.open(tmp_path), pytest.raises(tsstore.LockedError) as caught:
        tsstore.open(tmp_path)
    assert "is open for writing in this process already; use that Store" in str(caught.value)
    assert caught.value.pid == os.getpid()
    with tsstore.open(tmp_path):
        pass


def test_a_reader_in_another_process_sees_acknowledged_rows(tmp_path: Path) -> None:
    program = (
        "import sys, tsstore\n"
        "store = tsstore.open(sys.argv[1], read_only=True)\n"
        "for line in sys.stdin:\n"
        "    print(len(store.read('A/1Min/OHLCV')), flush=True)\n"
    )
    with tsstore.open(tmp_path) as store:
        store.write("A/1Min/OHLCV", bars(0, 1))
        command = [sys.executable, "-c", program, str(tmp_path)]
        pipe = subprocess.PIPE
        with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as reader:
            assert reader.stdin is not None
            assert reader.stdout is not None
            for count in range(2, 40):
                store.write("A/1Min/OHLCV", bars(count - 1, 1))
                if count % 7 == 0:
                    store.flush()
                reader.stdin.write("\n")
                reader.stdin.flush()
                assert int(reader.stdout.readline()) == count
            reader.stdin.close()


def test_a_reader_follows_through_a_crash_of_the_writer(tmp_path: Path) -> None:
    program = (
        "import os, sys, tsstore\n"
        "store = tsstore.open(sys.argv[1])\n"
        "store.write('A/1Min/OHLCV', {'Epoch': [int(sys.argv[2])], 'Close': [1.0]})\n"
        "os.kill(os.getpid(), 9)\n"
    )
    tsstore.open(tmp_path).close()
    with tsstore.open(tmp_path) as store:
        store.write("A/1Min/OHLCV", bars(0, 1))
    with tsstore.open(tmp_path, read_only=True) as reader:
        for count in range(2, 6):
            subprocess.run(
                [sys.executable, "-c", program, tmp_path, str(T0 + 60 * count)], check=False
            )
            assert len(reader.read("A/1Min/OHLCV")) == count


def test_a_forked_child_must_open_the_store_again(store: tsstore.Store) -> None:
    store.write("A/1Min/OHLCV", bars(0, 1))
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            store.read("A/1Min/OHLCV")
        except tsstore.ClosedError:
            code = 0
        os._exit(code)
    assert os.waitpid(pid, 0)[1] == 0
    assert len(store.read("A/1Min/OHLCV")) == 1


def test_a_closed_store_says_so(tmp_path: Path) -> None:
    store = tsstore.open(tmp_path)
    store.close()
    store.close()
    with pytest.raises(tsstore.ClosedError, match="open it again"):
        store.list()


def test_a_read_only_store_refuses_writes(tmp_path: Path) -> None:
    tsstore.open(tmp_path).close()
    with (
        tsstore.open(tmp_path, read_only=True) as store,
        pytest.raises(tsstore.ReadOnlyError, match="read-only"),
    ):
        store.write("A/1Min/OHLCV", bars(0, 1))


def test_a_directory_of_other_things_is_not_taken_over(tmp_path: Path) -> None:
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(tsstore.InvalidArgumentError, match=r"thesis\.txt"):
        tsstore.open(tmp_path)


def test_a_listener_hears_of_every_commit_in_order(store: tsstore.Store) -> None:
    heard = []
    store.add_listener(lambda commit: heard.append(commit.batches(lambda key: key[0] == "A")))
    store.write("A/1Min/OHLCV", bars(0, 2, 1.0))
    store.write("B/1Min/OHLCV", bars(0, 2, 2.0))
    store.write_many({"A/1Min/OHLCV": bars(1, 1, 3.0), "AB/1Min/OHLCV": bars(0, 1, 4.0)})
    shown = [{key: rows["Close"].tolist() for key, rows in batch.items()} for batch in heard]
    assert shown == [
        {"A/1Min/OHLCV": [1.0, 1.0]},
        {},
        {"A/1Min/OHLCV": [3.0], "AB/1Min/OHLCV": [4.0]},
    ]


def test_history_with_nanoseconds_wins_over_the_same_event_in_milliseconds(
    store: tsstore.Store,
) -> None:
    schema = Schema.of({"Price": "f8", "Seq": "i8"}, variable=True, identity=["Seq"])
    exact = np.array([T0 * 10**9 + 36_451_122, T0 * 10**9 + 36_900_000])
    rounded = exact // 10**6 * 10**6

    def rows(ts: np.ndarray, price: float) -> dict[str, object]:
        return {"Epoch": ts.astype("M8[ns]"), "Price": np.full(2, price), "Seq": np.array([7, 8])}

    for order in ((rounded, exact), (exact, rounded)):
        key = f"{order[0][0]}/1Sec/TRADE"
        for ts in order:
            store.commit([Write(key, rows(ts, float(ts is exact)), schema)])
        assert store.read(key).ts.tolist() == exact.tolist()
        store.flush()
        assert store.read(key)["Price"].tolist() == [1.0, 1.0]


def test_settings_do_not_change_what_is_stored(tmp_path: Path) -> None:
    for sync in ("always", "interval", "off"):
        settings = Settings(wal_sync=sync, wal_sync_interval_s=0.01)  # type: ignore[arg-type]
        with tsstore.open(tmp_path, settings=settings) as store:
            store.write(f"{sync}/1Min/OHLCV", bars(0, 2))
    with tsstore.open(tmp_path, timezone="America/New_York") as store:
        assert [store.read(key).ts[0] for key in store.list()] == [T0 * 10**9] * 3


def test_days_begin_at_midnight_of_the_stores_zone(tmp_path: Path) -> None:
    with tsstore.open(tmp_path, timezone="America/New_York") as store:
        store.write("A/1D/OHLCV", {"Epoch": ["2024-01-02T14:30:00Z"], "Close": [1.0]})
        store.write("A/1D/OHLCV", {"Epoch": ["2024-07-02T14:30:00Z"], "Close": [1.0]})
        stamps = store.read("A/1D/OHLCV").ts.astype("M8[ns]").astype("M8[h]").astype(str).tolist()
    assert stamps == ["2024-01-02T05", "2024-07-02T04"]


def test_a_reader_takes_the_zone_of_the_days_and_no_other(tmp_path: Path) -> None:
    with tsstore.open(tmp_path, timezone="America/New_York") as store:
        store.write("A/1D/OHLCV", {"Epoch": ["2024-01-02T14:30:00Z"], "Close": [1.0]})
        for zone in (None, "America/New_York"):
            with tsstore.open(tmp_path, read_only=True, timezone=zone) as reader:
                assert reader.timezone == "America/New_York"
                assert len(reader.read("A/1D/OHLCV", start="2024-01-02T20:00Z")) == 1
        with pytest.raises(InvalidArgumentError, match=r"of America/New_York .*, or say Amer"):
            tsstore.open(tmp_path, read_only=True, timezone="UTC")


def test_a_reader_of_no_days_may_choose_the_zone_of_those_it_computes(tmp_path: Path) -> None:
    prices = {name: [1.0] for name in ("Open", "High", "Low", "Close")}
    with tsstore.open(tmp_path) as store:
        store.write("A/1Min/OHLCV", {"Epoch": ["2024-01-02T14:30:00Z"], **prices})
    with tsstore.open(tmp_path, read_only=True, timezone="America/New_York") as reader:
        assert reader.timezone == "America/New_York"
        assert reader.read("A/1D/OHLCV").ts.tolist() == [to_ns("2024-01-02", reader.timezone)]


def test_what_is_read_cannot_be_changed_wherever_it_comes_from(tmp_path: Path) -> None:
    with tsstore.open(tmp_path) as store:
        rows = {"Epoch": 60 * np.arange(5), "Close": np.arange(5.0)}
        for step in (lambda: None, store.flush, store.compact):
            store.write("A/1Min/OHLCV", rows)  # the second time over rows that are there
            step()
            read = store.read("A/1Min/OHLCV")
            with pytest.raises(ValueError, match="read-only"):
                read["Close"][0] = 7.0
            with pytest.raises(ValueError, match="read-only"):
                read.ts[0] = 0
