"""History by REST: what is missing, fetched in parallel, and what could not be had.

    backfiller = Backfiller(store, rest, clock=clock, stop=stop)
    plan = backfiller.plan([Target(Dataset.parse("trades"), first, last)], ["AAPL"])
    report = backfiller.run(plan, progress=show)

A plan leaves out the days that the store's coverage calls done, so a second run does nothing and a
run after a crash goes on. Threads take units of work (see `fetch.py`) from the plan and commit each
by themselves; a failed unit is a `Gap` of the report and costs no other unit. What the plan of the
key does not include is learned and not asked for again (see `allowance.py`). A wrong API key, or a
store that refuses, ends the run.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tsstore.errors import InvalidArgumentError
from tsstore.timeframe import Timeframe
from tsstore_massive.backfilling.allowance import Allowance
from tsstore_massive.backfilling.coverage import Buckets, Coverage, read_coverage
from tsstore_massive.backfilling.fetch import Fetcher
from tsstore_massive.backfilling.grouped import GroupedJob, fewest_calls
from tsstore_massive.backfilling.pace import AdaptivePace, FixedPace
from tsstore_massive.backfilling.plan import (
    Job,
    Plan,
    Target,
    by_market,
    has_history,
    runs_of,
    targets,
)
from tsstore_massive.backfilling.refusals import Refusals
from tsstore_massive.backfilling.renamed import by_names
from tsstore_massive.backfilling.report import Gap, Outcomes, Progress, Report
from tsstore_massive.backfilling.running import Assignment, Run
from tsstore_massive.backfilling.splits import last_splits
from tsstore_massive.backfilling.unfit import Misfits
from tsstore_massive.backfilling.work import GapWork
from tsstore_massive.symbols import market_of
from tsstore_massive.tradingdays import day_in, trading_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.rest import RestClient
    from tsstore_massive.symbols import Market

__all__ = ["Backfiller", "Gap", "Plan", "Progress", "Report", "Target", "targets"]

#: Ticks of one commit at most, about 15 MB; a page more may come on top.
BATCH_ROWS = 200_000
#: Units at a time that an adaptive run never exceeds; each may hold a page of 50,000 rows.
PARALLELISM_MAX = 16
_DAY = Timeframe(1, "D")
#: Requests a minute below which each page is stored when it comes: it was dear.
_THRIFTY_PER_MINUTE = 300
#: Ticks that all units of a run together hold back for the next commit, about 80 MB.
_WAITING_ROWS = 1_000_000


class Backfiller:
    """Fetches history into a store. Thread-safe: runs may go on side by side.

    Args:
        store: where the rows go; embedded or a running server.
        rest: the vendor.
        clock: the source of time.
        stop: ends every run soon after it is set.
        adjusted: whether bars are adjusted to splits.
        parallelism: units of work under way at a time, in each run; None for as many as pay.
        timezone: of the store (`timezone` of mkts.yml).
        requests_per_minute: what the plan allows.
    """

    def __init__(
        self,
        store: StoreApi,
        rest: RestClient,
        *,
        clock: Clock,
        stop: threading.Event,
        adjusted: bool = False,
        parallelism: int | None = 4,
        timezone: str = "UTC",
        requests_per_minute: int = 6_000,
    ) -> None:
        if parallelism is not None and parallelism < 1:
            raise InvalidArgumentError(f"parallelism {parallelism}; use at least 1")
        self._store = store
        self._rest = rest
        self._clock = clock
        self._stop = stop
        self._adjusted = adjusted
        self._parallelism = parallelism
        self._timezone = timezone
        self._requests_per_minute = requests_per_minute
        self._refusals = Refusals(store, rest.account)
        self._allowance: Allowance | None = None
        self._lock = threading.Lock()

    def plan(
        self, targets: Iterable[Target], symbols: Sequence[str], *, refetch: bool = False
    ) -> Plan:
        """What is missing of the targets; a share with other names is asked for by each of them.

        Args:
            targets: datasets and days.
            symbols: as the vendor spells them.
            refetch: fetch days again that were fetched before.

        Raises:
            InvalidKeyError: a symbol that no bucket can have.
        """
        chosen: list[Job | GroupedJob] = []
        notes: list[str] = []
        covered = 0
        buckets = Buckets(self._store)
        for target, market, some in self._parts(targets, symbols):
            if not has_history(market, target.dataset.kind):
                notes.append(f"there is no history of {target.dataset} of {market} by REST")
                continue
            if market == "options" and target.first > target.last:
                who = some[0] if len(some) == 1 else f"{len(some):,} contracts"
                notes.append(f"{target.dataset} of {who}: expired on {target.last}")
                continue
            jobs, done = self._jobs(target, market, some, buckets, refetch=refetch)
            covered += done
            if target.dataset.timeframe == _DAY:
                chosen_jobs, note = fewest_calls(jobs, market)
                chosen += chosen_jobs
                notes += note
            else:
                chosen += jobs
        return Plan(chosen, covered, notes)

    def without_rows(self, targets: Iterable[Target], symbols: Sequence[str]) -> tuple[str, ...]:
        """Those of some symbols of which days were fetched, whenever, and all of them were empty.

        Args:
            targets: datasets and days.
            symbols: as the vendor spells them.
        """
        outcomes, buckets = Outcomes(), Buckets(self._store)
        for target, market, some in self._parts(targets, symbols):
            dataset, days = self._days(target, market)
            ends = dataset.ends(days)
            for symbol, known in self._coverage(dataset, some, days, buckets):
                if known.done(days, ends).any():
                    outcomes.add(symbol, is_empty=not known.rows_per_day)
        return outcomes.empty()

    def _parts(
        self, targets: Iterable[Target], symbols: Sequence[str]
    ) -> Iterator[tuple[Target, Market, Sequence[str]]]:
        """Targets and the symbols of each market, under the names that they had on these days."""
        for target, some in by_names(self._store, targets, symbols):
            yield from by_market(target, some)

    def _days(self, target: Target, market: Market) -> tuple[Dataset, NDArray[np.datetime64]]:
        """The rows of a target that are of a market, and its market days, up to now."""
        dataset = target.dataset.of(market)
        today = day_in(dataset, self._clock.now_ns())
        return dataset, trading_days(market, target.first, min(target.last, today))

    def _coverage(
        self,
        dataset: Dataset,
        symbols: Sequence[str],
        days: NDArray[np.datetime64],
        buckets: Buckets,
    ) -> Iterator[tuple[str, Coverage]]:
        return read_coverage(
            self._store,
            dataset,
            symbols,
            days,
            adjusted=self._adjusted and dataset.kind == "bars",
            buckets=buckets,
        )

    def _jobs(
        self,
        target: Target,
        market: Market,
        symbols: Sequence[str],
        buckets: Buckets,
        *,
        refetch: bool,
    ) -> tuple[list[Job], int]:
        """The missing days of each symbol of one market, and how many days are there already."""
        dataset, days = self._days(target, market)
        ends = dataset.ends(days)
        adjusted = self._adjusted and dataset.kind == "bars"
        splits = last_splits(self._store, symbols, self._clock.now_ns()) if adjusted else {}
        jobs, covered = list[Job](), 0
        for symbol, coverage in self._coverage(dataset, symbols, days, buckets):
            known = Coverage(None, adjusted=adjusted) if refetch else coverage
            done = known.done(days, ends, splits.get(symbol, 0))
            covered += int(done.sum())
            if not done.all():
                begun = {} if dataset.kind == "bars" else known.begun(days, ends)
                runs = runs_of(~done)
                jobs.append(Job(dataset, symbol, days, runs, begun, coverage.rows_per_day))
        return jobs, covered

    def run(self, plan: Plan, *, progress: Callable[[Progress], None] | None = None) -> Report:
        """Fetch everything of a plan.

        Args:
            plan: from `plan`.
            progress: told how far it is after each commit, on the threads that do the work and one
                call at a time, so it must be quick.

        Raises:
            ApiKeyError: the key is wrong.
            UnavailableError: the service is down.
            TsStoreError: the store refused a commit.
        """
        last_days: dict[Dataset, np.datetime64] = {}
        for job in plan.jobs:
            last = last_days.get(job.dataset, job.calendar[-1])
            last_days[job.dataset] = max(last, job.calendar[-1])
        allowance, misfits = self.allowance(), Misfits(self._store)
        units = misfits.units(plan.jobs, allowance)
        assignment = Assignment(units, plan.total_days, last_days)
        return self._run(assignment, allowance, misfits, progress)

    def fill_gap(
        self,
        symbols: Sequence[str],
        datasets: Sequence[Dataset],
        start_ns: int,
        end_ns: int,
        *,
        on_symbol: Callable[[str], None] = lambda _: None,
    ) -> Report:
        """Fetch everything between two instants, both included, while rows may be streaming in.

        Nothing is deleted, bars are upserted, and ticks that are there already are not doubled.

        `on_symbol` is told each symbol just before its first fetch begins.

        Raises: see `run`.
        """

        def units() -> Iterator[Work]:
            for symbol in symbols:
                on_symbol(symbol)
                for dataset in datasets:
                    yield GapWork(dataset.of(market_of(symbol)), symbol, start_ns, end_ns)

        assignment = Assignment(units(), len(symbols) * len(datasets), {})
        # What the plan of the key excludes today may be open tomorrow, and a gap is small.
        return self._run(assignment, Allowance(self._clock), Misfits(self._store), None)

    def allowance(self) -> Allowance:
        """What is known of the key's plan, from earlier runs as well."""
        with self._lock:
            if self._allowance is None:
                known = self._refusals.read(self._clock.now_ns())
                self._allowance = Allowance(self._clock, known, self._refusals.add)
            return self._allowance

    def forget_refusals(self) -> None:
        """Ask again for what the plan of the key did not include."""
        with self._lock:
            self._refusals.forget()
            self._allowance = None

    def _run(
        self,
        assignment: Assignment,
        allowance: Allowance,
        misfits: Misfits,
        on_progress: Callable[[Progress], None] | None,
    ) -> Report:
        pace = self._pace()
        run = Run(
            assignment,
            allowance,
            misfits,
            pace=pace,
            traffic=self._rest.traffic,
            clock=self._clock,
            stop=self._stop,
            on_progress=on_progress,
        )
        fetcher = Fetcher(
            self._store,
            self._rest,
            clock=self._clock,
            is_stopped=run.is_ending,
            adjusted=self._adjusted,
            timezone=self._timezone,
            on_rows=run.add_rows,
            batch_rows=self._batch_rows(pace.most),
        )
        return run.run(fetcher)

    def _batch_rows(self, most: int) -> int:
        """Rows that one of so many units stores together."""
        if self._requests_per_minute < _THRIFTY_PER_MINUTE:
            return 1
        return min(BATCH_ROWS, _WAITING_ROWS // most)

    def _pace(self) -> FixedPace | AdaptivePace:
        if self._parallelism is not None:
            return FixedPace(self._parallelism)
        most = min(PARALLELISM_MAX, self._requests_per_minute)
        return AdaptivePace(most, self._rest.traffic, self._clock)
