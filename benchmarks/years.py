"""A year of minute bars of some symbols in every store, as P1 loads them and P4 to P8 use them."""

from __future__ import annotations

from time import perf_counter
from typing import TYPE_CHECKING

import numpy as np

import tsstore
from benchmarks.data import BARS, SEED, YEAR_MINUTES, Rows, names, year_of_bars
from benchmarks.harness import Case, stored_bytes, take_turns
from benchmarks.peers import LIBRARIES, open_all
from benchmarks.peers.tsstore import TsStore

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.harness import Call
    from benchmarks.peers import Library

#: What would run while others are timed; the time of `compact` is told by itself.
_NOT_IN_BACKGROUND = tsstore.Settings(compaction_bytes_per_s=0)
_SYMBOLS_PER_CALL = 25
_PRICES = ("Open", "High", "Low", "Close")


class Years:
    """The loaded stores.

    Attributes:
        folder: where they are.
        symbols: what there is a year of.
        ours: tsstore, compacted; among the stores as well.
        fast: tsstore as it is before compaction.
        stores: all but `fast`, by name.
        loading: the calls that loaded each store.
        call_rows: rows of each of these calls.
        loaded_bytes: what tsstore took before compaction.
        compaction_s: how long that took.
        stored: bytes of each store in the end.
    """

    def __init__(self, folder: Path, symbols: int) -> None:
        self.folder = folder
        self.symbols = names(symbols)
        self.ours = TsStore(folder / "tsstore", BARS, _NOT_IN_BACKGROUND)
        self.fast = TsStore(folder / "fast", BARS, _NOT_IN_BACKGROUND)
        peers = {name: LIBRARIES[name] for name in LIBRARIES if name != "tsstore"}
        self.stores: dict[str, Library] = {"tsstore": self.ours, **open_all(peers, folder, BARS)}
        batches = self.batches(YEAR_MINUTES)
        self.call_rows = len(batches[0]) * YEAR_MINUTES
        cases = {name: Case(store.load) for name, store in self.stores.items()}
        self.loading: dict[str, list[Call]] = take_turns(cases, batches, rounds=len(batches))
        for batch in batches:
            self.fast.load(batch)
        self.loaded_bytes = stored_bytes(folder / "tsstore")
        begun = perf_counter()
        self.ours.settle()
        self.compaction_s = perf_counter() - begun
        for store in self.stores.values():
            store.settle()
            store.reopen()
        self.fast.reopen()
        self.stored = {name: stored_bytes(self.path(name)) for name in self.stores}

    @property
    def rows(self) -> int:
        """Rows of each store."""
        return len(self.symbols) * YEAR_MINUTES

    def path(self, name: str) -> Path:
        """The directory of a store."""
        return self.folder / name

    def batches(self, rows: int, *, raise_by: float = 0.0) -> list[list[Rows]]:
        """The last so many bars of every symbol, in batches of several symbols.

        Args:
            rows: of each symbol.
            raise_by: what to add to the prices.
        """
        bars = [_last(year_of_bars(symbol), rows, raise_by) for symbol in self.symbols]
        size = _SYMBOLS_PER_CALL
        return [bars[first : first + size] for first in range(0, len(bars), size)]

    def draw(self, count: int) -> list[str]:
        """Symbols to read, at random."""
        random = np.random.default_rng(SEED)
        return [self.symbols[place] for place in random.integers(0, len(self.symbols), count)]

    def close(self) -> None:
        """Close the stores."""
        for store in (*self.stores.values(), self.fast):
            store.close()


def _last(bars: Rows, rows: int, raise_by: float) -> Rows:
    part = bars.part(len(bars) - rows, len(bars))
    prices = {name: np.round(part.columns[name] + raise_by, 2) for name in _PRICES}
    return Rows(part.symbols, part.ts, part.columns | prices)
