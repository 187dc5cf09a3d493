"""CSV files, plain or gzip: quickly with pyarrow, slowly with nothing but Python.

Cells take the types of the bucket. For a new bucket the whole file is looked at first, so that a
column that begins with `100` and goes on with `100.5` is float, and one that goes on with `1O0` is
an error, which the slow reader finds: it knows the lines.
"""

from __future__ import annotations

import csv
import gzip
import io
import os
import re
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.cli.tablefile import TEXT, Layout, Piece, Symbols
from tsstore.errors import InvalidArgumentError, StorageError
from tsstore.schema import Schema, type_name
from tsstore.times import array_to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

#: Rows that the slow reader reads at a time, and that the first guess of types is made from.
PIECE_ROWS = 100_000
_GUESS_ROWS = 1_000
_BLOCK_BYTES = 4 << 20

_BOOLEANS = {"true": True, "t": True, "1": True, "false": False, "f": False, "0": False}
_WIDER = {"i8": "u8", "u8": "f8"}
_FAILED_COLUMN = re.compile(r"In CSV column #(\d+)")
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$", re.ASCII)
_DIGITS = re.compile(r"\s*-?\d+\s*", re.ASCII)

# Both readers round decimals the same way: to double precision first.
_READ_AS = {np.dtype(np.float32): np.dtype(np.float64)}

Types = dict[str, np.dtype[Any]]


