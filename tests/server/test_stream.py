"""The subscribers of /ws: what they ask, what they get, and what becomes of slow ones."""

from __future__ import annotations

import asyncio
import json
import threading
from collections import deque
from contextlib import suppress
from socket import SHUT_RDWR
from time import monotonic, sleep

import msgpack
import numpy as np
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import _Connection
from tsstore.server.subscriber import Message

KEY = "AAPL/1Min/OHLCV"


def until(condition, timeout_s=60.0):
    deadline = monotonic() + timeout_s
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.005)


@pytest.fixture
def ws_url(server, hub):
    yield server.url.replace("http", "ws") + "/ws"
    until(lambda: hub.stats()["clients"] == 0)


@pytest.fixture
def socket(ws_url):
    with connect(ws_url) as socket:
        yield socket


def exchange(socket, message):
    socket.send(message)
    return socket.recv(timeout=30)


def subscribe(socket, *streams):
    request = msgpack.packb({"streams": list(streams)})
    assert exchange(socket, request) == request


def test_a_subscription_is_answered_by_its_own_bytes(socket):
    request = b"\x81\xa7streams\xdd\x00\x00\x00\x01\xa5*/*/*"  # not the shortest way to say it
    socket.send(request)
    assert socket.recv(timeout=30) == request


def test_a_subscription_may_be_an_array(socket, hub):
    request = msgpack.packb([["*/*/*"]])
    socket.send(request)
    assert socket.recv(timeout=30) == request
    hub.publish(KEY, {"Epoch": 1})
    assert msgpack.unpackb(socket.recv(timeout=30)) == {"key": KEY, "data": {"Epoch": 1}}


@pytest.mark.parametrize("stream", ["A/1Min", "**", "", "A/B/C/D", "[/1Min/X", "x" * 600, 5])
def test_what_is_no_stream_is_named(socket, stream):
    socket.send(msgpack.packb({"streams": [KEY, stream]}))
    answer = msgpack.unpackb(socket.recv(timeout=30))
    assert answer == {"error": f"{str(stream)[:512]} is an invalid stream"}


@pytest.mark.parametrize(
    "stream", ["//", "**/1Min/OHLCV", "{AAPL,MSFT}/1Min/*", "A[A-C]?L/*/*", "../../.."]
)
def test_three_parts_are_a_stream(socket, stream):
    subscribe(socket, stream)


def test_choices_that_would_take_seconds_are_refused(socket):
    stream = "/".join(["{a,b}" * 13] * 3)
    socket.send(msgpack.packb({"streams": [stream]}))
    assert "invalid stream" in msgpack.unpackb(socket.recv(timeout=30))["error"]


def test_a_long_list_of_patterns_delays_nobody_else(socket, http):
    part = "{" + ",".join(f"a{number}*[b-d]" for number in range(3)) + "}"
    request = msgpack.packb({"streams": [f"{part}/{number}*/{part}" for number in range(1000)]})
    socket.send(request)
    began = monotonic()
    assert http.get("/heartbeat").status_code == 200
    assert monotonic() - began < 5
    assert socket.recv(timeout=10) == request


def test_a_list_of_patterns_that_would_take_minutes_is_refused(socket, http):
    part = "{a,b,c,d,e,f,g,h,i,j}" * 2 + "*a?" * 40
    request = msgpack.packb({"streams": [f"{part}{number}/{part}/*" for number in range(1000)]})
    socket.send(request)
    assert http.get("/heartbeat").status_code == 200
    assert "invalid stream" in msgpack.unpackb(socket.recv(timeout=30))["error"]


def test_patterns_that_are_too_long_together_are_refused(socket):
    request = msgpack.packb({"streams": [f"{'a' * 100}*/{number}/*" for number in range(1000)]})
    socket.send(request)
    assert "use fewer or wider ones" in msgpack.unpackb(socket.recv(timeout=30))["error"]


def test_too_many_streams_are_refused(socket):
    socket.send(msgpack.packb({"streams": ["*/*/*"] * 1001}))
    assert "at most" in msgpack.unpackb(socket.recv(timeout=30))["error"]


@pytest.mark.parametrize("garbage", [b"", b"\xc1", b"\x05", b"\x81\xa7streams\x05"])
def test_garbage_is_passed_over(socket, garbage):
    socket.send(garbage)
    subscribe(socket, KEY)


@pytest.mark.parametrize("text", ['{"streams": ["*/*/*"]}', "[", "hello", ""])
def test_text_is_answered_in_json(socket, hub, text):
    subscribe(socket, KEY)
    answer = exchange(socket, text)
    assert isinstance(answer, str)
    assert "as msgpack" in json.loads(answer)["error"]
    hub.publish(KEY, {"Epoch": 1})
    assert msgpack.unpackb(socket.recv(timeout=30))["key"] == KEY


def test_only_what_was_asked_for_is_sent(socket, hub):
    subscribe(socket, "A*/1Min/*", "IBM/1Sec/TRADE")
    for key in ("MSFT/1Min/OHLCV", "AAPL/5Min/OHLCV", "IBM/1Sec/TRADE", KEY):
        hub.publish(key, {"Epoch": 1})
    keys = [msgpack.unpackb(socket.recv(timeout=30))["key"] for _ in range(2)]
    assert keys == ["IBM/1Sec/TRADE", KEY]


def test_a_later_list_replaces_the_earlier_one(socket, hub):
    subscribe(socket, KEY)
    subscribe(socket, "MSFT/*/*")
    hub.publish(KEY, {"Epoch": 1})
    hub.publish("MSFT/1Min/X", {"Epoch": 2})
    assert msgpack.unpackb(socket.recv(timeout=30))["key"] == "MSFT/1Min/X"


