"""Buckets of reference data.

| bucket | rows | kind |
|---|---|---|
| `{symbol}/1D/SPLITS` | `From` shares became `To`: where `adjust()` looks | variable |
| `{symbol}/1D/DIVIDENDS` | `Amount` dollars a share; where `adjust()` looks | variable |
| `{symbol}/24H/TICKER` | name, type, exchange and more, a row for each day of a change | fixed |
| `{symbol}/24H/NAMES` | `Symbol`: what the share is called from that day on | fixed |

Splits and dividends are stamped with 04:00 in New York of the day from which the share trades
without: then the first trades of the day come, and it is the same date in every zone from Los
Angeles to Auckland, so that bars of days and of minutes are both cut where they should be. The rows
of the others stand at midnight UTC of their date; 24H and not 1D because these slots do not depend
on the zone of the store.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from tsstore.schema import Schema
from tsstore.times import MAX_NS
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive.schemas import ReferenceKind

SPLITS_GROUP: Final = "1D/SPLITS"
DIVIDENDS_GROUP: Final = "1D/DIVIDENDS"
TICKER_GROUP: Final = "24H/TICKER"
NAMES_GROUP: Final = "24H/NAMES"

SPLITS = Schema.of({"From": "f8", "To": "f8"}, variable=True)

#: `Amount` is what `adjust()` takes off: dollars, and 0 for what was paid in another currency.
#: `Cash` is what was paid in `Currency`. Days are midnights UTC, 0 where they are not known.
DIVIDENDS = Schema.of(
    {
        "Amount": "f8",
        "Cash": "f8",
        "Currency": "U8",
        "Type": "U16",
        "Frequency": "i2",
        "Declared": "i8",
        "Recorded": "i8",
        "Paid": "i8",
    },
    variable=True,
)

#: `Delisted` is the midnight UTC of the day, 0 while it is listed.
TICKERS = Schema.of(
    {
        "Name": "U160",
        "Type": "U16",
        "Market": "U8",
        "Exchange": "U8",
        "Currency": "U16",
        "Active": "b1",
        "Delisted": "i8",
        "CIK": "U16",
        "FIGI": "U16",
        "ShareClassFIGI": "U16",
    }
)

NAMES = Schema.of({"Symbol": "U32"})

#: Timeframe and attribute group, and schema, of each kind.
BUCKETS: Final[Mapping[ReferenceKind, tuple[str, Schema]]] = {
    "splits": (SPLITS_GROUP, SPLITS),
    "dividends": (DIVIDENDS_GROUP, DIVIDENDS),
    "tickers": (TICKER_GROUP, TICKERS),
    "names": (NAMES_GROUP, NAMES),
}

#: First and last instant that rows are read and replaced between.
EVER_NS = (int(np.datetime64("1700-01-01", "ns").astype(np.int64)), MAX_NS)

_FIRST_TRADES_NS = 4 * 3600 * NS_PER_SECOND


def action_times(days: Sequence[date]) -> NDArray[np.int64]:
    """When splits and dividends of these days take effect, ns since 1970 UTC."""
    wall = np.array(days, "M8[D]").astype(np.int64) * NS_PER_DAY
    return local_to_utc(wall + _FIRST_TRADES_NS, NEW_YORK)


def text_column(values: Sequence[str | None], schema: Schema, name: str) -> NDArray[np.str_]:
    """Texts as a column of a schema, cut to its width; empty where there is none."""
    dtype = schema.dtypes[name]
    return np.array([(value or "")[: dtype.itemsize // 4] for value in values], dtype)


def day_column(days: Sequence[date | None]) -> NDArray[np.int64]:
    """Days as midnights UTC, 0 where there is none."""
    instants = np.array([day or "NaT" for day in days], "M8[D]")
    return np.where(np.isnat(instants), 0, instants.astype(np.int64) * NS_PER_DAY)
