"""What MarketStore's clients count on: a test for each rule, M1 to M18, and texts of errors.

All of it is asked of `tsstore start`: over one protocol where a rule is about its form, and else
over all three. The exact bytes are in tests/server/test_marketstore_bytes.py and
tests/grpc/test_bytes.py.
"""

from __future__ import annotations

import grpc
import msgpack
import numpy as np
import pytest
from websockets.sync.client import connect

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb

from .carriers import SUFFIX, CallError

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
BARS = "A/1Min/OHLCV"
TICK = "A/1Sec/TICK"
TYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "U16"]
DONE = {"error": "", "version": tsstore.__version__}


def minutes(*values: float) -> dict[str, np.ndarray]:
    return {"Epoch": T0 + 60 * np.arange(len(values)), "P": np.array(values)}


def ticks(*nanos: int) -> dict[str, np.ndarray]:
    return {
        "Epoch": np.full(len(nanos), T0),
        "P": np.arange(float(len(nanos))),
        "Nanoseconds": np.array(nanos, "i4"),
    }


def test_m1_errors_of_calls_are_http_200_with_an_error_object(server):
    call = {"jsonrpc": "2.0", "id": "1", "method": "DataService.Query", "params": {}}
    for change in ({"method": "DataService.SQL"}, {"params": {"requests": [{"destination": "A"}]}}):
        body = msgpack.packb(call | change)
        headers = {"Content-Type": "application/x-msgpack"}
        reply = server.http.post("/rpc", content=body, headers=headers)
        answer = msgpack.unpackb(reply.content)
        assert (reply.status_code, list(answer)) == (200, ["jsonrpc", "error", "id"])
        assert list(answer["error"]) == ["code", "message", "data"]
        assert (answer["error"]["code"], answer["error"]["data"]) == (-32000, None)


def test_m2_writes_answer_nothing_and_others_one_each(rpc):
    assert rpc.write(BARS, minutes(1)) == []
    shape = {"column_names": ["P"], "column_types": ["f8"]}
    requests = [{"key": BARS} | shape, {"key": "B/1Min/X"} | shape]
    failed, done = rpc.result("Create", {"requests": requests})["responses"]
    assert "Can not overwrite file" in failed["error"]
    assert done == DONE
    keys = [{"key": "B/1Min/X"}, {"key": "B/1Min/X"}, {"key": BARS}]
    done, failed, also_done = rpc.result("Destroy", {"requests": keys})["responses"]
    assert (done, also_done) == (DONE, DONE)
    assert "Unable to find level item" in failed["error"]


def test_m3_names_of_fields_are_those_that_clients_read(rpc):
    rpc.write(BARS, minutes(1))
    assert list(rpc.result("ListSymbols", {})) == ["Results"]
    found = rpc.result("Query", {"requests": [{"destination": BARS}]})
    assert list(found) == ["responses", "version", "timezone"]
    assert list(found["responses"][0]["result"]) == [
        "types", "names", "data", "length", "startindex", "lengths",
    ]  # fmt: skip
    (info,) = rpc.result("GetInfo", {"requests": [{"key": BARS}]})["responses"]
    assert list(info) == ["LatestYear", "TimeFrame", "DSV", "RecordType", "ServerResp"]


def test_m4_keys_of_answers_carry_their_category(carrier):
    for symbol in ("A", "B"):
        carrier.write(f"{symbol}/1Min/OHLCV", minutes(1, 2))
    (found,) = carrier.query({"destination": "B,A/1Min/OHLCV"})
    assert found.keys == {f"A/1Min/OHLCV{SUFFIX}": (0, 2), f"B/1Min/OHLCV{SUFFIX}": (2, 2)}


def test_m5_the_length_is_there_also_when_it_is_0(rpc):
    rpc.write(BARS, minutes(1, 2))
    requests = [{"destination": BARS}, {"destination": BARS, "epoch_end": 5}]
    found = rpc.result("Query", {"requests": requests})["responses"]
    assert [one["result"]["length"] for one in found] == [2, 0]


def test_m6_epoch_is_first_and_nanoseconds_last_for_ticks_alone(carrier):
    carrier.write(TICK, ticks(5), variable=True)
    carrier.write(BARS, {"P": [1.0], "Epoch": [T0]})
    ticked, barred = carrier.query({"destination": TICK}, {"destination": BARS})
    assert list(zip(ticked.columns, ticked.types, strict=True)) == [
        ("Epoch", "i8"), ("P", "f8"), ("Nanoseconds", "i4"),
    ]  # fmt: skip
    assert list(zip(barred.columns, barred.types, strict=True)) == [("Epoch", "i8"), ("P", "f8")]


