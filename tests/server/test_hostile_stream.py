"""WebSockets whose clients mean harm: nothing grows without end, and the others are served."""

from __future__ import annotations

import base64
import gc
import os
import socket
import time
from contextlib import contextmanager, suppress

import httpx
import msgpack
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.sync.client import connect

TEXT, BINARY, CLOSE, PING = 1, 2, 8, 9
GROWTH_MAX = 25 << 20


def frame(opcode, payload=b"", *, is_last=True, announced=None):
    """A masked frame, as clients send them."""
    size = len(payload) if announced is None else announced
    head = bytes([is_last << 7 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 1 << 16:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    return head + bytes(4) + payload


@contextmanager
def opened(server):
    """A connection that became a WebSocket, without a thread that reads from it."""
    with socket.create_connection((server.host, server.port), timeout=30) as raw:
        key = base64.b64encode(os.urandom(16))
        raw.sendall(
            b"GET /ws HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: " + key + b"\r\n\r\n"
        )
        assert raw.recv(4096).startswith(b"HTTP/1.1 101 ")
        yield raw


@pytest.fixture
def raw(server):
    with opened(server) as raw:
        yield raw


@pytest.fixture
def memory_stays(raw):
    """Looks while the connection is still open."""
    process = psutil.Process()
    gc.collect()
    before = process.memory_info().rss
    yield
    for _ in range(20):  # what other tests left may be given back, or be asked for, meanwhile
        gc.collect()
        if process.memory_info().rss - before < GROWTH_MAX:
            return
        time.sleep(0.5)
    raise AssertionError(f"{process.memory_info().rss - before} bytes more than before")


@pytest.fixture(autouse=True)
def others_are_served(server):
    yield
    assert httpx.get(f"{server.url}/heartbeat", timeout=30).status_code == 200
    with connect(server.url.replace("http", "ws") + "/ws", open_timeout=30) as stream:
        request = msgpack.packb({"streams": ["*/*/*"]})
        stream.send(request)
        assert stream.recv(timeout=30) == request


def flood(raw, data, times):
    """Send as long as the server takes it."""
    raw.settimeout(1)
    with suppress(OSError):
        for _ in range(times):
            raw.sendall(data)


@pytest.mark.usefixtures("memory_stays")
def test_pings_whose_answers_nobody_reads_are_not_kept(raw):
    flood(raw, frame(PING, b"x" * 125) * 1000, 300)


@pytest.mark.usefixtures("memory_stays")
def test_fragments_without_contents_end_the_connection(raw):
    flood(raw, frame(BINARY, is_last=False), 1)
    flood(raw, frame(0, is_last=False) * 1000, 1000)
    raw.settimeout(5)
    with suppress(ConnectionError):
        while raw.recv(4096):
            pass


def test_a_message_in_some_fragments_is_a_message(raw):
    request = msgpack.packb({"streams": ["A/1Min/X"]})
    parts = [frame(BINARY, request[:5], is_last=False), frame(0, request[5:9], is_last=False)]
    raw.sendall(b"".join([*parts, frame(PING, b"?"), frame(0, request[9:])]))
    expected = bytes([0x80 | 10, 1]) + b"?" + bytes([0x80 | BINARY, len(request)]) + request
    received = b""
    while len(received) < len(expected):
        received += raw.recv(4096)
    assert received == expected


@pytest.mark.usefixtures("memory_stays")
def test_subscriptions_whose_echo_nobody_reads_are_not_kept(raw):
    request = msgpack.packb({"streams": ["A/1Min/" + "X" * 500] * 100})
    flood(raw, frame(BINARY, request), 200)


@pytest.mark.usefixtures("memory_stays")
def test_messages_that_are_no_subscription_are_not_kept(raw):
    flood(raw, frame(TEXT, b"garbage") * 1000, 300)


@pytest.mark.parametrize("announced", [(1 << 20) + 1, 1 << 40, (1 << 63) - 1])
@pytest.mark.usefixtures("memory_stays")
def test_a_frame_that_announces_too_much_ends_the_connection(raw, announced):
    raw.sendall(frame(BINARY, b"x", announced=announced))
    while raw.recv(4096):
        pass


@pytest.mark.parametrize(
    "junk",
    [
        b"\xff" * 100,
        b"GET / HTTP/1.1\r\n\r\n",
        frame(0, b"a part of nothing"),
        frame(CLOSE, b"\x00"),
        frame(PING, b"x" * 126),
        frame(TEXT, b"\xff\xfe"),
        b"\x82\x01a",  # not masked
    ],
)
def test_what_is_no_frame_ends_the_connection(raw, junk):
    raw.sendall(junk)
    with suppress(ConnectionError):
        while raw.recv(4096):
            pass


@settings(
    max_examples=60,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(messages=st.lists(st.binary(max_size=100) | st.text(max_size=50), max_size=5))
def test_random_messages_never_break_it(server, hub, messages):
    request = msgpack.packb({"streams": ["*/*/*"]})
    echo = bytes([0x80 | BINARY, len(request)]) + request
    with opened(server) as raw:
        for message in messages:
            is_text = isinstance(message, str)
            raw.sendall(frame(TEXT, message.encode()) if is_text else frame(BINARY, message))
        raw.sendall(frame(BINARY, request))
        received = b""
        while not received.endswith(echo):
            part = raw.recv(4096)
            assert part, "it closed the connection"
            received += part
    deadline = time.monotonic() + 30
    while hub.stats()["clients"]:  # nothing is kept of who has left
        assert time.monotonic() < deadline, hub.stats()
        time.sleep(0.001)
