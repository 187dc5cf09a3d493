"""Real processes, really killed: what was acknowledged is there, once.

Eight threads write at once, bars to one bucket each and all of them to a shared one, and ticks
without identity, so that a row written twice by a replay would show.
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

import numpy as np
import pytest

import tsstore
from tsstore.errors import TsStoreError

THREADS = 8
T0 = 1_483_228_800

WRITER = """
import os, sys, threading
import tsstore
from tests.crash.test_sigkill import THREADS, write_for_ever
store = tsstore.open(sys.argv[1], settings=tsstore.Settings(memtable_bytes=60_000))
def acknowledge(thread, number):
    os.write(1, f"{thread} {number}\\n".encode())
for thread in range(THREADS):
    first = int(sys.argv[2 + thread])
    threading.Thread(target=write_for_ever, args=(store, thread, first, acknowledge)).start()
"""


def write_for_ever(store: tsstore.StoreApi, thread: int, first: int, acknowledge) -> None:
    """Write batch after batch, each with bars and ticks as one unit, until something fails."""
    number = first
    while True:
        bar = {"Epoch": [T0 + 60 * number], "Close": [float(number)]}
        ticks = {"Epoch": [T0 + number, T0 + number], "Number": [number, -number]}
        operations = [
            tsstore.Write(f"B{thread}/1Min/OHLCV", bar),
            tsstore.Write("ALL/1Min/OHLCV", {**bar, "Epoch": [T0 + 60 * thread]}),
            tsstore.Write(f"T{thread}/1Sec/TICK", ticks, variable=True),
        ]
        store.commit(operations)
        acknowledge(thread, number)
        number += 1


def verify(store: tsstore.StoreApi, acknowledged: Counter[int]) -> Counter[int]:
    """Check everything; returns the batches that are there, acknowledged or just under way."""
    there: Counter[int] = Counter()
    for thread in range(THREADS):
        least = acknowledged[thread]
        if f"B{thread}/1Min/OHLCV" not in store.list():
            assert least == 0
            continue
        closes = store.read(f"B{thread}/1Min/OHLCV")["Close"]
        count = len(closes)
        assert count in (least, least + 1), f"thread {thread}: {least} acknowledged, {count} there"
        np.testing.assert_array_equal(closes, np.arange(count))
        numbers = store.read(f"T{thread}/1Sec/TICK")["Number"]
        expected = np.stack([np.arange(count), -np.arange(count)], axis=1).ravel()
        np.testing.assert_array_equal(numbers, expected, f"thread {thread}: ticks lost or doubled")
        assert store.read("ALL/1Min/OHLCV")["Close"][thread] == count - 1
        there[thread] = count
    return there


def test_a_killed_writer_keeps_what_it_acknowledged(tmp_path: Path) -> None:
    rng = random.Random(7)
    there: Counter[int] = Counter()
    data = tmp_path / "data"
    for _ in range(12):
        command = [sys.executable, "-c", WRITER, str(data)]
        command += [str(there[thread]) for thread in range(THREADS)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
            assert writer.stdout is not None
            first = writer.stdout.readline()
            time.sleep(rng.uniform(0, 0.25))
            writer.send_signal(signal.SIGKILL)
            lines = [first, *writer.stdout]
        acknowledged = there.copy()
        for line in lines:
            if line.endswith("\n"):
                thread, number = map(int, line.split())
                acknowledged[thread] = max(acknowledged[thread], number + 1)
        with tsstore.open(data, read_only=True) as reader:
            seen = verify(reader, acknowledged)
        with tsstore.open(data) as store:
            there = verify(store, acknowledged)
            assert there == seen
            assert store.check().ok
    assert sum(there.values()) > 50


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
                there = verify(store, acknowledged)
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
            there = verify(reader, acknowledged)
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
    deadline = time.monotonic() + 30
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
