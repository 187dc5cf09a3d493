"""P13: what a query takes while the firehose of P12 runs at a hundred thousand events a second.

The simulator plays a day at the speed at which that many events come; one client asks, over /rpc,
for the last rows of one bucket after the other into which they are being written. The simulator
waits for no reader, as the vendor does not, and ends a connection for which too much is waiting.
"""

from __future__ import annotations

import itertools
import json
import socket
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import urlsplit
from urllib.request import urlopen

import numpy as np

from benchmarks.goals import at_least, at_most
from benchmarks.harness import MS_PER_S, Figure, Goal, Line
from benchmarks.processes import server, simulator
from benchmarks.serving.wire import WrongAnswerError, http_request, rows_in_http_answer
from benchmarks.serving.work import Query

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.session import Session

BEGIN = "2026-06-01T10:00"
#: Of 500 tickers of the generated market, in the hours after ten.
_EVENTS_PER_MARKET_SECOND = 40
_EVENTS_PER_S = 100_000
_ROWS = 100
#: A person or a strategy asks again after so long; asking at once would measure the client.
_PAUSE_S = 0.01
_P99_MAX_MS = 20
_PATIENCE_S = 60.0
#: The vendor's bound is not published. This is a second of the feed.
_CLIENT_BUFFER_BYTES = 16 * 2**20
_HEAD_END = b"\r\n\r\n"
_CONFIG = """
bgworkers:
  - module: massive.so
    name: Massive
    config:
      api_key: benchmark
      base_url: {url}
      ws_server: {socket}
      data_types: [trades, quotes]
"""


class _Seen(NamedTuple):
    """What a client saw.

    Attributes:
        latencies_ms: of each call.
        events_per_s: stored meanwhile.
        failures: connections of the worker that ended.
    """

    latencies_ms: Sequence[float]
    events_per_s: float
    failures: int


def run(session: Session) -> list[Line]:
    """Measure it."""
    tickers = session.pick(10, 500)
    seconds = session.pick(1.0, 6.0)  # four hours of the market, which end before its close
    speed = _EVENTS_PER_S // _EVENTS_PER_MARKET_SECOND
    options = ("--speed", str(speed), "--date", BEGIN, "--symbols", str(tickers))
    options += ("--fault", f"client_buffer={_CLIENT_BUFFER_BYTES}")
    with session.folder() as folder:
        seen = _measure(folder, options, seconds)
    p50, p99 = np.percentile(seen.latencies_ms, [50, 99])
    ours = Figure(
        float(p99),
        {
            "p50": float(p50),
            "highest": max(seen.latencies_ms),
            "k events/s": seen.events_per_s / 1e3,
        },
    )
    what = f"last {_ROWS} rows over /rpc while quotes and trades are stored, p99"
    goals = (
        at_most(ours, _P99_MAX_MS),
        at_least(Figure(seen.events_per_s / 1e3), session.pick(0, _EVENTS_PER_S / 1e3), "k/s"),
        Goal("no slow consumer", met=seen.failures == 0),
    )
    return [Line("P13", what, "ms", ours, {}, goals)]


def _measure(folder: Path, options: tuple[str, ...], seconds: float) -> _Seen:
    with simulator(folder, *options) as (_, url):
        config = _CONFIG.format(url=url, socket=url.replace("http", "ws"))
        with server(folder, config, data=folder / "data") as (_, ours_url):
            buckets = _wait_for_buckets(ours_url)
            events, begun = _events(ours_url), time.perf_counter()
            latencies = _ask(urlsplit(ours_url).netloc, buckets, seconds)
            elapsed = time.perf_counter() - begun
            rate = (_events(ours_url) - events) / elapsed
            return _Seen(latencies, rate, int(_worker(ours_url)["failures"]))


def _wait_for_buckets(url: str) -> list[str]:
    """Buckets of tickers that stream, once no further ones come."""
    deadline = time.monotonic() + _PATIENCE_S
    names: list[str] = []
    while time.monotonic() < deadline:
        before, names = names, [f"{name}/1Min/QUOTE" for name in _worker(url).get("last", ())]
        if names and names == before:
            return names
        time.sleep(0.5)
    raise WrongAnswerError("nothing streams")


def _ask(host: str, buckets: list[str], seconds: float) -> list[float]:
    """Ask for the end of one bucket after the other, for so long; what each call took, in ms."""
    name, _, port = host.rpartition(":")
    latencies = []
    with closing(socket.create_connection((name, int(port)))) as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        deadline = time.perf_counter() + seconds
        for bucket in itertools.cycle(buckets):
            request = http_request(Query(bucket, _ROWS), host)
            begun = time.perf_counter()
            connection.sendall(request)
            body = _answer(connection)
            ended = time.perf_counter()
            latencies.append((ended - begun) * MS_PER_S)
            if not 0 < rows_in_http_answer(body) <= _ROWS:
                raise WrongAnswerError(f"{bucket}: {body[:200]!r}")
            if ended > deadline:
                return latencies
            time.sleep(_PAUSE_S)
    raise AssertionError("a cycle has no end")


def _answer(connection: socket.socket) -> bytes:
    received = bytearray()
    while _HEAD_END not in received:
        received += connection.recv(1 << 16)
    head, _, body = bytes(received).partition(_HEAD_END)
    size = int(head.lower().partition(b"content-length: ")[2].partition(b"\r")[0])
    while len(body) < size:
        body += connection.recv(1 << 16)
    return body


def _events(url: str) -> int:
    return int(_worker(url)["messages"])


def _worker(url: str) -> dict[str, Any]:
    with urlopen(f"{url}/heartbeat") as answer:
        worker: dict[str, Any] = json.load(answer)["workers"]["Massive"]
    return worker
