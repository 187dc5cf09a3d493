"""Fixtures of the simulator's tests: a running simulator, clients of it, and small flat files."""

from __future__ import annotations

import contextlib
import functools
import gzip
import json
from typing import TYPE_CHECKING, Any, Protocol

import httpx
import pytest
from websockets.sync.client import ClientConnection, connect

from tsstore_massive_simulator.faults import Faults
from tsstore_massive_simulator.flatfiles import FlatFileMarket
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tsstore_massive_simulator.market import Market

TIMEOUT_S = 20


class Running:
    """A simulator that serves, and its address."""

    def __init__(self, simulator: Simulator, url: str, client: httpx.Client) -> None:
        self._client = client
        self.simulator = simulator
        self.url = url
        self.host = url.removeprefix("http://")

    def get(self, path: str, key: str = "k", **params: Any) -> httpx.Response:
        """Ask over REST."""
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        return self._client.get(self.url + path, params=params or None, headers=headers)

    def get_raw(self, path: str) -> contextlib.AbstractContextManager[httpx.Response]:
        """Ask over REST, and read the body as it comes."""
        return self._client.stream("GET", self.url + path, params={"apiKey": "k"})

    def post(self, path: str, body: Any) -> httpx.Response:
        """Use the side door."""
        return self._client.post(self.url + path, json=body)


class Talk:
    """A client of the WebSocket that says what it is told and collects what it hears."""

    def __init__(self, socket: ClientConnection) -> None:
        self.socket = socket

    def say(self, action: str, params: str = "", **more: Any) -> None:
        """Send a message."""
        self.socket.send(json.dumps({"action": action, "params": params, **more}))

    def hear(self) -> list[Any]:
        """The next frame."""
        frame: list[Any] = json.loads(self.socket.recv(timeout=TIMEOUT_S))
        return frame

    def authenticate(self, key: str = "k") -> None:
        """Come as far as one can subscribe."""
        assert self.hear()[0]["status"] == "connected"
        self.say("auth", key)
        assert self.hear()[0]["status"] == "auth_success"

    def events(self, count: int) -> list[Any]:
        """As many events, statuses left out."""
        found: list[Any] = []
        while len(found) < count:
            found += [each for each in self.hear() if not _is_status(each)]
        return found

    def until_gone(self) -> list[Any]:
        """Everything up to the end of the connection."""
        found: list[Any] = []
        with contextlib.suppress(Exception):
            while True:
                found += self.hear()
        return found


def _is_status(element: Any) -> bool:
    return isinstance(element, dict) and element.get("ev") == "status"


class Start(Protocol):
    """Starts a simulator that stops after the test."""

    def __call__(self, market: Market | None = None, /, *faults: str, **options: Any) -> Running:
        """Start one; by default a small generated market as fast as it is read."""
        ...


@pytest.fixture(scope="session")
def market() -> GeneratedMarket:
    """Five generated tickers, shared because days are remembered."""
    return GeneratedMarket(seed=7, tickers=5)


@pytest.fixture
def real_market(real_data: Path) -> FlatFileMarket:
    """The real flat files, shared because reading them takes a second a day."""
    return _real_market(real_data)


@functools.cache
def _real_market(folder: Path) -> FlatFileMarket:
    return FlatFileMarket(folder)


@pytest.fixture
def start(market: GeneratedMarket) -> Iterator[Start]:
    """Starts simulators."""
    with contextlib.ExitStack() as stack:
        client = stack.enter_context(httpx.Client(trust_env=False, verify=False, timeout=TIMEOUT_S))

        def begin(of: Market | None = None, /, *faults: str, **options: Any) -> Running:
            active = Faults()
            for fault in faults:
                active.set_text(fault)
            simulator = Simulator(of or market, **{"speed": None, "faults": active, **options})
            return Running(simulator, stack.enter_context(simulator.in_background()), client)

        yield begin


@pytest.fixture
def talk() -> Iterator[Callable[[Running], Talk]]:
    """Opens WebSocket connections."""
    with contextlib.ExitStack() as stack:

        def begin(running: Running, path: str = "stocks", **options: Any) -> Talk:
            # A simulator that dropped the connection must not make the end of a test wait.
            options = {"proxy": None, "close_timeout": 0.1, **options}
            return Talk(stack.enter_context(connect(f"ws://{running.host}/{path}", **options)))

        yield begin


@pytest.fixture
def flat_file(tmp_path: Path) -> Callable[..., Path]:
    """Writes flat files, each text a gzip member of its own, and gives the folder."""

    def write(dataset: str, day: str, *texts: str) -> Path:
        folder = tmp_path / "us_stocks_sip" / dataset / day[:4] / day[5:7]
        folder.mkdir(parents=True, exist_ok=True)
        members = b"".join(gzip.compress(text.encode()) for text in texts)
        (folder / f"{day}.csv.gz").write_bytes(members)
        return tmp_path

    return write
