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
from collections import Counter, deque
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import TYPE_CHECKING, Literal

from tsstore_massive.errors import MassiveError, StoppedError
from tsstore_massive.flatfiles.covering import coverage_of_file, covered_days
from tsstore_massive.flatfiles.errors import (
    BadFileError,
    FileDeniedError,
    FileReplacedError,
    S3FailedError,
    S3RefusedError,
)
from tsstore_massive.flatfiles.ledger import Ledger
from tsstore_massive.flatfiles.load import Job, Loader
from tsstore_massive.sessions import MarketCalendar, day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from concurrent.futures import Future
    from pathlib import Path

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.flatfiles.archive import Archive
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.remote import Remote, RemoteFile
    from tsstore_massive.flatfiles.selection import Selection

#: A file of so few days ago, a long weekend, may be on its way to the bucket, or to this plan.
RECENT_DAYS = 4
_FILES_AHEAD = 4
#: Files in a row that may find the service failing before the run gives up.
_FAILURES_MAX = 3
#: Times that a file may be replaced while it is fetched.
_REPLACED_MAX = 3

Reason = Literal["pending", "denied", "failed", "absent"]


@dataclass(frozen=True)
class Span:
    """What is wanted of a data set.

    Attributes:
        flat: the data set.
        first: first day.
        last: last day, included.
    """

    flat: FlatSet
    first: date
    last: date


@dataclass(frozen=True)
class Missing:
    """A day that is not in the store, and why.

    Attributes:
        flat: the data set.
        day: the day.
        reason: `pending` when it is not yet available, `denied` when the plan does not include it,
            `absent` when the vendor has no such file, `failed` for all else.
        text: in one line.
    """

    flat: FlatSet
    day: date
    reason: Reason
    text: str

    def __str__(self) -> str:
        return f"{self.flat} of {self.day}: {self.text}"


@dataclass(frozen=True)
class Wanted:
    """A file that is to be loaded.

    Attributes:
        flat: the data set.
        day: the day.
        file: as it is listed.
        replaces: whether an older file of that day was loaded before.
    """

    flat: FlatSet
    day: date
    file: RemoteFile
    replaces: bool


