from __future__ import annotations

import json
import logging
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import pytest

from tests.massive.http_server import KEY, Reply, Server, Vendor, bar, trade
from tsstore.clock import SystemClock
from tsstore_massive.backfilling.backfill import Backfiller
from tsstore_massive.missing.gaps import GapFiller, Stretch
from tsstore_massive.missing.journal import Journal
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import RateLimiter

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import tsstore

SECOND = 1_000_000_000
START = 1_717_421_400 * SECOND  # 2024-06-03 13:30 UTC
FORBIDDEN = Reply(
    b'{"status":"NOT_AUTHORIZED","message":"You are not entitled to this data."}', 403
)
FAILING = Reply(b"<html>", 502)


class Tried:
    """A filler with the store and the vendor it works on."""

    def __init__(
        self, filler: GapFiller, vendor: Vendor, told: list[str], stop: threading.Event
    ) -> None:
        self.filler = filler
        self.stop = stop
        self.vendor = vendor
        self.told = told

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, self.filler.describe()
            time.sleep(0.005)

    def missing(self) -> int:
        return self.filler.describe()[0]


@contextmanager
def filling(
    store: tsstore.Store, *, retry_s: float = 0.05, running: bool = True
) -> Iterator[Tried]:
    vendor, stop, told = Vendor(), threading.Event(), list[str]()
    vendor.tickers = ["AAPL", "MSFT"]
    vendor.trades = {
        name: [trade(START + n * SECOND, n) for n in range(60)] for name in ("AAPL", "MSFT")
    }
    vendor.bars = {"AAPL": [bar(START, 10.0)]}
    clock = SystemClock()
    with (
        Server(vendor) as server,
        RestClient(
            server.url, KEY, clock=clock, limiter=RateLimiter(10_000, 60, clock), stop=stop,
            limits=Limits(attempts=1),
        ) as rest,
    ):  # fmt: skip
        filler = GapFiller(
            Backfiller(store, rest, clock=clock, stop=stop),
            Journal(store),
            all_symbols=lambda _: tuple(rest.tickers()),
            fitting=lambda _, symbols: tuple(name for name in symbols if name != "MISFIT"),
            before_fill=lambda end_ns: told.append(f"before {end_ns}"),
            before_symbol=told.append,
            after_fill=lambda: told.append("after"),
            clock=clock,
            logger=logging.getLogger("tests.gaps"),
            stop=stop,
            retry_s=retry_s,
        )
        thread = threading.Thread(target=filler.run)
        if running:
            thread.start()
        try:
            yield Tried(filler, vendor, told, stop)
        finally:
            stop.set()
            if running:
                thread.join(30)


def stretch(*symbols: str, kind: Any = "trades", **fields: Any) -> Stretch:
    defaults: dict[str, Any] = {"start_ns": START, "end_ns": START + 60 * SECOND}
    return Stretch(kind, symbols or None, **(defaults | fields))


def rows(store: tsstore.Store) -> dict[str, int]:
    return {key: len(store.read(key)) for key in store.list() if "/24H/" not in key}