class CsvFile:
    """A CSV file with a header.

    Args:
        path: where it is; a name that ends in .gz is unpacked.
        layout: what its columns are.
        with_symbol: whether its rows are of many symbols.

    Raises:
        InvalidArgumentError: the header lacks a column or has one twice.
        StorageError: the file cannot be read.
    """

    def __init__(self, path: Path, layout: Layout, *, with_symbol: bool) -> None:
        self._path = path
        with self._open() as file:
            rows = file.rows()
            self._names: list[str] = next(rows, [])
            self._first = [row for row in islice(rows, _GUESS_ROWS) if row]
        self._layout = layout.settled(path, self._names, with_symbol=with_symbol)

    def schema(self, *, variable: bool) -> Schema:
        """Types that hold every cell: i8, u8, else f8; b1; or text of the greatest width."""
        types = self._types({})
        names = [name for name in self._names if self._layout.is_data(name, variable=variable)]
        guessed = [name for name in self._names if name not in types]
        types.update({name: self._guess(name) for name in guessed})
        unknown = {*guessed, *(name for name in names if types[name] == TEXT)}
        widths = self._widths(types, unknown) if unknown else {}
        columns: dict[str, Any] = {}
        for name in names:
            dtype = f"U{widths[name]}" if types[name] == TEXT else types[name]
            columns[self._layout.stored_name(name)] = dtype
        return self._layout.arranged(columns, variable=variable)

    def pieces(self, schema: Schema) -> Iterator[Piece]:
        """The rows, in order, for buckets with that schema."""
        types = self._types(schema.dtypes)
        types |= {name: TEXT for name in self._names if name not in types}
        done = 0
        try:
            for batch in self._read_quickly(types):
                piece = self._piece(batch)
                done += len(piece)
                yield piece
        except _NotReadQuicklyError:
            yield from map(self._piece, self._read_slowly(types, done))

    def _types(self, stored: Mapping[str, np.dtype[Any]]) -> Types:
        """What is known of the types before any cell is looked at."""
        layout = self._layout
        types: Types = {}
        for name in self._names:
            known = stored.get(layout.stored_name(name)) or layout.types.get(name)
            if name == layout.time:
                counted = all(_DIGITS.fullmatch(cell) for cell in self._cells(name))
                types[name] = np.dtype(np.int64) if counted else TEXT
            elif name == layout.symbol:
                types[name] = TEXT
            elif known is not None:
                types[name] = known
            elif name == "Nanoseconds":
                types[name] = np.dtype(np.int64)
        return types

    def _cells(self, name: str) -> list[str]:
        """The first cells of a column that are not empty."""
        place = self._names.index(name)
        return [row[place] for row in self._first if len(row) > place and row[place]]

    def _guess(self, name: str) -> np.dtype[Any]:
        cells = self._cells(name)
        if cells and all(cell.lower() in ("true", "false") for cell in cells):
            return np.dtype(bool)
        if cells and not any(map(_is_number, cells)):
            return TEXT
        return np.dtype(np.int64)

    def _widths(self, types: Types, unknown: set[str]) -> dict[str, int]:
        """Widen the types of these columns until they hold every cell; widths of those of text."""
        while True:
            try:
                return self._widths_of(types, [name for name in self._names if name in unknown])
            except _TooNarrowError as error:
                if error.name not in unknown:
                    raise
                types[error.name] = self._widened(types[error.name], error)

    def _widths_of(self, types: Types, unknown: list[str]) -> dict[str, int]:
        widths = {name: 1 for name in unknown if types[name] == TEXT}
        try:
            for batch in self._read_quickly(types, unknown):
                _grow(widths, batch.columns)
        except _NotReadQuicklyError as error:
            if error.name is not None and types[error.name].kind == "i":
                raise _TooNarrowError(error.name, "") from None
            for batch in self._read_slowly(types, 0):
                _grow(widths, batch.columns)
        return widths

    def _widened(self, dtype: np.dtype[Any], error: _TooNarrowError) -> np.dtype[Any]:
        wider = _WIDER.get(type_name(dtype))
        if wider is not None:
            return np.dtype(wider)
        if not self._cells(error.name) and self._begins_with_text(error.name):
            return TEXT
        raise InvalidArgumentError(f"{error}, or declare it with --type {error.name}=text")

    def _begins_with_text(self, name: str) -> bool:
        """Whether the first cell of a column that is not empty is no number."""
        place = self._names.index(name)
        with self._open() as file:
            cells = (row[place] for row in islice(file.rows(), 1, None) if len(row) > place)
            return not _is_number(next(filter(None, cells), "0"))

    def _piece(self, batch: _Batch) -> Piece:
        """Columns as they were read, under the names and with the time of the store."""
        layout = self._layout
        columns = dict(batch.columns)
        symbols = columns.pop(layout.symbol) if layout.symbol else None
        table: dict[str, NDArray[Any]] = {"Epoch": self._times(batch)}
        for name, values in columns.items():
            if name != layout.time:
                table[layout.stored_name(name)] = _plain(values)
        layout.fill(table)
        return Piece(table, batch.fraction, symbols)

    def _times(self, batch: _Batch) -> NDArray[np.datetime64]:
        layout = self._layout
        values = batch.columns[layout.time or ""]
        try:
            if not isinstance(values, Symbols) and values.dtype.kind == "M":
                return np.asarray(values)
            if isinstance(values, Symbols):  # a minute of many symbols is read once
                times = layout.read_times(np.array(values.names, str))
                return np.asarray(times[values.codes])
            return layout.read_times(values)
        except InvalidArgumentError:
            if batch.lines is None:
                raise _NotReadQuicklyError(layout.time) from None
            raise self._not_a_time(_plain(values), batch.lines) from None

    def _not_a_time(self, values: NDArray[Any], lines: list[int]) -> InvalidArgumentError:
        for at, line in enumerate(lines):
            try:
                self._layout.read_times(values[at : at + 1])
            except InvalidArgumentError as error:
                where = f"{self._path}, line {line}, column {self._layout.time}"
                return InvalidArgumentError(f"{where}: {error}")
        raise AssertionError("every time by itself is right")

    # The quick reader.

    def _read_quickly(self, types: Types, wanted: list[str] | None = None) -> Iterator[_Batch]:
        """Rows, some at a time; only these columns, if they are given.

        Raises:
            _NotReadQuicklyError: there is no pyarrow, or a cell it cannot read.
            StorageError: the file cannot be read.
        """
        try:
            import pyarrow as pa
            from pyarrow import csv as arrow_csv
        except ImportError:
            raise _NotReadQuicklyError(None) from None
        arrow_types = {
            name: pa.dictionary(pa.int32(), pa.string())
            if dtype.kind == "U"
            else pa.from_numpy_dtype(_READ_AS.get(dtype, dtype))
            for name, dtype in types.items()
        }
        if types[self._layout.time or ""] == TEXT:
            arrow_types[self._layout.time or ""] = pa.string()
        convert = arrow_csv.ConvertOptions(
            column_types=arrow_types,
            include_columns=wanted,
            null_values=[""],
            true_values=["true", "True", "TRUE", "t", "T", "1"],
            false_values=["false", "False", "FALSE", "f", "F", "0"],
        )
        try:
            with self._readable(), pa.OSFile(str(self._path)) as raw:
                # Unpacked by Arrow, ahead of the rows and beside the writing of others.
                octets = pa.CompressedInputStream(raw, "gzip") if self._is_packed else raw
                size = max(1, raw.size())
                batches = arrow_csv.open_csv(
                    octets,
                    arrow_csv.ReadOptions(block_size=_BLOCK_BYTES),
                    arrow_csv.ParseOptions(newlines_in_values=True),
                    convert,
                )
                for batch in batches:
                    yield _Batch(self._from_arrow(batch, types), raw.tell() / size)
        except ValueError as error:  # pyarrow's errors, and numbers that do not fit
            found = _FAILED_COLUMN.match(str(error))
            raise _NotReadQuicklyError(self._names[int(found[1])] if found else None) from None

    def _from_arrow(self, batch: Any, types: Types) -> dict[str, Any]:
        columns: dict[str, Any] = {}
        for name, array in zip(batch.schema.names, batch.columns, strict=True):
            kind = types[name].kind
            if kind == "U" and name == self._layout.time:
                columns[name] = _instants(array, self._layout.tz)
                continue
            if kind == "U":
                columns[name] = Symbols(array.dictionary.to_pylist(), array.indices.to_numpy())
                continue
            if array.null_count and kind != "f":
                raise _NotReadQuicklyError(name)
            values = array.to_numpy(zero_copy_only=False)
            columns[name] = _narrowed(values, types[name])
        return columns

    # The slow reader.

    def _read_slowly(self, types: Types, skipped: int) -> Iterator[_Batch]:
        """The same, from row `skipped` on, with errors that name line and column."""
        with self._open() as file:
            rows = file.rows()
            next(rows, None)
            numbered = ((rows.line_num, row) for row in rows if row)
            for _ in islice(numbered, skipped):
                pass
            while piece := list(islice(numbered, PIECE_ROWS)):
                lines = [line for line, _ in piece]
                self._check_lengths(piece)
                cells = zip(*(row for _, row in piece), strict=True)
                columns = {
                    name: self._parsed(name, texts, types[name], lines)
                    for name, texts in zip(self._names, cells, strict=True)
                }
                yield _Batch(columns, file.fraction, lines)

    def _check_lengths(self, piece: list[tuple[int, list[str]]]) -> None:
        for line, row in piece:
            if len(row) != len(self._names):
                raise InvalidArgumentError(
                    f"{self._path}, line {line}: {len(row)} cells, where the header has "
                    f"{len(self._names)}; correct the line"
                )

    def _parsed(
        self, name: str, cells: tuple[str, ...], dtype: np.dtype[Any], lines: list[int]
    ) -> Any:
        if dtype.kind == "U":
            places: dict[str, int] = {}
            codes = [places.setdefault(cell, len(places)) for cell in cells]
            return Symbols(list(places), np.array(codes, np.int32))
        try:
            return _parse(np.array(cells), dtype)
        except (ValueError, OverflowError):
            at = next(at for at, cell in enumerate(cells) if not _fits(cell, dtype))
        raise _TooNarrowError(
            name,
            f"{self._path}, line {lines[at]}, column {name}: {_complaint(cells[at], dtype)}; "
            "correct the cell",
        )

    @property
    def _is_packed(self) -> bool:
        return self._path.suffix.lower() == ".gz"

    @contextmanager
    def _open(self) -> Iterator[_Input]:
        with self._readable(), self._path.open("rb") as raw:
            octets: Any = gzip.GzipFile(fileobj=raw) if self._is_packed else raw
            yield _Input(octets, raw, max(1, os.fstat(raw.fileno()).st_size))

    @contextmanager
    def _readable(self) -> Iterator[None]:
        try:
            yield
        except UnicodeDecodeError as error:
            raise InvalidArgumentError(
                f"{self._path} is not UTF-8: {error.reason}; convert it, with iconv for example"
            ) from None
        except (OSError, EOFError, zlib.error, csv.Error) as error:
            raise StorageError(f"cannot read {self._path}: {error}; is it whole?") from None


