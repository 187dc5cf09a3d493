"""What readers may do: everything that changes nothing, on every path, with the same tokens."""

from __future__ import annotations

import http.client
import logging

import grpc
import httpx
import msgpack
import numpy as np
import pytest
from websockets.sync.client import connect as connect_ws

import tsstore
from tsstore.asof import make_options
from tsstore.clock import SystemClock
from tsstore.errors import ConfigError, ForbiddenError
from tsstore.server.exact import ExactService
from tsstore.server.http import create_app
from tsstore.server.ports import Ports
from tsstore.server.replicas import ReplicaService
from tsstore.server.serve import serve
from tsstore.server.service import DataService
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

WRITER, READER = "SECRETWRITER", "SECRETREADER"
SETTINGS = ServerSettings(port=0, token=WRITER, read_token=READER, replication_port=0)
KEY = "AAPL/1Min/OHLCV"
READING = {
    "DataService.Query": {"requests": [{"destination": KEY}]},
    "DataService.ListSymbols": {},
    "DataService.GetInfo": {"requests": [{"key": KEY}]},
    "TsStore.Read": {"key": KEY},
    "TsStore.Snapshot": {"key": KEY},
    "TsStore.ChangedSince": {"position": 0},
    "TsStore.Asof": {"left": KEY, "right": KEY, "options": [*make_options()]},
    "TsStore.Sql": {"statement": f'SELECT Close FROM "{KEY}"'},
    "TsStore.Shipment": {},
    "TsStore.Piece": {"name": "wal/000001.wal", "offset": 0, "length": 1},
    "TsStore.Digest": {"name": "wal/000001.wal", "length": 1},
    "TsStore.Await": {"mark": [0, 0, 0], "timeout_s": 0.0},
    "TsStore.List": {},
    "TsStore.Info": {"key": KEY},
    "TsStore.Stats": {},
    "TsStore.Ping": {},
}
CHANGING = {
    "DataService.Write": {"requests": []},
    "DataService.Create": {
        "requests": [{"key": "B/1Min/X", "column_names": ["P"], "column_types": ["f8"]}]
    },
    "DataService.Destroy": {"requests": [{"key": KEY}]},
    "TsStore.Commit": {"operations": []},
    "TsStore.Bulk": {"operations": []},
    "TsStore.Delete": {"key": KEY, "start_ns": None, "end_ns": None},
    "TsStore.Rename": {"key": KEY, "new_key": "B/1Min/OHLCV"},
    "TsStore.Copy": {"key": KEY, "new_key": "B/1Min/OHLCV"},
    "TsStore.Alter": {},
    "TsStore.Compact": {},
    "TsStore.Backup": {"dest": "nightly"},
    "TsStore.Create": {},
    "TsStore.Destroy": {"key": KEY},
}


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    with tsstore.open(tmp_path_factory.mktemp("store")) as store:
        store.write(KEY, {"Epoch": [60], "Close": [1.0]})
        with serve(create_app(store, SETTINGS, hub=StreamHub()), SETTINGS) as server:
            yield server


def called(server, method, params, token):
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    headers = {"Content-Type": "application/x-msgpack", "Authorization": f"Bearer {token}"}
    response = httpx.post(f"{server.url}/rpc", content=msgpack.packb(call), headers=headers)
    assert response.status_code == 200
    return msgpack.unpackb(response.content, strict_map_key=False)


def test_it_is_decided_for_every_method_what_it_does(store):
    services = (DataService, ExactService)
    methods = {name for kind in services for name in kind(store, SETTINGS, version="").methods()}
    methods |= ReplicaService(store, SETTINGS, SystemClock()).methods().keys()
    assert methods == READING.keys() | CHANGING.keys()


@pytest.mark.parametrize("method", sorted(READING))
def test_a_reader_may_call_what_changes_nothing(shared, method):
    assert "error" not in called(shared, method, READING[method], READER)


