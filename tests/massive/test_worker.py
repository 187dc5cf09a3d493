"""The worker against the simulator: what streams and what is fetched add up to the market."""

from __future__ import annotations

import itertools
import logging
import threading
import time
from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from websockets.sync.client import connect

import tsstore
from tests.massive.simulated import KEY, QUICK, MarketClock, RunningWorker, replaying, simulator
from tsstore.clock import SystemClock
from tsstore.errors import ConfigError, LockedError
from tsstore.key import is_own
from tsstore.plugin import FatalPluginError
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore_massive import Worker
from tsstore_massive.missing.gaps import GapFiller
from tsstore_massive.missing.streamed import Streamed
from tsstore_massive.rest import RestClient
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive.schemas import SCHEMAS, STREAM_GROUPS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

    from tests.massive.simulated import Simulator
    from tsstore.columns import Columns

MS = 1_000_000
SECOND = 1_000 * MS
MINUTE = 60 * SECOND
#: Of bars, by kind.
LENGTHS = {"bars": MINUTE, "second_bars": SECOND}
FIRST_HOUR_NS = to_ns("2024-06-03 08:00")
#: Bars as they stay: without corrections, which could still be on their way at the end of a test.
NO_REVISIONS = "revised_bars=0.000001"


@pytest.fixture(autouse=True)
def _own_lock_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture(scope="module")
def well_behaved() -> Iterator[Simulator]:
    with simulator(NO_REVISIONS) as running:
        yield running


@pytest.fixture
def market(request: pytest.FixtureRequest) -> Iterator[Simulator]:
    """The simulator that all tests share; one of its own for a test that names faults."""
    faults = getattr(request, "param", ())
    if not faults:
        yield request.getfixturevalue("well_behaved")
        return
    with simulator(NO_REVISIONS, *faults) as running:
        yield running


def fetched(
    server: Simulator, symbol: str, kind: str, start_ns: int, end_ns: int
) -> Iterator[Columns]:
    """What the vendor's history says of a range."""
    with RestClient(
        server.url, KEY, clock=SystemClock(), stop=threading.Event(),
        limiter=RateLimiter(10_000, 60, SystemClock()),
    ) as rest:  # fmt: skip
        if kind in LENGTHS:
            timeframe = Timeframe.parse(STREAM_GROUPS[kind].partition("/")[0])
            yield from rest.bars(symbol, timeframe, start_ns, end_ns, adjusted=True)
        else:
            yield from getattr(rest, kind)(symbol, start_ns, end_ns)


#: What the socket does not tell, so that it differs between streamed and fetched rows.
FETCHED_ONLY = {"TradeCount", "ParticipantNs", "Correction"}


