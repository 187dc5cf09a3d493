"""Our client and the vendor's own, on the same simulator, tell the same."""

from __future__ import annotations

import dataclasses
import threading
from datetime import date, datetime
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

from massive import RESTClient
from tests.massive.http_server import KEY, Reply, empty, page, scripted
from tsstore.clock import SystemClock
from tsstore.errors import InvalidArgumentError
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore_massive import open_rest
from tsstore_massive.errors import BadResponseError, NoSuchTickerError, UnavailableError
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.othermarkets import other_markets
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

DAY = date(2026, 10, 1)
NOON_NS = hours(date(2026, 10, 5)).open_ns + 9 * 10**12
SYMBOLS = ["AAPL", "META", "SPY", "TSLA"]


def client(url: str, **limits: Any) -> RestClient:
    clock = SystemClock()
    return RestClient(
        url,
        KEY,
        clock=clock,
        limiter=RateLimiter(100_000, 60.0, clock),
        stop=threading.Event(),
        limits=Limits(**{"attempts": 1} | limits),
    )


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    """All markets at noon of a Monday."""
    market, others = GeneratedMarket(tickers=SYMBOLS), other_markets().values()
    simulator = Simulator(market, others=others, start_ns=NOON_NS, speed=None)
    with simulator.in_background() as url:
        yield url


@pytest.fixture
def ours(url: str) -> Iterator[RestClient]:
    with client(url) as rest:
        yield rest


@pytest.fixture
def theirs(url: str) -> RESTClient:
    return RESTClient(KEY, base=url, retries=0)


#: What their models call otherwise, by their name.
NAMES = {
    "sip_timestamp": "time", "participant_timestamp": "participant_time", "trf_id": "trf",
    "trf_timestamp": "trf_time", "id": "trade_id", "sequence_number": "sequence",
    "fractional_size": "exact_size", "fractional_volume": "exact_volume", "timestamp": "time",
    "transactions": "trade_count", "accumulated_volume": "day_volume", "min": "minute",
    "fractional_accumulated_volume": "exact_day_volume", "prev_day": "previous_day",
    "todays_change": "change", "todays_change_percent": "change_percent",
    "fair_market_value": "fair_value",
}  # fmt: skip


def assert_same(their: Any, our: Any, path: str = "") -> None:
    """Everything that their model has, ours has."""
    if dataclasses.is_dataclass(their) and isinstance(our, dict):
        our = {name.lower(): value for name, value in our.items()}
    if dataclasses.is_dataclass(their):
        for field in dataclasses.fields(their):
            value = getattr(their, field.name)
            if value is None:
                continue
            if isinstance(our, dict):
                found = our[field.name.lower()]
            else:
                name = field.name if hasattr(our, field.name) else NAMES[field.name]
                found = getattr(our, name)
            assert_same(value, found, f"{path}.{field.name}")
    elif isinstance(their, list):
        assert len(their) == len(our), path
        for at, (one, other) in enumerate(zip(their, our, strict=True)):
            assert_same(one, other, f"{path}[{at}]")
    elif isinstance(their, dict):
        assert their == msgspec.to_builtins(our), path
    elif isinstance(our, datetime):
        assert datetime.fromisoformat(their) == our, path
    elif isinstance(our, date):
        assert their == str(our), path
    elif isinstance(our, float):
        assert float(their) == our, path
    else:
        assert their == our, path


def assert_same_rows(their: Iterable[Any], our: Iterable[Any], *, at_least: int = 1) -> None:
    their, our = list(their), list(our)
    assert len(their) >= at_least
    assert_same(their, our)


def test_reference_data_are_those_that_the_vendors_client_tells(ours, theirs):
    assert_same_rows(theirs.list_tickers(market="stocks", limit=1000),
                     ours.ticker_list(market="stocks"), at_least=4)  # fmt: skip
    assert_same_rows(theirs.list_tickers(ticker_gte="B", ticker_lte="SPY", type="ETF"),
                     ours.ticker_list(first="B", last="SPY", kind="ETF"))  # fmt: skip
    assert_same_rows(theirs.list_tickers(active=False), ours.ticker_list(active=False), at_least=0)
    assert_same_rows(theirs.list_tickers(date=DAY, search="appl"),
                     ours.ticker_list(day=DAY, search="appl"), at_least=0)  # fmt: skip
    assert_same_rows(theirs.get_ticker_types(), ours.ticker_types(), at_least=5)
    assert_same(theirs.get_ticker_details("AAPL"), ours.ticker_details("AAPL"))
    assert_same(theirs.get_ticker_details("AAPL", date=str(DAY)), ours.ticker_details("AAPL", DAY))
    assert_same(theirs.get_ticker_events("META"), ours.ticker_events("META"))
    assert_same_rows(theirs.list_conditions(asset_class="stocks", limit=1000),
                     ours.conditions("stocks"), at_least=10)  # fmt: skip
    assert_same_rows(theirs.get_exchanges(asset_class="stocks"), ours.exchanges("stocks"),
                     at_least=10)  # fmt: skip
    assert_same_rows(theirs.get_market_holidays(), ours.upcoming_holidays(), at_least=3)
    status = ours.market_status()
    their_status = theirs.get_market_status()
    assert_same(their_status.exchanges, status.exchanges)
    assert_same(their_status.currencies, status.currencies)
    assert their_status.market == status.market == "open"
    assert status.server_time is not None
    assert status.server_time.utcoffset() is not None


