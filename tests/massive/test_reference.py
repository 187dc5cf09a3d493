"""Splits, dividends, tickers and names in a store."""

from __future__ import annotations

import json
import logging
import threading
from datetime import date
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import tsstore
from tests.massive.http_server import KEY, Reply, Request, Server, page
from tsstore import adjust
from tsstore.clock import ManualClock
from tsstore.errors import NotFoundError
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore_massive.errors import BadResponseError, UnavailableError
from tsstore_massive.reference import names_of, read_through_names, sync_reference
from tsstore_massive.reference.buckets import DIVIDENDS_GROUP, SPLITS_GROUP
from tsstore_massive.reference.cli import main
from tsstore_massive.reference.keeper import ReferenceKeeper
from tsstore_massive.reference.sync import is_due
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator

NOW = to_ns("2026-10-05 16:00")
DAY_NS = 86_400 * 10**9


class Vendor:
    """Tables of reference data, filtered as the vendor filters them."""

    def __init__(self) -> None:
        self.splits: list[dict[str, Any]] = []
        self.dividends: list[dict[str, Any]] = []
        self.tickers: list[dict[str, Any]] = []
        self.events: dict[str, list[tuple[str, str]]] = {}
        self.broken = 0

    def __call__(self, request: Request) -> Reply:
        what = request.path.removeprefix("/v3/reference/")
        if self.broken:
            return Reply(status=self.broken)
        if what.startswith("/vX/"):
            return self._events(what.split("/")[4])
        if what == "tickers":
            return page(row for row in self.tickers if self._is_asked_for(row, request.query))
        by = "execution_date" if what == "splits" else "ex_dividend_date"
        query = request.query
        return page(
            row
            for row in getattr(self, what)
            if query.get("ticker", row["ticker"]) == row["ticker"]
            and query.get(f"{by}.gte", "") <= row[by]
        )

    @staticmethod
    def _is_asked_for(row: dict[str, Any], query: dict[str, str]) -> bool:
        active = query["active"] == "true"
        return row["active"] == active and query.get("ticker", row["ticker"]) == row["ticker"]

    def _events(self, symbol: str) -> Reply:
        if symbol not in self.events:
            return Reply(b'{"status":"NOT_FOUND","message":"none"}', 404)
        events = [
            {"date": day, "type": "ticker_change", "ticker_change": {"ticker": name}}
            for day, name in self.events[symbol]
        ]
        return Reply(
            json.dumps({"status": "OK", "results": {"name": "X", "events": events}}).encode()
        )


def split(ticker: str, day: str, before: float, after: float, **more: Any) -> dict[str, Any]:
    return {"ticker": ticker, "execution_date": day, "split_from": before, "split_to": after,
            "id": f"E{ticker}{day}", **more}  # fmt: skip


def dividend(ticker: str, day: str, amount: float, **more: Any) -> dict[str, Any]:
    return {"ticker": ticker, "ex_dividend_date": day, "cash_amount": amount, "currency": "USD",
            "id": f"E{ticker}{day}{amount}", "dividend_type": "CD", "frequency": 4,
            **more}  # fmt: skip


def ticker(symbol: str, **more: Any) -> dict[str, Any]:
    return {"ticker": symbol, "name": f"{symbol} Inc.", "market": "stocks", "locale": "us",
            "type": "CS", "active": True, "primary_exchange": "XNAS",
            "composite_figi": "BBG000B9XRY4", **more}  # fmt: skip


def client(url: str, clock: ManualClock) -> RestClient:
    return RestClient(
        url,
        KEY,
        clock=clock,
        limiter=RateLimiter(100_000, 60.0, clock),
        stop=threading.Event(),
        limits=Limits(attempts=1),
    )


