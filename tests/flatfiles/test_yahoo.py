"""`--fallback yfinance`: the real package, on a server that answers as Yahoo's charts do."""

from __future__ import annotations

import json
import threading
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.massive.backfilling import at
from tests.massive.http_server import Reply, Server
from tsstore.clock import ManualClock
from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore.times import to_ns
from tsstore_massive.config import Config
from tsstore_massive.flatfiles import providers
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.fallback import Context
from tsstore_massive.flatfiles.planning import Missing
from tsstore_massive.flatfiles.providers import find_provider
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.schemas import BARS

if TYPE_CHECKING:
    from collections.abc import Iterator

    import tsstore

MINUTES, DAYS = (FlatSet.of("stocks", name) for name in ("minute_aggs", "day_aggs"))
MONDAY, TUESDAY = date(2026, 6, 1), date(2026, 6, 2)
#: Yahoo's package is behind with what pandas gives up.
pytestmark = [
    pytest.mark.filterwarnings(f"ignore::{kind}")
    for kind in ("DeprecationWarning", "FutureWarning")
]
NEW_YORK = "America/New_York"


class Yahoo:
    """Answers `/v8/finance/chart/{symbol}` out of a table of bars by symbol and interval.

    The package keeps answers for the life of the process, so each test has symbols of its own.
    """

    def __init__(self) -> None:
        self.bars: dict[tuple[str, str], list[tuple]] = {}

    def __call__(self, request) -> Reply:
        if not request.path.startswith("/v8/finance/chart/"):
            return Reply(b"crumb")
        symbol, interval = request.path.rpartition("/")[2], request.query["interval"]
        rows = self.bars.get((symbol, interval), [])
        if symbol not in {known for known, _ in self.bars}:
            error = {"code": "Not Found", "description": "No data found, symbol may be delisted"}
            return Reply(json.dumps({"chart": {"result": None, "error": error}}).encode(), 404)
        if "period1" in request.query:
            low, high = int(request.query["period1"]), int(request.query["period2"])
            rows = [row for row in rows if low <= row[0] < high]
        return Reply(json.dumps(chart(symbol, interval, rows)).encode())


def chart(symbol: str, interval: str, rows: list[tuple]) -> dict:
    names = ("open", "high", "low", "close", "volume")
    quote = {name: [row[n + 1] for row in rows] for n, name in enumerate(names)}
    day = at("2026-06-02") // 10**9
    period = {"timezone": "EDT", "gmtoffset": -14_400}
    periods = {
        name: period | {"start": day + 3_600 * start, "end": day + 3_600 * end}
        for name, start, end in (("pre", 4, 9.5), ("regular", 9.5, 16), ("post", 16, 20))
    }
    meta = {
        "symbol": symbol, "currency": "USD", "instrumentType": "EQUITY", "gmtoffset": -14_400,
        "timezone": "EDT", "exchangeTimezoneName": NEW_YORK, "exchangeName": "NMS",
        "dataGranularity": interval, "range": "", "priceHint": 2, "firstTradeDate": 345_479_400,
        "regularMarketTime": day + 16 * 3_600, "regularMarketPrice": 2.0,
        "validRanges": ["1d", "5d", "max"], "currentTradingPeriod": periods,
    }  # fmt: skip
    indicators = {"quote": [quote]}
    if interval == "1d":
        indicators["adjclose"] = [{"adjclose": quote["close"]}]
    result = {"meta": meta, "timestamp": [row[0] for row in rows], "indicators": indicators}
    return {"chart": {"result": [result], "error": None}}


@pytest.fixture
def yahoo(monkeypatch: pytest.MonkeyPatch, tmp_path) -> Iterator[tuple[Yahoo, Server]]:
    package = pytest.importorskip("yfinance")
    package.set_tz_cache_location(str(tmp_path))
    answers = Yahoo()
    with Server(answers) as server:
        yield answers, server


@pytest.fixture
def fill(yahoo, store: tsstore.Store):
    import requests
    from requests.adapters import HTTPAdapter

    class ToServer(HTTPAdapter):
        """Sends to the server of the test what goes to Yahoo."""

        def send(self, request, **options):
            request.url = yahoo[1].url + request.path_url
            return super().send(request, **options)

    def once(flat: FlatSet, *days: date, symbols=("AAPL",)):
        session = requests.Session()
        session.trust_env = False
        session.mount("https://", ToServer())
        context = Context(store, Config(), ManualClock(to_ns("2026-06-03")), threading.Event())
        provider = find_provider("yfinance")
        with session, provider(context, session) as fallback:
            fallback.check(flat)
            missing = [Missing(flat, day, "pending", "") for day in days]
            return fallback.fill(missing, Selection(symbols))

    return once


