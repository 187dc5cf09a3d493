"""`tsstore demo`: simulator, server and worker together."""

from __future__ import annotations

import fcntl
import re
import signal
import subprocess
import sys
from datetime import date

import numpy as np
import pytest

import tsstore
from tsstore.cli.demo_setup import Process, check_alike, with_values
from tsstore.cli.demo_view import Snapshot, SymbolView, TableView
from tsstore.clock import SystemClock
from tsstore.errors import ConfigError, ConnectionFailedError, InvalidArgumentError

SYMBOLS = ["AAPL", "MSFT"]
CHANGES = {
    "Epoch": [1],
    "Connection": np.array([""], "U32"),
    "Symbol": np.array(["NVDA"], "U32"),
    "Wanted": np.array([0], "i1"),
}


def test_live_and_historical_rows_arrive_and_it_ends_cleanly(here, spawn, run) -> None:
    (here / "temporary").mkdir()
    options = ("--symbols", ",".join(SYMBOLS), "--speed", "60", "--seconds", "40")
    process = spawn("demo", *options, TMPDIR=str(here / "temporary"))
    lines = []
    for line in process.stdout:
        lines.append(line)
        done = re.search(r"backfill (\d+)/(\d+)", line)
        if done and done[1] == done[2] != "0" and re.search(r"AAPL \d+", line):
            break
    else:
        pytest.fail("".join(lines) + process.stderr.read())
    process.send_signal(signal.SIGINT)
    rest, log = process.communicate(timeout=20)
    assert process.returncode == 0, log
    assert list((here / "temporary").iterdir()) == []
    assert "What to type next" in rest
    assert "tsstore query AAPL/1Min/OHLCV --dir demo/data" in rest
    with tsstore.open(here / "demo" / "data") as store:
        for symbol in SYMBOLS:
            assert len(store.read(f"{symbol}/1Min/OHLCV")) > 100
        assert all(store.info(key).schema.synthetic for key in store.list())
        assert len(store.read("AAPL/1Sec/TRADE")) > 0
    assert run("query", "AAPL/1Min/OHLCV", "--dir", "demo/data", "--limit", "2").exit_code == 0


def test_a_folder_without_files_is_refused(here, run) -> None:
    (here / "empty").mkdir()
    result = run("demo", "--data", "empty")
    assert result.exit_code == 2
    assert "empty holds no .csv.gz files" in result.stderr


def test_a_directory_that_somebody_writes_to_is_left_as_it_is(here, run) -> None:
    files = [here / "demo" / name for name in ("mkts.yml", "server.log", "simulator.log")]
    with tsstore.open(here / "demo" / "data"):
        for file in files:
            file.write_text("theirs")
        result = run("demo", "--seconds", "0")
    assert result.exit_code == 6
    assert re.fullmatch(r"tsstore: .*demo/data is open for writing .*\n", result.stderr)
    assert [file.read_text() for file in files] == ["theirs"] * 3


def test_a_directory_with_rows_of_another_market_is_refused(here) -> None:
    keys = ["AAPL/1Min/OHLCV"]
    with tsstore.open(here / "data") as store:
        check_alike(store, keys, synthetic=True)
        store.write("MINE/1Min/OHLCV", {"Epoch": [60], "Close": [1.0]})
        store.write("_massive/1Sec/SYMBOLS", CHANGES, variable=True)  # `tsstore symbols`
        check_alike(store, keys, synthetic=True)  # what else is there does not matter
        store.write("AAPL/1Min/OHLCV", {"Epoch": [60], "Close": [1.0]})
        check_alike(store, keys, synthetic=False)
        refusal = r"holds real rows \(AAPL/1Min/OHLCV\), and these would be made up; .* --dir"
        with pytest.raises(InvalidArgumentError, match=refusal):
            check_alike(store, keys, synthetic=True)


def test_a_program_that_does_not_start_shows_its_log(here) -> None:
    with (
        Process("helper", ["sh", "-c", "echo no luck >&2"], here / "log") as process,
        pytest.raises(ConnectionFailedError, match=r"(?s)helper did not start.*no luck"),
    ):
        process.first_line(10)