class Desk:
    """A store, a vendor, and a client between them."""

    def __init__(self, store: tsstore.Store, server: Server, vendor: Vendor) -> None:
        self.clock = ManualClock(NOW)
        self.store = store
        self.vendor = vendor
        self.rest = client(server.url, self.clock)
        self._server = server

    def sync(self, *symbols: str, **options: Any) -> Any:
        self._server.requests.clear()
        wanted = list(symbols) or None
        return sync_reference(self.store, self.rest, wanted, clock=self.clock, **options)

    @property
    def asked(self) -> list[str]:
        return [request.target for request in self._server.requests]

    def rows(self, key: str, *names: str) -> list[tuple[Any, ...]]:
        found = self.store.read(key)
        days = found.ts.astype("M8[ns]").astype("M8[D]").astype(str).tolist()
        return list(zip(days, *(found[name].tolist() for name in names), strict=True))


@pytest.fixture
def desk(store: tsstore.Store) -> Iterator[Desk]:
    vendor = Vendor()
    with Server(vendor) as server:
        desk = Desk(store, server, vendor)
        with desk.rest:
            yield desk


def test_the_buckets_are_those_that_adjust_looks_into():
    assert (SPLITS_GROUP, DIVIDENDS_GROUP) == (adjust.SPLITS, adjust.DIVIDENDS)


def test_the_generated_market_adjusted_by_us_is_that_adjusted_by_the_vendor(store):
    symbols = ["AAPL", "META", "NVDA", "QQQ", "TSLA"]
    clock = ManualClock(NOW)
    market = GeneratedMarket(tickers=symbols)
    with (
        Simulator(market, start_ns=NOW).in_background() as url,
        client(url, clock) as rest,
    ):
        report = sync_reference(store, rest, symbols, clock=clock)
        assert report.unusable == {"split with a side that is not above 0": 1}
        assert store.read("AAPL/1D/SPLITS")["To"].tolist() == [2, 7, 4, 2], "one is announced"
        assert store.read("NVDA/1D/SPLITS")["To"].tolist() == [4, 10], "one is told twice"
        assert store.read("QQQ/1D/SPLITS")["To"].tolist() == [0.625]
        assert store.read("META/24H/TICKER")["Name"].tolist() == ["META Inc."]
        assert [name.symbol for name in names_of(store, "META")] == ["FB", "META"]
        first, last = to_ns("2020-08-24"), to_ns("2020-09-04")
        [raw] = rest.bars("AAPL", Timeframe(1, "D"), first, last, adjusted=False)
        [expected] = rest.bars("AAPL", Timeframe(1, "D"), first, last, adjusted=True)
        store.write("AAPL/1D/OHLCV", raw)
        calls = rest.traffic.counts.calls
        again = sync_reference(store, rest, symbols, clock=clock)
        assert not again.changed.total()
        assert rest.traffic.counts.calls - calls < calls / 2
    found = store.read("AAPL/1D/OHLCV", functions=["adjust('split', '2026-10-05')"])
    assert found["Close"] == pytest.approx(expected["Close"], abs=1e-3)
    assert found["Volume"] == pytest.approx(expected["Volume"], rel=1e-6)
    assert raw["Close"][0] > 3 * found["Close"][0]


def test_a_split_cuts_minutes_of_the_evening_before_and_days_in_any_zone(desk):
    desk.vendor.splits = [split("A", "2024-01-10", 1, 2)]
    desk.sync("A", kinds=["splits"])
    minutes = ["2024-01-09 21:00", "2024-01-10 00:59", "2024-01-10 09:00", "2024-01-10 14:30"]
    closes = {"Epoch": np.array(minutes, "M8[ns]"), "Close": [8.0, 8.0, 4.0, 4.0]}
    desk.store.write("A/1Min/OHLCV", closes)
    days = {"Epoch": np.array(["2024-01-09", "2024-01-10"], "M8[ns]"), "Close": [8.0, 4.0]}
    desk.store.write("A/1D/OHLCV", days)
    for key in ("A/1Min/OHLCV", "A/1D/OHLCV"):
        adjusted = desk.store.read(key, functions=["adjust('split', '2024-01-10')"])
        assert set(adjusted["Close"].tolist()) == {4.0}
        before = desk.store.read(key, functions=["adjust('split', '2024-01-09')"])
        assert set(before["Close"].tolist()) == {8.0, 4.0}


