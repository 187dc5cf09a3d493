"""SQL and `asof` over RPC: by our client, and as MarketStore's clients ask for it."""

from __future__ import annotations

import threading
from contextlib import suppress
from time import sleep

import numpy as np
import pytest

import tsstore
from tsstore import Schema
from tsstore.client import connect
from tsstore.errors import BusyError, InvalidArgumentError, LimitExceededError, NotFoundError
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.sql import running

from .conftest import columns_of

T0 = 1_381_239_000
KEY = "AAPL/1Min/OHLCV"
ENDLESS = "SELECT max(sqrt(a.range * b.range)) FROM range(1000000) a, range(1000000) b"


@pytest.fixture
def filled(store):
    for index, symbol in enumerate(("AAPL", "MSFT")):
        close = 100.0 * index + np.arange(5)
        rows = {
            "Epoch": T0 + 60 * np.arange(5),
            "Open": close, "High": close, "Low": close, "Close": close,
            "Volume": np.arange(5, dtype="i4"),
        }  # fmt: skip
        store.write(f"{symbol}/1Min/OHLCV", rows)
    ticks = Schema.of({"Price": "f8"}, variable=True)
    times = (np.array([10, 20]) + T0 * 1_000_000_000).astype("M8[ns]")
    store.write("AAPL/1Sec/TRADE", {"Epoch": times, "Price": [1.0, 2.0]}, schema=ticks)
    quotes = {"Epoch": times - 5, "Price": [0.5, 1.5]}
    store.write("AAPL/1Sec/QUOTE", quotes, schema=ticks)
    return store


@pytest.mark.parametrize(
    "statement",
    [
        'SELECT * FROM "*/1Min/OHLCV"',
        'SELECT Symbol, avg(Close), sum(Volume), NULL AS n FROM "1Min/OHLCV" GROUP BY ALL',
        'SELECT * FROM "AAPL/1Sec/TRADE"',
        'SELECT * FROM "AAPL/5Min/OHLCV" WHERE false',
        "SHOW TABLES",
    ],
)
def test_the_client_gets_what_the_store_answers(filled, remote, statement) -> None:
    here, there = filled.sql(statement), remote.sql(statement)
    assert there.to_arrow().equals(here.to_arrow())
    assert there.variable == here.variable


def test_parameters_go_along(filled, remote) -> None:
    statement = 'SELECT Close FROM "*/1Min/OHLCV" WHERE Symbol = $s AND Epoch >= $t'
    since = np.datetime64("2013-10-08T13:33")
    found = remote.sql(statement, {"s": "MSFT", "t": since})
    assert found["Close"].tolist() == [103, 104]
    assert remote.sql("SELECT ? AS a, ? AS b", [1, None]).rows() == [(1, None)]


@pytest.mark.parametrize(
    ("statement", "kind", "text"),
    [
        ('SELECT * FROM "AAPL/1Min/OHLC"', NotFoundError, "did you mean AAPL/1Min/OHLCV"),
        ("SELEC 1", InvalidArgumentError, "LINE 1: SELEC 1"),
        ("COPY (SELECT 1) TO 'x'", InvalidArgumentError, "only reads"),
        ("SELECT * FROM read_text('/etc/hostname')", InvalidArgumentError, "disabled"),
        ("SELECT repeat('x', 3000000)", LimitExceededError, "1048576 bytes"),
    ],
)
def test_exceptions_are_the_same(filled, remote, statement, kind, text) -> None:
    with pytest.raises(kind, match=text):
        remote.sql(statement)


def test_a_client_may_ask_for_less_time(remote) -> None:
    with pytest.raises(LimitExceededError, match=r"longer than 0\.2 s"):
        remote.sql(ENDLESS, timeout_s=0.2)