def test_a_stretch_is_fetched_and_no_longer_missing(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.filler.add(stretch("AAPL"))
        tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Sec/TRADE": 60}
        assert tried.told == ["AAPL"]


def test_bars_are_kept_only_while_bars_are_fetched(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.filler.add(stretch("AAPL", "MSFT", kind="bars"))
        tried.until(lambda: tried.missing() == 0)
        assert tried.told == [f"before {START + 60 * SECOND}", "AAPL", "MSFT", "after"]


def test_only_the_range_is_fetched(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.filler.add(stretch("AAPL", start_ns=START + 10 * SECOND, end_ns=START + 19 * SECOND))
        tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Sec/TRADE": 10}


def test_a_stretch_of_all_symbols_asks_the_vendor_for_them(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.filler.add(stretch())
        tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Sec/TRADE": 60, "MSFT/1Sec/TRADE": 60}


def test_a_stretch_waits_for_its_time(store: tsstore.Store) -> None:
    with filling(store) as tried:
        later = SystemClock().monotonic() + 0.3
        tried.filler.add(stretch("AAPL", not_before=later))
        tried.until(lambda: tried.missing() == 0)
        assert SystemClock().monotonic() >= later


def test_what_fails_is_tried_again_and_shown_meanwhile(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.vendor.fault = lambda _: FAILING
        tried.filler.add(stretch("AAPL", "MSFT"))
        tried.until(lambda: "502" in tried.filler.describe()[1][0]["reason"])
        tried.vendor.fault = lambda _: None
        tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Sec/TRADE": 60, "MSFT/1Sec/TRADE": 60}


def test_a_failing_list_of_symbols_is_tried_again(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.vendor.fault = lambda _: FAILING
        tried.filler.add(stretch())
        tried.until(lambda: "502" in tried.filler.describe()[1][0]["reason"])
        tried.vendor.fault = lambda _: None
        tried.until(lambda: tried.missing() == 0)


def test_only_the_symbol_that_fails_stays(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.vendor.fault = lambda request: FORBIDDEN if "MSFT" in request.path else None
        tried.filler.add(stretch("AAPL", "MSFT"))
        tried.until(lambda: "entitled" in tried.filler.describe()[1][0]["reason"])
        (gap,) = tried.filler.describe()[1]
        assert (gap["symbols"], gap["symbol_count"], gap["kind"]) == ("MSFT", 1, "trades")
        assert rows(store) == {"AAPL/1Sec/TRADE": 60}


def test_what_the_plan_does_not_include_is_not_tried_again_but_shown(store: tsstore.Store) -> None:
    asked = []
    with filling(store, retry_s=0.01) as tried:

        def forbid(request: Any) -> Reply:
            asked.append(request.path)
            return FORBIDDEN

        tried.vendor.fault = forbid
        tried.filler.add(stretch("AAPL"))
        tried.until(lambda: "entitled" in tried.filler.describe()[1][0]["reason"])
        tried.vendor.fault = lambda _: None
        tried.filler.add(stretch("MSFT"))
        tried.until(lambda: "MSFT/1Sec/TRADE" in store.list())
        tried.until(lambda: tried.missing() == 1)
        assert len(asked) == 1


def test_symbols_that_fail_alike_stay_together(store: tsstore.Store) -> None:
    with filling(store, retry_s=60) as tried:
        tried.vendor.fault = lambda _: FORBIDDEN
        tried.filler.add(stretch("MSFT", "AAPL"))
        tried.until(lambda: "entitled" in tried.filler.describe()[1][0]["reason"])
        assert [gap["symbols"] for gap in tried.filler.describe()[1]] == ["AAPL MSFT"]


def test_stretches_of_the_same_rows_become_one(store: tsstore.Store) -> None:
    with filling(store, running=False) as tried:
        tried.filler.add(stretch("AAPL"))
        tried.filler.add(stretch("AAPL", start_ns=START - SECOND, end_ns=START + SECOND))
        tried.filler.add(stretch("MSFT"))
        tried.filler.add(stretch("AAPL", kind="bars"))
        count, shown = tried.filler.describe()
        assert count == 3
        joined = next(gap for gap in shown if gap["symbols"] == "AAPL" and gap["kind"] == "trades")
        assert joined["from"] == "2024-06-03 13:29:59Z"
        assert joined["to"] == "2024-06-03 13:31:00Z"


def test_the_status_spells_out_a_bounded_number(store: tsstore.Store) -> None:
    with filling(store, running=False) as tried:
        for number in range(500):
            tried.filler.add(stretch(f"S{number}"))
        count, shown = tried.filler.describe()
        assert count == 500
        assert len(shown) < 100


def test_a_hopeless_stretch_is_only_shown(store: tsstore.Store) -> None:
    with filling(store) as tried:
        tried.filler.add(stretch("AAPL").given_up(START + SECOND, "too old"))
        tried.filler.add(stretch("MSFT"))
        tried.until(lambda: "MSFT/1Sec/TRADE" in store.list())
        tried.until(lambda: tried.missing() == 1)
        assert tried.filler.describe()[1][0]["reason"] == "too old"
        assert "AAPL/1Sec/TRADE" not in store.list()


def test_of_very_many_hopeless_ones_the_newest_are_kept_and_all_are_counted(
    store: tsstore.Store,
) -> None:
    with filling(store, running=False) as tried:
        for number in range(1_200):
            tried.filler.add(stretch("AAPL").given_up(START + number, f"number {number}"))
        count, shown = tried.filler.describe()
        assert count == 1_200
        assert shown[0]["reason"] == "number 1199"
        tried.filler.add(stretch("MSFT"))
        assert tried.filler.describe()[1][0]["symbols"] == "MSFT"  # there is hope for it


@pytest.mark.parametrize("repeat", [1, 3])
def test_filling_twice_doubles_nothing(store: tsstore.Store, repeat: int) -> None:
    with filling(store) as tried:
        for _ in range(repeat):
            tried.filler.add(stretch("AAPL"))
            tried.filler.add(stretch("AAPL", kind="bars"))
            tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Min/OHLCV": 1, "AAPL/1Sec/TRADE": 60}


def test_a_stopped_filler_keeps_what_is_missing(store: tsstore.Store) -> None:
    with filling(store, retry_s=60) as tried:
        tried.vendor.fault = lambda _: FAILING
        tried.filler.add(stretch("AAPL"))
        tried.until(lambda: "502" in tried.filler.describe()[1][0]["reason"])
    assert tried.missing() == 1


def test_what_a_stopped_filler_did_not_fetch_the_next_one_fetches(store: tsstore.Store) -> None:
    with filling(store, running=False) as tried:
        tried.filler.add(stretch("AAPL"), stretch("MSFT", kind="bars"))
        tried.filler.add(stretch(start_ns=START - SECOND))
    with filling(store, running=False) as tried:
        tried.filler.resume()
        count, shown = tried.filler.describe()
        assert (count, {gap["symbols"] for gap in shown}) == (3, {"AAPL", "MSFT", "all"})
    with filling(store) as tried:
        tried.filler.resume()
        tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Sec/TRADE": 60, "MSFT/1Sec/TRADE": 60}
    with filling(store, running=False) as tried:
        tried.filler.resume()
        assert tried.missing() == 0


def test_what_failed_is_written_down_too(store: tsstore.Store) -> None:
    with filling(store, retry_s=60) as tried:
        tried.vendor.fault = lambda request: FAILING if "MSFT" in request.path else None
        tried.filler.add(stretch("AAPL", "MSFT"))
        tried.until(lambda: "502" in tried.filler.describe()[1][0]["reason"])
    with filling(store, running=False) as tried:
        tried.filler.resume()
        assert [gap["symbols"] for gap in tried.filler.describe()[1]] == ["MSFT"]


def test_a_gap_that_cannot_be_filled_at_all_is_not_written_down(store: tsstore.Store) -> None:
    with filling(store, running=False) as tried:
        tried.filler.add(stretch("AAPL").given_up(START + SECOND, "too old"))
    assert store.list() == []


def test_joining_delays_nothing_and_keeps_the_reason(store: tsstore.Store) -> None:
    with filling(store, running=False) as tried:
        tried.filler.add(stretch("AAPL", reason="down"))
        later = SystemClock().monotonic() + 60
        tried.filler.add(stretch("AAPL", end_ns=START + 90 * SECOND, not_before=later))
        (gap,) = tried.filler.describe()[1]
        assert (gap["to"], gap["reason"]) == ("2024-06-03 13:31:30Z", "down")
        tried.filler.add(
            stretch("AAPL", start_ns=START + 100 * SECOND, end_ns=START + 110 * SECOND)
        )
        assert tried.missing() == 2


def test_a_joined_stretch_waits_until_the_vendor_has_the_end_of_it(store: tsstore.Store) -> None:
    with filling(store, running=False) as tried:
        later = SystemClock().monotonic() + 0.3
        waiting = stretch("AAPL", start_ns=START + 30 * SECOND, not_before=later)
        tried.vendor.trades = {"AAPL": [trade(START + n * SECOND, n) for n in range(20)]}
        tried.filler.add(stretch("AAPL", end_ns=START + 40 * SECOND))
        tried.filler.add(waiting)
        thread = threading.Thread(target=tried.filler.run)
        thread.start()
        tried.filler.add(stretch("MSFT"))
        tried.until(lambda: tried.missing() == 1)  # what came later is done before
        tried.vendor.trades["AAPL"] += [trade(START + n * SECOND, n) for n in range(20, 60)]
        tried.until(lambda: tried.missing() == 0)
        assert rows(store)["AAPL/1Sec/TRADE"] == 60
        tried.stop.set()
        thread.join(30)


@pytest.mark.parametrize(
    "words",
    [
        "Attempted to request today's data before end of day.",
        "Your plan doesn't include this data timeframe.",
    ],
)
def test_what_is_too_recent_for_the_plan_stays(store: tsstore.Store, words: str) -> None:
    reply = Reply(json.dumps({"status": "NOT_AUTHORIZED", "message": words}).encode(), 403)
    with filling(store) as tried:
        tried.vendor.fault = lambda _: reply
        tried.filler.add(stretch("AAPL"))
        tried.until(lambda: words[:20] in tried.filler.describe()[1][0]["reason"])
    ((start_ns, end_ns, symbol),) = Journal(store).read("trades")
    assert start_ns <= START < START + 60 * SECOND <= end_ns
    assert symbol == "AAPL"


def test_a_bucket_with_other_columns_does_not_keep_others_from_being_filled(
    store: tsstore.Store,
) -> None:
    with filling(store) as tried:
        tried.filler.add(stretch("AAPL", "MISFIT", "MSFT"))
        tried.until(lambda: tried.missing() == 0)
        assert rows(store) == {"AAPL/1Sec/TRADE": 60, "MSFT/1Sec/TRADE": 60}
