"""P1: a year of minute bars of a hundred symbols into an empty store, durable."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from benchmarks.goals import times_more
from benchmarks.harness import Line, throughputs
from benchmarks.verify import expect_all

if TYPE_CHECKING:
    from benchmarks.session import Session

MILLION = 1e6


def run(session: Session) -> list[Line]:
    """Measure it; the loaded stores are what other workloads read."""
    years = session.years
    batches = years.batches(years.rows // len(years.symbols))
    written = [rows for batch in batches for rows in batch]
    for store in (*years.stores.values(), years.fast):
        expect_all(store, written)
    figures = throughputs(years.loading, years.call_rows, MILLION)
    ours = figures.pop("tsstore")
    details = {
        "bytes a row": years.loaded_bytes / years.rows,
        "then compacted Mrows/s": years.rows / years.compaction_s / MILLION,
        "compacted bytes a row": years.stored["tsstore"] / years.rows,
    }
    ours = replace(ours, details={**ours.details, **details})
    what = f"bulk load, {len(years.symbols)} symbols x {len(written[0]):,} bars, durable"
    goals = tuple(times_more(ours, 2, "arcticdb", figures))
    return [Line("P1", what, "Mrows/s", ours, figures, goals, more_is_better=True)]
