"""What the plan of a key excludes, written down in the store: a new run does not ask again at once.

Days that were fetched, or are empty, stand in the coverage of their symbol; this is the other half
of what a run must know to go on where the last one was. `_massive/24H/BACKFILL_REFUSED` has a row
for each refusal of the vendor, at the moment of it:

    Account  U16  digest of the API key: another key has another plan
    Market   U8   such as stocks
    What     U16  was asked for, such as trades
    Symbol   U32  whose; empty for every symbol of the market
    Reason   U12  entitlement, timeframe or today, see `allowance.py`
    Day      i8   the last day that is refused, midnight UTC of its date, ns since 1970
    Text     U160 what the vendor said
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Write
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore_massive.backfilling.allowance import BELIEVED_NS, Refusal

if TYPE_CHECKING:
    from tsstore.api import StoreApi

KEY = "_massive/24H/BACKFILL_REFUSED"
SCHEMA = Schema.of(
    {
        "Account": "U16",
        "Market": "U8",
        "What": "U16",
        "Symbol": "U32",
        "Reason": "U12",
        "Day": "i8",
        "Text": "U160",
    },
    variable=True,
)


class Refusals:
    """The refusals of one account in a store.

    Args:
        store: where they are kept.
        account: digest of the API key.
    """

    def __init__(self, store: StoreApi, account: str) -> None:
        self._store = store
        self._account = account[:16]

    def read(self, now_ns: int) -> list[Refusal]:
        """Those that are still believed, the oldest first; the others are removed."""
        oldest = np.datetime64(now_ns - BELIEVED_NS, "ns")
        try:
            self._store.delete(KEY, end=oldest)
            rows = self._store.read(KEY)
        except NotFoundError:
            return []
        mine = rows.take(rows["Account"] == self._account)
        names = ("Market", "What", "Symbol", "Reason")
        days = mine["Day"].astype("M8[ns]").astype("M8[D]")
        columns = [*(mine[name].tolist() for name in names), days, mine.ts.tolist()]
        return list(map(Refusal, *columns, mine["Text"].tolist()))

    def forget(self) -> None:
        """Have everything asked for again."""
        if self._store.list(KEY):
            self._store.delete(KEY)

    def add(self, refusal: Refusal) -> None:
        """Write a refusal down; it is durable when this returns."""
        columns = {
            "Account": np.array([self._account], "U16"),
            "Market": np.array([refusal.market], "U8"),
            "What": np.array([refusal.what], "U16"),
            "Symbol": np.array([refusal.symbol], "U32"),
            "Reason": np.array([refusal.reason], "U12"),
            "Day": np.array([refusal.day], "M8[D]").astype("M8[ns]").astype(np.int64),
            "Text": np.array([refusal.text], "U160"),
        }
        rows = Columns(np.array([refusal.asked_ns]), columns, variable=True)
        self._store.commit([Write(KEY, rows, SCHEMA)])
