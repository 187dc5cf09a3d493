"""A vendor, a store and a backfiller between them, in this process."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from tests.massive.http_server import KEY, Server, Vendor, trade
from tsstore.clock import ManualClock
from tsstore.testing.model import ModelStore
from tsstore.times import to_ns
from tsstore_massive.backfilling.backfill import Backfiller, Plan, Report, Target
from tsstore_massive.datasets import Dataset
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import RateLimiter
from tsstore_massive.schemas import TRADES

if TYPE_CHECKING:
    from collections.abc import Iterator

NEW_YORK = "America/New_York"
TRADE_KEY = "AAPL/1Sec/TRADE"

MONDAY, TUESDAY, WEDNESDAY = date(2024, 6, 3), date(2024, 6, 4), date(2024, 6, 5)


def at(text: str) -> int:
    return to_ns(text, NEW_YORK)


#: Long after the days above.
LATER = at("2024-07-01 12:00")
TRADES_SET, MINUTES = Dataset.parse("trades"), Dataset.parse("1Min")


class Bench:
    """A vendor, a store and a backfiller between them."""

    def __init__(self, url: str, vendor: Vendor, server: Server) -> None:
        self.vendor, self.server = vendor, server
        self.store = ModelStore()
        self.clock = ManualClock(LATER)
        self.stop = threading.Event()
        self._url = url

    @contextmanager
    def backfiller(
        self, *, page_rows: int = 50_000, key: str = KEY, **options
    ) -> Iterator[Backfiller]:
        with RestClient(
            self._url,
            key,
            clock=self.clock,
            limiter=RateLimiter(10**6, 60.0, self.clock),
            stop=self.stop,
            limits=Limits(page_rows=page_rows, attempts=2, backoff_s=0.01),
        ) as rest:
            given = {"parallelism": 1} | options
            yield Backfiller(self.store, rest, clock=self.clock, stop=self.stop, **given)

    def run(self, *wanted: Target, symbols=("AAPL",), refetch=False, **options) -> Report:
        with self.backfiller(**options) as backfiller:
            return backfiller.run(backfiller.plan(wanted, symbols, refetch=refetch))

    def plan(self, *wanted: Target, symbols=("AAPL",), **options) -> Plan:
        with self.backfiller(**options) as backfiller:
            return backfiller.plan(wanted, symbols)

    def rows(self, key: str = TRADE_KEY) -> list[tuple]:
        rows = self.store.read(key)
        return list(zip(rows.ts.tolist(), rows[rows.names[0]].tolist(), strict=True))

    def everything(self) -> dict[str, list[tuple]]:
        """All rows of all buckets but for when they were fetched."""
        found = {}
        for key in self.store.list():
            rows = self.store.read(key)
            columns = [rows[name].tolist() for name in rows.names if name != "Fetched"]
            found[key] = list(zip(rows.ts.tolist(), *columns, strict=True))
        return found


def ticks(first: date = MONDAY, last: date = MONDAY) -> Target:
    return Target(TRADES_SET, first, last)


def minutes(first: date = MONDAY, last: date = MONDAY) -> Target:
    return Target(MINUTES, first, last)


def spread(day: str, count: int, price: float = 10.0) -> list[dict]:
    """Trades of a day, a second and some nanoseconds apart."""
    start = at(f"{day} 09:30")
    return [trade(start + n * 1_000_000_007, n + 1, price + n) for n in range(count)]


def write_trades(store, ts: list[int], sequences: list[int]) -> None:
    columns = {name: np.zeros(len(ts), dtype) for name, dtype in TRADES.columns}
    columns |= {"Sequence": np.array(sequences), "TradeID": np.array(sequences)}
    columns["Exchange"] += np.uint8(11)
    table = {"Epoch": np.array(ts, "M8[ns]"), **columns}
    store.write(TRADE_KEY, table, schema=TRADES)