def test_a_split_that_is_withdrawn_or_corrected_is_so_in_the_store(desk):
    kept = split("A", "2020-08-31", 1, 4)
    desk.vendor.splits = [kept, split("A", "2026-10-12", 1, 2), split("B", "2026-10-01", 3, 1)]
    assert desk.sync("A", "B", kinds=["splits"]).changed == {"splits": 2}
    desk.clock.advance(86_400)
    desk.vendor.splits = [kept, split("B", "2026-10-01", 5, 1)]
    assert desk.sync("A", "B", kinds=["splits"]).changed == {"splits": 2}
    assert desk.rows("A/1D/SPLITS", "From", "To") == [("2020-08-31", 1, 4)]
    assert desk.rows("B/1D/SPLITS", "From", "To") == [("2026-10-01", 5, 1)]
    desk.vendor.splits = [kept]
    desk.sync("A", "B", kinds=["splits"])
    assert desk.rows("B/1D/SPLITS", "From") == []


def test_a_refresh_asks_for_the_last_weeks_and_what_is_announced(desk):
    desk.vendor.dividends = [dividend("A", "2015-01-05", 1.0), dividend("A", "2026-09-20", 1.0)]
    desk.sync("A", kinds=["dividends"])
    assert "gte" not in desk.asked[0]
    desk.vendor.dividends += [dividend("A", "2027-01-05", 1.5), dividend("A", "2015-02-05", 9.0)]
    desk.clock.advance(3 * 86_400)
    desk.sync("A", kinds=["dividends"])
    assert "ex_dividend_date.gte=2026-09-05" in desk.asked[0]
    assert desk.rows("A/1D/DIVIDENDS", "Amount") == [
        ("2015-01-05", 1.0), ("2026-09-20", 1.0), ("2027-01-05", 1.5),
    ]  # fmt: skip
    desk.sync("A", kinds=["dividends"], whole=True)
    assert len(desk.rows("A/1D/DIVIDENDS", "Amount")) == 4


def test_dividends_in_other_currencies_do_not_mislead_adjust(desk):
    special = {"dividend_type": "SC", "pay_date": "2024-03-01", "frequency": 0}
    desk.vendor.dividends = [
        dividend("A", "2024-02-01", 0.22),
        dividend("A", "2024-02-01", 0.22),
        dividend("A", "2024-02-01", 0.5, **special),
        dividend("A", "2024-05-01", 1500.0, currency="krw"),
        dividend("A", "2024-06-01", -1.0),
    ]
    report = desk.sync("A", kinds=["dividends"])
    assert report.unusable == {"dividend below 0": 1}
    names = ("Amount", "Cash", "Currency", "Type", "Frequency")
    assert desk.rows("A/1D/DIVIDENDS", *names) == [
        ("2024-02-01", 0.22, 0.22, "USD", "CD", 4),
        ("2024-02-01", 0.5, 0.5, "USD", "SC", 0),
        ("2024-05-01", 0.0, 1500.0, "KRW", "CD", 4),
    ]
    assert desk.store.read("A/1D/DIVIDENDS")["Paid"][1] == to_ns("2024-03-01")
    days = np.array(["2024-01-31", "2024-02-01"], "M8[ns]")
    desk.store.write("A/1D/OHLCV", {"Epoch": days, "Close": [7.2, 6.5]})
    adjusted = desk.store.read("A/1D/OHLCV", functions=["adjust()"])
    assert adjusted["Close"].tolist() == pytest.approx([7.2 * (1 - 0.72 / 7.2), 6.5])


