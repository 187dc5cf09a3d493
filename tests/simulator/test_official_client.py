"""The vendor's own client cannot tell the simulator from the vendor."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
import urllib3
from massive.exceptions import AuthError, BadResponse
from websockets.exceptions import ConnectionClosedError

from massive import RESTClient, WebSocketClient
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.rows import Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator.conftest import Running, Start
    from tsstore_massive_simulator.generated import GeneratedMarket

DAY = "2026-10-01"
START = hours(date(2026, 10, 5)).open_ns


def stream(
    running: Running, *topics: str, enough: int, key: str = "k", max_reconnects: int = 0
) -> list[Any]:
    """Events as the client's models, until there are enough or the client gives up."""
    client = WebSocketClient(
        key,
        feed=running.host,
        secure=False,
        subscriptions=list(topics),
        max_reconnects=max_reconnects,
    )
    events: list[Any] = []

    async def collect() -> None:
        done = asyncio.Event()

        async def take(messages: list[Any]) -> None:
            events.extend(messages)
            if len(events) >= enough:
                done.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(client.connect(take, proxy=None))
        finished = asyncio.create_task(done.wait())
        await asyncio.wait({task, finished}, return_when=asyncio.FIRST_COMPLETED)
        finished.cancel()
        if done.is_set():
            task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            pass
        finally:
            if client.websocket is not None:
                await client.websocket.close()

    asyncio.run(collect())
    return events


@pytest.fixture
def rest() -> Iterator[Callable[..., RESTClient]]:
    opened: list[RESTClient] = []

    def make(running: Running, **options: Any) -> RESTClient:
        opened.append(RESTClient("k", base=running.url, **options))
        return opened[-1]

    yield make
    for client in opened:
        client.client.clear()


@pytest.fixture
def running(start: Start) -> Running:
    return start(start_ns=START)


# WebSocket


def test_all_channels_become_models_of_the_client(start: Start) -> None:
    events = stream(start(), "T.*", "Q.*", "A.*", "AM.*", enough=20_000)
    assert {event.event_type for event in events} == {"T", "Q", "A", "AM"}


def test_trades_arrive_whole(start: Start, market: GeneratedMarket) -> None:
    expected = market.rows(Kind.TRADES, date(2026, 10, 1), ["AAPL"])
    running = start(start_ns=hours(date(2026, 10, 1)).first_ns)
    events = stream(running, "T.AAPL", enough=len(expected))[: len(expected)]
    assert [event.price for event in events] == expected["price"].tolist()
    assert [float(event.fractional_shares) for event in events] == expected["size"].tolist()
    assert [event.sequence_number for event in events] == expected["sequence_number"].tolist()


def test_bars_arrive_whole(start: Start) -> None:
    (bar, *_) = stream(start(), "AM.SPY", enough=1)
    assert bar.end_timestamp == bar.start_timestamp + 60_000
    assert bar.low <= bar.open <= bar.high
    assert float(bar.fractional_volume) > 0


def test_a_wrong_key_is_an_auth_error(start: Start) -> None:
    with pytest.raises(AuthError, match="authentication failed"):
        stream(start(keys=["good"]), "T.*", enough=1, key="bad")


def test_a_clean_close_ends_the_client_silently(start: Start) -> None:
    events = stream(start(None, "close=1000"), "T.*", enough=10**9)
    assert 1000 <= len(events) < 10**6


@pytest.mark.parametrize("fault", ["drop_every=5000", "drop_midframe=5000", "close=1011"])
def test_a_break_makes_the_client_come_back_and_subscribe_again(start: Start, fault: str) -> None:
    running = start(None, fault)
    with pytest.raises(ConnectionClosedError):
        stream(running, "T.AAPL", enough=10**9, max_reconnects=2)
    assert running.simulator.state()["events_sent"]["T"] > 3 * 1000


