"""The workloads, one after the other, on one server."""

from __future__ import annotations

import json
import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING
from urllib.request import urlopen

import numpy as np
import psutil

import tsstore
from benchmarks.harness import MS_PER_S, load_average
from benchmarks.processes import server
from benchmarks.serving.http_client import call_http
from benchmarks.serving.library_clients import (
    PYMARKETSTORE,
    call_grpc,
    call_pymarketstore,
    call_tsstore,
)
from benchmarks.serving.subscribers import Plan, Streamed, stream
from benchmarks.serving.work import WRITTEN, Sizes, fill, works
from benchmarks.verify import WrongResultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from benchmarks.serving.http_client import Sample
    from benchmarks.serving.work import Work
    from benchmarks.session import Session

STREAM = "S7"
NAMES = ("S1", "S2", "S3", "S4", "S5", "S6", STREAM)
CLIENTS = (1, 8, 64)
HTTP, GRPC, OURS, PYMARKETSTORE_CLIENT = "/rpc", "gRPC", "tsstore.connect", "pymarketstore"
#: What it took in milliseconds to answer one client over HTTP, measured once with the Go fork on a
#: machine of this kind; never in the run that is reported, for it is not installed there.
MARKETSTORE_MS = {"S1": 1.4, "S2L": 2270.0, "S3": 56.0, "S4": 1.7, "S5": 1330.0, "S6": 171.0}
_CONFIG = """
grpc_listen_port: 0
timezone: UTC
triggers:
  - module: stream.so
    on: "STREAMED/*/*"
"""
_QUICK = Sizes(symbols=5, days=3, long_rows=5_000, loaded_rows=2_000, batch_rows=100)
_QUICK_PLAN = Plan(subscribers=20, single_rows=5, bursts=2, burst_rows=10)


@dataclass(frozen=True)
class Seen:
    """What some clients saw of a sort of calls.

    Attributes:
        calls: how many were timed.
        per_s: of all clients together.
        p50_ms: of one call.
        p99_ms: of one call.
        server_cpu_ms: of the server's processors, for each call.
        client_cpu_ms: of the clients'.
    """

    calls: int
    per_s: float
    p50_ms: float
    p99_ms: float
    server_cpu_ms: float
    client_cpu_ms: float


@dataclass(frozen=True)
class Row:
    """One sort of calls by one sort of client.

    Attributes:
        name: `S1` to `S6`; `S2L` is the large one of `S2`.
        what: for people.
        client: who calls.
        seen: by the number of clients.
        marketstore_ms: what MarketStore took for it, with one client.
        load: of the machine, before and after.
    """

    name: str
    what: str
    client: str
    seen: dict[int, Seen]
    marketstore_ms: float | None
    load: tuple[float, float]


@dataclass(frozen=True)
class Found:
    """Everything measured.

    Attributes:
        rows: of the calls.
        streamed: None if it was not asked for.
        stream_load: of the machine, before and after.
        left_out: clients that are not installed.
    """

    rows: list[Row]
    streamed: Streamed | None
    stream_load: tuple[float, float]
    left_out: list[str] = field(default_factory=list)


def run(session: Session, only: Sequence[str]) -> Found:
    """Measure what is asked for."""
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, context) as worker:  # a process for the clients
        chosen = [work for work in works(session.pick(_QUICK, Sizes())) if work.name[:2] in only]
        rows = _called(session, worker, chosen) if chosen else []
        before = load_average()
        streamed = _streamed(session, worker) if STREAM in only else None
    left_out = [] if PYMARKETSTORE.exists() else [PYMARKETSTORE_CLIENT]
    return Found(rows, streamed, (before, load_average()), left_out)


def _called(session: Session, worker: ProcessPoolExecutor, chosen: Sequence[Work]) -> list[Row]:
    seconds = session.pick(0.05, 1.5)
    clients = session.pick((1, 2), CLIENTS)
    with session.folder() as folder:
        data = folder / "data"
        fill(data, chosen[0].sizes)
        with server(folder, _CONFIG, data=data) as (process, url):
            measurement = _Measurement(url, process.pid, seconds, worker)
            rows = [row for work in chosen for row in measurement.rows(work, clients)]
    if session.quick:  # other sizes than MarketStore's
        rows = [replace(row, marketstore_ms=None) for row in rows]
    return sorted(rows, key=lambda row: row.name)


def _streamed(session: Session, worker: ProcessPoolExecutor) -> Streamed:
    plan = session.pick(_QUICK_PLAN, Plan())
    with (
        session.folder() as folder,
        server(folder, _CONFIG, data=folder / "data") as (process, url),
    ):
        return worker.submit(stream, url, process.pid, plan).result()


class _Measurement:
    """The server, and the process of the clients."""

    def __init__(self, url: str, pid: int, seconds: float, worker: ProcessPoolExecutor) -> None:
        self._url = url
        self._process = psutil.Process(pid)
        self._seconds = seconds
        self._worker = worker
        with urlopen(f"{url}/heartbeat") as answer:
            self._grpc_target = json.load(answer)["grpc"]

    def rows(self, work: Work, clients: tuple[int, ...]) -> Iterator[Row]:
        """The calls of each client in turn."""
        alone = clients[:1]
        if work.name == "S2L":
            yield self._row(work, HTTP, call_http, alone)
            return
        yield self._row(work, HTTP, call_http, clients)
        yield self._row(work, GRPC, call_grpc, clients)
        yield self._row(work, OURS, call_tsstore, alone)
        if work.name == "S4" and PYMARKETSTORE.exists():
            yield self._row(work, PYMARKETSTORE_CLIENT, call_pymarketstore, alone)

    def _row(
        self,
        work: Work,
        client: str,
        call: Callable[[str, Work, int, float], Sample],
        clients: tuple[int, ...],
    ) -> Row:
        before = load_average()
        target = self._grpc_target if client == GRPC else self._url
        seen = {count: self._seen(work, call, target, count) for count in clients}
        load = before, load_average()
        marketstore = MARKETSTORE_MS.get(work.name)
        return Row(work.name, work.what, client, seen, marketstore, load)

    def _seen(
        self, work: Work, call: Callable[[str, Work, int, float], Sample], target: str, clients: int
    ) -> Seen:
        cpu = self._cpu_s()
        sample = self._worker.submit(call, target, work, clients, self._seconds).result()
        cpu = self._cpu_s() - cpu
        if work.is_write:
            self._check(work, len(sample.latencies_s) + sample.unmeasured)
        calls = len(sample.latencies_s)
        p50, p99 = np.quantile(sample.latencies_s, (0.5, 0.99)) * MS_PER_S
        return Seen(
            calls,
            calls / sample.elapsed_s,
            float(p50),
            float(p99),
            MS_PER_S * cpu / (calls + sample.unmeasured),
            MS_PER_S * sample.cpu_s / calls,
        )

    def _check(self, work: Work, calls: int) -> None:
        """See to it that all written rows are stored, and remove them."""
        with tsstore.connect(self._url) as store:
            written = [key for key in store.list() if key.startswith(WRITTEN)]
            rows = sum(len(store.read(key, columns=["Open"])) for key in written)
            if rows != calls * work.rows:
                raise WrongResultError(f"{work.what}: {rows} rows stored by {calls} calls")
            for key in written:
                store.destroy(key)

    def _cpu_s(self) -> float:
        times = self._process.cpu_times()
        return float(times.user + times.system)
