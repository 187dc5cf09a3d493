from __future__ import annotations

from importlib.metadata import entry_points
from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import tsstore
from tsstore.cli.main import main
from tsstore_massive.changes import Changes, read_changes, write_connections, write_watched
from tsstore_massive.listing import SCHEMA as LISTING
from tsstore_massive.reference.ledger import EVERY_SYMBOL, Ledger

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result


@pytest.fixture
def path(tmp_path: Path) -> Path:
    with tsstore.open(tmp_path / "s") as store:
        store.write("SPY/1Min/OHLCV", {"Epoch": [60], "Open": [1.0]})
    return tmp_path / "s"


def run(path: Path, *arguments: str) -> Result:
    return CliRunner().invoke(main, ["symbols", *arguments, "--dir", str(path)])


def watch(path: Path, **watched: list[str] | None) -> None:
    """Write down what a worker streams; the connection of coins is one of crypto."""
    markets = {name: "crypto" if name == "coins" else "stocks" for name in watched}
    with tsstore.open(path) as store:
        write_connections(store, markets, now_ns=1)
        write_watched(store, watched, now_ns=1)


def test_changes_are_asked_for_and_shown_until_they_are_made(path: Path) -> None:
    watch(path, stocks=["SPY", "AAPL"], coins=["X:BTC-USD"])
    assert run(path, "add", "MSFT", "X:ETHUSD", "AAPL").stdout.splitlines() == [
        "MSFT is added to connection stocks",
        "X:ETH-USD is added to connection coins",
        "AAPL is streamed already by connection stocks, and stays until it is reset",
    ]
    assert run(path, "add", "MSFT").stdout == "MSFT was added before; nothing was changed\n"
    run(path, "remove", "IWM", "--connection", "stocks")
    undo = "`reset IWM --connection stocks` undoes that"
    assert undo in run(path, "add", "IWM").stdout
    run(path, "reset", "IWM", "--connection", "stocks")
    run(path, "reset", "IWM")
    removed = run(path, "remove", "SPY", "QQQ", "--connection", "stocks").stdout.splitlines()
    assert removed == [
        "SPY is removed from connection stocks",
        "QQQ is not streamed, and stays so until it is reset",
    ]
    listed = run(path, "list")
    assert listed.stdout.splitlines() == ["stocks AAPL", "stocks SPY", "coins X:BTC-USD"]
    assert listed.stderr.splitlines() == [
        "MSFT is added, and nothing streams it yet",
        "X:ETH-USD is added, and nothing streams it yet",
        "SPY is removed, and still streamed",
    ]
    assert run(path, "reset", "MSFT", "SPY").stdout.splitlines() == [
        "MSFT is streamed, or is not, as the configuration says",
        "SPY was neither added nor removed (but was with --connection stocks); nothing was changed",
    ]
    with tsstore.open(path) as store:
        changes = read_changes(store)
    assert changes.added == {("", "X:ETH-USD"), ("", "AAPL")}
    assert changes.removed == {("stocks", "SPY"), ("stocks", "QQQ")}
    assert len(run(path, "reset").stdout.splitlines()) == 4
    assert run(path, "reset").stdout == "no symbol was added or removed; nothing was changed\n"
    with tsstore.open(path) as store:
        assert read_changes(store) == Changes()


def test_a_worker_with_one_connection_is_listed_without_a_name(path: Path) -> None:
    watch(path, **{"": ["SPY"]})
    assert run(path, "list").stdout == "SPY\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["add", "A*"], "not a symbol"),
        (["add", "C:EUR"], "not a symbol"),
        (["add", "SPY", "--connection", "other"], "no connection 'other'; there is all"),
        (["add", "SPY", "--connection", "all"], "every symbol"),
    ],
)
def test_what_cannot_be_is_refused(path: Path, arguments: list[str], words: str) -> None:
    watch(path, all=None)
    refused = run(path, *arguments)
    assert refused.exit_code in (2, 3)
    assert words in refused.stderr
    with tsstore.open(path) as store:
        assert not read_changes(store).added


