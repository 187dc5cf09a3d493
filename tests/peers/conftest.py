"""A real pymarketstore in a process of its own, and our real server in another."""

from __future__ import annotations

import fcntl
import json
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

PROJECT = Path(__file__).parent.parent.parent
ENVIRONMENT = PROJECT / ".venv-pymarketstore"
# The last versions that pymarketstore 0.22 works with.
REQUIREMENTS = (
    "pymarketstore==0.22",
    "grpcio==1.62.2",
    "msgpack==1.0.8",
    "numpy==1.24.4",
    "pandas==1.5.3",
    "protobuf==4.25.3",
    "setuptools<81",
)
CONFIG = """
root_directory: {root}
listen_port: 0
grpc_listen_port: 0
timezone: America/New_York
triggers:
  - module: stream.so
    on: "*/*/*"
"""


def _python() -> str:
    """A Python 3.11, for which the old pandas has wheels."""
    if sys.version_info[:2] == (3, 11):
        return sys.executable
    found = shutil.which("python3.11")
    if found is None:
        pytest.skip("pymarketstore needs Python 3.11")
    return found


@pytest.fixture(scope="session")
def environment() -> Path:
    """The interpreter of the peer's environment, which is made once and kept."""
    ready = ENVIRONMENT / "ready"
    with Path(__file__).open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # several test processes may come here at once
        if not ready.exists() or ready.read_text() != "\n".join(REQUIREMENTS):
            subprocess.run([_python(), "-m", "venv", "--clear", ENVIRONMENT], check=True)
            # Most of its modules are never imported, and need not be compiled.
            options = ["--quiet", "--disable-pip-version-check", "--no-compile"]
            install = [ENVIRONMENT / "bin" / "pip", "install", *options, *REQUIREMENTS]
            subprocess.run(install, check=True)
            ready.write_text("\n".join(REQUIREMENTS))
    return ENVIRONMENT / "bin" / "python"


class Peer:
    """A process that executes snippets of code over pymarketstore."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self._process = process

    def run(self, snippet: str) -> Any:
        """What the snippet left in `out`; its traceback becomes an AssertionError."""
        reply = self.attempt(snippet)
        assert "error" not in reply, reply["error"]
        return reply["out"]

    def attempt(self, snippet: str) -> dict[str, Any]:
        """`out`, or the traceback as `error`."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(textwrap.dedent(snippet)) + "\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())


@pytest.fixture(scope="package")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Our server, as a user starts it."""
    folder = tmp_path_factory.mktemp("server")
    with serving(folder, CONFIG.format(root=folder / "data")) as url:
        yield url


@contextmanager
def serving(folder: Path, text: str) -> Iterator[str]:
    """The URL of a server with that configuration."""
    config = folder / "mkts.yml"
    config.write_text(text)
    command = [sys.executable, "-m", "tsstore", "start", "-c", str(config)]
    log = folder / "log"
    with log.open("w") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output)
    try:
        yield _wait_for_url(process, log)
    finally:
        process.terminate()
        assert process.wait(30) == 0, log.read_text()


def _wait_for_url(process: subprocess.Popen[bytes], log: Path) -> str:
    while process.poll() is None:
        found = re.search(r"serving .* at (http://[^\s\"]+)", log.read_text())
        if found is not None:
            return found[1]
        try:
            process.wait(0.05)
        except subprocess.TimeoutExpired:
            continue
    raise AssertionError(log.read_text())


@pytest.fixture(scope="package")
def peer(environment: Path, url: str) -> Iterator[Peer]:
    """Pymarketstore with a client `c` of our server, and `g` that speaks gRPC."""
    driver = Path(__file__).parent / "driver.py"
    command = [environment, driver]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        peer = Peer(process)
        target = httpx.get(f"{url}/heartbeat").json()["grpc"]
        peer.run(f"url = {url!r}; c = pymkt.Client(url + '/rpc')")
        peer.run(f"g = pymkt.Client({target!r}, grpc=True)")
        yield peer
        assert process.stdin is not None
        process.stdin.write("null\n")
        process.stdin.close()
        assert process.wait(30) == 0


@pytest.fixture(autouse=True)
def empty(peer: Peer) -> None:
    """Each test finds the server empty, whichever module's test came before."""
    peer.run("for key in c.list_symbols(pymkt.ListSymbolsFormat.TBK): c.destroy(key)")
