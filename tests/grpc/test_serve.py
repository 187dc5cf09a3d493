"""Starting and stopping gRPC beside HTTP."""

from __future__ import annotations

import socket
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from time import monotonic

import grpc
import httpx
import numpy as np
import pytest

import tsstore
from tsstore.errors import ConfigError
from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import Client, dataset

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
COLUMNS = {"Epoch": np.array([T0]), "P": np.array([1.0])}


def start(store, **options):
    return Ports(store, ServerSettings(**{"port": 0, "grpc_port": 0, **options}), hub=StreamHub())


def address(ports):
    host, port = ports.grpc_target.rsplit(":", 1)
    return host.strip("[]"), int(port)


@pytest.fixture
def slow(tmp_path):
    """A store that may be made to take long."""
    with tsstore.open(tmp_path) as store:
        yield store


def test_without_a_port_none_is_served(store) -> None:
    with start(store, grpc_port=None) as ports:
        assert ports.grpc_target is None
        assert "grpc" not in httpx.get(f"{ports.url}/heartbeat").json()


def test_an_ipv6_address_is_served(store) -> None:
    with start(store, host="::1") as ports:
        assert ports.grpc_target.startswith("[::1]:")
        client = Client(ports.grpc_target)
        with client.channel:
            assert client.keys() == []


def test_a_port_that_is_taken_is_an_error_that_names_it_and_leaves_nothing(store, ports) -> None:
    taken = address(ports)[1]
    before = set(threading.enumerate())
    with pytest.raises(ConfigError, match=rf"127\.0\.0\.1:{taken} for gRPC.*grpc_listen_port"):
        start(store, grpc_port=taken)
    for thread in set(threading.enumerate()) - before:
        thread.join(30)
        assert not thread.is_alive()


def test_a_taken_http_port_stops_grpc_again(store, ports) -> None:
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with pytest.raises(ConfigError):
        start(store, port=int(ports.url.rsplit(":", 1)[1]), grpc_port=port)
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(("127.0.0.1", port))


def test_it_stops_soon_whoever_is_connected(store) -> None:
    ports = start(store)
    idle = socket.create_connection(address(ports))
    client = Client(ports.grpc_target)
    never = threading.Event()

    def nothing():
        never.wait(20)
        yield b""

    with client.channel:
        waiting = client.channel.stream_unary("/proto.Marketstore/Query").future(nothing())
        assert client.keys() == []  # so the server has taken the call before it
        began = monotonic()
        ports.stop()
        assert monotonic() - began < 10
        assert waiting.code() is grpc.StatusCode.UNAVAILABLE
        never.set()
    idle.close()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address(ports))


def test_stopping_twice_is_harmless(store) -> None:
    ports = start(store)
    ports.stop()
    ports.stop()
    with pytest.raises(OSError, match="refused"):
        socket.create_connection(address(ports))


def test_a_call_under_way_at_the_stop_is_answered(slow) -> None:
    is_writing, may_end = threading.Event(), threading.Event()

    slow.add_listener(lambda _: (is_writing.set(), may_end.wait(10)))
    ports = start(slow)
    client = Client(ports.grpc_target)
    with client.channel, ThreadPoolExecutor(2) as pool:
        writing = pool.submit(client.write, "A/1Sec/T", COLUMNS)
        assert is_writing.wait(30)
        stopping = pool.submit(ports.stop)
        may_end.set()
        assert writing.result(5) == []
        stopping.result(5)


def test_a_write_that_lasts_beyond_the_stop_is_said_to_be_unknown(slow, caplog) -> None:
    is_writing, may_end = threading.Event(), threading.Event()

    slow.add_listener(lambda _: (is_writing.set(), may_end.wait(10)))
    ports = start(slow)
    client = Client(ports.grpc_target)
    with client.channel, ThreadPoolExecutor(1) as pool:
        writing = pool.submit(client.write, "A/1Sec/T", COLUMNS)
        assert is_writing.wait(30)
        ports.stop()
        with pytest.raises(grpc.RpcError, match="whether it stored") as caught:
            writing.result(5)
        assert caught.value.code() is grpc.StatusCode.UNAVAILABLE
        may_end.set()
    assert not [record for record in caplog.records if record.exc_info]


def test_two_servers_in_one_process_do_not_mind_each_other(store, tmp_path, caplog) -> None:
    with tsstore.open(tmp_path) as other, start(store) as one, start(other) as two:
        clients = [Client(ports.grpc_target) for ports in (one, two)]
        with clients[0].channel, clients[1].channel, ThreadPoolExecutor(2) as pool:
            clients[1].write("B/1Min/X", COLUMNS)
            found = list(pool.map(lambda client: [client.keys() for _ in range(100)], clients))
    assert found == [[[]] * 100, [["B/1Min/X"]] * 100]
    assert not caplog.records


def test_without_its_packages_the_key_is_an_error_that_says_what_to_install(
    store, monkeypatch
) -> None:
    for name in [name for name in sys.modules if name.startswith("tsstore.server.grpc")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "grpc", None)
    with pytest.raises(ConfigError, match=r"needs grpc.*install tsstore\[grpc\]"):
        start(store)


def test_a_client_that_leaves_disturbs_nobody_and_what_it_wrote_stays(slow, caplog) -> None:
    is_writing, may_end = threading.Event(), threading.Event()
    slow.add_listener(lambda _: (is_writing.set(), may_end.wait(10)))
    body = pb.MultiWriteRequest(requests=[pb.WriteRequest(data=dataset("A/1Sec/T", COLUMNS))])
    with start(slow) as ports:
        client = Client(ports.grpc_target)
        with client.channel:
            call = client.channel.unary_unary("/proto.Marketstore/Write")
            leaving = call.future(body.SerializeToString())
            assert is_writing.wait(30)
            leaving.cancel()
            may_end.set()
            assert client.keys() == ["A/1Sec/T"]
    assert not caplog.records
