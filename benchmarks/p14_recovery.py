"""P14: a store whose writer was killed with a long log, opened again by a new process."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from shutil import copytree
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from benchmarks.goals import at_most
from benchmarks.harness import Call, Figure, Line, latency
from benchmarks.peers import LOGS, installed
from benchmarks.processes import run_python
from benchmarks.recovery import KINDS
from benchmarks.verify import expect

if TYPE_CHECKING:
    from benchmarks.session import Session

MIB = 1 << 20
_PEERS = ("tsstore", "duckdb")
_LIMIT_MS = 1_500
_MB = 1e6


def run(session: Session) -> list[Line]:
    """Measure it."""
    return [_measure(session, kind) for kind in session.pick(["ticks"], [*KINDS])]


def _measure(session: Session, kind: str) -> Line:
    size, rounds = session.pick(1, 256) * MIB, session.pick(1, 3)
    peers = installed([peer for peer in LOGS if peer in _PEERS])
    figures = {}
    with session.folder() as folder:
        written = {peer: _write_and_kill(peer, folder, kind, size) for peer in peers}
        calls: dict[str, list[tuple[float, float]]] = {peer: [] for peer in peers}
        for _ in range(rounds):
            for peer in peers:
                calls[peer].append(_reopen(peer, folder, kind, written[peer]))
    for peer, found in calls.items():
        figure = latency([Call(seconds, 0) for seconds, _ in found])
        peak = max(peak for _, peak in found) / _MB
        figures[peer] = Figure(figure.value, {"min": figure.details["min"], "peak RSS": peak})
    ours = figures.pop("tsstore")
    rows = written["tsstore"][0]
    what = f"recovery of {size // MIB} MiB in the log, {rows:,} rows, {kind}"
    return Line("P14", what, "ms", ours, figures, (at_most(ours, _LIMIT_MS),))


def _write_and_kill(peer: str, folder: Path, kind: str, size: int) -> tuple[int, float]:
    """What was written before the end."""
    arguments = ("benchmarks.recovery", "write", peer, str(folder), kind, str(size))
    command = [sys.executable, "-m", *arguments]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        printed = process.stdout.readline()
        process.kill()
    rows, total = printed.split()
    return int(rows), float(total)


def _reopen(peer: str, folder: Path, kind: str, written: tuple[int, float]) -> tuple[float, float]:
    """Seconds and peak bytes of opening a copy."""
    with TemporaryDirectory(dir=folder) as copy:
        copytree(folder / peer, Path(copy) / peer)
        os.sync()  # what a killed process had synced is not waited for when it is opened again
        arguments = ("-m", "benchmarks.recovery", "reopen", peer, copy, kind)
        printed = run_python(*arguments)
    seconds, peak, rows, total = map(float, printed.split())
    expect(peer, (int(rows), total), written)
    return seconds, peak
