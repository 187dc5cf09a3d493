"""P8: the last month of every symbol again, with other prices, durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.data import DAY_MINUTES, MONTH_DAYS, year_of_bars
from benchmarks.goals import times_more
from benchmarks.harness import Case, Line, take_turns, throughputs
from benchmarks.verify import expect

if TYPE_CHECKING:
    from benchmarks.harness import Call
    from benchmarks.session import Session

MONTH_MINUTES = MONTH_DAYS * DAY_MINUTES


def run(session: Session) -> list[Line]:
    """Measure it; in the end the stores hold what they held before."""
    years = session.years
    calls: dict[str, list[Call]] = {name: [] for name in years.stores}
    opened = [float(year_of_bars(symbol).columns["Open"].sum()) for symbol in years.symbols]
    month_rows = len(years.symbols) * MONTH_MINUTES
    for raise_by in (0.25, 0.0):
        batches = years.batches(MONTH_MINUTES, raise_by=raise_by)
        cases = {name: Case(store.upsert) for name, store in years.stores.items()}
        for name, found in take_turns(cases, batches, rounds=len(batches)).items():
            calls[name] += found
        for store in years.stores.values():
            expect(store, store.totals(), (years.rows, sum(opened) + raise_by * month_rows))
    figures = throughputs(calls, 2 * month_rows / len(calls["tsstore"]))
    ours = figures.pop("tsstore")
    what = f"upsert of a month, {len(years.symbols)} symbols, durable"
    goals = tuple(times_more(ours, 2, "duckdb", figures))
    return [Line("P8", what, "krows/s", ours, figures, goals, more_is_better=True)]
