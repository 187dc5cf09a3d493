"""What a backfill does about buckets that take none of its rows: their days are a gap.

A symbol's bucket is looked at when its first day is about to be asked for, so that no request is
spent on one that takes none of the rows. Those of a day of the whole market, thousands that mostly
fit, are looked at when the store refuses a commit, which does not say whose it is; so are buckets
that are made meanwhile, and those with columns of integers, such as MarketStore's volumes, which
take whole numbers.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.backfilling.grouped import GroupedJob, GroupedWork
from tsstore_massive.backfilling.report import Gap
from tsstore_massive.misfits import REMEDY, misfit, misfits_among
from tsstore_massive.symbols import parse_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tsstore.api import StoreApi
    from tsstore_massive.backfilling.allowance import Allowance
    from tsstore_massive.backfilling.plan import Job, Refused
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.datasets import Dataset


#: What a run takes next: something to do, or days that are known to be missing.
Unit: TypeAlias = "Work | Refused | Gap"


class Misfits:
    """Buckets that turned out to be misfits in a run; thread-safe.

    Args:
        store: which has them.
    """

    def __init__(self, store: StoreApi) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, Dataset], str] = {}

    def units(self, jobs: Iterable[Job | GroupedJob], allowance: Allowance) -> Iterator[Unit]:
        """The units of work of jobs, one at a time; the days of a misfit are a gap instead."""
        for job in jobs:
            gap = None if isinstance(job, GroupedJob) else self._gap_of(job)
            if gap is None:
                yield from job.work(allowance)
            else:
                yield gap

    def _gap_of(self, job: Job) -> Gap | None:
        dataset = job.dataset
        why = misfit(self._store, dataset.key(job.symbol), dataset.schema, lenient=True)
        if why is None:
            return None
        span = dataset.window(job.first, job.last)
        reason = f"{why}; {REMEDY}"
        return Gap(job.symbol, dataset, *span, reason, None, job.day_count, True)

    def find(self, work: Work) -> bool:
        """Look for misfits among the buckets of a unit that the store refused; whether any are."""
        if self.divide(work)[1]:  # another unit has found them meanwhile
            return True
        dataset = work.dataset
        schemas = {dataset.group: dataset.schema, dataset.coverage_group: COVERAGE}
        names = {parse_symbol(symbol): symbol for symbol in _symbols(work)}
        found = misfits_among(self._store, schemas, names.__contains__)
        with self._lock:
            self._reasons |= {(names[name], dataset): why for name, why in found.items()}
        return bool(found)

    def divide(self, work: Work) -> tuple[Work | None, list[Gap]]:
        """What of a unit can be done, None if nothing can, and what of it is missing."""
        with self._lock:
            known = {
                symbol: why for (symbol, of), why in self._reasons.items() if of == work.dataset
            }
        gaps = [_gap(work, symbol, known[symbol]) for symbol in _symbols(work) if symbol in known]
        if not gaps:
            return work, []
        if not isinstance(work, GroupedWork) or len(gaps) == len(work.symbols):
            return None, gaps
        return replace(work, symbols=work.symbols[~np.isin(work.symbols, list(known))]), gaps


def _symbols(work: Work) -> list[str]:
    return work.symbols.tolist() if isinstance(work, GroupedWork) else [work.symbol]


def _gap(work: Work, symbol: str, why: str) -> Gap:
    start_ns, end_ns = work.span
    days = 1 if isinstance(work, GroupedWork) else work.day_count
    return Gap(symbol, work.dataset, start_ns, end_ns, why, None, days, True)
