"""The benchmarks run and report; what they measure is not judged here."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

from benchmarks.goals import at_least, at_most, times_faster, times_more, within
from benchmarks.harness import Call, Case, Figure, Line, latency, take_turns, throughput
from benchmarks.report import as_json, markdown

ROOT = Path(__file__).parent.parent


def test_peers_take_turns_on_the_same_inputs() -> None:
    seen: list[tuple[str, int]] = []
    cases = {name: Case(lambda n, name=name: seen.append((name, n))) for name in "AB"}
    calls = take_turns(cases, [1, 2, 3, 4], rounds=2)
    assert seen == [(name, n) for half in ((1, 2), (3, 4)) for name in "AB" for n in half]
    assert {name: len(each) for name, each in calls.items()} == {"A": 4, "B": 4}


def test_what_comes_before_a_call_is_not_timed() -> None:
    order: list[str] = []
    case = Case(lambda _: order.append("call"), before=lambda: order.append("before"))
    take_turns({"A": case}, [None, None], rounds=1)
    assert order == ["before", "call", "before", "call"]


def test_figures() -> None:
    calls = [Call(0.001, 0.001), Call(0.004, 0.003), Call(0.002, 0.002)]
    assert latency(calls).value == 2
    assert latency(calls).details["min"] == 1
    assert latency(calls).details["cpu"] == 2
    assert throughput([Call(1, 0), Call(3, 0)], 1000).value == 0.5


def test_goals() -> None:
    two, four = Figure(2, {"p99": 9}), Figure(4, {})
    met = [
        at_most(two, 2),
        at_most(two, 9, detail="p99"),
        at_least(four, 4, "k/s"),
        times_faster(two, "peer", four, 2),
        times_more(four, "peer", two, 2),
        within(four, "peer", two, 2),
    ]
    missed = [
        at_most(two, 1.9),
        at_least(four, 5, "k/s"),
        times_faster(two, "peer", four, 2.1),
        times_more(four, "peer", two, 2.1),
        within(four, "peer", two, 1.9),
    ]
    assert all(goal.met for goal in met)
    assert not any(goal.met for goal in missed)


def test_a_ratio_above_one_is_better_for_times_and_for_rates() -> None:
    peers = {"peer": Figure(4, {})}
    assert Line("P", "time", "ms", Figure(2, {}), peers, ()).ratio("peer") == 2
    assert (
        Line("P", "rate", "k/s", Figure(8, {}), peers, (), more_is_better=True).ratio("peer") == 2
    )


def test_a_report_has_a_row_for_each_peer() -> None:
    ours = Figure(2, {})
    peers = {"one": Figure(4, {}), "two": Figure(6, {})}
    line = Line("P2", "append", "ms", ours, peers, (at_most(ours, 1),))
    assert markdown([line]).splitlines()[2:] == [
        "| P2 | append | 2 ms | one | 4 ms | 2x | ≤ 1 ms | NO |",
        "|  |  |  | two | 6 ms | 3x |  |  |",
    ]
    assert json.loads(as_json([line], quick=True))["lines"][0]["ratios"] == {"one": 2, "two": 3}


@pytest.mark.timeout(240)
@pytest.mark.skipif(importlib.util.find_spec("arcticdb") is None, reason="needs the extra `bench`")
def test_every_workload_runs(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    command = [sys.executable, "-m", "benchmarks", "--quick", "--json", found, "--dir", tmp_path]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    lines = json.loads(found.read_text())["lines"]
    assert {line["workload"] for line in lines} == {"P2", "P3", "P4", "P5", "P10", "P12"}
    assert list(tmp_path.iterdir()) == [found]
