"""Tickers that a file does not have and the one before it had.

Not every ticker with rows of the day is such a one: files lack stocks that are traded over the
counter, which the socket and REST know. So a day goes only if the coverage says that a file brought
it, or a stranger (see `strangers.py`). Where that is not known, as in stores of before it was
written down and of values of indices, which have no coverage, rows stay.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore_massive.flatfiles.covering import brought_by_files, with_rows
from tsstore_massive.flatfiles.selection import symbols_of

if TYPE_CHECKING:
    from collections.abc import Collection

    from tsstore.api import StoreApi
    from tsstore_massive.flatfiles.load import Job


def withdrawn(
    store: StoreApi, job: Job, window: tuple[int, int], there: Collection[str]
) -> list[str]:
    """Tickers whose rows of the day are to go, as buckets spell them.

    Args:
        store: what is stored.
        job: a file that takes the place of others.
        window: first and last instant of its day.
        there: the tickers that it has.
    """
    stored = symbols_of(store, job.flat, job.selection)
    absent = [name for name in stored if name not in there]
    gone = brought_by_files(store, job.flat, job.day, absent)
    return with_rows(store, job.flat, window, gone)