def test_a_program_that_is_not_there_is_named(here) -> None:
    with (
        Process("helper", ["nowhere/helper"], here / "log") as process,
        pytest.raises(ConnectionFailedError, match=r"(?s)cannot run nowhere/helper: No such"),
    ):
        process.first_line(10)


def test_a_program_that_ends_is_noticed(here) -> None:
    with Process("helper", ["sh", "-c", "echo up; exit 3"], here / "log") as process:
        process.first_line(10)
        process._process.wait()
        with pytest.raises(ConnectionFailedError, match="ended with exit code 3"):
            process.check()


def test_a_program_that_ignores_signals_is_ended_by_force(here) -> None:
    script = "trap '' TERM; echo up; while :; do sleep 0.1; done"
    process = Process("helper", ["sh", "-c", script], here / "log")
    process.first_line(10)
    process.stop()
    assert process._process.returncode == -signal.SIGKILL


#: Starts a program that holds a lock on a file, and waits.
_PARENT = """
import sys, time
from pathlib import Path
from tsstore.cli.demo_setup import Process
holder = '''
import fcntl, time
file = open("lock", "w")
fcntl.flock(file, fcntl.LOCK_EX)
print("up", flush=True)
time.sleep(300)
'''
process = Process("holder", [sys.executable, "-c", holder], Path("log"))
print(process.first_line(10), flush=True)
time.sleep(100)
"""


def test_a_program_stops_when_the_demonstration_is_killed(here) -> None:
    parent = subprocess.Popen([sys.executable, "-c", _PARENT], stdout=subprocess.PIPE)
    with parent, (here / "lock").open("a") as lock:
        assert parent.stdout.readline() == b"up\n"
        with pytest.raises(BlockingIOError):
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        parent.kill()
        fcntl.flock(lock, fcntl.LOCK_EX)  # once the program is gone


def test_values_replace_a_key_and_the_block_below_it() -> None:
    text = "a: 1  # one\nb:\n  c: 2\n  # comment\n  d:\n    e: 3\n    f: 4\n\n  g: 5\n"
    assert with_values(text, {"a": "9", "d": "{}"}) == (
        "a: 9\nb:\n  c: 2\n  # comment\n  d: {}\n\n  g: 5\n"
    )


def test_a_key_that_the_example_lacks_is_an_error() -> None:
    with pytest.raises(ConfigError, match="no key zzz"):
        with_values("a: 1\n", {"zzz": "1"})


def snapshot(**worker: object) -> Snapshot:
    return Snapshot(
        1.0, "2024-01-02 09:30:00", 0.012, worker, {"AAPL": SymbolView((1, 2, 3), 4.0, 190.5)}
    )


def test_a_snapshot_needs_nothing_of_the_worker() -> None:
    empty = Snapshot(0.0)
    assert (empty.state, empty.gaps, empty.lag, empty.backfill) == ("starting", 0, "-", (0, 0))


def test_trouble_shows_beside_the_state() -> None:
    assert snapshot(state="waiting", error="wrong key").state == "waiting (wrong key)"


@pytest.mark.parametrize(
    "worker",
    [{}, {"backfill": {"done": 1, "total": 4}, "events_per_s": 10, "gaps": [1], "state": "x"}],
)
def test_the_table_shows_symbols_and_the_feed(worker) -> None:
    from rich.console import Console

    console = Console(width=100, force_terminal=True, record=True)
    view = TableView(console)
    view.show(snapshot(**worker))
    view.close()
    text = console.export_text()
    assert "AAPL" in text
    assert "190.50" in text
    assert "lag 12 ms" in text


def test_the_history_of_a_generated_market_begins_a_week_ago() -> None:
    from tsstore.cli.demo import _history_start

    start = date.fromisoformat(_history_start(None))
    today = date.fromtimestamp(SystemClock().now_ns() / 1e9)
    assert 6 <= (today - start).days <= 8
