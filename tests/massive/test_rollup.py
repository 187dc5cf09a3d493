"""The roll-up: a real client, the simulator as vendor, and what its own minutes make."""

from __future__ import annotations

import logging
import signal
import socket
import subprocess
import sys
import threading
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import pytest

import tsstore
from tests.massive.http_server import Server, Vendor, bar
from tsstore import Schema, Write, WriteTable
from tsstore.clock import ManualClock
from tsstore.errors import ConfigError
from tsstore.plugin import FatalPluginError, WorkerContext
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND
from tsstore_massive.missing.journal import Journal
from tsstore_massive.rollup import Worker
from tsstore_massive.rollup.compare import Differs, Tolerance, differences, official_of
from tsstore_massive.rollup.config import Config
from tsstore_massive.rollup.day import DayBars, Tracked, collected, day_bars
from tsstore_massive.rollup.ledger import KEY as LEDGER
from tsstore_massive.schemas import BARS
from tsstore_massive.sessions import MarketCalendar
from tsstore_massive_simulator.flatfiles import FlatFileMarket
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.rows import Kind
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

NEW_YORK = "America/New_York"
SYMBOLS = ["AAPL", "BRK.B", "SPY"]
MARKET = GeneratedMarket(3, SYMBOLS)
#: A half day, a weekend, and days before them; the simulator's present is after all of them.
DAYS = [date(2024, 11, 27), date(2024, 11, 29), date(2024, 12, 2)]
HALF_DAY = DAYS[1]
NAMES = {"Open": "open", "High": "high", "Low": "low", "Close": "close", "Volume": "volume",
         "VWAP": "vwap", "TradeCount": "transactions"}  # fmt: skip


@pytest.fixture(scope="module")
def vendor() -> Iterator[tuple[Simulator, str]]:
    start_ns = MarketCalendar().session(date(2024, 12, 4)).open_ns
    simulator = Simulator(MARKET, speed=1, start_ns=start_ns)
    with simulator.in_background() as url:
        yield simulator, url


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tsstore.Store]:
    with tsstore.open(tmp_path / "data", timezone=NEW_YORK) as store:
        yield store


def bars_of(kind: Kind, day: date, symbol: str, market: Any = MARKET) -> dict[str, Any]:
    rows = market.rows(kind, day, [symbol])
    return {ours: rows[theirs].astype("f8") for ours, theirs in NAMES.items()} | {
        "Epoch": rows["window_start"].view("M8[ns]")
    }


def fill(store: tsstore.StoreApi, days: list[date], symbols: list[str] = SYMBOLS) -> None:
    for day in days:
        for symbol in symbols:
            rows = bars_of(Kind.MINUTES, day, symbol)
            store.commit([Write(f"{symbol}/1Min/OHLCV", rows, BARS)])


class Stopping(ManualClock):
    """Ends the worker after some looks at what is due."""

    def __init__(self, now_ns: int, stop: threading.Event, looks: int) -> None:
        super().__init__(now_ns)
        self._stop, self._left = stop, looks

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        self._left -= 1
        if self._left <= 0:
            self._stop.set()
        return super().wait(event, timeout_s)


def settled_ns(day: date, hours: float = 4) -> int:
    session = MarketCalendar().session(day)
    return session.extended_close_ns + int(hours * 3600) * NS_PER_SECOND


def run(
    store: tsstore.StoreApi, url: str, now_ns: int, *, looks: int = 1, **options: Any
) -> dict[str, Any]:
    """Let a worker look at what is due; gives its status."""
    options = {"api_key": "secret-key-0001", "base_url": url, "days": 3} | options
    stop = threading.Event()
    clock = Stopping(now_ns, stop, looks)
    logger = logging.getLogger("tests.rollup")
    context = WorkerContext("rollup", store, clock, logger, stop, timezone=NEW_YORK)
    Worker(context, msgspec.convert(options, Config)).run()
    return context.status


def midnight(day: date) -> np.datetime64:
    return np.datetime64(MarketCalendar().session(day).extended_open_ns - 4 * 3600 * 10**9, "ns")