def test_m7_a_bucket_without_rows_in_range_is_no_error(carrier):
    carrier.write(BARS, minutes(1))
    carrier.create("E/1Min/X", [("Epoch", "i8"), ("P", "f4")], "fixed")
    for request in (
        {"destination": BARS, "epoch_start": T0 + 86_400},
        {"destination": BARS, "epoch_start": T0 + 60, "epoch_end": T0},
        {"destination": "E/1Min/X"},
    ):
        (found,) = carrier.query(request)
        assert found.columns == {"Epoch": [], "P": []}
        assert list(found.keys.values()) == [(0, 0)]
    with pytest.raises(CallError):
        carrier.query({"destination": "NOPE/1Min/OHLCV"})


def test_m8_both_texts_of_an_unknown_bucket_are_there(carrier):
    with pytest.raises(CallError) as caught:
        carrier.query({"destination": "NOPE/1Min/Tick"})
    assert "no files returned from query parse" in str(caught.value)
    assert "no results returned from query: Target: NOPE/1Min/Tick" in str(caught.value)


@pytest.mark.parametrize("method", ["HEAD", "GET", "POST", "PUT"])
def test_m9_every_answer_of_rpc_tells_the_version(server, method):
    answer = server.http.request(method, "/rpc")
    assert answer.status_code == (415 if method == "POST" else 405)
    assert answer.headers["Marketstore-Version"] == tsstore.__version__


def test_m10_types_have_no_byte_order_mark(carrier):
    values = {kind: np.zeros(1, kind) for kind in TYPES}
    assert carrier.write(BARS, {"Epoch": [T0], **values}) == []
    assert carrier.query({"destination": BARS})[0].types == ["i8", *TYPES]


@pytest.mark.parametrize(
    ("options", "rows"),
    [
        ({"limit_record_count": 2}, [2, 3]),
        ({"limit_record_count": 2, "limit_from_start": True}, [0, 1]),
        ({"limit_record_count": 2, "epoch_end": T0 + 60}, [0, 1]),
        ({"limit_record_count": 2**31 - 1}, [0, 1, 2, 3]),
        ({"limit_record_count": 0, "limit_from_start": True}, [0, 1, 2, 3]),
    ],
)
def test_m11_a_limit_takes_the_last_or_first_rows_in_order(carrier, options, rows):
    carrier.write(BARS, minutes(0, 1, 2, 3))
    assert carrier.query({"destination": BARS, **options})[0].columns["P"] == rows


def test_m12_both_ends_of_a_range_belong_to_it(carrier):
    carrier.write(BARS, minutes(0, 1, 2, 3))
    carrier.write(TICK, ticks(0, 1, 2, 3), variable=True)
    slots = {"epoch_start": T0 + 60, "epoch_end": T0 + 120}
    instants = {
        "epoch_start": T0, "epoch_start_nanos": 1, "epoch_end": T0, "epoch_end_nanos": 2,
    }  # fmt: skip
    bars, ticked = carrier.query({"destination": BARS, **slots}, {"destination": TICK, **instants})
    assert (bars.columns["P"], ticked.columns["P"]) == ([1, 2], [1, 2])
    (unaligned,) = carrier.query({"destination": BARS, "epoch_start": T0 + 90})
    assert unaligned.columns["P"] == [1, 2, 3]


def test_m13_bars_replace_each_other_by_slot_and_ticks_stay(carrier):
    rows = {"Epoch": [T0 + 70, T0, T0 + 59], "P": [3.0, 1.0, 2.0]}
    for key, variable in ((BARS, False), (TICK, True)):
        assert carrier.write(key, rows, variable=variable) == []
        assert carrier.write(key, {"Epoch": [T0 + 70], "P": [4.0]}, variable=variable) == []
    bars, ticked = carrier.query({"destination": BARS}, {"destination": TICK})
    assert bars.columns == {"Epoch": [T0, T0 + 60], "P": [2, 4]}
    assert ticked.columns["Epoch"] == [T0, T0 + 59, T0 + 70, T0 + 70]
    assert ticked.columns["P"] == [1, 2, 3, 4]


def test_m14_symbols_with_other_columns_need_a_filter(carrier):
    carrier.write("A/1Min/X", {"Epoch": [T0], "P": [1.0], "Q": [2.0]})
    carrier.write("B/1Min/X", {"Epoch": [T0], "Q": [3.0]})
    with pytest.raises(CallError) as caught:
        carrier.query({"destination": "A,B/1Min/X"})
    text = "symbols in a query must have the same data type or be filtered by common columns"
    assert str(caught.value) == f"{text}. symbols=[A B]"
    (found,) = carrier.query({"destination": "A,B/1Min/X", "columns": ["Q"]})
    assert found.columns["Q"] == [2, 3]