def test_limits_are_settings(tmp_path) -> None:
    settings = ServerSettings(
        port=0, sql_time_s=0.3, sql_rows_max=3, sql_memory_bytes=64 << 20, sql_calls=1
    )
    with tsstore.open(tmp_path) as store:
        app = create_app(store, settings, hub=StreamHub(queue_bytes_max=1 << 20))
        with serve(app, settings) as server, connect(server.url) as remote:
            with pytest.raises(LimitExceededError, match="more than 3 rows"):
                remote.sql("SELECT * FROM range(4)")
            with pytest.raises(LimitExceededError, match=r"longer than 0\.3 s"):
                remote.sql(ENDLESS, timeout_s=60)
            assert remote.sql("SELECT current_setting('threads') AS n")["n"].tolist() == [1]


def test_a_function_that_duckdb_cannot_end_is_left_behind(tmp_path, monkeypatch) -> None:
    """Its caller is answered; until it is over, further statements are refused."""
    monkeypatch.setattr(running, "_GRACE_S", 0.1)
    settings = ServerSettings(port=0, sql_calls=1, sql_time_s=0.2)
    with tsstore.open(tmp_path) as store:
        store.write(KEY, {"Epoch": [T0], "Close": [1.0]})
        app = create_app(store, settings, hub=StreamHub(queue_bytes_max=1 << 20))
        with serve(app, settings) as server, connect(server.url) as remote:
            with pytest.raises(LimitExceededError, match=r"longer than 0\.2 s"):
                remote.sql("SELECT levenshtein(repeat('a', 35000), repeat('b', 35000))")
            with pytest.raises(BusyError, match=r"as many statements are at work as may be \(1\)"):
                remote.sql("SELECT 1")
            assert len(remote.read(KEY)) == 1
            is_over = False
            while not is_over:
                with suppress(BusyError):
                    is_over = len(remote.sql("SELECT 1")) == 1
                sleep(0.05)


def test_statements_keep_no_query_waiting(tmp_path) -> None:
    """More statements than threads of the server, and its other calls are answered meanwhile."""
    settings = ServerSettings(port=0, threads=2, sql_calls=1, sql_time_s=0.5)
    with tsstore.open(tmp_path) as store:
        store.write(KEY, {"Epoch": [T0], "Close": [1.0]})
        app = create_app(store, settings, hub=StreamHub(queue_bytes_max=1 << 20))
        with serve(app, settings) as server, connect(server.url) as remote:
            failures = []

            def endless() -> None:
                with pytest.raises(LimitExceededError) as raised:
                    remote.sql(ENDLESS)
                failures.append(raised.value)

            threads = [threading.Thread(target=endless) for _ in range(3)]
            for thread in threads:
                thread.start()
            reads = 0
            while not failures:
                assert len(remote.read(KEY)) == 1
                reads += 1
            assert reads > 10
            for thread in threads:
                thread.join()
            assert len(failures) == 3


def test_asof_is_matched_by_the_server(filled, remote) -> None:
    here = filled.asof("AAPL/1Sec/TRADE", "1Sec/QUOTE", age="Age")
    for right in ("1Sec/QUOTE", filled.read("AAPL/1Sec/QUOTE")):
        there = remote.asof("AAPL/1Sec/TRADE", right, age="Age", tz="America/New_York")
        assert there.names == here.names == ("Price", "Price_right", "Age")
        assert there.ts.tolist() == here.ts.tolist()
        assert there["Price_right"].tolist() == [0.5, 1.5]
        assert there.tz == "America/New_York"
    for left in ("*/1Sec/TRADE", ["AAPL/1Sec/TRADE"]):
        found = remote.asof(left, "*/1Sec/QUOTE")
        assert found["AAPL/1Sec/TRADE"]["Price_right"].tolist() == [0.5, 1.5]


def test_asof_fails_alike(filled, remote) -> None:
    with pytest.raises(NotFoundError, match="X/1Sec/QUOTE"):
        remote.asof("AAPL/1Sec/TRADE", "X/1Sec/QUOTE")
    with pytest.raises(InvalidArgumentError, match="direction 'up'"):
        remote.asof("AAPL/1Sec/TRADE", "AAPL/1Sec/QUOTE", direction="up")


