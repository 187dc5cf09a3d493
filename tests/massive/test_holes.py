from __future__ import annotations

import json
from typing import TYPE_CHECKING

import msgspec
import numpy as np
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

import tsstore
from tests.massive.http_server import KEY, Reply, Server, Vendor, bar, trade
from tsstore.api import Write
from tsstore.cli.main import main
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore_massive.backfilling.allowance import BELIEVED_NS, Refusal
from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.backfilling.coverage import coverage_rows
from tsstore_massive.backfilling.refusals import Refusals
from tsstore_massive.datasets import Dataset
from tsstore_massive.holes.evidence import touched
from tsstore_massive.holes.grid import make_grid
from tsstore_massive.missing import outages
from tsstore_massive.missing.journal import Journal
from tsstore_massive.reference.names import store_names
from tsstore_massive.rest.client import account_of
from tsstore_massive.rest.models import TickerEvents
from tsstore_massive.schemas import BARS, LULD, TRADES

if TYPE_CHECKING:
    from pathlib import Path

MINUTE = 60_000_000_000
DAY = "2024-06-03"
OPEN = to_ns(f"{DAY} 09:30", "America/New_York")
NOW = to_ns("2024-06-10")
MINUTES = Timeframe(1, "Min")
BARS_OF = Dataset("bars", MINUTES)
TRADES_OF = Dataset.parse("trades")


def write_bars(store: tsstore.Store, symbol: str, without: set[int]) -> None:
    ts = np.array([OPEN + n * MINUTE for n in range(390) if n not in without], np.int64)
    store.write(
        f"{symbol}/1Min/OHLCV", Columns(ts, {n: np.ones(len(ts)) for n in BARS.names}), schema=BARS
    )


def write_trades(store: tsstore.Store, symbol: str, minutes: list[int], condition: int = 0) -> None:
    ts = np.array([OPEN + n * MINUTE + 5 for n in minutes], np.int64)
    arrays = {n: np.ones(len(ts)).astype(d) for n, d in TRADES.columns}
    arrays["Cond1"][:] = condition
    arrays["Correction"][:] = 0
    for name in ("Cond2", "Cond3", "Cond4"):
        arrays[name][:] = 0
    arrays["Sequence"] = np.arange(len(ts))
    store.write(f"{symbol}/1Sec/TRADE", Columns(ts, arrays), schema=TRADES)


def covered(store: tsstore.Store, dataset: Dataset, symbol: str) -> None:
    days = np.array([DAY], "M8[D]")
    rows = coverage_rows(days, np.array([1]), dataset.ends(days), NOW, adjusted=False)
    store.commit([Write(dataset.coverage_key(symbol), rows, COVERAGE)])


