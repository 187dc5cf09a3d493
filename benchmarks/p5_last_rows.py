"""P5: the last hundred rows of a symbol, in this process and from a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import tsstore
from benchmarks.data import year_of_bars
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Case, Line, latencies, take_turns
from benchmarks.processes import server
from benchmarks.verify import expect

if TYPE_CHECKING:
    from benchmarks.peers import Library
    from benchmarks.session import Session
    from benchmarks.years import Years

ROWS = 100


def run(session: Session) -> list[Line]:
    """Measure it."""
    years = session.years
    embedded = _measure(session, "embedded", limit_ms=0.03)
    years.ours.close()
    with (
        session.folder() as folder,
        server(folder, data=years.path("tsstore")) as (_, url),
        tsstore.connect(url) as store,
    ):
        years.ours.store = store
        remote = _measure(session, "over RPC (the peers embedded)", limit_ms=0.5)
    years.ours.reopen()
    return [embedded, remote]


def _measure(session: Session, how: str, *, limit_ms: float) -> Line:
    years = session.years
    _check(years)
    cases = {name: Case(partial(_last, store)) for name, store in years.stores.items()}
    symbols = years.draw(session.pick(4, 500))
    figures = latencies(take_turns(cases, symbols, rounds=session.pick(1, 5)))
    ours = figures.pop("tsstore")
    goals = (at_most(ours, limit_ms), *times_faster(ours, 2, "arcticdb", figures))
    return Line("P5", f"last {ROWS} rows, {how}", "ms", ours, figures, goals)


def _check(years: Years) -> None:
    for store in years.stores.values():
        for symbol in years.symbols:
            last = float(year_of_bars(symbol).columns["Open"][-1])
            expect(store, store.last(symbol, ROWS), (ROWS, last))


def _last(store: Library, symbol: str) -> None:
    store.last(symbol, ROWS)
