"""Clients of /ws that come back, and miss nothing."""

from __future__ import annotations

import threading
from contextlib import suppress
from socket import SHUT_RDWR
from time import monotonic, sleep

import msgpack
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.server.subscriber import Subscriber

KEY = "AAPL/1Min/OHLCV"


@pytest.fixture
def hub():
    return StreamHub(queue_bytes_max=1 << 20)


@pytest.fixture
def ws_url(store, hub):
    settings = ServerSettings(port=0)
    with serve(create_app(store, settings, hub=hub), settings) as server:
        yield server.url.replace("http", "ws") + "/ws"


def until(condition, timeout_s=60.0):
    deadline = monotonic() + timeout_s
    while not condition():
        assert monotonic() < deadline, "it did not happen in time"
        sleep(0.005)


def exchange(socket, message):
    socket.send(message)
    return socket.recv(timeout=30)


def resume(socket, session="", last=0, streams=(KEY,)):
    """Subscribe, and miss nothing; the session, and whether the server says so."""
    asked = {"session": session, "id": last} if session else {}
    subscribe_message = msgpack.packb({"streams": list(streams), "resume": asked})
    assert exchange(socket, subscribe_message) == subscribe_message
    answer = msgpack.unpackb(socket.recv(timeout=30))["resume"]
    return answer["session"], answer["complete"]


def receive(socket, count):
    return [msgpack.unpackb(socket.recv(timeout=30)) for _ in range(count)]


def epochs(messages):
    return [message["data"]["Epoch"] for message in messages]


def test_only_who_asks_is_told_numbers(ws_url, hub):
    with connect(ws_url) as old, connect(ws_url) as new:
        plain = msgpack.packb({"streams": [KEY]})
        assert exchange(old, plain) == plain
        resume(new)
        hub.publish(KEY, {"Epoch": 1}, commit=7)
        hub.publish(KEY, {"Epoch": 2})
        assert receive(old, 2) == [{"key": KEY, "data": {"Epoch": at}} for at in (1, 2)]
        first, second = receive(new, 2)
    assert (first["commit"], second["commit"]) == (7, None)
    assert first["id"] < second["id"]


@pytest.mark.parametrize("seen", [0, 1, 3, 5])
def test_a_client_that_comes_back_gets_each_message_once(ws_url, hub, seen):
    with connect(ws_url) as socket:
        session, complete = resume(socket)
        assert complete
        for epoch in range(5):
            hub.publish(KEY, {"Epoch": epoch})
        messages = receive(socket, 5)
    until(lambda: hub.stats()["clients_away"])
    for epoch in range(5, 10):
        hub.publish(KEY, {"Epoch": epoch})
    last = messages[seen - 1]["id"] if seen else messages[0]["id"] - 1
    with connect(ws_url) as socket:
        assert resume(socket, session, last) == (session, True)
        hub.publish(KEY, {"Epoch": 10})
        assert epochs(receive(socket, 11 - seen)) == list(range(seen, 11))
        assert hub.stats()["resumed_total"] == 1


def test_nothing_is_lost_or_doubled_while_connections_break_all_the_time(ws_url, hub):
    count = 3000

    def publish():
        for number in range(count):
            hub.publish(KEY, {"Epoch": number})
            if number % 50 == 0:
                sleep(0.001)

    seen, session, last = [], "", 0
    random = np.random.default_rng(1)
    thread = threading.Thread(target=publish)
    while len(seen) < count:
        with connect(ws_url, max_queue=None) as socket:
            session, complete = resume(socket, session, last)
            assert complete
            if not thread.ident:
                thread.start()
            with suppress(TimeoutError):
                for _ in range(int(random.integers(1, 200))):
                    message = msgpack.unpackb(socket.recv(timeout=0.05))
                    seen.append(message["data"]["Epoch"])
                    last = message["id"]
            if random.random() < 0.5:
                socket.socket.shutdown(SHUT_RDWR)
    thread.join()
    assert seen == list(range(count))


def test_who_comes_back_is_served_however_threads_take_turns(ws_url, hub, monkeypatch):
    """What sends may look for messages as soon as they are there."""
    go_on = Subscriber.go_on

    def slowly(*args):
        is_known = go_on(*args)
        sleep(0.05)
        return is_known

    monkeypatch.setattr(Subscriber, "go_on", slowly)
    with connect(ws_url) as socket:
        session, _ = resume(socket)
        hub.publish(KEY, {"Epoch": 1})
        last = receive(socket, 1)[0]["id"]
    with connect(ws_url) as socket:
        assert resume(socket, session, last) == (session, True)


