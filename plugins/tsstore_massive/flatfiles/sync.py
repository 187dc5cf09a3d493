"""From the listing to the store: which files are missing, fetched ahead, loaded in order.

    sync = Sync(store, archive, remote, clock=clock, stop=stop)
    plan = sync.plan([Span(FlatSet.of("stocks", "minute_aggs"), first, last)], selection)
    report = sync.run(plan, progress=show)

Some files are downloaded while the one before them is loaded. A file that cannot be had, or is
damaged, is a line of the report and costs no other file. Wrong keys end the run, and so does a
service that fails for several files in a row.
"""

from __future__ import annotations

import threading
from collections import Counter
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from tsstore.errors import SchemaMismatchError
from tsstore_massive.errors import MassiveError, StoppedError
from tsstore_massive.flatfiles.covering import coverage_of_file
from tsstore_massive.flatfiles.errors import (
    BadFileError,
    FileDeniedError,
    S3FailedError,
    S3RefusedError,
)
from tsstore_massive.flatfiles.fetching import Fetching
from tsstore_massive.flatfiles.fitting import Fitting
from tsstore_massive.flatfiles.load import Job, Loader
from tsstore_massive.flatfiles.planning import Missing, Planner, is_recent
from tsstore_massive.sessions import day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from concurrent.futures import Future
    from datetime import date
    from pathlib import Path

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.flatfiles.archive import Archive
    from tsstore_massive.flatfiles.planning import Plan, Reason, Span, Wanted
    from tsstore_massive.flatfiles.remote import Remote, RemoteFile
    from tsstore_massive.flatfiles.selection import Selection

#: Files in a row that may find the service failing before the run gives up.
_FAILURES_MAX = 3


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        days: files dealt with.
        total_days: files of the plan.
        bytes: fetched so far.
        total_bytes: to fetch.
        rows: stored.
    """

    days: int
    total_days: int
    bytes: int
    total_bytes: int
    rows: int = 0


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        progress: the last state.
        loaded: files that were loaded.
        faults: rows that were left out and what else was odd, by what was wrong.
        missing: what is not in the store, by data set and day.
        misfits: buckets that take no rows of files, and what to do about each.
        stopped: whether the run was told to stop before its end.
    """

    progress: Progress
    loaded: int
    faults: Counter[str]
    missing: list[Missing]
    misfits: list[str]
    stopped: bool


class Sync:
    """Brings files into a store.

    Args:
        store: where the rows go; embedded or a running server.
        archive: where the files are kept.
        remote: where they come from; None to load what the archive has.
        clock: tells which days are recent.
        stop: ends a run soon after it is set.
        timezone: of the store (`timezone` of mkts.yml).
        keep: whether files stay in the archive once they are loaded.
    """

    def __init__(
        self,
        store: StoreApi,
        archive: Archive,
        remote: Remote | None,
        *,
        clock: Clock,
        stop: threading.Event,
        timezone: str = "UTC",
        keep: bool = True,
    ) -> None:
        self._store = store
        self._timezone = timezone
        self._archive = archive
        self._remote = remote
        self._stop = stop
        self._keep = keep
        self._clock = clock
        self._today = day_of(clock.now_ns())

    def plan(
        self,
        spans: Iterable[Span],
        selection: Selection,
        *,
        reload: bool = False,
    ) -> Plan:
        """What is missing.

        Args:
            spans: data sets and their days.
            selection: the wanted tickers.
            reload: load days again that were loaded before.

        Raises:
            S3RefusedError: wrong keys, or no such bucket.
            S3FailedError: the service does not answer.
        """
        planner = Planner(self._store, self._archive, self._remote, self._today)
        return planner.plan(spans, selection, reload=reload)

    def run(self, plan: Plan, *, progress: Callable[[Progress], None] | None = None) -> Report:
        """Fetch and load everything of a plan.

        Args:
            plan: from `plan`.
            progress: told how far it is, on any thread and one call at a time.

        Raises:
            S3RefusedError: the keys were taken back.
            S3FailedError: the service fails again and again.
            TsStoreError: the store or the disk refused.
        """
        fitting = Fitting(self._store, plan.selection)
        run = _Run(
            plan, self._archive, fitting, self._clock, self._reason_of, progress, keep=self._keep
        )
        loader = Loader(
            self._store,
            timezone=self._timezone,
            is_stopped=self._stop.is_set,
            on_rows=run.add_rows,
        )
        with Fetching(self._archive, self._remote, self._stop, run.add_bytes) as fetching:
            run.load_all(loader, fetching)
        return run.report(stopped=self._stop.is_set())

    def _reason_of(self, day: date) -> Reason:
        """Why a file that is listed may not be fetched."""
        return "pending" if is_recent(day, self._today) else "denied"


