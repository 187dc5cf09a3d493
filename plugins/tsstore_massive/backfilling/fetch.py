"""The unit of work of a backfill: a symbol and a range become rows in the store.

Each unit may be repeated at any time, by anybody, after any crash, and leaves the same rows:
- Bars are upserted, together with the coverage of their days, in one commit; so are the day bars of
  a whole market, with the coverage of every symbol.
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

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Operation, Write, WriteTable
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.times import format_ns
from tsstore.zones import NS_PER_DAY, local_to_utc, utc_offsets
from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.backfilling.coverage import coverage_rows, coverage_table
from tsstore_massive.backfilling.grouped import GroupedWork
from tsstore_massive.backfilling.tickday import SETTLED_NS, TickDay, concat
from tsstore_massive.backfilling.work import BarsWork, GapWork, TicksWork
from tsstore_massive.decoding.identity import Numbering
from tsstore_massive.errors import BadResponseError, StoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.rest import RestClient

_MS = 1_000_000


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
        batch_rows: ticks that are stored together; with 1, each page is as it comes, so that an end
            at any moment costs the requests under way and no other.
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
        batch_rows: int,
    ) -> None:
        self._store = store
        self._rest = rest
        self._clock = clock
        self._is_stopped = is_stopped
        self._adjusted = adjusted
        self._timezone = timezone
        self._on_rows = on_rows
        self._batch_rows = batch_rows

    def do(self, work: Work) -> int:
        """Fetch and store one unit.

        Returns:
            How many of its days have no rows.

        Raises:
            MassiveError: the vendor did not give it; `resume_ns` says how far it got.
            TsStoreError: the store refused it.
        """
        if isinstance(work, TicksWork):
            return TickDay(self, work, self._batch_rows).run()
        if isinstance(work, BarsWork):
            return self._bars(work)
        if isinstance(work, GroupedWork):
            return self._grouped(work)
        return self._gap(work)

    def probe(self, work: Work, day: NDArray[np.datetime64]) -> None:
        """Ask for the first moment of a day, and store nothing; raises as the vendor refuses."""
        if isinstance(work, GroupedWork):
            self._day_of_market(work, day)
            return
        start_ns = int(work.dataset.starts(day)[0])
        if work.dataset.kind == "bars":
            pages = self._rest.bars(
                work.symbol, work.dataset.timeframe, start_ns, start_ns, adjusted=self._adjusted
            )
        else:
            pages = self.pages(work, start_ns, start_ns)
        next(pages, None)

    def _bars(self, work: BarsWork) -> int:
        now_ns = self._clock.now_ns()
        rows = self.finished_bars(work, now_ns)
        operations: list[Operation] = []
        if len(rows):
            operations.append(self._write_bars(work, rows))
        starts, ends = work.dataset.starts(work.days), work.dataset.ends(work.days)
        counts = np.searchsorted(rows.ts, ends, side="right") - np.searchsorted(rows.ts, starts)
        settled_ns = np.where(counts > 0, work.dataset.late_ns, SETTLED_NS)
        done = ends + settled_ns < now_ns
        if done.any():
            covered = coverage_rows(
                work.days[done], counts[done], ends[done], now_ns, adjusted=self._adjusted
            )
            operations.append(Write(work.dataset.coverage_key(work.symbol), covered, COVERAGE))
        self.commit(operations, len(rows))
        return int(np.count_nonzero(counts == 0))

    def _grouped(self, work: GroupedWork) -> int:
        now_ns = self._clock.now_ns()
        end_ns = work.dataset.ends(work.days)[0]
        if end_ns + work.dataset.late_ns >= now_ns:
            return work.day_count
        table = self._day_of_market(work, work.days)
        names = np.array(table["Symbol"] if table else [], np.str_)
        wanted = np.isin(names, work.symbols)
        has_row = np.isin(work.symbols, names)
        operations: list[Operation] = []
        if table and wanted.any():
            rows = {name: np.asarray(column)[wanted] for name, column in table.items()}
            ts = _in_zone(work.dataset.starts(work.days), work.dataset, self._timezone)
            rows["Epoch"] = np.repeat(ts, len(rows["Symbol"])).view("M8[ns]")
            operations.append(WriteTable(work.dataset.group, rows, work.dataset.schema))
        done = has_row | (end_ns + SETTLED_NS < now_ns)
        if done.any():
            covered = coverage_table(
                work.symbols[done], work.days[0], has_row[done], end_ns, now_ns,
                adjusted=self._adjusted,
            )  # fmt: skip
            operations.append(WriteTable(work.dataset.coverage_group, covered, COVERAGE))
        self.commit(operations, int(wanted.sum()))
        return int(np.count_nonzero(~has_row))

    def _day_of_market(
        self, work: GroupedWork, day: NDArray[np.datetime64]
    ) -> dict[str, Any] | None:
        return self._rest.grouped_daily(
            day[0].item(), market=work.market, adjusted=self._adjusted, include_otc=True
        )

    def finished_bars(self, work: BarsWork | GapWork, now_ns: int) -> Columns:
        """The bars of a unit whose time was over at `now_ns`, at the start of their slots.

        Raises:
            MassiveError: the vendor did not give them, or one begins between two slots.
        """
        start_ns, end_ns = work.span
        timeframe = work.dataset.timeframe
        # The vendor's weeks begin on Sunday, ours on Monday.
        early_ns = NS_PER_DAY if timeframe.unit == "W" else 0
        pages = self._rest.bars(
            work.symbol, timeframe, start_ns - early_ns, end_ns, adjusted=self._adjusted
        )
        rows = concat(list(pages), work.dataset)
        zone = work.dataset.zone
        slots = timeframe.floor(rows.ts + early_ns, zone)
        if not timeframe.is_calendar:
            _check_slots(work, rows.ts, slots)
        over = timeframe.next(slots, zone) <= now_ns
        inside = (slots >= timeframe.floor(np.array([start_ns]), zone)) & (slots <= end_ns)
        return Columns(slots, dict(rows.items())).take(over & inside)

    def _write_bars(self, work: BarsWork | GapWork, rows: Columns) -> Write:
        ts = _in_zone(rows.ts, work.dataset, self._timezone)
        labelled = Columns(ts, dict(rows.items()))
        return Write(work.dataset.key(work.symbol), labelled, work.dataset.schema)

    def _gap(self, work: GapWork) -> int:
        if work.dataset.kind == "bars":
            rows = self.finished_bars(work, max(self._clock.now_ns(), work.end_ns))
            if len(rows):
                self.commit([self._write_bars(work, rows)], len(rows))
            return int(not len(rows))
        key = work.dataset.key(work.symbol)
        stored = 0
        for page in self.pages(work, *work.span):
            self.commit([Write(key, page, work.dataset.schema)], len(page))
            stored += len(page)
        return int(not stored)

    def pages(self, work: Work, start_ns: int, end_ns: int) -> Iterator[Columns]:
        """Pages of trades or quotes, each row with its identity.

        They begin with a whole millisecond: equal rows of one are counted from its first on.
        """
        kind, symbol = work.dataset.kind, work.symbol
        read = self._rest.trades if kind == "trades" else self._rest.quotes
        numbering = Numbering()
        for page in read(symbol, start_ns - start_ns % _MS, end_ns):
            columns = numbering.named(
                kind, page.ts, dict(page.items()), lambda rows: [symbol] * len(rows)
            )
            yield Columns(page.ts, columns, variable=True)

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


def _check_slots(work: BarsWork | GapWork, ts: NDArray[np.int64], slots: NDArray[np.int64]) -> None:
    """A bar that another slot begins with would be taken for one of another time."""
    odd = np.flatnonzero(ts != slots)
    if len(odd):
        raise BadResponseError(
            f"{work.symbol}: a bar begins at {format_ns(int(ts[odd[0]]))}, where none of "
            f"{work.dataset.timeframe} does; nothing of the answer was stored"
        )


def _in_zone(ts: NDArray[np.int64], dataset: Dataset, timezone: str) -> NDArray[np.int64]:
    """Midnights of the market as midnights of the same dates in the store's zone."""
    if not dataset.timeframe.is_calendar:
        return ts
    return local_to_utc(ts + utc_offsets(ts, dataset.zone), timezone)
