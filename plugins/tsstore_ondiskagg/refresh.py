"""From stretches that changed to the bars of the windows they lie in, many symbols at once."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore import aggregate, tradebars
from tsstore.api import Replace
from tsstore.columns import Columns
from tsstore.errors import CorruptionError, NotFoundError
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.schema import Schema
    from tsstore_ondiskagg.hours import MarketHours
    from tsstore_ondiskagg.plan import Level, Step

    _Resample = Callable[
        [Columns, NDArray[np.intp], Timeframe, str], tuple[Columns, NDArray[np.intp]]
    ]

#: Rows read before bars are made of them, so that memory stays flat whatever is refreshed.
ROWS_AT_ONCE = 250_000


class Job(NamedTuple):
    """Rows of one symbol that changed.

    Attributes:
        symbol: whose.
        first_ns: first instant of the stretch.
        last_ns: its last instant.
        removed: whether windows may have lost all of their rows.
    """

    symbol: str
    first_ns: int
    last_ns: int
    removed: bool


class Bars(NamedTuple):
    """New bars of one destination.

    Attributes:
        group: timeframe and attribute group they are written to.
        symbols: text, shape (rows,).
        rows: the bars, of one symbol after the other.
        schema: of new buckets; None for what the columns say.
    """

    group: str
    symbols: NDArray[np.str_]
    rows: Columns
    schema: Schema | None = None


class _Piece(NamedTuple):
    """The rows that the windows of a job are made of.

    Attributes:
        place: of the job.
        rows: those of its windows.
        synthetic: whether they are made up, and so are the bars that are made of them.
    """

    place: int
    rows: Columns
    synthetic: bool


class Refresher:
    """Computes what has to be written.

    Args:
        store: where the rows are.
        timezone: zone whose midnights bound days and longer windows.
        hours: when the market trades, for steps that ask for it.
        logger: told of damaged buckets, once of each.

    Attributes:
        unreadable: how often rows could not be read.
    """

    def __init__(
        self, store: StoreApi, timezone: str, hours: MarketHours | None, logger: logging.Logger
    ) -> None:
        self.unreadable = 0
        self._logger = logger
        self._said: set[str] = set()
        self._synthetic: dict[str, bool] = {}
        self._store = store
        self._tz = timezone
        self._hours = hours

    def forget_destroyed(self, keys: Collection[str]) -> None:
        """Forget what is known of buckets that are not among these any more."""
        for key in [key for key in self._synthetic if key not in keys]:
            del self._synthetic[key]

    def bars(self, level: Level, jobs: Sequence[Job]) -> Iterator[Bars | Replace]:
        """The bars of all windows that the jobs touch, in portions.

        A window that has lost all of its rows loses its bar by a `Replace`.
        """
        parts = [part for job in jobs for part in self._parts(level, job)]
        windows = _Windows(level.steps, parts, self._tz)
        for pieces in self._portions(level, parts, windows):
            yield from self._of_portion(level, parts, windows, pieces)

    def _parts(self, level: Level, job: Job) -> Iterator[Job]:
        """The job in parts that are read at once, cut between windows."""
        source = Timeframe.parse(level.source.partition("/")[0])
        longest = level.steps[-1].timeframe
        span = ROWS_AT_ONCE * source.duration_ns
        if job.last_ns - job.first_ns < span:
            yield job
            return
        starts = longest.starts(job.first_ns, job.last_ns, self._tz)
        starts = starts[:: max(1, span // longest.duration_ns)].tolist()
        ends = [start - 1 for start in starts[1:]] + [job.last_ns]
        for first, last in zip(starts, ends, strict=True):
            yield job._replace(first_ns=max(first, job.first_ns), last_ns=last)

    def _portions(
        self, level: Level, jobs: Sequence[Job], windows: _Windows
    ) -> Iterator[list[_Piece]]:
        pieces: list[_Piece] = []
        rows = 0
        for place, job in enumerate(jobs):
            piece = self._read(level, job.symbol, place, *windows.around(place))
            if piece is None or not (len(piece.rows) or job.removed):
                continue
            pieces.append(piece)
            rows += len(piece.rows)
            if rows >= ROWS_AT_ONCE:
                yield pieces
                pieces, rows = [], 0
        if pieces:
            yield pieces

    def _read(self, level: Level, symbol: str, place: int, first: int, last: int) -> _Piece | None:
        """The rows of a range, or None where there is nothing to make bars of."""
        key = f"{symbol}/{level.source}"
        begin, end = np.array([first, last]).view("M8[ns]")
        try:
            columns = None
            if level.is_made or level.source.endswith(f"/{tradebars.TRADES}"):
                # A read would compute what is not stored, and not as it was meant to be made.
                schema = self._store.info(key).schema
                columns = tradebars.input_names(schema) if tradebars.is_trades(schema) else None
            rows = self._store.read(key, start=begin, end=end, columns=columns)
            return _Piece(place, rows, self._is_synthetic(key))
        except NotFoundError:
            return None  # destroyed meanwhile, or not made
        except CorruptionError as error:
            # One damaged bucket must not keep the others from their bars.
            self.unreadable += 1
            if key not in self._said:
                self._said.add(key)
                self._logger.error("no bars are made of %s: %s", key, error)  # noqa: TRY400
            return None

    def _is_synthetic(self, key: str) -> bool:
        if key not in self._synthetic:  # asked for once: it costs as much as reading the rows
            try:
                self._synthetic[key] = self._store.info(key).schema.synthetic
            except NotFoundError:  # not stored itself, but computed from what is
                return False
        return self._synthetic[key]

    def _of_portion(
        self, level: Level, jobs: Sequence[Job], windows: _Windows, pieces: Sequence[_Piece]
    ) -> Iterator[Bars | Replace]:
        for alike in _by_columns(pieces):
            resample = _resampler(alike[0].rows)
            if resample is None:
                continue
            rows = _Rows(alike, windows)
            for number, step in enumerate(level.steps):
                chosen, runs = rows.of_step(number)
                if step.in_hours and self._hours is not None:
                    chosen, runs = _kept(chosen, runs, self._hours.inside(chosen.ts))
                filled = np.flatnonzero(np.diff(runs))
                counts = np.zeros(len(alike), np.intp)
                bars, counts[filled] = resample(chosen, runs[filled], step.timeframe, self._tz)
                yield from self._written(step, number, jobs, windows, alike, bars, counts)

    def _written(
        self,
        step: Step,
        number: int,
        jobs: Sequence[Job],
        windows: _Windows,
        pieces: Sequence[_Piece],
        bars: Columns,
        counts: NDArray[np.intp],
    ) -> Iterator[Bars | Replace]:
        of = [jobs[piece.place] for piece in pieces]
        schema = replace(bars.schema, synthetic=True) if pieces[0].synthetic else None
        removed = np.array([job.removed for job in of])
        if removed.any():
            ends = np.cumsum(counts)
            for at in np.flatnonzero(removed).tolist():
                rows = bars.slice(int(ends[at] - counts[at]), int(ends[at]))
                first, last = windows.span(number, pieces[at].place)
                key = f"{of[at].symbol}/{step.group}"
                begin, end = np.array([first, last]).view("M8[ns]")
                yield Replace(key, begin, end, rows, schema)
            bars = bars.take(np.repeat(~removed, counts))
            counts = np.where(removed, 0, counts)
        if len(bars):
            symbols = np.repeat(np.array([job.symbol for job in of]), counts)
            yield Bars(step.group, symbols, bars, schema)


class _Windows:
    """The windows of each step that each job touches."""

    def __init__(self, steps: Sequence[Step], jobs: Sequence[Job], tz: str) -> None:
        firsts = np.array([job.first_ns for job in jobs], np.int64)
        lasts = np.array([job.last_ns for job in jobs], np.int64)
        self._first = np.array([step.timeframe.floor(firsts, tz) for step in steps])
        self._end = np.array([step.timeframe.next(lasts, tz) for step in steps])
        self.bounds = np.concatenate([self._first, self._end]).T
        self._around = np.array([self._first.min(axis=0), self._end.max(axis=0) - 1]).T

    def around(self, place: int) -> tuple[int, int]:
        """First and last instant of all windows of a job."""
        first, last = self._around[place].tolist()
        return first, last

    def span(self, number: int, place: int) -> tuple[int, int]:
        """First and last instant of the windows of one step."""
        return int(self._first[number, place]), int(self._end[number, place]) - 1


class _Rows:
    """The rows of several pieces, one after the other.

    Args:
        pieces: with the same columns.
        windows: which of the rows belong to which step.
    """

    def __init__(self, pieces: Sequence[_Piece], windows: _Windows) -> None:
        self._rows = Columns.concat([piece.rows for piece in pieces])
        begins = np.cumsum([0, *(len(piece.rows) for piece in pieces)])
        cuts = np.array([rows.ts.searchsorted(windows.bounds[place]) for place, rows, _ in pieces])
        self._cuts = cuts + begins[:-1, None]  # per piece: first row of each step, then the ends

    def of_step(self, number: int) -> tuple[Columns, NDArray[np.intp]]:
        """Rows of one step, and where those of each piece begin, and the last ones end."""
        steps = self._cuts.shape[1] // 2
        first, counts = self._cuts[:, number], self._cuts[:, steps + number] - self._cuts[:, number]
        runs = np.concatenate(([0], np.cumsum(counts)))
        if runs[-1] == len(self._rows):
            return self._rows, runs
        return self._rows.take(np.arange(runs[-1]) + np.repeat(first - runs[:-1], counts)), runs


def _resampler(rows: Columns) -> _Resample | None:
    """What makes bars of such rows, or None where nothing does."""
    if aggregate.is_bars(rows.schema):
        return aggregate.resample_runs
    return tradebars.resample_runs if tradebars.is_trades(rows.schema) else None


def _by_columns(pieces: Sequence[_Piece]) -> list[list[_Piece]]:
    """Pieces whose rows have the same columns together, and made-up ones by themselves."""
    alike: dict[Any, list[_Piece]] = {}
    for piece in pieces:
        columns = tuple((name, array.dtype) for name, array in piece.rows.items())
        alike.setdefault((piece.synthetic, columns), []).append(piece)
    return list(alike.values())


def _kept(
    rows: Columns, runs: NDArray[np.intp], kept: NDArray[np.bool_]
) -> tuple[Columns, NDArray[np.intp]]:
    before = np.concatenate(([0], np.cumsum(kept)))
    return rows.take(kept), before[runs]
