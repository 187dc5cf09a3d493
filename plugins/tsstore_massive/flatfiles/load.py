"""A day's file into buckets.

The same file may be loaded again at any time, by anybody, after any crash, and leaves the same
rows. Ticks of a ticker's day replace what is stored of the day, part after part as they come (see
`replacing.py`); those of another run of the file are added, and the identity of their schema keeps
copies from doubling. Bars are upserted; those of a file that the vendor has replaced replace what
is stored, for the new file may lack a bar, or a ticker (see `withdrawn.py`). A day counts as loaded
only when all of it is stored, and the first rows of a ticker take back what was said of its day
before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsstore.ahead import ahead
from tsstore.api import WriteTable
from tsstore.columns import Columns
from tsstore.tables import Table
from tsstore_massive.errors import StoppedError
from tsstore_massive.flatfiles.covering import coverage_taken_back, names_of, with_rows
from tsstore_massive.flatfiles.parse import FlatFile
from tsstore_massive.flatfiles.pieces import pieces
from tsstore_massive.flatfiles.replacing import DayReplacement
from tsstore_massive.flatfiles.vwap import StoredVwap
from tsstore_massive.flatfiles.withdrawn import withdrawn

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
    from datetime import date
    from pathlib import Path

    from tsstore.api import Operation, StoreApi
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.pieces import Piece
    from tsstore_massive.flatfiles.selection import Selection


@dataclass(frozen=True)
class Job:
    """A file to load.

    Attributes:
        flat: the data set.
        day: of its name.
        path: on this machine.
        selection: the wanted tickers.
        replaces: whether an older file of that day was loaded before, or a stranger told it.
    """

    flat: FlatSet
    day: date
    path: Path
    selection: Selection
    replaces: bool


@dataclass
class Loaded:
    """What a file gave.

    Attributes:
        counts: stored rows by ticker; 0 of those that are named and of which the store has none.
        faults: rows left out and what else was odd.
    """

    counts: Mapping[str, int]
    faults: Counter[str]

    @property
    def rows(self) -> int:
        """Stored rows."""
        return sum(self.counts.values())

    @property
    def symbols(self) -> int:
        """Buckets they went to."""
        return len(self.counts)


class Loader:
    """Puts files into a store.

    Args:
        store: where the rows go.
        timezone: of the store; a day's bar goes to its date there.
        is_stopped: nothing is stored once it says so.
        on_rows: told the rows of each commit.
    """

    def __init__(
        self,
        store: StoreApi,
        *,
        timezone: str,
        is_stopped: Callable[[], bool],
        on_rows: Callable[[int], None],
    ) -> None:
        self._store = store
        self.timezone = timezone
        self._is_stopped = is_stopped
        self._on_rows = on_rows
        self.vwap = StoredVwap(store)
        # Of other buckets nobody has said that a day is there.
        self._covered = set(store.list("*/24H/*_BACKFILL"))

    def load(self, job: Job) -> Loaded:
        """Store the wanted rows of a file.

        Raises:
            BadFileError: the file is damaged, or no such file.
            StoppedError: it is time to stop.
            TsStoreError: the store refused the rows.
        """
        return _Loading(self, job).run()

    def commit(self, operations: list[Operation], rows: int) -> None:
        """Store something, unless it is time to stop."""
        if self._is_stopped():
            raise StoppedError("stopped")
        self._store.bulk(operations)
        self._on_rows(rows)

    def take_back(self, job: Job, symbols: Iterable[str]) -> list[WriteTable]:
        """What to write so that the day of some symbols counts as missing until all of it came."""
        return coverage_taken_back(job.flat, job.day, symbols, self._covered)

    def with_rows(
        self, flat: FlatSet, window: tuple[int, int], symbols: Sequence[str]
    ) -> list[str]:
        """See `covering.with_rows`."""
        return with_rows(self._store, flat, window, symbols)

    def withdrawn(self, job: Job, window: tuple[int, int], there: Collection[str]) -> list[str]:
        """See `withdrawn`."""
        return withdrawn(self._store, job, window, there)


class _Loading:
    """One file on its way into the store."""

    def __init__(self, loader: Loader, job: Job) -> None:
        self._loader = loader
        self._job = job
        self._rows: dict[str, int] = {}
        self._window = job.flat.window(job.day, loader.timezone)
        takes_place = job.flat.schema.is_variable or job.replaces
        self._day = DayReplacement(job.flat, self._window) if takes_place else None

    def run(self) -> Loaded:
        flat = self._job.flat
        file = FlatFile(self._job.path, flat, self._job.day, self._job.selection)
        for piece in ahead(pieces(file.batches(), flat.schema)):
            self._store(self._settled(piece))
        if self._day is not None and self._job.replaces:
            self._take_away(self._day)
        return Loaded({**dict.fromkeys(self._without_rows(), 0), **self._rows}, file.faults)

    def _settled(self, piece: Piece) -> Piece:
        """The rows as they are stored: at the day's slot, with the VWAP that the store knows."""
        flat = self._job.flat
        if flat.timeframe.is_calendar:
            ts = np.full(len(piece.rows), self._window[0])
            rows = Columns(ts, dict(piece.rows.items()), variable=flat.schema.is_variable)
            piece = piece._replace(rows=rows)
        if flat.rows == "bars":
            piece = self._loader.vwap.filled(piece, flat.group, self._window)
        return piece

    def _store(self, piece: Piece) -> None:
        new = [symbol for symbol in piece.symbols if symbol not in self._rows]
        operations: list[Operation] = [*self._loader.take_back(self._job, new)]
        operations += self._upsert(piece) if self._day is None else self._replace(self._day, piece)
        if operations:
            self._loader.commit(operations, len(piece.rows))
        for symbol, count in piece.counts.items():
            self._rows[symbol] = self._rows.get(symbol, 0) + count

    def _upsert(self, piece: Piece) -> Iterator[Operation]:
        """One operation, whatever the number of symbols."""
        flat = self._job.flat
        if len(piece.rows):
            arrays = dict(piece.rows.items())
            table = Table(piece.rows.ts, arrays, piece.symbols, codes=piece.codes)
            yield WriteTable(flat.group, table, flat.schema)

    def _replace(self, day: DayReplacement, piece: Piece) -> Iterator[Operation]:
        yield from day.ended(piece.symbols)
        for symbol, run in piece.runs():
            rows = piece.rows.slice(run.start, run.stop)
            yield from day.operations(symbol, rows, goes_on=symbol == piece.goes_on)

    def _without_rows(self) -> set[str]:
        """Tickers that are named, and of whose day neither the file nor the store has a row."""
        flat = self._job.flat
        lacking = [name for name in names_of(flat, self._job.selection) if name not in self._rows]
        return {*lacking} - {*self._loader.with_rows(flat, self._window, lacking)}

    def _take_away(self, day: DayReplacement) -> None:
        """Take away the rows of tickers that only older files of the day had."""
        gone = self._loader.withdrawn(self._job, self._window, self._rows)
        if gone:
            taken_back = self._loader.take_back(self._job, gone)
            self._loader.commit([*taken_back, *map(day.taken_away, gone)], 0)