def test_m15_a_subscription_is_echoed_or_named_as_wrong(server):
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as stream:
        for sent in ({"streams": ["A/*/*", "*/1Min/OHLCV"]}, [["*/*/*"]]):
            stream.send(msgpack.packb(sent))
            assert stream.recv(timeout=10) == msgpack.packb(sent)
        stream.send(msgpack.packb({"streams": ["A/*/*", "A/1Min"]}))
        assert msgpack.unpackb(stream.recv(timeout=10)) == {"error": "A/1Min is an invalid stream"}


def test_m16_errors_over_grpc_are_unknown_with_the_text_of_http(server, rpc):
    with pytest.raises(CallError) as over_http:
        rpc.query({"destination": "NOPE/1Min/X"})
    call = server.carriers["grpc"].channel.unary_unary("/proto.Marketstore/Query")
    request = pb.MultiQueryRequest(requests=[pb.QueryRequest(destination="NOPE/1Min/X")])
    with pytest.raises(grpc.RpcError) as over_grpc:
        call(request.SerializeToString(), timeout=20)
    assert over_grpc.value.code() is grpc.StatusCode.UNKNOWN
    assert over_grpc.value.details() == str(over_http.value)


@pytest.mark.parametrize("suffix", ["", SUFFIX])
def test_m17_keys_are_taken_with_and_without_their_category(carrier, suffix):
    shape = [("Epoch", "i8"), ("P", "f8")]
    assert carrier.create(BARS + suffix, shape, "fixed") == ""
    assert carrier.write(BARS + suffix, minutes(1)) == []
    assert carrier.query({"destination": BARS + suffix})[0].columns["P"] == [1]
    assert carrier.listed() == [BARS]
    assert carrier.destroy(BARS + suffix) == ""


def test_m18_several_requests_are_answered_one_each_in_their_order(carrier):
    for symbol, value in (("A", 1), ("B", 2)):
        carrier.write(f"{symbol}/1Min/OHLCV", minutes(value))
    order = ["B", "A", "B", "B"]
    found = carrier.query(*({"destination": f"{symbol}/1Min/OHLCV"} for symbol in order))
    assert [one.bare_keys for one in found] == [[f"{symbol}/1Min/OHLCV"] for symbol in order]
    assert [one.columns["P"] for one in found] == [[2], [1], [2], [2]]


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"Epoch": np.array([T0], "i4")}, "unexpected data type for Epoch column"),
        ({"Nanoseconds": np.array([5])}, "unexpected data type for Nanoseconds column"),
        ({"Q": [1.0]}, "unable to match data columns ([{Epoch INT64} {P FLOAT64} {Q FLOAT64}])"),
        ({"P": np.array(["a"], "S4")}, "unsupported type string S4"),
    ],
)
def test_texts_of_refused_rows_are_those_that_users_know(carrier, change, text):
    carrier.write(BARS, minutes(1))
    (failure,) = carrier.write(BARS, {"Epoch": [T0], "P": [1.0]} | change)
    assert text in failure


@pytest.mark.parametrize(
    ("request_", "text"),
    [
        ({"destination": "A/1X/X"}, 'timeframe not found in "1X"'),
        (
            {"destination": BARS, "key_category": "Symbol/Timeframe"},
            "destinations must have a Symbol, Timeframe and AttributeGroup, have: Symbol/Timeframe",
        ),
        ({"functions": ["max(P"]}, "unable to parse function call max(P"),
        ({"functions": ["foo(P)"]}, 'no function in the UDA Registry named "foo"'),
        ({"functions": ["max()"]}, "Argument mapping error for max"),
        ({"functions": ["max(P, P)"]}, "extra args used: have ["),
        ({"functions": ["max(Q)"]}, "unable to retrieve column named Q"),
        ({"functions": ["max(P)"], "columns": ["Q"]}, "unable to retrieve column named P"),
        ({"functions": ["gap()"]}, "not enough init arguments for gap, need 1 have 0"),
        ({"functions": ["candlecandler(P)"]}, "not enough init arguments for candlecandler"),
    ],
)
def test_texts_of_failed_queries_are_those_that_users_know(carrier, request_, text):
    carrier.write(BARS, minutes(1))
    with pytest.raises(CallError) as caught:
        carrier.query({"destination": BARS} | request_)
    assert text in str(caught.value)


def test_a_timeframe_that_is_none_cannot_be_written(carrier):
    (failure,) = carrier.write("A/1.5Min/X", minutes(1))
    assert "Unable to get timeframe from key" in failure
    assert 'record type "" must be one of' in carrier.create(BARS, [("Epoch", "i8")], "")
