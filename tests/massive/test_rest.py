from __future__ import annotations

import gzip
import json
import logging
import threading
import time
from datetime import UTC, datetime
from email.utils import format_datetime

import numpy as np
import pytest

from tests.massive.http_server import (
    KEY,
    Reply,
    Server,
    bar,
    empty,
    page,
    scripted,
    times,
    trade,
    zipped,
)
from tsstore.clock import ManualClock, SystemClock
from tsstore.plugin import FatalPluginError
from tsstore.timeframe import Timeframe
from tsstore_massive.errors import (
    ApiKeyError,
    BadResponseError,
    NoSuchPathError,
    NoSuchTickerError,
    NotEntitledError,
    RequestRefusedError,
    StoppedError,
    UnavailableError,
    UnreachableError,
)
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive.rest.replies import retry_after

NOON = 1_717_516_800_000_000_000  # 2024-06-04 16:00 UTC
MINUTE = Timeframe(1, "Min")


def client(url: str, *, clock=None, stop=None, **limits) -> RestClient:
    clock = clock or ManualClock(NOON)
    return RestClient(
        url,
        KEY,
        clock=clock,
        limiter=RateLimiter(100_000, 60.0, clock),
        stop=stop or threading.Event(),
        limits=Limits(**limits),
    )


def fetch(server: Server, **options) -> list[int]:
    with client(server.url, **options) as rest:
        return [ns for rows in rest.trades("AAPL", NOON, NOON + 10**9) for ns in times(rows)]


def test_trades_are_asked_for_in_order_of_time_in_nanoseconds():
    with scripted(empty()) as server:
        fetch(server, page_rows=7)
    [request] = server.requests
    assert request.path == "/v3/trades/AAPL"
    assert request.query == {
        "timestamp.gte": str(NOON),
        "timestamp.lte": str(NOON + 10**9),
        "order": "asc",
        "sort": "timestamp",
        "limit": "7",
    }


def test_quotes_have_their_own_path():
    with scripted(empty()) as server, client(server.url) as rest:
        assert list(rest.quotes("BRK.B", 0, 1)) == []
    assert server.requests[0].path == "/v3/quotes/BRK.B"


def test_bars_are_asked_for_by_start_in_milliseconds_unadjusted_when_told():
    with scripted(page([bar(NOON)])) as server, client(server.url) as rest:
        [rows] = rest.bars("AAPL", Timeframe(5, "Min"), NOON, NOON + 10**9, adjusted=False)
    [request] = server.requests
    ms = NOON // 10**6
    assert request.path == f"/v2/aggs/ticker/AAPL/range/5/minute/{ms}/{ms + 1000}"
    assert request.query == {"adjusted": "false", "sort": "asc", "limit": "50000"}
    assert times(rows) == [NOON]
    assert rows["TradeCount"].tolist() == [3.0]


def test_a_slash_in_a_symbol_does_not_leave_its_part_of_the_path():
    with scripted(empty()) as server, client(server.url) as rest:
        list(rest.trades("../v1/x", 0, 1))
    assert server.requests[0].path == "/v3/trades/..%2Fv1%2Fx"


def test_pages_are_followed_to_the_end():
    with scripted(
        page([trade(NOON, 1)], "http://127.0.0.1/v3/trades/AAPL?cursor=a"),
        page([trade(NOON + 1, 2)], "http://127.0.0.1/v3/trades/AAPL?cursor=b"),
        page([trade(NOON + 2, 3)]),
    ) as server:
        assert fetch(server) == [NOON, NOON + 1, NOON + 2]
    assert [r.target for r in server.requests[1:]] == [
        "/v3/trades/AAPL?cursor=a",
        "/v3/trades/AAPL?cursor=b",
    ]


def test_an_empty_page_in_between_does_not_end_the_list():
    with scripted(page([], "http://x/v3/trades/AAPL?cursor=a"), page([trade(NOON, 1)])) as server:
        assert fetch(server) == [NOON]


def test_a_missing_list_of_results_is_an_empty_one():
    with scripted(empty()) as server:
        assert fetch(server) == []


def test_a_zipped_answer_is_unzipped():
    with scripted(zipped(page([trade(NOON, 1)]))) as server:
        assert fetch(server) == [NOON]
    assert server.requests[0].headers["Accept-Encoding"] == "gzip"


