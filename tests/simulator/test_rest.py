"""REST answers as the vendor gives them, to any client."""

from __future__ import annotations

import base64
import gzip
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from datetime import date
from typing import TYPE_CHECKING, Any

import httpx
import msgspec
import numpy as np
import pytest

from tsstore_massive_simulator.aggregates import window_starts
from tsstore_massive_simulator.calendar import day_start_ns, hours
from tsstore_massive_simulator.flatfiles import FlatFileMarket
from tsstore_massive_simulator.rows import Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.simulator.conftest import Running, Start
    from tsstore_massive_simulator.generated import GeneratedMarket

DAY = "2026-10-01"
START = hours(date(2026, 10, 5)).open_ns
MINUTES = f"/v2/aggs/ticker/AAPL/range/1/minute/{DAY}/{DAY}"
TRADES = "/v3/trades/AAPL"


@pytest.fixture
def running(start: Start) -> Running:
    """A generated market on the Monday after DAY, at the opening bell."""
    return start(start_ns=START)


def pages(running: Running, path: str, **params: Any) -> Iterator[dict[str, Any]]:
    body = running.get(path, **params).json()
    while True:
        yield body
        if "next_url" not in body:
            return
        assert body["next_url"].startswith(running.url)
        body = running.get(body["next_url"].removeprefix(running.url)).json()


def rows(running: Running, path: str, **params: Any) -> list[dict[str, Any]]:
    return [row for page in pages(running, path, **params) for row in page.get("results", [])]


# Who may ask


def test_a_key_is_needed(running: Running) -> None:
    reply = running.get(TRADES, key="")
    assert (reply.status_code, reply.json()["error"]) == (401, "API Key was not provided")


def test_a_wrong_key_is_refused(start: Start) -> None:
    reply = start(keys=["good"]).get(TRADES, key="bad")
    assert (reply.status_code, reply.json()["error"]) == (401, "Unknown API Key")
    assert reply.json()["status"] == "ERROR"


def test_the_key_may_be_a_parameter_and_is_never_told_on(start: Start) -> None:
    reply = start(keys=["good"], start_ns=START).get(TRADES, key="", apiKey="good", limit=1)
    cursor = reply.json()["next_url"].partition("cursor=")[2]
    assert b"good" not in base64.urlsafe_b64decode(cursor + "==")


def test_every_answer_has_a_request_id(running: Running) -> None:
    reply = running.get(TRADES, limit=1)
    assert len(reply.json()["request_id"]) == 32
    assert reply.headers["X-Request-Id"] == reply.json()["request_id"]


def test_a_path_that_leads_nowhere_is_plain_text(running: Running) -> None:
    reply = running.get("/v9/nothing")
    assert (reply.status_code, reply.text.strip()) == (404, "404 page not found")
    assert reply.headers["Content-Type"] == "text/plain"


def test_large_answers_are_compressed(running: Running) -> None:
    assert running.get(TRADES).headers["Content-Encoding"] == "gzip"


# Bars