@dataclass(frozen=True)
class _Input:
    """An open file: what is in it unpacked, and as it is on disk."""

    octets: Any
    raw: Any
    size: int

    @property
    def fraction(self) -> float:
        """How much of it has been read, 0 to 1."""
        return float(self.raw.tell() / self.size)

    def rows(self) -> Any:
        """The rows as lists of text, the header first; `line_num` is the line of the last one."""
        return csv.reader(io.TextIOWrapper(self.octets, "utf-8-sig", newline=""))


@dataclass(frozen=True)
class _Batch:
    """Rows as they were read.

    Attributes:
        columns: arrays by the names in the file; text as Symbols.
        fraction: how much of the file has been read with them.
        lines: where each row ends; None if it is not known.
    """

    columns: dict[str, Any]
    fraction: float
    lines: list[int] | None = None


class _NotReadQuicklyError(Exception):
    """The quick reader cannot: the slow one reads it, or says why not.

    Attributes:
        name: the column, if it is known.
    """

    def __init__(self, name: str | None) -> None:
        super().__init__(name)
        self.name = name


class _TooNarrowError(InvalidArgumentError):
    """A cell does not fit the type of its column.

    Attributes:
        name: the column.
    """

    def __init__(self, name: str, text: str) -> None:
        super().__init__(text)
        self.name = name


