from __future__ import annotations

import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import msgspec

from tests.massive.http_server import KEY, Reply, Server, Vendor, bar, trade
from tsstore.clock import ManualClock
from tsstore.schema import Schema
from tsstore.times import to_ns
from tsstore_massive.backfilling.backfill import Backfiller
from tsstore_massive.backfilling.history import History
from tsstore_massive.config import Config
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tsstore

MONDAY = to_ns("2024-06-03 14:00")
NOW = to_ns("2024-06-05 06:00")
FORBIDDEN = Reply(
    b'{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}', 403
)


class Clock(ManualClock):
    """Does not wait, but lets others have their turn."""

    def wait(self, event: threading.Event, timeout_s: float) -> bool:
        return event.wait(min(timeout_s, 0.01))

    def monotonic(self) -> float:
        return time.monotonic()


@contextmanager
def history(
    store: tsstore.Store, vendor: Vendor, clock: Clock | None = None, **options: Any
) -> Iterator[History]:
    defaults = {"query_start": {"1Min": "2024-06-03"}, "symbols": ["AAPL"]}
    symbols = (defaults | options)["symbols"]
    config = msgspec.convert(defaults | options, Config)
    clock, stop = clock or Clock(NOW), threading.Event()
    with (
        Server(vendor) as server,
        RestClient(
            server.url, KEY, clock=clock, limiter=RateLimiter(10_000, 60, clock), stop=stop,
            limits=Limits(attempts=1),
        ) as rest,
    ):  # fmt: skip
        past = History(
            config,
            Backfiller(store, rest, clock=clock, stop=stop),
            symbols=lambda: tuple(symbols),
            clock=clock,
            logger=logging.getLogger("tests.history"),
            stop=stop,
            retry_s=60,
        )
        try:
            yield past
        finally:
            stop.set()


def vendor_with_bars() -> Vendor:
    vendor = Vendor()
    vendor.bars["AAPL"] = [bar(MONDAY, 10.0)]
    return vendor


def test_it_fetches_what_query_start_asks_for(store: tsstore.Store) -> None:
    with history(store, vendor_with_bars()) as past:
        past.run()
        told = past.describe()
    assert len(store.read("AAPL/1Min/OHLCV")) == 1
    assert (told["done"], told["total"]) == (3, 3)
    assert (told["rows"], told["failed"], told["error"]) == (1, 0, "")
    assert past.gaps() == (0, [])


def test_kinds_that_are_not_wanted_are_left_out(store: tsstore.Store) -> None:
    starts = {"1Min": "2024-06-03", "trades": "2024-06-03"}
    with history(store, vendor_with_bars(), query_start=starts, data_types=["trades"]) as past:
        past.run()
    assert "AAPL/1Min/OHLCV" not in store.list()


def test_a_service_that_is_down_is_tried_again(store: tsstore.Store) -> None:
    vendor = vendor_with_bars()
    asked = []

    def fail_first(request: Any) -> Reply | None:
        asked.append(request.path)
        return Reply(b"<html>", 502) if len(asked) < 4 else None

    vendor.fault = fail_first
    with history(store, vendor) as past:
        past.run()
        assert past.describe()["error"] == ""
    assert len(store.read("AAPL/1Min/OHLCV")) == 1


def test_a_bucket_with_other_columns_costs_its_symbol_alone_and_is_asked_for_once(
    store: tsstore.Store,
) -> None:
    vendor = vendor_with_bars()
    vendor.trades["AAPL"] = vendor.trades["MSFT"] = [trade(MONDAY, 1)]
    asked = []
    vendor.fault = lambda request: asked.append(request.path)
    store.create("AAPL/1Sec/TRADE", Schema.of({"Price": "f4"}))
    options = {"query_start": {"trades": "2024-06-03"}, "symbols": ["AAPL", "MSFT"]}
    with history(store, vendor, data_types=["trades"], **options) as past:
        past.run()
        count, (gap,) = past.gaps()
        told = past.describe()
    assert len(store.read("MSFT/1Sec/TRADE")) == 1
    assert (count, gap["symbols"]) == (1, "AAPL")
    assert gap["reason"].startswith("AAPL/1Sec/TRADE holds other columns")
    assert (told["done"], told["total"], told["failed"]) == (6, 6, 3)
    assert asked
    assert not any("AAPL" in path for path in asked)


def test_what_the_plan_does_not_include_is_told_and_not_tried_again(store: tsstore.Store) -> None:
    vendor = vendor_with_bars()
    asked = []

    def forbid(request: Any) -> Reply:
        asked.append(request.path)
        return FORBIDDEN

    vendor.fault = forbid
    with history(store, vendor) as past:
        past.run()
        count, (gap, *_) = past.gaps()
    assert count >= 1
    assert "entitled" in gap["reason"]
    assert gap["symbols"] == "AAPL"
    assert len(asked) == 1


def test_a_day_is_fetched_again_when_it_is_over_and_so_are_new_symbols(
    store: tsstore.Store,
) -> None:
    vendor, clock = Vendor(), Clock(NOW)  # 02:00 in New York
    vendor.bars["AAPL"] = [bar(MONDAY + days * 86_400 * 10**9) for days in (2, 3)]
    wanted = ["AAPL"]
    with history(store, vendor, clock, symbols=wanted) as past:
        keeper = threading.Thread(target=past.keep)
        keeper.start()
        until(lambda: past.describe()["done"] == 3)
        wanted.append("MSFT")
        past.renew()
        until(lambda: past.describe()["done"] == 6)
        for count, seconds in ((1, 22 * 3600 + 20 * 60 + 1), (2, 24 * 3600)):
            clock.advance(seconds)
            until(lambda count=count: rows_of(store) == count)
    keeper.join(10)
    assert not keeper.is_alive()


def rows_of(store: tsstore.Store) -> int:
    return len(store.read("AAPL/1Min/OHLCV")) if "AAPL/1Min/OHLCV" in store.list() else 0


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 10
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.005)
