"""A file with another one in its place: what only the older one had goes."""

from __future__ import annotations

import threading
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.flatfiles.test_whole import bars, path_of
from tsstore.api import Write
from tsstore.clock import SystemClock
from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.backfilling.coverage import coverage_rows
from tsstore_massive.flatfiles import sync
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.covering import (
    coverage_of_file,
    coverage_taken_back,
    covered_days,
    dataset_of,
)
from tsstore_massive.flatfiles.ledger import Ledger
from tsstore_massive.flatfiles.planning import Missing, Plan, Span
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.flatfiles.strangers import noted
from tsstore_massive.flatfiles.sync import Sync
from tsstore_massive.schemas import BARS

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager
    from pathlib import Path

    import tsstore
    from tsstore_massive.flatfiles.sync import Report

TEXT = "2026-06-01"
DAY, LATER = date.fromisoformat(TEXT), date(2026, 6, 2)
FLAT = FlatSet.of("stocks", "minute_aggs")


@pytest.fixture
def load(store: tsstore.Store, tmp_path: Path) -> Callable[..., Report]:
    """Puts a file of some tickers in place of the one before, and loads it."""

    def run(tickers: str, symbols: str = "*", *, close: float = 2.0, minutes: int = 3) -> Report:
        archive = Archive(tmp_path / "archive")
        path = archive.folder / path_of(TEXT)
        path.parent.mkdir(parents=True, exist_ok=True)
        body = bars(TEXT, tickers, close=close, minutes=minutes)
        if not path.exists() or path.read_bytes() != body:
            path.write_bytes(body)  # and so another file, by its time of change
        runs = Sync(store, archive, None, clock=SystemClock(), stop=threading.Event())
        return runs.run(runs.plan([Span(FLAT, DAY, DAY)], Selection(symbols.split(","))))

    return run


def stored(store: tsstore.Store) -> dict[str, list[float]]:
    found = store.read("*/1Min/OHLCV")
    return {key[0]: sorted(set(rows["Close"].tolist())) for key, rows in found.items() if len(rows)}


def stream(
    store: tsstore.Store, symbol: str, close: float, day: str = TEXT, hour: int = 15
) -> None:
    """Store a bar that no file brought."""
    ts = np.array([f"{day}T{hour}:00"], "M8[ns]")
    table = {"Epoch": ts, **{name: np.full(1, close) for name in BARS.names}}
    store.write(f"{symbol}/1Min/OHLCV", table, schema=BARS)


@pytest.mark.parametrize("symbols", ["*", "A,B"])
def test_a_ticker_that_the_new_file_lacks_goes(load, store, symbols):
    load("AB", symbols)
    stream(store, "B", 9.0, "2026-06-02")
    load("A", symbols, close=3.0)
    assert stored(store) == {"A": [3.0], "B": [9.0]}
    is_named = symbols != "*"
    assert bool(covered_days(store, FLAT, [DAY], Selection(["B"]))) == is_named


def test_what_no_file_brought_stays(load, store):
    """Files have no stocks that are traded over the counter, and the socket does."""
    load("AB")
    for symbol in ("O", "X:BTC-USD"):
        stream(store, symbol, 5.0)
    crypto = FlatSet.of("crypto", "minute_aggs")
    store.commit(coverage_of_file(crypto, DAY, {"X:BTC-USD": 1}, 0))
    load("A", close=3.0)
    assert stored(store) == {"A": [3.0], "O": [5.0], "X": [5.0]}


@pytest.mark.parametrize("symbols", ["*", "A,B,L,O,S"])
def test_what_rest_and_the_socket_told_of_tickers_that_files_lack_stays(load, store, symbols):
    """S has rows before the first file comes, L and O after it."""
    dataset, days = dataset_of(FLAT), np.array([TEXT], "M8[D]")
    stream(store, "S", 5.0)
    load("AB", symbols)
    for symbol in "LO":
        stream(store, symbol, 5.0)
    told = coverage_rows(days, np.ones(1), dataset.ends(days), 1, adjusted=False)
    store.commit([Write(dataset.coverage_key("O"), told, COVERAGE)])
    load("A", symbols, close=3.0)
    assert stored(store) == {"A": [3.0], "L": [5.0], "O": [5.0], "S": [5.0]}
    assert covered_days(store, FLAT, [DAY], Selection(["O"]))
    assert not covered_days(store, FLAT, [DAY], Selection(["S"])), "the file says nothing of it"


def test_a_ticker_of_a_file_goes_even_if_its_next_load_was_broken_off(load, store):
    load("AB")
    store.commit(coverage_taken_back(FLAT, DAY, ["B"], {dataset_of(FLAT).coverage_key("B")}))
    load("A", close=3.0)
    assert stored(store) == {"A": [3.0]}


def test_of_a_file_whose_load_was_killed_no_bar_is_left(load, store, monkeypatch):
    with monkeypatch.context() as patched:
        patched.setattr(sync, "coverage_of_file", None)
        with pytest.raises(TypeError):  # all is stored, and the ledger does not know
            load("A")
    load("A", close=3.0, minutes=1)
    assert store.read("A/1Min/OHLCV")["Close"].tolist() == [3.0]


def elsewhere(store: tsstore.Store, symbols: str, *, today: date) -> AbstractContextManager[None]:
    """What is stored meanwhile comes from somebody else than the vendor."""
    plan = Plan(Selection(symbols.split(",")), ledgers={FLAT: Ledger(store, FLAT)})
    return noted(store, plan, [Missing(FLAT, DAY, "pending", "")], "yfinance", today)


@pytest.mark.parametrize("symbols", ["*", "A,O,X,Y"])
def test_of_strangers_nothing_is_left_and_of_others_all(load, store, symbols):
    """The day of O was streamed, and it has bars of the stranger's besides."""
    stream(store, "O", 5.0)
    stream(store, "X", 5.0, "2026-06-02")
    with elsewhere(store, symbols, today=LATER):
        for symbol in "OXY":
            stream(store, symbol, 7.0, hour=16)
    load("A", symbols)
    assert stored(store) == {"A": [2.0], "O": [5.0, 7.0], "X": [5.0]}


def test_what_a_stranger_brings_of_a_day_that_is_not_over_stays(load, store):
    """The socket may go on with it."""
    with elsewhere(store, "*", today=DAY):
        stream(store, "Y", 7.0)
    load("A")
    assert stored(store) == {"A": [2.0], "Y": [7.0]}


def test_a_new_file_loaded_for_one_ticker_still_replaces_those_of_the_others(load, store):
    load("AB")
    load("A", "A", close=3.0)
    assert stored(store) == {"A": [3.0], "B": [2.0]}
    load("A", close=3.0)
    assert stored(store) == {"A": [3.0]}
