"""The vendor never counts more than the plan allows, whatever happens to those who ask."""

from __future__ import annotations

import itertools
import json
import subprocess
import sys
import threading
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.massive.http_server import KEY
from tsstore.clock import ManualClock
from tsstore.errors import LockedError, StorageError
from tsstore.timeframe import Timeframe
from tsstore_massive.rest import RestClient
from tsstore_massive.rest.quota import FileQuota
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive_simulator.faults import Faults
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from pathlib import Path

MINUTE_S = 60.0


def check(counted: list[float], limit: int, period_s: float = MINUTE_S) -> None:
    """No stretch of a period holds more than the limit, wherever it begins."""
    counted = sorted(counted)
    for first, one_too_many in zip(counted, counted[limit:], strict=False):
        assert one_too_many - first > period_s, (first, one_too_many)
    for offset in (0.0, 0.25 * period_s, 0.5 * period_s):
        periods = itertools.groupby(counted, key=lambda at: (at - offset) // period_s)
        assert all(len(list(requests)) <= limit for _, requests in periods)


class Machine:
    """Clocks as a machine has them; it may be started again, and its wall clock set."""

    def __init__(self) -> None:
        self.true_s = 0.0
        self.uptime_s = 1000.0
        self.wall_ns = 1_700_000_000 * 10**9
        self.boots = 0

    def now_ns(self) -> int:
        return self.wall_ns

    def monotonic(self) -> float:
        return self.uptime_s

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self.advance(timeout_s)
        return event.is_set()

    def advance(self, seconds: float) -> None:
        self.true_s += seconds
        self.uptime_s += seconds
        self.wall_ns += round(seconds * 1e9)

    def start_again(self, after_s: float) -> None:
        self.advance(after_s)
        self.uptime_s = after_s / 2
        self.boots += 1


class Programs:
    """Programs that share a key: they ask, wait for answers, and die."""

    def __init__(self, folder: Path, limit: int) -> None:
        self.machine = Machine()
        self.counted: list[float] = []
        self._path = folder / "quota"
        self._limit = limit
        self._limiters: dict[int, RateLimiter] = {}
        self._waiting: list[tuple[int, Any]] = []

    def ask(self, program: int, arrives_after_s: float) -> None:
        limiter = self._limiters.get(program) or self._begin(program)
        ticket = limiter.acquire(threading.Event())
        self.machine.advance(arrives_after_s)
        self.counted.append(self.machine.true_s)
        self._waiting.append((program, ticket))

    def answer(self, after_s: float) -> None:
        self.machine.advance(after_s)
        for program, ticket in self._waiting:
            self._limiters[program].answered(ticket, granted=True)
        self._waiting.clear()

    def kill(self, program: int) -> None:
        self._limiters.pop(program, None)
        self._waiting = [(owner, ticket) for owner, ticket in self._waiting if owner != program]

    def start_machine_again(self, after_s: float) -> None:
        for program in list(self._limiters):
            self.kill(program)
        self.machine.start_again(after_s)

    def _begin(self, program: int) -> RateLimiter:
        quota = FileQuota(self._path, self.machine)
        quota._boot = f"boot {self.machine.boots}".encode()
        self._limiters[program] = RateLimiter(self._limit, MINUTE_S, self.machine, quota=quota)
        return self._limiters[program]


PROGRAM = st.integers(0, 2)
STEPS = st.lists(
    st.one_of(
        # A request that is under way arrives late only if its answer comes before others ask.
        st.tuples(st.just("ask and answer"), PROGRAM, st.floats(0, 90)),
        st.tuples(st.just("ask"), PROGRAM),
        st.tuples(st.just("answer"), st.floats(0, 70)),
        st.tuples(st.just("pass"), st.floats(0, 70)),
        st.tuples(st.just("kill"), PROGRAM),
        st.tuples(st.just("set clock"), st.sampled_from([-(10**7), -100, -1, 1, 100, 10**7])),
        st.tuples(st.just("start again"), st.floats(0, 100)),
    ),
    max_size=40,
)


@given(st.integers(1, 5), STEPS)
def test_no_minute_holds_more_than_the_limit_whatever_happens(tmp_path_factory, limit, steps):
    programs = Programs(tmp_path_factory.mktemp("quota"), limit)
    for what, *how in steps:
        if what == "ask and answer":
            programs.ask(how[0], how[1])
            programs.answer(0)
        elif what == "ask":
            programs.ask(how[0], 0)
        elif what == "answer":
            programs.answer(how[0])
        elif what == "pass":
            programs.machine.advance(how[0])
        elif what == "kill":
            programs.kill(how[0])
        elif what == "set clock":
            programs.machine.wall_ns += how[0] * 10**9
        else:
            programs.start_machine_again(how[0])
    check(programs.counted, limit)


def test_a_clock_that_is_set_back_frees_nothing_of_a_day_and_holds_nothing_for_ever(tmp_path):
    machine = Machine()
    limiter = RateLimiter(
        60, MINUTE_S, machine, per_day=3, quota=FileQuota(tmp_path / "q", machine)
    )
    for _ in range(3):
        limiter.acquire(threading.Event())
    machine.wall_ns -= 40 * 86_400 * 10**9
    limiter.acquire(threading.Event())
    assert 25 <= machine.true_s / 3600 <= 25.5


def test_a_clock_that_is_set_back_and_put_right_again_frees_nothing_of_a_day(tmp_path):
    machine = Machine()
    limiter = RateLimiter(
        60, MINUTE_S, machine, per_day=3, quota=FileQuota(tmp_path / "q", machine)
    )
    for _ in range(2):
        limiter.acquire(threading.Event())
    machine.wall_ns -= 40 * 86_400 * 10**9
    limiter.acquire(threading.Event())
    machine.wall_ns += 40 * 86_400 * 10**9
    limiter.acquire(threading.Event())
    assert 24 <= machine.true_s / 3600 <= 25.5


def test_a_day_goes_on_while_the_machine_sleeps(tmp_path):
    machine = Machine()
    limiter = RateLimiter(
        60, MINUTE_S, machine, per_day=1, quota=FileQuota(tmp_path / "q", machine)
    )
    limiter.acquire(threading.Event())
    machine.wall_ns += 26 * 3600 * 10**9  # without the other clock: it stands still meanwhile
    limiter.acquire(threading.Event())
    assert machine.true_s == 0


def test_what_a_power_cut_may_have_lost_costs_a_minute(tmp_path):
    programs = Programs(tmp_path, limit=2)
    programs.ask(0, 0)
    kept = (tmp_path / "quota").read_bytes()
    programs.ask(0, 0)
    programs.start_machine_again(after_s=4)
    (tmp_path / "quota").write_bytes(kept)
    for _ in range(3):
        programs.ask(0, 0)
    check(programs.counted, 2)


ASKER = """
import sys, threading, time
from pathlib import Path
from tsstore.clock import SystemClock
from tsstore_massive.rest.quota import FileQuota
from tsstore_massive.rest.rate import RateLimiter

path, limit, minute_s, seconds = sys.argv[1], int(sys.argv[2]), float(sys.argv[3]), sys.argv[4]
clock, stop, lock = SystemClock(), threading.Event(), threading.Lock()
limiter = RateLimiter(limit, minute_s, clock, quota=FileQuota(Path(path), clock, minute_s))

def ask():
    while (ticket := limiter.acquire(stop)) is not None:
        with lock:
            print(time.monotonic(), flush=True)
        limiter.answered(ticket, granted=True)

threads = [threading.Thread(target=ask) for _ in range(2)]
[thread.start() for thread in threads]
threading.Timer(float(seconds), stop.set).start()
[thread.join() for thread in threads]
"""


def test_programs_and_threads_share_a_quota_though_one_is_killed(tmp_path):
    limit, minute_s = 7, 0.3

    def begin() -> subprocess.Popen[str]:
        arguments = [str(tmp_path / "quota"), str(limit), str(minute_s), "1.5"]
        return subprocess.Popen(
            [sys.executable, "-c", ASKER, *arguments], stdout=subprocess.PIPE, text=True
        )

    killed, other = begin(), begin()
    assert killed.stdout is not None
    heads = [killed.stdout.readline() for _ in range(5)]
    killed.kill()
    texts = ["".join(heads) + killed.communicate()[0], begin().communicate()[0]]
    texts.append(other.communicate()[0])
    counted = [float(line) for text in texts for line in text.splitlines() if line]
    assert any(texts[1:])  # on a busy machine, one of the others may come too late
    check(counted, limit, minute_s)


def test_a_damaged_file_costs_a_minute_and_is_told(tmp_path, caplog):
    machine = Machine()
    path = tmp_path / "quota"
    RateLimiter(5, MINUTE_S, machine, quota=FileQuota(path, machine)).acquire(threading.Event())
    content = bytearray(path.read_bytes())
    content[100] ^= 1
    path.write_bytes(content)
    limiter = RateLimiter(5, MINUTE_S, machine, quota=FileQuota(path, machine))
    limiter.acquire(threading.Event())
    assert machine.true_s == pytest.approx(MINUTE_S)
    assert f"{path} is damaged" in caplog.text


def test_whoever_stands_still_with_the_record_is_told_and_holds_up_no_status(tmp_path):
    clock = ManualClock(10**9)
    limiter = RateLimiter(5, MINUTE_S, clock, quota=FileQuota(tmp_path / "quota", clock))
    limiter.acquire(threading.Event())
    before = limiter.describe()
    with FileQuota(tmp_path / "quota", clock).usage():
        assert limiter.describe() == before
        with (
            pytest.raises(LockedError, match="quota is held by a process that stands still"),
            limiter._quota.usage(wait_s=0.02),
        ):
            pass
    assert limiter.acquire(threading.Event())


def test_a_link_in_place_of_the_file_is_refused(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "quota").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(StorageError, match="quota"):
        FileQuota(tmp_path / "quota", ManualClock())


def test_a_free_key_never_gets_a_429_though_programs_begin_anew(tmp_path):
    clock = ManualClock(1_717_421_400 * 10**9)
    faults = Faults()
    faults.set("rate", 5)
    simulator = Simulator(
        GeneratedMarket(tickers=["AAPL"]), start_ns=clock.now_ns(), faults=faults, clock=clock
    )
    day_ns = clock.now_ns() - 3 * 86_400 * 10**9
    with simulator.in_background() as url:
        for _ in range(4):
            quota = FileQuota(tmp_path / "quota", clock)
            limiter = RateLimiter(5, MINUTE_S, clock, quota=quota)
            with RestClient(url, KEY, clock=clock, limiter=limiter, stop=threading.Event()) as rest:
                for _ in range(4):
                    list(rest.bars("AAPL", Timeframe(1, "D"), day_ns, day_ns + 1, adjusted=False))
    replies = json.loads(json.dumps(simulator.state()["replies"]))
    assert replies == {"200": 16}
