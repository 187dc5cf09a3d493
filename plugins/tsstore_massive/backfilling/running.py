"""A run of a backfill: threads that take units of work, and what becomes of each."""

from __future__ import annotations

import itertools
import logging
import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsstore.errors import SchemaMismatchError
from tsstore.times import format_ns
from tsstore_massive.backfilling.grouped import GroupedJob, GroupedWork
from tsstore_massive.backfilling.plan import Job, Refused
from tsstore_massive.backfilling.report import Gap, GapList, Outcomes, Progress, Report
from tsstore_massive.backfilling.search import HistorySearch
from tsstore_massive.errors import (
    ApiKeyError,
    MassiveError,
    NotEntitledError,
    StoppedError,
    UnavailableError,
    UnreachableError,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    import numpy as np

    from tsstore.clock import Clock
    from tsstore_massive.backfilling.allowance import Allowance, Reason
    from tsstore_massive.backfilling.fetch import Fetcher
    from tsstore_massive.backfilling.pace import AdaptivePace, FixedPace
    from tsstore_massive.backfilling.unfit import Misfits, Unit
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.rest.traffic import Counts, Traffic

#: How long a run waits for requests under way once it is told to stop.
STOP_GRACE_S = 1.5
_LOOK_S = 0.1

_logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Assignment:
    """What a run is to do.

    Attributes:
        work: the units, made one at a time, as there may be millions.
        total_days: symbol-days of them.
        last_days: the last market day of each dataset; where the search for the plan's history
            ends.
    """

    work: Iterator[Unit]
    total_days: int
    last_days: Mapping[Dataset, np.datetime64]


class Run:
    """What the threads of one run share.

    Args:
        assignment: what to do.
        allowance: what the plan of the key is known to exclude.
        misfits: buckets that take none of the rows.
        pace: how many units at a time.
        traffic: what is asked of the vendor.
        clock: the source of time.
        stop: ends it soon after it is set.
        on_progress: told how far it is, one call at a time.
    """

    def __init__(
        self,
        assignment: Assignment,
        allowance: Allowance,
        misfits: Misfits,
        *,
        pace: FixedPace | AdaptivePace,
        traffic: Traffic,
        clock: Clock,
        stop: threading.Event,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._work = assignment.work
        self._last_days = assignment.last_days
        self._allowance = allowance
        self._pace = pace
        self._traffic = traffic
        self._clock = clock
        self._stop = stop
        self._on_progress = on_progress
        self._lock = threading.Lock()
        self._search = HistorySearch(allowance)
        self._progress = Progress(0, assignment.total_days)
        self._gaps = GapList()
        self._begun = 0
        self._failing_since: int | None = None
        self._fatal: Exception | None = None
        self._misfits = misfits
        self._outcomes = Outcomes()
        self._threads: list[threading.Thread] = []

    def run(self, fetcher: Fetcher) -> Report:
        """Do all of it; raises what ended it."""
        before, started_s = self._traffic.counts, self._clock.monotonic()
        if self._progress.total_days:
            self._grow(fetcher)
        self._join()
        with self._lock:
            if self._fatal is not None:
                raise self._fatal
            return Report(
                self._progress,
                self._gaps.sorted(),
                self._stop.is_set(),
                self._gaps.left_out,
                _since(before, self._traffic.counts),
                self._clock.monotonic() - started_s,
                self._outcomes.empty(),
            )

    def is_ending(self) -> bool:
        """Whether nothing more is to be fetched or stored."""
        return self._fatal is not None or self._stop.is_set()

    def add_rows(self, rows: int) -> None:
        """Rows were committed."""
        with self._lock:
            self._advance(rows=rows)

    def _grow(self, fetcher: Fetcher) -> None:
        """Have as many threads as the pace allows; one that has nothing to do ends by itself."""
        with self._lock:
            wanted = min(self._pace.limit, self._progress.total_days)
            new = [
                threading.Thread(
                    target=self._work_off, args=(fetcher,), name=f"backfill-{n}", daemon=True
                )
                for n in range(len(self._threads), wanted)
            ]
            self._threads += new
        for thread in new:
            thread.start()

    def _join(self) -> None:
        """Wait for the threads; at an early end, not long for those that wait for the vendor.

        A thread that is left behind commits nothing any more.
        """
        give_up_at = float("inf")
        at = 0
        while at < len(self._threads) and self._clock.monotonic() < give_up_at:
            self._threads[at].join(_LOOK_S)
            at += not self._threads[at].is_alive()
            if self.is_ending() and give_up_at == float("inf"):
                give_up_at = self._clock.monotonic() + STOP_GRACE_S

    def _work_off(self, fetcher: Fetcher) -> None:
        """Do unit after unit until there is none, or reason to end."""
        while self._pace.enter(self.is_ending):
            try:
                if not self._one(fetcher):
                    return
            finally:
                self._pace.leave()
            self._grow(fetcher)

    def _one(self, fetcher: Fetcher) -> bool:
        """Do one unit; whether there may be another."""
        try:
            number, work = self._next()
            if work is None:
                return False
            self._do(fetcher, number, work)
        except StoppedError:
            return False
        except Exception as error:  # noqa: BLE001  (handed to the thread that started the run)
            with self._lock:
                self._end(error)
            return False
        return True

    def _do(self, fetcher: Fetcher, number: int, work: Work) -> None:
        try:
            empty_days = fetcher.do(work)
        except StoppedError:
            raise
        except NotEntitledError as error:
            self._refused(fetcher, work, error)
        except MassiveError as error:
            self._failed(number, work, error)
        except SchemaMismatchError:
            if not self._misfits.find(work):
                raise
            with self._lock:  # what of it fits is done again
                self._work = itertools.chain((work,), self._work)
        else:
            self._allowance.given(work.place, work.symbol)
            with self._lock:
                self._failing_since = None
                self._advance(days=work.day_count, empty_days=empty_days)
                self._outcomes.add(work.symbol, is_empty=empty_days == work.day_count)

    def _next(self) -> tuple[int, Work | None]:
        with self._lock:
            while not self.is_ending():
                work = next(self._work, None)
                if work is None:
                    return 0, None
                if isinstance(work, Gap):
                    self._add(work)
                    continue
                if isinstance(work, Refused):
                    self._add_refused(work)
                    continue
                fitting, gaps = self._misfits.divide(work)
                for gap in gaps:
                    self._add(gap, work.days[-1], work.day_before)
                if fitting is not None:
                    self._begun += 1
                    return self._begun, fitting
            return 0, None

    def _refused(self, fetcher: Fetcher, work: Work, error: NotEntitledError) -> None:
        """Learn from a refusal; what it does not speak of is asked for again."""
        days = work.days
        refusal = self._allowance.refused(error, work.place, work.symbol, days)
        if refusal.reason == "timeframe":
            self._search_history(fetcher, work)
        count, verdict = self._allowance.verdict(work.place, work.symbol, days)
        with self._lock:
            if verdict is None and count == len(days):
                # The refusal is about something else than these days, so nothing follows from it.
                self._add_gap(work, error, refusal.reason)
                return
            if isinstance(work, GroupedWork):
                again = GroupedJob.again(work).work(self._allowance)
            else:
                again = Job.whole(work.dataset, work.symbol, days).work(self._allowance)
            self._work = itertools.chain(again, self._work)

    def _search_history(self, fetcher: Fetcher, work: Work) -> None:
        """Find where the plan's history begins; if that fails, the next refusal goes on with it."""
        last = self._last_days.get(work.dataset, work.days[-1])
        try:
            self._search.run(fetcher, work, last)
        except (StoppedError, ApiKeyError, UnreachableError):
            raise
        except MassiveError as error:
            _logger.warning("where the history of the plan begins is not known yet: %s", error)

    def _failed(self, number: int, work: Work, error: MassiveError) -> None:
        with self._lock:
            if isinstance(error, ApiKeyError | UnreachableError):
                self._end(error)
                return
            self._add_gap(work, error)
            if not isinstance(error, UnavailableError):
                return
            # What was under way fails together; what began after that and fails too says more.
            if self._failing_since is None:
                self._failing_since = self._begun
            elif number > self._failing_since:
                self._end(error)

    def _end(self, error: Exception) -> None:
        if self._fatal is None:
            self._fatal = error

    def _add_refused(self, work: Refused) -> None:
        refusal = work.refusal
        whose = f"for {refusal.symbol} " if refusal.symbol else ""
        reason = f"{refusal.text} (asked {whose}at {format_ns(refusal.asked_ns)[:16]} UTC)"
        start_ns, end_ns = work.span
        gap = Gap(
            work.symbol, work.dataset, start_ns, end_ns, reason, refusal.reason, work.day_count
        )
        self._add(gap, work.days[-1], work.day_before)

    def _add_gap(self, work: Work, error: MassiveError, refused: Reason | None = None) -> None:
        start_ns, end_ns = work.span
        if error.resume_ns is not None:
            start_ns = error.resume_ns
        gap = Gap(work.symbol, work.dataset, start_ns, end_ns, str(error), refused, work.day_count)
        self._add(gap, work.days[-1], work.day_before)

    def _add(
        self,
        gap: Gap,
        last_day: np.datetime64 | None = None,
        day_before: np.datetime64 | None = None,
    ) -> None:
        self._gaps.add(gap, last_day, day_before)
        self._outcomes.add(gap.symbol, is_empty=False)
        self._advance(days=gap.days, failed_days=gap.days)

    def _advance(
        self, *, days: int = 0, rows: int = 0, failed_days: int = 0, empty_days: int = 0
    ) -> None:
        now = self._progress
        self._progress = replace(
            now,
            days=now.days + days,
            rows=now.rows + rows,
            failed_days=now.failed_days + failed_days,
            empty_days=now.empty_days + empty_days,
        )
        if self._on_progress is not None:
            self._on_progress(self._progress)


def _since(before: Counts, now: Counts) -> Counts:
    return type(now)(*(new - old for new, old in zip(now, before, strict=True)))
