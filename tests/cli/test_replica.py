"""A writer and its replica, each a `tsstore start` of its own."""

from __future__ import annotations

import re
import signal
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

import tsstore
from tests.marketstore.carriers import Grpc, Http, JsonHttp
from tsstore.clock import SystemClock
from tsstore.errors import ReadOnlyError
from tsstore.wire.codec import MSGPACK

from .conftest import BARS, bars
from .test_start import Server

if TYPE_CHECKING:
    from collections.abc import Callable

WRITER = """
root_directory: writer
listen_port: {port}
replication: {{enabled: true, listen_port: {port_2}}}
"""
REPLICA = """
root_directory: replica
listen_port: 0
grpc_listen_port: 0
replication:
  master_host: "{host}"
  retry_interval: 50ms
  retry_backoff_coeff: 1
triggers:
- module: stream.so
  on: "*/*/*"
"""


class Pair:
    """Starts both; the writer keeps its ports over restarts."""

    def __init__(self, here: Path, spawn: Callable[..., object]) -> None:
        self._here = here
        self._spawn = spawn
        self._ports = (0, 0)
        self.writer = self.start_writer()
        self.replica = self.start_replica()

    def start_writer(self) -> Server:
        port, port_2 = self._ports
        config = WRITER.format(port=port, port_2=port_2)
        server = self._start("writer.yml", config)
        found = re.search(r"replicas at http://127\.0\.0\.1:(\d+)", server.log)
        assert found, server.log
        self._ports = (int(server.url.rpartition(":")[2]), int(found[1]))
        return server

    def start_replica(self) -> Server:
        host = f"127.0.0.1:{self._ports[1]}"
        config = REPLICA.format(host=host).replace("bgworkers:\n- module: nothing.like:This\n", "")
        return self._start("replica.yml", config)

    def _start(self, name: str, config: str) -> Server:
        (self._here / name).write_text(config)
        return Server(self._spawn("start", "-c", name))


@pytest.fixture
def pair(here: Path, spawn) -> Pair:
    return Pair(here, spawn)


def until(condition: Callable[[], object], what: str = "") -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + 60
    while not condition():
        assert clock.monotonic() < deadline, what or "it did not come"
        clock.wait(threading.Event(), 0.01)


def closes(store: tsstore.Store) -> list[float]:
    try:
        return store.read(BARS)["Close"].tolist()
    except tsstore.NotFoundError:
        return []


def test_rows_arrive_and_stay_whichever_side_dies(pair: Pair) -> None:
    rows = 0

    def write(count: int) -> None:
        nonlocal rows
        with tsstore.connect(pair.writer.url) as writer:
            for _ in range(count):
                writer.write(BARS, bars(1, rows))
                rows += 1

    def arrived() -> bool:
        with tsstore.connect(pair.replica.url) as replica:
            return closes(replica) == list(range(rows))

    write(3)
    until(arrived)
    pair.writer.process.kill()
    pair.writer.process.wait()
    assert arrived(), "what was there can be read without the writer"
    pair.writer = pair.start_writer()
    write(3)
    until(arrived, "after the writer came back")
    pair.replica.process.kill()
    pair.replica.process.wait()
    write(3)
    with tsstore.connect(pair.writer.url) as writer:
        writer.compact()
        writer.bulk({"OTHER/1Min/OHLCV": bars(10_000)})
    write(2)
    pair.replica = pair.start_replica()
    until(arrived, "after the replica came back")
    with tsstore.connect(pair.replica.url) as replica:
        assert len(replica.read("OTHER/1Min/OHLCV")) == 10_000
    for server in (pair.replica, pair.writer):
        assert server.stop(signal.SIGTERM) < 10
        assert server.process.returncode == 0
    with tsstore.open(Path("replica"), read_only=True) as copy:
        assert copy.check(deep=True).ok
        assert closes(copy) == list(range(rows))


