"""A year of minute bars of some symbols in every store, as P4 and P5 read it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from benchmarks.data import BAR_COLUMNS, SEED, names, year_of_bars
from benchmarks.peers.arcticdb import ArcticDb
from benchmarks.peers.duckdb import DuckDb
from benchmarks.peers.tsstore import TsStore

if TYPE_CHECKING:
    from benchmarks.harness import Scale
    from benchmarks.peers import Peer


class Years:
    """The loaded stores.

    Attributes:
        symbols: what there is a year of.
        ours: tsstore, which is among the peers as well.
        peers: all stores by name.
    """

    def __init__(self, scale: Scale) -> None:
        self.symbols = names(scale.pick(4, 100))
        self.ours = TsStore(scale.folder / "data")
        self.peers: dict[str, Peer] = {
            "tsstore": self.ours,
            "duckdb": DuckDb(scale.folder / "duckdb", BAR_COLUMNS),
            "arcticdb": ArcticDb(scale.folder / "arcticdb"),
        }
        for symbol in self.symbols:
            rows = year_of_bars(symbol)
            for peer in self.peers.values():
                peer.load(rows)
        for peer in self.peers.values():
            peer.settle()
            peer.reopen()

    def draw(self, count: int) -> list[str]:
        """Symbols to read, at random."""
        random = np.random.default_rng(SEED)
        return [self.symbols[place] for place in random.integers(0, len(self.symbols), count)]

    def close(self) -> None:
        """Close the stores."""
        for peer in self.peers.values():
            peer.close()
