"""Transport of /rpc, its envelope, its JSON codec, and the other pages."""

from __future__ import annotations

import base64
import json
import struct

import msgpack
import numpy as np
import pytest

import tsstore
from tsstore.server.metrics import lines_of

T0 = 1_483_228_800
MSGPACK = {"Content-Type": "application/x-msgpack"}
JSON = {"Content-Type": "application/json"}
PING = msgpack.packb({"jsonrpc": "2.0", "id": 1, "method": "TsStore.Ping"})


def test_the_version_is_told_to_a_head_request(http):
    response = http.head("/rpc")
    assert response.status_code == 405
    assert response.headers["Marketstore-Version"] == tsstore.__version__
    assert response.content == b""


@pytest.mark.parametrize("method", ["GET", "PUT", "DELETE"])
def test_other_methods_than_post_are_refused(http, method):
    response = http.request(method, "/rpc")
    assert response.status_code == 405
    assert response.text == f"rpc: POST method required, received {method}"
    assert response.headers["content-type"].startswith("text/plain")


@pytest.mark.parametrize("kind", ["text/plain", "", "application/x-msgpack2"])
def test_other_content_types_are_refused(http, kind):
    response = http.post("/rpc", content=PING, headers={"Content-Type": kind})
    assert response.status_code == 415
    assert response.text.startswith("rpc: unrecognized Content-Type:")


def test_the_content_type_is_compared_without_case_and_parameters(http):
    headers = {"Content-Type": "Application/X-Msgpack; charset=binary"}
    assert http.post("/rpc", content=PING, headers=headers).status_code == 200


def test_compressed_requests_are_refused(http):
    headers = {**MSGPACK, "Content-Encoding": "gzip"}
    assert http.post("/rpc", content=PING, headers=headers).status_code == 415


def test_answers_carry_type_version_and_nosniff(http):
    headers = http.post("/rpc", content=PING, headers=MSGPACK).headers
    assert headers["Content-Type"] == "application/x-msgpack"
    assert headers["Marketstore-Version"] == tsstore.__version__
    assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize("path", ["/rpc/", "/", "/pprof", "/debug/pprof/", "/../etc/passwd"])
def test_other_paths_are_not_found(http, path):
    response = http.get(path)
    assert (response.status_code, response.text) == (404, "404 page not found")


def test_a_plain_get_of_ws_is_not_found(http):
    assert http.get("/ws").status_code == 404


@pytest.mark.parametrize("method", ["TsStore.Ping", "No.Such"])
def test_a_call_without_an_id_gets_an_empty_answer(http, method):
    body = msgpack.packb({"jsonrpc": "2.0", "method": method})
    response = http.post("/rpc", content=body, headers=MSGPACK)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("body", [b"", b"\xc1", b"{}", msgpack.packb([1, 2]), PING[:-1], PING * 2])
def test_a_body_that_is_no_request_gets_an_empty_answer(http, body):
    response = http.post("/rpc", content=body, headers=MSGPACK)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("call_id", ["1", 7, 1.5, True])
def test_the_id_is_repeated(http, call_id):
    body = msgpack.packb({"jsonrpc": "2.0", "id": call_id, "method": "TsStore.Ping"})
    response = http.post("/rpc", content=body, headers=MSGPACK)
    assert msgpack.unpackb(response.content)["id"] == call_id


def test_another_jsonrpc_is_refused_with_the_request(rpc):
    call = {"jsonrpc": "1.0", "id": 1, "method": "TsStore.Ping", "params": {}}
    error = msgpack.unpackb(rpc.raw(msgpack.packb(call)))["error"]
    expected = {"jsonrpc": "1.0", "method": "TsStore.Ping", "id": 1, "params": {}}
    assert error == {"code": -32600, "message": "jsonrpc must be 2.0", "data": expected}


@pytest.mark.parametrize(
    ("method", "text"),
    [
        ("DataService.Foo", 'rpc: can\'t find method "DataService.Foo"'),
        ("DataService.query", 'rpc: can\'t find method "DataService.query"'),
        ("Foo.Bar", 'rpc: can\'t find service "Foo.Bar"'),
        ("", 'rpc: service/method request ill-formed: ""'),
    ],
)
def test_an_unknown_method_is_an_application_error(rpc, method, text):
    error = rpc.answer(method, {})["error"]
    assert error == {"code": -32000, "message": text, "data": None}


def test_a_wrong_type_of_a_parameter_is_an_invalid_request(rpc):
    params = {"requests": [{"destination": "A/1Min/X", "limit_record_count": "ten"}]}
    error = rpc.answer("DataService.Query", params)["error"]
    assert error["code"] == -32600
    assert "limit_record_count" in error["message"]
    assert error["data"] == params


def test_parameters_may_stand_in_an_array(rpc):
    answer = rpc.answer("DataService.ListSymbols", [{"format": "tbk"}])
    assert answer["result"] == {"Results": []}


def test_keys_may_be_binary(rpc):
    call = {
        b"jsonrpc": "2.0",
        b"id": 1,
        b"method": "DataService.Query",
        b"params": {b"requests": []},
    }
    assert msgpack.unpackb(rpc.raw(msgpack.packb(call)))["result"]["responses"] is None


def test_unknown_keys_are_passed_over(rpc):
    assert rpc.answer("DataService.ListSymbols", {"what": 1})["result"] == {"Results": []}


def post_json(http, method, params):
    call = {"jsonrpc": "2.0", "id": 1, "method": method, "params": params}
    return http.post("/rpc", json=call, headers=JSON)


