"""A killed server loses no bar: what it had not made is made at the next start."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from time import sleep

import numpy as np
import pytest

from tests.ondiskagg.killed_server import DESTINATIONS, SYMBOLS, start
from tests.ondiskagg.killed_server import __file__ as server_file
from tsstore import aggregate
from tsstore.store import Store
from tsstore.timeframe import Timeframe


@pytest.mark.long(seconds=5)
def test_a_killed_server_loses_no_bar(tmp_path):
    data = tmp_path / "data"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    for seed in range(4):
        process = subprocess.Popen(
            [sys.executable, server_file, str(data), str(seed)],
            stdout=subprocess.PIPE, env=environment,
        )  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        sleep(0.2 + 0.15 * seed)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
    with Store(data) as store:
        host = start(store)
        while host.status()["triggers"]["agg"]["state"] != "running":
            sleep(0.005)
        assert host.stop(30) == []
        for symbol in SYMBOLS:
            base = store.read(f"{symbol}/1Min/OHLCV")
            for text in DESTINATIONS:
                computed = aggregate.resample(base, Timeframe.parse(text))
                stored = store.read(f"{symbol}/{text}/OHLCV")
                # Of windows whose rows were removed in the last moment, bars may have stayed.
                stored = stored.take(np.isin(stored.ts, computed.ts))
                assert stored.ts.tolist() == computed.ts.tolist()
                for name, array in computed.items():
                    assert stored[name].tolist() == array.tolist(), f"{symbol}/{text} {name}"
