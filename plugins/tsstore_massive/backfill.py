"""History by REST: what is missing, fetched in parallel, and what could not be had.

    backfiller = Backfiller(store, rest, clock=clock, stop=stop)
    plan = backfiller.plan([Target(Dataset.parse("trades"), first, last)], ["AAPL"])
    report = backfiller.run(plan, progress=show)

A plan leaves out the days that the store's coverage calls done, so a second run does nothing and a
run after a crash goes on. Threads take units of work (see `fetch.py`) from the plan and commit each
by themselves; a failed unit is a `Gap` of the report and costs no other unit. A wrong API key, or a
store that refuses, ends the run.
"""

from __future__ import annotations

import itertools
import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore_massive.coverage import Coverage, read_coverage
from tsstore_massive.datasets import Dataset
from tsstore_massive.errors import (
    ApiKeyError,
    MassiveError,
    NotEntitledError,
    StoppedError,
    UnavailableError,
    UnreachableError,
)
from tsstore_massive.fetch import BarsWork, Fetcher, GapWork, TicksWork
from tsstore_massive.sessions import MarketCalendar, day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.config import Config
    from tsstore_massive.fetch import Work
    from tsstore_massive.rest import RestClient

#: How long `run` waits for requests under way once it is told to stop.
STOP_GRACE_S = 1.5
#: Units in a row, per thread, that may find the service down before the run gives up.
_UNAVAILABLE_MAX = 2


@dataclass(frozen=True)
class Target:
    """What is wanted of every symbol.

    Attributes:
        dataset: which rows.
        first: first day.
        last: last day, included; the day that is under way is fetched up to now.
    """

    dataset: Dataset
    first: date
    last: date


@dataclass(frozen=True)
class Gap:
    """Rows that could not be fetched.

    Attributes:
        symbol: as the vendor spells it.
        dataset: which rows.
        start_ns: first instant that is missing.
        end_ns: last instant that is missing.
        reason: why, in one line.
        entitled: False when the plan does not include the range, so that trying again cannot help.
    """

    symbol: str
    dataset: Dataset
    start_ns: int
    end_ns: int
    reason: str
    entitled: bool = True

    def __str__(self) -> str:
        first, last = day_of(self.start_ns), day_of(self.end_ns)
        days = f"{first}" if first == last else f"{first} to {last}"
        return f"{self.symbol} {self.dataset} of {days}: {self.reason}"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        days: symbol-days that were dealt with, failed ones included.
        total_days: symbol-days of the plan.
        rows: rows stored.
        failed_days: symbol-days that failed.
    """

    days: int
    total_days: int
    rows: int = 0
    failed_days: int = 0


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        progress: the last state.
        gaps: what could not be fetched, by symbol, dataset and time.
        stopped: whether the run was told to stop before its end.
    """

    progress: Progress
    gaps: tuple[Gap, ...]
    stopped: bool


@dataclass(frozen=True)
class Job:
    """The missing days of one symbol and dataset.

    Attributes:
        dataset: which rows.
        symbol: as the vendor spells it.
        calendar: all market days of the target, datetime64[D], shared by the jobs of it.
        missing: positions in `calendar` of the days to fetch, ascending.
        coverage: what is known of days that were begun.
    """

    dataset: Dataset
    symbol: str
    calendar: NDArray[np.datetime64]
    missing: NDArray[np.intp]
    coverage: Coverage

    def work(self) -> Iterator[Work]:
        """Units of work in order of time."""
        step = self.dataset.days_per_request
        for run in np.split(self.missing, np.flatnonzero(np.diff(self.missing) > 1) + 1):
            for at in range(0, len(run), step):
                days = self.calendar[run[at : at + step]]
                if self.dataset.kind == "bars":
                    yield BarsWork(self.dataset, self.symbol, days)
                else:
                    progress = self.coverage.progress(days[0])
                    yield TicksWork(self.dataset, self.symbol, days[0].item(), progress)