def test_days_that_were_missed_are_closed_with_the_vendors_bars(store, vendor):
    fill(store, DAYS)
    status = run(store, vendor[1], settled_ns(DAYS[-1]))
    assert status["closed"] == str(DAYS[-1])
    assert (status["symbols"], status["official"], status["differ"]) == (3, 3, 0)
    assert status["waiting"] == {}
    for symbol in SYMBOLS:
        stored = store.read(f"{symbol}/1D/OHLCV")
        assert stored.ts.view("M8[ns]").tolist() == [midnight(day).item() for day in DAYS]
        for at, day in enumerate(DAYS):
            wanted = bars_of(Kind.DAYS, day, symbol)
            assert {n: stored[n][at] for n in NAMES} == {n: wanted[n][0] for n in NAMES}
    assert len(store.read(LEDGER)) == 3
    assert store.list("*/1D/ROLLUP") == []


def test_stocks_off_the_exchanges_are_closed_with_the_vendors_bars_too(store):
    vendor, day = Vendor(), DAYS[0]
    for symbol, close in (("AAPL", 10.0), ("GTE", 0.25)):
        minute = bars_of(Kind.MINUTES, day, "AAPL")
        store.write(f"{symbol}/1Min/OHLCV", minute, schema=BARS)
        vendor.bars[symbol] = [bar(midnight(day).astype(int).item(), close)]
    vendor.bars["GTE"][0]["otc"] = True
    with Server(vendor) as server:
        status = run(store, server.url, settled_ns(day), days=1)
    assert (status["symbols"], status["official"]) == (2, 2)
    assert store.read("GTE/1D/OHLCV")["Close"].tolist() == [0.25]


def test_nothing_is_done_before_the_day_is_settled_nor_twice(store, vendor):
    fill(store, DAYS)
    asked = vendor[0].state()["replies"].get("200", 0)
    run(store, vendor[1], settled_ns(DAYS[-1]) - 1)
    assert len(store.read(LEDGER)) == 2
    # Half days settle three hours earlier, as they end.
    assert settled_ns(HALF_DAY) - MarketCalendar().session(HALF_DAY).close_ns == 8 * 3600 * 10**9
    run(store, vendor[1], settled_ns(DAYS[-1]), looks=3)
    assert len(store.read(LEDGER)) == 3
    assert vendor[0].state()["replies"]["200"] - asked == 3  # one request for each day


def test_differences_are_told_and_go_when_the_minutes_are_mended(store, vendor, caplog):
    fill(store, DAYS[-1:])
    good = store.read("SPY/1Min/OHLCV")
    # The first minute of regular trading lacks, and one has a price that nobody paid.
    session = MarketCalendar().session(DAYS[-1])
    first = int(np.searchsorted(good.ts, session.open_ns))
    minute = np.datetime64(int(good.ts[first]), "ns")
    store.delete("SPY/1Min/OHLCV", minute, minute)
    wrong = {name: good[name][first + 5 : first + 6] for name in good.names} | {
        "Epoch": good.ts[first + 5 : first + 6].view("M8[ns]"),
        "High": [9999.0],
    }
    store.write("SPY/1Min/OHLCV", wrong)
    store.destroy("AAPL/1Min/OHLCV")
    fill(store, [date(2024, 11, 26)], ["AAPL"])  # tracked, and nothing of this day
    with caplog.at_level(logging.INFO):
        status = run(store, vendor[1], settled_ns(DAYS[-1]), days=1)
    assert status["differ"] == 2
    assert status["differences"] == {"open": 1, "high": 1, "minutes": 1}
    assert status["examples"][0] == "AAPL: no minutes of the day"
    assert "high 9999 by minutes" in status["examples"][1]
    assert "2 differ (1 open, 1 high, 1 minutes)" in caplog.text
    found = store.read("SPY/1D/ROLLUP")
    assert found["High"].tolist() == [9999.0]
    assert found["Minutes"].tolist() == [len(good) - 1]
    assert Differs(int(found["Differs"][0])) == Differs.OPEN | Differs.HIGH
    assert np.isnan(store.read("AAPL/1D/ROLLUP")["Close"]).all()
    official = bars_of(Kind.DAYS, DAYS[-1], "SPY")
    assert store.read("SPY/1D/OHLCV")["High"].tolist() == official["High"].tolist()
    # Mended and closed again, as a day is whose entry is deleted.
    store.write("SPY/1Min/OHLCV", good)
    store.delete(LEDGER)
    status = run(store, vendor[1], settled_ns(DAYS[-1]), days=1)
    assert status["differences"] == {"minutes": 1}
    assert len(store.read("SPY/1D/ROLLUP")) == 0