def test_a_prefix_of_the_address_is_kept_on_every_page():
    with scripted(
        page([trade(NOON, 1)], "http://x/mirror/v3/trades/AAPL?cursor=a"), page([trade(NOON, 2)])
    ) as server:
        with client(server.url + "/mirror") as rest:
            list(rest.trades("AAPL", 0, 1))
        assert [r.path for r in server.requests] == ["/mirror/v3/trades/AAPL"] * 2


def test_tickers_of_all_pages_are_listed_as_they_are_spelled():
    with (
        scripted(
            page([{"ticker": "BCpC"}, {"ticker": "A"}], "http://x/v3/reference/tickers?cursor=a"),
            page([{"ticker": "VST.WS.A", "name": None}]),
        ) as server,
        client(server.url) as rest,
    ):
        assert list(rest.tickers()) == ["BCpC", "A", "VST.WS.A"]


# The key


def test_the_key_is_in_the_header_and_nowhere_else():
    with scripted(page([trade(NOON, 1)], "http://x/v3/trades/AAPL?cursor=a"), empty()) as server:
        fetch(server)
    for request in server.requests:
        assert request.headers["Authorization"] == f"Bearer {KEY}"
        assert KEY not in request.target


def test_a_next_page_on_another_host_is_asked_from_ours():
    with (
        scripted(page([trade(NOON, 2)])) as foreign,
        scripted(
            page([trade(NOON, 1)], f"{foreign.url}/v3/trades/AAPL?cursor=a"), page([trade(NOON, 2)])
        ) as server,
    ):
        assert fetch(server) == [NOON, NOON]
    assert foreign.requests == []


def test_a_next_page_whose_path_is_an_address_is_asked_from_ours():
    with scripted(empty()) as foreign:
        next_url = f"x:{foreign.url}/v3/trades/AAPL?cursor=a"
        with scripted(page([trade(NOON, 1)], next_url), empty()) as server:
            assert fetch(server) == [NOON]
            assert len(server.requests) == 2
        assert foreign.requests == []


def test_a_next_page_that_is_no_address_is_a_bad_answer():
    with (
        scripted(page([trade(NOON, 1)], "http://[")) as server,
        pytest.raises(BadResponseError, match="no address"),
    ):
        fetch(server)


@pytest.mark.parametrize("next_url", ["//evil.invalid/x?c=1", "https:////evil.invalid/x", "x:y"])
def test_an_odd_next_page_stays_on_our_host(next_url):
    with scripted(page([trade(NOON, 1)], next_url), empty()) as server:
        assert fetch(server) == [NOON]
        assert len(server.requests) == 2


def test_a_redirect_is_not_followed():
    with (
        scripted(empty()) as foreign,
        scripted(
            Reply(status=302, headers={"Location": foreign.url + "/v3/trades/AAPL"})
        ) as server,
        pytest.raises(BadResponseError, match="redirects"),
    ):
        fetch(server)
    assert foreign.requests == []


def test_the_key_is_shown_by_no_error_log_or_repr(caplog):
    caplog.set_level(logging.DEBUG)
    texts = []
    repeated = json.dumps({"status": "ERROR", "error": f"Unknown API Key: {KEY}"}).encode()
    replies = [Reply(status=status) for status in (401, 403, 500)]
    replies += [Reply(repeated, status) for status in (200, 400, 401, 403, 404)]
    for reply in (*replies, Reply(f"no key {KEY}".encode(), 403), Reply(reset=True)):
        with scripted(reply) as server, client(server.url, attempts=2) as rest:
            texts.append(repr(rest))
            with pytest.raises(Exception) as caught:
                list(rest.trades("AAPL", 0, 1))
            texts.append(f"{caught.value!r} {caught.value}")
    assert KEY not in caplog.text + "".join(texts)


# Refusals


def test_a_wrong_key_is_told_and_not_tried_again():
    body = b'{"status":"ERROR","request_id":"x","error":"Unknown API Key"}'
    with (
        scripted(Reply(body, 401)) as server,
        pytest.raises(ApiKeyError, match=r"Unknown API Key.*MASSIVE_API_KEY"),
    ):
        fetch(server)
    assert len(server.requests) == 1


def test_a_wrong_key_keeps_the_worker_down():
    assert issubclass(ApiKeyError, FatalPluginError)


