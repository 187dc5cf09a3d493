"""Statements over gRPC: answered as over /rpc, by threads of their own."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import httpx
import numpy as np
import pytest

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import Client, rpc

ENDLESS = "SELECT max(sqrt(a.range * b.range)) FROM range(1000000) a, range(1000000) b"


def query(statement):
    request = pb.QueryRequest(is_sql_statement=True, sql_statement=statement)
    return pb.MultiQueryRequest(requests=[request])


@pytest.fixture(autouse=True)
def bars(store):
    rows = {"Epoch": 60 * np.arange(5), "Close": np.arange(5.0), "Volume": np.arange(5, dtype="i4")}
    store.write("AAPL/1Min/OHLCV", rows)


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM `AAPL/1Min/OHLCV`;",
        "SELECT avg(Close), 'text' AS t FROM `AAPL/1Min/OHLCV` GROUP BY ALL",
        "SELECT * FROM `AAPL/1Min/OHLCV` WHERE false",
    ],
)
def test_a_statement_is_answered_as_over_http(client, ports, statement) -> None:
    request = {"is_sqlstatement": True, "sql_statement": statement}
    expected = rpc(ports.url, "Query", {"requests": [request]})["result"]["responses"][0]["result"]
    found = client.call("Query", query(statement)).responses[0].result
    assert list(found.data.column_data) == expected["data"]
    assert list(found.data.column_names) == expected["names"]
    assert list(found.data.column_types) == expected["types"]
    assert dict(found.lengths) == expected["lengths"]


@pytest.mark.parametrize("statement", ["", "SELEKT", "SELECT * FROM `NOPE/1Min/X`", "DROP TABLE x"])
def test_a_statement_fails_with_the_text_of_http(client, ports, statement) -> None:
    request = {"is_sqlstatement": True, "sql_statement": statement}
    expected = rpc(ports.url, "Query", {"requests": [request]})["error"]["message"]
    assert client.failure("Query", query(statement).SerializeToString())[1] == expected


def test_statements_that_take_long_keep_no_query_waiting(tmp_path) -> None:
    settings = ServerSettings(port=0, grpc_port=0, threads=1, sql_calls=1, sql_time_s=1)
    with tsstore.open(tmp_path) as store, Ports(store, settings, hub=StreamHub()) as ports:
        store.write("A/1Min/X", {"Epoch": [60], "P": [1.0]})
        client = Client(ports.grpc_target)
        with client.channel:
            call = client.channel.unary_unary("/proto.Marketstore/Query")
            endless = [call.future(query(ENDLESS).SerializeToString()) for _ in range(2)]
            assert client.query("A/1Min/X")["P"] == [1]
            assert not any(one.done() for one in endless)
            for one in endless:
                assert "took longer than 1 s" in one.details()


def test_at_a_stop_nothing_is_said_of_writes_to_who_only_asked(tmp_path) -> None:
    settings = ServerSettings(port=0, grpc_port=0, sql_time_s=4)
    asked = {"requests": [{"is_sqlstatement": True, "sql_statement": ENDLESS}]}
    with tsstore.open(tmp_path) as store, ThreadPoolExecutor(1) as pool:
        ports = Ports(store, settings, hub=StreamHub())
        client = Client(ports.grpc_target)
        body = {"jsonrpc": "2.0", "id": 1, "method": "DataService.Query", "params": asked}
        over_http = pool.submit(httpx.post, f"{ports.url}/rpc", json=body)
        with client.channel:
            call = client.channel.unary_unary("/proto.Marketstore/Query")
            over_grpc = call.future(query(ENDLESS).SerializeToString())
            assert client.call("ServerVersion").version  # so the server has taken both
            assert httpx.get(f"{ports.url}/heartbeat").status_code == 200
            ports.stop()
            assert over_grpc.details() == "the server stops"
        assert over_http.result().text == "rpc: the server stops"