class _Run:
    """One run, file after file."""

    def __init__(
        self,
        plan: Plan,
        archive: Archive,
        fitting: Fitting,
        clock: Clock,
        reason_of: Callable[[date], Reason],
        on_progress: Callable[[Progress], None] | None,
        *,
        keep: bool,
    ) -> None:
        self._plan = plan
        self._archive = archive
        self._fitting = fitting
        self._clock = clock
        self._reason_of = reason_of
        self._keep = keep
        self._lock = threading.Lock()
        self._progress = Progress(0, len(plan.wanted), 0, plan.fetch_bytes)
        self._on_progress = on_progress
        self._loaded = 0
        self._faults: Counter[str] = Counter()
        self._missing = list(plan.missing)
        self._failures = 0

    def load_all(self, loader: Loader, fetching: Fetching) -> None:
        try:
            for wanted, fetched in fetching.files(self._plan.wanted):
                self._one(loader, wanted, fetched)
                self._advance(days=1)
        except StoppedError:
            pass

    def report(self, *, stopped: bool) -> Report:
        missing = sorted(self._missing, key=lambda each: (str(each.flat), each.day))
        misfits = self._fitting.told
        return Report(self._progress, self._loaded, self._faults, missing, misfits, stopped)

    def _one(
        self, loader: Loader, wanted: Wanted, fetched: Future[tuple[RemoteFile, Path]]
    ) -> None:
        try:
            file, path = fetched.result()
            self._load(loader, wanted, file, path)
            self._failures = 0
            if not self._keep:
                self._archive.remove(file)
        except FileDeniedError as error:
            reason = self._reason_of(wanted.day)
            text = "not yet available" if reason == "pending" else f"not in the plan: {error}"
            self._miss(wanted, reason, text)
        except BadFileError as error:
            # The next run fetches it anew; a file that is bad at the vendor's comes again as bad.
            self._archive.remove(wanted.file)
            self._miss(wanted, "failed", str(error))
        except (StoppedError, S3RefusedError):
            raise
        except MassiveError as error:
            self._miss(wanted, "failed", str(error))
            self._failures += isinstance(error, S3FailedError)
            if self._failures >= _FAILURES_MAX:
                raise

    def _load(self, loader: Loader, wanted: Wanted, file: RemoteFile, path: Path) -> None:
        flat, day, selection = wanted.flat, wanted.day, self._fitting.of(wanted.flat)
        ledger = self._plan.ledgers[flat]
        ledger.begin(day, "a file", self._plan.selection)  # of which a kill leaves a part
        job = Job(flat, day, path, selection, wanted.replaces)
        try:
            loaded = loader.load(job)
        except SchemaMismatchError:
            if not self._fitting.narrow(flat):
                raise
            self._load(loader, wanted, file, path)
            return
        covered = coverage_of_file(flat, day, loaded.counts, self._clock.now_ns())
        ledger.add(day, file.etag, loaded.rows, self._plan.selection, covered)
        self._loaded += 1
        self._faults.update(loaded.faults)

    def _miss(self, wanted: Wanted, reason: Reason, text: str) -> None:
        self._missing.append(Missing(wanted.flat, wanted.day, reason, text))

    def add_rows(self, rows: int) -> None:
        """Rows were committed."""
        self._advance(rows=rows)

    def add_bytes(self, count: int) -> None:
        """Bytes were fetched."""
        self._advance(count=count)

    def _advance(self, *, days: int = 0, rows: int = 0, count: int = 0) -> None:
        with self._lock:
            now = self._progress
            self._progress = replace(
                now, days=now.days + days, rows=now.rows + rows, bytes=now.bytes + count
            )
            if self._on_progress is not None:
                self._on_progress(self._progress)
