"""Tickers that a file does not have and the one before it had.

Not every ticker with rows of the day is such a one: files lack stocks that are traded over the
counter, which the socket and REST know. So rows stay that neither files nor REST told the day of,
unless their ticker is named, or somebody else than the vendor may have brought them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import NotFoundError
from tsstore_massive.flatfiles.covering import told_symbols
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
    flat, selection = job.flat, job.selection
    absent = [name for name in symbols_of(store, flat, selection) if name not in there]
    if not job.after_strangers:
        told = {*selection.names, *told_symbols(store, flat, job.day, absent)}
        absent = [name for name in absent if name in told]
    if not absent:
        return []
    start, end = (np.datetime64(instant, "ns") for instant in window)
    try:
        found = store.read(absent, flat.group, start=start, end=end, limit=1)
    except NotFoundError:
        return []
    return [key.partition("/")[0] for key, rows in found.items() if len(rows)]
