from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tsstore.clock import SystemClock
from tsstore.errors import ConfigError
from tsstore.plugin import WorkerContext
from tsstore_massive.changes import CHANGES_KEY, write_changes
from tsstore_massive.config import Config
from tsstore_massive.missing.journal import Journal
from tsstore_massive.missing.streamed import Streamed
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.streaming.desk import Desk
from tsstore_massive.streaming.feed import Feed
from tsstore_massive.streaming.line import Line
from tsstore_massive.streaming.lineup import lineup
from tsstore_massive.streaming.named import OPTION_QUOTES_MAX
from tsstore_massive.streaming.patience import Patience

if TYPE_CHECKING:
    import tsstore

KEY = "secret-key-0001"


def desk(store: tsstore.Store, **options: Any) -> Desk:
    config = msgspec.convert({"api_key": KEY} | options, Config)
    context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests.desk"))
    return Desk(context, config, lineup(config))


def add(store: tsstore.Store, *symbols: str, connection: str = "", wanted: int = 1) -> None:
    write_changes(store, symbols, wanted, connection=connection, now_ns=1)


def test_symbols_and_universes_are_put_together_in_their_order(store: tsstore.Store) -> None:
    universes = {"etfs": ["SPY", "QQQ"], "more": {"a": ["QQQ", "DIA"]}}
    found = desk(store, symbols=["AAPL"], universe=["etfs", "more:a"], universes=universes)
    assert found.watched == {"": ("AAPL", "SPY", "QQQ", "DIA")}


def test_an_added_symbol_goes_to_a_connection_of_its_market(store: tsstore.Store) -> None:
    connections: dict[str, Any] = {
        "a": {"symbols": ["SPY"]},
        "b": {"symbols": ["QQQ"], "api_key": "secret-key-0002"},
        "coins": {"market": "crypto", "symbols": ["BTC-USD"]},
    }
    add(store, "AAPL", "QQQ", "X:ETH-USD", "C:EUR-USD")
    add(store, "DIA", connection="b")
    add(store, "SPY", "X:BTC-USD", wanted=-1)
    found = desk(store, connections=connections)
    assert found.watched == {"a": ("AAPL",), "b": ("QQQ", "DIA"), "coins": ("X:ETH-USD",)}
    assert found.problems == ["no connection streams C:EUR-USD"]


def test_a_connection_with_the_whole_market_has_added_symbols_already(store: tsstore.Store) -> None:
    add(store, "AAPL")
    add(store, "SPY", wanted=-1)
    assert desk(store).watched == {"": None}


