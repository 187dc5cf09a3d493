from __future__ import annotations

import itertools
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from tsstore.times import to_ns
from tsstore_massive.backfilling import report as module
from tsstore_massive.backfilling.plan import Job, Plan
from tsstore_massive.backfilling.report import Gap, GapList, Progress, Report
from tsstore_massive.backfilling.summary import say_empty, summarise
from tsstore_massive.datasets import Dataset
from tsstore_massive.errors import NotInPlanError
from tsstore_massive.rest.traffic import Counts

TRADES = Dataset.parse("trades")
NOW = to_ns("2024-07-01 12:00")


def gap(day: str, symbol: str = "AAPL", reason: str = "why", **more) -> Gap:
    start, end = TRADES.window(date.fromisoformat(day), date.fromisoformat(day))
    return Gap(symbol, TRADES, start, end, reason, **more)


def day(text: str) -> np.datetime64:
    return np.datetime64(text, "D")


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_gaps_of_neighbouring_market_days_are_one_in_whatever_order_they_come(order):
    gaps, days = GapList(), ["2024-06-07", "2024-06-10", "2024-06-11"]
    for n in order:
        gaps.add(gap(days[n]), day(days[n]), day(days[n - 1]) if n else None)
    [all_of_them] = gaps.sorted()
    assert str(all_of_them) == "AAPL trades of 2024-06-07 to 2024-06-11: why"
    assert all_of_them.days == 3


@pytest.mark.parametrize(
    "other",
    [
        {"day": "2024-06-11"},
        {"day": "2024-06-10", "symbol": "B"},
        {"day": "2024-06-10", "reason": "x"},
    ],
)  # fmt: skip
def test_other_gaps_are_not(other):
    gaps = GapList()
    gaps.add(gap("2024-06-07"), day("2024-06-07"), None)
    before = {"2024-06-10": "2024-06-07", "2024-06-11": "2024-06-10"}[other["day"]]
    gaps.add(gap(**other), day(other["day"]), day(before))
    assert len(gaps.sorted()) == 2


def test_very_many_gaps_are_counted(monkeypatch):
    monkeypatch.setattr(module, "GAPS_MAX", 2)
    gaps = GapList()
    for symbol in "CBADE":
        gaps.add(gap("2024-06-07", symbol), day("2024-06-07"), None)
    assert [each.symbol for each in gaps.sorted()] == ["B", "C"]
    assert gaps.left_out == 3


# What is said in the end


def plan(days: int = 10) -> Plan:
    calendar = np.arange("2024-05-01", "2024-06-30", dtype="M8[D]")
    return Plan([Job.whole(TRADES, "AAPL", calendar[:days])], covered_days=3)


def report(*gaps: Gap, **more) -> Report:
    failed = sum(each.days for each in gaps)
    progress = Progress(10, 10, 5_000, failed, empty_days=2)
    return Report(progress, gaps, more.pop("stopped", False), **more)


def said(capsys, given: Report, **more) -> tuple[bool | None, str, str]:
    try:
        is_whole = summarise(given, plan(**more), Path("data"), NOW)
    except NotInPlanError as error:
        assert error.exit_code == 8
        is_whole = None
        text = str(error)
    else:
        text = ""
    out, err = capsys.readouterr()
    return is_whole, out, err + text


def test_a_run_that_has_everything(capsys):
    traffic = Counts(calls=12, bytes=3_400_000, failures=1, throttled=2)
    is_whole, out, err = said(capsys, report(traffic=traffic, seconds=2.0))
    assert is_whole
    assert out.splitlines() == [
        "stored 5,000 rows of 10 symbol-days in 2.0 s (2,500 rows/s) in data",
        "12 calls, 3.4 MB received, 1 call failed and repeated, 2 too many (429)",
        "2 symbol-days are empty: the vendor has no rows there",
        "3 symbol-days were fetched before and left out",
    ]
    assert err == ""


def test_a_run_that_had_nothing_to_do(capsys):
    is_whole, out, _ = said(capsys, report(), days=0)
    assert is_whole
    assert out.splitlines()[0] == "nothing to fetch"


def test_what_the_plan_excludes_is_told_by_kind_and_not_by_symbol(capsys):
    gaps = [gap("2024-06-03", symbol, "no", refused="entitlement", days=2) for symbol in "ABCDE"]
    gaps += [gap("2021-06-03", "A", "too old", refused="timeframe")]
    is_whole, _, err = said(capsys, report(*gaps))
    assert is_whole is None
    assert err.splitlines() == [
        "11 symbol-days not in the plan of this key:",
        "  trades of 5 symbols, 2024-06-03: no",
        "  trades of A, 2021-06-03: too old",
        "this is not asked for again before 2024-07-02 12:00 UTC; --ask-again asks",
        "11 symbol-days are not in the plan of this key; the rest is stored",
    ]


def test_what_failed_is_told_apart_and_decides_how_it_ends(capsys):
    gaps = [gap("2024-06-03", "A", "no", refused="entitlement"), gap("2024-06-04", "B", "broken")]
    is_whole, _, err = said(capsys, report(*gaps, more_gaps=7))
    assert is_whole is False
    assert err.splitlines()[-4:] == [
        "1 symbol-day missing:",
        "  B trades of 2024-06-04: broken",
        "  and 7 more",
        "run the same command again to fetch them",
    ]


def test_a_day_that_is_under_way_is_no_failure(capsys):
    is_whole, _, err = said(capsys, report(gap("2024-07-01", refused="today")))
    assert is_whole
    assert err.startswith("1 symbol-day missing until the day is over, run the same command then:")


def test_names_that_the_vendor_has_nothing_of_are_told_with_what_they_may_mean(capsys):
    names = ["aapl", "BTCUSD", "eurusd", "SPY261218C00170000", "x:btc-usd", "ZZZZ"]
    say_empty([*names, *[f"Z{n}" for n in range(15)]])
    [shown] = capsys.readouterr().err.splitlines()
    assert shown.startswith(
        "the vendor has no rows of 21 symbols in these days: aapl (did you mean AAPL?), "
        "BTCUSD (did you mean X:BTC-USD?), eurusd (did you mean C:EUR-USD?), "
        "SPY261218C00170000 (did you mean O:SPY261218C00170000?), "
        "x:btc-usd (did you mean X:BTC-USD?), ZZZZ, Z0, "
    )
    assert " and 1 more; check the spelling" in shown
    say_empty(["ZZZZ"])
    assert capsys.readouterr().err == (
        "the vendor has no rows of ZZZZ in these days: check the spelling (tickers are "
        "case-sensitive, and all but stocks and futures have a prefix); massive_reference knows "
        "the tickers\n"
    )
    say_empty([])
    assert capsys.readouterr().err == ""
