"""Which days are closed, kept in the store and committed together with the bars they speak of.

`_massive/24H/ROLLUP` has a row for each closed day, at midnight UTC of the day:

    Closed    i8  when, ns since 1970 UTC
    Tracked   i8  stocks of which there were minutes by the end of the day
    Symbols   i8  symbols that got a bar
    Official  i8  how many of these are the vendor's; 0 when it was not asked
    Differ    i8  symbols of which something differs
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, replace
from datetime import date
from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Write
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from tsstore.api import StoreApi

KEY = "_massive/24H/ROLLUP"
SCHEMA = Schema.of(dict.fromkeys(("Closed", "Tracked", "Symbols", "Official", "Differ"), "i8"))

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Closed:
    """A closed day.

    Attributes:
        day: which.
        closed_ns: when, nanoseconds since 1970 UTC.
        tracked: stocks of which there were minutes by the end of the day.
        symbols: how many got a bar.
        official: how many of these are the vendor's; 0 when it was not asked.
        differ: of how many something differs.
    """

    day: date
    closed_ns: int
    tracked: int
    symbols: int
    official: int
    differ: int


def closed_days(store: StoreApi, first: date) -> dict[date, int]:
    """The days from `first` on that are closed, and how many stocks were tracked then."""
    try:
        rows = store.read(KEY, start=np.datetime64(first))
    except NotFoundError:
        return {}
    days: list[date] = (rows.ts // NS_PER_DAY).astype("M8[D]").tolist()
    return dict(zip(days, rows["Tracked"].tolist(), strict=True))


def ledger_entry(store: StoreApi, closed: Closed, *, synthetic: bool) -> Write:
    """The row that says that a day is closed.

    Args:
        store: where it goes.
        closed: the day.
        synthetic: whether a new ledger is marked as one of made-up rows.
    """
    with contextlib.suppress(NotFoundError):
        synthetic = store.info(KEY).schema.synthetic
    numbers = (
        closed.closed_ns, closed.tracked, closed.symbols, closed.official, closed.differ
    )  # fmt: skip
    columns = zip(SCHEMA.names, numbers, strict=True)
    row = {name: np.array([number], np.int64) for name, number in columns}
    midnight = np.array([(closed.day - _EPOCH).days * NS_PER_DAY]).view("M8[ns]")
    return Write(KEY, {"Epoch": midnight, **row}, replace(SCHEMA, synthetic=synthetic))