def test_minute_bars_are_those_of_the_market(running: Running, market: GeneratedMarket) -> None:
    expected = market.rows(Kind.MINUTES, date(2026, 10, 1), ["AAPL"])
    found = rows(running, MINUTES)
    assert [row["t"] for row in found] == (expected["window_start"] // 10**6).tolist()
    assert [row["c"] for row in found] == expected["close"].tolist()
    assert [row["v"] for row in found] == expected["volume"].tolist()
    assert [row["n"] for row in found] == expected["transactions"].tolist()


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_pages_of_bars_join_to_the_whole(running: Running, order: str) -> None:
    whole = rows(running, MINUTES, sort=order)
    cut = list(pages(running, MINUTES, sort=order, limit=100))
    assert [row for page in cut for row in page["results"]] == whole
    assert len(cut) == -(-len(whole) // 100)


@pytest.mark.parametrize("order", ["asc", "desc"])
def test_no_window_is_cut_by_a_page(running: Running, order: str) -> None:
    path = f"/v2/aggs/ticker/AAPL/range/7/minute/{DAY}/2026-10-02"
    assert rows(running, path, sort=order, limit=100) == rows(running, path, sort=order)


def test_the_limit_counts_base_bars(running: Running) -> None:
    path = f"/v2/aggs/ticker/AAPL/range/1/hour/{DAY}/{DAY}"
    body = running.get(path, limit=120).json()
    assert body["queryCount"] <= 120
    assert body["resultsCount"] < 5


def test_a_limit_smaller_than_a_window_gives_nothing(running: Running) -> None:
    path = f"/v2/aggs/ticker/AAPL/range/1/day/{hours(date(2026, 10, 1)).open_ns // 10**6}/{DAY}"
    path = path.replace("/day/", "/hour/")
    body = running.get(path, limit=1).json()
    assert "results" not in body
    assert "next_url" not in body


def test_the_next_page_of_bars_is_a_later_start(running: Running) -> None:
    first = running.get(MINUTES, limit=10).json()
    start = first["next_url"].split("/")[-2]
    assert int(start) > first["results"][-1]["t"]


def test_an_unknown_ticker_has_no_results(running: Running) -> None:
    body = running.get(MINUTES.replace("AAPL", "NOSUCH")).json()
    assert "results" not in body
    assert (body["status"], body["resultsCount"], body["ticker"]) == ("OK", 0, "NOSUCH")


def test_tickers_are_case_sensitive(running: Running) -> None:
    assert "results" not in running.get(MINUTES.replace("AAPL", "aapl")).json()


def test_a_range_may_be_milliseconds(running: Running) -> None:
    first = hours(date(2026, 10, 1)).open_ns // 10**6
    path = f"/v2/aggs/ticker/AAPL/range/1/minute/{first}/{first + 59 * 60_000}"
    found = rows(running, path)
    assert [found[0]["t"], found[-1]["t"]] == [first, first + 59 * 60_000]


def test_bars_that_are_not_over_are_not_shown(start: Start) -> None:
    noon = hours(date(2026, 10, 1)).open_ns + 30 * 10**9
    last = rows(start(start_ns=noon), MINUTES)[-1]
    assert last["t"] + 60_000 <= noon // 10**6


def test_day_bars_begin_at_midnight_in_new_york(running: Running) -> None:
    path = "/v2/aggs/ticker/AAPL/range/1/day/2026-09-28/2026-10-02"
    starts = [row["t"] for row in rows(running, path)]
    assert starts == [
        day_start_ns(date.fromisoformat(d)) // 10**6
        for d in ("2026-09-28", "2026-09-29", "2026-09-30", "2026-10-01", "2026-10-02")
    ]


def test_the_day_that_is_not_over_has_no_day_bar(running: Running) -> None:
    assert rows(running, "/v2/aggs/ticker/AAPL/range/1/day/2026-10-05/2026-10-05") == []


def test_second_bars_can_be_asked_for(running: Running) -> None:
    found = rows(running, MINUTES.replace("minute", "second"), limit=50_000)
    assert all(row["t"] % 1000 == 0 for row in found)
    assert len(found) > 2000


@pytest.mark.parametrize(
    ("timespan", "multiplier", "start"),
    [
        ("minute", 5, "2024-07-03T14:35"),
        ("hour", 1, "2024-07-03T14:00"),
        ("day", 1, "2024-07-03T04:00"),
        ("week", 1, "2024-06-30T04:00"),
        ("month", 1, "2024-07-01T04:00"),
        ("quarter", 1, "2024-07-01T04:00"),
        ("year", 1, "2024-01-01T05:00"),
    ],
)
def test_windows_begin_on_the_clocks_of_new_york(
    timespan: str, multiplier: int, start: str
) -> None:
    ts = np.array(["2024-07-03T14:38"], "M8[ns]").astype(np.int64)
    expected = np.array([start], "M8[ns]").astype(np.int64)
    assert window_starts(ts, multiplier, timespan) == expected


@pytest.mark.parametrize(
    "path",
    [
        "/v2/aggs/ticker/AAPL/range/1/minute/soon/2026-10-01",
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-02-30/2026-10-01",
        "/v2/aggs/ticker/AAPL/range/1/fortnight/2026-10-01/2026-10-01",
        "/v2/aggs/ticker/AAPL/range/0/minute/2026-10-01/2026-10-01",
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-10-02/2026-10-01",
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-10-01/2026-10-01?limit=all",
        "/v2/aggs/ticker/AAPL/range/1/minute/2026-10-01/2026-10-01?sort=up",
        "/v3/trades/AAPL?timestamp=yesterday",
        "/v3/trades/AAPL?order=up",
        "/v3/trades/AAPL?timestamp=99999999999999999999",
        "/v2/aggs/grouped/locale/us/market/stocks/today",
    ],
)
def test_malformed_parameters_are_named(running: Running, path: str) -> None:
    reply = running.get(path)
    assert (reply.status_code, reply.json()["status"]) == (400, "ERROR")
    assert reply.json()["error"]


def test_all_tickers_of_a_day_are_stamped_with_the_close(running: Running) -> None:
    body = running.get(f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}").json()
    assert [row["T"] for row in body["results"]] == ["AAPL", "NVDA", "QQQ", "SPY", "TSLA"]
    assert {row["t"] for row in body["results"]} == {hours(date(2026, 10, 1)).close_ns // 10**6}


def test_a_test_ticker_may_stand_among_the_rest(start: Start) -> None:
    running = start(None, "test_tickers", start_ns=START)
    body = running.get(f"/v2/aggs/grouped/locale/us/market/stocks/{DAY}").json()
    last = body["results"][-1]
    assert (body["count"], last["T"], last["v"]) == (6, "ZTST", 0)
    assert not {"vw", "n"} & last.keys()


def test_a_holiday_has_no_results(running: Running) -> None:
    body = running.get("/v2/aggs/grouped/locale/us/market/stocks/2026-07-03").json()
    assert "results" not in body
    assert body["resultsCount"] == 0


def test_the_previous_close_is_of_the_last_day_that_is_over(running: Running) -> None:
    row = running.get("/v2/aggs/ticker/AAPL/prev").json()["results"][0]
    assert (row["T"], row["t"]) == ("AAPL", hours(date(2026, 10, 2)).close_ns // 10**6)


def test_open_and_close_are_flat(running: Running) -> None:
    body = running.get(f"/v1/open-close/AAPL/{DAY}").json()
    assert "results" not in body
    assert body["low"] <= body["open"] <= body["high"]
    assert (body["symbol"], body["from"], body["status"]) == ("AAPL", DAY, "OK")
    assert {"preMarket", "afterHours"} <= body.keys()


def test_open_and_close_of_an_unknown_ticker_are_not_found(running: Running) -> None:
    reply = running.get(f"/v1/open-close/NOSUCH/{DAY}")
    assert (reply.status_code, reply.json()["status"]) == (404, "NOT_FOUND")


# Trades and quotes


def test_the_newest_trades_come_first(running: Running) -> None:
    body = running.get(TRADES, timestamp=DAY).json()
    times = [row["sip_timestamp"] for row in body["results"]]
    assert len(times) == 1000
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("limit", [999, 5000, 50_000])
def test_pages_of_trades_join_to_the_day(
    running: Running, market: GeneratedMarket, limit: int
) -> None:
    expected = market.rows(Kind.TRADES, date(2026, 10, 1), ["AAPL"])
    found = rows(running, TRADES, timestamp=DAY, order="asc", limit=limit)
    assert [row["sip_timestamp"] for row in found] == expected["sip_timestamp"].tolist()
    assert [float(row["decimal_size"]) for row in found] == expected["size"].tolist()


def test_pages_go_backwards_too(running: Running) -> None:
    ascending = rows(running, TRADES, timestamp=DAY, order="asc", limit=50_000)
    assert rows(running, TRADES, timestamp=DAY, limit=3000) == ascending[::-1]


def test_a_last_page_that_is_full_has_no_next(running: Running) -> None:
    count = len(rows(running, TRADES, timestamp=DAY, limit=50_000))
    assert "next_url" not in running.get(TRADES, timestamp=DAY, limit=count).json()
    assert "next_url" in running.get(TRADES, timestamp=DAY, limit=count - 1).json()


def test_pages_reach_over_days(running: Running) -> None:
    between = {"timestamp.gte": DAY, "timestamp.lte": "2026-10-02"}
    found = rows(running, TRADES, **between, order="asc", limit=50_000)
    one = rows(running, TRADES, timestamp=DAY, order="asc", limit=50_000)
    two = rows(running, TRADES, timestamp="2026-10-02", order="asc", limit=50_000)
    assert found == one + two


@pytest.mark.parametrize(
    ("comparison", "expected"),
    [("gte", [3, 4]), ("gt", [4]), ("lte", [2, 3]), ("lt", [2]), ("", [3])],
)
def test_instants_can_be_compared_with(
    running: Running, comparison: str, expected: list[int]
) -> None:
    day = running.get(TRADES, timestamp=DAY, order="asc", limit=10).json()["results"]
    name = f"timestamp.{comparison}" if comparison else "timestamp"
    params = {"timestamp.gte": day[2]["sip_timestamp"], "timestamp.lte": day[4]["sip_timestamp"]}
    params[name] = day[3]["sip_timestamp"]
    found = running.get(TRADES, **params, order="asc").json()["results"]
    assert [day.index(row) for row in found] == expected


def test_nothing_of_the_future_is_told(running: Running) -> None:
    newest = running.get(TRADES, limit=1).json()["results"][0]
    assert newest["sip_timestamp"] <= START
    assert "results" not in running.get(TRADES, timestamp="2026-10-06").json()


def test_milliseconds_mean_january_1970(running: Running) -> None:
    params = {"timestamp.gte": START // 10**6, "order": "asc", "limit": 1}
    first = running.get(TRADES, **params).json()["results"][0]
    assert first["sip_timestamp"] < hours(date(2003, 9, 11)).first_ns


def test_rows_of_one_instant_are_neither_lost_nor_doubled(start: Start, flat_file: Any) -> None:
    header = "ticker,sip_timestamp,sequence_number,price,size\n"
    lines = [f"A,{START + number // 7},{number},1,1\n" for number in range(40)]
    folder = flat_file("trades_v1", "2026-10-05", header + "".join(lines))
    running = start(FlatFileMarket(folder))
    for order, expected in (("asc", list(range(40))), ("desc", list(range(40))[::-1])):
        found = rows(running, "/v3/trades/A", order=order, limit=3)
        assert [row["sequence_number"] for row in found] == expected


def test_quotes_give_conditions_as_a_list(running: Running) -> None:
    body = running.get("/v3/quotes/AAPL", timestamp=DAY, limit=5).json()
    assert all(row["conditions"] == [1] for row in body["results"])


def test_the_last_trade_and_quote_are_short(running: Running) -> None:
    trade = running.get("/v2/last/trade/AAPL").json()["results"]
    quote = running.get("/v2/last/nbbo/AAPL").json()["results"]
    assert trade["T"] == quote["T"] == "AAPL"
    assert trade["t"] <= START
    assert quote["p"] < quote["P"]


# Reference data


def test_tickers_come_in_pages(running: Running) -> None:
    found = list(pages(running, "/v3/reference/tickers", limit=2))
    assert [[row["ticker"] for row in page["results"]] for page in found] == [
        ["AAPL", "NVDA"],
        ["QQQ", "SPY"],
        ["TSLA"],
    ]
    assert [page["count"] for page in found] == [2, 2, 1]


@pytest.mark.parametrize(
    ("params", "expected"),
    [
        ({"ticker": "SPY"}, ["SPY"]),
        ({"ticker.gte": "SPY"}, ["SPY", "TSLA"]),
        ({"ticker.lt": "NVDA"}, ["AAPL"]),
        ({"order": "desc", "limit": 1}, ["TSLA", "SPY", "QQQ", "NVDA", "AAPL"]),
        ({"search": "sp"}, ["SPY"]),
        ({"type": "ETF"}, ["QQQ", "SPY"]),
        ({"market": "crypto"}, []),
        ({"active": "false"}, ["OLDC"]),
        ({"active": "false", "date": "2024-02-16"}, []),
        ({"date": "2024-02-16", "search": "old"}, ["OLDC"]),
        ({"date": "2010-01-04", "search": "qqq"}, ["QQQQ"]),
        ({"ticker.any_of": "SPY,NVDA,NOSUCH"}, ["NVDA", "SPY"]),
        ({"exchange": "XNYS"}, ["QQQ", "SPY"]),
        ({"sort": "type", "order": "desc", "limit": 2}, ["QQQ", "SPY", "AAPL", "NVDA", "TSLA"]),
    ],
)
def test_tickers_can_be_selected(
    running: Running, params: dict[str, Any], expected: list[str]
) -> None:
    found = rows(running, "/v3/reference/tickers", **params)
    assert [row["ticker"] for row in found] == expected


def test_an_unknown_ticker_has_no_details(running: Running) -> None:
    reply = running.get("/v3/reference/tickers/NOSUCH")
    assert (reply.status_code, reply.json()["message"]) == (404, "Ticker not found.")


def test_the_market_status_is_that_of_the_market_that_is_played(running: Running) -> None:
    body = running.get("/v1/marketstatus/now").json()
    assert (body["market"], body["serverTime"]) == ("extended-hours", "2026-10-05T09:29:59-04:00")


@pytest.mark.parametrize(("day", "state"), [(2, "open"), (3, "closed")])
def test_currencies_rest_on_saturdays(start: Start, day: int, state: str) -> None:
    noon = day_start_ns(date(2026, 10, day)) + 12 * 3600 * 10**9
    body = start(start_ns=noon).get("/v1/marketstatus/now").json()
    assert body["currencies"] == {"crypto": "open", "fx": state}


def test_holidays_are_a_bare_list(running: Running) -> None:
    body = running.get("/v1/marketstatus/upcoming").json()
    days = {(row["date"], row["status"]) for row in body}
    assert {("2026-11-26", "closed"), ("2026-11-27", "early-close")} <= days
    half = next(row for row in body if row["status"] == "early-close")
    assert half["close"] == "2026-11-27T18:00:00.000Z"


# Faults


@pytest.mark.parametrize(
    ("fault", "status", "text"),
    [
        ("too_many", 429, "exceeded the maximum requests per minute"),
        ("server_error", 502, "Bad Gateway"),
        ("no_route", 404, "404 page not found"),
        ("not_json", 200, "<html>"),
        ("forbidden", 403, "You are not entitled to this data."),
        ("forbidden=timeframe", 403, "doesn't include this data timeframe"),
        ("forbidden=today", 403, "today's data before end of day"),
        ("wrong_key", 401, "Unknown API Key"),
    ],
)
def test_the_vendor_s_ways_to_say_no(start: Start, fault: str, status: int, text: str) -> None:
    reply = start(None, fault).get(TRADES)
    assert reply.status_code == status
    assert text in reply.text


def test_a_forbidden_answer_says_so_in_its_status(start: Start) -> None:
    assert start(None, "forbidden").get(TRADES).json()["status"] == "NOT_AUTHORIZED"


def test_only_some_paths_may_be_forbidden(start: Start) -> None:
    running = start(None, "forbidden", "forbidden_paths=/v3/quotes", start_ns=START)
    assert running.get("/v3/quotes/AAPL").status_code == 403
    assert running.get(TRADES).status_code == 200


def test_a_rate_limit_is_per_key(start: Start) -> None:
    running = start(None, "rate=2", start_ns=START)
    path = "/v3/reference/tickers"
    assert [running.get(path).status_code for _ in range(3)] == [200, 200, 429]
    assert running.get(path, key="other").status_code == 200


def test_a_429_may_carry_retry_after_or_nothing(start: Start) -> None:
    running = start(None, "too_many", "retry_after=7", "empty_429")
    reply = running.get(TRADES)
    assert (reply.headers["Retry-After"], reply.content) == ("7", b"")
    assert "Retry-After" not in start(None, "too_many").get(TRADES).headers


def test_a_fault_that_happens_twice_is_over_then(start: Start) -> None:
    running = start(None, "server_error=2", start_ns=START)
    assert [running.get(TRADES).status_code for _ in range(3)] == [502, 502, 200]


def test_a_body_may_be_cut(start: Start) -> None:
    with pytest.raises(httpx.RemoteProtocolError):
        start(None, "truncate", start_ns=START).get(TRADES)


def test_the_kind_of_server_error_can_be_chosen(start: Start) -> None:
    assert start(None, "server_error", "server_status=503").get(TRADES).status_code == 503


def test_a_compressed_body_may_end_too_early(start: Start) -> None:
    running = start(None, "cut_gzip=1", start_ns=START)
    with running.get_raw(TRADES) as reply:
        raw = b"".join(reply.iter_raw())
    assert len(raw) == int(reply.headers["Content-Length"])
    with pytest.raises(EOFError):
        gzip.decompress(raw)
    assert running.get(TRADES).json()["results"]


def test_results_may_be_missing(start: Start) -> None:
    running = start(None, "no_results=1", start_ns=START)
    assert "results" not in running.get(TRADES).json()
    assert running.get(TRADES).json()["results"]


def test_a_day_may_have_a_limit(start: Start) -> None:
    running = start(None, "rate_day=2", start_ns=START)
    path = "/v3/reference/tickers"
    assert [running.get(path).status_code for _ in range(3)] == [200, 200, 429]


def test_a_request_may_be_dropped(start: Start) -> None:
    with pytest.raises(httpx.TransportError):
        start(None, "drop_request").get(TRADES)


def test_a_body_may_be_slow(start: Start) -> None:
    running = start(None, "slow_body=60", start_ns=START)
    with httpx.Client(trust_env=False) as client, pytest.raises(httpx.ReadTimeout):
        client.get(running.url + TRADES, params={"apiKey": "k"}, timeout=0.3)


def test_pages_may_be_small(start: Start) -> None:
    running = start(None, "page=10", start_ns=START)
    assert len(running.get(TRADES, limit=50_000).json()["results"]) == 10


def test_results_and_next_url_may_be_null(start: Start) -> None:
    running = start(None, "null_results", "null_next_url", start_ns=START)
    body = running.get(TRADES.replace("AAPL", "NOSUCH")).json()
    assert (body["results"], body["next_url"]) == (None, None)


# HTTP and the side door


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"nonsense\r\n\r\n",
        b"GET /v3/trades/AAPL SPDY/9\r\n\r\n",
        b"GET / HTTP/1.1\r\nContent-Length: minus\r\n\r\n",
        b"GET /" + b"a" * 100_000 + b" HTTP/1.1\r\n\r\n",
    ],
)
def test_what_is_not_http_is_refused(running: Running, request_bytes: bytes) -> None:
    host, port = running.host.split(":")
    with socket.create_connection((host, int(port)), timeout=10) as raw:
        raw.sendall(request_bytes)
        assert raw.recv(1000).startswith(b"HTTP/1.1 400 ")


def test_many_may_ask_at_once(running: Running) -> None:
    with ThreadPoolExecutor(16) as pool:
        counts = pool.map(lambda _: len(rows(running, MINUTES)), range(32))
        assert len(set(counts)) == 1


def test_faults_can_be_switched_while_it_runs(running: Running) -> None:
    running.post("/_simulator/faults", {"too_many": True})
    assert running.get(TRADES).status_code == 429
    running.post("/_simulator/faults", {"too_many": None})
    assert running.get(TRADES).status_code == 200


@pytest.mark.parametrize("body", [{"nonsense": 1}, {"rate": "often"}, [1]])
def test_a_wrong_switch_is_refused(running: Running, body: Any) -> None:
    reply = running.post("/_simulator/faults", body)
    assert reply.status_code == 400
    assert reply.json()["error"]


def test_the_state_counts_answers(running: Running) -> None:
    running.get(TRADES)
    running.get("/v9/nothing")
    state = json.loads(running.get("/_simulator/state").content)
    assert state["replies"] == {"200": 1, "404": 1}
    assert state["now_ns"] == START - 1


def test_time_can_be_let_run_without_a_subscription(start: Start) -> None:
    running = start(start_ns=START, speed=60)
    assert running.simulator.state()["now_ns"] == START
    running.post("/_simulator/begin", {})
    assert running.simulator.state()["now_ns"] > START


# Real data


def test_every_real_tick_of_a_day_is_served_in_pages(
    start: Start, real_market: FlatFileMarket
) -> None:
    running = start(real_market)
    for kind, expected in {"trades": 388_417, "quotes": 109_066}.items():
        found = 0
        for ticker in ("SPY", "AIG", "BAC", "IBM"):
            path: str | None = f"/v3/{kind}/{ticker}?timestamp=2013-10-07&order=asc&limit=50000"
            while path is not None:
                page = msgspec.json.decode(running.get(path).content, type=_Ticks)
                found += len(page.results)
                path = page.next_url and page.next_url.removeprefix(running.url)
        assert found == expected


class _Ticks(msgspec.Struct):
    results: list[msgspec.Raw] = []
    next_url: str | None = None


def test_real_trades_are_served_with_their_nanoseconds(
    start: Start, real_market: FlatFileMarket
) -> None:
    expected = real_market.rows(Kind.TRADES, date(2013, 10, 8), ["IBM"])
    running = start(real_market)
    found = rows(running, "/v3/trades/IBM", timestamp="2013-10-08", order="asc", limit=50_000)
    for name in ("price", "size", "sip_timestamp", "sequence_number", "exchange"):
        assert [row[name] for row in found] == expected[name].tolist()


def test_real_minute_bars_are_served_as_they_are(start: Start, real_market: FlatFileMarket) -> None:
    expected = real_market.rows(Kind.MINUTES, date(2013, 10, 8), ["SPY"])
    path = "/v2/aggs/ticker/SPY/range/1/minute/2013-10-08/2013-10-08"
    found = rows(start(real_market), path)
    assert len(found) == 828
    for key, name in {"o": "open", "h": "high", "l": "low", "c": "close", "v": "volume"}.items():
        assert [row[key] for row in found] == expected[name].tolist()
    assert "vw" not in found[0]


def test_two_years_of_real_day_bars_are_served(start: Start, real_market: FlatFileMarket) -> None:
    path = "/v2/aggs/ticker/IBM/range/1/day/2013-01-01/2014-12-31"
    assert len(rows(start(real_market), path)) == 504
