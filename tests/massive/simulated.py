"""The simulator as a process, a clock that shows its time, and a worker on it."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import threading
import time
import urllib.request
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

import msgspec

from tsstore.clock import SystemClock
from tsstore.plugin import WorkerContext
from tsstore_massive.config import Config
from tsstore_massive.streaming.patience import Patience, Timing
from tsstore_massive.worker import Worker

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tsstore

KEY = "secret-key-0001"
COMMAND = Path(sys.executable).with_name("massive_simulator")
QUICK = Patience(
    feed=Timing(
        backoff_first_s=0.1, backoff_max_s=0.2, evicted_first_s=2.0, evicted_max_s=2.0, close_s=0.2
    ),
    settle_s=0.2,
    retry_s=0.5,
    look_s=0.05,
    sleep_s=1e9,
)


class MarketClock(SystemClock):
    """Shows the simulator's time, which may run faster than ours.

    Args:
        now_ns: what it showed at `base_s`.
        speed: how fast it runs.
        base_s: an instant of our monotonic clock.
    """

    def __init__(self, now_ns: int, speed: float, base_s: float = 0.0) -> None:
        self._base_ns = now_ns
        self._speed = speed
        self._base_s = base_s or self.monotonic()

    def now_ns(self) -> int:
        return self._base_ns + round((self.monotonic() - self._base_s) * self._speed * 1e9)


@dataclass
class Simulator:
    """A running simulator."""

    url: str
    speed: float

    def state(self) -> dict[str, Any]:
        with urllib.request.urlopen(f"{self.url}/_simulator/state", timeout=10) as answer:
            return json.load(answer)

    def set_faults(self, **faults: Any) -> None:
        self._post("faults", faults)

    def switch_chaos(self, seed: int | None) -> None:
        """Have faults come and go at random, or no more."""
        self._post("chaos", {"seed": seed})

    def disconnect(self, code: int = 1006) -> None:
        self._post("disconnect", {"code": code})

    def begin(self) -> None:
        """Let the market's time run."""
        self._post("begin", {})

    def clock(self) -> MarketClock:
        """A clock set by the quickest answer of some; never behind the market, hardly ahead."""
        answers = []
        for _ in range(10):
            asked_s = time.monotonic()
            now_ns = self.state()["now_ns"]
            answers.append((time.monotonic() - asked_s, now_ns, asked_s))
        _, now_ns, asked_s = min(answers)
        return MarketClock(now_ns, self.speed, asked_s)

    def _post(self, what: str, body: dict[str, Any]) -> None:
        request = urllib.request.Request(
            f"{self.url}/_simulator/{what}", json.dumps(body).encode(), method="POST"
        )
        urllib.request.urlopen(request, timeout=10).close()


@contextmanager
def simulator(*faults: str, speed: float = 60, symbols: str = "3") -> Iterator[Simulator]:
    """A generated market from 09:30 of a Monday on."""
    arguments = ["--symbols", symbols, "--date", "2024-06-03T09:30", "--speed", f"{speed:g}"]
    for fault in faults:
        arguments += ["--fault", fault]
    with _process(arguments, speed) as running:
        running.begin()
        yield running


@contextmanager
def replaying(folder: Path) -> Iterator[Simulator]:
    """Real data, as fast as they are read."""
    with _process(["--data", str(folder), "--speed", "max"], 1) as running:
        yield running


@contextmanager
def _process(arguments: list[str], speed: float) -> Iterator[Simulator]:
    with subprocess.Popen(
        [COMMAND, "--port", "0", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    ) as process:
        try:
            assert process.stdout is not None
            line = process.stdout.readline()
            assert line.startswith("listening on "), line
            yield Simulator(line.split()[-1], speed)
        finally:
            process.terminate()


class RunningWorker:
    """A worker on a thread of its own, as the host runs it."""

    def __init__(
        self,
        store: tsstore.Store,
        server: Simulator,
        clock: MarketClock,
        *,
        patience: Patience = QUICK,
        **options: Any,
    ) -> None:
        defaults = {
            "api_key": KEY,
            "base_url": server.url,
            "ws_server": server.url.replace("http", "ws"),
            "data_types": ["bars", "trades", "quotes"],
        }
        config = msgspec.convert(defaults | options, Config)
        self.context = WorkerContext("massive", store, clock, logging.getLogger("tests.worker"))
        self.status = self.context.status
        self.error: BaseException | None = None
        self._worker = Worker(self.context, config, patience=patience)
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self._worker.run()
        except BaseException as error:
            self.error = error

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.context.stop.set()
        self._thread.join(10)
        assert self.ended()

    def until(self, condition: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            if self.error is not None and self.ended():
                raise AssertionError(self.status) from self.error
            assert time.monotonic() < deadline, (self.status, self.error)
            time.sleep(0.01)

    def until_received(self, events: int) -> None:
        """Wait for so many more events."""
        wanted = self.status.get("messages", 0) + events
        self.until(lambda: self.status.get("messages", 0) >= wanted)

    def until_gapless(self) -> None:
        """Wait until everything missed so far is fetched."""
        # The status is shown now and then; more messages in it mean that it is not an old one.
        messages = self.status["messages"]
        self.until(lambda: self.status["messages"] > messages and self.status["gap_count"] == 0)

    def ended(self) -> bool:
        return not self._thread.is_alive()
