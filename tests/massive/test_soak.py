"""Hours of market with whatever can go wrong going wrong at random: nothing lost, nothing double.

A market hour passes in a minute. `make soak` does it for an hour, with other things going wrong in
each round; a round is shorter than a day of the market.
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import pytest

import tsstore
from tests.massive.simulated import simulator
from tests.massive.soaking import STREAMED
from tests.massive.test_worker import MINUTE, assert_complete

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.massive.simulated import Simulator

SECONDS = float(os.environ.get("TSSTORE_SOAK_S", "120"))
ROUNDS = int(os.environ.get("TSSTORE_SOAK_ROUNDS", "1"))
SYMBOLS = {"stocks": ("AAPL", "NVDA", "SPY"), "crypto": ("X:BTC-USD", "X:ETH-USD")}
#: Bars are corrected so long after their minute.
CORRECTED_NS = 15 * MINUTE


@pytest.mark.long(seconds=SECONDS + 20)
@pytest.mark.timeout(SECONDS + 240)
@pytest.mark.parametrize("seed", range(1, ROUNDS + 1))
def test_whatever_goes_wrong_the_store_is_the_market(
    tmp_path: Path, monkeypatch: Any, seed: int
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    rng = random.Random(seed)
    with simulator(speed=60) as server:
        clock = server.clock()
        with SoakedWorker(server, tmp_path / "data") as worker:
            worker.until(is_streaming)
            started_ns = clock.now_ns()
            server.switch_chaos(seed)
            worker.restart()
            end = time.monotonic() + SECONDS
            while time.monotonic() < end:
                time.sleep(rng.uniform(1, 8))
                disturb(server, worker, rng)
            server.switch_chaos(None)
            ended_ns = clock.now_ns()
            worker.until(lambda _: clock.now_ns() > ended_ns + CORRECTED_NS + MINUTE)
            worker.until(is_whole)
        with tsstore.open(tmp_path / "data", read_only=True) as store:
            for market, symbols in SYMBOLS.items():
                kinds = STREAMED[market]
                assert_complete(store, server, started_ns, ended_ns, symbols, kinds)


def is_streaming(status: dict[str, Any]) -> bool:
    return status.get("streaming") == len(STREAMED)


def is_whole(status: dict[str, Any]) -> bool:
    return is_streaming(status) and status["gap_count"] == 0


def disturb(server: Simulator, worker: SoakedWorker, rng: random.Random) -> None:
    """What the vendor cannot do: the end of the process, or of every connection at once."""
    if rng.random() < 0.5:
        worker.restart(rng.uniform(0, 1.5))
    else:
        server.disconnect(rng.choice([1000, 1006, 1011]))


class SoakedWorker:
    """A worker in a process of its own, started again after each kill."""

    def __init__(self, server: Simulator, data: Path) -> None:
        self._command = [
            sys.executable, "-m", "tests.massive.soaking", server.url, f"{server.speed}", f"{data}",
        ]  # fmt: skip
        self._errors = (data.parent / "errors").open("a+b")

    def __enter__(self) -> Self:
        self._start()
        return self

    def __exit__(self, *_: object) -> None:
        self._process.send_signal(signal.SIGTERM)
        try:
            assert self._process.wait(20) == 0, self._said()
        finally:
            self._process.kill()
            self._errors.close()

    def restart(self, after_s: float = 0.0) -> None:
        """Kill it, and start it again after a while."""
        self._process.kill()
        self._process.wait()
        time.sleep(after_s)
        self._start()

    def until(self, condition: Callable[[dict[str, Any]], bool], seconds: float = 120) -> None:
        """Wait for what the worker shows."""
        deadline = time.monotonic() + seconds
        while not condition(self._shown):
            assert self._process.poll() is None, self._said()
            assert time.monotonic() < deadline, (self._shown, self._said())
            time.sleep(0.05)

    def _start(self) -> None:
        self._shown: dict[str, Any] = {}
        self._process = subprocess.Popen(
            self._command, stdout=subprocess.PIPE, stderr=self._errors, text=True
        )
        threading.Thread(target=self._follow, args=(self._process,), daemon=True).start()

    def _follow(self, process: subprocess.Popen[str]) -> None:
        assert process.stdout is not None
        with process.stdout:
            for line in process.stdout:
                if process is self._process and line.endswith("\n"):
                    self._shown = json.loads(line)

    def _said(self) -> str:
        self._errors.seek(0)
        return self._errors.read().decode()[-4000:]
