"""The unit of work of a backfill: a symbol and a range become rows in the store.

Each unit may be repeated at any time, by anybody, after any crash, and leaves the same rows:
- Bars are upserted, together with the coverage of their days, in one commit.
- Ticks of a day that is over replace whatever is stored of the day, range after range; each range
  and the coverage up to its end are one commit, so memory stays bounded and a crash goes on from
  the last range.
- Ticks of a day that is under way are only added: the vendor's history may still lack rows that
  were streamed. The identity of the schema keeps streamed and fetched copies from doubling.

Two rules keep good rows from being lost. An empty answer never deletes: where the store has rows
and the vendor none, that is a failure to report. And a bar is stored when its time is over, never
half-way, so that a fetched bar cannot be less than a streamed one. A correction that is streamed
while an older copy of its bar is being fetched may lose to it; that lasts until the day is fetched
once more after its end, because only then it counts as done.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tsstore.api import Operation, Replace, Write
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_DAY, local_to_utc, utc_offsets
from tsstore_massive.coverage import SCHEMA as COVERAGE
from tsstore_massive.coverage import coverage_rows
from tsstore_massive.errors import BadResponseError, MassiveError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore.timeframe import Timeframe
    from tsstore_massive.coverage import DayProgress
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.rest import RestClient

#: Rows of one commit of ticks, about 15 MB; a page more may come on top.
BATCH_ROWS = 200_000
#: A day without rows counts as fetched once it is this old; before, the vendor may be late.
SETTLED_NS = 2 * NS_PER_DAY

_MS = 1_000_000


@dataclass(frozen=True)
class BarsWork:
    """Bars of some market days, one request or few.

    Attributes:
        dataset: whose bars.
        symbol: as the vendor spells it.
        days: market days, datetime64[D], ascending, none left out between them.
    """

    dataset: Dataset
    symbol: str
    days: NDArray[np.datetime64]

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.dataset.window(self.days[0].item(), self.days[-1].item())

    @property
    def day_count(self) -> int:
        """Market days in it."""
        return len(self.days)


@dataclass(frozen=True)
class TicksWork:
    """Trades or quotes of one market day.

    Attributes:
        dataset: trades or quotes.
        symbol: as the vendor spells it.
        day: the market day.
        progress: how far an earlier run got.
    """

    dataset: Dataset
    symbol: str
    day: date
    progress: DayProgress | None = None

    day_count = 1

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.dataset.window(self.day, self.day)


@dataclass(frozen=True)
class GapWork:
    """Everything between two instants, while rows may be streaming in at the same time.

    Attributes:
        dataset: what.
        symbol: as the vendor spells it.
        start_ns: first instant.
        end_ns: last instant.
    """

    dataset: Dataset
    symbol: str
    start_ns: int
    end_ns: int

    day_count = 1

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.start_ns, self.end_ns


Work: TypeAlias = BarsWork | TicksWork | GapWork


class Fetcher:
    """Does units of work; thread-safe.

    Args:
        store: where the rows go.
        rest: where they come from.
        clock: tells which days and bars are over.
        is_stopped: nothing is committed once it says so.
        adjusted: whether bars are adjusted to splits.
        timezone: of the store; a bar of a day, week, month or year goes to its date there.
        on_rows: told the rows of each commit.
    """

    def __init__(
        self,
        store: StoreApi,
        rest: RestClient,
        *,
        clock: Clock,
        is_stopped: Callable[[], bool],
        adjusted: bool,
        timezone: str,
        on_rows: Callable[[int], None],
    ) -> None:
        self._store = store
        self._rest = rest
        self._clock = clock
        self._is_stopped = is_stopped
        self._adjusted = adjusted
        self._timezone = timezone
        self._on_rows = on_rows

    def do(self, work: Work) -> None:
        """Fetch and store one unit.

        Raises:
            MassiveError: the vendor did not give it; `resume_ns` says how far it got.
            TsStoreError: the store refused it.
        """
        if isinstance(work, TicksWork):
            _TickDay(self, work).run()
        elif isinstance(work, BarsWork):
            self._bars(work)
        else:
            self._gap(work)

    def _bars(self, work: BarsWork) -> None:
        now_ns = self._clock.now_ns()
        rows = self.finished_bars(work, now_ns)
        operations: list[Operation] = []
        if len(rows):
            operations.append(self._write_bars(work, rows))
        starts, ends = work.dataset.starts(work.days), work.dataset.ends(work.days)
        counts = np.searchsorted(rows.ts, ends, side="right") - np.searchsorted(rows.ts, starts)
        done = (ends < now_ns) & ((counts > 0) | (ends + SETTLED_NS < now_ns))
        if done.any():
            covered = coverage_rows(
                work.days[done], counts[done], ends[done], now_ns, adjusted=self._adjusted
            )
            operations.append(Write(work.dataset.coverage_key(work.symbol), covered, COVERAGE))
        self.commit(operations, len(rows))

    def finished_bars(self, work: BarsWork | GapWork, now_ns: int) -> Columns:
        """The bars of a unit whose time was over at `now_ns`, at the start of their slots."""
        start_ns, end_ns = work.span
        timeframe = work.dataset.timeframe
        # The vendor's weeks begin on Sunday, ours on Monday.
        early_ns = NS_PER_DAY if timeframe.unit == "W" else 0
        pages = self._rest.bars(
            work.symbol, timeframe, start_ns - early_ns, end_ns, adjusted=self._adjusted
        )
        rows = _concat(list(pages), work.dataset)
        slots = timeframe.floor(rows.ts + early_ns, NEW_YORK)
        over = timeframe.next(slots, NEW_YORK) <= now_ns
        inside = (slots >= timeframe.floor(np.array([start_ns]), NEW_YORK)) & (slots <= end_ns)
        return Columns(slots, dict(rows.items())).take(over & inside)

    def _write_bars(self, work: BarsWork | GapWork, rows: Columns) -> Write:
        ts = _in_zone(rows.ts, work.dataset.timeframe, self._timezone)
        labelled = Columns(ts, dict(rows.items()))
        return Write(work.dataset.key(work.symbol), labelled, work.dataset.schema)

    def _gap(self, work: GapWork) -> None:
        if work.dataset.kind == "bars":
            rows = self.finished_bars(work, self._clock.now_ns())
            if len(rows):
                self.commit([self._write_bars(work, rows)], len(rows))
            return
        key = work.dataset.key(work.symbol)
        for page in self.pages(work, *work.span):
            self.commit([Write(key, page, work.dataset.schema)], len(page))

    def pages(self, work: Work, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Pages of trades or quotes."""
        read = self._rest.trades if work.dataset.kind == "trades" else self._rest.quotes
        return read(work.symbol, start_ns, end_ns)

    def commit(self, operations: list[Operation], rows: int) -> None:
        """Store something, unless it is time to stop."""
        if self._is_stopped():
            raise StoppedError("stopped")
        if operations:
            self._store.bulk(operations)
        self._on_rows(rows)

    def holds_rows(self, work: Work, start_ns: int, end_ns: int) -> bool:
        """Whether the store has rows of the unit's bucket in a range."""
        start, end = np.datetime64(start_ns, "ns"), np.datetime64(end_ns, "ns")
        try:
            key = work.dataset.key(work.symbol)
            return len(self._store.read(key, start=start, end=end, limit=1)) > 0
        except NotFoundError:
            return False

    def now_ns(self) -> int:
        """The time of the clock."""
        return self._clock.now_ns()