def test_a_replica_refuses_writes_and_says_where_to_write(pair: Pair) -> None:
    with tsstore.connect(pair.replica.url) as replica:
        for change in (
            lambda: replica.write(BARS, bars()),
            lambda: replica.bulk({BARS: bars()}),
            lambda: replica.create(BARS, tsstore.Schema.of({"Close": "f8"})),
            lambda: replica.destroy(BARS),
            lambda: replica.delete(BARS),
            replica.compact,
        ):
            with pytest.raises(ReadOnlyError, match="write is not allowed on replica; write to "):
                change()
        for live in (replica.subscribe, replica.follow):
            with pytest.raises(tsstore.TsStoreError, match="by a replica; connect to its writer"):
                live("*/1Min/*")
    columns = {"Epoch": np.array([0]), "Close": np.array([1.0])}
    shape = [("Epoch", "i8"), ("Close", "f8")]
    with httpx.Client(base_url=pair.replica.url) as client:
        over_grpc = Grpc(pair.replica.heartbeat()["grpc"])
        with over_grpc.channel:
            for carrier in (Http(client), JsonHttp(client), over_grpc):
                for failure in (
                    *carrier.write(BARS, columns),
                    carrier.create(BARS, shape, "fixed"),
                    carrier.destroy(BARS),
                ):
                    assert "write is not allowed on replica" in failure
                assert carrier.listed() == []


def rpc(url: str, method: str, requests: list[dict[str, object]]) -> dict:
    call = {"jsonrpc": "2.0", "id": "1", "method": method, "params": {"requests": requests}}
    headers = {"Content-Type": MSGPACK.content_type}
    body = httpx.post(f"{url}/rpc", content=MSGPACK.encode(call), headers=headers)
    return MSGPACK.decode(body.content)["result"]


def test_a_replica_tells_how_far_behind_it_is(pair: Pair) -> None:
    def status() -> dict:
        return pair.replica.heartbeat()["workers"]["replication"]

    until(lambda: status()["state"] == "following")
    assert status()["behind_commits"] == 0
    metrics = httpx.get(f"{pair.replica.url}/metrics").text
    assert re.search(r'tsstore_worker_behind_s\{worker="replication"\} [\d.]+', metrics), metrics
    pair.writer.stop()
    until(lambda: status()["state"] == "waiting")
    assert "cannot reach" in status()["error"]
    assert status()["behind_s"] > 0


def test_subscribers_of_a_replica_see_rows_arrive(pair: Pair) -> None:
    from websockets.sync.client import connect

    url = pair.replica.url.replace("http:", "ws:") + "/ws"
    with connect(url, proxy=None) as socket, tsstore.connect(pair.writer.url) as writer:
        socket.send(MSGPACK.encode({"streams": [BARS]}))
        assert MSGPACK.decode(socket.recv(timeout=10)) == {"streams": [BARS]}
        writer.write(BARS, bars(3))
        found = [MSGPACK.decode(socket.recv(timeout=10))["data"]["Close"] for _ in range(3)]
        assert found == [0.0, 1.0, 2.0]


def test_a_server_without_replicas_says_how_to_have_them(here: Path, spawn, run) -> None:
    Path("alone.yml").write_text("root_directory: alone\nlisten_port: 0\n")
    alone = Server(spawn("start", "-c", "alone.yml"))
    Path("replica.yml").write_text(
        REPLICA.format(host=alone.url.removeprefix("http://")).split("triggers")[0]
    )
    found = run("start", "-c", "replica.yml")
    assert found.exit_code == 2
    assert "serves no replicas; set `replication:` with `enabled: true`" in found.output


def test_two_replicas_of_many_writes(pair: Pair, here: Path, spawn) -> None:
    """Both show every row once, in order, while many write."""
    ticks = tsstore.Schema.of({"Price": "f8"}, variable=True)

    def write(number: int) -> None:
        with tsstore.connect(pair.writer.url) as writer:
            for count in range(40):
                at = np.array([number * 1000 + count]).astype("M8[s]").astype("M8[ns]")
                writer.write(
                    f"T{number}/1Sec/TRADE", {"Epoch": at, "Price": [count * 1.0]}, schema=ticks
                )

    config = (
        (here / "replica.yml")
        .read_text()
        .replace("root_directory: replica", "root_directory: second")
    )
    (here / "second.yml").write_text(config)
    second = Server(spawn("start", "-c", "second.yml"))
    threads = [threading.Thread(target=write, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for url in (pair.replica.url, second.url):
        with tsstore.connect(url) as replica:
            until(lambda replica=replica: len(replica.list()) == 4)
            until(
                lambda replica=replica: all(
                    rows["Price"].tolist() == [*range(40)]
                    for rows in replica.read("*/1Sec/TRADE").values()
                )
            )
