"""The bgworker `massive_rollup`: closes each market day once the vendor's day is settled.

    minute bars of the day ──► bars of the day (`day`) ──┐
                                                          ├─► differences (`compare`) ──► one commit
    the vendor's bars of the day, in one request ────────┘

What is stored, all of it in the commit that says that the day is closed (`ledger`):

| bucket | rows |
|---|---|
| `{symbol}/1D/OHLCV` | the vendor's bar, and where it has none, that of the minutes |
| `{symbol}/1D/ROLLUP` | where the two differ: the bar of the minutes, how many, and what differs |
| `_massive/24H/ROLLUP` | a row for each closed day |

A day is closed once, and again when there are minutes of more symbols, such as history that came
later. Whoever has mended minutes deletes its row of the ledger, and it is closed anew.

The vendor's bar is the official one: it has the closing auction and late reports, which are in no
minute, and flat files of days bring the same rows to the same bucket.
"""

from __future__ import annotations

from tsstore_massive.rollup.worker import Worker

__all__ = ["Worker"]
