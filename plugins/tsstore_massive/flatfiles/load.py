"""A day's file into buckets.

The same file may be loaded again at any time, by anybody, after any crash, and leaves the same
rows. Ticks of a ticker's day replace what is stored of the day, part after part as they come (see
`replacing.py`); those of another run of the file are added, and the identity of their schema keeps
copies from doubling. Bars are upserted; those of a file that the vendor has replaced replace what
is stored, for the new file may lack a bar. A day counts as loaded only when all of it is stored,
and the first rows of a ticker take back what was said of its day before.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Write
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.zones import NS_PER_DAY, local_to_utc
from tsstore_massive.errors import StoppedError
from tsstore_massive.flatfiles.covering import coverage_taken_back
from tsstore_massive.flatfiles.parse import FlatFile
from tsstore_massive.flatfiles.replacing import DayReplacement

if TYPE_CHECKING:
    from collections import Counter
    from collections.abc import Callable, Iterable, Iterator, Mapping
    from datetime import date
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.api import Operation, StoreApi, WriteTable
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.parse import Batch
    from tsstore_massive.flatfiles.selection import Selection

#: Rows are gathered until they are so many bytes, and stored together.
COMMIT_BYTES = 24 << 20
#: REST rounds a VWAP to this, so that it may lie so far beyond its bar.
_VWAP_ROUNDING = 5e-5

_Part = tuple["NDArray[np.int64]", dict[str, "NDArray[Any]"]]


@dataclass(frozen=True)
class Job:
    """A file to load.

    Attributes:
        flat: the data set.
        day: of its name.
        path: on this machine.
        selection: the wanted tickers.
        replaces: whether an older file of that day was loaded before.
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
        counts: stored rows by ticker.
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
        # Buckets that this run makes hold rows of files only, which know no VWAP.
        self._older = set(store.list("*/*/OHLCV"))
        # Of others nobody has said that a day is there.
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

    def keep_vwap(self, group: str, parts: dict[str, _Part], window: tuple[int, int]) -> None:
        """Take over the VWAP of stored bars: REST and the socket know it, and files do not.

        One that does not lie within its bar is of other prices, such as adjusted ones.
        """
        known = [symbol for symbol in parts if f"{symbol}/{group}" in self._older]
        if not known:
            return
        start, end = (np.datetime64(instant, "ns") for instant in window)
        try:
            found = self._store.read(known, group, start=start, end=end, columns=["VWAP"])
        except NotFoundError:
            return
        for symbol in known:
            stored = found.get(f"{symbol}/{group}")
            if stored is not None and len(stored):
                _fill_vwap(parts[symbol], stored)


@dataclass
class _Gathered:
    """Rows of the next commit by symbol."""

    parts: dict[str, list[_Part]] = field(default_factory=dict)
    bytes: int = 0
    last: str = ""  # the symbol of the last row, of which more may follow


class _Loading:
    """One file on its way into the store."""

    def __init__(self, loader: Loader, job: Job) -> None:
        self._loader = loader
        self._job = job
        self._rows: dict[str, int] = {}
        self._window = _window(job, loader.timezone)
        takes_place = job.flat.schema.is_variable or job.replaces
        self._day = DayReplacement(job.flat, self._window) if takes_place else None

    def run(self) -> Loaded:
        file = FlatFile(self._job.path, self._job.flat, self._job.day, self._job.selection)
        gathered = _Gathered()
        for batch in file.batches():
            for symbol, part in _by_symbol(batch):
                gathered.parts.setdefault(symbol, []).append(part)
            gathered.bytes += sum(array.nbytes for array in batch.columns.values())
            gathered.last = batch.symbols[batch.codes[-1]]
            if gathered.bytes >= COMMIT_BYTES:
                self._store(gathered)
                gathered = _Gathered()
        gathered.last = ""
        self._store(gathered)
        return Loaded(self._rows, file.faults)

    def _store(self, gathered: _Gathered) -> None:
        flat = self._job.flat
        parts = {symbol: self._joined(pieces) for symbol, pieces in gathered.parts.items()}
        if flat.rows == "bars":
            self._loader.keep_vwap(flat.group, parts, self._window)
        new = [symbol for symbol in parts if symbol not in self._rows]
        operations: list[Operation] = [*self._loader.take_back(self._job, new)]
        if self._day is not None:
            operations += self._day.ended(parts)
        for symbol, part in parts.items():
            operations += self._operations(symbol, part, goes_on=symbol == gathered.last)
        rows = {symbol: len(ts) for symbol, (ts, _) in parts.items()}
        if operations:
            self._loader.commit(operations, sum(rows.values()))
        self._rows |= {symbol: self._rows.get(symbol, 0) + count for symbol, count in rows.items()}

    def _joined(self, pieces: list[_Part]) -> _Part:
        """The rows of a symbol in order of time."""
        ts, columns = pieces[0]
        if len(pieces) > 1:
            ts = np.concatenate([piece[0] for piece in pieces])
            columns = {n: np.concatenate([piece[1][n] for piece in pieces]) for n in columns}
        if self._job.flat.timeframe.is_calendar:
            return np.full(len(ts), self._window[0]), columns
        if (ts[1:] < ts[:-1]).any():
            order = np.argsort(ts, kind="stable")
            ts, columns = ts[order], {name: array[order] for name, array in columns.items()}
        return ts, columns

    def _operations(self, symbol: str, part: _Part, *, goes_on: bool) -> Iterable[Operation]:
        flat = self._job.flat
        rows = Columns(*part, variable=flat.schema.is_variable)
        if self._day is not None:
            return self._day.operations(symbol, rows, goes_on=goes_on)
        return [Write(f"{symbol}/{flat.group}", rows, flat.schema)]


def _window(job: Job, timezone: str) -> tuple[int, int]:
    """First and last instant of the rows of a file's day.

    A day's bar stands at the midnight of its date in the store's zone.
    """
    zone = timezone if job.flat.timeframe.is_calendar else job.flat.zone
    number = np.datetime64(job.day, "D").astype(np.int64)
    midnights = local_to_utc(np.array([number, number + 1]) * NS_PER_DAY, zone)
    if job.flat.timeframe.is_calendar:
        return int(midnights[0]), int(midnights[0])
    return int(midnights[0]), int(midnights[1]) - 1


def _by_symbol(batch: Batch) -> Iterator[tuple[str, _Part]]:
    """The rows of each symbol in their order; views of the batch where it is sorted by symbol."""
    codes = batch.codes
    starts = _starts(codes)
    if len(starts) > len(np.unique(codes[starts])):
        batch = batch.taken(np.argsort(codes, kind="stable"))
        codes = batch.codes
        starts = _starts(codes)
    ends = [*starts[1:].tolist(), len(codes)]
    columns = list(batch.columns.items())
    for start, end, code in zip(starts.tolist(), ends, codes[starts].tolist(), strict=True):
        arrays = {name: array[start:end] for name, array in columns}
        yield batch.symbols[code], (batch.ts[start:end], arrays)


def _starts(codes: NDArray[np.int32]) -> NDArray[np.intp]:
    """Where each run of equal codes begins."""
    return np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))


def _fill_vwap(part: _Part, stored: Columns) -> None:
    ts, columns = part
    at = np.minimum(np.searchsorted(stored.ts, ts), len(stored) - 1)
    known = stored["VWAP"][at]
    fits = (
        (stored.ts[at] == ts)
        & (known >= columns["Low"] - _VWAP_ROUNDING)
        & (known <= columns["High"] + _VWAP_ROUNDING)
        & np.isnan(columns["VWAP"])
    )
    columns["VWAP"] = np.where(fits, known, columns["VWAP"])
