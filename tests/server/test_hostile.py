"""Requests that mean harm get an error within a second, and nothing is stored."""

from __future__ import annotations

import os
import socket
import struct
from time import monotonic

import httpx
import msgpack
import numpy as np
import psutil
import pytest

MSGPACK = {"Content-Type": "application/x-msgpack"}
T0 = 1_381_239_000
BAD_PARTS = [
    "..",
    ".",
    "",
    "/etc",
    "a/../b",
    "%2f..%2f",
    "a\\b",
    "a\0b",
    "a\nb",
    " a",
    "a ",
    "A" * 300,
    "A" * 70_000,
    "\u202eA",
    "*",
    "a?",
    "[a]",
    "{a,b}",
]


@pytest.fixture(autouse=True)
def nothing_is_stored_and_nobody_waited(store):
    began = monotonic()
    yield
    assert monotonic() - began < 20
    assert store.list() == []


@pytest.mark.parametrize("part", [part for part in BAD_PARTS if part != "%2f..%2f"])
@pytest.mark.parametrize("place", [0, 2])
def test_names_that_could_be_paths_are_refused(rpc, part, place):
    parts = ["AAPL", "1Min", "OHLCV"]
    parts[place] = part
    key = "/".join(parts)
    assert rpc.write(key, {"Epoch": [T0], "P": [1.0]})
    request = {"key": key, "column_names": ["P"], "column_types": ["f8"]}
    assert rpc.result("Create", request)["responses"][0]["error"]
    assert rpc.result("Destroy", {"key": key})["responses"][0]["error"]
    assert rpc.error("Query", {"destination": key})


@pytest.mark.parametrize("timeframe", ["1X", "0Min", "-1Min", "1.5Min", "", "..", "9999999Min"])
def test_timeframes_that_are_none_are_refused(rpc, timeframe):
    failure = rpc.write(f"A/{timeframe}/X", {"Epoch": [T0], "P": [1.0]})
    assert "Unable to get timeframe from key" in failure[0]


@pytest.mark.parametrize(
    "body",
    [
        b"\xdd\xff\xff\xff\xff",
        b"\xdf\xff\xff\xff\xff",
        b"\xc6\xff\xff\xff\xff",
        b"\xdb\xff\xff\xff\xff",
        b"\xc9\xff\xff\xff\xff\x01",
        b"\x91" * 200_000,
        b"\x81\xa1a" * 100_000,
        b"\xdd\x00\x0f\x00\x00" * 1000,
        b"\xd4\x05\x00",
        b"\x81\x81\x01\x02\x03",
        b"\x81\xa2\xff\xfe\x01",
    ],
)
def test_bodies_that_promise_too_much_cost_nothing(http, body):
    process = psutil.Process()
    before = process.memory_info().rss
    began = monotonic()
    response = http.post("/rpc", content=body, headers=MSGPACK)
    assert (response.status_code, response.content) == (200, b"")
    assert monotonic() - began < 10
    assert process.memory_info().rss - before < 50 << 20


def test_json_that_is_too_deep_is_no_request(http):
    headers = {"Content-Type": "application/json"}
    response = http.post("/rpc", content=b"[" * 100_000, headers=headers)
    assert (response.status_code, response.content) == (200, b"")


GOOD = {
    "types": ["i8", "f8"],
    "names": ["Epoch", "P"],
    "data": [struct.pack("<2q", T0, T0 + 60), struct.pack("<2d", 1, 2)],
    "startindex": {"A/1Min/X": 0},
    "lengths": {"A/1Min/X": 2},
}


