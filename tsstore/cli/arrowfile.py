"""Parquet and Arrow (Feather) files, by pyarrow."""

from __future__ import annotations

import json
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tsstore import arrow
from tsstore.cli.tablefile import Layout, Piece, Symbols
from tsstore.errors import InvalidArgumentError, StorageError, TsStoreError
from tsstore.schema import Schema, type_name

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

PIECE_ROWS = 250_000
#: Key of the metadata in which an exported file carries the schema of its bucket.
SCHEMA_KEY = b"tsstore.schema"

_FILE_MAGIC = b"ARROW1"


def dump_schema(schema: Schema) -> bytes:
    """A schema as metadata of a file: types as the store names them, widths of text included."""
    columns = [[name, type_name(dtype)] for name, dtype in schema.columns]
    return json.dumps(
        {"columns": columns, "variable": schema.is_variable, "identity": schema.identity}
    ).encode()


def _load_schema(metadata: dict[bytes, bytes] | None) -> Schema | None:
    text = (metadata or {}).get(SCHEMA_KEY)
    if text is None:
        return None
    try:
        found = json.loads(text)
        return Schema.of(
            [(name, dtype) for name, dtype in found["columns"]],
            variable=found["variable"],
            identity=found["identity"],
        )
    except (ValueError, KeyError, TypeError):
        return None  # not ours, or of a later version: the types of the file tell enough


class _Batches(Protocol):
    """An open file."""

    #: The pyarrow.Schema of the batches.
    schema: Any

    def batches(self, names: list[str]) -> Iterator[tuple[Any, float]]:
        """Its record batches with these columns, each with how much was read, 0 to 1."""
        ...


class _Reader:
    """What Parquet and Arrow files have in common."""

    def __init__(self, path: Path, layout: Layout, source: _Batches, *, with_symbol: bool) -> None:
        self._path = path
        self._source = source
        self._layout = layout.settled(path, source.schema.names, with_symbol=with_symbol)

    def schema(self, *, variable: bool) -> Schema:
        """The schema of the bucket the file was exported from, else the types of the file.

        Text is as wide as the longest value.
        """
        carried = _load_schema(self._source.schema.metadata)
        if carried is not None and carried.is_variable >= variable:
            return carried
        layout = self._layout
        names = [n for n in self._source.schema.names if layout.is_data(n, variable=variable)]
        types: dict[str, Any] = {}
        for name in names:
            declared = layout.types.get(name)
            known = None if declared is None or declared.itemsize == 0 else declared
            dtype = known if known is not None else self._dtype(name)
            types[layout.stored_name(name)] = dtype
        return layout.arranged(types, variable=variable)

    def _dtype(self, name: str) -> Any:
        import pyarrow as pa
        import pyarrow.compute as pc

        kind = self._source.schema.field(name).type
        kind = kind.value_type if pa.types.is_dictionary(kind) else kind
        texts = pa.types.is_string(kind) or pa.types.is_large_string(kind)
        if not texts and not pa.types.is_string_view(kind):
            if pa.types.is_floating(kind) or pa.types.is_integer(kind) or pa.types.is_boolean(kind):
                return "f4" if pa.types.is_float16(kind) else np.dtype(kind.to_pandas_dtype())
            raise InvalidArgumentError(
                f"{self._path}: column {name!r} is {kind}, which no column of a bucket holds; "
                "convert it to an integer, a float, a boolean or text"
            )
        widest = 1
        for batch, _ in self._source.batches([name]):
            lengths = pc.utf8_length(batch.column(0).cast(pa.string()))
            widest = max(widest, pc.max(lengths).as_py() or 0)
        return f"U{widest}"

    def pieces(self, schema: Schema) -> Iterator[Piece]:
        """The rows, in order, for buckets with that schema."""
        del schema
        first = 0
        for batch, fraction in self._source.batches(self._source.schema.names):
            try:
                yield self._piece(batch, fraction)
            except InvalidArgumentError as error:
                last = first + len(batch) - 1
                raise InvalidArgumentError(
                    f"{self._path}, rows {first} to {last}: {error}"
                ) from None
            first += len(batch)

    def _piece(self, batch: Any, fraction: float) -> Piece:
        layout = self._layout
        symbols = None
        if layout.symbol is not None:
            symbols = self._symbols(batch.column(layout.symbol))
            batch = batch.drop_columns([layout.symbol])
        columns, aware = arrow.read_stream(batch)
        times = columns.pop(layout.time or "")
        zoned = Layout(unit=layout.unit) if layout.time in aware else layout
        table: dict[str, NDArray[Any]] = {"Epoch": zoned.read_times(times)}
        for name, values in columns.items():
            table[layout.stored_name(name)] = values
        layout.fill(table)
        return Piece(table, fraction, symbols)

    def _symbols(self, column: Any) -> Symbols:
        import pyarrow as pa

        if column.null_count:
            raise InvalidArgumentError(f"a symbol in column {self._layout.symbol!r} is missing")
        if not pa.types.is_dictionary(column.type):
            column = column.dictionary_encode()
        names = column.dictionary.cast(pa.string()).to_pylist()
        return Symbols(names, column.indices.to_numpy())


