"""What a backfill does about buckets that take none of its rows: their days are a gap.

They are looked for when a run is planned, before a request is spent on them. One that is made while
the run is under way is found when the store refuses a commit, which may be of many symbols and does
not say whose it is.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.backfilling.grouped import GroupedWork
from tsstore_massive.backfilling.report import Gap
from tsstore_massive.misfits import REMEDY, misfit
from tsstore_massive.schemas import bucket_key

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tsstore.api import StoreApi
    from tsstore_massive.backfilling.plan import Job
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.datasets import Dataset


def without_misfits(store: StoreApi, jobs: Sequence[Job]) -> tuple[list[Job], list[Gap]]:
    """The jobs of one dataset whose buckets take its rows, and the days of the others."""
    if not jobs:
        return [], []
    dataset = jobs[0].dataset
    reasons = _reasons(store, dataset, [job.symbol for job in jobs])
    fitting = [job for job in jobs if job.symbol not in reasons]
    gaps = [_gap_of_job(job, reasons[job.symbol]) for job in jobs if job.symbol in reasons]
    return fitting, gaps


class Misfits:
    """Buckets that turned out to be misfits while a run was under way; thread-safe.

    Args:
        store: which has them.
    """

    def __init__(self, store: StoreApi) -> None:
        self._store = store
        self._lock = threading.Lock()
        self._reasons: dict[tuple[str, Dataset], str] = {}

    def find(self, work: Work) -> bool:
        """Look for misfits among the buckets of a unit that the store refused; whether any are."""
        found = _reasons(self._store, work.dataset, _symbols(work))
        with self._lock:
            self._reasons |= {(symbol, work.dataset): why for symbol, why in found.items()}
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


def _reasons(store: StoreApi, dataset: Dataset, symbols: Iterable[str]) -> dict[str, str]:
    """The misfits among the buckets of some symbols: why they are, by symbol."""
    found: dict[str, str] = {}
    for group, schema in (
        (dataset.group, dataset.schema), (dataset.coverage_group, COVERAGE)
    ):  # fmt: skip
        there = set(store.list(f"*/{group}"))
        keys = ((symbol, bucket_key(symbol, group)) for symbol in symbols)
        for symbol, key in keys:
            why = misfit(store, key, schema) if key in there else None
            if why is not None:
                found[symbol] = f"{why}; {REMEDY}"
    return found


def _gap_of_job(job: Job, why: str) -> Gap:
    start_ns, end_ns = job.dataset.window(job.first, job.last)
    return Gap(job.symbol, job.dataset, start_ns, end_ns, why, None, job.day_count, True)


def _gap(work: Work, symbol: str, why: str) -> Gap:
    start_ns, end_ns = work.span
    days = 1 if isinstance(work, GroupedWork) else work.day_count
    return Gap(symbol, work.dataset, start_ns, end_ns, why, None, days, True)
