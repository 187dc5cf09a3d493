"""P6: one day of minute bars of every symbol, each day another one."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import DAY_MINUTES, SEED, YEAR_DAYS, year_of_bars
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Case, Line, latencies, take_turns
from benchmarks.verify import expect

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from benchmarks.peers import Library, Seen
    from benchmarks.session import Session


def run(session: Session) -> list[Line]:
    """Measure it."""
    years = session.years
    symbols, stores = years.symbols, years.stores
    bars = year_of_bars(symbols[-1])
    days = bars.ts.reshape(YEAR_DAYS, DAY_MINUTES)
    last = bars.columns["Open"].reshape(days.shape)[:, -1]
    for store in stores.values():
        for day in (0, YEAR_DAYS // 2, YEAR_DAYS - 1):
            wanted = len(symbols) * DAY_MINUTES, float(last[day])
            expect(store, _cross(store, symbols, days, day), wanted)
    cases = {name: Case(partial(_cross, store, symbols, days)) for name, store in stores.items()}
    drawn = np.random.default_rng(SEED).permutation(YEAR_DAYS)[: session.pick(2, 60)].tolist()
    figures = latencies(take_turns(cases, drawn, rounds=session.pick(1, 5)))
    ours = figures.pop("tsstore")
    goals = (at_most(ours, 5), *times_faster(ours, 2, "duckdb", figures))
    return [Line("P6", f"one day x {len(symbols)} symbols", "ms", ours, figures, goals)]


def _cross(store: Library, symbols: list[str], days: NDArray[np.int64], day: int) -> Seen:
    return store.cross(symbols, int(days[day, 0]), int(days[day, -1]))
