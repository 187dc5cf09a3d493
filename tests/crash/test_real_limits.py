"""What the operating system refuses for real: room, file handles, and writes that end half way."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import tsstore

PROGRAM = """
import os, resource, sys
import numpy as np
import tsstore
from tsstore.errors import StorageError

def limit(what, soft):
    resource.setrlimit(what, (soft, resource.getrlimit(what)[1]))

def bars(first, count):
    return {"Epoch": 60 * np.arange(first, first + count), "Close": np.arange(count) * 1.0}

KEY = "A/1Min/OHLCV"
store = tsstore.open(sys.argv[1], settings=tsstore.Settings(bulk_bytes_min=0, files_max=4))
"""

NO_ROOM = (
    PROGRAM
    + """
store.write(KEY, bars(0, 10))
# A file may grow to so many bytes: the write that goes beyond is cut in the middle.
limit(resource.RLIMIT_FSIZE, 40_000)
done, refused = 10, 0
for action in (store.write, lambda key, data: store.bulk({key: data})) * 3:
    try:
        action(KEY, bars(done, 5_000))
        done += 5_000
    except StorageError as error:
        assert "File too large" in str(error), error
        refused += 1
assert refused == 6, refused
store.write(KEY, bars(done, 5))
assert len(store.read(KEY)) == done + 5
limit(resource.RLIMIT_FSIZE, resource.RLIM_INFINITY)
store.write(KEY, bars(done + 5, 5_000))
store.bulk({KEY: bars(done + 5_005, 5_000)})
print(done + 10_005, flush=True)
os.kill(os.getpid(), 9)
"""
)

NO_HANDLES = (
    PROGRAM
    + """
for number in range(8):
    store.bulk({f"S{number}/1Min/OHLCV": bars(0, 5_000)})
store.write(KEY, bars(0, 10))
store.flush()
usual = resource.getrlimit(resource.RLIMIT_NOFILE)[0]
limit(resource.RLIMIT_NOFILE, 0)  # no new ones; those that are open stay
refused = 0
store.write(KEY, bars(10, 10))  # the log is open
for action in (
    store.flush,
    store.compact,
    lambda: store.bulk({KEY: bars(20, 5_000)}),
    lambda: [store.read(key) for key in store.list()],
):
    try:
        action()
    except StorageError as error:
        assert "raise the limit of open files" in str(error), error
        refused += 1
assert refused == 4, refused
limit(resource.RLIMIT_NOFILE, usual)
store.bulk({KEY: bars(20, 5_000)})
store.compact()
assert len(store.read(KEY)) == 5_020
assert all(len(store.read(f"S{number}/1Min/OHLCV")) == 5_000 for number in range(8))
print(5_020, flush=True)
os.kill(os.getpid(), 9)
"""
)


def rows_after(program: str, data: Path) -> int:
    command = [sys.executable, "-c", program, str(data)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == -9, done.stderr
    with tsstore.open(data) as store:
        assert store.check().ok
        assert len(store.read("A/1Min/OHLCV")) == int(done.stdout)
        return len(store.list())


def test_writes_that_the_system_cuts_off_are_refused_and_leave_nothing(tmp_path: Path) -> None:
    assert rows_after(NO_ROOM, tmp_path) == 1


def test_without_file_handles_nothing_is_lost(tmp_path: Path) -> None:
    assert rows_after(NO_HANDLES, tmp_path) == 9
