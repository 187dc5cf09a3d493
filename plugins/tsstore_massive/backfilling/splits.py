"""Splits that make adjusted bars stale.

Of a share that was split, the vendor tells all earlier prices in the new units from then on. Bars
that were fetched adjusted before are in the old ones, and would stand beside newer bars as if the
price had jumped. So their days count as missing. What the store knows of splits is brought by
`massive_reference` and by the worker's option `reference`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import NotFoundError
from tsstore_massive.reference.buckets import SPLITS_GROUP

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tsstore.api import StoreApi


def last_splits(store: StoreApi, symbols: Iterable[str], now_ns: int) -> dict[str, int]:
    """When symbols were split last, ns since 1970 UTC; those that never were are left out.

    Args:
        store: which knows splits.
        symbols: of buckets.
        now_ns: the wall clock; splits that are announced have changed nothing yet.
    """
    known = {key.partition("/")[0] for key in store.list(f"*/{SPLITS_GROUP}")}.intersection(symbols)
    if not known:
        return {}
    try:
        found = store.read(sorted(known), SPLITS_GROUP, end=np.datetime64(now_ns, "ns"))
    except NotFoundError:
        return {}
    return {key.partition("/")[0]: int(rows.ts[-1]) for key, rows in found.items() if len(rows)}