class _TickDay:
    """One day of ticks of one symbol, fetched range after range."""

    def __init__(self, fetcher: Fetcher, work: TicksWork) -> None:
        self._fetcher = fetcher
        self._work = work
        self._fetched_ns = fetcher.now_ns()
        self._key = work.dataset.key(work.symbol)
        first_ns, last_ns = work.span
        self._is_over = last_ns < self._fetched_ns
        self._end_ns = last_ns if self._is_over else self._fetched_ns
        self._cursor_ns = first_ns
        self._rows = 0
        progress = work.progress
        # What was fetched while the day was under way is fetched again once it is over.
        if progress is not None and (progress.fetched_ns > last_ns) == self._is_over:
            self._cursor_ns = progress.through_ns + 1
            self._rows = progress.rows

    def run(self) -> None:
        try:
            self._run()
        except MassiveError as error:
            error.resume_ns = self._cursor_ns
            raise

    def _run(self) -> None:
        waiting: list[Columns] = []
        for page in self._fetcher.pages(self._work, self._cursor_ns, self._end_ns):
            waiting.append(page)
            if sum(map(len, waiting)) >= BATCH_ROWS:
                before, after = _split(_concat(waiting, self._work.dataset))
                if len(before):
                    self._store(before, _floor_ms(after) - 1)
                waiting = [after]
        rows = _concat(waiting, self._work.dataset)
        if not len(rows):
            self._nothing()
        else:
            # More rows may come in the last millisecond of a day that is under way.
            self._store(rows, self._end_ns if self._is_over else _floor_ms(rows) - 1)

    def _store(self, rows: Columns, through_ns: int) -> None:
        """Store rows, after which everything from the cursor to `through_ns` is fetched."""
        operations = self._operations(rows, through_ns)
        if through_ns >= self._cursor_ns:
            self._rows += int(np.count_nonzero(rows.ts <= through_ns))
            operations.append(self._covered(through_ns))
        self._fetcher.commit(operations, len(rows))
        self._cursor_ns = through_ns + 1

    def _operations(self, rows: Columns, through_ns: int) -> list[Operation]:
        schema = self._work.dataset.schema
        if not self._is_over:
            return [Write(self._key, rows, schema)]
        start, end = np.datetime64(self._cursor_ns, "ns"), np.datetime64(through_ns, "ns")
        inside = (rows.ts >= self._cursor_ns) & (rows.ts <= through_ns)
        if inside.all():
            return [Replace(self._key, start, end, rows, schema)]
        # What comes without having been asked for is kept, and takes the place of nothing.
        asked, strays = rows.take(inside), rows.take(~inside)
        return [Replace(self._key, start, end, asked, schema), Write(self._key, strays, schema)]

    def _nothing(self) -> None:
        if self._fetcher.holds_rows(self._work, self._cursor_ns, self._end_ns):
            if not self._is_over:
                return
            raise BadResponseError(
                f"{self._key} has rows of {self._work.day} for which the vendor has none now; "
                "they were kept"
            )
        settled = self._end_ns + SETTLED_NS < self._fetched_ns
        self._fetcher.commit([self._covered(self._end_ns)] if settled else [], 0)

    def _covered(self, through_ns: int) -> Write:
        rows = coverage_rows(
            np.array([self._work.day], "M8[D]"),
            np.array([self._rows]),
            np.array([through_ns]),
            self._fetched_ns,
            adjusted=False,
        )
        return Write(self._work.dataset.coverage_key(self._work.symbol), rows, COVERAGE)


def _concat(pages: list[Columns], dataset: Dataset) -> Columns:
    return Columns.concat(pages) if pages else Columns.empty(dataset.schema)


def _floor_ms(rows: Columns) -> int:
    """The start of the millisecond that holds the last row."""
    last = int(rows.ts.max())
    return last - last % _MS


def _split(rows: Columns) -> tuple[Columns, Columns]:
    """Rows before the last row's millisecond, and the rows of it.

    The next page may go on in the same instant, and a streamed copy of a row stands at the start of
    the row's millisecond, so a range that is replaced must end between two milliseconds.
    """
    before = rows.ts < _floor_ms(rows)
    return rows.take(before), rows.take(~before)


def _in_zone(ts: NDArray[np.int64], timeframe: Timeframe, timezone: str) -> NDArray[np.int64]:
    """Midnights of New York as midnights of the same dates in the store's zone."""
    if not timeframe.is_calendar:
        return ts
    return local_to_utc(ts + utc_offsets(ts, NEW_YORK), timezone)