def test_splits_and_dividends_are_those_that_the_vendors_client_tells(ours, theirs):
    by_day = {"order": "asc", "limit": 1000}
    assert_same_rows(theirs.list_splits(sort="execution_date", **by_day), ours.splits(),
                     at_least=5)  # fmt: skip
    assert_same_rows(
        theirs.list_splits("AAPL", execution_date_gte="2014-06-09", execution_date_lte="2020-08-31",
                           sort="execution_date", **by_day),
        ours.splits("AAPL", date(2014, 6, 9), date(2020, 8, 31)), at_least=2,
    )  # fmt: skip
    their = theirs.list_dividends(sort="ex_dividend_date", **by_day)
    assert_same_rows(their, ours.dividends(), at_least=50)


def test_market_data_are_those_that_the_vendors_client_tells(ours, theirs):
    assert_same(theirs.get_last_trade("AAPL"), ours.last_trade("AAPL"))
    assert_same(theirs.get_last_quote("AAPL"), ours.last_quote("AAPL"))
    assert_same(theirs.get_previous_close_agg("AAPL", adjusted=False)[0],
                ours.previous_close("AAPL"))  # fmt: skip
    assert_same_rows(theirs.get_snapshot_all("stocks"), ours.snapshots(), at_least=4)
    some = ["AAPL", "SPY"]
    assert_same_rows(theirs.get_snapshot_all("stocks", some), ours.snapshots(some), at_least=2)
    some += ["NOSUCH"]
    assert_same_rows(theirs.list_universal_snapshots(ticker_any_of=some, limit=250),
                     ours.unified_snapshots(some), at_least=3)  # fmt: skip


def test_columns_hold_what_the_vendors_client_tells(ours, theirs):
    grouped = ours.grouped_daily(DAY)
    their = {bar.ticker: bar for bar in theirs.get_grouped_daily_aggs(DAY, adjusted=False)}
    assert set(grouped["Symbol"]) == set(their)
    for at, symbol in enumerate(grouped["Symbol"]):
        bar = their[symbol]
        row = [grouped[name][at] for name in ("Open", "High", "Low", "Close", "Volume", "VWAP")]
        assert row == [bar.open, bar.high, bar.low, bar.close, bar.volume, bar.vwap]
    assert np.unique(grouped["Epoch"]).astype(str).tolist() == ["2026-10-01T04:00:00.000000000"]
    first, last = hours(DAY).open_ns, hours(DAY).open_ns + 600 * 10**9
    [bars] = ours.bars("AAPL", Timeframe(1, "Min"), first, last, adjusted=False)
    their_bars = list(theirs.list_aggs("AAPL", 1, "minute", first // 10**6, last // 10**6,
                                       adjusted=False))  # fmt: skip
    assert bars.ts.tolist() == [bar.timestamp * 10**6 for bar in their_bars]
    assert bars["Volume"].tolist() == [bar.volume for bar in their_bars]
    their_trades = list(theirs.list_trades("AAPL", timestamp_gte=first, timestamp_lte=last,
                                           order="asc", limit=50_000))  # fmt: skip
    trades = list(ours.trades("AAPL", first, last))
    assert [ns for rows in trades for ns in rows.ts.tolist()] == [
        trade.sip_timestamp for trade in their_trades
    ]
    assert [p for rows in trades for p in rows["Price"].tolist()] == [
        trade.price for trade in their_trades
    ]