def test_symbols_of_which_nothing_was_collected_yet_are_left_out(store, vendor):
    fill(store, DAYS)
    store.delete("AAPL/1Min/OHLCV", end=midnight(DAYS[-1]))
    store.write("X:BTC-USD/1Min/OHLCV", store.read("SPY/1Min/OHLCV"))
    run(store, vendor[1], settled_ns(DAYS[-1]))
    assert len(store.read("AAPL/1D/OHLCV")) == 1
    assert len(store.read("SPY/1D/OHLCV")) == 3
    assert "X:BTC-USD/1D/OHLCV" not in store.list()


def test_history_that_comes_later_is_closed_as_well(store, vendor):
    fill(store, DAYS, SYMBOLS[:1])
    fill(store, DAYS[-1:], SYMBOLS[1:2])
    run(store, vendor[1], settled_ns(DAYS[-1]))
    fill(store, DAYS[:-1], SYMBOLS[1:2])
    run(store, vendor[1], settled_ns(DAYS[-1]))
    assert len(store.read(f"{SYMBOLS[1]}/1D/OHLCV")) == 3
    assert store.read(LEDGER)["Tracked"].tolist() == [2, 2, 2]


def test_a_bucket_of_other_columns_costs_its_symbol_alone(store, vendor, caplog):
    fill(store, DAYS[-1:])
    theirs = {"Epoch": ["2020-01-02"], "Close": np.ones(1, "f4")}
    store.write("AAPL/1D/OHLCV", theirs)
    with caplog.at_level(logging.INFO):
        status = run(store, vendor[1], settled_ns(DAYS[-1]), days=1)
    assert (status["symbols"], status["official"], status["misfits"]) == (2, 2, ["AAPL"])
    assert "such as AAPL, whose 1D/OHLCV has other columns" in caplog.text
    assert len(store.read("AAPL/1D/OHLCV")) == 1
    assert len(store.read("SPY/1D/OHLCV")) == 1


def test_a_day_of_which_minutes_are_still_fetched_waits_for_them(store):
    fill(store, [HALF_DAY])
    noon_ns = MarketCalendar().session(HALF_DAY).open_ns + 3600 * NS_PER_SECOND
    journal = Journal(store, "a")

    def closed(hours: float, *gaps: tuple[int, int, str]) -> bool:
        journal.write({"bars": gaps})
        run(store, "http://127.0.0.1:9", settled_ns(HALF_DAY, hours), check=False, days=1)
        return LEDGER in store.list()

    assert not closed(4, (noon_ns, noon_ns, "SPY"))
    assert not closed(4, (noon_ns, noon_ns, ""))
    assert closed(4, (noon_ns, noon_ns, "X:BTC-USD"), (0, noon_ns - NS_PER_DAY, "SPY"))
    store.destroy(LEDGER)
    assert closed(28, (noon_ns, noon_ns, "SPY"))  # nobody fetches them


def test_without_the_vendor_bars_of_minutes_are_stored(store):
    fill(store, [HALF_DAY])
    run(store, "http://127.0.0.1:9", settled_ns(HALF_DAY), check=False, days=1)
    session = MarketCalendar().session(HALF_DAY)
    minutes = store.read("SPY/1Min/OHLCV")
    regular = (minutes.ts >= session.open_ns) & (minutes.ts < session.close_ns)
    stored = store.read("SPY/1D/OHLCV")
    assert stored["Open"][0] == minutes["Open"][regular][0]
    assert stored["Close"][0] == minutes["Close"][regular][-1]
    assert stored["High"][0] == minutes["High"][regular].max()
    assert stored["Volume"][0] == pytest.approx(minutes["Volume"].sum())
    assert store.read(LEDGER)["Official"].tolist() == [0]
    assert store.list("*/1D/ROLLUP") == []


