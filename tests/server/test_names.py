"""Names of buckets through every port: none leaves the directory, and look-alikes are not one."""

from __future__ import annotations

import shutil
import unicodedata
from pathlib import Path

import httpx
import msgpack
import numpy as np
import pytest

import tsstore
from tests.grpc.conftest import Client
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

T0 = 1_381_239_000
ROWS = {"ts": np.array([1], "<i8").tobytes(), "names": ["P"], "types": ["f8"], "data": [bytes(8)]}
SCHEMA = {"names": ["P"], "types": ["f8"], "variable": False, "identity": []}
OUTSIDE = [
    "../1Min/X",
    "../../1Min/X",
    "../../../../tmp/x/1Min/X",
    "..\\..\\x/1Min/X",
    "/etc/1Min/X",
    "/etc/passwd",
    "A/../X",
    "A/1Min/..",
    "A/1Min/../../X",
    "./1Min/X",
    "A\0/1Min/X",
    "A/1Min/X\0",
    "A\n/1Min/X",
    "~/1Min/X" * 40,
    "A" * 129 + "/1Min/X",
    "A/1Min/" + "X" * 70_000,
    "A/1Min/X/2024",
    "A/1Min",
    "",
    "/",
    "//",
    "///",
    "\u202eA/1Min/X",
    "A\u2066/1Min/X",
    " /1Min/X",
    "A*/1Min/X",
    "{A,B}/1Min/X",
]
#: Parameters of calls that name a bucket or a backup.
OWN = {
    "Commit": lambda key: {"operations": [{"kind": "write", "target": key, "rows": ROWS}]},
    "Bulk": lambda key: {"operations": [{"kind": "write", "target": key, "rows": ROWS}]},
    "Alter": lambda key: {"key": key, "schema": SCHEMA},
    "Info": lambda key: {"key": key},
    "Stats": lambda key: {"key": key},
    "Delete": lambda key: {"key": key, "start_ns": None, "end_ns": None},
    "Copy": lambda key: {"key": "A/1Min/X", "new_key": key},
    "Destroy": lambda key: {"key": key},
    "Rename": lambda key: {"key": "COPY/1Min/X", "new_key": key},
    "Create": lambda key: {"key": key, "schema": SCHEMA},
    "Backup": lambda key: {"dest": key},
}
#: Names with which all of them are carried out, one after the other.
PLAIN = {
    "Copy": "COPY/1Min/X",
    "Rename": "RENAMED/1Min/X",
    "Create": "CREATED/1Min/X",
    "Backup": "nightly",
}
#: Pairs of symbols that differ, and that people, file systems or normal forms take for one.
ALIKE = [
    ("BCpC", "BCPC"),
    ("aapl", "AAPL"),
    ("caf\u00e9", unicodedata.normalize("NFD", "caf\u00e9")),
    ("A", "\u0410"),
    ("K", "\u212a"),
    ("stra\u00dfe", "STRASSE"),
    ("\u0131", "i"),
    ("CON", "con"),
    ("A.", "A"),
    ("A~a", "AA"),
    ("%41", "A"),
    ("category_name", "CATEGORY_NAME"),
]


@pytest.fixture(scope="module")
def everything(tmp_path_factory):
    """A server whose directory lies beside others, which have to stay as they are."""
    parent = tmp_path_factory.mktemp("parent")
    (parent / "neighbour").mkdir()
    (parent / "neighbour" / "file").write_text("precious")
    settings = ServerSettings(port=0, grpc_port=0, backup_directory=str(parent / "backups"))
    with (
        tsstore.open(parent / "data") as store,
        Ports(store, settings, hub=StreamHub()) as ports,
        httpx.Client(base_url=ports.url) as http,
    ):
        client = Client(ports.grpc_target)
        with client.channel:
            yield parent, store, http, client


