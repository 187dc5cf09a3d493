"""Real processes, really killed: what was acknowledged is there, once.

Eight threads write at once, while flushes and compactions run (see `writers`). By default 20 kills,
a thousand with TSSTORE_TEST_SCALE=50.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from pathlib import Path

import pytest

import tsstore
from tests.crash.scale import SCALE
from tests.crash.writers import SETTINGS, THREADS, verify, write_for_ever
from tsstore.errors import TsStoreError

PARTS = 4


def verify_all(store: tsstore.StoreApi, acknowledged: Counter[int]) -> Counter[int]:
    """Check everything; returns the steps that are there, acknowledged or just under way."""
    return Counter({t: verify(store, t, acknowledged[t]) for t in range(THREADS)})


@pytest.mark.timeout(600 + 30 * SCALE)
@pytest.mark.parametrize("part", range(PARTS))
def test_a_killed_writer_keeps_what_it_acknowledged(tmp_path: Path, part: int) -> None:
    rng = random.Random(part)
    there: Counter[int] = Counter()
    data = tmp_path / "data"
    for _ in range(20 * SCALE // PARTS):
        acknowledged = there + run_and_kill(data, there, rng.uniform(0, 0.3))
        with tsstore.open(data, read_only=True) as reader:
            seen = verify_all(reader, acknowledged)
        with tsstore.open(data, settings=SETTINGS) as store:
            there = verify_all(store, acknowledged)
            assert there == seen
            assert store.check().ok
    assert sum(there.values()) > 50


def run_and_kill(data: Path, first: Counter[int], seconds: float) -> Counter[int]:
    """Let a writer go on for so long; returns how many more steps each thread acknowledged."""
    command = [sys.executable, "-m", "tests.crash.writers", str(data)]
    command += [str(first[thread]) for thread in range(THREADS)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        assert writer.stdout is not None
        lines = [writer.stdout.readline()]
        time.sleep(seconds)
        writer.send_signal(signal.SIGKILL)
        lines += writer.stdout
    whole = [line for line in lines if line.endswith("\n")]
    return Counter(int(line.split()[0]) for line in whole)


OPENER = """
import sys, tsstore
from tsstore.errors import LockedError
sys.stdin.readline()
try:
    store = tsstore.open(sys.argv[1])
except LockedError as error:
    print("locked", error.pid, flush=True)
else:
    store.write(f"W{sys.argv[2]}/1Min/OHLCV", {"Epoch": [0], "Close": [1.0]})
    print("open", flush=True)
    sys.stdin.readline()
    store.close()
"""


@pytest.mark.timeout(120 + 40 * SCALE)
def test_of_two_writers_started_together_one_gets_the_directory(tmp_path: Path) -> None:
    for number in range(4 * SCALE):
        data = tmp_path / "data" / str(number % 2)  # new directories, and ones that are there
        with contextlib.ExitStack() as stack:
            openers = [stack.enter_context(started_opener(data, which)) for which in range(2)]
            for opener in openers:
                opener.stdin.write("go\n")
                opener.stdin.flush()
            answers = [opener.stdout.readline().split() for opener in openers]
            assert sorted(answer[0] for answer in answers) == ["locked", "open"], answers
            winner = [answer[0] for answer in answers].index("open")
            assert answers[1 - winner][1] in (str(openers[winner].pid), "None")
        with tsstore.open(data) as store:
            assert f"W{winner}/1Min/OHLCV" in store.list()
            assert store.check().ok


@contextlib.contextmanager
def started_opener(data: Path, which: int):
    command = [sys.executable, "-c", OPENER, str(data), str(which)]
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    with subprocess.Popen(command, **pipes) as opener:
        yield opener
        opener.communicate("end\n")
    assert opener.returncode == 0


@pytest.mark.timeout(180)
def test_a_killed_server_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(11)
    port = free_port()
    config = tmp_path / "mkts.yml"
    config.write_text(f"root_directory: {tmp_path}/data\nlisten_port: {port}\n")
    acknowledged: Counter[int] = Counter()
    there: Counter[int] = Counter()
    for _ in range(4):
        with running_server(config, port) as (server, url):
            with tsstore.connect(url) as store:
                there = verify_all(store, acknowledged)
            acknowledged = there.copy()
            threads = [
                threading.Thread(target=until_it_fails, args=(url, n, there[n], acknowledged))
                for n in range(THREADS)
            ]
            for thread in threads:
                thread.start()
            time.sleep(rng.uniform(0.3, 0.9))
            server.send_signal(signal.SIGKILL)
            for thread in threads:
                thread.join()
        with tsstore.open(tmp_path / "data", read_only=True) as reader:
            there = verify_all(reader, acknowledged)
    assert sum(there.values()) > 50


def until_it_fails(url: str, thread: int, first: int, acknowledged: Counter[int]) -> None:
    def acknowledge(thread: int, number: int) -> None:
        acknowledged[thread] = number + 1  # each thread has a key of its own

    with contextlib.suppress(TsStoreError), tsstore.connect(url) as store:
        write_for_ever(store, thread, first, acknowledge)


@contextlib.contextmanager
def running_server(config: Path, port: int):
    command = [sys.executable, "-m", "tsstore", "start", "-c", str(config)]
    url = f"http://127.0.0.1:{port}"
    environment = {**os.environ, "PYTHONWARNINGS": "default"}
    with subprocess.Popen(command, stderr=subprocess.DEVNULL, env=environment) as server:
        try:
            wait_until_up(url)
            yield server, url
        finally:
            server.kill()


def wait_until_up(url: str) -> None:
    deadline = time.monotonic() + 60
    while True:
        try:
            with tsstore.connect(url) as store:
                store.list()
            return
        except TsStoreError:
            assert time.monotonic() < deadline, "the server does not come up"
            time.sleep(0.05)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]
