"""A market read from a folder of the vendor's flat files.

    <folder>/us_stocks_sip/<data set>/<year>/<month>/<year>-<month>-<day>.csv.gz

The folder may also be `us_stocks_sip` itself. Columns are found by name, and those that are absent
are filled with zeros. A ticker may stand in several runs and a file may be several gzip members.
Bars that no file holds are built from the day's trades.
"""

from __future__ import annotations

import gzip
import re
import threading
from datetime import date
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import bars
from tsstore_massive_simulator.calendar import MINUTE_NS, day_start_ns, hours
from tsstore_massive_simulator.listings import Listing, stock_listing
from tsstore_massive_simulator.rows import (
    COLUMNS,
    TIME,
    Kind,
    Rows,
    empty,
    joined,
    sorted_by_ticker,
)
from tsstore_massive_simulator.schedules import ExtendedHours, Schedule

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore_massive_simulator.corporate import Dividend, Split

_FILE = re.compile(r"(\d{4}-\d{2}-\d{2})\.csv\.gz")
_SETS = ("conditions", "indicators")
_TICK_DAYS = 4
_BAR_DAYS = 4096


class FlatFileError(ValueError):
    """The folder or a file in it is not in the vendor's layout; the text names it."""


class FlatFileMarket:
    """What a folder of flat files holds, read when first asked for.

    Args:
        folder: the folder that has `us_stocks_sip`, or that folder.
        tickers: only these; all when absent.

    Raises:
        FlatFileError: there is no flat file in it.
        ModuleNotFoundError: the package that reads CSV is not installed; the text names it.
    """

    name = "stocks"
    schedule: Schedule = ExtendedHours()
    live = False
    revised_share = 0.0

    def __init__(self, folder: Path, tickers: Sequence[str] | None = None) -> None:
        _arrow()  # says now, not at the first request, that it is missing
        self._files = _find_files(folder)
        self._only = None if tickers is None else frozenset(tickers)
        # Two requests for the same day must not read its file twice at once.
        self._lock = threading.Lock()
        self._ticks = lru_cache(maxsize=_TICK_DAYS)(self._load)
        self._bars = lru_cache(maxsize=_BAR_DAYS)(self._load_bars)

    def tickers(self) -> Sequence[str]:
        """Every ticker of the bar files, and of the trades on days without, in order of bytes."""
        return self._all_tickers

    def listings(self) -> Sequence[Listing]:
        """The tickers, of which the files tell nothing else."""
        return tuple(map(stock_listing, self._all_tickers))

    def splits(self) -> Sequence[Split]:
        """The files tell of none."""
        return ()

    def dividends(self) -> Sequence[Dividend]:
        """The files tell of none."""
        return ()

    def days(self, first: date, last: date) -> Sequence[date]:
        """Days from `first` to `last` that have a file of any kind."""
        return self._days(Kind, first, last)

    def played_days(self, first: date, last: date) -> Sequence[date]:
        """Days with trades or quotes; when no day has any, days with minute bars."""
        ticks = self._days((Kind.TRADES, Kind.QUOTES), date.min, date.max)
        kinds = (Kind.TRADES, Kind.QUOTES) if ticks else (Kind.MINUTES,)
        return self._days(kinds, first, last)

    def _days(self, kinds: Iterable[Kind], first: date, last: date) -> Sequence[date]:
        days = {day for kind in kinds for day in self._files[kind]}
        return sorted(day for day in days if first <= day <= last)

    def rows(self, kind: Kind, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Rows of a day, of all tickers or of some; none when there is no file."""
        with self._lock:
            rows = (
                self._bars(kind, day)
                if kind in (Kind.MINUTES, Kind.DAYS)
                else self._ticks(kind, day)
            )
        return _only(kind, rows, tickers)

    def of_venue(self, venue: str) -> frozenset[str]:
        """Stocks have no such venues."""
        del venue
        return frozenset()

    def open_ns(self, day: date) -> int:
        """The opening bell of a day."""
        return hours(day).open_ns

    def second_bars(self, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Bars of one second of a day, built from its trades."""
        return bars.window_bars(self.rows(Kind.TRADES, day, tickers), NS_PER_SECOND)

    @cached_property
    def _all_tickers(self) -> tuple[str, ...]:
        found: set[str] = set()
        for day in self.days(date.min, date.max):
            kinds = [kind for kind in (Kind.DAYS, Kind.MINUTES) if day in self._files[kind]]
            for kind in kinds or (Kind.TRADES,):
                found.update(self.rows(kind, day).tickers)
        return tuple(sorted(found))

    def _load_bars(self, kind: Kind, day: date) -> Rows:
        if day in self._files[kind]:
            return self._load(kind, day)
        trades = self._ticks(Kind.TRADES, day)
        if kind is Kind.MINUTES:
            return bars.window_bars(trades, MINUTE_NS)
        return bars.day_bars(trades, day_start_ns(day))

    def _load(self, kind: Kind, day: date) -> Rows:
        path = self._files[kind].get(day)
        if path is None:
            return empty(kind)
        return _read(kind, path, self._only)


def _find_files(folder: Path) -> dict[Kind, dict[date, Path]]:
    root = folder if folder.name == "us_stocks_sip" else folder / "us_stocks_sip"
    files: dict[Kind, dict[date, Path]] = {}
    for kind in Kind:
        paths = sorted((root / kind).glob("[0-9][0-9][0-9][0-9]/[0-9][0-9]/*.csv.gz"))
        matches = [(_FILE.fullmatch(path.name), path) for path in paths]
        files[kind] = {date.fromisoformat(match[1]): path for match, path in matches if match}
    if not any(files.values()):
        raise FlatFileError(
            f"no flat file in {folder}; expected us_stocks_sip/trades_v1/2026/01/2026-01-02.csv.gz "
            "and the like below it"
        )
    return files


def _read(kind: Kind, path: Path, only: frozenset[str] | None) -> Rows:
    pa = _arrow()
    from pyarrow import compute

    table = _read_csv(path)
    missing = {"ticker", TIME[kind]} - set(table.column_names)
    if missing:
        raise FlatFileError(f"{path} has no column {min(missing)!r}; it is not {kind} data")
    if only is not None:
        table = table.filter(compute.is_in(table["ticker"], pa.array(sorted(only))))
    if not table.num_rows:
        return empty(kind)
    tickers = table["ticker"].combine_chunks().dictionary_encode()
    sets = _Sets()
    columns = {
        name: sets.codes(table, name) if name in _SETS else _column(table, name, dtype)
        for name, dtype in COLUMNS[kind].items()
    }
    names = tickers.dictionary.to_pylist()
    return sorted_by_ticker(kind, names, tickers.indices.to_numpy(), columns, sets.all())


def _read_csv(path: Path) -> Any:
    from pyarrow import csv

    try:
        with gzip.open(path) as file:
            header = file.readline().decode().strip().split(",")
            file.seek(0)
            # Ids are text, numbers may have decimals in newer files, and cells may be empty.
            types = {name: "string" if _is_text(name) else "float64" for name in header}
            types |= {name: "int64" for name in header if name.endswith(_WHOLE)}
            options = csv.ConvertOptions(column_types=types, strings_can_be_null=False)
            return csv.read_csv(file, convert_options=options)
    except (OSError, EOFError, ValueError) as error:
        raise FlatFileError(f"{path} cannot be read: {error}") from error


#: Numbers that need all 64 bits.
_WHOLE = ("timestamp", "sequence_number", "window_start")


def _is_text(name: str) -> bool:
    return name in ("ticker", "id", *_SETS)


def _column(table: Any, name: str, dtype: str) -> NDArray[Any]:
    if name not in table.column_names:
        absent = np.nan if name == "vwap" else 0
        return np.full(table.num_rows, absent, dtype)
    column = table[name].combine_chunks()
    if dtype.startswith("S"):
        return np.array(column.to_pylist(), dtype)
    return np.asarray(column.fill_null(0).to_numpy(zero_copy_only=False)).astype(dtype)


class _Sets:
    """Numbers the lists that stand in cells; 0 is the empty one."""

    def __init__(self) -> None:
        self._numbers: dict[tuple[int, ...], int] = {(): 0}

    def codes(self, table: Any, name: str) -> NDArray[np.int32]:
        if name not in table.column_names:
            return np.zeros(table.num_rows, np.int32)
        encoded = table[name].combine_chunks().dictionary_encode()
        numbers = [self._number(cell) for cell in encoded.dictionary.to_pylist()]
        codes: NDArray[np.int32] = np.array(numbers, np.int32)[encoded.indices.to_numpy()]
        return codes

    def all(self) -> tuple[tuple[int, ...], ...]:
        return tuple(self._numbers)

    def _number(self, cell: str) -> int:
        values = tuple(int(part) for part in cell.split(",") if part.strip())
        return self._numbers.setdefault(values, len(self._numbers))


def _only(kind: Kind, rows: Rows, tickers: Sequence[str] | None) -> Rows:
    if tickers is None:
        return rows
    if len(tickers) == 1:
        return rows.of(tickers[0])
    return joined(kind, [rows.of(ticker) for ticker in sorted(set(tickers))])


def _arrow() -> Any:
    try:
        import pyarrow as pa
    except ImportError:
        raise ModuleNotFoundError(
            "flat files need the package pyarrow; run: pip install 'tsstore[frames]'"
        ) from None
    return pa