def test_the_whole_market_comes_as_one_list(desk):
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2), split("B", "2021-01-04", 1, 3)]
    assert desk.sync(kinds=["splits"]).changed == {"splits": 2}
    assert len(desk.asked) == 1
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2)]
    assert desk.sync(kinds=["splits"], whole=True).changed == {"splits": 1}
    desk.vendor.splits = []
    with pytest.raises(BadResponseError, match="store has those of 1 symbols; they were kept"):
        desk.sync(kinds=["splits"], whole=True)
    assert desk.rows("A/1D/SPLITS", "To") == [("2020-01-02", 2)]
    assert desk.rows("B/1D/SPLITS", "To") == []


def test_weeks_without_splits_are_nothing_strange(desk):
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2)]
    desk.sync(kinds=["splits"])
    desk.clock.advance(86_400)
    assert not desk.sync(kinds=["splits"]).changed.total()
    assert len(desk.asked) == 1


def test_many_symbols_cost_one_list(desk):
    names = [f"S{n:03}" for n in range(40)]
    desk.vendor.splits = [split(name, "2020-01-02", 1, 2) for name in [*names, "OTHER"]]
    desk.sync(*names, kinds=["splits"])
    assert len(desk.asked) == 1
    assert len(desk.store.list("*/1D/SPLITS")) == 40


def test_what_fails_leaves_what_is_there_and_is_repeated(desk):
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2)]
    desk.sync("A", kinds=["splits"])
    desk.vendor.broken = 500
    with pytest.raises(UnavailableError):
        desk.sync("A", "B", kinds=["splits"])
    desk.vendor.broken = 0
    desk.vendor.splits += [split("B", "2019-01-02", 1, 5)]
    desk.sync("A", "B", kinds=["splits"])
    assert desk.rows("B/1D/SPLITS", "To") == [("2019-01-02", 5)], "all of it, not the last weeks"


# Tickers


def test_a_ticker_has_a_row_for_each_day_on_which_something_was_new(desk):
    desk.vendor.tickers = [ticker("A", list_date="x"), ticker("BRK.B", type="PFD")]
    assert desk.sync("A", "BRK.B", kinds=["tickers"]).changed == {"tickers": 2}
    desk.clock.advance(86_400)
    assert not desk.sync("A", "BRK.B", kinds=["tickers"]).changed.total()
    desk.vendor.tickers = [ticker("A", name="Agilent " + "x" * 200), ticker("BRK.B", type="PFD")]
    assert desk.sync("A", "BRK.B", kinds=["tickers"]).changed == {"tickers": 1}
    rows = desk.rows("A/24H/TICKER", "Name", "Type", "Exchange", "Active", "FIGI")
    assert rows[0] == ("2026-10-05", "A Inc.", "CS", "XNAS", True, "BBG000B9XRY4")
    assert rows[1][:2] == ("2026-10-06", ("Agilent " + "x" * 200)[:160])


def test_a_delisted_ticker_has_a_row_at_that_day_beside_who_has_its_name_now(desk):
    old = ticker("OLDC", name="Old Co", active=False, delisted_utc="2024-02-20T05:00:00Z")
    desk.vendor.tickers = [old]
    report = desk.sync("OLDC", "NOSUCH", kinds=["tickers"])
    assert report.unknown == ["NOSUCH"]
    desk.vendor.tickers = [old, ticker("OLDC", name="New Co")]
    desk.sync("OLDC", kinds=["tickers"])
    assert desk.rows("OLDC/24H/TICKER", "Name", "Active", "Delisted") == [
        ("2024-02-20", "Old Co", False, to_ns("2024-02-20")),
        ("2026-10-05", "New Co", True, 0),
    ]


