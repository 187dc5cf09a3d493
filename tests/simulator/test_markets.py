"""Options, indices, currencies, crypto and futures, as the official client sees them."""

from __future__ import annotations

import asyncio
import logging
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from massive import RESTClient, WebSocketClient
from tests.simulator.conftest import Running, Talk
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.othermarkets import OtherMarket, other_markets
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.simulator.conftest import Start

DAY = date(2026, 10, 1)
NOON = hours(date(2026, 10, 5)).open_ns + 2 * 3600 * 10**9
MS = 10**6
BARS = {"open": "open", "close": "close", "high": "high", "low": "low"}

#: By market: the topics, and for each event the kind of rows, the ticker and attributes by column.
STREAMED: dict[str, dict[str, tuple[Kind, str, dict[str, str]]]] = {
    "options": {
        "T": (Kind.TRADES, "O:AAPL271217C00300000", {"price": "price", "size": "size"}),
        "Q": (Kind.QUOTES, "O:AAPL271217C00300000", {"ask_price": "ask_price"}),
        "AM": (Kind.MINUTES, "O:SPY271217C00650000", BARS | {"volume": "volume"}),
        "FMV": (Kind.FAIR_VALUES, "O:NVDA271217P00150000", {"fmv": "value"}),
    },
    "indices": {
        "V": (Kind.VALUES, "I:SPX", {"value": "value"}),
        "AM": (Kind.MINUTES, "I:NDX", BARS),
    },
    "forex": {
        "C": (Kind.QUOTES, "C:EUR-USD", {"bid_price": "bid_price", "exchange_id": "bid_exchange"}),
        "CA": (Kind.MINUTES, "C:USD-JPY", BARS | {"volume": "volume"}),
    },
    "crypto": {
        "XT": (Kind.TRADES, "X:BTC-USD", {"price": "price", "size": "size"}),
        "XQ": (Kind.QUOTES, "X:DOGE-USD", {"bid_size": "bid_size"}),
        "XA": (Kind.MINUTES, "X:ETH-USD", BARS | {"volume": "volume"}),
    },
    "futures": {
        "T": (Kind.TRADES, "GCZ7", {"price": "price", "sequence_number": "sequence_number"}),
        "Q": (Kind.QUOTES, "ZNZ7", {}),
        "AM": (Kind.MINUTES, "ESZ7", BARS | {"volume": "volume", "transactions": "transactions"}),
    },
}


@pytest.fixture(scope="module")
def others() -> dict[str, OtherMarket]:
    markets = other_markets(seed=7)
    for each in markets.values():
        each.revised_share = 0.0
    return markets


@pytest.fixture(scope="module")
def url(others: dict[str, OtherMarket]) -> Iterator[str]:
    """A simulator of all markets at noon in New York."""
    simulator = Simulator(
        GeneratedMarket(seed=7, tickers=3), others=others.values(), speed=None, start_ns=NOON
    )
    with simulator.in_background() as address:
        yield address


@pytest.fixture(scope="module")
def rest(url: str) -> Iterator[RESTClient]:
    client = RESTClient("k", base=url)
    yield client
    client.client.clear()


def socket_name(ticker: str) -> str:
    if ticker.startswith("C:"):
        return ticker[2:].replace("-", "/")
    return ticker.removeprefix("X:")


def streamed(
    host: str, market: str, topics: list[str], is_enough: Callable[[list[Any]], bool]
) -> Any:
    """Events as the models of the official client."""
    client = WebSocketClient("k", feed=host, secure=False, market=market, subscriptions=topics)
    events: list[Any] = []

    async def collect() -> None:
        done = asyncio.Event()

        async def take(messages: list[Any]) -> None:
            events.extend(messages)
            if is_enough(events):
                done.set()
                await asyncio.sleep(60)

        task = asyncio.create_task(client.connect(take, proxy=None))
        async with asyncio.timeout(60):
            await done.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await client.websocket.close()

    asyncio.run(collect())
    return events


