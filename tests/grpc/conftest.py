"""A server with gRPC, a plain client of it, and a client of its /rpc to compare with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import grpc
import httpx
import msgpack
import numpy as np
import pytest

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

if TYPE_CHECKING:
    from collections.abc import Iterator

    from google.protobuf.message import Message

MIB = 1 << 20
ANSWERS = {
    "Query": pb.MultiQueryResponse,
    "Write": pb.MultiServerResponse,
    "Create": pb.MultiServerResponse,
    "Destroy": pb.MultiServerResponse,
    "ListSymbols": pb.ListSymbolsResponse,
    "ServerVersion": pb.ServerVersionResponse,
}


class Client:
    """What any client of gRPC does, without a generated stub."""

    def __init__(self, target: str, credentials: grpc.ChannelCredentials | None = None) -> None:
        # The tests of limits are about the server's.
        options = [("grpc.max_receive_message_length", -1)]
        self.channel = (
            grpc.insecure_channel(target, options)
            if credentials is None
            else grpc.secure_channel(target, credentials, options)
        )

    def raw(self, method: str, body: bytes, **options: Any) -> bytes:
        call = self.channel.unary_unary(f"/proto.Marketstore/{method}")
        return call(body, timeout=20, **options)

    def call(self, method: str, request: Message | None = None, **options: Any) -> Any:
        body = b"" if request is None else request.SerializeToString()
        return ANSWERS[method].FromString(self.raw(method, body, **options))

    def failure(self, method: str, body: bytes, **options: Any) -> tuple[grpc.StatusCode, str]:
        with pytest.raises(grpc.RpcError) as caught:
            self.raw(method, body, **options)
        return caught.value.code(), caught.value.details()

    def query(self, destination: str, **options: Any) -> dict[str, list[Any]]:
        request = pb.QueryRequest(destination=destination, **options)
        answer = self.call("Query", pb.MultiQueryRequest(requests=[request]))
        return columns_of(answer.responses[0].result.data)

    def query_error(self, destination: str, **options: Any) -> str:
        request = pb.QueryRequest(destination=destination, **options)
        body = pb.MultiQueryRequest(requests=[request]).SerializeToString()
        status, text = self.failure("Query", body)
        assert status is grpc.StatusCode.UNKNOWN
        return text

    def write(self, key: str, columns: dict[str, Any], *, variable: bool = False) -> list[str]:
        """Texts of the failures."""
        request = pb.WriteRequest(data=dataset(key, columns), is_variable_length=variable)
        answer = self.call("Write", pb.MultiWriteRequest(requests=[request]))
        return [response.error for response in answer.responses]

    def keys(self) -> list[str]:
        request = pb.ListSymbolsRequest(format=pb.ListSymbolsRequest.TIME_BUCKET_KEY)
        return list(self.call("ListSymbols", request).results)


def dataset(key: str, columns: dict[str, Any]) -> pb.NumpyMultiDataset:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    rows = len(next(iter(arrays.values())))
    data = pb.NumpyDataset(
        column_types=[array.dtype.str.lstrip("<|") for array in arrays.values()],
        column_names=list(arrays),
        column_data=[array.tobytes() for array in arrays.values()],
        length=rows,
    )
    return pb.NumpyMultiDataset(data=data, start_index={key: 0}, lengths={key: rows})


def columns_of(data: pb.NumpyDataset) -> dict[str, list[Any]]:
    columns = zip(data.column_names, data.column_types, data.column_data, strict=True)
    found = {name: np.frombuffer(buffer, kind).tolist() for name, kind, buffer in columns}
    assert {len(column) for column in found.values()} == {data.length}
    return found


def rpc(url: str, method: str, params: Any) -> dict[str, Any]:
    """The whole answer of /rpc."""
    call = {"jsonrpc": "2.0", "id": 1, "method": f"DataService.{method}", "params": params}
    headers = {"Content-Type": "application/x-msgpack"}
    body = httpx.post(f"{url}/rpc", content=msgpack.packb(call), headers=headers).content
    return msgpack.unpackb(body, strict_map_key=False)


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Ports, tsstore.Store]]:
    """One server for the tests of a module; each test finds its store empty."""
    settings = ServerSettings(
        port=0,
        grpc_port=0,
        reply_bytes_max=MIB,
        grpc_receive_bytes_max=MIB,
        read_timeout_s=0.5,
    )
    path = tmp_path_factory.mktemp("store")
    with tsstore.open(path) as store, Ports(store, settings, hub=StreamHub()) as ports:
        yield ports, store


@pytest.fixture
def ports(running: tuple[Ports, tsstore.Store]) -> Ports:
    return running[0]


@pytest.fixture(autouse=True)
def store(running: tuple[Ports, tsstore.Store]) -> Iterator[tsstore.Store]:
    store = running[1]
    yield store
    for key in store.list():
        store.destroy(key)


@pytest.fixture
def client(ports: Ports) -> Iterator[Client]:
    assert ports.grpc_target is not None
    client = Client(ports.grpc_target)
    with client.channel:
        yield client
