"""P12: the firehose, from the simulator through the worker to durable rows.

The simulator plays a day as fast as it is read: quotes and trades, four to one, a hundred to a
frame, on one socket. The peer is the official client, which decodes events and stores nothing.
"""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import psutil

import tsstore
from benchmarks.goals import at_least, at_most
from benchmarks.harness import Figure, Goal, Line
from benchmarks.processes import run_python, server, simulator
from benchmarks.verify import WrongResultError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.session import Session

DAY = "2026-06-01"
_POLL_S = 0.1
#: No event for so long means that the day is over; the worker shows its state twice a second.
_QUIET_S = 2.0
_PATIENCE_S = 120.0
#: The interpreter and its modules 90, the queue 67, two memtables 134, a commit and a flush.
_RSS_MAX_MB = 400
_MB = 1e6
_CONFIG = """
bgworkers:
  - module: massive.so
    name: Massive
    config:
      api_key: benchmark
      base_url: {url}
      ws_server: {socket}
      data_types: [trades, quotes]
      ws_query_start: {day}
"""
_CLIENT = "benchmarks.peers.massive_client"


@dataclass(frozen=True)
class _Sample:
    """How far the worker was at some time."""

    at: float
    events: int
    rss: int
    cpu: float


def run(session: Session) -> list[Line]:
    """Measure it."""
    options = ("--speed", "max", "--date", DAY, "--symbols", session.pick("1", "500"))
    with session.folder() as folder:
        ours, sent = _ours(folder, options)
        client = _official(folder, options, session.pick(10_000, 1_000_000))
    goals = (
        at_least(ours, 300, "k/s"),
        Goal("≥ 1x the official client", ours.value >= client.value),
        at_most(ours, _RSS_MAX_MB, "MB", "highest RSS"),
        Goal("none lost", met=True),
    )
    what = f"firehose, {sent:,} quotes and trades, stored durably"
    peers = {"official client, decoding only": client}
    return [Line("P12", what, "k events/s", ours, peers, goals, more_is_better=True)]


def _ours(folder: Path, options: tuple[str, ...]) -> tuple[Figure, int]:
    """Our figure, and how many events there were."""
    data = folder / "data"
    with simulator(folder, *options) as (_, url):
        config = _CONFIG.format(url=url, socket=url.replace("http", "ws"), day=DAY)
        with server(folder, config, data=data) as (process, ours_url):
            samples = list(_watch(ours_url, url, psutil.Process(process.pid)))
        sent = sum(_sent(url).values())
    stored = _stored(data)
    if stored != sent:
        raise WrongResultError(f"{stored:,} rows stored of {sent:,} events sent")
    return _figure(samples), sent


def _watch(url: str, simulator_url: str, process: psutil.Process) -> Iterator[_Sample]:
    """Look at the worker until it has everything."""
    deadline = time.monotonic() + _PATIENCE_S
    changed_at, last = time.monotonic(), 0
    status: dict[str, Any] = {}
    while time.monotonic() < deadline:
        status = _get(f"{url}/heartbeat")["workers"]["Massive"]
        now = time.monotonic()
        events = int(status.get("messages", 0))
        if events != last:
            changed_at, last = now, events
            cpu = process.cpu_times()
            yield _Sample(now, events, process.memory_info().rss, cpu.user + cpu.system)
        is_quiet = last > 0 and now - changed_at > _QUIET_S
        if is_quiet and last == sum(_sent(simulator_url).values()):
            return
        time.sleep(_POLL_S)
    raise WrongResultError(f"the worker had {last:,} events after {_PATIENCE_S:g} s: {status}")


def _figure(samples: list[_Sample]) -> Figure:
    """The rate between the first and the last full look, and the memory on the way."""
    first, last = samples[0], samples[-2] if len(samples) > 2 else samples[-1]
    events = (last.events - first.events) / 1e3
    rss = [sample.rss / _MB for sample in samples]
    return Figure(
        events / max(last.at - first.at, _POLL_S),
        {
            "per CPU s": events / max(last.cpu - first.cpu, _POLL_S),
            "RSS at half": rss[len(rss) // 2],
            "highest RSS": max(rss),
        },
    )


def _official(folder: Path, options: tuple[str, ...], events: int) -> Figure:
    with simulator(folder, *options) as (_, url):
        command = ("-m", _CLIENT, url.removeprefix("http://"), str(events))
        printed = run_python(*command)
    rate, cpu_rate = map(float, printed.split())
    return Figure(rate / 1e3, {"per CPU s": cpu_rate / 1e3})


def _stored(folder: Path) -> int:
    with tsstore.open(folder, read_only=True) as store:
        keys = (key for key in store.list() if not key.startswith("_"))  # the worker's own
        return sum(len(store.read(key, columns=["Sequence"])) for key in keys)


def _sent(url: str) -> dict[str, int]:
    sent: dict[str, int] = _get(f"{url}/_simulator/state")["events_sent"]
    return sent


def _get(url: str) -> Any:
    with urlopen(url) as answer:
        return json.load(answer)