@pytest.mark.parametrize(
    "lie",
    [
        {"lengths": {"A/1Min/X": 10**9}},
        {"lengths": {"A/1Min/X": -1}},
        {"lengths": {"A/1Min/X": 2**63}},
        {"lengths": {}},
        {"lengths": None},
        {"startindex": {"A/1Min/X": 1}},
        {"startindex": {"A/1Min/X": -1}},
        {"startindex": {"A/1Min/X": 2**62}},
        {"data": [b"12345678", b""]},
        {"data": [struct.pack("<2q", T0, T0), b"123"]},
        {"data": [struct.pack("<2q", T0, T0)]},
        {"data": None},
        {"types": ["i8"]},
        {"types": ["i8", "O"]},
        {"types": ["i8", "V8"]},
        {"types": ["i8", "S8"]},
        {"types": ["i8", "U100000000"]},
        {"types": ["i8", ">f8"]},
        {"types": ["i8", "f8,f8"]},
        {"types": ["i8", "M8[ns]"]},
        {"types": ["i8", "U2"], "data": [struct.pack("<q", T0), b"\xff" * 8]},
        {"types": ["i4", "f8"]},
        {"types": ["f8", "f8"]},
        {"names": ["Epoch", "Epoch"]},
        {"names": ["P", "Q"]},
        {"names": ["Epoch", "a/b"]},
        {"names": ["Epoch", "a\0b"]},
        {"names": ["Epoch", ""]},
        {"names": ["Epoch", "x" * 5000]},
        {"names": ["Epoch", "Nanoseconds"]},
        {"names": [f"C{number}" for number in range(5000)]},
        {"data": [struct.pack("<2q", T0, 2**62), struct.pack("<2d", 1, 2)]},
        {"data": [struct.pack("<2q", -(2**63), 0), struct.pack("<2d", 1, 2)]},
        {"data": [struct.pack("<2q", T0 * 1000, T0), struct.pack("<2d", 1, 2)]},
    ],
)
def test_datasets_that_lie_are_failures(rpc, lie):
    answer = rpc.answer("DataService.Write", {"requests": [{"dataset": GOOD | lie}]})
    assert answer["result"]["responses"][0]["error"]


@pytest.mark.parametrize(
    "lie",
    [
        {"types": "i8"},
        {"types": ["i8", 8]},
        {"data": [1, 2]},
        {"lengths": [2]},
        {"lengths": {"A/1Min/X": 2.0}},
        {"lengths": {"A/1Min/X": True}},
        {"lengths": {1: 2}},
    ],
)
def test_datasets_of_wrong_types_are_failures(rpc, lie):
    answer = rpc.answer("DataService.Write", {"requests": [{"dataset": GOOD | lie}]})
    assert answer["result"]["responses"][0]["error"]


@pytest.mark.parametrize(
    "params", [[], 5, "x", {"requests": 5}, {"requests": [5]}, {"requests": [{"dataset": 5}]}]
)
@pytest.mark.parametrize("method", ["Query", "Write", "Create", "Destroy", "GetInfo"])
def test_parameters_of_wrong_types_are_refused(rpc, method, params):
    answer = rpc.answer(f"DataService.{method}", params)
    assert list(answer) in (["jsonrpc", "error", "id"], ["jsonrpc", "result", "id"])


@pytest.mark.parametrize(
    "rows",
    [
        {"ts": b"123"},
        {"ts": struct.pack("<q", -(2**63))},
        {"names": ["P", "P"]},
        {"types": ["O"]},
        {"data": [b"12345678" * 2]},
        {"symbols": ["A", "B"]},
        {"names": 5},
        {"ts": None},
    ],
)
@pytest.mark.parametrize("kind", ["write", "replace", "table"])
def test_exact_rows_that_lie_are_refused(rpc, rows, kind):
    good = {"ts": struct.pack("<q", 1), "names": ["P"], "types": ["f8"], "data": [b"12345678"]}
    if kind == "table":
        good["symbols"] = ["A"]
    target = "1Min/X" if kind == "table" else "A/1Min/X"
    operation = {"kind": kind, "target": target, "rows": good | rows}
    answer = rpc.answer("TsStore.Commit", {"operations": [operation]})
    assert answer["error"]["code"] in (-32000, -32600)


def test_an_atomic_commit_with_one_bad_operation_stores_nothing(rpc):
    good = {"ts": struct.pack("<q", 1), "names": ["P"], "types": ["f8"], "data": [b"12345678"]}
    operations = [
        {"kind": "write", "target": "A/1Min/X", "rows": good},
        {"kind": "write", "target": "../1Min/X", "rows": good},
    ]
    answer = rpc.answer("TsStore.Commit", {"operations": operations})
    assert answer["error"]["data"]["type"] == "InvalidKeyError"


