"""/feed, as a client sees it that speaks for itself."""

from __future__ import annotations

import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import tsstore
from tsstore.errors import InvalidArgumentError
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

KEY = "A/1Min/X"
BARS = {"Epoch": [60], "V": [1.0]}


@pytest.fixture
def url(server):
    return server.url.replace("http", "ws") + "/feed"


def ask(socket, **request):
    socket.send(msgpack.packb(request))


def receive(socket):
    return msgpack.unpackb(socket.recv(timeout=30))


def test_a_commit_is_one_message_with_columns(url, store):
    with connect(url) as socket:
        ask(socket, streams=["*/1Min/X"])
        begin = receive(socket)["position"]
        store.write_many({KEY: BARS, "B/1Min/X": BARS, "B/1H/X": BARS})
        message = receive(socket)
    (commit,) = message["commits"]
    assert message["position"] == commit["commit"] > begin
    (batch,) = commit["batches"]
    assert batch["keys"] == [KEY, "B/1Min/X"]
    assert batch["lengths"] == [1, 1]
    assert "is_missing" not in message


def test_a_client_goes_on_where_it_was(url, store):
    store.write(KEY, BARS)
    with connect(url) as socket:
        ask(socket, streams=["*/*/*"])
        position = receive(socket)["position"]
    for _ in range(3):
        store.write(KEY, BARS)
    with connect(url) as socket:
        ask(socket, streams=["*/*/*"], after=position)
        assert receive(socket) == {"position": position}
        commits = receive(socket)["commits"]
    assert [commit["commit"] for commit in commits] == [position + n for n in (1, 2, 3)]


@pytest.mark.parametrize("position", [-5, 10**9])
def test_a_position_that_is_not_known_is_told(url, store, position):
    store.write(KEY, BARS)
    with connect(url) as socket:
        ask(socket, streams=["*/*/*"], after=position)
        receive(socket)
        message = receive(socket)
    assert message["is_missing"]
    assert message["position"] == store.changed_since(0).position


def test_the_heartbeat_tells_of_commits_that_are_not_wanted(url, store):
    with connect(url) as socket:
        ask(socket, streams=["no/1Min/X"], heartbeat_s=0.05)
        begin = receive(socket)["position"]
        store.write(KEY, BARS)
        while (message := receive(socket))["position"] == begin:
            assert "commits" not in message
        assert message == {"position": store.changed_since(0).position}


@pytest.mark.parametrize(
    "request_", [b"", b"\xff", msgpack.packb({"streams": "A"}), msgpack.packb([1]),
                 msgpack.packb({"streams": ["A"]}), msgpack.packb({"streams": []}),
                 msgpack.packb({"streams": ["*/*/*"] * 1001}), "text"],
)  # fmt: skip
def test_what_means_nothing_is_answered_and_ends_it(url, request_):
    with connect(url) as socket:
        socket.send(request_)
        assert receive(socket)["error"]
        with pytest.raises(ConnectionClosed):
            socket.recv(timeout=30)


def test_it_is_counted(url, http, store):
    with connect(url) as socket:
        ask(socket, streams=["*/*/*"], after=-1)
        receive(socket)
        receive(socket)
        assert "tsstore_feed_clients 1" in http.get("/metrics").text
    assert "tsstore_feed_late_total" in http.get("/metrics").text


def test_a_server_that_does_not_write_says_that_it_cannot_be_followed(tmp_path, store):
    """Only the writer knows of each commit."""
    path = tmp_path / "data"
    with tsstore.open(path) as writer:
        writer.write(KEY, BARS)
    settings = ServerSettings(port=0)
    with tsstore.open(path, read_only=True) as reader:
        app = create_app(reader, settings, hub=StreamHub())
        with (
            serve(app, settings) as server,
            tsstore.connect(server.url) as client,
            pytest.raises(InvalidArgumentError, match="read-only"),
        ):
            client.subscribe("*/*/*")