def gaps(path: Path, *arguments: str) -> tuple[int, dict[int, tuple[int, str]]]:
    """Exit code, and by minute of the day how many bars are missing and why."""
    flags = ["--start", DAY, "--end", DAY, "--all", "--format", "json", "--dir", str(path)]
    result = CliRunner().invoke(main, ["gaps", *arguments, *flags])
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    rows = [json.loads(line) for line in result.stdout.splitlines()]
    found = {(to_ns(row["From"]) - OPEN) // MINUTE: (row["Bars"], row["Reason"]) for row in rows}
    return result.exit_code, found


def test_each_hole_is_explained_by_what_the_store_knows(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with tsstore.open(path) as store:
        write_bars(store, "AAPL", {10, 11, 20, 30, 31, 50, 60, 70, 71, 72})
        write_trades(store, "AAPL", [50])
        covered(store, TRADES_OF, "AAPL")  # but of these: nothing says that nobody traded
        write_trades(store, "AAPL", [20], condition=12)
        write_trades(store, "AAPL", [60], condition=2)
        down = OPEN + 70 * MINUTE, OPEN + 71 * MINUTE
        outages.write(store, *down, market="stocks", connection="")
        write_bars(store, "SPY", {5, 70, 80, 90, 91})
        Journal(store).write({"bars": [(OPEN + 80 * MINUTE, OPEN + 81 * MINUTE - 1, "SPY")]})
        halts = np.array([OPEN + 90 * MINUTE, OPEN + 92 * MINUTE], np.int64)
        arrays = {n: np.zeros(2, d) for n, d in LULD.columns}
        arrays["Indicator1"][:] = (17, 18)
        store.write("SPY/1Sec/LULD", Columns(halts, arrays), schema=LULD)
        write_bars(store, "QQQ", {1})
        covered(store, BARS_OF, "QQQ")
        write_bars(store, "IWM", {1})
        covered(store, BARS_OF, "IWM")
        write_trades(store, "IWM", [1])
    code, found = gaps(path, "AAPL")
    assert code == 1
    assert found[10] == (2, "no trades")
    assert found[30] == (2, "no trades")
    assert found[60] == (1, "trades that make no bar")
    assert found[50][1].startswith("not fetched")
    assert found[20][1].startswith("not fetched")
    assert found[70] == (3, "no trades")  # whoever asked for the trades knows it better
    _, found = gaps(path, "SPY")
    assert found[5][1].startswith("unexplained")
    assert found[70][1].startswith("the feed was down")
    assert found[80][1].startswith("missed, the worker")
    assert found[90] == (2, "halted")
    assert gaps(path, "QQQ")[1][1][1].startswith("the vendor has none")
    assert gaps(path, "IWM") == (0, {1: (1, "the vendor has trades and no bar")})
    _, found = gaps(path, "NVDA")
    assert {minute: count for minute, (count, _) in found.items()} == {0: 70, 70: 2, 72: 318}
    assert found[0][1] == "not fetched; massive_backfiller does"


def test_symbols_without_a_bucket_may_be_misspelled(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with tsstore.open(path) as store:
        write_bars(store, "AAPL", {1})
        covered(store, BARS_OF, "APPL")
    arguments = ["gaps", "AAPL,APPL,appl", "--start", DAY, "--end", DAY, "--dir", str(path)]
    asked, unasked = CliRunner().invoke(main, arguments).stderr.splitlines()[1:]
    assert asked.startswith("the vendor has no rows of APPL in these days: check the spelling")
    assert unasked.startswith("the store has no rows of appl (did you mean APPL?) in these days:")


def test_what_the_plan_refuses_is_told_as_long_as_that_is_believed(tmp_path: Path) -> None:
    path = tmp_path / "s"
    day, now_ns = np.datetime64(DAY), SystemClock().now_ns()
    with tsstore.open(path) as store:
        write_bars(store, "AAPL", {1})
        refusals = Refusals(store, "digest")
        refusals.add(Refusal("stocks", str(TRADES_OF), "", "entitlement", day, now_ns, "no"))
    assert gaps(path, "AAPL")[1][1][1].startswith("unexplained")
    with tsstore.open(path) as store:
        refusals = Refusals(store, "digest")
        long_ago = now_ns - BELIEVED_NS
        refusals.add(Refusal("stocks", str(BARS_OF), "", "timeframe", day, long_ago, "no"))
    assert gaps(path, "AAPL")[1][1][1].startswith("unexplained")
    with tsstore.open(path) as store:
        refusals = Refusals(store, "digest")
        refusals.add(Refusal("stocks", str(BARS_OF), "", "timeframe", day, now_ns, "no"))
    assert gaps(path, "AAPL") == (0, {1: (1, "not in the plan of the key")})


def test_a_share_is_looked_for_under_the_name_of_the_day_and_a_contract_while_it_lives(
    tmp_path: Path,
) -> None:
    path, contract = tmp_path / "s", f"O:META{DAY[2:].replace('-', '')}C00500000"
    with tsstore.open(path) as store:
        day = {"type": "ticker_change", "ticker_change": {"ticker": "FB"}, "date": "2012-05-18"}
        change = {**day, "ticker_change": {"ticker": "META"}, "date": "2024-06-04"}
        told = msgspec.convert({"events": [change, day]}, TickerEvents)
        assert store_names(store, "META", told)
        write_bars(store, "FB", {5})  # on the last day of this name
        write_bars(store, contract, {6})  # on its only day
    command = ["gaps", "META", contract, "--start", DAY, "--end", "2024-06-04", "--dir", str(path)]
    result = CliRunner().invoke(main, [*command, "--format", "csv"])
    assert [line.partition(",")[0] for line in result.stdout.splitlines()[1:]] == [
        "FB", "META", contract,
    ]  # fmt: skip
    assert result.stderr.startswith("392 of 1,170 bars of 2024-06-03 to 2024-06-04 are missing")


def test_what_is_not_in_the_plan_at_all_is_so_on_all_days(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with tsstore.open(path) as store:
        write_bars(store, "AAPL", {1})
        refusals, earlier = Refusals(store, "digest"), np.datetime64(DAY) - 40
        now_ns = SystemClock().now_ns()
        # The first of many requests was about days up to then.
        refusals.add(Refusal("stocks", str(BARS_OF), "AAPL", "entitlement", earlier, now_ns, "no"))
        refusals.add(Refusal("stocks", str(BARS_OF), "SPY", "timeframe", earlier, now_ns, "no"))
        write_bars(store, "SPY", {1})
    assert gaps(path, "AAPL") == (0, {1: (1, "not in the plan of the key")})
    assert gaps(path, "SPY")[1][1][1].startswith("unexplained")


def test_the_vendor_is_asked_for_what_the_store_cannot_explain(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "s"
    with tsstore.open(path) as store:
        write_bars(store, "AAPL", {10, 20, 30})
        write_bars(store, "MSFT", {10})
    vendor = Vendor()
    vendor.bars = {"AAPL": [bar(OPEN + 10 * MINUTE, 1.0)]}
    vendor.trades = {"AAPL": [trade(OPEN + 20 * MINUTE + 7, 1)]}
    vendor.fault = lambda request: (
        Reply(b'{"status":"NOT_AUTHORIZED","message":"You are not entitled"}', 403)
        if "MSFT" in request.path
        else None
    )
    with Server(vendor) as server:
        config = tmp_path / "mkts.yml"
        options = f"{{api_key: {KEY}, base_url: '{server.url}'}}"
        worker = f"{{module: massive, config: {options}}}"
        config.write_text(f"root_directory: {path}\nbgworkers:\n  - {worker}\n")
        asked = ("--ask-vendor", "--config", str(config))
        code, found = gaps(path, "AAPL", *asked)
        assert (code, found[10][1]) == (1, "not fetched; massive_backfiller does")
        assert found[20][1] == "the vendor has trades and no bar"
        assert found[30][1] == "no trades"
        assert gaps(path, "MSFT", *asked) == (0, {10: (1, "not in the plan of the key")})
        monkeypatch.chdir(tmp_path)  # its mkts.yml is found there
        assert gaps(path, "AAPL", "--ask-vendor")[1] == found


def test_what_another_key_was_refused_is_no_reason(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, config = tmp_path / "s", tmp_path / "mkts.yml"
    day, now_ns = np.datetime64(DAY), SystemClock().now_ns()
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    with tsstore.open(path) as store:
        write_bars(store, "AAPL", {1})
        refusals = Refusals(store, account_of("free"))
        refusals.add(Refusal("stocks", str(BARS_OF), "", "timeframe", day, now_ns, "no"))
    assert gaps(path, "AAPL")[1][1][1] == "not in the plan of the key"  # nobody says of which
    monkeypatch.setenv("MASSIVE_API_KEY", "free")
    assert gaps(path, "AAPL")[1][1][1] == "not in the plan of the key"
    worker = "{module: massive, config: {api_key: paid}}"
    config.write_text(f"root_directory: {path}\nbgworkers: [{worker}]\n")
    assert gaps(path, "AAPL", "--config", str(config))[1][1][1].startswith("unexplained")


def test_only_what_is_to_be_done_is_printed_and_the_rest_is_counted(tmp_path: Path) -> None:
    path = tmp_path / "s"
    with tsstore.open(path) as store:
        for symbol in ("AAPL", "SPY"):
            write_bars(store, symbol, {10, 300})
        write_trades(store, "AAPL", [1])
        covered(store, TRADES_OF, "AAPL")
    result = CliRunner().invoke(
        main, ["gaps", "*", "--start", DAY, "--end", f"{DAY} 14:00", "-d", str(path)]
    )
    assert result.exit_code == 1
    assert result.stdout.split()[:1] == ["SPY"]
    assert len(result.stdout.splitlines()) == 1
    assert result.stderr.startswith(f"2 of 542 bars of {DAY} are missing")
    done = CliRunner().invoke(main, ["gaps", "AAPL", "--start", DAY, "--end", DAY, "-d", str(path)])
    assert (done.exit_code, done.stdout) == (0, "")
    span = ["--start", "2024-06-01", "--end"]
    week = CliRunner().invoke(main, ["gaps", "AAPL", *span, "2024-06-07", "-d", str(path)])
    assert " bars of 2024-06-03 to 2024-06-07 are missing" in week.stderr
    weekend = CliRunner().invoke(main, ["gaps", "AAPL", *span, "2024-06-02", "-d", str(path)])
    assert (weekend.exit_code, weekend.stdout) == (0, "")
    assert weekend.stderr == "the market was not open in these hours, so no bar can be missing\n"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["A*", "--start", DAY], "no bucket matches"),
        (["A,B B", "--start", DAY], "not a symbol"),
        (["X:BTC-USD", "--start", DAY], "other hours than US stocks"),
        (["A", "--start", DAY, "--timeframe", "1D"], "use up to 1H"),
        (["A", "--start", DAY, "--timeframe", "x"], "no bar length"),
        (
            ["A", "--start", DAY, "--end", "2001-01-02"],
            f"{DAY} is after --end 2001-01-02, itself included; give",
        ),
        (["A", "--start", "2100-01-04"], "2100-01-04 is after now"),
    ],
)
def test_wrong_arguments_are_named(tmp_path: Path, arguments: list[str], words: str) -> None:
    tsstore.open(tmp_path / "s").close()
    result = CliRunner().invoke(main, ["gaps", *arguments, "-d", str(tmp_path / "s")])
    assert result.exit_code != 0
    assert words in result.stderr


def test_the_grid_knows_holidays_early_closes_and_summer_time() -> None:
    start, end = to_ns("2024-03-07", "America/New_York"), to_ns("2024-07-08", "America/New_York")
    grid = make_grid(start, end, MINUTES, extended=False, now_ns=NOW + 90 * 86_400 * 10**9)
    counts = dict(zip(grid.calendar.astype(str).tolist(), np.bincount(grid.days), strict=True))
    assert "2024-07-04" not in counts
    assert (counts["2024-07-03"], counts["2024-07-05"]) == (210, 390)
    first = {str(day): int(grid.slots[grid.days == n][0]) for n, day in enumerate(grid.calendar)}
    assert first["2024-03-08"] == to_ns("2024-03-08 14:30")
    assert first["2024-03-11"] == to_ns("2024-03-11 13:30")
    wide = make_grid(start, end, MINUTES, extended=True, now_ns=NOW)
    assert np.bincount(wide.days)[0] == 960


def test_a_bar_that_is_not_over_is_not_expected() -> None:
    grid = make_grid(OPEN, OPEN + 390 * MINUTE, MINUTES, extended=False, now_ns=OPEN + 5 * MINUTE)
    assert len(grid.slots) == 4


@given(
    st.lists(st.tuples(st.integers(-5, 60), st.integers(0, 20)), max_size=8),
    st.integers(1, 7),
    st.sets(st.integers(0, 50), max_size=20),
)
def test_windows_that_stretches_touch(
    pairs: list[tuple[int, int]], step: int, places: set[int]
) -> None:
    slots = np.array(sorted(place * step for place in places), np.int64)
    starts = np.array([start for start, _ in pairs], np.int64)
    ends = np.array([start + length for start, length in pairs], np.int64)
    stretches = list(zip(starts.tolist(), ends.tolist(), strict=True))
    expected = [
        any(slot <= end and slot + step - 1 >= start for start, end in stretches)
        for slot in slots.tolist()
    ]
    assert touched(slots, step, starts, ends).tolist() == expected
