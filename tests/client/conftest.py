from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import tsstore
from tests.client.serving import Serving
from tsstore.client import RemoteStore, connect


@pytest.fixture
def serving(tmp_path: Path) -> Iterator[Serving]:
    """A server in this process, which can be started again, with its store or without."""
    serving = Serving(tmp_path / "served")
    yield serving
    serving.stop()


@pytest.fixture
def remote(serving: Serving) -> Iterator[RemoteStore]:
    with connect(serving.url) as remote:
        yield remote


@pytest.fixture(params=["here", "remote"])
def home(request: pytest.FixtureRequest, serving: Serving) -> Iterator[tsstore.Store | RemoteStore]:
    """The store itself, or the same behind the server."""
    if request.param == "here":
        yield serving.store
        return
    with connect(serving.url) as remote:
        yield remote


class Proxy:
    """Passes TCP connections on, until they are cut."""

    def __init__(self, port: int) -> None:
        self.to_port = port
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._listener.getsockname()[1]}"
        self._sockets: set[socket.socket] = set()
        self._lock = threading.Lock()
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    def cut(self) -> None:
        """Break all connections at once, in the middle of whatever they carry."""
        with self._lock:
            sockets, self._sockets = self._sockets, set()
        for one in sockets:
            with suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()
        self._thread.join()

    def _accept(self) -> None:
        while True:
            try:
                near, _ = self._listener.accept()
            except OSError:
                return
            try:
                far = socket.create_connection(("127.0.0.1", self.to_port))
            except OSError:
                near.close()
                continue
            with self._lock:
                self._sockets |= {near, far}
            pair = [(near, far), (far, near)]
            pumps = [threading.Thread(target=_pump, args=ends, daemon=True) for ends in pair]
            for pump in pumps:
                pump.start()
            threading.Thread(target=self._bury, args=(pumps, near, far), daemon=True).start()

    def _bury(self, pumps: list[threading.Thread], *sockets: socket.socket) -> None:
        for pump in pumps:
            pump.join()
        with self._lock:
            self._sockets -= set(sockets)
        for one in sockets:
            one.close()


def _pump(source: socket.socket, sink: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            sink.sendall(data)
    for one in (source, sink):
        with suppress(OSError):
            one.shutdown(socket.SHUT_RDWR)


@pytest.fixture
def proxy(serving: Serving) -> Iterator[Proxy]:
    proxy = Proxy(serving.port)
    yield proxy
    proxy.close()