class ParquetFile(_Reader):
    """A Parquet file.

    Raises:
        InvalidArgumentError: pyarrow is not installed, or the file lacks a column.
        StorageError: the file cannot be read.
    """

    def __init__(self, path: Path, layout: Layout, *, with_symbol: bool) -> None:
        super().__init__(path, layout, _ParquetBatches(path), with_symbol=with_symbol)


class ArrowFile(_Reader):
    """An Arrow IPC file or stream; Feather is the same.

    Raises:
        InvalidArgumentError: pyarrow is not installed, or the file lacks a column.
        StorageError: the file cannot be read.
    """

    def __init__(self, path: Path, layout: Layout, *, with_symbol: bool) -> None:
        super().__init__(path, layout, _IpcBatches(path), with_symbol=with_symbol)


class _ParquetBatches:
    def __init__(self, path: Path) -> None:
        _need_pyarrow(path)
        from pyarrow import parquet

        self._path = path
        with _readable(path):
            self._file: Any = parquet.ParquetFile(path)
        self.schema = self._file.schema_arrow

    def batches(self, names: list[str]) -> Iterator[tuple[Any, float]]:
        total = max(1, self._file.metadata.num_rows)
        done = 0
        with _readable(self._path):
            for batch in self._file.iter_batches(PIECE_ROWS, columns=names):
                done += len(batch)
                yield batch, done / total


class _IpcBatches:
    def __init__(self, path: Path) -> None:
        _need_pyarrow(path)
        self._path = path
        with _readable(path), self._open() as (_, reader):
            self.schema = reader.schema

    @contextmanager
    def _open(self) -> Iterator[tuple[Any, Any]]:
        """The file and a reader of it; files and streams differ in their first bytes."""
        import pyarrow as pa

        with pa.memory_map(str(self._path)) as file:
            if file.read(len(_FILE_MAGIC)) == _FILE_MAGIC:
                yield file, pa.ipc.open_file(file)
            else:
                file.seek(0)
                yield file, pa.ipc.open_stream(file)

    def batches(self, names: list[str]) -> Iterator[tuple[Any, float]]:
        with _readable(self._path), self._open() as (file, reader):
            for batch in _record_batches(reader):
                chosen = batch.select(names)
                for first in range(0, len(chosen), PIECE_ROWS):
                    yield chosen.slice(first, PIECE_ROWS), file.tell() / file.size()


def _record_batches(reader: Any) -> Iterator[Any]:
    count = getattr(reader, "num_record_batches", None)
    if count is None:
        yield from reader
        return
    for number in range(count):
        yield reader.get_batch(number)


def _need_pyarrow(path: Path) -> None:
    try:
        import pyarrow  # noqa: ICN001, F401
    except ImportError:
        raise InvalidArgumentError(
            f"reading {path} needs pyarrow; `pip install tsstore[frames]`"
        ) from None


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except TsStoreError:
        raise
    except (OSError, ValueError) as error:  # pyarrow's errors are ValueErrors
        raise StorageError(f"cannot read {path}: {error}; is it whole?") from None
