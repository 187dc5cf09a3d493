"""A gap of a whole market, fetched by a connection that does not come up."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tests.massive.http_server import KEY, Server, Vendor, bar
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.plugin import WorkerContext
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND
from tsstore_massive.config import Config
from tsstore_massive.missing.journal import Journal
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.schemas import BARS
from tsstore_massive.streaming.line import Line
from tsstore_massive.streaming.lineup import lineup
from tsstore_massive.streaming.patience import Patience

if TYPE_CHECKING:
    from pathlib import Path

    import tsstore

MINUTE = 60 * NS_PER_SECOND


def write_bar(store: tsstore.Store, symbol: str, ns: int) -> None:
    ones = {name: np.ones(1) for name in BARS.names}
    store.write(f"{symbol}/1Min/OHLCV", Columns(np.array([ns]), ones), schema=BARS)


def test_it_is_fetched_of_what_is_listed_and_of_what_came_lately(
    store: tsstore.Store, tmp_path: Path, monkeypatch: Any
) -> None:
    """OTC stocks stream with the others, and stand in another list."""
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    clock = SystemClock()
    start_ns = clock.now_ns() // MINUTE * MINUTE - 10 * MINUTE
    write_bar(store, "GTE", start_ns - NS_PER_DAY)
    write_bar(store, "X:BTC-USD", start_ns - NS_PER_DAY)
    write_bar(store, "GONE", start_ns - 30 * NS_PER_DAY)
    Journal(store).write({"bars": [(start_ns, start_ns + MINUTE, "")]})
    vendor = Vendor()
    vendor.tickers = ["AAPL"]
    vendor.bars = {name: [bar(start_ns)] for name in ("AAPL", "GTE", "GONE")}
    with Server(vendor) as server:
        options = {"api_key": KEY, "base_url": server.url, "ws_server": "ws://127.0.0.1:9"}
        config = msgspec.convert(options, Config)
        context = WorkerContext("massive", store, clock, logging.getLogger("tests.wholegap"))
        (planned,), limiter = lineup(config), limiter_for(config, KEY, clock)
        line = Line(context, planned, None, limiter=limiter, patience=Patience())
        thread = threading.Thread(target=line.run)
        thread.start()
        try:
            for _ in range(1000):
                if not Journal(store).read("bars"):
                    break
                clock.wait(threading.Event(), 0.01)
        finally:
            line.stop()
            thread.join(10)
    got = [key for key in store.list("*/1Min/OHLCV") if store.info(key).last_ns == start_ns]
    assert got == ["AAPL/1Min/OHLCV", "GTE/1Min/OHLCV"]
