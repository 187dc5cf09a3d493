"""P4: a month and a year of minute bars of one symbol among many, into arrays.

"Opened": the store was just opened and holds nothing in its memory; the files are in the page
cache of the system. "Again": the same rows were read before. Of tsstore there are the rows as they
were loaded and the same rows packed by compaction.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from benchmarks.data import DAY_MINUTES, MONTH_DAYS, YEAR_MINUTES, year_of_bars
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Case, Line, latencies, take_turns
from benchmarks.verify import expect

if TYPE_CHECKING:
    from benchmarks.harness import Figure
    from benchmarks.peers import Library
    from benchmarks.session import Session

_SPANS = {"month": MONTH_DAYS * DAY_MINUTES, "year": YEAR_MINUTES}
#: Milliseconds, by what is read, from which files, and whether the store was just opened.
_GOALS = {
    ("month", "packed", True): 0.2,
    ("month", "packed", False): 0.2,
    ("month", "fast", True): 0.2,
    ("month", "fast", False): 0.2,
    ("year", "packed", True): 2.5,
    ("year", "packed", False): 0.7,
    ("year", "fast", True): 0.7,
    ("year", "fast", False): 0.7,
}


def run(session: Session) -> list[Line]:
    """Measure it."""
    symbols = len(session.years.symbols)
    lines = []
    for span, rows in _SPANS.items():
        for opened in (True, False):
            figures = _measure(session, rows, opened=opened)
            forms = {"packed": figures.pop("tsstore"), "fast": figures.pop("fast")}
            how = "opened" if opened else "again"
            for form, ours in forms.items():
                what = f"{span} of minute bars, 1 of {symbols} symbols, {form}, {how}"
                goals = (
                    at_most(ours, _GOALS[span, form, opened]),
                    *times_faster(ours, 2, "arcticdb", figures),
                )
                lines.append(Line("P4", what, "ms", ours, figures, goals))
    return lines


def _measure(session: Session, rows: int, *, opened: bool) -> dict[str, Figure]:
    years = session.years
    stores: dict[str, Library] = {**years.stores, "fast": years.fast}
    ts = year_of_bars(years.symbols[0]).ts
    # The last rows, which are as far from the beginning as can be.
    start, end = int(ts[-rows]), int(ts[-1])
    for store in stores.values():
        for symbol in years.symbols:  # also what "again" reads again
            last = float(year_of_bars(symbol).columns["Open"][-1])
            expect(store, store.read(symbol, start, end), (rows, last))
    cases = {
        name: Case(partial(_read, store, start, end), store.reopen if opened else None)
        for name, store in stores.items()
    }
    count = session.pick(2, 60) if opened else session.pick(2, 200)
    return latencies(take_turns(cases, years.draw(count), rounds=session.pick(1, 5)))


def _read(store: Library, start: int, end: int, symbol: str) -> None:
    store.read(symbol, start, end)