@dataclass(frozen=True)
class Plan:
    """What a run is going to fetch.

    Attributes:
        jobs: the missing days by symbol and dataset.
        covered_days: symbol-days that were fetched before and are left out.
    """

    jobs: list[Job] = field(default_factory=list)
    covered_days: int = 0

    @property
    def total_days(self) -> int:
        """Symbol-days to fetch."""
        return sum(len(job.missing) for job in self.jobs)

    def work(self) -> Iterator[Work]:
        """All units of work, symbol by symbol; made one at a time, there may be millions."""
        return itertools.chain.from_iterable(job.work() for job in self.jobs)


def targets(config: Config, last: date) -> list[Target]:
    """What `query_start` of the worker's options asks for, up to a day.

    Raises:
        ConfigError: bars of a length that the vendor does not make.
    """
    wanted = (Target(Dataset.parse(name), first, last) for name, first in config.starts.items())
    kinds = {Dataset.of_stream(kind).kind for kind in config.data_types}
    return [target for target in wanted if target.dataset.kind in kinds]


class Backfiller:
    """Fetches history into a store. Thread-safe: runs may go on side by side.

    Args:
        store: where the rows go; embedded or a running server.
        rest: the vendor.
        clock: the source of time.
        stop: ends every run soon after it is set.
        adjusted: whether bars are adjusted to splits.
        parallelism: requests under way at a time, in each run.
        timezone: of the store (`timezone` of mkts.yml).
    """

    def __init__(
        self,
        store: StoreApi,
        rest: RestClient,
        *,
        clock: Clock,
        stop: threading.Event,
        adjusted: bool = True,
        parallelism: int = 4,
        timezone: str = "UTC",
    ) -> None:
        if parallelism < 1:
            raise InvalidArgumentError(f"parallelism {parallelism}; use at least 1")
        self._store = store
        self._rest = rest
        self._clock = clock
        self._stop = stop
        self._adjusted = adjusted
        self._parallelism = parallelism
        self._timezone = timezone
        self._calendar = MarketCalendar()

    def plan(
        self, targets: Iterable[Target], symbols: Sequence[str], *, refetch: bool = False
    ) -> Plan:
        """What is missing of the targets.

        Args:
            targets: datasets and days.
            symbols: as the vendor spells them.
            refetch: fetch days again that were fetched before.

        Raises:
            InvalidKeyError: a symbol that no bucket can have.
        """
        jobs: list[Job] = []
        covered = 0
        today = day_of(self._clock.now_ns())
        for target in targets:
            dataset = target.dataset
            days = self._calendar.days(target.first, min(target.last, today))
            ends = dataset.ends(days)
            adjusted = self._adjusted and dataset.kind == "bars"
            for symbol, coverage in read_coverage(
                self._store, dataset, symbols, days, adjusted=adjusted
            ):
                known = Coverage(None, adjusted=adjusted) if refetch else coverage
                done = known.done(days, ends)
                covered += int(done.sum())
                if not done.all():
                    jobs.append(Job(dataset, symbol, days, np.flatnonzero(~done), known))
        return Plan(jobs, covered)

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
        return self._run(plan.work(), plan.total_days, progress)

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
                    yield GapWork(dataset, symbol, start_ns, end_ns)

        work = units()
        return self._run(work, len(symbols) * len(datasets), None)

    def _run(
        self, work: Iterator[Work], total_days: int, on_progress: Callable[[Progress], None] | None
    ) -> Report:
        run = _Run(work, Progress(0, total_days), on_progress, self._stop, self._parallelism)
        fetcher = Fetcher(
            self._store,
            self._rest,
            clock=self._clock,
            is_stopped=run.is_ending,
            adjusted=self._adjusted,
            timezone=self._timezone,
            on_rows=run.add_rows,
        )
        threads = [
            threading.Thread(
                target=run.work_off, args=(fetcher,), name=f"backfill-{n}", daemon=True
            )
            for n in range(min(self._parallelism, total_days))
        ]
        for thread in threads:
            thread.start()
        self._join(threads, run)
        return run.report()

    def _join(self, threads: list[threading.Thread], run: _Run) -> None:
        """Wait for the threads; at an early end, not long for those that wait for the vendor.

        A thread that is left behind commits nothing any more.
        """
        give_up_at = float("inf")
        for thread in threads:
            while thread.is_alive() and self._clock.monotonic() < give_up_at:
                thread.join(0.1)
                if run.is_ending() and give_up_at == float("inf"):
                    give_up_at = self._clock.monotonic() + STOP_GRACE_S


