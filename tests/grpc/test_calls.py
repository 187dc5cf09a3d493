"""What MarketStore's clients send over gRPC, and that they get what /rpc gives."""

from __future__ import annotations

import grpc
import httpx
import msgpack
import numpy as np
import pytest

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb

from .conftest import columns_of, dataset, rpc

T0 = 1_381_239_000
BARS = "AAPL/1Min/OHLCV"
NAMES = ("Open", "High", "Low", "Close", "Volume")
NUMBERS = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8"]
CANDLES = "candlecandler('5Min',Open,High,Low,Close,Sum::Volume)"


@pytest.fixture
def bars(store):
    rows = np.arange(10)
    columns = {"Epoch": T0 + 60 * rows, **{name: rows.astype("f4") for name in NAMES}}
    for symbol in ("AAPL", "MSFT"):
        store.write(f"{symbol}/1Min/OHLCV", columns)


@pytest.fixture
def ticks(store):
    ts = np.array([T0 * 10**9 + 123_456_789, T0 * 10**9 + 123_456_790])
    rows = {"Epoch": ts.astype("M8[ns]"), "Price": [10.0, 11.0], "Size": np.array([1, 2], "u4")}
    store.write("AAPL/1Sec/TRADE", rows, variable=True)


@pytest.mark.parametrize(
    "request_",
    [
        {"destination": BARS},
        {"destination": BARS, "epoch_start": T0 + 61, "epoch_end": T0 + 179},
        {"destination": BARS, "epoch_start": T0 + 600},
        {"destination": BARS, "limit_record_count": 2},
        {"destination": BARS, "limit_record_count": 2, "limit_from_start": True},
        {"destination": BARS, "columns": ["Close", "Open", "Close", "Epoch", "Nope"]},
        {"destination": BARS, "functions": ["count(*)"]},
        {"destination": BARS, "functions": [CANDLES]},
        {"destination": "MSFT,AAPL,NOPE/1Min/OHLCV", "limit_record_count": 1},
        {"destination": "*/1Min/OHLCV"},
        {"destination": "AAPL/5Min/OHLCV"},
        {"destination": f"{BARS}:Symbol/Timeframe/AttributeGroup"},
        {
            "destination": "OHLCV/AAPL/1Min",
            "key_category": "AttributeGroup/Symbol/Timeframe",
        },
        {"destination": "AAPL/1Sec/TRADE"},
        {
            "destination": "AAPL/1Sec/TRADE",
            "epoch_start": T0,
            "epoch_start_nanos": 123_456_790,
            "epoch_end": T0,
            "epoch_end_nanos": 123_456_790,
        },
    ],
)
def test_a_query_is_answered_as_over_http(client, ports, bars, ticks, request_) -> None:
    expected = rpc(ports.url, "Query", {"requests": [request_]})["result"]
    answer = client.call("Query", pb.MultiQueryRequest(requests=[pb.QueryRequest(**request_)]))
    (found,), (wanted,) = answer.responses, expected["responses"]
    assert (answer.version, answer.timezone) == (tsstore.__version__, "UTC")
    if request_.get("functions") != ["count(*)"]:  # whose Epoch is now
        assert list(found.result.data.column_data) == wanted["result"]["data"]
    assert list(found.result.data.column_types) == wanted["result"]["types"]
    assert list(found.result.data.column_names) == wanted["result"]["names"]
    assert found.result.data.length == wanted["result"]["length"]
    assert dict(found.result.start_index) == wanted["result"]["startindex"]
    assert dict(found.result.lengths) == wanted["result"]["lengths"]