def test_a_vendor_that_has_nothing_yet_is_asked_again_and_not_for_ever(store, vendor):
    fill(store, DAYS[-1:])
    faults = vendor[0].faults
    faults.set_text("forbidden=today")
    faults.set_text("forbidden_paths=/v2/aggs/grouped")
    try:
        status = run(store, vendor[1], settled_ns(DAYS[-1]), days=1)
        assert "before end of day" in status["waiting"][str(DAYS[-1])]
        assert store.list("*/1D/OHLCV") == []
        run(store, vendor[1], settled_ns(DAYS[-1], 29), days=2)  # and waits for the next day
    finally:
        faults.clear("forbidden")
        faults.clear("forbidden_paths")
    assert store.read(LEDGER)["Official"].tolist() == [0]
    store.delete(LEDGER)
    assert run(store, vendor[1], settled_ns(DAYS[-1]), days=1)["waiting"] == {}
    assert store.read(LEDGER)["Official"].tolist() == [3]


def test_a_refused_key_is_fatal(store, vendor):
    fill(store, DAYS[-1:])
    vendor[0].faults.set_text("wrong_key=1")
    with pytest.raises(FatalPluginError, match="refuses the API key"):
        run(store, vendor[1], settled_ns(DAYS[-1]), days=1)


def test_a_vendor_that_cannot_be_reached_is_told_once_and_asked_again(store, vendor, caplog):
    fill(store, DAYS)
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        port = nobody.getsockname()[1]
    status = run(store, f"http://127.0.0.1:{port}", settled_ns(DAYS[-1]), looks=6)  # with pauses
    assert f"127.0.0.1:{port} cannot be reached" in status["alarm"]
    assert list(status["waiting"]) == [str(DAYS[0])]  # the others are not tried
    [told] = [each.getMessage() for each in caplog.records if each.levelname == "WARNING"]
    assert status["alarm"] in told
    assert "check the network and base_url" in told
    assert run(store, vendor[1], settled_ns(DAYS[-1]))["alarm"] == ""


def test_bars_of_made_up_minutes_are_marked_and_not_compared(store, vendor):
    fill(store, DAYS[-1:], ["SPY"])
    made_up = Schema.of(BARS.dtypes, synthetic=True)
    store.commit([Write("AAPL/1Min/OHLCV", bars_of(Kind.MINUTES, DAYS[-1], "SPY"), made_up)])
    status = run(store, vendor[1], settled_ns(DAYS[-1]), days=1)
    assert (status["symbols"], status["official"], status["differ"]) == (2, 1, 0)
    assert store.info("AAPL/1D/OHLCV").schema.synthetic
    assert not store.info("SPY/1D/OHLCV").schema.synthetic


def test_days_of_made_up_minutes_alone_need_no_vendor(store, caplog, monkeypatch):
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    caplog.set_level(logging.INFO)
    nobody = {"url": "http://127.0.0.1:9", "now_ns": settled_ns(DAYS[-1]), "days": 1}
    run(store, **nobody, api_key="")  # nothing is stored yet, so nobody can know
    assert "the first real minutes need one" in caplog.text
    caplog.clear()
    made_up = Schema.of(BARS.dtypes, synthetic=True)
    store.commit([Write("SPY/1Min/OHLCV", bars_of(Kind.MINUTES, DAYS[-1], "SPY"), made_up)])
    status = run(store, **nobody, api_key="")
    assert (status["symbols"], status["made_up"], status["waiting"]) == (1, 1, {})
    assert status["alarm"] == ""
    [told] = [each.getMessage() for each in caplog.records]
    assert told == f"closed {DAYS[-1]}: 1 bars, all made up, so the vendor has none to compare with"
    assert store.info("SPY/1D/OHLCV").schema.synthetic
    assert store.info(LEDGER).schema.synthetic
    fill(store, DAYS[-1:], ["AAPL"])
    with pytest.raises(ConfigError, match="no Massive API key"):
        run(store, **nobody, api_key="")


