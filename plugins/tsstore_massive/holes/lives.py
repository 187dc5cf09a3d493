"""On which days a symbol can have bars at all: a share under the name of the day, a contract."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive.reference.buckets import NAMES_GROUP
from tsstore_massive.reference.names import Name, names_of
from tsstore_massive.symbols import expiry_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore_massive.holes.grid import Grid


def expected(
    store: StoreApi, symbols: Sequence[str], grid: Grid
) -> Mapping[str, NDArray[np.bool_]]:
    """Which bars of a grid each symbol could have, bool arrays of shape (bars,).

    A share that was called otherwise stands under each of its names, as the backfiller fetches it:
    META until June 2022 as FB, and that year's META, another company, not at all. One that is a
    former name as well as wanted by itself could have all bars. Contracts of options end on the day
    on which they expire.
    """
    every = np.ones(len(grid.slots), np.bool_)
    named = {key.partition("/")[0] for key in store.list(f"*/{NAMES_GROUP}")}
    found: dict[str, NDArray[np.bool_]] = {}
    for symbol in symbols:
        expiry = expiry_of(symbol)
        if expiry is not None:
            found[symbol] = grid.calendar[grid.days] <= np.datetime64(expiry)
        elif symbol not in named:
            found[symbol] = every
        else:
            for name in names_of(store, symbol):
                found[name.symbol] = found.get(name.symbol, ~every) | _days_of(name, grid)
    return found


def _days_of(name: Name, grid: Grid) -> NDArray[np.bool_]:
    days = grid.calendar[grid.days]
    is_its: NDArray[np.bool_] = (days >= np.datetime64(name.first)) & (
        days <= np.datetime64(name.last)
    )
    return is_its