def bar(text: str, *prices: float) -> tuple:
    return (at(text) // 10**9, *prices)


def test_minutes_of_the_days_asked_for_are_stored(yahoo, fill, store):
    yahoo[0].bars["BRK-B", "1m"] = [
        bar("2026-05-29 15:59", 1, 1, 1, 1, 1),
        bar("2026-06-01 04:00", 1.5, 2.5, 1.25, 2, 100),
        bar("2026-06-01 09:31", None, None, None, None, None),
        bar("2026-06-02 19:59", 2, 3, 2, 3, 200),
    ]
    filled = fill(MINUTES, MONDAY, TUESDAY, symbols=("BRK.B",))
    assert (filled.rows, filled.gaps) == (2, [])
    rows = store.read("BRK.B/1Min/OHLCV")
    assert rows.ts.tolist() == [at("2026-06-01 04:00"), at("2026-06-02 19:59")]
    assert [rows[name][0] for name in ("Open", "High", "Low", "Close", "Volume")] == [
        1.5, 2.5, 1.25, 2.0, 100.0,
    ]  # fmt: skip
    assert np.isnan(rows["VWAP"]).all()
    assert store.info("BRK.B/1Min/OHLCV").schema == BARS


def test_a_days_bar_stands_at_its_date(yahoo, fill, store):
    yahoo[0].bars["IBM", "1d"] = [bar("2026-06-01 09:30", 1, 3, 1, 2, 5)]
    assert fill(DAYS, MONDAY, symbols=("IBM",)).rows == 1
    assert store.read("IBM/1D/OHLCV").ts.tolist() == [to_ns("2026-06-01")]


def test_bars_that_are_there_stay(yahoo, fill, store):
    yahoo[0].bars["AAPL", "1m"] = [
        bar("2026-06-01 09:30", 9, 9, 9, 9, 9), bar("2026-06-01 09:31", 8, 8, 8, 8, 8),
    ]  # fmt: skip
    table = {"Epoch": np.array([at("2026-06-01 09:30")], "M8[ns]")}
    store.write("AAPL/1Min/OHLCV", table | {name: np.ones(1) for name in BARS.names}, schema=BARS)
    assert fill(MINUTES, MONDAY).rows == 1
    assert store.read("AAPL/1Min/OHLCV")["Close"].tolist() == [1.0, 8.0]


def test_a_symbol_that_yahoo_does_not_know_is_a_gap(yahoo, fill):
    yahoo[0].bars["MSFT", "1m"] = [bar("2026-06-01 09:30", 9, 9, 9, 9, 9)]
    filled = fill(MINUTES, MONDAY, symbols=("MSFT", "NOSUCH"))
    assert filled.rows == 1
    [gap] = filled.gaps
    assert gap.startswith("stocks minute_aggs of NOSUCH from 2026-06-01 to 2026-06-01: ")


def test_what_it_does_not_have_is_refused(fill):
    with pytest.raises(InvalidArgumentError, match="yfinance does not have stocks trades"):
        fill(FlatSet.of("stocks", "trades"), MONDAY)


def test_without_the_package_it_says_what_to_install(monkeypatch, store):
    monkeypatch.setitem(__import__("sys").modules, "yfinance", None)
    context = Context(store, Config(), ManualClock(), threading.Event())
    with pytest.raises(ConfigError, match="pip install"), find_provider("yfinance")(context):
        pass


# Which sources there are


def test_a_source_of_ones_own_is_named_by_its_path():
    assert find_provider("tests.flatfiles.test_yahoo:chart") is chart


def test_or_by_the_entry_point_of_a_package(monkeypatch):
    from importlib.metadata import EntryPoint, EntryPoints

    point = EntryPoint("mine", "tests.flatfiles.test_yahoo:chart", providers.GROUP)
    monkeypatch.setattr(
        providers, "entry_points", lambda **wanted: EntryPoints([point]).select(**wanted)
    )
    assert find_provider("mine") is chart
    with pytest.raises(InvalidArgumentError, match="there are mine, rest, yfinance"):
        find_provider("other")


@pytest.mark.parametrize("name", ["nosuch", "no.such:thing", "tests.flatfiles.test_yahoo:nothing"])
def test_a_source_that_is_not_there_is_told(name):
    with pytest.raises(InvalidArgumentError, match=f"--fallback {name}: "):
        find_provider(name)
