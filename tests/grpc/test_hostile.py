"""Calls that mean harm end with a status, nothing is stored, and the next call is answered."""

from __future__ import annotations

import socket
import struct
import threading
from time import monotonic

import grpc
import numpy as np
import psutil
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.grpc.fields import FIELDS_MAX
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import Client, dataset
from .test_bytes import QUERY, WRITE

T0 = 1_381_239_000
METHODS = ["Query", "Write", "Create", "Destroy", "ListSymbols", "ServerVersion"]
BAD_PARTS = [
    *("..", ".", "", "/etc", "a/../b", "a\\b", "a\0b", "a\nb", " a", "a ", "\u202eA"),
    *("*", "a?", "[a]", "{a,b}", "A" * 300, "A" * 70_000),
]


@pytest.fixture(autouse=True)
def nothing_is_stored_and_the_next_call_is_answered(client, store):
    yield
    assert client.call("ServerVersion").version == tsstore.__version__
    assert store.list() == []


@pytest.mark.parametrize("part", BAD_PARTS)
@pytest.mark.parametrize("place", [0, 2])
def test_names_that_could_be_paths_are_refused(client, part, place) -> None:
    parts = ["AAPL", "1Min", "OHLCV"]
    parts[place] = part
    key = "/".join(parts)
    assert client.write(key, {"Epoch": np.array([T0]), "P": np.array([1.0])})
    shapes = [pb.DataShape(name="P", type="f8")]
    request = pb.CreateRequest(key=key, data_shapes=shapes, row_type="fixed")
    (created,) = client.call("Create", pb.MultiCreateRequest(requests=[request])).responses
    assert created.error
    request = pb.MultiKeyRequest(requests=[pb.KeyRequest(key=key)])
    (destroyed,) = client.call("Destroy", request).responses
    assert destroyed.error
    assert client.query_error(key)


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "body",
    [
        b"\x0a",
        b"\x0a\x05abc",
        b"\x0a\xff\xff\xff\xff\x0f",
        b"\x0a" + b"\xff" * 20,
        b"\x0f",
        b"\x09\x01",
        b"\x00\x00",
        b"\x80" * 1000,
        b"\x16\x03\x01\x02\x00\x01",
    ],
)
def test_bytes_that_are_no_message_are_refused(client, method, body) -> None:
    status, text = client.failure(method, body)
    assert status in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)
    assert "internal error" not in text


@pytest.mark.parametrize("method", METHODS[:4])
@pytest.mark.parametrize("body", [b"\x0b\x0c", b"\x0a\x03\x0a\x01\xff", b"\x0a\x02\x0b\x0c"])
def test_fields_that_proto3_does_not_have_are_refused(client, method, body) -> None:
    """Groups, and text that is no UTF-8."""
    assert client.failure(method, body)[0] in (grpc.StatusCode.INTERNAL, grpc.StatusCode.UNKNOWN)


