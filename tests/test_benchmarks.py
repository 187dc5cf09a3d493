"""The benchmarks run and report; what they measure is not judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

import msgpack
import numpy as np
import polars as pl
import pytest
from click.testing import CliRunner

from benchmarks import growth_report, svg
from benchmarks.__main__ import WORKLOADS, main
from benchmarks.blocks import Layout, daily, put_over, to_bytes
from benchmarks.data import BARS, DAY_MINUTES, NS_PER_DAY, Rows, minutes, year_of_bars
from benchmarks.flatfile import read_flat_file, write_flat_file
from benchmarks.goals import at_least, at_most, times_faster, times_more, within
from benchmarks.growth import Growth
from benchmarks.harness import Call, Case, Figure, Line, latency, take_turns, throughput
from benchmarks.peers import LIBRARIES, Library, installed, open_all
from benchmarks.report import as_json, markdown
from benchmarks.serving import measure
from benchmarks.serving import report as serving_report
from benchmarks.serving.__main__ import main as serving_main
from benchmarks.serving.measure import Found, Row, Seen
from benchmarks.serving.wire import WrongAnswerError, rows_in_grpc_answer, rows_in_http_answer
from benchmarks.serving.work import Write
from benchmarks.session import Session
from tsstore.server.grpc import marketstore_pb2 as pb

ROOT = Path(__file__).parent.parent
LOADS = {"P2": (0.5, 1.25)}
#: The workloads that share a year of bars, which is loaded once for all of them.
OF_A_YEAR = ["P1", "P4", "P5", "P6", "P7", "P8", "P11"]


def test_peers_take_turns_on_the_same_inputs() -> None:
    seen: list[tuple[str, int]] = []

    def remembering(name: str) -> Case[int]:
        return Case(lambda n: seen.append((name, n)))

    cases = {name: remembering(name) for name in "AB"}
    calls = take_turns(cases, [1, 2, 3, 4], rounds=2)
    assert seen == [(name, n) for half in ((1, 2), (3, 4)) for name in "AB" for n in half]
    assert {name: len(each) for name, each in calls.items()} == {"A": 4, "B": 4}


def test_what_comes_before_a_call_is_not_timed() -> None:
    order: list[str] = []
    case: Case[None] = Case(lambda _: order.append("call"), before=lambda: order.append("before"))
    take_turns({"A": case}, [None, None], rounds=1)
    assert order == ["before", "call", "before", "call"]


def test_figures() -> None:
    calls = [Call(0.001, 0.001), Call(0.004, 0.003), Call(0.002, 0.002)]
    assert latency(calls).value == 2
    assert latency(calls).details["min"] == 1
    assert latency(calls).details["cpu"] == 2
    assert throughput([Call(1, 0), Call(3, 0)], 1000).value == 0.5
    assert throughput([Call(2, 0)], 4_000_000, 1e6).value == 2


def test_goals() -> None:
    two, four = Figure(2, {"p99": 9}), Figure(4)
    met = [
        at_most(two, 2),
        at_most(two, 9, detail="p99"),
        at_least(four, 4, "k/s"),
        *times_faster(two, 2, "peer", {"peer": four}),
        *times_more(four, 2, "peer", {"peer": two}),
        within(four, 2, "peer", two),
    ]
    missed = [
        at_most(two, 1.9),
        at_least(four, 5, "k/s"),
        *times_faster(two, 2.1, "peer", {"peer": four}),
        *times_more(four, 2.1, "peer", {"peer": two}),
        within(four, 1.9, "peer", two),
    ]
    assert [goal.met for goal in met] == [True] * 6
    assert [goal.met for goal in missed] == [False] * 5


def test_no_goal_is_set_by_a_peer_that_was_left_out() -> None:
    two, others = Figure(2), {"other": Figure(4)}
    assert times_faster(two, 2, "peer", others) == times_more(two, 2, "peer", others) == []


def test_a_ratio_above_one_is_better_for_times_and_for_rates() -> None:
    peers = {"peer": Figure(4)}
    assert Line("P", "time", "ms", Figure(2), peers, ()).ratio("peer") == 2
    assert Line("P", "rate", "k/s", Figure(8), peers, (), more_is_better=True).ratio("peer") == 2


def _line() -> Line:
    peers = {"duckdb": Figure(4), "arcticdb (long)": Figure(6), "import numpy": Figure(1)}
    ours = Figure(2, {"min": 1.5})
    return Line("P2", "append", "ms", ours, peers, (at_most(ours, 1),))


def test_a_report_has_a_column_for_each_peer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    heading, _, row, _, note = markdown([_line()], LOADS).splitlines()
    cells = dict(zip(heading.split(" | "), row.split(" | "), strict=True))
    assert cells["tsstore"] == "2 ms (min 1.5)"
    assert cells["duckdb"] == "4 ms, 2x"
    assert cells["arcticdb"] == "6 ms, 3x (long)"
    assert cells["others"] == "1 ms, 0.5x import numpy"
    assert cells["target"] == "≤ 1 ms: NO"
    assert row.endswith("| 0.5 to 1.2 |")
    assert "lmdb" in note


def test_what_is_reported_is_json() -> None:
    found = json.loads(json.dumps(as_json([_line()], LOADS, quick=True)))
    assert found["lines"][0]["ratios"] == {"duckdb": 2, "arcticdb (long)": 3, "import numpy": 0.5}
    assert found["load"] == {"P2": [0.5, 1.25]}


def test_the_picture_has_a_dot_for_each_ratio_and_better_is_to_the_right() -> None:
    picture = ET.fromstring(svg.draw(as_json([_line()], LOADS, quick=True)))
    at = {
        title.text.split(":")[0]: float(dot.attrib["cx"])
        for dot in picture.findall(".//{*}circle")
        if (title := dot.find("{*}title")) is not None and title.text
    }
    one = next(line for line in picture.findall(".//{*}line") if line.attrib["class"] == "one")
    x = float(one.attrib["x1"])
    assert at["import numpy"] < x < at["duckdb"] < at["arcticdb (long)"]


def test_growth_is_told_from_step_to_step() -> None:
    growth = Growth("rows", [10, 100, 1000], {"open": "ms"}, {"open": [2, 3, 30]}, (0, 1))
    assert growth.factors("open") == [1.5, 10]
    assert "| open | 2 ms | 3 ms (x 1.5) | 30 ms (x 10) |" in growth_report.markdown([growth])


def test_a_peer_that_is_not_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "lmdb", None)
    assert installed(["tsstore", "lmdb", "numpy (files)"]) == ["tsstore", "numpy (files)"]


def test_blocks_of_columns() -> None:
    layout = Layout(BARS)
    rows = year_of_bars("A").part(0, 3 * DAY_MINUTES)
    arrays = layout.views(to_bytes(layout.arrays(rows)))
    for found, wanted in zip(arrays, layout.arrays(rows), strict=True):
        np.testing.assert_array_equal(found, wanted)
    assert layout.records(rows).nbytes == len(to_bytes(arrays)) == len(rows) * BARS.row_bytes


def test_days_of_bars() -> None:
    rows = year_of_bars("A").part(0, 2 * DAY_MINUTES)
    days, opened, high, low, close, volume = daily(Layout(BARS).arrays(rows))
    by_day = {name: array.reshape(2, DAY_MINUTES) for name, array in rows.columns.items()}
    assert days.tolist() == (rows.ts[::DAY_MINUTES] // NS_PER_DAY * NS_PER_DAY).tolist()
    assert opened.tolist() == by_day["Open"][:, 0].tolist()
    assert high.tolist() == by_day["High"].max(axis=1).tolist()
    assert low.tolist() == by_day["Low"].min(axis=1).tolist()
    assert close.tolist() == by_day["Close"][:, -1].tolist()
    assert volume.tolist() == by_day["Volume"].sum(axis=1).tolist()


def test_rows_are_put_over_others() -> None:
    stored = [np.array([1, 3, 5]), np.array([10.0, 30.0, 50.0])]
    new = [np.array([3, 4]), np.array([31.0, 41.0])]
    ts, values = put_over(stored, new)
    assert (ts.tolist(), values.tolist()) == ([1, 3, 4, 5], [10, 31, 41, 50])


def test_a_flat_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "day.csv.gz"
    rows, total = write_flat_file(path, 20, 2_000, day=3)
    found = read_flat_file(path)
    assert [each.symbols[0] for each in found] == sorted({each.symbols[0] for each in found})
    assert len(found) == 20
    assert sum(map(len, found)) == rows
    assert sum(each.columns["Open"].sum() for each in found) == pytest.approx(total)
    names = ["ticker", "volume", "open", "close", "high", "low", "window_start", "transactions"]
    assert pl.read_csv(path).columns == names


@pytest.mark.filterwarnings("ignore:Passing a BlockManager")  # ArcticDB, to pandas
@pytest.mark.parametrize("name", installed(LIBRARIES))
def test_libraries_do_what_they_are_measured_at(name: str, tmp_path: Path) -> None:
    year = [year_of_bars(symbol) for symbol in ("A", "AA", "B")]
    store: Library = open_all({name: LIBRARIES[name]}, tmp_path, BARS)[name]
    store.load(year)
    month = [_raised(rows.part(-DAY_MINUTES, len(rows))) for rows in year]
    store.upsert(month)
    store.settle()
    store.reopen()
    last = float(month[1].columns["Open"][-1])
    start, end = int(month[1].ts[0]), int(month[1].ts[-1])
    assert store.read("AA", start, end) == (DAY_MINUTES, last)
    assert store.read("AA", start - NS_PER_DAY, end)[0] in {DAY_MINUTES, 2 * DAY_MINUTES}
    assert store.last("AA", 100) == (100, last)
    assert store.cross(["A", "AA", "B"], start, end)[0] == 3 * DAY_MINUTES
    high = float(month[2].columns["High"].max())
    assert store.daily(["A", "AA", "B"]) == (3 * len(minutes(252)) // DAY_MINUTES, high)
    rows, total = store.totals()
    assert rows == 3 * len(year[0])
    raised = sum(rows.columns["Open"].sum() for rows in year) + 3 * DAY_MINUTES
    assert total == pytest.approx(raised)
    store.close()


def _raised(rows: Rows) -> Rows:
    prices = {name: rows.columns[name] + 1 for name in ("Open", "High", "Low", "Close")}
    return Rows(rows.symbols, rows.ts, rows.columns | prices)


def _run(*options: str | Path) -> None:
    command = [sys.executable, "-m", "benchmarks", "--quick", *options]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _read(path: Path) -> Any:
    return json.loads(path.read_text())


@pytest.mark.long(seconds=30)
@pytest.mark.timeout(240)
@pytest.mark.parametrize("of_a_year", [True, False])
def test_every_workload_runs(tmp_path: Path, *, of_a_year: bool) -> None:
    """In two halves, which may run beside each other."""
    names = [name for name in WORKLOADS if (name in OF_A_YEAR) is of_a_year]
    found, picture = tmp_path / "found.json", tmp_path / "ratios.svg"
    _run("--only", ",".join(names), "--json", found, "--svg", picture, "--dir", tmp_path)
    assert {line["workload"] for line in _read(found)["lines"]} == set(names)
    assert ET.parse(picture).getroot().tag.endswith("svg")
    assert sorted(tmp_path.iterdir()) == [found, picture]


def test_growth_runs(tmp_path: Path) -> None:
    found = tmp_path / "found.json"
    _run("--growth", "--json", found, "--dir", tmp_path)
    assert len(_read(found)["growth"]) == 2


def test_a_workload_that_is_not_there_is_refused() -> None:
    done = CliRunner().invoke(main, ["--only", "P2,P99"])
    assert done.exit_code == 2
    assert "P99" in done.output


SERVED = ("S1", "S2", "S3", "S4", "S5", "S6", "S7")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """What is measured of a server, with little work."""
    folder = tmp_path_factory.mktemp("served")
    return measure.run(Session(quick=True, root=folder), SERVED)


@pytest.mark.parametrize("name", SERVED[:-1])
def test_calls_of_a_server(name: str, served: Found) -> None:
    rows = [row for row in served.rows if row.name.startswith(name)]
    assert {row.client for row in rows} >= {"/rpc", "gRPC", "tsstore.connect"}
    for row in rows:
        for clients, seen in row.seen.items():
            assert seen.calls >= clients
            assert 0 < seen.p50_ms <= seen.p99_ms
    text = serving_report.markdown(served)
    assert f"| {name} | {rows[0].what} | /rpc | " in text
    assert "x |" not in text.split("Calls")[1]  # these sizes are not MarketStore's


def test_subscribers_of_a_server(served: Found) -> None:
    streamed = served.streamed
    assert streamed is not None
    assert len(streamed.last_s) == streamed.plan.single_rows
    assert all(m <= last for m, last in zip(streamed.median_s, streamed.last_s, strict=True))
    assert f"{streamed.plan.subscribers} subscribers" in serving_report.markdown(served)
    found = json.loads(json.dumps(serving_report.as_json(served, quick=True)))
    assert len(found["streamed"]["burst_s"]) == streamed.plan.bursts


def test_marketstore_is_compared_with_one_client() -> None:
    seen = {
        count: Seen(10, 100, p50_ms=2, p99_ms=3, server_cpu_ms=1, client_cpu_ms=1)
        for count in (1, 8)
    }
    row = Row("S4", "last rows", "/rpc", seen, 3.0, (0, 0))
    assert "| 3 ms, 1.5x |" in serving_report.markdown(Found([row], None, (0, 0)))


def test_a_call_that_failed_is_no_figure() -> None:
    error = {"error": {"code": -32000, "message": "no results", "data": None}}
    with pytest.raises(WrongAnswerError, match="no results"):
        rows_in_http_answer(msgpack.packb(error))
    refused = pb.MultiServerResponse(responses=[pb.ServerResponse(error="refused")])
    with pytest.raises(WrongAnswerError, match="refused"):
        rows_in_grpc_answer(Write("A/1Min/OHLCV", {}), refused.SerializeToString())


def test_a_call_to_a_server_that_is_not_measured_is_refused() -> None:
    done = CliRunner().invoke(serving_main, ["--only", "S1,S9"])
    assert done.exit_code == 2
    assert "S9" in done.output