def rows_of(columns: Columns) -> Counter[tuple[Any, ...]]:
    """Rows to compare; times in milliseconds, since the socket has no finer ones."""
    names = [name for name in columns.names if name not in FETCHED_ONLY]
    arrays = [columns.ts // MS, *(columns[name] for name in names)]
    return Counter(zip(*(array.tolist() for array in arrays), strict=True))


def assert_complete(
    store: tsstore.Store,
    server: Simulator,
    start_ns: int,
    end_ns: int,
    symbols: Iterable[str] = ("AAPL", "NVDA", "SPY"),
    kinds: Iterable[str] = ("bars", "trades", "quotes"),
) -> None:
    """The store holds exactly what the market had between two instants, whole bars of it."""
    compared = 0
    for symbol, kind in itertools.product(symbols, kinds):
        # A streamed row stands at the start of its millisecond, so only whole ones are compared.
        length = LENGTHS.get(kind, MS)
        start, end = -(-start_ns // length) * length, end_ns // length * length - 1
        pages = fetched(server, symbol, kind, start, end)
        expected = sum(map(rows_of, pages), Counter[tuple[Any, ...]]())
        held = store.read(
            f"{symbol}/{STREAM_GROUPS[kind]}",
            start=np.datetime64(start, "ns"),
            end=np.datetime64(end, "ns"),
        )
        found = rows_of(held)
        lost, added = (
            sorted((expected - found).elements()),
            sorted((found - expected).elements()),
        )
        assert (lost, added) == ([], []), f"{symbol} {kind} from {start} to {end}"
        compared += len(expected)
    assert compared > 100


def last_ns(store: tsstore.Store, key: str) -> int:
    return (store.info(key).last_ns or 0) if key in store.list() else 0


def rows_stored(store: tsstore.Store) -> list[str]:
    return [key for key in store.list() if not is_own(key)]


#: Events come in the order of their time, but for bars, which come so late at most.
BARS_LATE = 5 * SECOND


def settled_ns(worker: RunningWorker, start_ns: int) -> int:
    """An instant two minutes of bars after the start, up to which everything is stored."""
    clock, store = worker.context.clock, worker.context.store
    worker.until(lambda: clock.now_ns() > start_ns + 2 * MINUTE)
    end_ns = clock.now_ns()
    worker.until(lambda: (store.info("SPY/1Min/QUOTE").last_ns or 0) > end_ns + BARS_LATE)
    worker.until_gapless()
    return end_ns


def test_what_streams_is_what_the_market_had(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until_received(10)
        start_ns = worker.context.clock.now_ns() + SECOND
        worker.until_received(1_000)
        end_ns = settled_ns(worker, start_ns)
    assert worker.error is None
    assert_complete(store, market, start_ns, end_ns)


ODDITIES = [
    "duplicates=0.05", "out_of_order=0.05", "unknown_event=0.02", "unknown_field=0.05",
    "float_ints=0.1", "malformed=0.02", "broken_json=0.05", "late_acks",
]  # fmt: skip


@pytest.mark.parametrize("market", [ODDITIES], indirect=True, ids=["odd"])
def test_odd_messages_cost_and_double_nothing(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until_received(10)
        start_ns = worker.context.clock.now_ns() + SECOND
        worker.until_received(1_000)
        end_ns = settled_ns(worker, start_ns)
        assert worker.status["connections"] == 1
        assert worker.status["faults"]["unknown event ZZ"] > 0
        assert worker.status["faults"]["frame that is no JSON"] > 0
    assert_complete(store, market, start_ns, end_ns)


@pytest.mark.parametrize("market", [["drop_every=700"]], indirect=True, ids=["drops"])
def test_what_is_missed_between_connections_is_fetched(
    market: Simulator, store: tsstore.Store
) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until_received(10)
        start_ns = worker.context.clock.now_ns() + SECOND
        worker.until(lambda: worker.status["connections"] >= 5)
        market.set_faults(drop_every=None)
        worker.until_received(800)
        end_ns = settled_ns(worker, start_ns)
    assert_complete(store, market, start_ns, end_ns)


def test_history_and_stream_of_one_day_double_nothing(
    market: Simulator, store: tsstore.Store
) -> None:
    starts = {"1Min": "2024-06-03", "trades": "2024-06-03", "quotes": "2024-06-03"}
    with RunningWorker(store, market, market.clock(), query_start=starts) as worker:
        worker.until_received(800)
        worker.until(lambda: worker.status["backfill"]["total"] > 0)
        worker.until(
            lambda: worker.status["backfill"]["done"] == worker.status["backfill"]["total"]
        )
        end_ns = settled_ns(worker, worker.context.clock.now_ns() - MINUTE)
    assert_complete(store, market, FIRST_HOUR_NS, end_ns)


def test_what_came_between_history_and_stream_is_fetched(store: tsstore.Store) -> None:
    starts = {"1Min": "2024-06-03", "trades": "2024-06-03", "quotes": "2024-06-03"}
    with (
        simulator(NO_REVISIONS, "refuse=503") as market,
        RunningWorker(store, market, market.clock(), query_start=starts) as worker,
    ):
        worker.until(lambda: worker.status.get("backfill", {}).get("total", 0) > 0)
        worker.until(
            lambda: worker.status["backfill"]["done"] == worker.status["backfill"]["total"]
        )
        clock = worker.context.clock
        clock.wait(threading.Event(), 0.2)  # several seconds of the market go by
        market.set_faults(refuse=None)
        end_ns = settled_ns(worker, clock.now_ns())
        assert_complete(store, market, FIRST_HOUR_NS, end_ns)


def test_a_new_start_goes_on_from_what_the_store_holds(market: Simulator, tmp_path: Path) -> None:
    clock = market.clock()
    with tsstore.open(tmp_path / "s") as store, RunningWorker(store, market, clock) as worker:
        worker.until_received(10)
        start_ns = clock.now_ns() + SECOND
        worker.until_received(800)
        worker.until(lambda: len(store.list("*/1Min/OHLCV")) == 3)
    clock.wait(threading.Event(), 1.0)  # half a minute of the market goes by
    with tsstore.open(tmp_path / "s") as store, RunningWorker(store, market, clock) as worker:
        assert set(Streamed.read(store, "").until_ns) == {"bars", "trades", "quotes"}
        worker.until_received(800)
        end_ns = settled_ns(worker, start_ns)
        assert_complete(store, market, start_ns, end_ns)


def test_a_gap_that_is_open_at_the_stop_is_filled_by_the_next_start(
    market: Simulator, store: tsstore.Store, monkeypatch: Any
) -> None:
    monkeypatch.setattr(
        "tsstore_massive.missing.resume.RESUME_GRID_NS", SECOND
    )  # else it may cover it
    clock = market.clock()
    never = replace(QUICK, settle_s=60)
    with RunningWorker(store, market, clock, patience=never) as worker:
        worker.until_received(10)
        start_ns = clock.now_ns() + SECOND
        worker.until_received(300)
        market.disconnect()
        worker.until(lambda: worker.status["connections"] == 2)
        back_ns = clock.now_ns()
        worker.until(lambda: clock.now_ns() > back_ns + MINUTE)
        worker.until_received(300)
        assert worker.status["gap_count"] == 3
    with RunningWorker(store, market, clock) as worker:
        worker.until_received(300)
        assert_complete(store, market, start_ns, settled_ns(worker, start_ns))


def test_a_gap_that_cannot_be_fetched_is_shown_until_it_is(
    market: Simulator, store: tsstore.Store
) -> None:
    with RunningWorker(store, market, market.clock(), data_types=["trades"]) as worker:
        worker.until_received(60)
        start_ns = worker.context.clock.now_ns() + SECOND
        worker.until_received(60)
        market.set_faults(forbidden="entitlement", forbidden_paths="/v3/trades")
        market.disconnect()
        worker.until(lambda: any("entitled" in gap["reason"] for gap in worker.status["gaps"]))
        assert worker.status["gaps"][0]["kind"] == "trades"
        market.set_faults(forbidden=None)
        market.disconnect()
        worker.until_received(60)
        assert worker.status["state"] == "streaming"
        assert start_ns < worker.context.clock.now_ns()


@pytest.mark.parametrize("market", [["server_error=20"]], indirect=True, ids=["5xx"])
def test_a_failing_rest_service_does_not_disturb_the_stream(
    market: Simulator, store: tsstore.Store
) -> None:
    with RunningWorker(store, market, market.clock(), query_start={"1Min": "2024-06-03"}) as worker:
        worker.until_received(1_000)
        assert worker.status["state"] == "streaming"


def test_a_real_day_streamed_and_backfilled_is_the_day(
    real_data: Path, store: tsstore.Store
) -> None:
    trades, quotes = 24_293, 109_066  # of IBM on 2013-10-07
    options: dict[str, Any] = {"symbols": ["IBM"], "data_types": ["trades", "quotes"]}
    next_day_ns = to_ns("2013-10-08 05:00")
    with replaying(real_data) as server:
        clock = MarketClock(next_day_ns, 1)
        with RunningWorker(store, server, clock, ws_query_start="2013-10-07", **options) as worker:
            worker.until(lambda: worker.status.get("rows", 0) == trades + quotes)
        streamed = store.read("IBM/1Sec/TRADE"), store.read("IBM/1Min/QUOTE")
        assert [len(rows) for rows in streamed] == [trades, quotes]
        starts = {"trades": "2013-10-07", "quotes": "2013-10-07"}
        server.set_faults(mute=True)
        with RunningWorker(store, server, clock, query_start=starts, **options) as worker:
            worker.until(lambda: worker.status.get("backfill", {}).get("done", 0) == 4)
            assert worker.status["backfill"]["rows"] >= trades + quotes
            assert worker.status["backfill"]["failed"] == 0
        for before, after in zip(
            streamed, (store.read("IBM/1Sec/TRADE"), store.read("IBM/1Min/QUOTE")), strict=True
        ):
            assert rows_of(after) == rows_of(before)


def test_rows_too_old_to_go_on_from_are_a_gap_that_is_shown(
    market: Simulator, store: tsstore.Store
) -> None:
    old = {"Epoch": [to_ns("2024-01-02") // SECOND], **{n: [1.0] for n in SCHEMAS["bars"].names}}
    store.write_many({"AAPL/1Min/OHLCV": old, "SPY/1Min/OHLCV": old})
    with RunningWorker(store, market, market.clock(), data_types=["bars"]) as worker:
        worker.until(lambda: worker.status.get("gap_count") == 1)
        (gap,) = worker.status["gaps"]
    assert gap["symbols"] == "AAPL SPY"
    assert "massive_backfiller" in gap["reason"]


def test_an_evicted_worker_alarms_and_comes_back(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until_received(100)
        with connect(market.url.replace("http", "ws") + "/stocks", proxy=None) as other:
            other.recv()
            other.send(f'{{"action":"auth","params":"{KEY}"}}')
            worker.until(lambda: worker.status["state"] == "evicted")
        assert "another connection" in worker.status["alarm"]
        worker.until(lambda: worker.status["state"] == "streaming")
        worker.until_received(100)


@pytest.mark.parametrize("market", [["wrong_key"]], indirect=True)
def test_a_refused_key_is_fatal_and_not_shown(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until(worker.ended)
        worker.until(lambda: not market.state()["connections"])
    assert isinstance(worker.error, FatalPluginError)
    assert KEY not in str(worker.error)


@pytest.mark.parametrize("market", [["not_authorized=Q"]], indirect=True, ids=["Q"])
def test_a_refused_topic_is_shown_and_the_others_stream(
    market: Simulator, store: tsstore.Store
) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until(lambda: len(store.list("*/1Sec/TRADE")) > 0)
        worker.until(lambda: worker.status.get("refused") == "not authorized")
    assert store.list("*/1Min/QUOTE") == []


@pytest.mark.parametrize("market", [["no_plan"]], indirect=True)
def test_a_plan_without_a_stream_is_served_by_polling(
    market: Simulator, store: tsstore.Store, monkeypatch: Any
) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until(lambda: len(store.list("*/1Min/OHLCV")) == 3)
        first_ns = last_ns(store, "SPY/1Min/OHLCV")
        worker.until(lambda: last_ns(store, "SPY/1Min/OHLCV") >= first_ns + 2 * MINUTE)
        assert store.list("*/1Sec/TRADE")
        assert worker.status["state"] == "polling"
        assert "websocket access" in worker.status["alarm"]
        assert worker.error is None
        # Without the thread that fetches, polling would fill nothing.
        monkeypatch.setattr(GapFiller, "_next", lambda _: 1 / 0)
        worker.until(worker.ended)
    assert isinstance(worker.error, ZeroDivisionError)


def test_bars_are_polled_while_the_socket_is_down_and_ticks_are_fetched_after(
    store: tsstore.Store,
) -> None:
    with (
        simulator(NO_REVISIONS) as market,
        RunningWorker(store, market, market.clock(), poll_after_s=0.5) as worker,
    ):
        worker.until_received(100)
        start_ns = worker.context.clock.now_ns()
        market.set_faults(refuse=503)
        market.disconnect()
        worker.until(lambda: last_ns(store, "SPY/1Min/OHLCV") > start_ns + 2 * MINUTE)
        assert worker.status["state"] == "polling"
        assert "fetched by REST" in worker.status["alarm"]
        assert last_ns(store, "SPY/1Min/QUOTE") < start_ns + MINUTE
        market.set_faults(refuse=None)
        worker.until(lambda: worker.status["state"] == "streaming")
        worker.until_received(100)
        end_ns = settled_ns(worker, start_ns)
        assert worker.status["polls"] == 0
        assert_complete(store, market, start_ns, end_ns)


def test_only_the_wanted_symbols_and_kinds_are_stored(
    market: Simulator, store: tsstore.Store
) -> None:
    with RunningWorker(
        store, market, market.clock(), symbols=["AAPL"], data_types=["trades"]
    ) as worker:
        worker.until_received(20)
        (connection,) = market.state()["connections"]
        assert connection["topics"] == ["T.AAPL"]
    assert rows_stored(store) == ["AAPL/1Sec/TRADE"]


def test_reference_data_are_brought_up_to_date(market: Simulator, store: tsstore.Store) -> None:
    kinds = ["splits", "tickers"]
    with RunningWorker(
        store, market, market.clock(), symbols=["AAPL"], data_types=["trades"], reference=kinds
    ) as worker:
        worker.until(lambda: worker.status.get("reference", {}).get("refreshed", "") != "")
        worker.until(lambda: "AAPL/24H/TICKER" in store.list())
    assert len(store.read("AAPL/1D/SPLITS")) > 0
    assert store.read("AAPL/24H/TICKER")["Active"].tolist() == [True]


def test_all_kinds_share_one_connection(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(store, market, market.clock()) as worker:
        worker.until_received(20)
        (connection,) = market.state()["connections"]
        assert connection["topics"] == ["AM.*", "Q.*", "T.*"]


def test_a_replay_of_a_day_is_asked_for(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(store, market, market.clock(), ws_query_start="2024-05-31") as worker:
        worker.until(lambda: bool(rows_stored(store)))
    first_ns = min(store.info(key).first_ns for key in rows_stored(store))
    assert np.datetime64(first_ns, "ns").astype("M8[D]") == np.datetime64("2024-05-31")


def test_a_second_worker_with_the_same_key_does_not_run(
    market: Simulator, store: tsstore.Store, caplog: Any
) -> None:
    clock = market.clock()
    several = {"a": {"symbols": ["SPY"]}, "b": {"ws_server": "ws://127.0.0.1:9"}}
    with RunningWorker(store, market, clock) as first:
        first.until_received(10)
        with RunningWorker(store, market, clock) as second:
            second.until(second.ended)
        assert isinstance(second.error, LockedError)
        with RunningWorker(store, market, clock, connections=several) as third:
            third.until(lambda: "LockedError" in str(third.status.get("alarm")))
        assert first.status["connections"] == 1
    told = [each for each in caplog.records if "failed, will be started again" in each.msg]
    assert told
    assert not any(each.exc_info for each in told)  # one line says it all


def test_no_key_is_a_configuration_error(
    market: Simulator, store: tsstore.Store, monkeypatch: Any
) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    with RunningWorker(store, market, market.clock(), api_key="") as worker:
        worker.until(worker.ended)
    assert isinstance(worker.error, ConfigError)


def test_a_stop_is_quick_and_leaves_no_thread(market: Simulator, store: tsstore.Store) -> None:
    with RunningWorker(
        store, market, market.clock(), query_start={"trades": "2024-01-02", "1Min": "2024-01-02"}
    ) as worker:
        worker.until_received(100)
        begun = time.monotonic()
        worker.context.stop.set()
        worker.until(worker.ended)
        assert time.monotonic() - begun < 10
    names = ("massive", "backfill")
    worker.until(lambda: not any(t.name.startswith(names) for t in threading.enumerate()))


def test_the_key_is_in_no_log_and_no_status(
    market: Simulator, store: tsstore.Store, caplog: Any
) -> None:
    caplog.set_level(logging.DEBUG)
    with RunningWorker(store, market, market.clock(), query_start={"1Min": "2024-06-03"}) as worker:
        worker.until_received(20)
        market.disconnect(1001)
        worker.until(lambda: worker.status["connections"] == 2)
        worker.until_received(20)
    assert caplog.records
    assert not any(KEY in record.getMessage() for record in caplog.records)
    assert KEY not in str(worker.status)


def test_the_entry_point_is_the_worker() -> None:
    from importlib.metadata import entry_points

    (found,) = entry_points(group="tsstore.bgworkers", name="massive")
    assert found.load() is Worker
