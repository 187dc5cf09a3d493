"""P5: the last hundred rows of a symbol, in this process and from a server."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import tsstore
from benchmarks.data import year_of_bars
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Case, Line, Scale, latencies, take_turns
from benchmarks.processes import server
from benchmarks.verify import expect
from benchmarks.years import Years

if TYPE_CHECKING:
    from benchmarks.peers import Peer

ROWS = 100


def run(scale: Scale) -> list[Line]:
    """Measure it."""
    years = Years(scale)
    embedded = _measure(scale, years, "embedded", limit_ms=0.03)
    years.ours.close()
    with server(scale.folder) as (_, url), tsstore.connect(url) as store:
        years.ours.store = store
        remote = _measure(scale, years, "over RPC (the peers embedded)", limit_ms=0.5)
    years.close()
    return [embedded, remote]


def _measure(scale: Scale, years: Years, how: str, *, limit_ms: float) -> Line:
    for peer in years.peers.values():
        for symbol in years.symbols:
            last = float(year_of_bars(symbol).columns["Open"][-1])
            expect(peer, peer.last(symbol, ROWS), (ROWS, last))
    cases = {name: Case(partial(_last, peer)) for name, peer in years.peers.items()}
    symbols = years.draw(scale.pick(50, 500))
    figures = latencies(take_turns(cases, symbols, rounds=scale.pick(2, 5)))
    ours = figures.pop("tsstore")
    goals = (at_most(ours, limit_ms), times_faster(ours, "arcticdb", figures["arcticdb"], 2))
    return Line("P5", f"last {ROWS} rows, {how}", "ms", ours, figures, goals)


def _last(peer: Peer, symbol: str) -> None:
    peer.last(symbol, ROWS)
