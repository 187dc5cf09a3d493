"""P11: what a row takes on the disk in the long run, of rows made from a seed and of real ones."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.data import BARS, names
from benchmarks.goals import at_most
from benchmarks.harness import Figure, Line, stored_bytes
from benchmarks.peers import LIBRARIES, open_all
from benchmarks.vendor import (
    QUOTES,
    TRADES,
    quotes,
    real_bars,
    real_quotes,
    real_trades,
    trades,
)
from benchmarks.verify import expect_all

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.data import Kind, Rows
    from benchmarks.session import Session

_BAR_BYTES = 4
#: Of real ticks; in made-up ones the nanoseconds are noise, which takes what it takes.
_TICK_BYTES = 6


def run(session: Session) -> list[Line]:
    """Measure it."""
    years = session.years
    found = {name: Figure(stored / years.rows) for name, stored in years.stored.items()}
    symbols, count = names(session.pick(2, 4)), session.pick(2_000, 500_000)
    made_trades = [trades(symbol, count) for symbol in symbols]
    made_quotes = [quotes(symbol, count) for symbol in symbols]
    lines = [
        _line(f"bars, synthetic, {years.rows:,}", found, _BAR_BYTES),
        _measure(session, TRADES, "trades, synthetic", made_trades, None),
        _measure(session, QUOTES, "quotes, synthetic", made_quotes, None),
    ]
    folder = session.flat_files
    if folder is None:
        return lines
    return [
        *lines,
        _measure(session, BARS, "bars, real", real_bars(folder), _BAR_BYTES),
        _measure(session, TRADES, "trades, real", real_trades(folder), _TICK_BYTES),
        _measure(session, QUOTES, "quotes, real", real_quotes(folder), _TICK_BYTES),
    ]


def _measure(
    session: Session, kind: Kind, what: str, batch: Sequence[Rows], most: float | None
) -> Line:
    found = {}
    rows = sum(map(len, batch))
    with session.folder() as folder:
        for name, store in open_all(LIBRARIES, folder, kind).items():
            store.load(batch)
            store.settle()
            store.reopen()
            expect_all(store, batch)
            found[name] = Figure(stored_bytes(folder / name) / rows)
            store.close()
    return _line(f"{what}, {rows:,}", found, most)


def _line(what: str, found: dict[str, Figure], most: float | None) -> Line:
    ours = found.pop("tsstore")
    goals = () if most is None else (at_most(ours, most, "B"),)
    return Line("P11", f"bytes a row: {what}", "B", ours, found, goals)
