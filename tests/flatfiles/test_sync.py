"""Days of a run: what changes at the vendor meanwhile, and what fails."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import date
from typing import TYPE_CHECKING

import pytest

from tests.flatfiles.conftest import packed
from tests.flatfiles.test_whole import bars, path_of
from tsstore.clock import SystemClock
from tsstore.schema import Schema
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.errors import S3FailedError
from tsstore_massive.flatfiles.planning import Span
from tsstore_massive.flatfiles.remote import Remote
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.flatfiles.sync import Sync

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import tsstore
    from tests.flatfiles.conftest import S3
    from tsstore_massive.flatfiles.planning import Plan
    from tsstore_massive.flatfiles.sync import Report

DAYS = ("2026-06-01", "2026-06-02", "2026-06-03", "2026-06-04")
FLAT = FlatSet.of("stocks", "minute_aggs")
SPAN = Span(FLAT, date.fromisoformat(DAYS[0]), date.fromisoformat(DAYS[-1]))


@pytest.fixture
def sync(s3: S3, store: tsstore.Store, tmp_path: Path) -> Iterator[Callable[..., Sync]]:
    """Makes what brings files into the store."""
    remotes = []

    def make(endpoint: str = "") -> Sync:
        access = replace(s3.access(), endpoint=endpoint or s3.endpoint)
        remotes.append(Remote(access, connections=2, retries=1, retry_s=1.0))
        archive = Archive(tmp_path / "archive")
        return Sync(store, archive, remotes[-1], clock=SystemClock(), stop=threading.Event())

    yield make
    for remote in remotes:
        remote.__exit__(None, None, None)


def plan(sync: Sync, symbols: str = "*") -> Plan:
    return sync.plan([SPAN], Selection(symbols.split(",")))


def reasons(report: Report) -> list[tuple[str, str]]:
    return [(str(each.day), each.reason) for each in report.missing]


def test_a_file_that_is_replaced_after_the_listing_is_fetched_as_it_is_now(s3, sync, store):
    for day in DAYS:
        s3.put(path_of(day), bars(day))
    brings = sync()
    planned = plan(brings)
    s3.put(path_of(DAYS[1]), bars(DAYS[1], close=2.5))
    report = brings.run(planned)
    assert (report.loaded, report.missing) == (4, [])
    assert store.read("A/1Min/OHLCV")["Close"].tolist() == [2, 2, 2, 2.5, 2.5, 2.5, *[2] * 6]
    assert plan(sync()).wanted == []


def test_a_file_that_went_away_after_the_listing_costs_no_other(s3, sync):
    for day in DAYS:
        s3.put(path_of(day), bars(day))
    brings = sync()
    planned = plan(brings)
    s3.clear()
    for day in DAYS[1:]:
        s3.put(path_of(day), bars(day))
    report = brings.run(planned)
    assert (report.loaded, reasons(report)) == (3, [(DAYS[0], "failed")])


def test_a_service_that_goes_away_ends_the_run(s3, sync, store):
    for day in DAYS:
        s3.put(path_of(day), bars(day))
    planned = plan(sync())
    with pytest.raises(S3FailedError, match=r"2026-06-0"):
        sync("http://127.0.0.1:1").run(planned)
    assert store.list() == []


def test_a_run_that_is_told_to_stop_stores_no_more(s3, sync, store):
    for day in DAYS:
        s3.put(path_of(day), bars(day))
    brings = sync()
    report = brings.run(plan(brings), progress=lambda now: now.rows and brings._stop.set())
    assert (report.stopped, report.loaded) == (True, 1)
    assert len(store.read("A/1Min/OHLCV")) == 3
    assert len(plan(sync()).wanted) == 3


def test_all_tickers_hold_any_ticker_and_not_the_other_way_round(s3, sync):
    s3.put(path_of(DAYS[0]), bars(DAYS[0]))
    brings = sync()
    brings.run(plan(brings, "A"))
    assert plan(brings, "A").wanted == []
    assert len(plan(brings, "A,B").wanted) == 1
    assert plan(brings, "A,B").fetch_bytes == 0
    brings.run(plan(brings))
    assert plan(brings, "A,B").wanted == []
    assert plan(brings, "A").loaded_days == 1


def test_a_file_of_another_kind_is_a_failure_of_its_day(s3, sync):
    s3.put(path_of(DAYS[0]), packed("ticker,price\nA,1\n"))
    s3.put(path_of(DAYS[1]), bars(DAYS[1]))
    s3.put(path_of(DAYS[1]).replace("2026-06-02", "notes"), b"no day")
    brings = sync()
    report = brings.run(plan(brings))
    assert report.loaded == 1
    assert reasons(report)[0] == (DAYS[0], "failed")
    assert "has no column 'close'" in report.missing[0].text


@pytest.mark.parametrize("symbols", ["*", "A,B"])
def test_a_bucket_that_holds_something_else_costs_its_ticker_alone(s3, sync, store, symbols):
    for day in DAYS:
        s3.put(path_of(day), bars(day))
    store.create("B/1Min/OHLCV", Schema.of({"Close": "f4"}))
    brings = sync()
    report = brings.run(plan(brings, symbols))
    assert (report.loaded, report.missing) == (4, [])
    assert len(store.read("A/1Min/OHLCV")) == 12
    [told] = report.misfits
    assert told.startswith("B/1Min/OHLCV holds other columns than the vendor's rows have; copy")
    assert "B/24H/OHLCV_1Min_BACKFILL" not in store.list()
    store.destroy("B/1Min/OHLCV")
    brings.run(plan(brings, "B"))
    assert len(store.read("B/1Min/OHLCV")) == 12


def test_a_file_that_is_withdrawn_once_it_is_loaded_is_not_missed(s3, sync, store, tmp_path):
    for day in DAYS:
        s3.put(path_of(day), bars(day))
    brings = sync()
    brings.run(plan(brings, "A"))
    s3.clear()
    s3.put(path_of(DAYS[0]), bars(DAYS[0]))
    again = plan(sync(), "A")
    assert (again.wanted, again.missing, again.loaded_days) == ([], [], 4)
    others = plan(sync(), "A,B")
    assert [str(each.day) for each in others.missing] == [*DAYS[1:]]
    assert len(others.wanted) == 1
