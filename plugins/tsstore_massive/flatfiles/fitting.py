"""Tickers whose buckets take no rows of files: they are left out, and cost no other ticker.

They are looked for when the store refuses a commit, which is of many tickers and does not say whose
it is. The ledger then says of the file what was asked for: a run of each night would load it again
and again otherwise. So a ticker whose bucket is put right has to be loaded by name, and with
`--reload` if it was only its coverage that stood in the way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.flatfiles.covering import dataset_of
from tsstore_massive.misfits import misfits_among

if TYPE_CHECKING:
    from tsstore.api import StoreApi
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.selection import Selection


class Fitting:
    """What of a selection can be stored.

    Args:
        store: which has the buckets.
        selection: the wanted tickers.

    Attributes:
        told: what is wrong with each bucket that takes nothing, and what to do, a line each.
    """

    def __init__(self, store: StoreApi, selection: Selection) -> None:
        self.told: list[str] = []
        self._store = store
        self._whole = selection
        self._narrowed: dict[FlatSet, Selection] = {}

    def of(self, flat: FlatSet) -> Selection:
        """The tickers of a data set that can be stored, as far as it is known."""
        return self._narrowed.get(flat, self._whole)

    def narrow(self, flat: FlatSet) -> bool:
        """Look for tickers that can not, after a commit was refused; whether there are more."""
        schemas, dataset = {flat.group: flat.schema}, dataset_of(flat)
        if dataset is not None:
            schemas[dataset.coverage_group] = COVERAGE
        found = misfits_among(self._store, schemas, self.of(flat).__contains__)
        if found:
            self._narrowed[flat] = self.of(flat).without(found)
            self.told += [
                f"{why}; then run massive_flatfiles --symbols {name} --reload"
                for name, why in found.items()
            ]
        return bool(found)