def test_tickers_of_the_market_that_are_gone_are_asked_for(desk):
    desk.vendor.tickers = [ticker("A"), ticker("GONE"), ticker("BCpC"), ticker("NTEST.H")]
    assert desk.sync(kinds=["tickers"]).changed == {"tickers": 4}
    desk.clock.advance(86_400)
    gone = ticker("GONE", active=False, delisted_utc="2026-10-06T04:00:00Z")
    desk.vendor.tickers = [ticker("A"), ticker("BCpC"), ticker("NTEST.H"), gone]
    assert desk.sync(kinds=["tickers"]).changed == {"tickers": 1}
    assert len(desk.asked) == 2
    assert desk.rows("GONE/24H/TICKER", "Active") == [("2026-10-05", True), ("2026-10-06", False)]
    desk.sync(kinds=["tickers"])
    assert len(desk.asked) == 1, "what is gone is not asked for again"
    desk.vendor.tickers = []
    with pytest.raises(BadResponseError, match="no tickers at all"):
        desk.sync(kinds=["tickers"])


def test_many_tickers_that_are_gone_cost_one_list(desk):
    """A list that comes too short must not cost a request for each ticker it lacks."""
    names = [f"S{n:03}" for n in range(100)]
    desk.vendor.tickers = [ticker(name) for name in names]
    desk.sync(kinds=["tickers"])
    desk.clock.advance(86_400)
    gone = {"active": False, "delisted_utc": "2026-10-06T04:00:00Z"}
    desk.vendor.tickers = [ticker("S000"), ticker("S001", **gone), ticker("OTHER", **gone)]
    report = desk.sync(kinds=["tickers"])
    assert len(desk.asked) == 2
    assert report.changed == {"tickers": 1}
    assert report.unknown == names[2:]
    assert desk.rows("S001/24H/TICKER", "Active")[-1] == ("2026-10-06", False)


# Names


def test_a_share_is_followed_through_its_names(desk):
    desk.vendor.events = {"META": [("2022-06-09", "META"), ("2012-05-18", "FB")]}
    assert desk.sync("META", "AAPL", kinds=["names"]).changed == {"names": 1}
    assert names_of(desk.store, "META") == [
        ("FB", date(2012, 5, 18), date(2022, 6, 8)),
        ("META", date(2022, 6, 9), date.max),
    ]
    assert names_of(desk.store, "AAPL") == [("AAPL", date.min, date.max)]
    days = np.arange("2022-06-07", "2022-06-12", dtype="M8[D]").astype("M8[ns]")
    desk.store.write("META/1D/OHLCV", {"Epoch": days, "Close": [10.0, 11, 12, 13, 14]})
    desk.store.write("FB/1D/OHLCV", {"Epoch": days, "Close": [200.0, 201, 202, 203, 204]})
    found = read_through_names(desk.store, "META", "1D/OHLCV")
    assert found["Close"].tolist() == [200, 201, 12, 13, 14]
    assert found.ts.tolist() == days.astype(np.int64).tolist()
    evening = ["2022-06-08 23:59", "2022-06-09 08:00"]
    for symbol, close in (("FB", 1.0), ("META", 2.0)):
        ticks = {"Epoch": np.array(evening, "M8[ns]"), "Close": [close, close]}
        desk.store.write(f"{symbol}/1Min/OHLCV", ticks)
    found = read_through_names(desk.store, "META", "1Min/OHLCV")
    assert found["Close"].tolist() == [1.0, 2.0]
    found = read_through_names(desk.store, "META", "1Min/OHLCV", end="2022-06-09")
    assert found["Close"].tolist() == [1.0]
    with pytest.raises(NotFoundError, match="under any of its names"):
        read_through_names(desk.store, "META", "1Sec/TRADE")


def test_names_that_the_vendor_takes_back_are_forgotten(desk):
    desk.vendor.events = {"META": [("2022-06-09", "META"), ("2012-05-18", "FB")]}
    desk.sync("META", kinds=["names"])
    desk.vendor.events = {"META": [("2012-05-18", "META")]}
    assert not desk.sync("META", kinds=["names"]).changed.total()
    assert desk.asked == [], "they were asked for today"
    desk.clock.advance(86_400)
    assert desk.sync("META", kinds=["names"]).changed == {"names": 1}
    assert names_of(desk.store, "META") == [("META", date.min, date.max)]