def test_a_line_that_is_made_while_symbols_change_gets_them_too(
    store: tsstore.Store, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    config = msgspec.convert({"api_key": KEY, "symbols": ["SPY"]}, Config)
    found, (planned,) = desk(store, symbols=["SPY"]), lineup(config)
    context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests.desk"))
    limiter = limiter_for(config, KEY, context.clock)
    first, second = (
        Line(context, planned, found.watched[""], limiter=limiter, patience=Patience())
        for _ in range(2)
    )
    add(store, "AAPL")
    found.look([first])
    found.look([second])
    assert first.symbols == second.symbols == ("SPY", "AAPL")
    add(store, *(f"A{letter}" for letter in "BCDEFGHIJKLM"))
    found.look([first])
    told = [record.getMessage() for record in caplog.records]
    assert told[0] == "symbols: added AAPL; removed none"
    assert "AB, AC" in told[2]
    assert told[2].endswith(" and 2 more; removed none")


def test_what_came_today_is_written_down_before_a_symbol_is_subscribed_to(
    store: tsstore.Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A kill in between leaves rows from now on, and no sign of what is missing before."""
    config = msgspec.convert({"api_key": KEY, "symbols": ["SPY"]}, Config)
    context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests.desk"))
    limiter = limiter_for(config, KEY, context.clock)
    (planned,) = lineup(config)
    line = Line(context, planned, ("SPY",), limiter=limiter, patience=Patience())
    line.on_streaming()
    written: list[set[str]] = []

    def subscribe(_: Feed, topics: list[str]) -> None:
        assert "AM.AAPL" in topics
        written.append({symbol for _, _, symbol in Journal(store).read("bars")})

    monkeypatch.setattr(Feed, "subscribe", subscribe)
    line.watch(("SPY", "AAPL"))
    assert written == [{"AAPL"}]


def test_gaps_of_a_connection_that_is_not_made_are_a_problem(store: tsstore.Store) -> None:
    for name in ("", "a", "gone", "filled"):
        Journal(store, name).write({"bars": [(1, 2, "SPY")]})
    filled = Journal(store, "filled")
    filled.read("bars")
    filled.write({})
    connections = {"a": {"symbols": ["SPY"]}, "gone": {"enabled": False}}
    left = [text.partition(" ")[0] for text in desk(store, connections=connections).problems]
    assert left == ["_massive/24H/BARS_GAPS", "_massive/24H/BARS_GAPS_gone"]


def test_what_a_connection_that_is_not_made_streamed_is_forgotten(store: tsstore.Store) -> None:
    """Others stream its symbols on; when it is made again it would miss all of that time."""
    streamed = Streamed({"trades": 1}, frozenset({"SPY"}))
    for name in ("", "a", "gone"):
        streamed.write(store, name, Streamed())
    desk(store, connections={"a": {"symbols": ["SPY"]}}).open()
    found = [Streamed.read(store, name) for name in ("", "a", "gone")]
    assert found == [Streamed(), streamed, Streamed()]


def test_a_gap_of_a_kind_that_is_streamed_no_more_is_fetched_like_others(
    store: tsstore.Store,
) -> None:
    Journal(store).write({"trades": [(1, 2, "SPY")]})
    config = msgspec.convert({"api_key": KEY, "symbols": ["SPY"], "data_types": ["bars"]}, Config)
    context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests.desk"))
    (planned,), limiter = lineup(config), limiter_for(config, KEY, context.clock)
    line = Line(context, planned, ("SPY",), limiter=limiter, patience=Patience())
    line.hand_over()
    assert "trades" in {gap["kind"] for gap in line.describe()["gaps"]}


def test_commands_are_read_when_there_are_new_ones(store: tsstore.Store, monkeypatch: Any) -> None:
    add(store, "AAPL")
    found = desk(store, symbols=["SPY"])
    with monkeypatch.context() as patch:
        patch.setattr(store, "read", lambda _: pytest.fail("they are as they were"))
        found.look([])
    add(store, "AAPL", wanted=0)
    found.look([])
    assert found.watched == {"": ("SPY",)}


def test_what_is_no_symbol_is_not_streamed_whoever_wrote_it(store: tsstore.Store) -> None:
    add(store, "*", "AAPL,T.MSFT", "", "EUR/USD", "DIA")
    found = desk(store, symbols=["SPY"])
    assert found.watched == {"": ("SPY", "DIA")}
    assert "'*' in _massive/1Sec/SYMBOLS is no symbol" in found.problems


def test_a_bucket_of_commands_with_other_columns_is_a_problem_until_it_is_gone(
    store: tsstore.Store,
) -> None:
    store.write(CHANGES_KEY, {"Epoch": [1], "Symbol": ["DIA"]}, variable=True)
    found = desk(store, symbols=["SPY"])
    assert found.watched == {"": ("SPY",)}
    (problem,) = found.problems
    assert "destroy it" in problem
    store.destroy(CHANGES_KEY)
    found.look([])
    assert found.problems == []
    add(store, "DIA")
    found.look([])
    assert found.watched == {"": ("SPY", "DIA")}


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"universe": "tech"}, "there is no universe 'tech'"),
        ({"universe": "fx", "universes": {"fx": ["C:EUR-USD"]}}, "of forex, not of stocks"),
    ],
)
def test_a_universe_that_cannot_be_streamed_is_refused(
    store: tsstore.Store, options: dict[str, Any], words: str
) -> None:
    with pytest.raises(ConfigError, match=words):
        desk(store, **options)


def test_no_connection_has_more_contracts_with_quotes_than_the_vendor_allows(
    store: tsstore.Store,
) -> None:
    contracts = [f"O:SPY251219C{number:08d}" for number in range(OPTION_QUOTES_MAX + 1)]
    options: dict[str, Any] = {"market": "options", "symbols": contracts}
    assert len(desk(store, **options).watched[""] or ()) == OPTION_QUOTES_MAX + 1
    with pytest.raises(ConfigError, match="allows 1000"):
        desk(store, **options, data_types=["quotes"])
    add(store, contracts[-1])
    options["symbols"] = contracts[:-1]
    found = desk(store, **options, data_types=["quotes"])
    assert found.watched == {"": tuple(contracts[:-1])}
    assert found.problems == [f"no connection streams {contracts[-1]}"]
