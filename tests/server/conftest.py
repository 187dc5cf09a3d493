from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx
import msgpack
import numpy as np
import pytest

import tsstore
from tsstore.client import RemoteStore, connect
from tsstore.server.http import create_app
from tsstore.server.serve import RunningServer, serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

SUFFIX = ":Symbol/Timeframe/AttributeGroup"


@pytest.fixture(scope="module")
def running(
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[RunningServer, tsstore.Store, StreamHub]]:
    """One server for the tests of a module; each test finds its store empty."""
    settings = ServerSettings(
        port=0, body_bytes_max=1 << 20, reply_bytes_max=1 << 20, read_timeout_s=0.5
    )
    hub = StreamHub(queue_bytes_max=1 << 20)
    with tsstore.open(tmp_path_factory.mktemp("store")) as store:
        heartbeat = {"workers": {"massive": {"state": "running", "rows": 7}}}
        app = create_app(store, settings, hub=hub, heartbeat=lambda: heartbeat)
        with serve(app, settings) as server:
            yield server, store, hub


@pytest.fixture
def server(running: tuple[RunningServer, tsstore.Store, StreamHub]) -> RunningServer:
    return running[0]


@pytest.fixture
def hub(running: tuple[RunningServer, tsstore.Store, StreamHub]) -> StreamHub:
    return running[2]


@pytest.fixture(autouse=True)
def store(
    running: tuple[RunningServer, tsstore.Store, StreamHub],
) -> Iterator[tsstore.Store]:
    store = running[1]
    yield store
    for key in store.list():
        store.destroy(key)


@pytest.fixture
def remote(server: RunningServer) -> Iterator[RemoteStore]:
    with connect(server.url) as remote:
        yield remote


@pytest.fixture
def http(server: RunningServer) -> Iterator[httpx.Client]:
    with httpx.Client(base_url=server.url) as client:
        yield client


class Rpc:
    """MarketStore's client side, spelled out."""

    def __init__(self, http: httpx.Client) -> None:
        self.http = http

    def raw(self, body: bytes) -> bytes:
        headers = {"Content-Type": "application/x-msgpack"}
        return self.http.post("/rpc", content=body, headers=headers).content

    def answer(self, method: str, params: Any) -> dict[str, Any]:
        call = {"method": method, "id": "1", "jsonrpc": "2.0", "params": params}
        return msgpack.unpackb(self.raw(msgpack.packb(call)), strict_map_key=False)

    def result(self, method: str, *requests: dict[str, Any]) -> dict[str, Any]:
        answer = self.answer("DataService." + method, {"requests": list(requests)})
        assert "error" not in answer, answer
        return answer["result"]

    def error(self, method: str, *requests: dict[str, Any]) -> str:
        answer = self.answer("DataService." + method, {"requests": list(requests)})
        assert answer["error"]["code"] == -32000
        return answer["error"]["message"]

    def query(self, destination: str, **options: Any) -> dict[str, Any]:
        result = self.result("Query", {"destination": destination, **options})
        return columns_of(result["responses"][0]["result"])

    def write(self, key: str, columns: dict[str, Any], *, variable: bool = False) -> list[str]:
        """Texts of the failures."""
        request = {"dataset": dataset(key, columns), "is_variable_length": variable}
        responses = self.result("Write", request)["responses"]
        return [response["error"] for response in responses or []]


def dataset(key: str, columns: dict[str, Any]) -> dict[str, Any]:
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    rows = len(next(iter(arrays.values())))
    return {
        "types": [array.dtype.str.lstrip("<|") for array in arrays.values()],
        "names": list(arrays),
        "data": [array.tobytes() for array in arrays.values()],
        "length": rows,
        "startindex": {key: 0},
        "lengths": {key: rows},
    }


def columns_of(result: dict[str, Any]) -> dict[str, Any]:
    """Column name to list, in the order of the answer, which has to be consistent."""
    assert list(result) == ["types", "names", "data", "length", "startindex", "lengths"]
    arrays = [
        np.frombuffer(data, kind).tolist()
        for data, kind in zip(result["data"], result["types"], strict=True)
    ]
    assert all(len(array) == result["length"] for array in arrays)
    return dict(zip(result["names"], arrays, strict=True))


@pytest.fixture
def rpc(http: httpx.Client) -> Rpc:
    return Rpc(http)


@pytest.fixture
def make_dataset() -> Callable[..., dict[str, Any]]:
    return dataset
