"""What the server holds, and the calls that are measured on it."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

import tsstore
from benchmarks.data import (
    BARS,
    MONTH_DAYS,
    NS_PER_MINUTE,
    NS_PER_SECOND,
    OPENING,
    SEED,
    YEAR_DAYS,
    Rows,
    bars,
    minutes,
    names,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

OPENING_S = int(OPENING.astype("M8[s]").astype(np.int64))
SECONDS_PER_MINUTE = 60
_YEARS_MAX = 8
_LONG = "LONG"
#: Written to, a symbol for each client, so that clients do not meet in a bucket.
_SINGLE, _BATCHED, _LOADED = "SINGLE", "BATCHED", "LOADED"
WRITTEN = (_SINGLE, _BATCHED, _LOADED)


@dataclass(frozen=True)
class Query:
    """Rows of a destination such as `A,B/1Min/OHLCV`; with `limit` the last ones of each symbol."""

    destination: str
    limit: int = 0


@dataclass(frozen=True)
class Write:
    """Rows to a bucket; `columns` has Epoch, in seconds, first."""

    key: str
    columns: Mapping[str, NDArray[Any]]


Call: TypeAlias = "Query | Write"


@dataclass(frozen=True)
class Sizes:
    """How much of everything there is.

    Attributes:
        symbols: with a month of minute bars each.
        days: of a "year".
        long_rows: of the one bucket that is read as 5Min.
        loaded_rows: of one call that loads a bucket.
        batch_rows: of one call that adds to a bucket.
    """

    symbols: int = 300
    days: int = YEAR_DAYS
    long_rows: int = 500_000
    loaded_rows: int = 500_000
    batch_rows: int = 10_000


@dataclass(frozen=True)
class Work:
    """Calls of one sort, as many as are wanted. Goes to other processes.

    Attributes:
        name: `S1` to `S6`.
        what: for people.
        sizes: of what is stored.
        rows: that each call writes or reads.
    """

    name: str
    what: str
    sizes: Sizes
    rows: int

    def calls(self, client: int) -> Iterator[Call]:
        """What one of the clients asks, one after the other."""
        return _CALLS[self.name](self.sizes, client)

    @property
    def is_write(self) -> bool:
        """Whether it stores rows."""
        return isinstance(next(self.calls(0)), Write)


def works(sizes: Sizes) -> list[Work]:
    """All of them, in the order in which they are measured: those that read first."""
    reads = {
        "S3": (f"a year of minute bars, {len(minutes(sizes.days)):,} rows", _year_rows(sizes)),
        "S4": ("the last 100 rows of a symbol", 100),
        "S5": (f"the last row of {sizes.symbols} symbols, in one query", sizes.symbols),
        "S6": (f"5Min from {sizes.long_rows:,} rows of 1Min", -(-sizes.long_rows // 5)),
    }
    writes = {
        "S1": ("write of 1 row", 1),
        "S2": (f"write of {sizes.batch_rows:,} rows to a bucket", sizes.batch_rows),
        "S2L": (f"write of {sizes.loaded_rows:,} rows to a new bucket", sizes.loaded_rows),
    }
    return [Work(name, what, sizes, rows) for name, (what, rows) in {**reads, **writes}.items()]


def fill(folder: Path, sizes: Sizes) -> None:
    """Store what the queries read, packed as it is after a while."""
    month = minutes(MONTH_DAYS)
    year = minutes(sizes.days)
    stored = [
        *(bars(symbol, month) for symbol in names(sizes.symbols)),
        *(bars(symbol, year) for symbol in _year_symbols(sizes)),
        bars(_LONG, year[0] + NS_PER_MINUTE * np.arange(sizes.long_rows)),
    ]
    with tsstore.open(folder) as store:
        store.bulk({_key(rows.symbols[0]): _table(rows) for rows in stored})
        store.compact()


def _single_rows(_: Sizes, client: int) -> Iterator[Write]:
    return _appends(_SINGLE, client, 1)


def _batches(sizes: Sizes, client: int) -> Iterator[Write]:
    return _appends(_BATCHED, client, sizes.batch_rows)


def _appends(symbol: str, client: int, rows: int) -> Iterator[Write]:
    columns = _some_bars(rows)
    epochs = OPENING_S + SECONDS_PER_MINUTE * np.arange(rows)
    for number in count():
        shifted = epochs + number * rows * SECONDS_PER_MINUTE
        yield Write(_key(f"{symbol}{client}"), {"Epoch": shifted, **columns})


def _new_buckets(sizes: Sizes, client: int) -> Iterator[Write]:
    columns = _some_bars(sizes.loaded_rows)
    epochs = OPENING_S + SECONDS_PER_MINUTE * np.arange(sizes.loaded_rows)
    for number in count():
        yield Write(_key(f"{_LOADED}{client}X{number}"), {"Epoch": epochs, **columns})


def _years(sizes: Sizes, client: int) -> Iterator[Query]:
    symbols = _year_symbols(sizes)
    return (Query(_key(symbols[(client + number) % len(symbols)])) for number in count())


def _last_hundred(sizes: Sizes, client: int) -> Iterator[Query]:
    symbols = names(sizes.symbols)
    random = np.random.default_rng([SEED, client])
    while True:
        for place in random.integers(0, len(symbols), 1_000):
            yield Query(_key(symbols[place]), 100)


def _last_of_all(sizes: Sizes, _: int) -> Iterator[Query]:
    query = Query(_key(",".join(names(sizes.symbols))), 1)
    return (query for _ in count())


def _five_minutes(_: Sizes, __: int) -> Iterator[Query]:
    return (Query(f"{_LONG}/5Min/OHLCV") for _ in count())


_CALLS: dict[str, Callable[[Sizes, int], Iterator[Call]]] = {
    "S1": _single_rows,
    "S2": _batches,
    "S2L": _new_buckets,
    "S3": _years,
    "S4": _last_hundred,
    "S5": _last_of_all,
    "S6": _five_minutes,
}


def _year_symbols(sizes: Sizes) -> list[str]:
    return [f"YEAR{number}" for number in range(min(_YEARS_MAX, sizes.symbols))]


def _year_rows(sizes: Sizes) -> int:
    return len(minutes(sizes.days))


def _key(symbols: str) -> str:
    return f"{symbols}/{BARS.group}"


def _some_bars(rows: int) -> dict[str, NDArray[Any]]:
    return bars("BARS", NS_PER_MINUTE * np.arange(rows)).columns


def _table(rows: Rows) -> dict[str, NDArray[Any]]:
    return {"Epoch": rows.ts // NS_PER_SECOND, **rows.columns}