@pytest.mark.parametrize("method", sorted(CHANGING))
def test_a_reader_is_refused_what_changes_something(shared, method):
    error = called(shared, method, CHANGING[method], READER)["error"]
    assert error["code"] == -32000
    assert error["message"].startswith(f"{method}: the token allows to read only")
    assert called(shared, "TsStore.List", {}, WRITER)["result"] == {"keys": [KEY]}


def test_a_refusal_is_an_exception_of_its_own_in_our_client(shared):
    with tsstore.connect(shared.url, token=READER) as store:
        assert store.read(KEY)["Close"].tolist() == [1.0]
        with pytest.raises(ForbiddenError, match="read only"):
            store.write(KEY, {"Epoch": [60], "Close": [2.0]})
        assert store.read(KEY)["Close"].tolist() == [1.0]


def test_a_writer_may_write(shared):
    with tsstore.connect(shared.url, token=WRITER) as store:
        store.write("W/1Min/X", {"Epoch": np.array([60]), "Close": np.array([2.0])})
        store.destroy("W/1Min/X")


@pytest.mark.parametrize("path", ["/heartbeat", "/metrics"])
@pytest.mark.parametrize("token", [READER, WRITER])
def test_readers_see_how_the_server_does_and_no_token(shared, path, token):
    response = httpx.get(shared.url + path, headers={"Authorization": f"Bearer {token}"})
    assert response.status_code == 200
    assert READER not in response.text
    assert WRITER not in response.text


def test_readers_may_subscribe(shared):
    headers = {"Authorization": f"Bearer {READER}"}
    address = shared.url.replace("http", "ws") + "/ws"
    with connect_ws(address, additional_headers=headers) as stream:
        subscription = msgpack.packb({"streams": ["*/*/*"]})
        stream.send(subscription)
        assert stream.recv(timeout=30) == subscription


@pytest.mark.parametrize("wrong", [READER[:-1], READER + "x", READER.lower(), f"{READER},{WRITER}"])
def test_what_is_almost_a_token_is_none(shared, wrong):
    headers = {"Authorization": f"Bearer {wrong}"}
    assert httpx.get(f"{shared.url}/heartbeat", headers=headers).status_code == 401


@pytest.mark.parametrize("options", [{"read_token": "a"}, {"token": "a", "read_token": "a"}])
def test_a_token_for_readers_needs_another_one_for_writers(options):
    with pytest.raises(ConfigError, match="writers"):
        ServerSettings(**options)


def test_an_empty_token_for_readers_is_refused():
    with pytest.raises(ConfigError, match="empty"):
        ServerSettings(token="a", read_token="")


def test_no_token_is_shown():
    assert "SECRET" not in repr(SETTINGS)


def test_no_log_tells_a_token_whatever_is_sent(store, caplog):
    caplog.set_level(logging.DEBUG)
    settings = ServerSettings(port=0, grpc_port=0, token=WRITER, read_token=READER)
    with Ports(store, settings, hub=StreamHub()) as ports:
        for token in (WRITER, READER, f"{WRITER}x"):
            for header in (f"Bearer {token}", f"Basic {token}", token):
                for path in ("/rpc", f"/{token}", f"/ws?token={token}"):
                    requested(ports.url, path, header)
            with grpc.insecure_channel(ports.grpc_target) as channel:
                call = channel.unary_unary("/proto.Marketstore/Query")
                with pytest.raises(grpc.RpcError) as caught:
                    call(b"\xff", metadata=(("authorization", f"Bearer {token}"),))
                assert "SECRET" not in caught.value.details()
    assert "SECRET" not in caplog.text


def requested(url, path, authorization):
    """With a client that logs nothing itself."""
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=30)
    headers = {"Authorization": authorization, "Content-Type": "application/x-msgpack"}
    connection.request("POST", path, b"\xc1", headers)
    assert b"SECRET" not in connection.getresponse().read()
    connection.close()
