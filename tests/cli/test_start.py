"""`tsstore start`, as a process with signals."""

from __future__ import annotations

import os
import re
import signal
import socket
from pathlib import Path
from typing import TYPE_CHECKING

import httpx
import numpy as np
import pytest

import tsstore
from tsstore.clock import SystemClock

from .conftest import BARS, bars

if TYPE_CHECKING:
    import subprocess

CONFIG = "root_directory: data\nlisten_port: 0\n"
#: The two seconds of a stop, on a machine that does much else; what is waited for takes a minute.
SOON_S = 10
#: A plugin beside the configuration, as a user would write one.
PLUGIN = """
import msgspec

class Options(msgspec.Struct):
    api_key: str = ""
    mode: str = "wait"

class Worker:
    Config = Options

    def __init__(self, context, config):
        self.context, self.config = context, config

    def run(self):
        self.context.status["key"] = self.config.api_key
        self.context.logger.warning("the key is %s", self.config.api_key)
        if self.config.mode == "crash":
            raise RuntimeError(self.config.api_key)
        if self.config.mode == "hang":
            import time
            time.sleep(60)
        self.context.store.write("AAPL/1Min/OHLCV", {"Epoch": [0], "Close": [1.0]})
        self.context.stop.wait()

class Trigger:
    def __init__(self, context, config):
        pass

    def fire(self, event):
        import time
        time.sleep(60)

    def close(self):
        pass
"""