@pytest.mark.parametrize(
    ("method", "field"),
    [
        ("Query", b"\x0a\x00"),
        ("Query", b"\x0a\x04\x5a\x00\x5a\x00"),
        ("Write", b"\x0a\x00"),
        ("Create", b"\x0a\x02\x12\x00"),
        ("Destroy", b"\x0a\x00"),
    ],
)
def test_a_request_of_nothing_but_fields_costs_little(client, method, field) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    began = monotonic()
    status, text = client.failure(method, field * ((1 << 20) // len(field)))
    assert status is grpc.StatusCode.UNKNOWN
    assert text.startswith("a request of")
    assert "send several" in text
    assert monotonic() - began < 20
    assert process.memory_info().rss - before < 100 << 20


def test_columns_without_end_inside_one_dataset_are_refused(client) -> None:
    data = pb.NumpyDataset(column_data=[b""] * (FIELDS_MAX + 1))
    requests = [pb.WriteRequest(data=pb.NumpyMultiDataset(data=data))]
    body = pb.MultiWriteRequest(requests=requests).SerializeToString()
    assert "fields" in client.failure("Write", body)[1]


def test_too_many_requests_in_one_call_are_refused(client) -> None:
    requests = [pb.QueryRequest(destination="A/1Min/X")] * 2000
    body = pb.MultiQueryRequest(requests=requests).SerializeToString()
    assert "at most 1000" in client.failure("Query", body)[1]


def good() -> pb.NumpyMultiDataset:
    return dataset("A/1Min/X", {"Epoch": np.array([T0, T0 + 60]), "P": np.array([1.0, 2.0])})


def lie(kind: str) -> pb.NumpyMultiDataset:
    """A dataset that is wrong in one way."""
    rows = good()
    data = rows.data
    if kind.startswith(("lengths", "start_index")):
        name, number = kind.split()
        getattr(rows, name)["A/1Min/X"] = int(number)
    elif kind == "no key":
        rows.lengths.clear()
    elif kind == "key twice":
        rows.lengths["A/1Min/X:Symbol/Timeframe/AttributeGroup"] = 2
    elif kind == "short column":
        data.column_data[1] = data.column_data[1][:8]
    elif kind == "half a value":
        data.column_data[1] = data.column_data[1][:-1]
    elif kind == "column missing":
        del data.column_data[1]
    elif kind == "column too many":
        data.column_data.append(b"")
    elif kind == "name twice":
        data.column_names[1] = "Epoch"
    elif kind == "no Epoch":
        data.column_names[0] = "E"
    elif kind.startswith("type"):
        data.column_types[1] = kind.split()[1]
    elif kind.startswith("Epoch"):
        data.column_data[0] = struct.pack("<2q", T0, int(kind.split()[1]))
    elif kind == "nothing":
        rows.Clear()
        rows.data.length = 5
    elif kind == "names that are paths":
        data.column_names[1] = "../x"
    return rows


@pytest.mark.parametrize(
    "kind",
    [
        *("lengths 1000000000", "lengths -1", "lengths 2147483647", "lengths 3"),
        *("start_index 1", "start_index -1", "start_index 2147483647"),
        *("no key", "key twice", "short column", "half a value", "column missing"),
        *("column too many", "name twice", "no Epoch", "nothing", "names that are paths"),
        *("type O", "type V8", "type S8", "type >f8", "type U100000000", "type M8[ns]"),
        *("Epoch 4611686018427387904", "Epoch -9223372036854775808"),
    ],
)
def test_datasets_that_lie_are_failures_inside_the_answer(client, kind) -> None:
    requests = [pb.WriteRequest(data=lie(kind))]
    (failed,) = client.call("Write", pb.MultiWriteRequest(requests=requests)).responses
    assert failed.error


def test_a_request_without_a_dataset_is_a_failure(client) -> None:
    (failed,) = client.call("Write", pb.MultiWriteRequest(requests=[pb.WriteRequest()])).responses
    assert "Epoch" in failed.error


def test_a_message_that_comes_in_two_halves_of_the_same_field_is_merged(client, store) -> None:
    """Protobuf allows it; the columns have to stay with their names."""
    rows = good()
    columns = pb.NumpyDataset(column_data=list(rows.data.column_data))
    del rows.data.column_data[:]
    halves = [pb.WriteRequest(data=rows), pb.WriteRequest(data=pb.NumpyMultiDataset(data=columns))]
    merged = b"".join(half.SerializeToString() for half in halves)
    body = b"\x0a" + bytes([len(merged) & 0x7F | 0x80, len(merged) >> 7]) + merged
    assert client.raw("Write", body) == b""
    assert client.query("A/1Min/X")["P"] == [1, 2]
    store.destroy("A/1Min/X")


@pytest.mark.parametrize("seed", [QUERY, WRITE], ids=["query", "write"])
@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(data=st.data())
def test_messages_with_bytes_changed_never_break_it(client, store, seed, data) -> None:
    at = st.integers(0, len(seed) - 1)
    changes = data.draw(st.lists(st.tuples(at, st.binary(max_size=3)), min_size=1, max_size=4))
    body = bytearray(seed)
    for place, new in changes:
        body[place : place + 1] = new
    method = data.draw(st.sampled_from(METHODS))
    try:
        client.raw(method, bytes(body))
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
        assert "internal error" not in error.details()
    for key in store.list():
        store.destroy(key)


@settings(
    max_examples=120,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(method=st.sampled_from(METHODS), body=st.binary(max_size=200))
def test_random_bytes_never_break_it(client, method, body) -> None:
    try:
        client.raw(method, body)
    except grpc.RpcError as error:
        assert error.code() in (grpc.StatusCode.UNKNOWN, grpc.StatusCode.INTERNAL)
        assert "internal error" not in error.details()


def test_a_request_beyond_the_limit_is_refused(client) -> None:
    status, text = client.failure("Write", bytes(2 << 20))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert "larger than max" in text


def test_a_compressed_request_is_refused_before_it_is_unpacked(client) -> None:
    process = psutil.Process()
    before = process.memory_info().rss
    body = bytes(100 << 20)
    made = process.memory_info().rss - before
    status, _ = client.failure("Write", body, compression=grpc.Compression.Gzip)
    assert status is grpc.StatusCode.UNIMPLEMENTED
    assert process.memory_info().rss - before - made < 50 << 20


def test_an_answer_beyond_the_limit_is_refused(client, store) -> None:
    rows = {"Epoch": np.arange(60_000) * 60 + T0, "P": np.zeros(60_000), "Q": np.zeros(60_000)}
    store.write("A/1Min/X", rows)
    assert "the server's limit of 1048576 bytes" in client.query_error("A/1Min/X")
    assert len(client.query("A/1Min/X", columns=["P"])["P"]) == 60_000
    assert len(client.query("A/1Min/X", limit_record_count=1000)["P"]) == 1000
    store.destroy("A/1Min/X")


def test_an_error_that_repeats_what_was_sent_arrives(client) -> None:
    """Trailers are bounded; a text beyond them would arrive as another error."""
    assert "Nope" in client.query_error("A/1Min/X", functions=["Nope(" + "é" * 100_000])


def test_a_request_that_does_not_come_is_given_up(client) -> None:
    never = threading.Event()

    def nothing():
        never.wait(20)
        yield b""

    call = client.channel.stream_unary("/proto.Marketstore/Query")
    began = monotonic()
    with pytest.raises(grpc.RpcError, match="did not come") as caught:
        call(nothing(), timeout=20)
    never.set()
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert monotonic() - began < 15


def test_a_call_without_a_request_is_refused(client) -> None:
    call = client.channel.stream_unary("/proto.Marketstore/Query")
    with pytest.raises(grpc.RpcError, match="no request"):
        call(iter(()), timeout=20)


def test_requests_that_do_not_come_keep_no_others_waiting(client) -> None:
    never = threading.Event()

    def nothing():
        never.wait(20)
        yield b""

    call = client.channel.stream_unary("/proto.Marketstore/Query")
    waiting = [call.future(nothing()) for _ in range(50)]
    assert client.call("ServerVersion").version == tsstore.__version__
    assert not any(one.done() for one in waiting)
    for one in waiting:
        one.cancel()
    never.set()


def test_large_metadata_are_refused(client) -> None:
    status, _ = client.failure("Query", QUERY, metadata=(("x", "y" * 100_000),))
    assert status is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("junk", [b"GET / HTTP/1.1\r\n\r\n", bytes(100), b"PRI * HTTP/2.0\r\n"])
def test_what_is_not_http2_is_disconnected(ports, junk) -> None:
    host, port = ports.grpc_target.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        peer.sendall(junk)
        while peer.recv(4096):
            pass


def test_a_connection_that_says_nothing_is_disconnected(ports) -> None:
    host, port = ports.grpc_target.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as peer:
        while peer.recv(4096):
            pass


def test_more_calls_than_allowed_are_told_so(tmp_path) -> None:
    options = ServerSettings(port=0, grpc_port=0, connections_max=2)
    never = threading.Event()

    def nothing():
        never.wait(20)
        yield b""

    with tsstore.open(tmp_path) as store, Ports(store, options, hub=StreamHub()) as ports:
        client = Client(ports.grpc_target)
        with client.channel:
            call = client.channel.stream_unary("/proto.Marketstore/Query")
            waiting = [call.future(nothing(), timeout=20) for _ in range(3)]
            refused = next(one for one in iter(lambda: finished(waiting), 0) if one is not None)
            assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "raise limits.connections_max" in refused.details()
            never.set()


def finished(calls):
    return next((call for call in calls if call.done()), None)


def test_more_connections_than_allowed_are_not_served(tmp_path) -> None:
    options = ServerSettings(port=0, grpc_port=0, connections_max=2)
    with tsstore.open(tmp_path) as store, Ports(store, options, hub=StreamHub()) as ports:
        host, port = ports.grpc_target.split(":")
        peers = [socket.create_connection((host, int(port)), timeout=10) for _ in range(4)]
        closed = [peer for peer in peers if not peer.recv(4096)]
        for peer in peers:
            peer.close()
    assert closed


def test_calls_that_are_cancelled_at_once_leave_nothing(client, store) -> None:
    store.write("A/1Min/X", {"Epoch": np.array([T0]), "P": np.array([1.0])})
    process = psutil.Process()
    before = process.memory_info().rss
    call = client.channel.unary_unary("/proto.Marketstore/Query")
    for _ in range(2000):
        call.future(QUERY).cancel()
    assert client.query("A/1Min/X")["P"] == [1]
    assert process.memory_info().rss - before < 50 << 20
    store.destroy("A/1Min/X")
