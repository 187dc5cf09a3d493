"""Tokens and roles over gRPC: the same as over HTTP."""

from __future__ import annotations

import base64

import grpc
import httpx
import numpy as np
import pytest

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import Client, dataset

WRITER, READER = "SECRETWRITER", "SECRETREADER"
KEY = "AAPL/1Min/OHLCV"
METHODS = ["Query", "Write", "Create", "Destroy", "ListSymbols", "ServerVersion"]
ROWS = dataset("B/1Min/X", {"Epoch": np.array([60]), "P": np.array([1.0])})
CHANGES = {
    "Write": pb.MultiWriteRequest(requests=[pb.WriteRequest(data=ROWS)]),
    "Create": pb.MultiCreateRequest(requests=[pb.CreateRequest(key="B/1D/X", row_type="fixed")]),
    "Destroy": pb.MultiKeyRequest(requests=[pb.KeyRequest(key=KEY)]),
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    settings = ServerSettings(port=0, grpc_port=0, token=WRITER, read_token=READER)
    path = tmp_path_factory.mktemp("guarded")
    with tsstore.open(path) as store, Ports(store, settings, hub=StreamHub()) as ports:
        store.write(KEY, {"Epoch": [60], "Close": [1.5]})
        client = Client(ports.grpc_target)
        with client.channel:
            yield client, store, ports


def bearer(token):
    return {"metadata": (("authorization", f"Bearer {token}"),)}


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "header", [None, "", "Bearer", "Bearer wrong", "Basic !!", "Basic d3Jvbmc=", WRITER]
)
def test_without_a_token_nothing_is_answered(guarded, method, header) -> None:
    client, store, _ = guarded
    metadata = None if header is None else (("authorization", header),)
    status, text = client.failure(method, b"", metadata=metadata)
    assert status is grpc.StatusCode.UNAUTHENTICATED
    assert text == "the server's token is missing or wrong"
    assert store.list() == [KEY]


@pytest.mark.parametrize("token", [READER, WRITER])
def test_with_any_token_rows_are_read(guarded, token) -> None:
    request = pb.MultiQueryRequest(requests=[pb.QueryRequest(destination=KEY)])
    answer = guarded[0].call("Query", request, **bearer(token))
    assert answer.responses[0].result.data.length == 1
    assert guarded[0].call("ListSymbols", **bearer(token)).results == ["AAPL"]
    assert guarded[0].call("ServerVersion", **bearer(token)).version == tsstore.__version__


@pytest.mark.parametrize("method", sorted(CHANGES))
def test_a_reader_changes_nothing(guarded, method) -> None:
    client, store, _ = guarded
    body = CHANGES[method].SerializeToString()
    status, text = client.failure(method, body, **bearer(READER))
    assert status is grpc.StatusCode.PERMISSION_DENIED
    assert text.startswith(f"DataService.{method}: the token allows to read only")
    assert store.list() == [KEY]


def test_a_writer_writes(guarded) -> None:
    client, store, _ = guarded
    client.call("Write", CHANGES["Write"], **bearer(WRITER))
    assert store.list() == [KEY, "B/1Min/X"]
    store.destroy("B/1Min/X")


def test_the_token_may_be_the_password_of_basic(guarded) -> None:
    credentials = base64.b64encode(f"user:{READER}".encode()).decode()
    metadata = (("authorization", f"Basic {credentials}"),)
    assert guarded[0].call("ListSymbols", metadata=metadata).results == ["AAPL"]


def test_a_call_without_a_token_is_refused_before_its_request_is_read(guarded) -> None:
    call = guarded[0].channel.stream_unary("/proto.Marketstore/Write")

    def endless():
        while True:
            yield bytes(1 << 16)

    with pytest.raises(grpc.RpcError, match="UNAUTHENTICATED"):
        call(endless(), timeout=20)


def test_refusals_are_counted_and_no_token_is_told(guarded) -> None:
    client, _, ports = guarded
    client.failure("Query", b"")
    client.failure("Write", b"", **bearer(READER))
    headers = {"Authorization": f"Bearer {READER}"}
    for path in ("/metrics", "/heartbeat"):
        text = httpx.get(ports.url + path, headers=headers).text
        assert "SECRET" not in text
        if path == "/metrics":
            assert 'tsstore_grpc_refused_total{status="UNAUTHENTICATED"}' in text
            assert 'tsstore_grpc_refused_total{status="PERMISSION_DENIED"}' in text