@pytest.mark.parametrize("told", [{}, {"META": []}], ids=["unknown", "nothing"])
def test_names_are_kept_when_the_vendor_knows_nothing_of_them(desk, told):
    """Else META of before June 2022, another company's, would be fetched as this one's."""
    desk.vendor.events = {"META": [("2022-06-09", "META"), ("2012-05-18", "FB")]}
    desk.sync("META", kinds=["names"])
    desk.vendor.events = told
    desk.clock.advance(86_400)
    assert not desk.sync("META", kinds=["names"]).changed.total()
    assert [name.symbol for name in names_of(desk.store, "META")] == ["FB", "META"]


def test_names_of_the_whole_market_are_fetched_if_that_is_said(desk):
    desk.vendor.tickers = [ticker("META"), ticker("A")]
    desk.vendor.events = {"META": [("2022-06-09", "META"), ("2012-05-18", "FB")]}
    desk.sync()
    assert not any("events" in target for target in desk.asked)
    assert desk.sync(kinds=["names"]).changed == {"names": 1}
    assert sum("events" in target for target in desk.asked) == 2


def test_only_stocks_have_splits_and_names(desk):
    desk.sync("X:BTC-USD", "I:SPX", kinds=["splits", "dividends", "names"])
    assert desk.asked == []


# Every day


def keeper(desk: Desk, *kinds: Any) -> ReferenceKeeper:
    return ReferenceKeeper(
        desk.store,
        desk.rest,
        kinds,
        symbols=lambda: ("A",),
        clock=desk.clock,
        logger=logging.getLogger("tests.reference"),
        stop=threading.Event(),
        retry_s=60.0,
    )


def test_the_worker_refreshes_once_a_day_restarts_included(desk):
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2), split("A", "2020-02-03", 0, 2)]
    for hours, expected in ((0, 1), (0, 0), (10, 0), (14, 1)):
        desk.clock.advance(hours * 3600)
        desk._server.requests.clear()
        one = keeper(desk, "splits")
        assert one.refresh()
        assert len(desk.asked) == expected
    assert one.describe() == {"refreshed": "2026-10-06 16:00:00Z", "unusable": {}, "error": ""}


@pytest.mark.parametrize("is_market", [False, True])
@pytest.mark.parametrize(
    ("kind", "group"),
    [("splits", "1D/SPLITS"), ("tickers", "24H/TICKER"), ("names", "24H/NAMES")],
)
def test_a_bucket_of_somebody_else_costs_its_symbol_and_no_other(desk, kind, group, is_market):
    days = np.array(["2020-08-31", "2021-08-31"], "M8[ns]")
    desk.store.write(f"A/{group}", {"Epoch": days, "Mine": np.ones(2)}, variable=True)
    before = desk.store.read(f"A/{group}")["Mine"].tolist()
    desk.vendor.splits = [split(name, "2020-01-02", 1, 2) for name in "AB"]
    desk.vendor.tickers = [ticker(name) for name in "AB"]
    desk.vendor.events = {name: [("2012-05-18", "OLD"), ("2022-06-09", name)] for name in "AB"}
    symbols = () if is_market else ("A", "B")
    report = desk.sync(*symbols, kinds=[kind])
    [(reason, count)] = report.unusable.items()
    assert (count, f"A/{group} holds other columns" in reason) == (1, True)
    assert "destroy it" in reason
    assert [name.symbol for name in names_of(desk.store, "A")] == ["A"]
    assert len(desk.store.read(f"B/{group}"))
    assert desk.store.read(f"A/{group}")["Mine"].tolist() == before
    is_told = is_market and kind == "splits"  # of the others a whole market is always all of it
    assert reason.endswith("massive_reference --symbols A --whole") == is_told
    if is_told:
        desk.store.destroy(f"A/{group}")
        desk.sync("A", kinds=[kind], whole=True)
        assert len(desk.store.read(f"A/{group}"))
    if not is_market:
        assert not is_due(desk.store, kind, symbols, NOW)
        desk.store.destroy(f"A/{group}")
        assert is_due(desk.store, kind, symbols, NOW)
        assert not desk.sync(*symbols, kinds=[kind]).unusable
        assert len(desk.store.read(f"A/{group}"))


