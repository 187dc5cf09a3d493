"""A file with another one in its place: what only the older one had goes."""

from __future__ import annotations

import threading
from datetime import date
from typing import TYPE_CHECKING

import numpy as np
import pytest

from tests.flatfiles.test_whole import bars, path_of
from tsstore.clock import SystemClock
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.covering import coverage_of_file, covered_days
from tsstore_massive.flatfiles.ledger import Ledger
from tsstore_massive.flatfiles.planning import Span
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.flatfiles.sync import Sync
from tsstore_massive.schemas import BARS

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import tsstore
    from tsstore_massive.flatfiles.sync import Report

TEXT = "2026-06-01"
DAY = date.fromisoformat(TEXT)
FLAT = FlatSet.of("stocks", "minute_aggs")


@pytest.fixture
def load(store: tsstore.Store, tmp_path: Path) -> Callable[..., Report]:
    """Puts a file of some tickers in place of the one before, and loads it."""

    def run(tickers: str, symbols: str = "*", *, close: float = 2.0) -> Report:
        archive = Archive(tmp_path / "archive")
        path = archive.folder / path_of(TEXT)
        path.parent.mkdir(parents=True, exist_ok=True)
        body = bars(TEXT, tickers, close=close)
        if not path.exists() or path.read_bytes() != body:
            path.write_bytes(body)  # and so another file, by its time of change
        sync = Sync(store, archive, None, clock=SystemClock(), stop=threading.Event())
        return sync.run(sync.plan([Span(FLAT, DAY, DAY)], Selection(symbols.split(","))))

    return run


def stored(store: tsstore.Store) -> dict[str, list[float]]:
    found = store.read("*/1Min/OHLCV")
    return {key[0]: sorted(set(rows["Close"].tolist())) for key, rows in found.items() if len(rows)}


def stream(store: tsstore.Store, symbol: str, close: float, day: str = TEXT) -> None:
    """Store bars that no file brought."""
    ts = np.array([f"{day}T15:00"], "M8[ns]")
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
    store.commit(coverage_of_file(crypto, DAY, {"X:BTC-USD": 1}, Selection(["*"]), 0))
    load("A", close=3.0)
    assert stored(store) == {"A": [3.0], "O": [5.0], "X": [5.0]}


@pytest.mark.parametrize("symbols", ["*", "A,Y"])
def test_of_strangers_nothing_is_left(load, store, symbols):
    Ledger(store, FLAT).add_stranger(DAY, "yfinance", Selection(symbols.split(",")))
    stream(store, "Y", 7.0)
    load("A", symbols)
    assert stored(store) == {"A": [2.0]}


def test_a_new_file_loaded_for_one_ticker_still_replaces_those_of_the_others(load, store):
    load("AB")
    load("A", "A", close=3.0)
    assert stored(store) == {"A": [3.0], "B": [2.0]}
    load("A", close=3.0)
    assert stored(store) == {"A": [3.0]}