def test_what_may_be_a_mistake_is_added_and_told(path: Path) -> None:
    watch(path, stocks=["SPY"], coins=[])
    told = run(path, "add", "aapl", "BTCUSD", "C:EUR-USD", "O:SPY251219C00650000", "BCpC", "BRK.B")
    assert told.exit_code == 0
    doubts = [
        "aapl is added, but is AAPL meant?",
        "BTCUSD is added, but is X:BTC-USD meant?",
        "C:EUR-USD is added, but no connection streams forex",
        "O:SPY251219C00650000 is added, but no connection streams options",
    ]
    assert told.stderr.splitlines() == doubts
    listed = run(path, "list").stderr.splitlines()
    assert sorted(doubts) == sorted(line for line in listed if ", but " in line)
    assert "BCpC is added, and nothing streams it yet" in listed
    wrong = run(path, "add", "X:ETH-USD", "--connection", "stocks")
    assert wrong.stderr == (
        "X:ETH-USD is added, but connection stocks streams stocks, and it is of crypto\n"
    )
    assert run(path, "add", "X:ETH-USD", "--connection", "coins").stderr == ""  # idle so far
    assert run(path, "remove", "aapl").stderr == ""


def test_what_the_vendor_does_not_list_is_told(path: Path) -> None:
    with tsstore.open(path) as store:
        symbols = {"Epoch": [1, 1], "Symbol": ["AAPL", "MSFT"]}
        store.write("QQQ/1Sec/TRADE", {"Epoch": [1], "Price": [1.0]}, variable=True)
        store.write("_massive/24H/LISTING_STOCKS", symbols, schema=LISTING)
    told = run(path, "add", "APPL", "aapl", "MSFT", "QXZ", "SPY", "QQQ").stderr.splitlines()
    listed = "is added, but it is not among the 2 symbols that the vendor lists"
    assert told == [
        f"APPL {listed}; is AAPL meant?", f"aapl {listed}; is AAPL meant?", f"QXZ {listed}"
    ]  # fmt: skip


@pytest.mark.parametrize("scope", [[EVERY_SYMBOL], ["TSLA"]])
def test_all_tickers_of_the_reference_data_are_a_listing_too(path: Path, scope: list[str]) -> None:
    with tsstore.open(path) as store:
        store.write("TSLA/24H/TICKER", {"Epoch": [86_400], "Active": [True]})
        Ledger(store, 1).note("tickers", scope, 1, whole=True)
    told = run(path, "add", "TSLAA", "TSLA")
    knows_all = scope == [EVERY_SYMBOL]
    assert ("TSLAA is added, but it is not among" in told.stderr) is knows_all
    assert ("is TSLA meant?" in told.stderr) is knows_all
    assert "TSLA is added\n" in told.stdout


def test_every_stock_is_streamed_already_and_a_coin_is_not(path: Path) -> None:
    watch(path, **{"": None})
    assert "every symbol of stocks" in run(path, "add", "MSFT").stderr
    assert "no connection streams crypto" in run(path, "add", "X:BTC-USD").stderr


def test_what_a_connection_of_the_whole_market_streams_cannot_be_removed(path: Path) -> None:
    watch(path, all=None, coins=["X:BTC-USD"])
    refused = run(path, "remove", "X:BTC-USD", "AAPL")
    assert refused.exit_code == 2
    assert "every symbol of stocks, AAPL as well" in refused.stderr
    assert run(path, "remove", "X:BTC-USD").exit_code == 0


def test_what_was_asked_of_a_connection_that_is_gone_is_told_and_taken_back(path: Path) -> None:
    watch(path, old=["SPY"])
    run(path, "add", "MSFT", "--connection", "old")
    watch(path, new=["SPY"])
    assert run(path, "list").stderr == (
        "MSFT is added, but there is no connection old; `reset MSFT --connection old` forgets it\n"
    )
    assert run(path, "reset", "MSFT", "--connection", "old").exit_code == 0
    assert run(path, "list").stderr == ""


def test_the_commands_are_found_by_entry_point() -> None:
    found = entry_points(group="tsstore.commands")
    assert {point.load().name for point in found} >= {"gaps", "symbols"}