def test_a_plan_without_the_data_is_told_in_the_words_of_the_vendor():
    body = b'{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}'
    with (
        scripted(Reply(body, 403)) as server,
        pytest.raises(NotEntitledError, match="/v3/trades/AAPL: You are not entitled to this data"),
    ):
        fetch(server)
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "text",
    [
        "You are not entitled to this data. Please upgrade your plan at https://massive.com/pricing",
        "Your plan doesn't include this data timeframe. Please upgrade your plan at https://x/y",
        "Attempted to request today's data before end of day. Please upgrade your plan at https://x",
    ],
)
def test_each_way_to_say_that_the_plan_lacks_it_is_handed_on(text):
    body = json.dumps({"status": "NOT_AUTHORIZED", "request_id": "1", "message": text}).encode()
    with scripted(Reply(body, 403)) as server, pytest.raises(NotEntitledError) as caught:
        fetch(server)
    assert str(caught.value) == f"/v3/trades/AAPL: {text}"
    assert len(server.requests) == 1


@pytest.mark.parametrize(
    "body", [b"<html>blocked</html>", b"", b"{}", b"[]"], ids=["html", "empty", "object", "list"]
)
def test_a_firewall_that_refuses_says_nothing_about_the_plan(body):
    with scripted(Reply(body, 403), page([trade(NOON, 1)])) as server:
        assert fetch(server) == [NOON]
    with (
        scripted(Reply(body, 403)) as server,
        pytest.raises(UnavailableError, match=r"on the way refuses \(403\).*2 tries"),
    ):
        fetch(server, attempts=2)


@pytest.mark.parametrize(
    ("reply", "kind", "text"),
    [
        (Reply(b'{"status":"ERROR","error":"bad date"}', 400), RequestRefusedError, "400: bad"),
        (
            Reply(b'{"status":"NOT_FOUND","message":"Ticker not found."}', 404),
            NoSuchTickerError,
            "404: Ticker not found",
        ),
        (
            Reply(b"404 page not found", 404, {"Content-Type": "text/plain"}),
            NoSuchPathError,
            "404: 404 page not found; check base_url",
        ),
    ],
)
def test_a_refused_request_is_not_tried_again(reply, kind, text):
    with scripted(reply) as server, pytest.raises(kind, match=text) as caught:
        fetch(server)
    assert type(caught.value) is kind
    assert len(server.requests) == 1


def test_a_key_that_is_missing_is_told_like_a_wrong_one():
    body = b'{"status":"ERROR","request_id":"x","error":"API Key was not provided"}'
    with scripted(Reply(body, 401)) as server, pytest.raises(ApiKeyError, match="not provided"):
        fetch(server)


# Too many requests


_TOO_MANY = b'{"status":"ERROR","error":"You\'ve exceeded the maximum requests per minute"}'


@pytest.mark.parametrize("body", [b"", _TOO_MANY], ids=["empty", "text"])
def test_429_waits_for_the_next_minute(body):
    clock = ManualClock(NOON + 20 * 10**9)
    with scripted(Reply(body, 429), page([trade(NOON, 1)])) as server:
        assert fetch(server, clock=clock) == [NOON]
    assert clock.now_ns() == NOON + 60 * 10**9


