"""P7: day bars of every symbol, computed from a year of minute bars.

"Opened": the store was just opened and holds nothing in its memory.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.data import DAY_MINUTES, YEAR_DAYS, year_of_bars
from benchmarks.goals import times_more
from benchmarks.harness import Case, Line, take_turns, throughputs
from benchmarks.verify import expect

if TYPE_CHECKING:
    from benchmarks.peers import Library
    from benchmarks.session import Session

MILLION = 1e6


def run(session: Session) -> list[Line]:
    """Measure it."""
    return [_measure(session, opened=True), _measure(session, opened=False)]


def _measure(session: Session, *, opened: bool) -> Line:
    years = session.years
    high = year_of_bars(years.symbols[-1]).columns["High"]
    wanted = len(years.symbols) * YEAR_DAYS, float(high[-DAY_MINUTES:].max())
    for store in years.stores.values():
        expect(store, store.daily(years.symbols), wanted)
    cases = {
        name: Case(partial(_daily, store), store.reopen if opened else None)
        for name, store in years.stores.items()
    }
    count = session.pick(1, 5)
    calls = take_turns(cases, [years.symbols] * count, rounds=count)
    figures = throughputs(calls, years.rows, MILLION)
    ours = figures.pop("tsstore")
    how = "opened" if opened else "again"
    what = f"minutes to days, {len(years.symbols)} symbols x a year, {how}"
    goals = times_more(ours, 2, "duckdb", figures)
    return Line("P7", what, "Mrows/s", ours, figures, tuple(goals), more_is_better=True)


def _daily(store: Library, symbols: list[str]) -> None:
    store.daily(symbols)
