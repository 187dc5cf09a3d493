"""What was fetched already, kept in the store beside the rows and committed together with them.

Each bucket of rows has a bucket of coverage, `AAPL/24H/TRADE_1Sec_BACKFILL` for `AAPL/1Sec/TRADE`,
with one row per market day, at midnight UTC of its date:

    Rows      i8  rows of the day that the vendor gave
    Through   i8  everything up to and including this instant was fetched, ns since 1970 UTC
    Fetched   i8  when, ns since 1970 UTC
    Adjusted  i1  1 if bars were asked for adjusted to splits, else 0; -1, not adjusted either,
                  if a flat file brought the rows, or somebody else than the vendor

Its timeframe is 24H and not 1D because slots of hours do not depend on the time zone of the server.
A day is done when `Through` has reached its end. A row is written in the same atomic commit as the
rows it speaks of, so that it can never claim more than is stored.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore_massive.datasets import Dataset

SCHEMA = Schema.of({"Rows": "i8", "Through": "i8", "Fetched": "i8", "Adjusted": "i1"})

#: `Adjusted` of rows that a file in place of another one may take away.
OF_FILE = -1

_SYMBOLS_PER_READ = 200


@dataclass(frozen=True)
class DayProgress:
    """How far one day got.

    Attributes:
        rows: rows fetched so far.
        through_ns: everything up to and including this instant is stored.
        fetched_ns: when it was fetched.
    """

    rows: int
    through_ns: int
    fetched_ns: int


class Coverage:
    """What is known of one symbol and dataset.

    Args:
        rows: rows of the coverage bucket, or None when there is none; what has other columns is
            somebody else's and says nothing.
        adjusted: rows fetched with another adjustment do not count.
        gone: whether the bucket of the rows was destroyed, so that days with rows do not count.
    """

    def __init__(self, rows: Columns | None, *, adjusted: bool, gone: bool = False) -> None:
        if rows is None or set(rows.names) != set(SCHEMA.names):
            rows = Columns.empty(SCHEMA)
        counts = (rows["Adjusted"] == 1) == adjusted
        if gone:
            counts &= rows["Rows"] == 0
        rows = rows.take(counts)
        self._dates = (rows.ts // NS_PER_DAY).astype("M8[D]")
        self._rows = rows

    def done(
        self, days: NDArray[np.datetime64], ends_ns: NDArray[np.int64], since_ns: int = 0
    ) -> NDArray[np.bool_]:
        """Which of these days need no fetching.

        Args:
            days: datetime64[D], any order.
            ends_ns: the last instant of each.
            since_ns: what was fetched before does not count, ns since 1970 UTC.
        """
        if not len(self._dates):
            return np.zeros(len(days), np.bool_)
        at = np.minimum(np.searchsorted(self._dates, days), len(self._dates) - 1)
        is_whole = (self._dates[at] == days) & (self._rows["Through"][at] >= ends_ns)
        return np.asarray(is_whole & (self._rows["Fetched"][at] >= since_ns))

    def of_file(self, day: np.datetime64) -> bool:
        """Whether a flat file brought the rows of a day, or a part of them."""
        return bool((self._rows["Adjusted"][self._dates == day] == OF_FILE).any())

    @property
    def rows_per_day(self) -> float | None:
        """Rows of a day on average; None when no day is known."""
        return float(self._rows["Rows"].mean()) if len(self._dates) else None

    def begun(
        self, days: NDArray[np.datetime64], ends_ns: NDArray[np.int64]
    ) -> dict[int, DayProgress]:
        """How far days got of which a part is stored, by their place in `days`.

        Args:
            days: datetime64[D], ascending.
            ends_ns: the last instant of each.
        """
        if not len(days):
            return {}
        at = np.minimum(np.searchsorted(days, self._dates), len(days) - 1)
        row = self._rows
        some = np.flatnonzero((days[at] == self._dates) & (row["Through"] < ends_ns[at]))
        columns = (row[name][some].tolist() for name in ("Rows", "Through", "Fetched"))
        return dict(
            zip(at[some].tolist(), map(DayProgress, *columns), strict=True),
        )


class Buckets:
    """Which buckets there are, asked of a store once for each group.

    Args:
        store: which has them.
    """

    def __init__(self, store: StoreApi) -> None:
        self._store = store
        self._keys: dict[str, frozenset[str]] = {}

    def of(self, group: str) -> frozenset[str]:
        """The keys of a timeframe and attribute group."""
        if group not in self._keys:
            self._keys[group] = frozenset(self._store.list(f"*/{group}"))
        return self._keys[group]


def read_coverage(
    store: StoreApi,
    dataset: Dataset,
    symbols: Sequence[str],
    days: NDArray[np.datetime64],
    *,
    adjusted: bool,
    buckets: Buckets | None = None,
) -> Iterator[tuple[str, Coverage]]:
    """The coverage of each symbol, in the order given, from the first to the last of some days.

    Args:
        store: which has it.
        dataset: whose rows.
        symbols: as the vendor spells them.
        days: datetime64[D], ascending.
        adjusted: see `Coverage`.
        buckets: for who reads it several times in a row.
    """
    if not len(days):
        return
    there = (buckets or Buckets(store)).of(dataset.group)
    for at in range(0, len(symbols), _SYMBOLS_PER_READ):
        keys = {s: dataset.coverage_key(s) for s in symbols[at : at + _SYMBOLS_PER_READ]}
        names = [key.partition("/")[0] for key in keys.values()]
        try:
            found = store.read(names, dataset.coverage_group, start=days[0], end=days[-1])
        except NotFoundError:
            found = {}
        for symbol, key in keys.items():
            gone = dataset.key(symbol) not in there
            yield symbol, Coverage(found.get(key), adjusted=adjusted, gone=gone)


def coverage_rows(
    days: NDArray[np.datetime64],
    rows: NDArray[np.int64],
    through_ns: NDArray[np.int64],
    fetched_ns: int,
    *,
    adjusted: bool,
) -> Columns:
    """Rows for the coverage bucket; the arrays have one element per day."""
    return Columns(
        days.astype("M8[D]").astype(np.int64) * NS_PER_DAY,
        {
            "Rows": rows.astype(np.int64),
            "Through": through_ns.astype(np.int64),
            "Fetched": np.full(len(days), fetched_ns, np.int64),
            "Adjusted": np.full(len(days), adjusted, np.int8),
        },
    )


def coverage_table(
    symbols: NDArray[np.str_],
    day: np.datetime64,
    rows: NDArray[Any],
    through_ns: int,
    fetched_ns: int,
    *,
    adjusted: int | NDArray[Any],
) -> dict[str, Any]:
    """One day of many symbols for the coverage buckets, as `write_table` takes it.

    Args:
        symbols: as buckets spell them.
        day: the market day.
        rows: of each symbol.
        through_ns: everything up to and including this instant was fetched.
        fetched_ns: when.
        adjusted: whether bars were asked for adjusted to splits, or `OF_FILE`; also of each.
    """
    count = len(symbols)
    return {
        "Symbol": symbols,
        "Epoch": np.full(count, day.astype("M8[ns]")),
        "Rows": rows.astype(np.int64),
        "Through": np.full(count, through_ns, np.int64),
        "Fetched": np.full(count, fetched_ns, np.int64),
        "Adjusted": np.full(count, adjusted, np.int8),
    }
