"""A day of ticks into the store; see `fetch.py` for what is promised."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Replace, Write
from tsstore.columns import Columns
from tsstore.zones import NS_PER_DAY
from tsstore_massive.backfilling.coverage import SCHEMA as COVERAGE
from tsstore_massive.backfilling.coverage import coverage_rows
from tsstore_massive.errors import BadResponseError, MassiveError

if TYPE_CHECKING:
    from tsstore.api import Operation
    from tsstore_massive.backfilling.fetch import Fetcher
    from tsstore_massive.backfilling.work import TicksWork
    from tsstore_massive.datasets import Dataset

#: A day without rows counts as fetched once it is this old; before, the vendor may be late.
SETTLED_NS = 2 * NS_PER_DAY

_MS = 1_000_000


class TickDay:
    """One day of ticks of one symbol, fetched range after range.

    Args:
        fetcher: asks and stores.
        work: the day.
        batch_rows: so many rows are stored together, and a page more may come on top.
    """

    def __init__(self, fetcher: Fetcher, work: TicksWork, batch_rows: int) -> None:
        self._fetcher = fetcher
        self._work = work
        self._batch_rows = batch_rows
        self._fetched_ns = fetcher.now_ns()
        self._key = work.dataset.key(work.symbol)
        first_ns, last_ns = work.span
        over_ns = last_ns + work.dataset.late_ns
        self._is_over = over_ns < self._fetched_ns
        self._end_ns = min(last_ns, self._fetched_ns)
        self._cursor_ns = first_ns
        self._rows = 0
        progress = work.progress
        # What was fetched while the day was under way is fetched again once it is over.
        if progress is not None and (progress.fetched_ns > over_ns) == self._is_over:
            self._cursor_ns = progress.through_ns + 1
            self._rows = progress.rows

    def run(self) -> int:
        """Fetch and store it; returns the number of days without rows, 0 or 1."""
        try:
            self._run()
        except MassiveError as error:
            error.resume_ns = self._cursor_ns
            raise
        return int(not self._rows)

    def _run(self) -> None:
        waiting: list[Columns] = []
        for page in self._fetcher.pages(self._work, self._cursor_ns, self._end_ns):
            waiting.append(page)
            if sum(map(len, waiting)) >= self._batch_rows:
                before, after = _split(concat(waiting, self._work.dataset))
                if len(before):
                    self._store(before, _floor_ms(after) - 1)
                waiting = [after]
        rows = concat(waiting, self._work.dataset)
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


def concat(pages: list[Columns], dataset: Dataset) -> Columns:
    """Pages as one, rows of the dataset's schema; none make no rows."""
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
