"""Market data from a seed: prices in whole cents, volumes in whole shares, regular hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

SEED = 20_240_102
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
NS_PER_DAY = 1_440 * NS_PER_MINUTE
DAY_MINUTES = 390
DAY_SECONDS = 60 * DAY_MINUTES
MONTH_DAYS = 21
YEAR_DAYS = 252
YEAR_MINUTES = YEAR_DAYS * DAY_MINUTES
OPENING = np.datetime64("2000-01-03T14:30", "ns")


@dataclass(frozen=True, eq=False)
class Kind:
    """A kind of rows.

    Attributes:
        group: timeframe and attribute group of its buckets in tsstore.
        columns: type code (`f8`, `i4`, `u1`, ...) of each data column.
        variable: whether an instant may have several rows.
    """

    group: str
    columns: Mapping[str, str]
    variable: bool = False

    @property
    def row_bytes(self) -> int:
        """Bytes of a row in memory, its time included."""
        return 8 + sum(np.dtype(code).itemsize for code in self.columns.values())


BARS = Kind("1Min/OHLCV", dict.fromkeys(("Open", "High", "Low", "Close", "Volume"), "f8"))
SECONDS = Kind("1Sec/OHLCV", BARS.columns)
TICKS = Kind(
    "1Sec/TICK", {"Price": "f8", "Size": "i4", "Exchange": "i4", "Sequence": "i8"}, variable=True
)


@dataclass(frozen=True)
class Rows:
    """Rows of one or many symbols.

    Attributes:
        symbols: one per row.
        ts: int64 nanoseconds since 1970 UTC, ascending.
        columns: arrays by name, as long as `ts`.
    """

    symbols: list[str]
    ts: NDArray[np.int64]
    columns: dict[str, NDArray[Any]]

    def __len__(self) -> int:
        return len(self.ts)

    def part(self, first: int, after: int) -> Rows:
        """Some of the rows, by their places."""
        columns = {name: array[first:after] for name, array in self.columns.items()}
        return Rows(self.symbols[first:after], self.ts[first:after], columns)


def names(count: int) -> list[str]:
    """Symbols."""
    return [f"S{number:05d}" for number in range(count)]


def regular_hours(first_day: int, days: int, step_ns: int) -> NDArray[np.int64]:
    """Every `step_ns` of regular hours on so many weekdays, from one of them on."""
    weekdays = np.busday_offset(OPENING.astype("M8[D]"), first_day + np.arange(days))
    hours = OPENING - OPENING.astype("M8[D]")
    openings = (weekdays + hours).astype("M8[ns]").astype(np.int64)
    steps = np.arange(0, DAY_MINUTES * NS_PER_MINUTE, step_ns)
    ts: NDArray[np.int64] = openings[:, None] + steps
    return ts.ravel()


def minutes(days: int) -> NDArray[np.int64]:
    """Starts of the minutes of regular hours on so many weekdays."""
    return regular_hours(0, days, NS_PER_MINUTE)


def year_of_bars(symbol: str) -> Rows:
    """A year of minute bars of a symbol: 98,280 rows."""
    return bars(symbol, minutes(YEAR_DAYS))


def bars(symbol: str, ts: NDArray[np.int64]) -> Rows:
    """A bar of a symbol at each of these times."""
    random = np.random.default_rng([SEED, *symbol.encode(), int(ts[0] // NS_PER_SECOND)])
    return Rows([symbol] * len(ts), ts, _bars(random, len(ts)))


def minute_boundaries(symbols: list[str], count: int) -> list[Rows]:
    """One bar of every symbol, minute after minute."""
    random = np.random.default_rng(SEED)
    starts = minutes(-(-count // DAY_MINUTES))[:count]
    return [
        Rows(symbols, np.full(len(symbols), start), _bars(random, len(symbols))) for start in starts
    ]


def tick_batches(symbols: list[str], count: int, rows: int) -> list[Rows]:
    """Trades as they come: symbols at random, a few microseconds apart."""
    random = np.random.default_rng(SEED)
    last = int(OPENING.astype(np.int64))
    batches = []
    for number in range(count):
        ts = last + np.cumsum(random.integers(1, 2_000, rows))
        last = int(ts[-1])
        columns = {
            "Price": random.integers(1_000, 50_000, rows) / 100,
            "Size": random.integers(1, 1_000, rows, np.int32),
            "Exchange": random.integers(1, 20, rows, np.int32),
            "Sequence": number * rows + np.arange(rows),
        }
        chosen = random.integers(0, len(symbols), rows).tolist()
        batches.append(Rows([symbols[place] for place in chosen], ts, columns))
    return batches


def walk(random: np.random.Generator, count: int, step: int) -> NDArray[np.int64]:
    """A price in cents that goes up and down, never below a dollar."""
    cents: NDArray[np.int64] = 10_000 + np.cumsum(random.integers(-step, step + 1, count))
    return np.maximum(cents, 100)


def _bars(random: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
    """Bars that go up and down by cents; most volumes are small and some are large."""
    close = walk(random, count, 3)
    opened = close + random.integers(-2, 3, count)
    high = np.maximum(opened, close) + random.integers(0, 3, count)
    low = np.minimum(opened, close) - random.integers(0, 3, count)
    cents = {"Open": opened, "High": high, "Low": low, "Close": close}
    volume = np.ceil(random.lognormal(8.5, 1, count))
    return {name: array / 100 for name, array in cents.items()} | {"Volume": volume}