@pytest.mark.parametrize(
    "request_",
    [
        {"destination": "NOPE/1Min/OHLCV"},
        {"destination": BARS, "limit_record_count": -1},
        {"destination": "AAPL/1Min"},
        {"destination": "AAPL/1X/OHLCV"},
        {"destination": BARS, "key_category": "Symbol/Timeframe"},
        {"destination": BARS, "functions": ["nope(Open)"]},
        {"destination": BARS, "functions": ["max(Nope)"]},
        {"destination": ""},
        {},
    ],
)
def test_a_query_fails_with_the_text_of_http(client, ports, bars, request_) -> None:
    expected = rpc(ports.url, "Query", {"requests": [request_]})["error"]["message"]
    assert client.query_error(**{"destination": "", **request_}) == expected


def test_an_end_of_zero_is_none_and_a_negative_start_is_before_1970(client, store) -> None:
    store.write("A/1D/X", {"Epoch": [-86_400, 0, 86_400], "P": [1.0, 2.0, 3.0]})
    assert client.query("A/1D/X")["P"] == [2, 3]
    assert client.query("A/1D/X", epoch_start=-86_400, epoch_end=0)["P"] == [1, 2, 3]
    assert client.query("A/1D/X", epoch_start=-86_400, epoch_end=-1)["P"] == [1]


def test_the_largest_end_that_other_clients_send_is_understood(client, bars) -> None:
    assert len(client.query(BARS, epoch_end=2**63 - 1, limit_record_count=1000)["Open"]) == 10


def test_several_queries_are_answered_in_order(client, bars) -> None:
    keys = ["MSFT/1Min/OHLCV", BARS, "MSFT/1Min/OHLCV"]
    requests = [pb.QueryRequest(destination=key) for key in keys]
    answer = client.call("Query", pb.MultiQueryRequest(requests=requests))
    found = [next(iter(response.result.lengths)).split(":")[0] for response in answer.responses]
    assert found == keys


def test_one_query_that_fails_fails_them_all(client, bars) -> None:
    requests = [pb.QueryRequest(destination=key) for key in (BARS, "NOPE/1Min/OHLCV")]
    body = pb.MultiQueryRequest(requests=requests).SerializeToString()
    assert "NOPE" in client.failure("Query", body)[1]


def test_no_rows_in_the_range_are_columns_without_rows(client, bars) -> None:
    found = client.query(BARS, epoch_start=1, epoch_end=2)
    assert found == {name: [] for name in ("Epoch", *NAMES)}
    assert client.query("AAPL/5Min/OHLCV", epoch_start=1, epoch_end=2) == found


@pytest.mark.parametrize("method", ["Query", "Write", "Create", "Destroy"])
def test_a_call_without_requests_has_no_responses(client, method) -> None:
    assert list(client.call(method).responses) == []


@pytest.mark.parametrize("kind", [*NUMBERS, "U16", "U3", "|u1", "<f8", "|b1"])
def test_what_is_written_comes_back(client, kind) -> None:
    values = np.array(["a", "é", "\U0001f600"] if "U" in kind else [0, 1, 1]).astype(kind)
    rows = dataset("A/1Sec/X", {"Epoch": np.arange(3), "P": values})
    rows.data.column_types[1] = kind
    request = pb.MultiWriteRequest(requests=[pb.WriteRequest(data=rows)])
    assert list(client.call("Write", request).responses) == []
    assert client.query("A/1Sec/X")["P"] == values.tolist()


def test_several_buckets_are_written_by_one_request(client) -> None:
    rows = dataset("A/1Sec/X", {"Epoch": np.arange(3), "P": np.arange(3.0)})
    rows.start_index["B/1Sec/X:Symbol/Timeframe/AttributeGroup"] = 1
    rows.lengths["B/1Sec/X:Symbol/Timeframe/AttributeGroup"] = 2
    rows.lengths["A/1Sec/X"] = 1
    client.call("Write", pb.MultiWriteRequest(requests=[pb.WriteRequest(data=rows)]))
    assert client.query("A/1Sec/X")["P"] == [0]
    assert client.query("B/1Sec/X")["P"] == [1, 2]


