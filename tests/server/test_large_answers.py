"""Answers larger than what a connection holds, to those who read them and those who do not."""

from __future__ import annotations

import socket
import time
from contextlib import suppress

import httpx
import msgpack
import numpy as np
import pytest

import tsstore
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

ROWS = 1_000_000
KEY = "A/1Sec/NUMBERS"
REQUEST = msgpack.packb(
    {
        "jsonrpc": "2.0",
        "method": "DataService.Query",
        "id": 1,
        "params": {"requests": [{"destination": KEY}]},
    }
)
HEAD = (
    "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-msgpack\r\n"
    f"Content-Length: {len(REQUEST)}\r\n\r\n"
).encode()


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    settings = ServerSettings(port=0, write_timeout_s=0.5)
    numbers = np.arange(ROWS)
    with tsstore.open(tmp_path_factory.mktemp("store")) as store:
        store.write(KEY, {"Epoch": numbers, "A": numbers, "B": numbers * 0.5})
        app = create_app(store, settings, hub=StreamHub(queue_bytes_max=1 << 20))
        with serve(app, settings) as server:
            yield server


def asked(server):
    peer = socket.create_connection((server.host, server.port), timeout=20)
    peer.sendall(HEAD + REQUEST)
    return peer


def test_who_reads_slowly_gets_all_of_it(server):
    """For longer than a client may read nothing."""
    with asked(server) as peer, peer.makefile("rb") as file:
        while (line := file.readline()) != b"\r\n":
            if line.lower().startswith(b"content-length:"):
                size = int(line.split(b":")[1])
        body = bytearray()
        while len(body) < size:
            time.sleep(0.1)
            body += file.read(min(2 << 20, size - len(body)))
    data = msgpack.unpackb(body)["result"]["responses"][0]["result"]["data"]
    assert np.array_equal(np.frombuffer(data[1], "<i8"), np.arange(ROWS))
    assert np.array_equal(np.frombuffer(data[2], "<f8"), np.arange(ROWS) * 0.5)


def test_who_reads_nothing_is_given_up(server):
    peers = [asked(server) for _ in range(3)]
    time.sleep(1.5)  # three times as long as is waited
    for peer in peers:
        received = 0
        with peer, suppress(ConnectionError):
            while data := peer.recv(1 << 20):
                received += len(data)
        assert received < ROWS * 24
    with tsstore.connect(server.url) as remote:
        assert len(remote.read(KEY)) == ROWS


def subscribed(server, path):
    """A WebSocket that nobody reads from any more."""
    peer = socket.create_connection((server.host, server.port), timeout=20)
    peer.sendall(
        f"GET {path} HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n".encode()
    )
    assert peer.recv(4096).startswith(b"HTTP/1.1 101 ")
    wish = msgpack.packb({"streams": ["*/*/*"]})
    peer.sendall(bytes([0x82, 0x80 | len(wish)]) + bytes(4) + wish)
    assert peer.recv(4096)
    return peer


@pytest.mark.parametrize("path", ["/ws", "/feed"])
def test_who_reads_nothing_of_a_stream_is_given_up(tmp_path, path):
    """Its connection as well: then there is room for one beside ours."""
    settings = ServerSettings(port=0, write_timeout_s=0.5, connections_max=2)
    hub = StreamHub(queue_bytes_max=1 << 20)
    numbers = np.arange(400_000)
    with tsstore.open(tmp_path) as store:
        app = create_app(store, settings, hub=hub)
        with serve(app, settings) as server, subscribed(server, path):
            for step in range(4):
                store.write(KEY, {"Epoch": numbers, "A": numbers + step})
            for _ in range(1_500):
                hub.publish(KEY, {"text": "x" * 10_000})
            while httpx.get(server.url + "/heartbeat").status_code == 503:
                time.sleep(0.05)


def test_stopping_breaks_off_an_answer_that_nobody_reads(tmp_path, caplog):
    settings = ServerSettings(port=0)
    numbers = np.arange(ROWS)
    with tsstore.open(tmp_path) as store:
        store.write(KEY, {"Epoch": numbers, "A": numbers, "B": numbers * 0.5})
        app = create_app(store, settings, hub=StreamHub())
        with serve(app, settings) as server, asked(server) as peer:
            assert peer.recv(100).startswith(b"HTTP/1.1 200 ")  # so it is under way
            server.stop()
    assert not [record for record in caplog.records if record.exc_info]
