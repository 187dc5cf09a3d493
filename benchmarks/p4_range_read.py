"""P4: a month and a year of minute bars of one symbol among many, into arrays.

"Opened": the store was just opened and holds nothing in its memory; the files are in the page
cache of the system. "Again": the same rows were read before.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.data import DAY_MINUTES, MONTH_DAYS, year_of_bars
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Case, Line, Scale, latencies, take_turns
from benchmarks.verify import expect
from benchmarks.years import Years

if TYPE_CHECKING:
    from benchmarks.peers import Peer

#: Milliseconds, by what is read and whether the store was just opened.
_GOALS = {("month", True): 0.2, ("month", False): 0.2, ("year", True): 2.5, ("year", False): 0.7}


def run(scale: Scale) -> list[Line]:
    """Measure it."""
    years = Years(scale)
    spans = {"month": MONTH_DAYS * DAY_MINUTES, "year": len(year_of_bars(years.symbols[0]))}
    lines = [
        _measure(scale, years, span, rows, opened=opened)
        for span, rows in spans.items()
        for opened in (True, False)
    ]
    years.close()
    return lines


def _measure(scale: Scale, years: Years, span: str, rows: int, *, opened: bool) -> Line:
    bars = year_of_bars(years.symbols[0])
    # The last month, which is as far from the beginning as can be.
    start, end = int(bars.ts[-rows]), int(bars.ts[-1])
    for peer in years.peers.values():
        for symbol in years.symbols:  # also what "again" reads again
            last = float(year_of_bars(symbol).columns["Open"][-1])
            expect(peer, peer.read(symbol, start, end), (rows, last))
    cases = {
        name: Case(partial(_read, peer, start, end), peer.reopen if opened else None)
        for name, peer in years.peers.items()
    }
    count = scale.pick(10, 60) if opened else scale.pick(20, 200)
    figures = latencies(take_turns(cases, years.draw(count), rounds=scale.pick(2, 5)))
    ours = figures.pop("tsstore")
    goals = (
        at_most(ours, _GOALS[span, opened]),
        times_faster(ours, "arcticdb", figures["arcticdb"], 2),
    )
    what = f"{span} of minute bars, 1 of {len(years.symbols)} symbols, "
    return Line("P4", what + ("opened" if opened else "again"), "ms", ours, figures, goals)


def _read(peer: Peer, start: int, end: int, symbol: str) -> None:
    peer.read(symbol, start, end)
