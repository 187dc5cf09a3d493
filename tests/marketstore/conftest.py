"""A real server, as a user starts it, and each way to it."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import pytest

from .carriers import Carrier, Grpc, Http, JsonHttp

CONFIG = """
root_directory: data
listen_port: 0
grpc_listen_port: 0
triggers: [{module: stream.so, on: "*/*/*"}]
"""


class Server:
    """A running `tsstore start` with gRPC; `kill -9` is `process.kill()`."""

    def __init__(self, folder: Path, config: str) -> None:
        path = folder / "mkts.yml"
        path.write_text(config.replace("root_directory: data", f"root_directory: {folder}/data"))
        command = [sys.executable, "-m", "tsstore", "start", "-c", str(path)]
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
        assert self.process.stderr is not None
        self.log = ""
        for line in self.process.stderr:
            self.log += line
            found = re.search(r"serving \S+ at (http://\S+) and gRPC at (\S+)", line)
            if found:
                self.url, self.grpc = found.groups()
                break
        else:
            raise AssertionError(self.log)
        self.http = httpx.Client(base_url=self.url)
        self.carriers: dict[str, Carrier] = {
            one.name: one for one in (Http(self.http), JsonHttp(self.http), Grpc(self.grpc))
        }

    def stop(self) -> None:
        self.process.terminate()
        _, rest = self.process.communicate(timeout=10)
        self.http.close()
        self.carriers["grpc"].channel.close()
        assert self.process.returncode in (0, -9), self.log + rest
        assert "Traceback" not in self.log + rest, self.log + rest


@pytest.fixture(scope="package")
def start(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """Start a server with more of a configuration; all are stopped at the end."""
    started: list[Server] = []

    def start(config: str = "", folder: Path | None = None) -> Server:
        server = Server(folder or tmp_path_factory.mktemp("server"), CONFIG + config)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()


@pytest.fixture(scope="package")
def running(start: Callable[..., Server]) -> Server:
    return start("timezone: America/New_York\n")


@pytest.fixture
def server(running: Server) -> Iterator[Server]:
    """A server in New York's zone, without buckets."""
    yield running
    for key in running.carriers["msgpack"].listed():
        assert running.carriers["msgpack"].destroy(key) == ""


@pytest.fixture
def rpc(server: Server) -> Http:
    return server.carriers["msgpack"]


@pytest.fixture(params=["msgpack", "json", "grpc"])
def carrier(server: Server, request: pytest.FixtureRequest) -> Carrier:
    """One of the ways to the server after the other."""
    return server.carriers[request.param]
