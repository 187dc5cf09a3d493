"""A closed day as the operations of one commit."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Replace, WriteTable
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.zones import NS_PER_DAY, local_to_utc
from tsstore_massive.misfits import misfit_of
from tsstore_massive.schemas import BARS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import date

    from numpy.typing import NDArray

    from tsstore.api import Operation, StoreApi
    from tsstore_massive.rollup.compare import Official
    from tsstore_massive.rollup.day import DayBars, Tracked

BARS_GROUP = "1D/OHLCV"
DIFFERENCES_GROUP = "1D/ROLLUP"
#: The bar of the minutes, how many there are, and bits of `Differs`.
DIFFERENCES = Schema.of({**BARS.dtypes, "Minutes": "i8", "Differs": "u2"})

_SYMBOLS_AT_ONCE = 500


@dataclass(frozen=True)
class Closing:
    """What a day came to; arrays have the shape (symbols,).

    Attributes:
        day: which.
        tracked: the symbols.
        made: their bars by the minutes.
        official: those of the vendor.
        differs: bits of `Differs`.
        fits: whether their buckets take bars, see `fitting`.
    """

    day: date
    tracked: Tracked
    made: DayBars
    official: Official
    differs: NDArray[np.uint16]
    fits: NDArray[np.bool_]

    @property
    def is_stored(self) -> NDArray[np.bool_]:
        """Which symbols get a bar."""
        return (self.made.known | self.official.known) & self.fits

    def operations(self, store: StoreApi, timezone: str) -> Iterator[Operation]:
        """Bars and differences, and differences of an earlier try that are none any more.

        Args:
            store: looked at for these.
            timezone: whose midnights begin the days of the store.
        """
        is_official = self.official.known
        bars = {
            name: np.where(is_official, self.official.columns[name], array)
            for name, array in self.made.columns.items()
        }
        epoch = _midnight(self.day, timezone)
        yield from self._tables(BARS_GROUP, bars, BARS, self.is_stored, epoch)
        found: dict[str, NDArray[Any]] = dict(self.made.columns)
        found |= {"Minutes": self.made.minutes, "Differs": self.differs}
        yield from self._tables(DIFFERENCES_GROUP, found, DIFFERENCES, self.differs > 0, epoch)
        symbols = self.tracked.symbols[self.differs == 0].tolist()
        for key in _with_rows(store, symbols, epoch):
            yield Replace(key, epoch, epoch, {"Epoch": np.empty(0, "M8[ns]")})

    def _tables(
        self,
        group: str,
        columns: dict[str, NDArray[Any]],
        schema: Schema,
        chosen: NDArray[np.bool_],
        epoch: np.datetime64,
    ) -> Iterator[WriteTable]:
        """The chosen rows, made-up ones and others apart."""
        for synthetic in (False, True):
            rows = np.flatnonzero(chosen & (self.tracked.synthetic == synthetic))
            if len(rows):
                table = {
                    "Symbol": self.tracked.symbols[rows],
                    "Epoch": np.full(len(rows), epoch),
                    **{name: array[rows] for name, array in columns.items()},
                }
                yield WriteTable(group, table, replace(schema, synthetic=synthetic))


def fitting(store: StoreApi, tracked: Tracked) -> NDArray[np.bool_]:
    """Which symbols have no bucket of days, or one that bars fit into.

    What somebody else keeps there, such as days of float32 from MarketStore, costs its symbol its
    bars and no other.
    """
    there = set(store.list(f"*/{BARS_GROUP}"))
    fits = np.ones(len(tracked.symbols), np.bool_)
    for at, (symbol, synthetic) in enumerate(
        zip(tracked.symbols.tolist(), tracked.synthetic.tolist(), strict=True)
    ):
        key = f"{symbol}/{BARS_GROUP}"
        if key in there:
            held = store.info(key).schema
            fits[at] = misfit_of(key, held, BARS, synthetic=synthetic) is None
    return fits


def _midnight(day: date, timezone: str) -> np.datetime64:
    number = np.datetime64(day, "D").astype(np.int64)
    return np.datetime64(int(local_to_utc(np.array([number * NS_PER_DAY]), timezone)[0]), "ns")


def _with_rows(store: StoreApi, symbols: list[str], epoch: np.datetime64) -> Iterator[str]:
    """Buckets of differences that have a row of that instant."""
    there = {key.partition("/")[0] for key in store.list(f"*/{DIFFERENCES_GROUP}")}
    names = [symbol for symbol in symbols if symbol in there]
    for first in range(0, len(names), _SYMBOLS_AT_ONCE):
        some = names[first : first + _SYMBOLS_AT_ONCE]
        try:
            found = store.read(some, DIFFERENCES_GROUP, start=epoch, end=epoch, columns=["Differs"])
        except NotFoundError:
            continue
        yield from (key for key, rows in found.items() if len(rows))
