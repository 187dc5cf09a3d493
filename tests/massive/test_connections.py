"""Several connections of one worker: each for itself, one report, symbols that move and change."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

import pytest

from tests.massive.simulated import KEY, QUICK, RunningWorker, simulator
from tests.massive.test_worker import MINUTE, NO_REVISIONS, SECOND, assert_complete, last_ns
from tsstore.clock import SystemClock
from tsstore.plugin import FatalPluginError
from tsstore.times import to_ns
from tsstore_massive.changes import read_watched, write_changes

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    import tsstore
    from tests.massive.simulated import Simulator

OTHER = "secret-key-0002"
NOBODY = "ws://127.0.0.1:9"


@pytest.fixture(autouse=True)
def _own_lock_folder(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))


@pytest.fixture
def market() -> Iterator[Simulator]:
    with simulator(NO_REVISIONS) as running:
        yield running


def running(
    store: tsstore.Store, market: Simulator, connections: dict[str, Any], **options: Any
) -> RunningWorker:
    return RunningWorker(store, market, market.clock(), connections=connections, **options)


def line(worker: RunningWorker, name: str) -> dict[str, Any]:
    return worker.status.get("lines", {}).get(name, {"state": "not shown", "messages": 0})


def topics_held(market: Simulator) -> list[list[str]]:
    return sorted(sorted(one["topics"]) for one in market.state()["connections"])


def stored_until(store: tsstore.Store, key: str, ns: int) -> bool:
    return last_ns(store, key) > ns


def ask(store: tsstore.Store, symbols: list[str], wanted: int, connection: str = "") -> None:
    now_ns = SystemClock().now_ns()
    write_changes(store, symbols, wanted, connection=connection, now_ns=now_ns)


def test_one_that_is_down_disturbs_no_other(
    market: Simulator, store: tsstore.Store, caplog: Any
) -> None:
    connections = {
        "spy": {"symbols": ["SPY"]},
        "nowhere": {"symbols": ["AAPL"], "ws_server": NOBODY, "api_key": OTHER},
        "off": {"enabled": False},
    }
    with running(store, market, connections) as worker:
        worker.until(lambda: line(worker, "spy")["messages"] > 50)
        assert line(worker, "spy")["state"] == "streaming"
        worker.until(lambda: line(worker, "nowhere")["failures"] >= 3)
        assert line(worker, "nowhere")["messages"] == 0
        assert line(worker, "nowhere")["down_s"] > 0
        assert (worker.status["state"], worker.status["streaming"]) == ("streaming", 1)
        assert worker.status["messages"] >= line(worker, "spy")["messages"]
        assert set(worker.status["lines"]) == {"spy", "nowhere"}
        assert read_watched(store) == {"nowhere": ["AAPL"], "spy": ["SPY"]}
    assert worker.error is None
    warned = {record.name for record in caplog.records if record.levelname == "WARNING"}
    assert warned == {"tests.worker.nowhere"}


def test_one_refused_key_ends_its_connection_only(
    market: Simulator, store: tsstore.Store, tmp_path: Path
) -> None:
    with simulator("wrong_key") as refusing:
        refused: dict[str, Any] = {
            "ws_server": refusing.url.replace("http", "ws"),
            "api_key": OTHER,
            "symbols": ["AAPL"],
            "failover": True,
        }
        connections = {"spy": {"symbols": ["SPY"]}, "bad": refused}
        with running(store, market, connections, dead_after_s=0.2) as worker:
            worker.until(lambda: line(worker, "bad")["state"] == "failed")
            assert "refuses the API key" in worker.status["alarm"]
            before = line(worker, "spy")["messages"]
            worker.until(lambda: line(worker, "spy")["messages"] > before + 50)
            both = ["AM.AAPL", "AM.SPY", "Q.AAPL", "Q.SPY", "T.AAPL", "T.SPY"]
            worker.until(lambda: topics_held(market) == [both])
        assert worker.error is None
        refusals = {"bad": refused, "worse": {**refused, "api_key": KEY}}
        with running(store, market, refusals) as worker:
            worker.until(worker.ended)
        assert isinstance(worker.error, FatalPluginError)
        assert OTHER not in str(worker.error)


def test_the_symbols_of_a_dead_one_are_carried_and_given_back(store: tsstore.Store) -> None:
    with simulator(NO_REVISIONS) as market, simulator(NO_REVISIONS) as second:
        there = {"ws_server": second.url.replace("http", "ws"), "api_key": OTHER}
        moved = {"symbols": ["AAPL"], "failover": True, **there}
        connections = {"a": {"symbols": ["SPY"]}, "b": moved}
        with running(store, market, connections, dead_after_s=0.3) as worker:
            worker.until(lambda: line(worker, "a")["messages"] > 20)
            worker.until(lambda: line(worker, "b")["messages"] > 20)
            start_ns = worker.context.clock.now_ns() + SECOND
            second.set_faults(refuse=503)
            second.disconnect()
            worker.until(lambda: line(worker, "b")["state"] == "carried")
            own = ["AM.AAPL", "AM.SPY", "Q.AAPL", "Q.SPY", "T.AAPL", "T.SPY"]
            worker.until(lambda: topics_held(market) == [own])
            assert line(worker, "a")["carried"] == 3
            carried_ns = worker.context.clock.now_ns()
            worker.until(lambda: last_ns(store, "AAPL/1Min/QUOTE") > carried_ns)
            second.set_faults(refuse=None)
            worker.until(lambda: line(worker, "b")["state"] == "streaming")
            worker.until(lambda: topics_held(market) == [["AM.SPY", "Q.SPY", "T.SPY"]])
            clock = worker.context.clock
            worker.until(lambda: clock.now_ns() > start_ns + 2 * MINUTE)
            end_ns = clock.now_ns()
            for key in ("AAPL/1Min/QUOTE", "SPY/1Min/QUOTE"):
                worker.until(partial(stored_until, store, key, end_ns + 5 * SECOND))
            worker.until_gapless()
            assert_complete(store, market, start_ns, end_ns, symbols=("AAPL", "SPY"))


def test_symbols_are_added_and_removed_while_it_streams_and_stay_so(
    market: Simulator, store: tsstore.Store
) -> None:
    options: dict[str, Any] = {
        "symbols": ["SPY"],
        "data_types": ["bars", "trades"],
        "query_start": {"1Min": "2024-05-31"},
    }
    with RunningWorker(store, market, market.clock(), **options) as worker:
        worker.until_received(20)
        ask(store, ["AAPL"], 1)
        ask(store, ["SPY"], -1)
        worker.until(lambda: topics_held(market) == [["AM.AAPL", "T.AAPL"]])
        worker.until(lambda: read_watched(store) == {"": ["AAPL"]})
        # Today's history is fetched: trades from 04:00 in New York on.
        worker.until(lambda: "AAPL/1Sec/TRADE" in store.list())
        worker.until_gapless()
        worker.until(lambda: (store.info("AAPL/1Min/OHLCV").first_ns or 0) < to_ns("2024-06-01"))
        begun_ns = store.info("AAPL/1Sec/TRADE").first_ns or 0
        assert begun_ns < worker.context.clock.now_ns() - 60 * MINUTE
        assert worker.status["connections"] == 1
        ask(store, ["X:BTC-USD"], 1)
        worker.until(lambda: worker.status["problems"] == ["no connection streams X:BTC-USD"])
        ask(store, ["X:BTC-USD"], 0)
        worker.until(lambda: worker.status["problems"] == [])
    with RunningWorker(store, market, market.clock(), **options) as worker:
        worker.until(lambda: topics_held(market) == [["AM.AAPL", "T.AAPL"]])
        ask(store, ["AAPL", "SPY"], 0)
        worker.until(lambda: topics_held(market) == [["AM.SPY", "T.SPY"]])


def test_a_changed_universe_changes_the_subscription(
    market: Simulator, store: tsstore.Store, tmp_path: Path
) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("SPY\n")
    options = {"universe": "mine", "universe_file": str(file), "data_types": ["trades"]}
    with RunningWorker(store, market, market.clock(), **options) as worker:
        worker.until(lambda: topics_held(market) == [["T.SPY"]])
        file.write_text("AAPL\nNVDA\n")
        worker.until(lambda: topics_held(market) == [["T.AAPL", "T.NVDA"]])
        file.write_text("C:EUR-USD\n")
        worker.until(lambda: bool(worker.status["problems"]))
        assert "stay as they were" in worker.status["problems"][0]
        file.write_text("SPY\n")
        worker.until(lambda: topics_held(market) == [["T.SPY"]])
        worker.until(lambda: worker.status["problems"] == [])
        assert worker.status["connections"] == 1


def test_after_a_sleep_it_connects_anew(market: Simulator, store: tsstore.Store) -> None:
    clock = market.clock()
    woken = replace(QUICK, sleep_s=3600)
    with RunningWorker(store, market, clock, symbols=["SPY"], patience=woken) as worker:
        worker.until_received(20)
        clock._base_ns += 7200 * SECOND
        worker.until(lambda: worker.status["connections"] == 2)
        worker.until_received(20)


def test_without_any_symbol_there_is_no_connection(market: Simulator, store: tsstore.Store) -> None:
    ask(store, ["SPY"], -1)
    with RunningWorker(store, market, market.clock(), symbols=["SPY"]) as worker:
        worker.until(lambda: worker.status.get("state") == "idle")
        ask(store, ["SPY"], 1)
        worker.until_received(20)
        assert worker.status["connections"] == 1