def _instants(array: Any, tz: str | None) -> NDArray[Any]:
    """Times as datetime64[ns] in UTC if Arrow can read them, which is fast; else as text."""
    import pyarrow as pa

    zoned = len(array) > 0 and _ZONE.search(array[0].as_py() or "") is not None
    try:
        times = array.cast(pa.timestamp("ns", "UTC" if zoned else None))
    except pa.ArrowInvalid:
        return np.array(array.to_pylist(), str)
    wall = times.to_numpy(zero_copy_only=False)
    return array_to_ns(wall, None if zoned else tz).view("M8[ns]")


def _grow(widths: dict[str, int], columns: dict[str, Any]) -> None:
    for name, width in widths.items():
        widths[name] = max(width, *map(len, columns[name].names))


def _plain(values: Any) -> NDArray[Any]:
    """A column as an array, text written out."""
    if not isinstance(values, Symbols):
        return np.asarray(values)
    return np.array(values.names, str)[values.codes] if values.names else np.empty(0, "U1")


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def _parse(cells: NDArray[np.str_], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Cells as a type of column, other than text.

    Raises:
        ValueError: a cell is none of that type.
        OverflowError: a whole number beyond 64 bits.
    """
    if dtype.kind == "b":
        lowered = np.char.lower(cells).tolist()
        if not _BOOLEANS.keys() >= set(lowered):
            raise ValueError("neither true nor false")
        return np.array([_BOOLEANS[text] for text in lowered])
    if dtype.kind == "f":
        return _narrowed(np.where(cells == "", "nan", cells).astype(np.float64), dtype)
    return _narrowed(cells.astype(np.uint64 if dtype.kind == "u" else np.int64), dtype)


def _narrowed(values: NDArray[Any], dtype: np.dtype[Any]) -> NDArray[Any]:
    """Numbers in the type of a column; of a decimal number, the nearest it has.

    Raises:
        ValueError: a number is beyond the type.
    """
    if values.dtype == dtype:
        return values
    with np.errstate(over="ignore"):
        narrow = values.astype(dtype)
    lost = np.isinf(narrow) & np.isfinite(values) if dtype.kind == "f" else narrow != values
    if lost.any():
        raise ValueError("beyond the type")
    return narrow


def _fits(cell: str, dtype: np.dtype[Any]) -> bool:
    try:
        _parse(np.array([cell]), dtype)
    except (ValueError, OverflowError):
        return False
    return True


def _complaint(cell: str, dtype: np.dtype[Any]) -> str:
    if dtype.kind == "b":
        return f"{cell!r} is neither true nor false"
    if cell == "":
        return f"an empty cell in a column of whole numbers ({type_name(dtype)})"
    if dtype.kind == "f" or not _is_number(cell):
        return f"{cell!r} is not a number ({type_name(dtype)})"
    return f"{cell!r} is not a whole number that {type_name(dtype)} holds"