def statement(rpc, text: str) -> dict:
    request = {"is_sqlstatement": True, "sql_statement": text}
    return rpc.result("Query", request)["responses"][0]["result"]


def test_marketstores_clients_get_a_dataset(filled, rpc) -> None:
    text = "SELECT Epoch, Close, Volume FROM `AAPL/1Min/OHLCV` WHERE Epoch > '2013-10-08-13:32';"
    result = statement(rpc, text)
    assert columns_of(result) == {
        "Epoch": [T0 + 180, T0 + 240], "Close": [3, 4], "Volume": [3, 4],
    }  # fmt: skip
    assert result["types"] == ["i8", "f8", "i4"]
    assert result["startindex"] == {f"{text}:SQL": 0}
    assert result["lengths"] == {f"{text}:SQL": 2}


def test_columns_are_exactly_those_selected(filled, rpc) -> None:
    text = "SELECT max(High) AS top, count(*) FROM `AAPL/1Min/OHLCV`"
    assert columns_of(statement(rpc, text)) == {"top": [4], "count_star()": [5]}


def test_ticks_keep_their_nanoseconds(filled, rpc) -> None:
    result = statement(rpc, "SELECT * FROM `AAPL/1Sec/TRADE`")
    assert result["names"] == ["Epoch", "Price", "Nanoseconds"]
    assert result["types"] == ["i8", "f8", "i4"]
    assert columns_of(result)["Nanoseconds"] == [10, 20]
    assert "Nanoseconds" not in statement(rpc, "SELECT Price FROM `AAPL/1Sec/TRADE`")["names"]
    assert "Nanoseconds" not in statement(rpc, "SELECT * FROM `AAPL/1Min/OHLCV`")["names"]


def test_what_datasets_do_not_have_becomes_what_they_have(rpc) -> None:
    result = statement(
        rpc,
        """
        SELECT * FROM (VALUES
          (1.5, NULL, 'x', DATE '1970-01-02', true, [1, 2], 1::HUGEINT, NULL, 1::TINYINT),
          (2.5, 7, NULL, NULL, NULL, NULL, 2::HUGEINT, NULL, 2::TINYINT)
        ) v(d, i, t, day, b, l, h, n, small)
        """,
    )
    found = columns_of(result)
    assert result["types"] == ["f8", "f8", "U1", "f8", "f8", "U6", "i8", "f8", "i1"]
    assert found["d"] == [1.5, 2.5]
    assert np.isnan(found["i"][0])
    assert found["i"][1] == 7
    assert found["t"] == ["x", ""]
    assert found["day"][0] == 86_400
    assert np.isnan(found["day"][1])
    assert found["b"][0] == 1
    assert found["l"] == ["[1, 2]", ""]
    assert found["h"] == [1, 2]
    assert np.isnan(found["n"]).all()
    assert found["small"] == [1, 2]


def test_several_statements_and_queries_go_in_one_call(filled, rpc) -> None:
    result = rpc.result(
        "Query",
        {"is_sqlstatement": True, "sql_statement": "SELECT 1 AS one"},
        {"destination": KEY, "limit_record_count": 1},
    )
    first, second = (response["result"] for response in result["responses"])
    assert columns_of(first) == {"one": [1]}
    assert columns_of(second)["Close"] == [4]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("SELECT * FROM `NOPE/1Min/OHLCV`;", "no bucket"),
        ("SELEC 1", "syntax error"),
        ("INSERT INTO `AAPL/1Min/OHLCV` SELECT * FROM `MSFT/1Min/OHLCV`;", "only reads"),
        ("", "empty"),
    ],
)
def test_failures_are_errors_of_the_call(filled, rpc, text, told) -> None:
    request = {"is_sqlstatement": True, "sql_statement": text}
    assert told in rpc.error("Query", request)