def test_rows_of_a_variable_bucket_are_appended_with_their_nanoseconds(client) -> None:
    columns = {
        "Epoch": np.array([T0, T0]),
        "P": np.array([1.0, 2.0]),
        "Nanoseconds": np.array([5, 5], "i4"),
    }
    assert client.write("A/1Sec/T", columns, variable=True) == []
    assert client.write("A/1Sec/T", columns, variable=True) == []
    found = client.query("A/1Sec/T")
    assert found == {"Epoch": [T0] * 4, "P": [1, 2, 1, 2], "Nanoseconds": [5] * 4}


def test_failures_of_writes_stand_inside_the_answer_and_stop_no_others(client, ports, bars) -> None:
    good = dataset("B/1Min/X", {"Epoch": np.array([T0]), "P": np.array([1.0])})
    bad = dataset(BARS, {"Epoch": np.array([T0]), "Ask": np.array([1.0])})
    requests = [pb.WriteRequest(data=rows) for rows in (bad, good)]
    (failed,) = client.call("Write", pb.MultiWriteRequest(requests=requests)).responses
    assert failed.version == tsstore.__version__
    assert "unable to match data columns (" in failed.error
    assert client.query("B/1Min/X")["P"] == [1]


@pytest.mark.parametrize("suffix", ["", ":Symbol/Timeframe/AttributeGroup"])
@pytest.mark.parametrize("kind", ["FLOAT32", "float32", "f4", "<f4"])
@pytest.mark.parametrize("row_type", ["fixed", "variable"])
def test_buckets_are_created_in_every_spelling(client, store, suffix, kind, row_type) -> None:
    shapes = [pb.DataShape(name="Epoch", type="i8"), pb.DataShape(name="Open", type=kind)]
    request = pb.CreateRequest(key=BARS + suffix, data_shapes=shapes, row_type=row_type)
    (done,) = client.call("Create", pb.MultiCreateRequest(requests=[request])).responses
    assert (done.error, done.version) == ("", tsstore.__version__)
    schema = store.info(BARS).schema
    assert schema.dtypes == {"Open": np.dtype("f4")}
    assert schema.is_variable is (row_type == "variable")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"row_type": ""}, 'record type "" must be one of fixed or variable'),
        ({"row_type": "x"}, 'record type "x" must be one of fixed or variable'),
        ({"data_shapes": [pb.DataShape(name="P", type="S4")]}, "unexpected data type:S4"),
        ({"key": "AAPL"}, 'key "AAPL" is not in proper format'),
    ],
)
def test_what_cannot_be_created_is_an_answer_with_the_reason(client, store, change, text) -> None:
    whole = {"key": BARS, "data_shapes": [pb.DataShape(name="P", type="f8")], "row_type": "fixed"}
    requests = [pb.CreateRequest(**(whole | change)), pb.CreateRequest(**whole | {"key": "B/1D/X"})]
    failed, done = client.call("Create", pb.MultiCreateRequest(requests=requests)).responses
    assert failed.error.startswith(text)
    assert done.error == ""
    assert store.list() == ["B/1D/X"]


def test_destroying_answers_each_key(client, bars, store) -> None:
    suffixed = f"{BARS}:Symbol/Timeframe/AttributeGroup"
    requests = [pb.KeyRequest(key=key) for key in (suffixed, "NOPE/1D/X")]
    done, failed = client.call("Destroy", pb.MultiKeyRequest(requests=requests)).responses
    assert done.error == ""
    assert "removal of catalog entry failed: Unable to find level item: NOPE" in failed.error
    assert store.list() == ["MSFT/1Min/OHLCV"]