def test_the_key_is_in_no_text():
    config = Config(api_key="secret-key-0001", days=3)
    assert "secret" not in f"{config!r} {config.__rich_repr__()}"
    assert "days=3" in repr(config)


# What counts as a difference


def compared(ours: dict[str, float], theirs: dict[str, float] | None) -> Differs:
    bar = {"Open": 10.0, "High": 12.0, "Low": 9.0, "Close": 11.0, "Volume": 900.0}
    who = Tracked(np.array(["A"]), np.array([False]))
    nothing = {name: np.array([np.nan]) for name in BARS.names}
    made = nothing | {name: np.array([value]) for name, value in (bar | ours).items()}
    count = 0 if ours.get("Close", 0) != ours.get("Close", 0) else 390
    table = None
    if theirs is not None:
        official = bar | {"Volume": 1000.0} | theirs
        table = {"Symbol": ["0", "A", "Z"]}
        table |= {name: np.array([1.0, value, 1.0]) for name, value in official.items()}
    made_bars = DayBars(made, np.array([count]))
    return Differs(int(differences(made_bars, official_of(table, who), Tolerance())[0]))


NONE = {name: float("nan") for name in BARS.names}


@pytest.mark.parametrize(
    ("ours", "theirs", "wanted"),
    [
        ({}, {}, Differs(0)),
        ({"Open": 10.01}, {}, Differs.OPEN),
        ({"High": 12.01}, {}, Differs.HIGH),
        ({"Low": 8.9}, {}, Differs.LOW),
        # The closing auction went beyond all minutes.
        ({}, {"High": 12.1, "Close": 12.1}, Differs.CLOSE),
        ({"Close": 12.0}, {"High": 12.1, "Close": 12.1}, Differs(0)),
        ({"Close": 9.05}, {"Low": 8.95, "Close": 8.95}, Differs(0)),
        ({"High": 12.2}, {"High": 12.1, "Close": 12.1}, Differs.HIGH | Differs.CLOSE),
        ({"Close": 10.9}, {}, Differs(0)),
        ({"Close": 10.7}, {}, Differs.CLOSE),
        ({"Volume": 601.0}, {}, Differs(0)),
        ({"Volume": 599.0}, {}, Differs.VOLUME),
        ({"Volume": 1660.0}, {}, Differs(0)),
        ({"Volume": 1670.0}, {}, Differs.VOLUME),
        (NONE, {}, Differs.MINUTES),
        (NONE, {"Volume": 0.0}, Differs(0)),  # a test ticker
        (NONE, None, Differs(0)),
        ({}, None, Differs.OFFICIAL),
    ],
)
def test_what_is_a_difference(ours, theirs, wanted):
    assert compared(ours, theirs) == wanted