@dataclass(frozen=True)
class Plan:
    """What a run is going to do.

    Attributes:
        selection: the wanted tickers.
        wanted: the files to load, by data set and day.
        loaded_days: files that were loaded before and are left out.
        covered_days: files whose wanted rows came by REST and are left out.
        fetch_bytes: of the files that are not in the archive.
        missing: days of which there is no file.
        ledgers: what is loaded, by data set.
    """

    selection: Selection
    wanted: list[Wanted] = field(default_factory=list)
    loaded_days: int = 0
    covered_days: int = 0
    fetch_bytes: int = 0
    missing: list[Missing] = field(default_factory=list)
    ledgers: dict[FlatSet, Ledger] = field(default_factory=dict)

    @property
    def days(self) -> int:
        """Files of the wanted days."""
        return len(self.wanted) + self.loaded_days + self.covered_days


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
        stopped: whether the run was told to stop before its end.
    """

    progress: Progress
    loaded: int
    faults: Counter[str]
    missing: list[Missing]
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
        self._calendar = MarketCalendar()
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
        wanted: list[Wanted] = []
        missing: list[Missing] = []
        ledgers: dict[FlatSet, Ledger] = {}
        loaded = covered = 0
        for span in spans:
            flat = span.flat
            ledger = ledgers[flat] = Ledger(self._store, flat)
            files = dict(self._files(span))
            missing += self._absent(span, set(files))
            there = set() if reload else covered_days(self._store, flat, files, selection)
            for day, file in sorted(files.items()):
                if not reload and ledger.is_loaded(day, file.etag, selection):
                    loaded += 1
                elif day in there and not ledger.had_other(day, file.etag):
                    covered += 1
                else:
                    replaces = ledger.had_other(day, file.etag)
                    wanted.append(Wanted(flat, day, file, replaces))
        to_fetch = sum(each.file.size for each in wanted if not self._archive.holds(each.file))
        return Plan(selection, wanted, loaded, covered, to_fetch, missing, ledgers)

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
        run = _Run(plan, self._archive, self._remote, self._clock, self._stop, progress)
        loader = Loader(
            self._store,
            timezone=self._timezone,
            is_stopped=run.is_stopped,
            on_rows=run.add_rows,
        )
        return run.run(loader, self._reason_of, keep=self._keep)

    def _reason_of(self, day: date) -> Reason:
        return "pending" if self._is_recent(day) else "denied"

    def _is_recent(self, day: date) -> bool:
        return day >= self._today - timedelta(days=RECENT_DAYS)

    def _files(self, span: Span) -> Iterator[tuple[date, RemoteFile]]:
        """The files of some days, as listed."""
        flat = span.flat
        before = flat.path(span.first - timedelta(days=1))
        source = self._archive if self._remote is None else self._remote
        for file in source.list(flat.prefix, before):
            day = flat.day_of(file.path)
            if day is None:
                continue
            if day > span.last:
                return
            yield day, file

    def _absent(self, span: Span, there: set[date]) -> list[Missing]:
        """Market days without a file."""
        flat = span.flat
        if not flat.follows_exchange:
            return []
        days = self._calendar.days(span.first, min(span.last, self._today)).tolist()
        return [self._no_file(flat, day) for day in days if day not in there]

    def _no_file(self, flat: FlatSet, day: date) -> Missing:
        if self._remote is None:
            return Missing(flat, day, "absent", f"the archive has no {flat.path(day)}")
        if self._is_recent(day):
            return Missing(flat, day, "pending", "not yet available")
        return Missing(flat, day, "absent", "the vendor has no such file")


class _Run:
    """One run; files are fetched on threads of its own and loaded on the caller's."""

    def __init__(
        self,
        plan: Plan,
        archive: Archive,
        remote: Remote | None,
        clock: Clock,
        stop: threading.Event,
        on_progress: Callable[[Progress], None] | None,
    ) -> None:
        self._plan = plan
        self._archive = archive
        self._remote = remote
        self._clock = clock
        self._stop = stop
        self._ending = False
        self._lock = threading.Lock()
        self._progress = Progress(0, len(plan.wanted), 0, plan.fetch_bytes)
        self._on_progress = on_progress
        self._loaded = 0
        self._faults: Counter[str] = Counter()
        self._missing = list(plan.missing)
        self._failures = 0

    def run(self, loader: Loader, reason_of: Callable[[date], Reason], *, keep: bool) -> Report:
        with ThreadPoolExecutor(_FILES_AHEAD, thread_name_prefix="flatfile") as pool:
            try:
                for wanted, fetched in self._fetched(pool):
                    self._one(loader, wanted, fetched, reason_of, keep=keep)
                    self._advance(days=1)
            except StoppedError:
                pass
            finally:
                self._ending = True
        missing = sorted(self._missing, key=lambda each: (str(each.flat), each.day))
        return Report(self._progress, self._loaded, self._faults, missing, self._stop.is_set())

    def _fetched(
        self, pool: ThreadPoolExecutor
    ) -> Iterator[tuple[Wanted, Future[tuple[RemoteFile, Path]]]]:
        """The files in order, the next ones being fetched already."""
        todo = iter(self._plan.wanted)
        ahead: deque[tuple[Wanted, Future[tuple[RemoteFile, Path]]]] = deque()
        while not self.is_stopped():
            while len(ahead) < _FILES_AHEAD and (wanted := next(todo, None)) is not None:
                ahead.append((wanted, pool.submit(self._fetch, wanted)))
            if not ahead:
                return
            yield ahead.popleft()

    def _fetch(self, wanted: Wanted) -> tuple[RemoteFile, Path]:
        file = wanted.file
        for attempt in range(_REPLACED_MAX):
            if self._remote is None or self._archive.holds(file):
                return file, self._archive.path(file)
            try:
                path = self._archive.fetch(
                    self._remote, file, is_stopped=self.is_stopped, on_bytes=self._add_bytes
                )
            except FileReplacedError:
                newer = self._remote.head(file.path)
                if newer is None or attempt + 1 == _REPLACED_MAX:
                    raise
                file = newer
            else:
                return file, path
        raise AssertionError("the last attempt returns or raises")

    def _one(
        self,
        loader: Loader,
        wanted: Wanted,
        fetched: Future[tuple[RemoteFile, Path]],
        reason_of: Callable[[date], Reason],
        *,
        keep: bool,
    ) -> None:
        try:
            file, path = fetched.result()
            self._load(loader, wanted, file, path)
            self._failures = 0
            if not keep:
                self._archive.remove(file)
        except FileDeniedError as error:
            reason = reason_of(wanted.day)
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
        plan = self._plan
        loaded = loader.load(Job(wanted.flat, wanted.day, path, plan.selection, wanted.replaces))
        covered = coverage_of_file(
            wanted.flat, wanted.day, loaded.counts, plan.selection, self._clock.now_ns()
        )
        ledger = plan.ledgers[wanted.flat]
        ledger.add(wanted.day, file.etag, loaded.rows, plan.selection, covered)
        self._loaded += 1
        self._faults.update(loaded.faults)

    def _miss(self, wanted: Wanted, reason: Reason, text: str) -> None:
        self._missing.append(Missing(wanted.flat, wanted.day, reason, text))

    def is_stopped(self) -> bool:
        """Whether nothing more is to be fetched or stored."""
        return self._ending or self._stop.is_set()

    def add_rows(self, rows: int) -> None:
        """Rows were committed."""
        self._advance(rows=rows)

    def _add_bytes(self, count: int) -> None:
        self._advance(count=count)

    def _advance(self, *, days: int = 0, rows: int = 0, count: int = 0) -> None:
        with self._lock:
            now = self._progress
            self._progress = replace(
                now, days=now.days + days, rows=now.rows + rows, bytes=now.bytes + count
            )
            if self._on_progress is not None:
                self._on_progress(self._progress)