def test_lists_know_formats_timeframes_and_days(client, bars, ticks) -> None:
    def listed(**wanted):
        return list(client.call("ListSymbols", pb.ListSymbolsRequest(**wanted)).results)

    keys = pb.ListSymbolsRequest.TIME_BUCKET_KEY
    assert listed() == ["AAPL", "MSFT"]
    assert listed(format=keys) == [BARS, "AAPL/1Sec/TRADE", "MSFT/1Min/OHLCV"]
    assert listed(format=keys, timeframe="1Sec") == ["AAPL/1Sec/TRADE"]
    assert listed(timeframe="1Min", date="2013-10-08") == ["AAPL", "MSFT"]
    assert listed(date="2013-10-09") == []
    assert listed(date=str(T0)) == ["AAPL", "MSFT"]
    assert listed(format=7) == ["AAPL", "MSFT"]
    assert client.failure("ListSymbols", b'\x1a\x01"')[0] is grpc.StatusCode.UNKNOWN


def test_the_version_is_told(client) -> None:
    assert client.call("ServerVersion").version == tsstore.__version__


def test_a_method_that_is_none_is_unimplemented(client) -> None:
    assert client.failure("GetInfo", b"")[0] is grpc.StatusCode.UNIMPLEMENTED


def test_calls_are_counted_with_those_of_http(client, ports, bars) -> None:
    client.query(BARS)
    client.query_error("NOPE/1Min/OHLCV")
    metrics = httpx.get(f"{ports.url}/metrics").text
    counts = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    assert float(counts['tsstore_rpc_seconds_count{method="DataService.Query"}']) >= 2
    assert float(counts['tsstore_rpc_errors_total{method="DataService.Query"}']) >= 1


def test_it_is_found_on_the_heartbeat(ports) -> None:
    assert httpx.get(f"{ports.url}/heartbeat").json()["grpc"] == ports.grpc_target


def test_many_calls_at_once_are_answered(client, bars) -> None:
    call = client.channel.unary_unary("/proto.Marketstore/Query")
    body = pb.MultiQueryRequest(requests=[pb.QueryRequest(destination=BARS)]).SerializeToString()
    for answer in [call.future(body) for _ in range(300)]:
        data = pb.MultiQueryResponse.FromString(answer.result(20)).responses[0].result.data
        assert columns_of(data)["Open"] == list(range(10))


def test_of_too_many_calls_at_once_each_is_answered_or_told_why(client, bars) -> None:
    call = client.channel.unary_unary("/proto.Marketstore/Query")
    body = pb.MultiQueryRequest(requests=[pb.QueryRequest(destination=BARS)]).SerializeToString()
    calls = [call.future(body, timeout=60) for _ in range(3000)]
    refused = [one for one in calls if one.code() is not grpc.StatusCode.OK]
    assert {one.code() for one in refused} <= {grpc.StatusCode.RESOURCE_EXHAUSTED}
    assert all("limits.connections_max" in one.details() for one in refused)
    assert len(refused) < len(calls)


def test_a_bug_is_an_error_that_tells_nothing_and_the_log_more(
    client, store, monkeypatch, caplog
) -> None:
    def broken(*_: object) -> None:
        raise ZeroDivisionError("SECRET")

    monkeypatch.setattr(store, "list", broken)
    status, text = client.failure("ListSymbols", b"")
    monkeypatch.undo()
    assert status is grpc.StatusCode.UNKNOWN
    assert text == "internal error (ZeroDivisionError); the server's log has more"
    assert "SECRET" in caplog.text


def test_both_codecs_of_http_and_grpc_see_one_store(client, ports) -> None:
    client.write("A/1D/X", {"Epoch": np.array([0]), "P": np.array([1.5])})
    call = {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "DataService.Query",
        "params": {"requests": [{"destination": "A/1D/X"}]},
    }
    text = httpx.post(f"{ports.url}/rpc", json=call).json()
    assert text["result"]["Responses"][0]["Result"]["Length"] == 1
    headers = {"Content-Type": "application/x-msgpack"}
    body = httpx.post(f"{ports.url}/rpc", content=msgpack.packb(call), headers=headers).content
    data = msgpack.unpackb(body)["result"]["responses"][0]["result"]["data"]
    assert np.frombuffer(data[1]).tolist() == client.query("A/1D/X")["P"]