class Server:
    """A running `tsstore start`."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.log = ""
        self.url = ""
        for line in process.stderr:
            self.log += line
            found = re.search(r"serving \S+ at (http://\S+)", line)
            if found:
                self.url = found[1]
                return
        raise AssertionError(self.log)

    def stop(self, number: int = signal.SIGINT) -> float:
        """Send a signal; how many seconds it took."""
        clock = SystemClock()
        begun = clock.monotonic()
        self.process.send_signal(number)
        self.log += self.process.communicate(timeout=50)[1]
        return clock.monotonic() - begun

    def heartbeat(self) -> dict:
        return httpx.get(f"{self.url}/heartbeat").json()


@pytest.fixture
def start(here: Path, spawn):
    def start(config: str = CONFIG, **environment: str) -> Server:
        (here / "mkts.yml").write_text(config)
        (here / "my_plugin.py").write_text(PLUGIN)
        paths = [str(here), *filter(None, [os.environ.get("PYTHONPATH")])]
        return Server(spawn("start", PYTHONPATH=os.pathsep.join(paths), **environment))

    return start


def worker(mode: str = "wait") -> str:
    return (
        CONFIG + "bgworkers:\n- module: my_plugin:Worker\n  name: mine\n"
        f"  config: {{api_key: '${{KEY}}', mode: {mode}}}\n"
    )


def wait_for(condition) -> None:
    clock = SystemClock()
    deadline = clock.monotonic() + 60
    while not condition():
        assert clock.monotonic() < deadline


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_it_soon_and_cleanly(start, number: int) -> None:
    server = start()
    with tsstore.connect(server.url) as store:
        store.write(BARS, bars())
        assert server.stop(number) < SOON_S
    assert server.process.returncode == 0
    assert "stopped; everything written is in data" in server.log


def test_written_rows_are_there_afterwards(start, here) -> None:
    server = start()
    with tsstore.connect(server.url) as store:
        store.write(BARS, bars())
    server.stop()
    with tsstore.open(here / "data") as store:
        assert store.read(BARS)["Close"].tolist() == [0.0, 1.0, 2.0]


def test_commands_work_beside_it(start, run, here) -> None:
    server = start()
    (here / "in.csv").write_text("Epoch,Close\n60,1\n")
    assert run("load", "in.csv", BARS).exit_code == 0
    assert "(1 row)" in run("query", BARS).output
    assert "(1 row)" in run("query", BARS, "--url", server.url).output
    assert run("ls", "--url", server.url).output == f"{BARS}\n"
    assert run("check", "data").exit_code == 0
    server.stop()


def test_a_second_server_on_the_directory_is_refused(start, run) -> None:
    server = start()
    before = signal.getsignal(signal.SIGINT)
    result = run("start")
    assert signal.getsignal(signal.SIGINT) is before
    assert result.exit_code == 6
    assert len(result.stderr.splitlines()) == 1
    server.stop()


def test_a_token_is_asked_for(start, run, here) -> None:
    (here / "token").write_text("SECRET123")
    (here / "token").chmod(0o600)
    server = start(CONFIG + "token_file: token\n")
    assert run("ls", "--url", server.url).exit_code == 5
    assert run("ls", "--url", server.url, "--token-file", "token").exit_code == 0
    (here / "in.csv").write_text("Epoch,Close\n60,1\n")
    assert run("load", "in.csv", BARS, "--token-file", "token").exit_code == 0
    server.stop()
    assert "SECRET123" not in server.log


def test_a_token_for_readers_reads_and_changes_nothing(start, run, here) -> None:
    for name in ("token", "reader"):
        (here / name).write_text(f"SECRET-{name}")
        (here / name).chmod(0o600)
    server = start(CONFIG + "token_file: token\nread_token_file: reader\n")
    there = ("--url", server.url, "--token-file", "reader")
    assert run("ls", *there).exit_code == 0
    refused = run("create", BARS, "Close:f8", *there)
    assert (refused.exit_code, "read only" in refused.stderr) == (5, True)
    server.stop()
    assert "SECRET" not in server.log


def test_a_worker_runs_and_shows_on_heartbeat(start) -> None:
    server = start(worker(), KEY="SECRET123")
    wait_for(lambda: server.heartbeat()["workers"]["mine"].get("key"))
    status = server.heartbeat()
    assert status["status"] == "queryable"
    assert status["workers"]["mine"]["state"] == "running"
    assert status["workers"]["mine"]["key"] == "***"
    server.stop()


def test_secrets_are_nowhere_in_logs_and_status_of_a_crashing_worker(start) -> None:
    server = start(worker("crash"), KEY="SECRET123")
    wait_for(lambda: server.heartbeat()["workers"]["mine"]["restarts"] >= 1)
    assert server.heartbeat()["workers"]["mine"]["error"] == "RuntimeError: ***"
    metrics = httpx.get(f"{server.url}/metrics").text
    assert 'tsstore_worker_restarts{worker="mine"}' in metrics
    server.stop()
    assert "Traceback" in server.log
    assert "SECRET123" not in server.log + metrics


def test_a_worker_that_does_not_end_delays_nothing_for_long(start) -> None:
    server = start(worker("hang"), KEY="x")
    assert server.stop() < SOON_S
    assert "mine did not stop within" in server.log


def test_nothing_that_does_not_react_delays_the_end_for_long(start) -> None:
    triggers = [f"- {{module: 'my_plugin:Trigger', on: '{on}'}}\n" for on in ("*/*/*", "*/1Min/*")]
    server = start(worker("hang") + "triggers:\n" + "".join(triggers), KEY="x")
    with tsstore.connect(server.url) as store:
        store.write(BARS, bars())
    host, port = server.url.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port))) as half_sent:
        half_sent.sendall(
            b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n"
            b"Content-Type: application/x-msgpack\r\n\r\nabc"
        )
        assert httpx.get(f"{server.url}/heartbeat").status_code == 200
        assert server.stop() < SOON_S
    assert server.process.returncode == 0
    assert server.log.count("did not stop within") == 3


def test_the_grace_period_answers_not_queryable_and_a_second_signal_ends_it(start) -> None:
    server = start(CONFIG + "stop_grace_period: 60\n")
    server.process.send_signal(signal.SIGTERM)
    wait_for(lambda: server.heartbeat()["status"] == "not queryable")
    assert httpx.get(f"{server.url}/heartbeat").status_code == 503
    assert server.stop(signal.SIGTERM) < SOON_S


def test_keys_without_effect_are_logged(start) -> None:
    server = start(CONFIG + "wal_rotate_interval: 5\n")
    server.stop()
    assert "mkts.yml:3: wal_rotate_interval: ignored" in server.log


def test_grpc_is_served_beside_http_and_stops_with_it(start) -> None:
    import grpc

    server = start(CONFIG + "grpc_listen_port: 0\ngrpc_max_recv_msg_size: 1\n")
    target = server.heartbeat()["grpc"]
    with grpc.insecure_channel(target) as channel:
        write = channel.unary_unary("/proto.Marketstore/Write")
        assert write(b"") == b""
        with pytest.raises(grpc.RpcError, match="larger than max"):
            write(bytes(2 << 20))
        assert server.stop() < SOON_S
    assert f"serving data at {server.url} and gRPC at {target}" in server.log


def test_rows_of_a_trigger_reach_the_stream(start) -> None:
    from websockets.sync.client import connect

    server = start(CONFIG + "triggers: [{module: stream.so, on: '*/1Min/*'}]\n")
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as stream:
        import msgpack

        stream.send(msgpack.packb({"streams": [BARS]}))
        stream.recv(timeout=10)
        with tsstore.connect(server.url) as store:
            store.write(BARS, {"Epoch": np.array([60]), "Close": np.array([2.0])})
        message = msgpack.unpackb(stream.recv(timeout=10))
    server.stop()
    assert "nothing will be pushed" not in server.log
    assert message == {"key": BARS, "data": {"Epoch": 60, "Close": 2.0}}


def test_a_subscriber_who_would_wait_in_vain_is_told_of_in_the_log_once(start) -> None:
    import msgpack
    from websockets.sync.client import connect

    server = start(CONFIG)
    request = msgpack.packb({"streams": [BARS]})
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as stream:
        for _ in range(2):
            stream.send(request)
            assert stream.recv(timeout=10) == request
    server.stop()
    [line] = [line for line in server.log.splitlines() if "/ws" in line]
    assert " WARNING " in line
    assert "nothing will be pushed" in line
    assert "stream.so" in line


def test_a_mkts_yml_of_marketstore_makes_bars_and_streams_them(start) -> None:
    from websockets.sync.client import connect

    server = start(
        "root_directory: data\nlisten_port: 0\ntimezone: America/New_York\ntriggers:\n"
        "  - module: ondiskagg.so\n    on: '*/1Min/OHLCV'\n    config:\n"
        "        filter: 'nasdaq'\n        destinations:\n            - 5Min\n            - 1H\n"
        "            - 1D\n"
        "  - module: stream.so\n    on: '*/*/*'\n    config: {filter: nasdaq}\n"
    )
    minutes = np.arange(60) * 60 + 1_717_421_400  # 2024-06-03 09:30 in New York
    prices = {name: np.arange(60.0) for name in ("Open", "High", "Low", "Close")}
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as stream:
        import msgpack

        stream.send(msgpack.packb({"streams": ["*/1Min/*"]}))
        stream.recv(timeout=10)
        with tsstore.connect(server.url) as store:
            store.write(BARS, {"Epoch": minutes, **prices, "Volume": np.ones(60)})
            wait_for(lambda: "AAPL/1D/OHLCV" in store.list())
            day = store.read("AAPL/1D/OHLCV")
            assert store.read("AAPL/5Min/OHLCV")["Volume"].tolist() == [5.0] * 12
        rows = [msgpack.unpackb(stream.recv(timeout=10))["data"] for _ in range(60)]
    server.stop()
    assert [row["Epoch"] for row in rows] == minutes.tolist()
    assert day.ts.tolist() == [1_717_387_200 * 10**9]
    assert (day["Open"][0], day["Close"][0], day["Volume"][0]) == (0.0, 59.0, 60.0)
    assert "ignored" not in server.log


def feed(options: str) -> str:
    return f"bgworkers: [{{module: massive, config: {{api_key: k, {options}}}}}]\n"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("listen_host: 0.0.0.0\n", "0.0.0.0"),
        ("bgworkers: [{module: nope}]\n", "mkts.yml:3: bgworkers[0].module: no bgworker 'nope'"),
        ("log_level: warn\nbgworkers: [{module: nope}]\n", "mkts.yml:4: bgworkers[0].module: no"),
        ("token_file: nowhere\n", "token_file: cannot read nowhere"),
        ("grpc_max_send_msg_size: 4096\n", "mkts.yml:3: grpc_max_send_msg_size: "),
        ("listen_prot: 1\n", "mkts.yml:3: listen_prot: unknown key; did you mean listen_port?"),
        (feed("universe: 'tech:tops'"), "mkts.yml:3: bgworkers[0].config: there is no universe"),
        (feed("universe_file: nowhere.yml"), "universe_file nowhere.yml: No such file"),
        (feed("connections: {a: {}, b: {}}"), "connections a, b use one API key for stocks"),
        ("listen_host: 192.0.2.1\ninsecure: true\n", "cannot listen on 192.0.2.1:0"),
    ],
)
def test_a_wrong_configuration_is_one_line_and_exit_code_2(here, run, text, message) -> None:
    (here / "mkts.yml").write_text(CONFIG + text)
    result = run("start")
    assert result.exit_code == 2
    assert message in result.stderr
    assert "Traceback" not in result.output
