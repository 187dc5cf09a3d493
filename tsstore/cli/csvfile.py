"""CSV files, plain or gzip: quickly with pyarrow, slowly with nothing but Python.

Cells take the types of the bucket. For a new bucket the whole file is looked at first, so that a
column that begins with `100` and goes on with `100.5` is float, and one that goes on with `1O0` is
an error, which the slow reader finds: it knows the lines.
"""

from __future__ import annotations

import re
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.cli.csvcells import NotReadQuicklyError, TooNarrowError, is_number
from tsstore.cli.csvquick import read_quickly
from tsstore.cli.csvslow import open_csv, read_slowly
from tsstore.cli.tablefile import TEXT, Layout, Piece, Symbols
from tsstore.errors import InvalidArgumentError
from tsstore.schema import Schema, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.cli.csvcells import Batch, Types

#: Rows from which the first guess of types is made.
_GUESS_ROWS = 1_000

_WIDER = {"i8": "u8", "u8": "f8"}
_DIGITS = re.compile(r"\s*-?\d+\s*", re.ASCII)


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
        with open_csv(self._path) as file:
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
            for batch in self._quickly(types):
                piece = self._piece(batch)
                done += len(piece)
                yield piece
        except NotReadQuicklyError:
            yield from map(self._piece, read_slowly(self._path, types, done))

    def _quickly(self, types: Types, wanted: list[str] | None = None) -> Iterator[Batch]:
        ordered = {name: types[name] for name in self._names}
        return read_quickly(self._path, ordered, self._layout, wanted)

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
        if cells and not any(map(is_number, cells)):
            return TEXT
        return np.dtype(np.int64)

    def _widths(self, types: Types, unknown: set[str]) -> dict[str, int]:
        """Widen the types of these columns until they hold every cell; widths of those of text."""
        while True:
            try:
                return self._widths_of(types, [name for name in self._names if name in unknown])
            except TooNarrowError as error:
                if error.name not in unknown:
                    raise
                types[error.name] = self._widened(types[error.name], error)

    def _widths_of(self, types: Types, unknown: list[str]) -> dict[str, int]:
        widths = {name: 1 for name in unknown if types[name] == TEXT}
        try:
            for batch in self._quickly(types, unknown):
                _grow(widths, batch.columns)
        except NotReadQuicklyError as error:
            if error.name is not None and types[error.name].kind == "i":
                raise TooNarrowError(error.name, "") from None
            for batch in read_slowly(self._path, types, 0):
                _grow(widths, batch.columns)
        return widths

    def _widened(self, dtype: np.dtype[Any], error: TooNarrowError) -> np.dtype[Any]:
        wider = _WIDER.get(type_name(dtype))
        if wider is not None:
            return np.dtype(wider)
        if not self._cells(error.name) and self._begins_with_text(error.name):
            return TEXT
        raise InvalidArgumentError(f"{error}, or declare it with --type {error.name}=text")

    def _begins_with_text(self, name: str) -> bool:
        """Whether the first cell of a column that is not empty is no number."""
        place = self._names.index(name)
        with open_csv(self._path) as file:
            cells = (row[place] for row in islice(file.rows(), 1, None) if len(row) > place)
            return not is_number(next(filter(None, cells), "0"))

    def _piece(self, batch: Batch) -> Piece:
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

    def _times(self, batch: Batch) -> NDArray[np.datetime64]:
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
                raise NotReadQuicklyError(layout.time) from None
            raise self._not_a_time(_plain(values), batch.lines) from None

    def _not_a_time(self, values: NDArray[Any], lines: list[int]) -> InvalidArgumentError:
        for at, line in enumerate(lines):
            try:
                self._layout.read_times(values[at : at + 1])
            except InvalidArgumentError as error:
                where = f"{self._path}, line {line}, column {self._layout.time}"
                return InvalidArgumentError(f"{where}: {error}")
        raise AssertionError("every time by itself is right")


def _grow(widths: dict[str, int], columns: dict[str, Any]) -> None:
    for name, width in widths.items():
        widths[name] = max(width, *map(len, columns[name].names))


def _plain(values: Any) -> NDArray[Any]:
    """A column as an array, text written out."""
    if not isinstance(values, Symbols):
        return np.asarray(values)
    return np.array(values.names, str)[values.codes] if values.names else np.empty(0, "U1")
