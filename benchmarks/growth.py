"""How cost grows with what is stored: ten times the symbols, ten times the rows of one bucket.

A query should cost the same however much else there is, and work in proportion to itself. Nothing
is kept in the memory of the store between calls, so every query reads the files.
"""

from __future__ import annotations

import statistics
from dataclasses import dataclass, field
from functools import partial
from itertools import pairwise
from time import perf_counter
from typing import TYPE_CHECKING, Any

import numpy as np

import tsstore
from benchmarks.data import (
    BARS,
    DAY_MINUTES,
    DAY_SECONDS,
    MONTH_DAYS,
    NS_PER_MINUTE,
    NS_PER_SECOND,
    SECONDS,
    SEED,
    bars,
    names,
    regular_hours,
)
from benchmarks.harness import load_average, stored_bytes
from benchmarks.verify import WrongResultError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from benchmarks.data import Kind, Rows
    from benchmarks.session import Session
    from tsstore.store import Store

_MS_PER_S = 1e3
_MB = 1e6
#: A store that remembers no decoded rows from one query to the next, and packs when it is told.
_SETTINGS = tsstore.Settings(cache_bytes=1, compaction_bytes_per_s=0)
_ROWS_PER_CALL = 2_000_000
_LAST_ROWS = 100


@dataclass(frozen=True)
class Growth:
    """What was measured at each size.

    Attributes:
        title: what grows.
        sizes: how much there was, ascending.
        units: of each measure, by its name.
        figures: of each measure, one for each size.
        load: of the machine, before and after.
    """

    title: str
    sizes: list[int]
    units: dict[str, str]
    figures: dict[str, list[float]]
    load: tuple[float, float]

    def factors(self, measure: str) -> list[float]:
        """How many times more than at the size before; none for the first."""
        values = self.figures[measure]
        return [after / before for before, after in pairwise(values)]


@dataclass(frozen=True)
class _Stock:
    """What a store holds: so many days of bars of each symbol."""

    kind: Kind
    symbols: list[str]
    days: int
    step_ns: int
    random: np.random.Generator = field(default_factory=lambda: np.random.default_rng(SEED))

    def pieces(self) -> Iterator[list[Rows]]:
        """All rows, a part at a time; a call of `bulk` each."""
        step_rows = DAY_MINUTES * NS_PER_MINUTE // self.step_ns
        days = min(self.days, max(1, _ROWS_PER_CALL // step_rows))
        symbols = max(1, _ROWS_PER_CALL // (step_rows * days))
        for first_day in range(0, self.days, days):
            ts = self.times(first_day, min(days, self.days - first_day))
            for first in range(0, len(self.symbols), symbols):
                yield [bars(each, ts) for each in self.symbols[first : first + symbols]]

    def times(self, first_day: int, days: int) -> NDArray[np.int64]:
        """Times of the bars of some days."""
        return regular_hours(first_day, days, self.step_ns)

    def key(self, symbol: str) -> str:
        """The bucket of a symbol."""
        return f"{symbol}/{self.kind.group}"

    def draw(self, days: int) -> tuple[str, np.datetime64, np.datetime64]:
        """A symbol, and the first and last bar of so many days, at random."""
        symbol = self.symbols[self.random.integers(len(self.symbols))]
        first_day = int(self.random.integers(self.days - days + 1))
        ts = self.times(first_day, days)
        return symbol, ts[0].astype("M8[ns]"), ts[-1].astype("M8[ns]")


def run(session: Session) -> list[Growth]:
    """Measure both."""
    return [_by_symbols(session), _by_rows(session)]


def _by_symbols(session: Session) -> Growth:
    stocks = {
        count: _Stock(BARS, names(count), MONTH_DAYS, NS_PER_MINUTE)
        for count in session.pick([5, 50], [10, 100, 1_000, 10_000])
    }
    title = f"symbols, {MONTH_DAYS * DAY_MINUTES:,} minute bars of each"
    return _measure(session, title, stocks)


def _by_rows(session: Session) -> Growth:
    stocks = {}
    for rows in session.pick([10**6], [10**6, 10**7, 10**8]):
        days = -(-rows // DAY_SECONDS)
        stocks[days * DAY_SECONDS] = _Stock(SECONDS, names(1), days, NS_PER_SECOND)
    return _measure(session, "rows of one bucket, bars of a second", stocks)


def _measure(session: Session, title: str, stocks: dict[int, _Stock]) -> Growth:
    before = load_average()
    figures: dict[str, list[float]] = {name: [] for name in _UNITS}
    for stock in stocks.values():
        with session.folder() as folder:
            for name, value in _figures(folder, stock, session.pick(5, 50)).items():
                figures[name].append(value)
    return Growth(title, list(stocks), _UNITS, figures, (before, load_average()))


def _figures(folder: Path, stock: _Stock, calls: int) -> dict[str, float]:
    with tsstore.open(folder, settings=_SETTINGS) as store:
        load = sum(_seconds(partial(_bulk, store, stock, piece)) for piece in stock.pieces())
        compact = _seconds(store.compact)
    opening = [_seconds(lambda: tsstore.open(folder, settings=_SETTINGS).close()) for _ in range(5)]
    stored = stored_bytes(folder)
    with tsstore.open(folder, settings=_SETTINGS) as store:
        queries = {
            "one day": [partial(_range, store, stock, *stock.draw(1)) for _ in range(calls)],
            "one month": [
                partial(_range, store, stock, *stock.draw(MONTH_DAYS)) for _ in range(calls)
            ],
            "last 100": [partial(_last, store, stock, stock.draw(1)[0]) for _ in range(calls)],
            "append of one row": [partial(_append, store, stock, n) for n in range(calls)],
        }
        medians = {
            name: _MS_PER_S * statistics.median(map(_seconds, each))
            for name, each in queries.items()
        }
    return {
        "bulk load": load,
        "compaction": compact,
        "bytes on disk": stored / _MB,
        "open and close": _MS_PER_S * statistics.median(opening),
        **medians,
    }


_UNITS = {
    "bulk load": "s",
    "compaction": "s",
    "bytes on disk": "MB",
    "open and close": "ms",
    "one day": "ms",
    "one month": "ms",
    "last 100": "ms",
    "append of one row": "ms",
}


def _seconds(call: Callable[[], object]) -> float:
    begun = perf_counter()
    call()
    return perf_counter() - begun


def _bulk(store: Store, stock: _Stock, piece: Sequence[Rows]) -> None:
    store.bulk({stock.key(rows.symbols[0]): _table(rows.ts, rows.columns) for rows in piece})


def _range(
    store: Store, stock: _Stock, symbol: str, start: np.datetime64, end: np.datetime64
) -> None:
    found = store.read(stock.key(symbol), start=start, end=end)
    ts = found.ts.view("M8[ns]")
    if (ts[0], ts[-1]) != (start, end):
        raise WrongResultError(f"{symbol}: {start} to {end} gave {found}")


def _last(store: Store, stock: _Stock, symbol: str) -> None:
    if len(store.read(stock.key(symbol), limit=_LAST_ROWS)) != _LAST_ROWS:
        raise WrongResultError(f"{symbol} has fewer than {_LAST_ROWS} rows")


def _append(store: Store, stock: _Stock, number: int) -> None:
    """A bar of the day after all others."""
    ts = stock.times(stock.days, 1)[number : number + 1]
    symbol = stock.draw(1)[0]
    store.write(stock.key(symbol), _table(ts, bars(symbol, ts).columns))


def _table(ts: NDArray[np.int64], columns: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    return {"Epoch": ts.view("M8[ns]"), **columns}
