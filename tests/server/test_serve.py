"""Starting and stopping."""

from __future__ import annotations

import socket
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import httpx
import msgpack
import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

import tsstore
from tsstore.errors import ConfigError, ConnectionFailedError
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub


def start(store, **options):
    settings = ServerSettings(port=0, **options)
    return serve(create_app(store, settings, hub=StreamHub()), settings)


def test_it_accepts_connections_once_serve_returns(store):
    with start(store) as server:
        assert httpx.get(server.url + "/heartbeat").status_code == 200


def test_it_stops_soon_whoever_is_connected(store):
    server = start(store)
    idle = socket.create_connection((server.host, server.port))
    half = socket.create_connection((server.host, server.port))
    half.sendall(b"POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Length: 10\r\n\r\n")
    with connect(server.url.replace("http", "ws") + "/ws") as stream:
        stream.send(msgpack.packb({"streams": ["*/*/*"]}))
        stream.recv(timeout=30)
        began = monotonic()
        server.stop()
        assert monotonic() - began < 10
        with pytest.raises(ConnectionClosed):
            stream.recv(timeout=30)
    idle.close()
    half.close()


def test_it_does_not_listen_after_it_stopped(store):
    server = start(store)
    server.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection((server.host, server.port))


def test_stopping_twice_is_harmless(store):
    server = start(store)
    server.stop()
    server.stop()
    with pytest.raises(OSError):
        socket.create_connection(("127.0.0.1", server.port), timeout=1)


def test_a_port_that_is_taken_is_an_error_that_names_it(store, server):
    settings = ServerSettings(port=server.port)
    with pytest.raises(ConfigError, match=f"127.0.0.1:{server.port}.*in use"):
        serve(create_app(store, settings, hub=StreamHub()), settings)


def test_an_ipv6_address_is_served(store):
    with start(store, host="::1") as server, tsstore.connect(server.url) as remote:
        assert server.url.startswith("http://[::1]:")
        assert remote.list() == []


def test_a_stopping_server_is_not_queryable(store):
    settings = ServerSettings(port=0)
    app = create_app(
        store, settings, hub=StreamHub(), heartbeat=lambda: {"status": "not queryable"}
    )
    with serve(app, settings) as server:
        response = httpx.get(server.url + "/heartbeat")
    assert (response.status_code, response.json()["status"]) == (503, "not queryable")


def test_more_connections_than_allowed_get_503(store):
    with start(store, connections_max=3) as server:
        peers = [socket.create_connection((server.host, server.port)) for _ in range(4)]
        request = b"GET /heartbeat HTTP/1.1\r\nHost: localhost\r\n\r\n"
        peers[-1].sendall(request)  # by then the others have been accepted
        assert peers[-1].recv(4096).startswith(b"HTTP/1.1 503 ")
        for peer in peers:
            peer.close()


def test_no_thread_is_left_behind(store):
    before = set(threading.enumerate())
    with start(store) as server, tsstore.connect(server.url) as remote:
        remote.list()
    left = [thread for thread in set(threading.enumerate()) - before if thread.is_alive()]
    for thread in left:
        thread.join(30)
    assert not any(thread.is_alive() for thread in left)


def test_a_write_under_way_at_the_stop_is_said_to_be_unknown(store, caplog):
    is_writing, may_end = threading.Event(), threading.Event()

    def linger(_):
        is_writing.set()
        may_end.wait(10)

    store.add_listener(linger)
    server = start(store)
    with tsstore.connect(server.url) as remote, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(remote.write, "A/1Sec/T", {"Epoch": [1], "P": [1.0]}, variable=True)
        assert is_writing.wait(30)
        server.stop()
        with pytest.raises(ConnectionFailedError, match=r"503: .*whether it stored .* is unknown"):
            writing.result(5)
        may_end.set()
    assert not [record for record in caplog.records if record.exc_info]
