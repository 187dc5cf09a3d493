"""Files of rows as pieces that a store takes, whatever their format.

A file is read in pieces, so that memory does not grow with it. `Layout` says which of its columns
is the time, which one the symbol, and what the others are called in the store.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.schema import Schema, parse_dtype
from tsstore.tables import TIME_NAMES
from tsstore.times import MAX_NS, array_to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

#: What whole numbers of a time count from 1970 on; with `date` they are written as 20240102.
UNITS = ("s", "ms", "us", "ns", "date")
SYMBOL_NAMES = ("Symbol", "symbol", "ticker", "Ticker")
#: A type in which text is as wide as the longest value of the file.
TEXT = np.dtype("U")

_TIMES = ("Epoch", *TIME_NAMES, "Date", "date")
# Years that nanoseconds hold for sure: numpy would wrap others round without a word.
_PLAIN_TIME = re.compile(
    r"(?:1[789]|2[01])\d\d-\d\d-\d\d(?:[ T]\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?)?", re.ASCII
)
_DATES = (19_000_101, 21_001_231)
_UNIT_NS = {"s": 10**9, "ms": 10**6, "us": 10**3, "ns": 1}


@dataclass(frozen=True)
class Layout:
    """What the columns of a file are.

    Attributes:
        time: the column of the time; None for the first that is named like one.
        unit: what whole numbers in it are, one of `UNITS`; None for seconds, unless they look like
            dates.
        tz: zone of dates and times that carry none.
        symbol: the column of the symbol; None when the rows are all of one bucket.
        types: types of columns that are not to be guessed; `TEXT` for text of any width.
        names: columns of the store whose name in the file is another.
        columns: of a new bucket, in order, if they are known; those that the file lacks are NaN.
    """

    time: str | None = None
    unit: str | None = None
    tz: str | None = None
    symbol: str | None = None
    types: Mapping[str, np.dtype[Any]] = field(default_factory=dict)
    names: Mapping[str, str] = field(default_factory=dict)
    columns: tuple[str, ...] = ()

    def settled(self, path: Path, names: Sequence[str], *, with_symbol: bool) -> Layout:
        """The layout of a file that has columns of these names.

        A bar file of the vendor is known by its header, so that it needs no options.

        Raises:
            InvalidArgumentError: two columns of one name, or one that is needed is not there.
        """
        twice = {name for name in names if list(names).count(name) > 1}
        if twice:
            raise InvalidArgumentError(f"{path} has two columns {min(twice)!r}; rename one")
        if with_symbol and self.time is None and set(names) == _VENDOR_BARS.names.keys():
            return replace(_VENDOR_BARS, types={**_VENDOR_BARS.types, **self.types})
        unknown = self.types.keys() - set(names)
        if unknown:
            raise InvalidArgumentError(
                f"{path} has no column {min(unknown)!r}, which --type names; it has "
                f"{', '.join(names)}"
            )
        time = self.time or next((name for name in _TIMES if name in names), "Epoch")
        _check_there(path, names, time, "time")
        symbol = None
        if with_symbol:
            symbol = self.symbol or next((n for n in SYMBOL_NAMES if n in names), "Symbol")
            _check_there(path, names, symbol, "symbol")
        return replace(self, time=time, symbol=symbol)

    def is_data(self, name: str, *, variable: bool) -> bool:
        """Whether a column of the file is one of the bucket, not part of time or symbol."""
        if name in (self.time, self.symbol):
            return False
        return not (name == "Nanoseconds" and variable)

    def stored_name(self, name: str) -> str:
        """What a column of the file is called in the store."""
        return self.names.get(name, name)

    def arranged(self, types: dict[str, Any], *, variable: bool) -> Schema:
        """The schema of a new bucket, from the types of the columns by their name in the store."""
        if self.columns:
            types = {name: types.get(name, "f8") for name in self.columns}
        return Schema.of(types, variable=variable)

    def fill(self, table: dict[str, NDArray[Any]]) -> None:
        """Add the columns that the bucket has and the file lacks."""
        for name in self.columns:
            if name not in table:
                table[name] = np.full(len(table["Epoch"]), np.nan)

    def read_times(self, values: NDArray[Any]) -> NDArray[np.datetime64]:
        """Values of the time column as datetime64[ns] in UTC.

        Raises:
            InvalidArgumentError: a value is not a time, or out of range.
        """
        if values.dtype.kind in "iu":
            return self._counted(values)
        if values.dtype.kind == "U":
            values, tz = _written_alike(values, self.tz)
            return array_to_ns(values, tz).view("M8[ns]")
        return array_to_ns(values, self.tz).view("M8[ns]")

    def _counted(self, values: NDArray[Any]) -> NDArray[np.datetime64]:
        days = _days(values)
        if self.unit == "date":
            return self._dates(values, days)
        if self.unit is None and len(values) and not np.isnat(days).any():
            raise InvalidArgumentError(
                f"time {values[0]} looks like a date; say --unit date if it is one, or --unit s if "
                "it counts seconds since 1970"
            )
        unit = self.unit or "s"
        step = _UNIT_NS[unit]
        limit = MAX_NS // step
        bad = (values > limit) | (values < -limit)
        if bad.any():
            raise InvalidArgumentError(
                f"time {values[int(np.argmax(bad))]} is outside the years 1678 to 2261, counted in "
                f"{unit}; say with --unit what the numbers count"
            )
        return (values.astype(np.int64) * step).view("M8[ns]")

    def _dates(
        self, values: NDArray[np.integer[Any]], days: NDArray[np.datetime64]
    ) -> NDArray[np.datetime64]:
        bad = np.isnat(days)
        if bad.any():
            raise InvalidArgumentError(
                f"time {values[int(np.argmax(bad))]} is no date from {_DATES[0]} to {_DATES[1]}; "
                "correct it, or say with --unit what the numbers count"
            )
        return array_to_ns(days.astype("M8[ns]"), self.tz).view("M8[ns]")


def _days(values: NDArray[np.integer[Any]]) -> NDArray[np.datetime64]:
    """Numbers such as 20240102 as datetime64[D], others as NaT."""
    days = np.full(len(values), "NaT", "M8[D]")
    near = (values >= _DATES[0]) & (values <= _DATES[1])
    years, rest = np.divmod(values[near].astype(np.int64), 10_000)
    numbers, of_month = np.divmod(rest, 100)
    months = ((years - 1970) * 12 + numbers - 1).astype("M8[M]")
    found = months.astype("M8[D]") + (of_month - 1)
    right = (numbers >= 1) & (numbers <= 12) & (of_month >= 1) & (found.astype("M8[M]") == months)
    days[near] = np.where(right, found, np.datetime64("NaT"))
    return days


def _check_there(path: Path, names: Sequence[str], name: str, what: str) -> None:
    if name not in names:
        raise InvalidArgumentError(
            f"{path} has no column {name!r}; name the one with the {what} by --{what}, of "
            f"{', '.join(names) or 'none'}"
        )


def _written_alike(texts: NDArray[np.str_], tz: str | None) -> tuple[NDArray[Any], str | None]:
    """Times that are all written alike as datetime64, read at once, and the zone they are in.

    Others are returned as they are: each is looked at by itself, which takes ten times as long.
    """
    lines = texts.tolist()
    if all(line.endswith("Z") for line in lines):
        lines, tz = [line[:-1] for line in lines], None
    if not all(map(_PLAIN_TIME.fullmatch, lines)):
        return texts, tz
    try:
        return np.array(lines, "M8[ns]"), tz
    except ValueError:  # such as a month 13; which one, the other way tells
        return texts, tz


# Massive's flat files of bars: https://massive.com/docs/flat-files
_VENDOR_BARS = Layout(
    time="window_start",
    unit="ns",
    symbol="ticker",
    types=dict.fromkeys(
        ("volume", "open", "close", "high", "low", "transactions"), np.dtype(np.float64)
    ),
    names={
        "ticker": "Symbol",
        "window_start": "Epoch",
        "open": "Open",
        "high": "High",
        "low": "Low",
        "close": "Close",
        "volume": "Volume",
        "transactions": "TradeCount",
    },
    columns=("Open", "High", "Low", "Close", "Volume", "VWAP", "TradeCount"),
)


def column_type(text: str) -> np.dtype[Any]:
    """A type as users write it: `f8`, `U16`, or `text` for text of any width.

    Raises:
        InvalidArgumentError: no such type.
    """
    return TEXT if text == "text" else parse_dtype(text)


@dataclass(frozen=True)
class Symbols:
    """The symbol of each row.

    Attributes:
        names: each symbol once.
        codes: the place in `names`, shape (rows,), integers.
    """

    names: list[str]
    codes: NDArray[np.integer[Any]]


@dataclass(frozen=True)
class Piece:
    """Some rows of a file.

    Attributes:
        columns: the data columns by their name in the store, and the time as `Epoch`.
        fraction: how much of the file has been read with them, 0 to 1.
        symbols: the symbol of each row; None when the rows are all of one bucket.
    """

    columns: dict[str, NDArray[Any]]
    fraction: float
    symbols: Symbols | None = None

    def __len__(self) -> int:
        return len(self.columns["Epoch"])

    @property
    def nbytes(self) -> int:
        """Bytes of the columns."""
        return sum(array.nbytes for array in self.columns.values())


class TableFile(Protocol):
    """A file with a table in it."""

    def schema(self, *, variable: bool) -> Schema:
        """The columns of a bucket that holds the rows of this file."""
        ...

    def pieces(self, schema: Schema) -> Iterator[Piece]:
        """The rows, in order, for buckets with that schema."""
        ...


def open_table(path: Path, layout: Layout, *, with_symbol: bool = False) -> TableFile:
    """The reader for a file, by the end of its name.

    Args:
        path: a file whose name ends in .csv, .csv.gz, .parquet, .arrow or .feather.
        layout: what its columns are.
        with_symbol: whether its rows are of many symbols.

    Raises:
        InvalidArgumentError: another kind of file, or columns that are not there.
        StorageError: the file cannot be read.
    """
    from tsstore.cli.arrowfile import ArrowFile, ParquetFile
    from tsstore.cli.csvfile import CsvFile

    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return CsvFile(path, layout, with_symbol=with_symbol)
    if name.endswith((".parquet", ".pq")):
        return ParquetFile(path, layout, with_symbol=with_symbol)
    if name.endswith((".arrow", ".feather", ".ipc")):
        return ArrowFile(path, layout, with_symbol=with_symbol)
    raise InvalidArgumentError(
        f"{path} is neither .csv, .csv.gz, .parquet, .arrow nor .feather; convert it first"
    )