def test_a_client_may_come_back_before_its_old_connection_is_known_to_be_dead(ws_url, hub):
    with connect(ws_url) as old:
        session, _ = resume(old)
        hub.publish(KEY, {"Epoch": 1})
        with connect(ws_url) as new:
            last = receive(old, 1)[0]["id"]
            assert resume(new, session, last) == (session, True)
            hub.publish(KEY, {"Epoch": 2})
            assert epochs(receive(new, 1)) == [2]
            with pytest.raises(ConnectionClosed):
                old.recv(timeout=30)
        assert hub.stats()["dropped_clients_total"] == 0


@pytest.mark.parametrize("case", ["unknown", "streams", "future", "fell behind", "others"])
def test_who_cannot_go_on_is_told_so_and_gets_what_is_new(ws_url, hub, case):
    with connect(ws_url) as socket:
        session, _ = resume(socket)
        hub.publish(KEY, {"Epoch": 1})
        last = receive(socket, 1)[0]["id"]
    until(lambda: hub.stats()["clients_away"])
    streams = (KEY, "MSFT/*/*") if case == "streams" else (KEY,)
    if case == "fell behind":
        hub.publish(KEY, {"Text": "x" * (2 << 20)})
    if case == "others":
        for _ in range(17):
            with connect(ws_url) as other:
                resume(other)
        until(lambda: hub.stats()["clients"] == 0)
    asked = "0" * 32 if case == "unknown" else session
    with connect(ws_url) as socket:
        fresh, complete = resume(socket, asked, last + 1000 * (case == "future"), streams)
        assert not complete
        assert fresh != session
        hub.publish(KEY, {"Epoch": 2})
        assert epochs(receive(socket, 1)) == [2]
        assert hub.stats()["resumed_late_total"] == 1


def test_what_was_sent_stays_as_far_as_it_fits(ws_url, hub):
    with connect(ws_url) as socket:
        session, _ = resume(socket)
        for epoch in range(20):
            hub.publish(KEY, {"Epoch": epoch, "Text": "x" * 100_000})
            messages = receive(socket, 1)
        oldest = messages[0]["id"] - 19
    until(lambda: hub.stats()["clients_away"])
    with connect(ws_url) as socket:
        assert resume(socket, session, messages[0]["id"] - 3) == (session, True)
        assert epochs(receive(socket, 3)) == [17, 18, 19]
    until(lambda: hub.stats()["clients_away"])
    with connect(ws_url) as socket:
        assert not resume(socket, session, oldest)[1]


def test_who_stays_away_is_forgotten(ws_url, hub):
    hub._waits_s = 0.05
    with connect(ws_url) as socket:
        resume(socket)
    until(lambda: not hub.stats()["clients"])
    until(lambda: not hub.stats()["clients_away"])
    assert hub._subscribers == ()


@pytest.mark.parametrize("asked", [5, {"session": 5}, {"session": "x", "id": "y"}])
def test_a_resume_that_means_nothing_is_passed_over(ws_url, asked):
    with connect(ws_url) as socket:
        socket.send(msgpack.packb({"streams": [KEY], "resume": asked}))
        assert resume(socket)[1]


_LEAVES = (
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats()
    | st.text(max_size=20) | st.binary(max_size=20) | st.sampled_from([KEY, "*/*/*", "//"])
)  # fmt: skip
_VALUES = st.recursive(
    _LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(["streams", "resume", "session", "id", "x"]), inner)
    ),
    max_leaves=12,
)
_ASKED = st.fixed_dictionaries({"streams": st.just([KEY]) | _VALUES, "resume": _VALUES})


@settings(
    max_examples=80, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.lists((_ASKED | _VALUES).map(msgpack.packb) | st.binary(max_size=60), max_size=5))
def test_whatever_clients_send_others_are_served(ws_url, hub, frames):
    with connect(ws_url) as hostile:
        for frame in frames:
            hostile.send(frame)
    with connect(ws_url) as socket:
        assert resume(socket)[1]
        hub.publish(KEY, {"Epoch": 1})
        assert epochs(receive(socket, 1)) == [1]
    assert len(hub._away) <= 17