class _Run:
    """What the threads of one run share."""

    def __init__(
        self,
        work: Iterator[Work],
        progress: Progress,
        on_progress: Callable[[Progress], None] | None,
        stop: threading.Event,
        parallelism: int,
    ) -> None:
        self._work = work
        self._progress = progress
        self._on_progress = on_progress
        self._stop = stop
        self._lock = threading.Lock()
        self._gaps: list[Gap] = []
        self._denied: dict[tuple[Dataset, str], NotEntitledError] = {}
        self._unavailable_left = self._unavailable_max = _UNAVAILABLE_MAX * parallelism
        self._fatal: Exception | None = None

    def work_off(self, fetcher: Fetcher) -> None:
        """Do unit after unit until there is none, or reason to end."""
        while (work := self._try_next()) is not None:
            try:
                fetcher.do(work)
            except StoppedError:
                return
            except Exception as error:  # noqa: BLE001  (handed to the thread that started the run)
                self._failed(work, error)
            else:
                self._done(work)

    def is_ending(self) -> bool:
        """Whether nothing more is to be fetched or stored."""
        return self._fatal is not None or self._stop.is_set()

    def add_rows(self, rows: int) -> None:
        """Rows were committed."""
        with self._lock:
            self._advance(rows=rows)

    def report(self) -> Report:
        """The outcome; raises what ended the run."""
        with self._lock:
            if self._fatal is not None:
                raise self._fatal
            gaps = sorted(self._gaps, key=lambda gap: (gap.symbol, str(gap.dataset), gap.start_ns))
            return Report(self._progress, tuple(gaps), self._stop.is_set())

    def _try_next(self) -> Work | None:
        try:
            return self._next()
        except Exception as error:  # noqa: BLE001  (handed to the thread that started the run)
            with self._lock:
                self._end(error)
            return None

    def _next(self) -> Work | None:
        with self._lock:
            while not self.is_ending():
                work = next(self._work, None)
                if work is None:
                    return None
                denied = self._denied.get((work.dataset, work.symbol))
                if denied is None:
                    return work
                self._add_gap(work, denied)
            return None

    def _done(self, work: Work) -> None:
        with self._lock:
            self._unavailable_left = self._unavailable_max
            self._advance(days=work.day_count)

    def _failed(self, work: Work, error: Exception) -> None:
        with self._lock:
            hopeless = isinstance(error, ApiKeyError | UnreachableError)
            if hopeless or not isinstance(error, MassiveError):
                self._end(error)
                return
            if isinstance(error, NotEntitledError) and "timeframe" not in str(error):
                self._denied[work.dataset, work.symbol] = error
            self._add_gap(work, error)
            if not isinstance(error, UnavailableError):
                return
            self._unavailable_left -= 1
            if not self._unavailable_left:
                self._end(error)

    def _end(self, error: Exception) -> None:
        if self._fatal is None:
            self._fatal = error

    def _add_gap(self, work: Work, error: MassiveError) -> None:
        start_ns, end_ns = work.span
        if error.resume_ns is not None:
            start_ns = error.resume_ns
        entitled = not isinstance(error, NotEntitledError)
        gap = Gap(work.symbol, work.dataset, start_ns, end_ns, str(error), entitled)
        self._gaps.append(gap)
        self._advance(days=work.day_count, failed_days=work.day_count)

    def _advance(self, *, days: int = 0, rows: int = 0, failed_days: int = 0) -> None:
        now = self._progress
        self._progress = replace(
            now,
            days=now.days + days,
            rows=now.rows + rows,
            failed_days=now.failed_days + failed_days,
        )
        if self._on_progress is not None:
            self._on_progress(self._progress)
