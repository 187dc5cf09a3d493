"""What files and REST know of each other: days that one of them brought need not come by the other.

Both write the same coverage (`coverage.py`). A file tells the whole of a day, so it covers the
tickers that it has, and those that were named and that it lacks, unless the store has rows of them.
What it writes says that a file did, so that a file in its place takes away no rows of REST's.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import numpy as np

from tsstore.api import WriteTable
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.timeframe import Timeframe
from tsstore_massive.backfilling.coverage import OF_FILE, SCHEMA, coverage_table, read_coverage
from tsstore_massive.datasets import Dataset
from tsstore_massive.flatfiles.catalogue import FlatSet
from tsstore_massive.flatfiles.selection import Selection
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping, Sequence
    from datetime import date

    from tsstore.api import StoreApi
    from tsstore_massive.symbols import Market


def dataset_of(flat: FlatSet) -> Dataset | None:
    """The rows of a data set as REST has them; None when it has no such rows."""
    market = cast("Market", flat.market)
    if flat.rows == "bars":
        return Dataset("bars", Timeframe.parse(flat.group.partition("/")[0]), market)
    if flat.rows in ("trades", "quotes"):
        return Dataset.of_stream(flat.rows).of(market)
    return None


def flat_set_of(dataset: Dataset) -> FlatSet | None:
    """The files with the rows of a dataset; None when there are none."""
    names = {"1Min/OHLCV": "minute_aggs", "1D/OHLCV": "day_aggs"}
    name = names.get(dataset.group) if dataset.kind == "bars" else dataset.kind
    try:
        return FlatSet.of(dataset.market, name) if name else None
    except InvalidArgumentError:
        return None


def coverage_of_file(
    flat: FlatSet, day: date, rows: Mapping[str, int], now_ns: int
) -> list[WriteTable]:
    """What to write when a file was loaded: its day is there.

    Args:
        flat: its data set.
        day: its day.
        rows: stored rows by ticker; 0 of one that has none on that day.
        now_ns: when it was loaded.
    """
    dataset = dataset_of(flat)
    if dataset is None or not rows:
        return []
    symbols, counts = map(np.array, zip(*sorted(rows.items()), strict=True))
    days = np.array([day], "M8[D]")
    end_ns = int(dataset.ends(days)[0])
    origin = np.where(counts > 0, OF_FILE, 0)
    table = coverage_table(symbols, days[0], counts, end_ns, now_ns, adjusted=origin)
    return [WriteTable(dataset.coverage_group, table, SCHEMA)]


def coverage_taken_back(
    flat: FlatSet, day: date, symbols: Iterable[str], known: Collection[str]
) -> list[WriteTable]:
    """What to write when a load of a file begins: its day is not there until the load has ended.

    Args:
        flat: its data set.
        day: its day.
        symbols: whose rows are about to be stored, as buckets spell them.
        known: the buckets of coverage that there are.
    """
    dataset = dataset_of(flat)
    if dataset is None or not known:
        return []
    group = dataset.coverage_group
    return coverage_of_none(flat, day, [name for name in symbols if f"{name}/{group}" in known])


def coverage_of_none(flat: FlatSet, day: date, symbols: Sequence[str]) -> list[WriteTable]:
    """What to write of tickers whose day is not there, and whose rows of it are not REST's."""
    dataset = dataset_of(flat)
    if dataset is None or not symbols:
        return []
    days = np.array([day], "M8[D]")
    before_ns = int(dataset.starts(days)[0]) - 1
    none = np.zeros(len(symbols), np.int64)
    table = coverage_table(np.array(symbols), days[0], none, before_ns, 0, adjusted=OF_FILE)
    return [WriteTable(dataset.coverage_group, table, SCHEMA)]


def covered_days(
    store: StoreApi, flat: FlatSet, days: Collection[date], selection: Selection
) -> set[date]:
    """Days of which every wanted ticker is there, if the tickers are named one by one."""
    dataset = dataset_of(flat)
    names = names_of(flat, selection)
    if dataset is None or not days or not selection.is_exact or not names:
        return set()
    ordered = np.array(sorted(days), "M8[D]")
    ends = dataset.ends(ordered)
    done = np.ones(len(ordered), np.bool_)
    for _, coverage in read_coverage(store, dataset, names, ordered, adjusted=False):
        done &= coverage.done(ordered, ends)
        if not done.any():
            break
    return set(ordered[done].tolist())


def lost_days(
    store: StoreApi, flat: FlatSet, days: Collection[date], selection: Selection
) -> set[date]:
    """Days that may be loaded, and of which named tickers have lost their rows or never had them.

    A bucket that is not there was destroyed, or stood in the way as a misfit when the files were
    loaded: unless the coverage says that the ticker has no rows then.
    """
    there = set(store.list(f"*/{flat.group}"))
    names = [name for name in names_of(flat, selection) if f"{name}/{flat.group}" not in there]
    if dataset_of(flat) is None or not names:
        return set()
    return set(days) - covered_days(store, flat, days, Selection(names))


def brought_by_files(
    store: StoreApi, flat: FlatSet, day: date, symbols: Sequence[str]
) -> list[str]:
    """Those of some tickers of which a file, or a stranger, brought a day and nobody else since."""
    dataset = dataset_of(flat)
    if dataset is None:
        return []
    days = np.array([day], "M8[D]")
    found = read_coverage(store, dataset, symbols, days, adjusted=False)
    return [symbol for symbol, coverage in found if coverage.of_file(days[0])]


def with_rows(
    store: StoreApi, flat: FlatSet, window: tuple[int, int], symbols: Sequence[str]
) -> list[str]:
    """Those of some tickers that have rows between two instants, both included."""
    if not symbols:
        return []
    start, end = (np.datetime64(instant, "ns") for instant in window)
    try:
        found = store.read(symbols, flat.group, start=start, end=end, limit=1)
    except NotFoundError:
        return []
    return [key.partition("/")[0] for key, rows in found.items() if len(rows)]


def names_of(flat: FlatSet, selection: Selection) -> list[str]:
    """The named tickers of the market."""
    return [name for name in selection.names if market_of(name) == flat.market]