def send_for_ever(peer, data):
    for _ in range(10_000):
        peer.sendall(data)


def test_a_large_body_is_refused_before_it_is_read(server):
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        head = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-msgpack\r\n"
        peer.sendall(f"{head}Content-Length: 629145600\r\n\r\n".encode())
        assert peer.recv(4096).startswith(b"HTTP/1.1 413 ")


def test_an_endless_body_is_refused_at_the_limit(server):
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        head = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-msgpack\r\n"
        peer.sendall(f"{head}Transfer-Encoding: chunked\r\n\r\n".encode())
        with pytest.raises(ConnectionError):
            send_for_ever(peer, b"10000\r\n" + bytes(65536) + b"\r\n")


def test_a_body_that_stops_coming_is_given_up(server):
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        head = "POST /rpc HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/x-msgpack\r\n"
        peer.sendall(f"{head}Content-Length: 1000\r\n\r\nabc".encode())
        assert peer.recv(4096).startswith(b"HTTP/1.1 408 ")


@pytest.mark.parametrize("sent", [b"", b"POST /rpc HTTP/1.1\r\nHost: loc"])
def test_a_head_that_stops_coming_is_given_up(server, sent):
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        peer.sendall(sent)
        assert peer.recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_head_without_end_is_refused(server):
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        peer.sendall(b"GET /heartbeat HTTP/1.1\r\nX: ")
        with pytest.raises(ConnectionError):
            send_for_ever(peer, b"x" * 65536)


def test_slow_clients_do_not_keep_others_waiting(server, http):
    peers = [socket.create_connection((server.host, server.port)) for _ in range(150)]
    try:
        for peer in peers:
            peer.sendall(b"POST /rpc HTTP/1.1\r\nHost: localhost\r\n")
        began = monotonic()
        assert http.get("/heartbeat").status_code == 200
        assert monotonic() - began < 10
    finally:
        for peer in peers:
            peer.close()


@pytest.mark.parametrize(
    "junk", [os.urandom(300), b"\x16\x03\x01\x02\x00\x01\x00\x01", b"\n\n\n\n"]
)
def test_what_is_not_http_is_refused(server, junk):
    with socket.create_connection((server.host, server.port), timeout=30) as peer:
        peer.sendall(junk)
        assert peer.recv(4096)[:12] in (b"HTTP/1.1 400", b"HTTP/1.1 408")


def test_too_many_requests_in_one_call_are_refused(rpc):
    error = rpc.error("Query", *([{"destination": "A/1Min/X"}] * 2000))
    assert "at most 1000" in error


def test_a_glob_made_to_take_for_ever_does_not(rpc):
    rpc.write("a" * 100 + "/1Min/X", {"Epoch": [T0], "P": [1.0]})
    began = monotonic()
    answer = rpc.answer("TsStore.List", {"pattern": "*a" * 20 + "b/*/*"})
    assert monotonic() - began < 10
    assert answer.get("result") in (None, {"keys": []})
    rpc.result("Destroy", {"key": "a" * 100 + "/1Min/X"})


def test_an_answer_beyond_the_limit_is_refused(rpc):
    for symbol in "AB":
        for part in range(3):
            epochs = np.arange(15_000) * 60 + T0 + part * 15_000 * 60
            rpc.write(f"{symbol}/1Min/X", {"Epoch": epochs, "P": np.zeros(15_000)})
    assert "limit" in rpc.error("Query", {"destination": "A,B/1Min/X"})
    assert len(rpc.query("A/1Min/X")["P"]) == 45_000
    assert len(rpc.query("A,B/1Min/X", limit_record_count=30_000)["P"]) == 60_000
    answer = rpc.answer("TsStore.Read", {"key": "*/1Min/X"})
    assert answer["error"]["data"]["type"] == "LimitExceededError"
    for symbol in "AB":
        rpc.result("Destroy", {"key": f"{symbol}/1Min/X"})


def test_the_server_still_answers(http):
    call = msgpack.packb({"jsonrpc": "2.0", "id": 1, "method": "TsStore.Ping"})
    assert isinstance(http.post("/rpc", content=call, headers=MSGPACK), httpx.Response)