def test_many_symbols_are_made_as_one_by_one(store):
    """In portions, with symbols that have no minutes, or none in regular trading, in between."""
    day = DAYS[-1]
    session = MarketCalendar().session(day)
    random = np.random.default_rng(7)
    tables = []
    for number in range(1_100):
        count = int(random.integers(0, 4))
        minutes = np.sort(random.choice(960, count, replace=False))
        prices = random.integers(100, 200, (4, count)).astype("f8")
        tables.append((f"S{number:04}", minutes, prices))
    epoch = [session.extended_open_ns + minutes * 60 * 10**9 for _, minutes, _ in tables]
    columns = np.concatenate([prices for *_, prices in tables], axis=1)
    store.commit(
        [
            WriteTable(
                "1Min/OHLCV",
                {
                    "Symbol": np.repeat([s for s, *_ in tables], [len(m) for _, m, _ in tables]),
                    "Epoch": np.concatenate(epoch).view("M8[ns]"),
                    **dict(zip(("Open", "High", "Low", "Close"), columns, strict=True)),
                    "Volume": columns[0],
                    "VWAP": columns[1],
                    "TradeCount": np.full(columns.shape[1], np.nan),
                },
                BARS,
            )
        ]
    )
    who = collected(store).tracked(session)
    assert who.symbols.tolist() == [s for s, minutes, _ in tables if len(minutes)]
    made = day_bars(store, who.symbols, session, lambda: False)
    place = {symbol: at for at, symbol in enumerate(who.symbols.tolist())}
    for symbol, minutes, prices in tables:
        if not len(minutes):
            continue
        at = place[symbol]
        assert made.minutes[at] == len(minutes)
        regular = (minutes >= 330) & (minutes < 720)
        got = [made.columns[name][at] for name in ("Open", "High", "Low", "Close", "Volume")]
        if not regular.any():
            assert np.isnan(got).all()
            continue
        inside = prices[:, regular]
        wanted = [inside[0][0], inside[1].max(), inside[2].min(), inside[3][-1], prices[0].sum()]
        assert got == wanted


def test_real_minutes_make_the_prices_of_the_real_day(store, real_data):
    """The files are of another source than the vendor: prices agree, volumes are counted apart."""
    market, day = FlatFileMarket(real_data), date(2013, 10, 7)
    names = market.rows(Kind.MINUTES, day).tickers
    for symbol in names:
        rows = bars_of(Kind.MINUTES, day, symbol, market)
        store.commit([Write(f"{symbol}/1Min/OHLCV", rows, BARS)])
    session = MarketCalendar().session(day)
    who = collected(store).tracked(session)
    made = day_bars(store, who.symbols, session, lambda: False)
    days = [bars_of(Kind.DAYS, day, symbol, market) for symbol in who.symbols.tolist()]
    for name in ("Open", "High", "Low", "Close"):
        assert made.columns[name].tolist() == [bar[name][0] for bar in days]
    table = {name: np.array([bar[name][0] for bar in days]) for name in NAMES}
    official = official_of({"Symbol": list(who.symbols), **table}, who)
    assert not differences(made, official, Tolerance()).any()


# A process that is killed

CHILD = """
import logging, sys, threading
import tsstore
from tsstore.clock import ManualClock
from tsstore.errors import ConfigError
from tsstore.plugin import WorkerContext
from tsstore_massive.rollup import Worker
class Telling(tsstore.Store):
    def commit(self, operations):
        print("committing", flush=True)
        return super().commit(operations)
with Telling(sys.argv[1]) as store:
    clock = ManualClock(int(sys.argv[3]))
    context = WorkerContext("rollup", store, clock, logging.getLogger(), timezone=store.timezone)
    config = Worker.Config(api_key="secret-key-0001", base_url=sys.argv[2], days=3)
    Worker(context, config).run()
"""


def test_a_kill_leaves_whole_days_and_the_next_start_closes_the_rest(tmp_path, vendor):
    path = tmp_path / "data"
    with tsstore.open(path, timezone=NEW_YORK) as store:
        fill(store, DAYS)
    with subprocess.Popen(
        [sys.executable, "-c", CHILD, str(path), vendor[1], str(settled_ns(DAYS[-1]))],
        stdout=subprocess.PIPE, text=True,
    ) as process:  # fmt: skip
        for _ in range(2):  # the second day is under way
            assert process.stdout.readline() == "committing\n"
        process.send_signal(signal.SIGKILL)
    with tsstore.open(path, timezone=NEW_YORK) as store:
        closed = (store.read(LEDGER).ts // NS_PER_DAY).astype("M8[D]").tolist()
        assert closed in (DAYS[:1], DAYS[:2])
        for symbol in SYMBOLS:
            assert len(store.read(f"{symbol}/1D/OHLCV")) == len(closed)
        run(store, vendor[1], settled_ns(DAYS[-1]))
        assert len(store.read(LEDGER)) == 3
        for symbol in SYMBOLS:
            assert len(store.read(f"{symbol}/1D/OHLCV")) == 3