@pytest.mark.parametrize("kind", ["splits", "names"])
def test_a_clock_that_was_ahead_once_holds_nothing_up(desk, kind):
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2)]
    desk.vendor.events = {"A": []}
    desk.clock = ManualClock(NOW + 365 * DAY_NS)
    assert keeper(desk, kind).refresh()
    desk.vendor.splits += [split("A", "2026-10-05", 1, 4)]
    desk.clock = ManualClock(NOW)
    desk._server.requests.clear()
    assert keeper(desk, kind).refresh()
    assert len(desk.asked) == 1
    if kind == "splits":
        assert desk.rows("A/1D/SPLITS", "To") == [("2020-01-02", 2), ("2026-10-05", 4)]
    assert keeper(desk, kind).refresh()
    assert len(desk.asked) == 1


def test_a_refresh_that_fails_is_told_and_tried_again(desk, caplog):
    desk.vendor.broken = 500
    one = keeper(desk, "splits", "tickers")
    assert not one.refresh()
    assert "the service fails (500)" in one.describe()["error"]
    assert "next try in 60 s" in caplog.text
    desk.vendor.broken = 0
    desk.vendor.tickers = [ticker("A")]
    assert one.refresh()
    assert one.describe()["error"] == ""
    assert desk.rows("A/24H/TICKER", "Active") == [("2026-10-05", True)]


# The command


@pytest.fixture
def command(desk: Desk, tmp_path, monkeypatch, capsys):
    """Runs the command on a store of its own; gives its exit code, and what it printed."""
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)

    def run(*arguments: str) -> tuple[int, str, str]:
        url = ["--base-url", desk._server.url, "--dir", str(tmp_path / "other")]
        monkeypatch.setattr("sys.argv", ["massive_reference", *url, *arguments])
        code = 0
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        out, err = capsys.readouterr()
        return code, out, err

    return run


def test_the_command_says_what_changed_and_what_it_cost(desk, command, tmp_path):
    desk.vendor.splits = [split("A", "2020-01-02", 1, 2), split("A", "2021-01-04", 0, 1)]
    desk.vendor.tickers = [ticker("A")]
    code, out, err = command("--symbols", "A,NOSUCH")
    assert (code, err.splitlines()[1]) == (0, "splits of 2 symbols")
    assert out.splitlines() == [
        "changed: 1 splits, 1 tickers",
        "left out: 1 x split with a side that is not above 0",
        "not known to the vendor: NOSUCH; check the spelling",
        "requests with this key: 9 of 6,000 in the last minute, 9 in 24 hours",
    ]
    _, out, err = command("--symbols", "A", "--kinds", "splits")
    assert (out.splitlines()[0], err.splitlines()[1]) == ("nothing changed", "splits of 1 symbol")
    code, out, _ = command("--kinds", "tickers,names")
    assert (code, out.splitlines()[0]) == (0, "nothing changed")
    with tsstore.open(tmp_path / "other", read_only=True) as store:
        assert store.read("A/1D/SPLITS")["To"].tolist() == [2.0]


def test_the_command_says_what_is_wrong(desk, command):
    code, _, err = command("--kinds", "splits,news")
    assert (code, "--kinds news: use some of splits,dividends,tickers,names" in err) == (2, True)
    desk.vendor.broken = 401
    code, _, err = command("--symbols", "A", "--requests-per-minute", "5000")
    assert code == 5
    assert "refuses the API key" in err
