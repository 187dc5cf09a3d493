"""CSV and Parquet files as pieces of a table that `Store.write` takes.

CSV needs nothing but Python. Its columns take the types of the bucket; for a new bucket the whole
file is looked at first, so that a column that begins with `100` and goes on with `100.5` is float.
"""

from __future__ import annotations

import csv
import gzip
import io
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tsstore.errors import InvalidArgumentError, StorageError
from tsstore.schema import Schema, parse_dtype
from tsstore.times import array_to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.api import TableLike

PIECE_ROWS = 100_000
UNITS = ("s", "ms", "us", "ns")
_TIME_NAMES = ("Epoch", "Nanoseconds")
_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}


@dataclass(frozen=True)
class TimeColumn:
    """How a file writes time.

    Attributes:
        name: the column.
        unit: of whole numbers, counted from 1970 UTC: s, ms, us or ns.
        tz: zone of dates and times that carry none.
    """

    name: str = "Epoch"
    unit: str = "s"
    tz: str | None = None

    def read(self, values: NDArray[Any]) -> NDArray[np.datetime64]:
        """Values of the column as datetime64[ns] in UTC.

        Raises:
            InvalidArgumentError: a value is not a time, or out of range.
        """
        if values.dtype.kind in "iu":
            counted: NDArray[np.datetime64] = values.astype(np.int64).view(f"M8[{self.unit}]")
            return array_to_ns(counted).view("M8[ns]")
        return array_to_ns(values, self.tz).view("M8[ns]")


@dataclass(frozen=True)
class Piece:
    """Some rows of a file.

    Attributes:
        table: the rows, their time in a column `Epoch`.
        rows: how many.
        fraction: how much of the file has been read with them, 0 to 1.
    """

    table: TableLike
    rows: int
    fraction: float


class TableFile(Protocol):
    """A file with a table in it."""

    def schema(self, *, variable: bool) -> Schema:
        """The columns of a bucket that holds the rows of this file."""
        ...

    def pieces(self, schema: Schema) -> Iterator[Piece]:
        """The rows, in order, for a bucket with that schema."""
        ...


def open_table(path: Path, time: TimeColumn) -> TableFile:
    """The reader for a file, by the end of its name.

    Raises:
        InvalidArgumentError: neither .csv, .csv.gz nor .parquet.
    """
    name = path.name.lower()
    if name.endswith((".csv", ".csv.gz")):
        return CsvFile(path, time)
    if name.endswith((".parquet", ".pq")):
        return ParquetFile(path, time)
    raise InvalidArgumentError(f"{path} is neither .csv, .csv.gz nor .parquet; convert it first")


def _check_time(path: Path, time: TimeColumn, names: list[str]) -> None:
    if time.name not in names:
        raise InvalidArgumentError(
            f"{path} has no column {time.name!r}; name the one with the time by --time, of "
            f"{', '.join(names) or 'none'}"
        )


class CsvFile:
    """A CSV file with a header, plain or gzip."""

    def __init__(self, path: Path, time: TimeColumn) -> None:
        self._path = path
        self._time = time

    def schema(self, *, variable: bool) -> Schema:
        """Types that hold every cell: i8, else f8, else text of the greatest width."""
        kinds: dict[str, str] = {}
        for piece in self._read():
            for name, cells in piece.columns.items():
                kinds[name] = _widened(kinds.get(name, "i8"), cells)
        names = [n for n in kinds if n != self._time.name and n not in _TIME_NAMES]
        return Schema.of({name: kinds[name] for name in names}, variable=variable)

    def pieces(self, schema: Schema) -> Iterator[Piece]:
        """The rows, in order, for a bucket with that schema."""
        for piece in self._read():
            table: dict[str, NDArray[Any]] = {}
            for name, cells in piece.columns.items():
                with self._located(name, piece):
                    if name == self._time.name:
                        table["Epoch"] = self._time.read(_numbers(cells))
                    else:
                        table[name] = _parse(cells, schema.dtypes.get(name, _type_of_time(name)))
            yield Piece(table, len(table["Epoch"]), piece.fraction)

    @contextmanager
    def _located(self, name: str, piece: _CsvPiece) -> Iterator[None]:
        try:
            yield
        except (ValueError, OverflowError) as error:
            last = piece.first_row + len(piece.columns[name]) - 1
            raise InvalidArgumentError(
                f"{self._path}: column {name}, rows {piece.first_row} to {last}: {error}"
            ) from None

    def _read(self) -> Iterator[_CsvPiece]:
        try:
            with self._path.open("rb") as raw:
                size = self._path.stat().st_size or 1
                binary: Any = (
                    gzip.GzipFile(fileobj=raw) if self._path.suffix.lower() == ".gz" else raw
                )
                reader = csv.reader(io.TextIOWrapper(binary, "utf-8-sig", newline=""))
                names = next(reader, [])
                self._check_header(names)
                first = 1
                while rows := list(islice(reader, PIECE_ROWS)):
                    self._check_lengths(names, rows, first)
                    columns = zip(names, map(np.array, zip(*rows, strict=True)), strict=True)
                    yield _CsvPiece(dict(columns), first, raw.tell() / size)
                    first += len(rows)
        except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
            raise StorageError(f"cannot read {self._path}: {error}") from None

    def _check_header(self, names: list[str]) -> None:
        _check_time(self._path, self._time, names)
        twice = {name for name in names if names.count(name) > 1}
        if twice:
            raise InvalidArgumentError(f"{self._path} has two columns {min(twice)!r}")

    def _check_lengths(self, names: list[str], rows: list[list[str]], first: int) -> None:
        for number, row in enumerate(rows, first):
            if len(row) != len(names):
                raise InvalidArgumentError(
                    f"{self._path}: row {number} has {len(row)} cells, the header {len(names)}"
                )


