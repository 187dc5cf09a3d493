"""P2: the minute boundary. One bar of each of 5,000 symbols, on the disk when the call returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.data import BARS, minute_boundaries, names
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Call, Case, Figure, Line, latencies, latency, take_turns
from benchmarks.peers import LIBRARIES, LOGS, open_all
from benchmarks.verify import expect_all

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.session import Session

SYMBOLS = 5_000
#: ArcticDB with a symbol for each of ours is timed on a share of them, and the time multiplied.
PER_SYMBOL = 25


def run(session: Session) -> list[Line]:
    """Measure it."""
    with session.folder() as folder:
        figures = _logs(session, folder)
    with session.folder() as folder:
        figures |= _arcticdb_per_symbol(session, folder)
    ours = figures.pop("tsstore")
    goals = (
        at_most(ours, 2),
        at_most(ours, 10, detail="p99"),
        *times_faster(ours, 2, "duckdb", figures),
    )
    return [Line("P2", f"durable append, {SYMBOLS:,} symbols x 1 bar", "ms", ours, figures, goals)]


def _logs(session: Session, folder: Path) -> dict[str, Figure]:
    batches = minute_boundaries(names(SYMBOLS), session.pick(3, 390))
    logs = open_all(LOGS, folder, BARS)
    for log in logs.values():
        log.write(batches[0])  # untimed: it creates the buckets
    cases = {name: Case(log.write) for name, log in logs.items()}
    calls = take_turns(cases, batches[1:], rounds=session.pick(1, 10))
    for log in logs.values():
        expect_all(log, batches)
        log.close()
    return latencies(calls)


def _arcticdb_per_symbol(session: Session, folder: Path) -> dict[str, Figure]:
    batches = minute_boundaries(names(PER_SYMBOL), session.pick(2, 10))
    factor = SYMBOLS // PER_SYMBOL
    figures = {}
    for name, store in open_all({"arcticdb": LIBRARIES["arcticdb"]}, folder, BARS).items():
        store.write(batches[0])
        calls = take_turns({name: Case(store.write)}, batches[1:], rounds=1)[name]
        expect_all(store, batches)
        store.close()
        figures[name] = latency([Call(call.wall * factor, call.cpu * factor) for call in calls])
    return figures