@pytest.mark.parametrize("market", STREAMED)
def test_a_day_is_streamed_row_for_row(
    others: dict[str, OtherMarket], market: str, caplog: pytest.LogCaptureFixture
) -> None:
    wanted = STREAMED[market]
    first_ns = others[market].schedule.span(DAY)[0]
    simulator = Simulator(
        GeneratedMarket(seed=7, tickers=1), others=[others[market]], speed=None, start_ns=first_ns
    )
    expected = {
        event: others[market].rows(kind, DAY, [ticker])
        for event, (kind, ticker, _) in wanted.items()
    }
    total = sum(map(len, expected.values()))
    topics = [f"{event}.{socket_name(ticker)}" for event, (_, ticker, _) in wanted.items()]
    with simulator.in_background() as address:
        host = address.removeprefix("http://")
        # A day goes on with the next one, whose events come last.
        events = streamed(host, market, topics, lambda found: len(found) >= total + 100)

    def is_before(event: Any) -> bool:
        """Whether it is the last bar of the day before, which comes after midnight."""
        return getattr(event, "end_timestamp", None) == first_ns // MS

    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    for event, (_, ticker, attributes) in wanted.items():
        rows = expected[event]
        found = [each for each in events if each.event_type == event and not is_before(each)]
        found = found[: len(rows)]
        names = {getattr(each, "symbol", None) or getattr(each, "pair", None) for each in found}
        assert names <= {socket_name(ticker), None}
        for attribute, column in attributes.items():
            assert [getattr(each, attribute) for each in found] == rows[column].tolist()
        if "window_start" in rows.columns:
            starts = [each.start_timestamp for each in found]
            assert starts == (rows["window_start"] // MS).tolist()


def test_one_sided_quotes_of_futures_lack_the_other_side(others: dict[str, OtherMarket]) -> None:
    rows = others["futures"].rows(Kind.QUOTES, DAY)
    assert 0 < np.count_nonzero(rows["ask_price"] == 0) < len(rows) / 100


def test_stocks_tell_bands_imbalances_and_fair_values(
    start: Start, market: GeneratedMarket, caplog: pytest.LogCaptureFixture
) -> None:
    running = start(start_ns=hours(DAY).first_ns)
    topics = ["LULD.*", "NOI.*", "FMV.AAPL"]
    kinds = (Kind.LULD, Kind.IMBALANCES, Kind.FAIR_VALUES)
    bands, imbalances, values = (market.rows(kind, DAY) for kind in kinds)
    values = values.of("AAPL")
    total = len(bands) + len(imbalances) + len(values)
    events = streamed(running.host, "stocks", topics, lambda found: len(found) >= total)[:total]
    assert not [record for record in caplog.records if record.levelno >= logging.WARNING]
    told = {name: [each for each in events if each.event_type == name] for name in ("LULD", "NOI")}
    apple = [each for each in told["LULD"] if each.symbol == "AAPL"]
    assert [each.high_price for each in apple] == bands.of("AAPL")["high_price"].tolist()
    assert [each.timestamp for each in apple] == bands.of("AAPL")["sip_timestamp"].tolist()
    assert {each.auction_time for each in told["NOI"]} == {930, 1600}
    assert [each.fmv for each in events if each.event_type == "FMV"] == values["value"].tolist()


def test_a_venue_of_futures_tells_of_its_contracts_only(url: str) -> None:
    events = streamed(
        url.removeprefix("http://"), "futures/comex", ["T.*"], lambda found: len(found) >= 200
    )
    assert {each.symbol for each in events} == {"GCZ7"}


def test_each_market_has_its_own_connections(
    start: Start, talk: Callable[..., Talk], others: dict[str, OtherMarket]
) -> None:
    running: Running = start(others=others.values(), start_ns=NOON)
    crypto, stocks = talk(running, path="crypto"), talk(running)
    crypto.authenticate()
    stocks.authenticate()
    crypto.say("subscribe", "XT.*")
    stocks.say("subscribe", "T.*")
    assert crypto.events(1)
    assert stocks.events(1)
    newer = talk(running, path="crypto")
    newer.authenticate()
    assert "max_connections" in {each.get("status") for each in crypto.until_gone()}
    assert stocks.events(1)


def test_channels_of_another_market_are_met_with_silence(
    start: Start, talk: Callable[..., Talk], others: dict[str, OtherMarket]
) -> None:
    client = talk(start(others=others.values(), start_ns=NOON), path="indices")
    client.authenticate()
    client.say("subscribe", "T.I:SPX,V.I:SPX")
    assert [each["message"] for each in client.hear()] == ["subscribed to: V.I:SPX"]


def test_the_last_bar_before_midnight_comes_after_it(
    start: Start, talk: Callable[..., Talk], others: dict[str, OtherMarket]
) -> None:
    midnight = others["crypto"].schedule.midnight(DAY)
    client = talk(start(others=others.values(), start_ns=midnight - 1), path="crypto")
    client.authenticate()
    client.say("subscribe", "XA.BTC-USD")
    before, after = client.events(2)[:2]
    assert before["e"] * MS == midnight
    assert after["s"] * MS >= midnight


@pytest.mark.parametrize(
    ("ticker", "asked"),
    [
        ("O:SPY271217C00650000", "O:SPY271217C00650000"),
        ("I:SPX", "I:SPX"),
        ("C:EUR-USD", "C:EURUSD"),
        ("X:BTC-USD", "X:BTCUSD"),
    ],
)
def test_bars_of_other_markets_are_paged(
    rest: RESTClient, others: dict[str, OtherMarket], ticker: str, asked: str
) -> None:
    market = next(each for each in others.values() if ticker in each.tickers())
    rows = market.rows(Kind.MINUTES, DAY, [ticker])
    bars = list(rest.list_aggs(asked, 1, "minute", str(DAY), str(DAY), limit=300))
    assert [bar.timestamp for bar in bars] == (rows["window_start"] // MS).tolist()
    assert [bar.close for bar in bars] == rows["close"].tolist()
    has_volume = market.name != "indices"
    assert [bar.volume for bar in bars] == (
        rows["volume"].tolist() if has_volume else [None] * len(rows)
    )
    (day,) = rest.list_aggs(asked, 1, "day", str(DAY), str(DAY))
    assert day.timestamp == market.schedule.midnight(DAY) // MS
    assert day.high == rows["high"].max()
    assert rest.get_previous_close_agg(asked)[0].ticker == asked


@pytest.mark.parametrize(
    ("kind", "ticker", "column"),
    [
        ("trades", "O:AAPL271217C00300000", "sip_timestamp"),
        ("quotes", "O:AAPL271217C00300000", "sip_timestamp"),
        ("quotes", "C:EUR-USD", "participant_timestamp"),
        ("trades", "X:BTC-USD", "participant_timestamp"),
    ],
)
def test_ticks_of_other_markets_are_paged(
    rest: RESTClient, others: dict[str, OtherMarket], kind: str, ticker: str, column: str
) -> None:
    market = next(each for each in others.values() if ticker in each.tickers())
    rows = market.rows(Kind(f"{kind}_v1"), DAY, [ticker])
    found = list(getattr(rest, f"list_{kind}")(ticker, timestamp=str(DAY), order="asc", limit=5000))
    assert [getattr(each, column) for each in found] == rows[column].tolist()


def test_whole_markets_of_a_day(rest: RESTClient) -> None:
    pairs = rest.get_grouped_daily_aggs(str(DAY), locale="global", market_type="crypto")
    assert [each.ticker for each in pairs] == ["X:BTCUSD", "X:DOGEUSD", "X:ETHUSD"]
    forex = rest.get_grouped_daily_aggs(str(DAY), locale="global", market_type="fx")
    assert [each.ticker for each in forex] == ["C:EURUSD", "C:USDCNH", "C:USDJPY"]


def test_the_last_of_everything(rest: RESTClient) -> None:
    assert rest.get_last_trade("O:AAPL271217C00300000").price > 0
    assert rest.get_last_crypto_trade("BTC", "USD").price > 0
    quote = rest.get_last_forex_quote("EUR", "USD")
    assert quote.last.ask > quote.last.bid > 0


def test_snapshots_of_other_markets(rest: RESTClient) -> None:
    (pair,) = rest.get_snapshot_all("crypto", tickers=["X:BTCUSD"])
    assert pair.last_trade.price > 0
    assert pair.day.high >= pair.last_trade.price >= pair.day.low
    assert len(rest.get_snapshot_all("forex")) == 3
    asked = ["SPY", "I:SPX", "X:BTCUSD", "C:EURUSD", "O:SPY271217C00650000"]
    found = {each.ticker: each for each in rest.list_universal_snapshots(ticker_any_of=asked)}
    assert sorted(found) == sorted(asked)
    assert found["I:SPX"].value > 0
    assert {each.type for each in found.values()} == {
        "stocks",
        "indices",
        "crypto",
        "fx",
        "options",
    }
    index = next(iter(rest.get_snapshot_indices(ticker_any_of="I:SPX")))
    assert index.value == found["I:SPX"].value


def test_tickers_of_other_markets(rest: RESTClient) -> None:
    for market, expected in (("indices", "I:NDX"), ("fx", "C:EURUSD"), ("crypto", "X:BTCUSD")):
        first = next(rest.list_tickers(market=market))
        assert (first.ticker, first.market) == (expected, market)
    assert rest.get_ticker_details("X:BTCUSD").name == "Bitcoin - United States Dollar"


def test_options_are_listed(rest: RESTClient) -> None:
    (contract,) = rest.list_options_contracts("AAPL", strike_price_gte=300)
    assert contract.ticker == "O:AAPL271217C00300000"
    assert (contract.expiration_date, contract.strike_price) == ("2027-12-17", 300)
    assert len(list(rest.list_options_contracts(limit=1))) == 3


def test_futures_have_endpoints_of_their_own(
    rest: RESTClient, others: dict[str, OtherMarket]
) -> None:
    market, day = others["futures"], str(DAY)
    first_ns, last_ns = market.schedule.span(DAY)
    span = {"timestamp_gte": str(first_ns), "timestamp_lte": str(last_ns)}
    for kind, lister in (
        (Kind.TRADES, rest.list_futures_trades),
        (Kind.QUOTES, rest.list_futures_quotes),
    ):
        rows = market.rows(kind, DAY, ["GCZ7"])
        found = list(lister("GCZ7", limit=5000, sort="timestamp.asc", **span))
        assert [each.sequence_number for each in found] == rows["sequence_number"].tolist()
        assert {each.session_end_date for each in found} == {day}
        assert kind is Kind.TRADES or any(each.ask_price is None for each in found)
    window = {"window_start_gte": str(first_ns), "window_start_lte": str(last_ns)}
    minutes = market.rows(Kind.MINUTES, DAY, ["GCZ7"])
    bars = list(
        rest.list_futures_aggregates("GCZ7", "1min", limit=100, sort="window_start.asc", **window)
    )
    assert [each.window_start for each in bars] == minutes["window_start"].tolist()
    assert [each.volume for each in bars] == minutes["volume"].tolist()
    newest = next(rest.list_futures_aggregates("GCZ7", "1session", limit=1))
    assert newest.settlement_price == newest.close
    assert len(list(rest.list_futures_contracts(product_code="GC"))) == 1
    assert {each.product_code for each in rest.list_futures_products()} == {"CL", "ES", "GC", "ZN"}
    assert {each.acronym for each in rest.list_futures_exchanges()} == {
        "CME", "CBOT", "NYMEX", "COMEX",
    }  # fmt: skip
    statuses = list(rest.list_futures_market_statuses())
    assert {each.market_event for each in statuses} == {"open"}