@pytest.mark.parametrize("request_", [{"streams": []}, {"streams": None}, {}])
def test_an_empty_list_changes_nothing(socket, hub, request_):
    subscribe(socket, KEY)
    socket.send(msgpack.packb(request_))
    assert socket.recv(timeout=30) == msgpack.packb(request_)
    hub.publish(KEY, {"Epoch": 1})
    assert msgpack.unpackb(socket.recv(timeout=30))["key"] == KEY


def test_a_bad_list_leaves_the_earlier_one(socket, hub):
    subscribe(socket, KEY)
    socket.send(msgpack.packb({"streams": ["bad"]}))
    assert b"invalid" in socket.recv(timeout=30)
    hub.publish(KEY, {"Epoch": 1})
    assert msgpack.unpackb(socket.recv(timeout=30))["key"] == KEY


def test_scalars_keep_their_types(socket, hub):
    subscribe(socket, KEY)
    values = {
        "Epoch": np.int64(1),
        "F4": np.float32(1.5),
        "F8": np.float64(1.5),
        "U1": np.uint8(7),
        "B1": np.bool_(True),
        "Nanoseconds": np.int32(2),
    }
    hub.publish(KEY, values)
    expected = (
        b"\x82\xa3key\xafAAPL/1Min/OHLCV\xa4data\x86"
        b"\xa5Epoch\xd3\x00\x00\x00\x00\x00\x00\x00\x01"
        b"\xa2F4\xca\x3f\xc0\x00\x00"
        b"\xa2F8\xcb\x3f\xf8\x00\x00\x00\x00\x00\x00"
        b"\xa2U1\xcc\x07"
        b"\xa2B1\xc3"
        b"\xabNanoseconds\xd2\x00\x00\x00\x02"
    )
    assert socket.recv(timeout=30) == expected


def test_messages_of_many_threads_all_arrive(socket, hub):
    subscribe(socket, "*/*/*")

    def publish(symbol):
        for number in range(200):
            hub.publish(f"{symbol}/1Min/X", {"Epoch": number})

    threads = [threading.Thread(target=publish, args=(symbol,)) for symbol in "ABCD"]
    for thread in threads:
        thread.start()
    seen = {}
    for _ in range(800):
        message = msgpack.unpackb(socket.recv(timeout=30))
        seen.setdefault(message["key"], []).append(message["data"]["Epoch"])
    for thread in threads:
        thread.join()
    assert seen == {f"{symbol}/1Min/X": list(range(200)) for symbol in "ABCD"}


def test_a_slow_client_is_dropped_and_nobody_waits_for_it(ws_url, hub):
    dropped = hub.stats()["dropped_clients_total"]
    with connect(ws_url, max_queue=1) as slow, connect(ws_url) as quick:
        subscribe(slow, "*/1Min/BIG")
        subscribe(quick, KEY)
        began = monotonic()
        while hub.stats()["dropped_clients_total"] == dropped:
            hub.publish("A/1Min/BIG", {"Text": "x" * 100_000})
            hub.publish(KEY, {"Epoch": 1})
            assert monotonic() - began < 60
            sleep(0.001)
        hub.publish(KEY, {"Epoch": 2})
        while msgpack.unpackb(quick.recv(timeout=30))["data"]["Epoch"] != 2:
            pass
        with suppress(ConnectionClosed):
            deque(slow, maxlen=0)  # what was under way comes, and then the end


def test_a_client_that_reads_late_is_told_to_try_again(ws_url, hub):
    with connect(ws_url) as socket:
        subscribe(socket, "*/*/*")
        hub.publish(KEY, {"Text": "x" * (2 << 20)})
        with pytest.raises(ConnectionClosed) as caught:
            socket.recv(timeout=30)
        assert caught.value.rcvd.code == 1013


def test_a_client_that_vanishes_is_forgotten(ws_url, hub):
    with connect(ws_url) as socket:
        subscribe(socket, "*/*/*")
        assert hub.stats()["clients"] == 1
        socket.socket.shutdown(SHUT_RDWR)
        hub.publish(KEY, {"Epoch": 1})
        until(lambda: hub.stats()["clients"] == 0)


def test_a_frame_that_is_too_large_ends_only_its_client(ws_url, socket, hub):
    subscribe(socket, KEY)
    with connect(ws_url) as hostile, pytest.raises(ConnectionClosed):
        exchange(hostile, b"x" * (2 << 20))
    hub.publish(KEY, {"Epoch": 1})
    assert msgpack.unpackb(socket.recv(timeout=30))["key"] == KEY


def test_publishing_without_subscribers_encodes_nothing(hub):
    class Untouched(dict):
        def keys(self):
            raise AssertionError

    hub.publish(KEY, Untouched())


def test_publishing_to_a_client_whose_loop_ended_is_harmless(hub):
    async def connected():
        return _Connection(hub, None, 100)

    connection = asyncio.run(connected())  # and its loop is closed
    connection.subscriber.push(Message(b"late"))
    connection.end()
    assert hub.stats()["clients"] == 0


def test_subscribers_of_several_ports_get_everything(ws_url, store, hub):
    settings = ServerSettings(port=0)
    with serve(create_app(store, settings, hub=hub), settings) as other:
        other_url = other.url.replace("http", "ws") + "/ws"
        with connect(ws_url) as first, connect(other_url) as second:
            for socket in (first, second):
                subscribe(socket, "*/*/*")
            for number in range(100):
                hub.publish(KEY, {"Epoch": number})
            for socket in (first, second):
                got = [msgpack.unpackb(socket.recv(timeout=5)) for _ in range(100)]
                assert [message["data"]["Epoch"] for message in got] == list(range(100))