@pytest.fixture(autouse=True)
def nothing_was_made_outside(everything):
    parent, store, _, _ = everything
    yield
    assert store.list() == []
    assert {path.name for path in parent.iterdir()} == {"data", "neighbour"}
    assert (parent / "neighbour" / "file").read_text() == "precious"
    assert not Path("/tmp/x/1Min").exists()


def call(http, method, params):
    body = msgpack.packb({"jsonrpc": "2.0", "id": 1, "method": method, "params": params})
    headers = {"Content-Type": "application/x-msgpack"}
    return msgpack.unpackb(http.post("/rpc", content=body, headers=headers).content)


@pytest.mark.parametrize("key", OUTSIDE)
@pytest.mark.parametrize("method", sorted(OWN))
def test_our_own_calls_refuse_them(everything, method, key) -> None:
    answer = call(everything[2], f"TsStore.{method}", OWN[method](key))
    assert answer["error"]["message"]
    assert "internal error" not in answer["error"]["message"]


def test_a_plain_name_is_taken_by_all_of_them(everything) -> None:
    parent, store, http, _ = everything
    for method, params in OWN.items():
        answer = call(http, f"TsStore.{method}", params(PLAIN.get(method, "A/1Min/X")))
        assert "error" not in answer, (method, answer)
    assert store.list() == ["CREATED/1Min/X", "RENAMED/1Min/X"]
    for key in store.list():
        store.destroy(key)
    shutil.rmtree(parent / "backups")


@pytest.mark.parametrize("key", OUTSIDE)
def test_json_refuses_them(everything, key) -> None:
    def response(method, request):
        body = {"jsonrpc": "2.0", "id": 1, "method": f"DataService.{method}"}
        answer = everything[2].post("/rpc", json=body | {"params": {"Requests": [request]}}).json()
        return answer.get("error") or answer["result"]["Responses"][0]

    create = {"Key": key, "ColumnNames": ["P"], "ColumnTypes": ["f8"]}
    assert response("Create", create)["Error"]
    assert response("Destroy", {"Key": key})["Error"]
    assert response("GetInfo", {"Key": key})["ServerResp"]["Error"]
    assert response("Query", {"Destination": key})["message"]


@pytest.mark.parametrize("key", OUTSIDE)
def test_grpc_refuses_them(everything, key) -> None:
    client = everything[3]
    assert client.write(key, {"Epoch": np.array([T0]), "P": np.array([1.0])})
    assert client.query_error(key)


@pytest.mark.parametrize("pair", ALIKE)
def test_look_alikes_are_buckets_of_their_own_on_every_port(everything, pair) -> None:
    _, store, http, client = everything
    one, other = (f"{symbol}/1Min/X" for symbol in pair)
    assert client.write(one, {"Epoch": np.array([T0]), "P": np.array([1.0])}) == []
    rows = {"Epoch": np.array([T0]), "P": np.array([2.0])}
    with tsstore.connect(str(http.base_url)) as remote:
        # Past the log, so that both have files.
        remote.bulk({other: {name: np.repeat(array, 1) for name, array in rows.items()}})
        assert remote.list() == sorted([one, other])
        assert [remote.read(key)["P"].tolist() for key in (one, other)] == [[1], [2]]
    assert [client.query(key)["P"] for key in (one, other)] == [[1], [2]]
    store.compact()
    store.destroy(one)
    assert client.query(other)["P"] == [2]
    store.destroy(other)


@pytest.mark.parametrize(
    "path",
    [
        *("/debug/pprof/", "/pprof/heap", "/docs", "/openapi.json", "/rpc/", "/..%2f..%2fetc"),
        *("/rpc/../../etc/passwd", "/static/../data", "//rpc", "/ws/", "/metrics/x"),
    ],
)
def test_there_are_no_other_paths(everything, path) -> None:
    for method in ("GET", "POST", "PUT", "DELETE", "OPTIONS", "TRACE"):
        request = httpx.Request(method, everything[2].base_url)
        request.url = httpx.URL(str(everything[2].base_url), raw_path=path.encode())
        assert everything[2].send(request).status_code in (404, 405)
