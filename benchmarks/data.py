"""Market data from a seed: prices in whole cents, volumes in whole shares, regular hours."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

SEED = 20_240_102
NS_PER_SECOND = 1_000_000_000
NS_PER_MINUTE = 60 * NS_PER_SECOND
DAY_MINUTES = 390
MONTH_DAYS = 21
YEAR_DAYS = 252
_OPENING = np.datetime64("2023-01-03T14:30", "ns")

BAR_COLUMNS = {"Open": "f8", "High": "f8", "Low": "f8", "Close": "f8", "Volume": "f8"}
TICK_COLUMNS = {"Price": "f8", "Size": "i4", "Exchange": "i4", "Sequence": "i8"}


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


def names(count: int) -> list[str]:
    """Symbols."""
    return [f"S{number:05d}" for number in range(count)]


def minutes(days: int) -> NDArray[np.int64]:
    """Starts of the minutes of regular hours on so many weekdays."""
    weekdays = np.busday_offset(_OPENING.astype("M8[D]"), np.arange(days))
    hours = _OPENING - _OPENING.astype("M8[D]")
    openings = (weekdays + hours).astype("M8[ns]").astype(np.int64)
    ts: NDArray[np.int64] = openings[:, None] + np.arange(DAY_MINUTES) * NS_PER_MINUTE
    return ts.ravel()


def year_of_bars(symbol: str) -> Rows:
    """A year of minute bars of a symbol: 98,280 rows."""
    ts = minutes(YEAR_DAYS)
    random = np.random.default_rng([SEED, *symbol.encode()])
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
    last = int(_OPENING.astype(np.int64))
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


def _bars(random: np.random.Generator, count: int) -> dict[str, NDArray[Any]]:
    """Bars that go up and down by cents."""
    close = 10_000 + np.cumsum(random.integers(-3, 4, count))
    close = np.maximum(close, 100)
    opened = close + random.integers(-2, 3, count)
    high = np.maximum(opened, close) + random.integers(0, 3, count)
    low = np.minimum(opened, close) - random.integers(0, 3, count)
    cents = {"Open": opened, "High": high, "Low": low, "Close": close}
    volume = random.integers(100, 50_000, count).astype(np.float64)
    return {name: array / 100 for name, array in cents.items()} | {"Volume": volume}