def test_json_answers_use_the_names_that_json_clients_know(http, store):
    store.write("TEST/1Min/Tick", {"Epoch": [T0], "Ask": np.float32([10.0])})
    params = {"requests": [{"destination": "TEST/1Min/Tick"}]}
    response = post_json(http, "DataService.Query", params)
    key = "TEST/1Min/Tick:Symbol/Timeframe/AttributeGroup"
    assert response.headers["Content-Type"] == "application/json; charset=utf-8"
    expected = {
        "jsonrpc": "2.0",
        "result": {
            "Responses": [
                {
                    "Result": {
                        "ColumnTypes": ["i8", "f4"],
                        "ColumnNames": ["Epoch", "Ask"],
                        "ColumnData": ["gEZoWAAAAAA=", "AAAgQQ=="],
                        "Length": 1,
                        "StartIndex": {key: 0},
                        "Lengths": {key: 1},
                    }
                }
            ],
            "Version": tsstore.__version__,
            "Timezone": "UTC",
        },
        "id": 1,
    }
    assert response.text == json.dumps(expected, separators=(",", ":"))


@pytest.mark.parametrize("limit", ["limit_record_count", "LimitRecordCount"])
def test_json_requests_may_use_either_spelling(http, store, limit):
    store.write("A/1Min/X", {"Epoch": [T0, T0 + 60], "P": [1.0, 2.0]})
    params = {"Requests": [{"Destination": "A/1Min/X", limit: 1}]}
    answer = post_json(http, "DataService.Query", params).json()
    assert answer["result"]["Responses"][0]["Result"]["Length"] == 1


@pytest.mark.parametrize("go", [True, False])
def test_json_writes_may_use_either_spelling(http, store, go):
    columns = [struct.pack("<q", T0), struct.pack("<d", 1.5)]
    data = [base64.b64encode(column).decode() for column in columns]
    names = ("ColumnTypes", "ColumnNames", "ColumnData", "StartIndex", "Lengths", "Data")
    if not go:
        names = ("types", "names", "data", "startindex", "lengths", "dataset")
    values = (["i8", "f8"], ["Epoch", "P"], data, {"A/1Min/X": 0}, {"A/1Min/X": 1})
    request = {names[5]: dict(zip(names, values, strict=False))}
    answer = post_json(http, "DataService.Write", {"requests": [request]}).json()
    assert answer["result"] == {"Responses": None}
    assert store.read("A/1Min/X")["P"].tolist() == [1.5]


def test_json_failures_stand_in_the_answer(http):
    answer = post_json(http, "DataService.Destroy", {"requests": [{"key": "A/1Min/X"}]}).json()
    response = answer["result"]["Responses"][0]
    assert response["Error"].startswith("removal of catalog entry failed")
    assert response["Version"] == tsstore.__version__


def test_the_exact_methods_speak_msgpack_only(http):
    answer = post_json(http, "TsStore.Ping", {}).json()
    assert "msgpack" in answer["error"]["message"]


def test_the_heartbeat_merges_what_the_host_says(http):
    response = http.get("/heartbeat")
    body = response.json()
    assert response.status_code == 200
    assert (body["status"], body["version"]) == ("queryable", tsstore.__version__)
    assert body["workers"] == {"massive": {"state": "running", "rows": 7}}
    assert float(body["uptime"].removesuffix("s")) >= 0


def test_metrics_show_calls_store_stream_and_workers(http, rpc):
    rpc.answer("DataService.ListSymbols", {})
    rpc.error("Query", {"destination": "NOPE/1Min/X"})
    text = http.get("/metrics").text
    assert 'tsstore_rpc_seconds_count{method="DataService.ListSymbols"}' in text
    assert 'tsstore_rpc_errors_total{method="DataService.Query"}' in text
    assert "tsstore_store_" in text
    assert "tsstore_stream_clients 0.0" in text
    assert 'tsstore_worker_rows{worker="massive"} 7.0' in text


def test_parts_of_a_worker_are_shown_by_name():
    workers = {"massive": {"rows": 7, "lines": {"a": {"rows": 3, "state": "x"}, "b": 1}}, "x": {}}
    assert lines_of(workers) == {"massive.a": {"rows": 3, "state": "x"}}
    assert lines_of({"odd": {"lines": [1]}}) == {}


def nested(depth):
    value = []
    for _ in range(depth):
        value = [value]
    return value


@pytest.mark.parametrize("call_id", [[1], {"a": 1}, nested(300), msgpack.Timestamp(1)])
def test_an_id_is_text_or_a_number(http, call_id):
    call = {"jsonrpc": "2.0", "id": call_id, "method": "TsStore.Ping"}
    headers = {"Content-Type": "application/x-msgpack"}
    response = http.post("/rpc", content=msgpack.packb(call), headers=headers)
    assert (response.status_code, response.content) == (200, b"")


@pytest.mark.parametrize("field", [nested(500), msgpack.Timestamp(1)], ids=["deep", "time"])
@pytest.mark.parametrize("version", ["1.0", "2.0"])
def test_parameters_that_cannot_be_repeated_are_an_error_like_any_other(http, field, version):
    params = {"requests": [{"destination": field}]}
    call = {"jsonrpc": version, "id": 1, "method": "DataService.Query", "params": params}
    headers = {"Content-Type": "application/x-msgpack"}
    response = http.post("/rpc", content=msgpack.packb(call), headers=headers)
    assert response.status_code == 200
    if response.content:
        assert msgpack.unpackb(response.content)["error"]["code"] == -32600


def test_own_calls_with_bad_parameters_say_the_exception_and_repeat_nothing(rpc):
    error = rpc.answer("TsStore.Info", {"key": [1, 2, 3]})["error"]
    assert error["data"]["type"] == "InvalidArgumentError"
    assert error["data"]["args"] == [error["message"]]