def test_a_connection_that_dies_early_is_never_subscribed(start: Start) -> None:
    # A known bug of the client, which shows that it sees the same break as with the vendor.
    running = start(None, "drop_connected=1")
    client = WebSocketClient("k", feed=running.host, secure=False, subscriptions=["T.*"])

    async def wait() -> None:
        async def take(_: list[Any]) -> None:
            raise AssertionError("no data was expected")

        task = asyncio.create_task(client.connect(take, proxy=None))
        for _ in range(5_000):
            await asyncio.sleep(0.01)
            states = running.simulator.state()["connections"]
            if states and states[0]["authenticated"] and client.websocket is not None:
                break
        assert running.simulator.state()["connections"][0]["topics"] == []
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.websocket.close()

    asyncio.run(wait())


def test_odd_events_do_not_stop_the_client(start: Start, caplog: pytest.LogCaptureFixture) -> None:
    faults = ("unknown_event=0.1", "unknown_field=0.1", "float_ints=0.1", "duplicates=0.1")
    with caplog.at_level(logging.ERROR):
        assert len(stream(start(None, *faults), "T.*", enough=5000)) >= 5000


# REST


def test_bars_are_paged(running: Running, rest: Callable[..., RESTClient]) -> None:
    bars = list(rest(running).list_aggs("AAPL", 1, "minute", DAY, "2026-10-02", limit=300))
    assert [bar.timestamp for bar in bars] == sorted({bar.timestamp for bar in bars})
    assert len(bars) > 900


@pytest.mark.parametrize("kind", ["trades", "quotes"])
def test_ticks_are_paged(
    running: Running,
    rest: Callable[..., RESTClient],
    market: GeneratedMarket,
    kind: str,
) -> None:
    lister = getattr(rest(running), f"list_{kind}")
    ticks = list(lister("TSLA", timestamp=DAY, order="asc", sort="timestamp", limit=5000))
    expected = market.rows(Kind(f"{kind}_v1"), date(2026, 10, 1), ["TSLA"])
    assert [tick.sip_timestamp for tick in ticks] == expected["sip_timestamp"].tolist()


def test_tickers_are_paged(running: Running, rest: Callable[..., RESTClient]) -> None:
    tickers = rest(running).list_tickers(market="stocks", limit=2)
    assert [each.ticker for each in tickers] == ["AAPL", "NVDA", "QQQ", "SPY", "TSLA"]


def test_single_answers_become_models(running: Running, rest: Callable[..., RESTClient]) -> None:
    client = rest(running)
    assert len(client.get_grouped_daily_aggs(DAY)) == 5
    assert client.get_previous_close_agg("AAPL")[0].ticker == "AAPL"
    assert client.get_daily_open_close_agg("AAPL", DAY).symbol == "AAPL"
    assert client.get_last_trade("AAPL").price > 0
    assert client.get_last_quote("AAPL").bid_price > 0
    assert client.get_ticker_details("AAPL").name == "AAPL Inc."
    assert client.get_market_status().market == "extended-hours"
    assert client.get_market_holidays()[0].exchange == "NYSE"
    assert client.get_exchanges(asset_class="stocks")[0].mic == "XASE"
    assert client.get_ticker_types()[0].code == "CS"


def test_an_empty_answer_is_an_empty_list(
    running: Running, rest: Callable[..., RESTClient]
) -> None:
    client = rest(running)
    assert list(client.list_aggs("NOSUCH", 1, "minute", DAY, DAY)) == []
    assert list(client.list_trades("NOSUCH", timestamp=DAY)) == []


@pytest.mark.parametrize("fault", ["forbidden", "wrong_key"])
def test_a_refusal_is_a_bad_response(
    start: Start, rest: Callable[..., RESTClient], fault: str
) -> None:
    with pytest.raises(BadResponse):
        rest(start(None, fault)).get_last_trade("AAPL")


@pytest.mark.parametrize("fault", ["too_many", "server_error"])
def test_what_can_be_tried_again_is_tried_four_times(
    start: Start, rest: Callable[..., RESTClient], fault: str
) -> None:
    running = start(None, fault)
    with pytest.raises(urllib3.exceptions.MaxRetryError):
        rest(running).get_last_trade("AAPL")
    assert sum(running.simulator.state()["replies"].values()) == 4
