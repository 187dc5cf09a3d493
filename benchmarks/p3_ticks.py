"""P3: ticks as they come, a thousand at a time over a thousand symbols, each batch durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.data import TICKS, names, tick_batches
from benchmarks.goals import at_least, times_more
from benchmarks.harness import Case, Line, take_turns, throughputs
from benchmarks.peers import LOGS, open_all
from benchmarks.verify import expect_all

if TYPE_CHECKING:
    from benchmarks.session import Session

BATCH_ROWS = 1_000
SYMBOLS = 1_000


def run(session: Session) -> list[Line]:
    """Measure it."""
    batches = tick_batches(names(SYMBOLS), session.pick(5, 1_500), BATCH_ROWS)
    with session.folder() as folder:
        logs = open_all(LOGS, folder, TICKS)
        for log in logs.values():
            log.write(batches[0])  # untimed: it creates most of the buckets
        cases = {name: Case(log.write) for name, log in logs.items()}
        calls = take_turns(cases, batches[1:], rounds=session.pick(1, 10))
        for log in logs.values():
            expect_all(log, batches)
            log.close()
    figures = throughputs(calls, BATCH_ROWS)
    ours = figures.pop("tsstore")
    goals = (at_least(ours, 500, "krows/s"), *times_more(ours, 2, "duckdb", figures))
    what = f"durable ticks, batches of {BATCH_ROWS:,} over {SYMBOLS:,} symbols"
    return [Line("P3", what, "krows/s", ours, figures, goals, more_is_better=True)]