@dataclass(frozen=True)
class _CsvPiece:
    columns: dict[str, NDArray[np.str_]]
    first_row: int
    fraction: float


def _widened(kind: str, cells: NDArray[np.str_]) -> str:
    """The narrowest of i8, f8 and text that holds what `kind` holds and these cells."""
    width = max(1, cells.dtype.itemsize // 4)
    if kind[0] == "U":
        return f"U{max(width, int(kind[1:]))}"
    for name in ("i8", "f8")[("i8", "f8").index(kind) :]:
        try:
            _parse(cells, parse_dtype(name))
        except (ValueError, OverflowError):
            continue
        return name
    return f"U{width}"


def _type_of_time(name: str) -> np.dtype[Any]:
    return np.dtype("i8") if name in _TIME_NAMES else np.dtype("U")


def _numbers(cells: NDArray[np.str_]) -> NDArray[Any]:
    """Whole numbers as such, anything else as it is."""
    try:
        return cells.astype(np.int64)
    except (ValueError, OverflowError):
        return cells


def _parse(cells: NDArray[np.str_], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cells as a type of column; the store checks that values fit a narrower one.

    Raises:
        ValueError: a cell is none of that type.
        OverflowError: a whole number beyond 64 bits.
    """
    if dtype.kind == "U":
        return cells
    if dtype.kind == "f":
        return np.where(cells == "", "nan", cells).astype(np.float64)
    if dtype.kind == "b":
        return np.array([_BOOLEANS[text] for text in np.char.lower(cells).tolist()])
    if (cells == "").any():
        raise ValueError(f"empty cell in a column of whole numbers ({dtype})")
    return cells.astype(np.uint64 if dtype.kind == "u" else np.int64)


class ParquetFile:
    """A Parquet file; needs pyarrow."""

    def __init__(self, path: Path, time: TimeColumn) -> None:
        try:
            from pyarrow import parquet
        except ImportError:
            raise InvalidArgumentError(
                f"reading {path} needs pyarrow; `pip install tsstore[frames]`"
            ) from None
        self._path = path
        self._time = time
        try:
            self._file: Any = parquet.ParquetFile(path)
        except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
            raise StorageError(f"cannot read {path}: {error}") from None
        _check_time(path, time, self._file.schema_arrow.names)

    def schema(self, *, variable: bool) -> Schema:
        """The types of the file; text as wide as the longest."""
        import pyarrow as pa
        import pyarrow.compute as pc

        names = [
            field.name
            for field in self._file.schema_arrow
            if field.name != self._time.name and field.name not in _TIME_NAMES
        ]
        types: dict[str, Any] = {}
        for name in names:
            kind = self._file.schema_arrow.field(name).type
            if not (pa.types.is_string(kind) or pa.types.is_large_string(kind)):
                types[name] = np.dtype(kind.to_pandas_dtype())
                continue
            column = self._file.read([name]).column(name)
            types[name] = f"U{max(1, pc.max(pc.utf8_length(column)).as_py() or 1)}"
        return Schema.of(types, variable=variable)

    def pieces(self, schema: Schema) -> Iterator[Piece]:
        """The rows, in order; the store matches the types."""
        del schema
        import pyarrow as pa

        total = max(1, self._file.metadata.num_rows)
        done = 0
        for batch in self._file.iter_batches(PIECE_ROWS):
            table = pa.table(batch)
            index = table.column_names.index(self._time.name)
            times = self._time.read(table.column(index).to_numpy())
            done += len(table)
            yield Piece(table.set_column(index, "Epoch", pa.array(times)), len(table), done / total)
