"""Other markets against the simulator: what streams over two connections is what history tells."""

from __future__ import annotations

import threading
from collections import Counter
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import numpy as np

import tsstore
from tests.massive.simulated import KEY, RunningWorker, Simulator, simulator
from tests.massive.test_worker import FETCHED_ONLY, MS, SECOND
from tsstore.clock import SystemClock
from tsstore_massive.backfilling.backfill import Backfiller
from tsstore_massive.channels import channel_of
from tsstore_massive.datasets import Dataset
from tsstore_massive.rest import RestClient
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive.schemas import bucket_key

if TYPE_CHECKING:
    from pathlib import Path

    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

#: Ticks of which REST and the socket tell no number, and some with an id, each of one symbol.
STREAMS: dict[Market, tuple[Kind, str]] = {
    "options": ("trades", "O:SPY271217C00650000"),
    "forex": ("quotes", "C:EURUSD"),
    "crypto": ("trades", "X:BTCUSD"),
    "futures": ("quotes", "GCZ7"),
}


def rows_of(store: tsstore.Store, key: str, start_ns: int, end_ns: int) -> Counter[tuple[Any, ...]]:
    """Rows but for what only history tells; what names them is among the columns."""
    start, end = np.datetime64(start_ns, "ns"), np.datetime64(end_ns, "ns")
    rows = store.read(key, start=start, end=end)
    names = [name for name in rows.names if name not in FETCHED_ONLY]
    arrays = [rows.ts // MS, *(rows[name] for name in names)]
    return Counter(zip(*(array.tolist() for array in arrays), strict=True))


def fetch(
    server: Simulator, store: tsstore.Store, stream: tuple[Kind, str], start_ns: int, end_ns: int
) -> None:
    clock, stop, (kind, symbol) = server.clock(), threading.Event(), stream
    limiter = RateLimiter(10_000, 60, SystemClock())
    with RestClient(server.url, KEY, clock=clock, limiter=limiter, stop=stop) as rest:
        backfiller = Backfiller(store, rest, clock=clock, stop=stop)
        dataset = Dataset.of_stream(kind)
        assert not backfiller.fill_gap([symbol], [dataset], start_ns, end_ns).gaps


def test_ticks_without_numbers_are_missed_and_doubled_nowhere(
    tmp_path: Path, monkeypatch: Any
) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    with ExitStack() as stack:
        server = stack.enter_context(simulator(speed=600))
        socket, clock = server.url.replace("http", "ws"), server.clock()
        workers = {
            market: stack.enter_context(
                RunningWorker(
                    stack.enter_context(tsstore.open(tmp_path / market)), server, clock,
                    ws_server=f"{socket}/{market}", symbols=[symbol], data_types=[kind],
                )
            )
            for market, (kind, symbol) in STREAMS.items()
        }  # fmt: skip
        for worker in workers.values():
            worker.until_received(5)
        start_ns = -(-clock.now_ns() // MS) * MS + SECOND
        for worker in workers.values():
            worker.until_received(30)
        server.disconnect()
        for worker in workers.values():
            worker.until_received(30)
        end_ns = clock.now_ns() // MS * MS - 1
        for market, worker in workers.items():
            worker.until_received(10)
            worker.until_gapless()
            assert worker.status["connections"] == 2
            assert not worker.status["faults"]
            kind, symbol = STREAMS[market]
            key = bucket_key(symbol, channel_of(market, kind).group)
            other = stack.enter_context(tsstore.open(tmp_path / f"{market} fetched"))
            fetch(server, other, STREAMS[market], start_ns, end_ns)
            streamed = rows_of(worker.context.store, key, start_ns, end_ns)
            fetched = rows_of(other, key, start_ns, end_ns)
            assert (streamed - fetched, fetched - streamed) == (Counter(), Counter()), key
            assert sum(streamed.values()) >= 60