@pytest.mark.parametrize(
    "value", ["7", format_datetime(datetime.fromtimestamp(NOON // 10**9 + 7, UTC), usegmt=True)]
)
def test_429_waits_as_long_as_the_vendor_asks(value):
    clock = ManualClock(NOON)
    with scripted(
        Reply(status=429, headers={"Retry-After": value}), page([trade(NOON, 1)])
    ) as server:
        assert fetch(server, clock=clock) == [NOON]
    assert clock.now_ns() == pytest.approx(NOON + 7 * 10**9, abs=10**6)


def test_429_that_asks_for_no_wait_is_no_storm():
    clock = ManualClock(NOON)
    refusal = Reply(status=429, headers={"Retry-After": "0"})
    with scripted(*[refusal] * 3, page([trade(NOON, 1)])) as server:
        assert fetch(server, clock=clock) == [NOON]
    assert clock.now_ns() >= NOON + 3 * 10**9


def test_429_for_one_class_of_assets_holds_back_no_other():
    clock = ManualClock(NOON)

    def answer(request):
        return Reply(status=429) if "I:" in request.path else page([trade(NOON, 1)])

    with scripted(answer) as server, client(server.url, clock=clock, throttled_attempts=2) as rest:
        with pytest.raises(UnavailableError, match="too many requests"):
            list(rest.trades("I:SPX", 0, 1))
        began = clock.now_ns()
        for symbol in ("AAPL", "O:SPY251219C00650000", "X:BTC-USD"):
            list(rest.trades(symbol, 0, 1))
        assert clock.now_ns() == began
        assert rest.quota["minute"] == 5


def test_429_without_end_is_an_error_that_says_so():
    with (
        scripted(Reply(status=429)) as server,
        pytest.raises(UnavailableError, match=r"too many requests.*4 tries"),
    ):
        fetch(server, throttled_attempts=4)


# Failures that pass


@pytest.mark.parametrize(
    "reply",
    [
        Reply(b"<html>bad gateway</html>", 502),
        Reply(b"http2: server sent GOAWAY and closed the connection", 500),
        Reply(status=500),
        Reply(status=503, headers={"Retry-After": "1"}),
        Reply(status=504),
        Reply(status=408),
        Reply(reset=True),
        Reply(b"<html>all is well</html>", 200),
        Reply(b"", 200),
        Reply(b"{}", 200),
        Reply(b'{"status":"ERROR","error":"try later"}', 200),
        Reply(b'{"status":"OK","results":[{"sip_', 200),
        Reply(page([trade(NOON, 1)]).body, claim=1000),
        Reply(
            gzip.compress(page([trade(NOON, 1)]).body, mtime=0)[:-9],
            200,
            {"Content-Encoding": "gzip"},
        ),
        Reply(b"not zipped", 200, {"Content-Encoding": "gzip"}),
        Reply(b"?", 200, {"Content-Encoding": "br"}),
        Reply(b'{"status":"OK","results":[{"price":1}]}', 200),
    ],
    ids=lambda reply: f"{reply.status}-{reply.body[:12]!r}",
)
def test_a_failed_try_is_repeated_and_never_taken_for_an_empty_answer(reply):
    with scripted(reply, page([trade(NOON, 1)])) as server:
        assert fetch(server) == [NOON]
    assert len(server.requests) == 2


def test_a_service_that_keeps_failing_is_reported_with_the_last_reason():
    with (
        scripted(Reply(status=503)) as server,
        pytest.raises(
            UnavailableError,
            match=r"127.0.0.1:\d+/v3/trades/AAPL: the service fails \(503\).*3 tries",
        ),
    ):
        fetch(server, attempts=3)
    assert len(server.requests) == 3


def test_pauses_between_tries_grow_up_to_a_bound():
    clock = ManualClock(NOON)
    with scripted(Reply(status=500)) as server, pytest.raises(UnavailableError):
        fetch(server, clock=clock, attempts=8, backoff_s=1.0, backoff_max_s=4.0)
    waited = (clock.now_ns() - NOON) / 1e9
    assert (1 + 2 + 4 * 5) / 2 <= waited <= 1 + 2 + 4 * 5


def test_patience_begins_with_the_first_answer():
    once = Reply(page([trade(NOON, 1)]).body, 200, {"Connection": "close"})
    with scripted(once) as server:
        rest = client(server.url, attempts=4, first_attempts=2)
        list(rest.trades("AAPL", NOON, NOON))
    with rest, pytest.raises(UnavailableError, match="4 tries"):
        list(rest.trades("AAPL", NOON, NOON))
    with (
        client(server.url, attempts=4, first_attempts=2) as rest,
        pytest.raises(UnreachableError, match=r"127.0.0.1:\d+ cannot be reached: .*; check"),
    ):
        list(rest.trades("AAPL", NOON, NOON))


def test_nobody_listening_is_an_error_after_the_tries():
    with scripted(empty()) as server:
        url = server.url
    with client(url, attempts=2) as rest, pytest.raises(UnavailableError, match="2 tries"):
        list(rest.trades("AAPL", 0, 1))


# Hostile answers


def test_pages_that_lead_in_a_circle_are_noticed():
    with (
        scripted(
            page([trade(NOON, 1)], "http://x/v3/trades/AAPL?cursor=a"),
            page([trade(NOON, 1)], "http://x/v3/trades/AAPL?cursor=a"),
        ) as server,
        pytest.raises(BadResponseError, match="circle after 2 pages"),
    ):
        fetch(server)


def test_pages_without_end_are_noticed():
    count = iter(range(1000))

    def endless(_):
        return page([trade(NOON, 1)], f"http://x/v3/trades/AAPL?cursor={next(count)}")

    with scripted(endless) as server, pytest.raises(BadResponseError, match="end after 20 pages"):
        fetch(server, pages=20)


def test_a_page_that_goes_back_in_time_is_noticed():
    with (
        scripted(
            page([trade(NOON + 5, 2)], "http://x/v3/trades/AAPL?cursor=a"), page([trade(NOON, 1)])
        ) as server,
        pytest.raises(BadResponseError, match="back in time"),
    ):
        fetch(server)


@pytest.mark.parametrize("pack", [lambda reply: reply, zipped], ids=["plain", "zipped"])
def test_an_answer_beyond_the_size_limit_is_refused(pack):
    huge = pack(Reply(b'{"results":[' + b" " * 5_000_000))
    with scripted(huge) as server, pytest.raises(BadResponseError, match="larger than 1000000"):
        fetch(server, body_bytes=1_000_000)


def test_a_trickling_answer_meets_the_time_limit():
    hold = threading.Event()
    slow = Reply(b" " * 100_000, hold=hold)
    with scripted(slow) as server:
        started = time.monotonic()
        with pytest.raises(UnavailableError, match=r"took more than 0.2 s"):
            fetch(server, clock=SystemClock(), total_s=0.2, attempts=1)
        assert time.monotonic() - started < 5
        hold.set()


def test_an_answer_that_does_not_begin_meets_the_idle_limit():
    hold = threading.Event()

    def silent(_):
        hold.wait(10)
        return Reply(reset=True)

    with scripted(silent) as server:
        with pytest.raises(UnavailableError):
            fetch(server, idle_s=0.1, attempts=1)
        hold.set()


def test_a_row_that_cannot_be_used_is_counted_and_costs_no_other(caplog):
    reply = page([trade(NOON, 1), {"price": "x"}, trade(NOON + 1, 2)])
    with scripted(reply) as server, client(server.url) as rest:
        rows = next(rest.trades("AAPL", 0, 1))
        assert times(rows) == [NOON, NOON + 1]
        assert sum(rest.faults.values()) > 0
    assert "/v3/trades/AAPL" in caplog.text


# Stopping


def test_a_wait_ends_when_told_to_stop():
    stop = threading.Event()

    def fail(_):
        stop.set()
        return Reply(status=500)

    with scripted(fail) as server, pytest.raises(StoppedError):
        fetch(server, clock=SystemClock(), stop=stop, backoff_s=60.0)


def test_nothing_is_asked_once_told_to_stop():
    stop = threading.Event()
    stop.set()
    with scripted(empty()) as server, pytest.raises(StoppedError):
        fetch(server, stop=stop)
    assert server.requests == []


def test_many_threads_share_one_client():
    with scripted(lambda r: page([trade(NOON + int(r.query["timestamp.gte"]), 1)])) as server:
        found: dict[int, list[int]] = {}
        with client(server.url) as rest:

            def work(n: int) -> None:
                found[n] = [ns for rows in rest.trades("A", n, n) for ns in times(rows)]

            threads = [threading.Thread(target=work, args=(n,)) for n in range(16)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
    assert found == {n: [NOON + n] for n in range(16)}


def test_columns_are_those_of_the_bucket():
    reply = page([trade(NOON + 7, 5, 297.845, decimal_size="0.0073", size=0, conditions=[12, 37])])
    with scripted(reply) as server, client(server.url) as rest:
        rows = next(rest.trades("AAPL", 0, 1))
    assert rows.variable
    assert rows["Size"].tolist() == [0.0073]
    assert [rows[f"Cond{n}"][0] for n in (1, 2, 3)] == [12, 37, 0]
    assert rows["Price"].dtype == np.dtype("f8")


def test_a_retry_after_that_is_no_number_is_none():
    assert retry_after("\u00b2", 0) is None


def test_what_is_asked_and_answered_is_counted():
    answer = page([trade(NOON, 1)])
    with (
        scripted(Reply(status=500), Reply(status=429), answer) as server,
        client(server.url) as rest,
    ):
        list(rest.trades("AAPL", 0, 1))
    assert rest.traffic.counts == (3, len(answer.body), 1, 1)
    assert rest.account
    assert KEY not in rest.account
