"""Reference data in buckets: splits, dividends, tickers, and what symbols were called before.

    with tsstore.open("data") as store, open_rest() as rest:
        report = sync_reference(store, rest, ["AAPL", "META"])
        names = names_of(store, "META")            # FB until 2022-06-08, META since
        rows = read_through_names(store, "META", "1D/OHLCV", start="2022-01-01")

One module each for the buckets and their columns (`buckets`), what of it is stored already
(`ledger`), splits and dividends (`actions`), tickers (`tickers`), names (`names`), all of them
together (`sync`), every day (`keeper`) and as a command (`cli`).
"""

from __future__ import annotations

from tsstore_massive.reference.names import Name, names_of, read_through_names
from tsstore_massive.reference.sync import KINDS, Report, sync_reference

__all__ = [
    "KINDS",
    "Name",
    "Report",
    "names_of",
    "read_through_names",
    "sync_reference",
]