@pytest.mark.parametrize(
    ("symbol", "bars_name"),
    [
        ("O:AAPL271217C00300000", "O:AAPL271217C00300000"),
        ("I:SPX", "I:SPX"),
        ("C:EUR-USD", "C:EURUSD"),
        ("X:BTC-USD", "X:BTCUSD"),
    ],
)
def test_other_markets_have_the_rows_that_the_vendors_client_tells(ours, theirs, symbol, bars_name):
    first, last = hours(DAY).open_ns, hours(DAY).open_ns + 60 * 10**9
    bars = list(ours.bars(symbol, Timeframe(1, "Min"), first, last, adjusted=False))
    their_bars = list(theirs.list_aggs(bars_name, 1, "minute", first // 10**6, last // 10**6))
    assert their_bars
    assert [(ns, close) for rows in bars for ns, close in pairs(rows, "Close")] == [
        (bar.timestamp * 10**6, bar.close) for bar in their_bars
    ]
    span = {"timestamp_gte": first, "timestamp_lte": last, "order": "asc", "limit": 50_000}
    if symbol[0] in "OX":
        their_trades = list(theirs.list_trades(symbol, **span))
        assert [price for rows in ours.trades(symbol, first, last) for price in rows["Price"]] == [
            trade.price for trade in their_trades
        ]
    if symbol[0] in "OC":
        their_quotes = list(theirs.list_quotes(symbol, **span))
        assert their_quotes
        assert [ask for rows in ours.quotes(symbol, first, last) for ask in rows["AskPrice"]] == [
            quote.ask_price for quote in their_quotes
        ]


def test_futures_have_the_rows_that_the_vendors_client_tells(ours, theirs):
    first, last = hours(DAY).open_ns, hours(DAY).open_ns + 60 * 10**9
    span = {"window_start_gte": str(first), "window_start_lte": str(last)}
    their_bars = list(theirs.list_futures_aggregates(
        "GCZ7", resolution="1min", sort="window_start.asc", **span
    ))  # fmt: skip
    [bars] = ours.bars("GCZ7", Timeframe(1, "Min"), first, last, adjusted=False)
    assert pairs(bars, "Close") == [(bar.window_start, bar.close) for bar in their_bars]
    span = {"timestamp_gte": str(first), "timestamp_lte": str(last), "sort": "timestamp.asc"}
    for kind, name, attribute in (
        ("trades", "Price", "price"),
        ("quotes", "BidPrice", "bid_price"),
    ):
        their = list(getattr(theirs, f"list_futures_{kind}")("GCZ7", limit=50_000, **span))
        [rows] = getattr(ours, kind)("GCZ7", first, last)
        assert [value or None for value in rows[name].tolist()] == [
            getattr(row, attribute) for row in their
        ]


def test_a_session_of_futures_is_the_bar_of_its_day(ours, theirs):
    first, last = to_ns("2026-09-28 04:00"), to_ns("2026-10-02 03:59")
    [bars] = ours.bars("GCZ7", Timeframe(1, "D"), first, last, adjusted=False)
    told = theirs.list_futures_aggregates("GCZ7", window_start_gte="2026-09-25")
    their = {bar.session_end_date: bar.close for bar in told}
    days = bars.ts.astype("M8[ns]").astype(str)
    assert [day[5:16] for day in days] == [
        "09-28T04:00", "09-29T04:00", "09-30T04:00", "10-01T04:00",
    ]  # fmt: skip
    assert bars["Close"].tolist() == [their[day[:10]] for day in days]
    with pytest.raises(InvalidArgumentError, match=r"GCZ7.*ask for 1D"):
        ours.bars("GCZ7", Timeframe(1, "W"), first, last, adjusted=False)


def pairs(rows: Any, name: str) -> list[tuple[int, float]]:
    return list(zip(rows.ts.tolist(), rows[name].tolist(), strict=True))


# What small servers say


def test_a_client_is_opened_with_the_key_of_the_environment(monkeypatch):
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)
    with (
        scripted(page([{"ticker": "A"}])) as server,
        open_rest(base_url=server.url, requests_per_minute=7) as rest,
    ):
        assert list(rest.tickers()) == ["A"]
        assert (rest.quota["minute"], rest.quota["per_minute"]) == (1, 7)
    assert server.requests[0].headers["Authorization"] == f"Bearer {KEY}"


def test_a_day_without_trading_has_no_rows():
    with scripted(empty()) as server, client(server.url) as rest:
        assert rest.grouped_daily(DAY, include_otc=True) is None
    [request] = server.requests
    assert request.target == (
        "/v2/aggs/grouped/locale/us/market/stocks/2026-10-01?adjusted=false&include_otc=true"
    )


def test_the_day_of_a_market_is_the_one_that_was_asked_for_whatever_its_rows_say():
    rows = [
        {"T": "X:BTCUSD", "o": 1, "h": 2, "l": 1, "c": 2, "v": 5.5, "t": 1_791_230_400_000},
        {"T": "X:ETHUSD", "o": 1, "h": 2, "l": 1, "c": 2, "v": 0, "t": "soon"},
        {"T": "a/../b", "o": 1, "h": 2, "l": 1, "c": 2},
        {"T": "X:SOLUSD", "o": "?"},
    ]
    with scripted(page(rows)) as server, client(server.url) as rest:
        grouped = rest.grouped_daily(DAY, market="crypto")
        assert grouped["Symbol"] == ["X:BTC-USD", "X:ETH-USD"]
        assert np.unique(grouped["Epoch"]).astype(str).tolist() == ["2026-10-01T00:00:00.000000000"]
        assert np.isnan(grouped["VWAP"]).all()
        assert rest.faults == {"malformed groupedbar": 1, "symbol that cannot be a bucket": 1}
    assert server.requests[0].path == "/v2/aggs/grouped/locale/global/market/crypto/2026-10-01"


def test_a_whole_market_that_fails_is_no_holiday():
    with (
        scripted(Reply(b'{"status":"ERROR","error":"later"}')) as server,
        client(server.url) as rest,
        pytest.raises(UnavailableError, match="holds nothing: later"),
    ):
        rest.grouped_daily(DAY)


def test_pairs_are_asked_for_as_rest_spells_them():
    with scripted(empty()) as server, client(server.url) as rest:
        list(rest.bars("X:BTC-USD", Timeframe(1, "H"), 0, 1, adjusted=True))
        list(rest.trades("X:BTC-USD", 0, 1))
        rest.snapshots(["C:EUR-USD"], market="forex")
        rest.previous_close("I:SPX")
    assert [request.path for request in server.requests] == [
        "/v2/aggs/ticker/X:BTCUSD/range/1/hour/0/0",
        "/v3/trades/X:BTC-USD",
        "/v2/snapshot/locale/global/markets/forex/tickers",
        "/v2/aggs/ticker/I:SPX/prev",
    ]
    assert server.requests[2].query["tickers"] == "C:EURUSD"


def test_unified_snapshots_are_asked_for_in_lists_that_the_vendor_takes():
    symbols = [f"S{n}" for n in range(300)]

    def answer(request):
        return page({"ticker": name} for name in request.query["ticker.any_of"].split(","))

    with scripted(answer) as server, client(server.url) as rest:
        assert [each.ticker for each in rest.unified_snapshots(symbols)] == symbols
    assert len(server.requests) == 2


def test_there_is_no_last_trade_of_an_index():
    with (
        scripted(empty()) as server,
        client(server.url) as rest,
        pytest.raises(InvalidArgumentError, match=r"I:SPX.*snapshot"),
    ):
        rest.last_trade("I:SPX")
    assert server.requests == []


def test_what_is_not_known_of_a_ticker_is_none():
    unknown = Reply(b'{"status":"NOT_FOUND","message":"Ticker not found."}', 404)
    with scripted(unknown) as server, client(server.url) as rest:
        assert rest.ticker_details("NOSUCH") is None
        assert rest.ticker_events("NOSUCH") is None
        with pytest.raises(NoSuchTickerError):
            rest.last_trade("NOSUCH")


def test_splits_come_in_the_new_form_where_the_old_one_is_gone():
    gone = Reply(b"404 page not found\n", 404, {"Content-Type": "text/plain"})
    row = {"ticker": "AAPL", "execution_date": "2020-08-31", "split_from": 1, "split_to": 4,
           "historical_adjustment_factor": 0.25}  # fmt: skip
    with scripted(gone, page([row])) as server, client(server.url) as rest:
        [split] = rest.splits("AAPL", date(2020, 1, 1))
    assert (split.execution_date, split.split_to) == (date(2020, 8, 31), 4.0)
    assert server.requests[1].path == "/stocks/v1/splits"
    assert server.requests[1].query == {
        "ticker": "AAPL",
        "execution_date.gte": "2020-01-01",
        "sort": "execution_date.asc",
        "limit": "5000",
    }


def test_numbers_and_ids_may_be_written_in_other_ways():
    rows = [
        {"ticker": "CTPVF", "execution_date": "2024-04-29", "split_from": 1.0, "split_to": "0.625",
         "id": 17, "new": None},
        {"ticker": "CTPVF", "execution_date": "soon"},
    ]  # fmt: skip
    with scripted(page(rows)) as server, client(server.url) as rest:
        [split] = rest.splits()
        assert (split.split_to, split.id) == (0.625, 17)
        assert rest.faults == {"malformed split": 1}


def test_an_answer_of_another_shape_is_an_error():
    with scripted(Reply(b'{"status":"OK"}')) as server, client(server.url) as rest:
        for ask in (rest.market_status, rest.upcoming_holidays, lambda: rest.last_quote("A")):
            with pytest.raises(UnavailableError, match="not the JSON it should be"):
                ask()


def test_a_list_of_tickers_in_circles_is_noticed():
    again = page([{"ticker": "A"}], "http://x/v3/reference/tickers?cursor=a")
    with (
        scripted(again) as server,
        client(server.url) as rest,
        pytest.raises(BadResponseError, match="circle"),
    ):
        list(rest.tickers())
