"""P15: history by REST: our backfiller, which stores it, and the vendor's own client.

Both ask the simulator for the same pages. What counts is rows per second of processor time of the
whole process, start included; how long the answers take is the simulator's doing.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.goals import times_more
from benchmarks.harness import Figure, Line
from benchmarks.processes import run_python, simulator
from benchmarks.verify import expect

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

_DAYS = ("2024-06-03", "2024-06-05")
_CLIENT = "massive (official client, objects only)"
#: Runs a module as a program and tells what it took.
_TIMED = """
import json, resource, runpy, sys, time
started = time.perf_counter()
sys.argv = sys.argv[1:]
try:
    runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
except SystemExit as end:
    if end.code: raise
used = resource.getrusage(resource.RUSAGE_SELF)
print(json.dumps([used.ru_utime + used.ru_stime, time.perf_counter() - started]))
"""


class _Kind(NamedTuple):
    """What is fetched, how the backfiller is asked for it, and by how many rows a page."""

    name: str
    flag: str
    start: str


_KINDS = (_Kind("minute bars", "--bars", "2024-01-02"), _Kind("trades", "--trades", _DAYS[0]))


def run(session: Session) -> list[Line]:
    """Measure it."""
    symbols = session.pick(2, 20)
    lines = []
    with session.folder() as folder, simulator(folder, "--symbols", str(symbols)) as (_, url):
        for kind in session.pick(_KINDS[1:], _KINDS):
            if not session.quick:  # the simulator makes its market up when it is first asked
                _official(url, kind)
            ours, rows = _ours(folder / kind.name, url, kind)
            theirs, their_rows = _official(url, kind)
            expect(_CLIENT, (their_rows, 0.0), (rows, 0.0))
            figures = {_CLIENT: theirs}
            lines.append(
                Line(
                    "P15",
                    f"{rows:,} {kind.name} by REST, rows per second of a core",
                    "krows/s",
                    ours,
                    figures,
                    tuple(times_more(ours, 1, _CLIENT, figures)),
                    more_is_better=True,
                )
            )
    return lines


def _ours(folder: Path, url: str, kind: _Kind) -> tuple[Figure, int]:
    printed = run_python(
        "-c", _TIMED, "tsstore_massive", "--base-url", url, "--api-key", "benchmark",
        "--dir", str(folder), "--symbols", "*", kind.flag, "--from", kind.start,
        "--to", _DAYS[1], "--no-adjusted", "--source", "rest",
    )  # fmt: skip
    stored = next(line for line in printed.splitlines() if line.startswith("stored "))
    rows = int(stored.split()[1].replace(",", ""))
    return _figure(printed, rows), rows


def _official(url: str, kind: _Kind) -> tuple[Figure, int]:
    printed = run_python("-c", _TIMED, "benchmarks.official", url, kind.flag, kind.start, _DAYS[1])
    rows = int(printed.splitlines()[-2])
    return _figure(printed, rows), rows


def _figure(printed: str, rows: int) -> Figure:
    cpu_s, wall_s = json.loads(printed.splitlines()[-1])
    return Figure(rows / cpu_s / 1e3, {"processor seconds": cpu_s, "seconds": wall_s})
