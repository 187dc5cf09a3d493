"""Rows as a CSV, Parquet or Arrow file, written in pieces; the file is there when it is whole."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

import numpy as np

from tsstore.cli.arrowfile import SCHEMA_KEY, dump_schema
from tsstore.errors import InvalidArgumentError
from tsstore.vfs import OsFileSystem, storage_error
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from pathlib import Path
    from types import TracebackType

    from tsstore.columns import Columns
    from tsstore.schema import Schema

STYLES = ("csv", "parquet", "arrow")
TIMES = ("iso", "epoch")
# Short buckets are gathered, so that a file of thousands of them does not become as many pieces.
_GROUP_ROWS = 128_000


class TableWriter:
    """A file that rows are written to, as a context manager.

    It is written under another name; leaving the context puts it in its place, leaving it with an
    error leaves what was there before.

    Args:
        path: the file.
        style: one of `STYLES`.
        schema: of the rows. Parquet and Arrow carry it in their metadata.
        tz: zone in which times are written.
        times: `iso` for timestamps; `epoch` for whole seconds, with `Nanoseconds` beside them in
            rows of a variable bucket.
        with_symbol: whether the first column is the symbol.

    Raises:
        InvalidArgumentError: pyarrow is not installed, or a column cannot be written.
        StorageError: the disk refused.
    """

    def __init__(
        self, path: Path, style: str, schema: Schema, *, tz: str, times: str, with_symbol: bool
    ) -> None:
        try:
            import pyarrow as pa
        except ImportError:
            raise InvalidArgumentError(
                f"writing {path} needs pyarrow; `pip install tsstore[frames]`"
            ) from None
        self._path = path
        self._part = path.with_name(f".{path.name}.part")
        self._style = style
        self._times = times
        self._stored = schema
        self._schema = _arrow_schema(pa, schema, style, tz, times, with_symbol=with_symbol)
        self._waiting: list[Any] = []
        self._waiting_rows = 0

    def __enter__(self) -> Self:
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = _open(self._part, self._style, self._schema)
        except OSError as error:
            raise storage_error("create", str(self._part), error) from None
        except UnicodeEncodeError:  # Arrow opens files by names that are text
            raise InvalidArgumentError(
                f"the name {str(self._path)!a} is no Unicode text; choose another"
            ) from None
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        try:
            if kind is None:
                self._write_waiting()
            self._writer.close()
            if kind is None:
                OsFileSystem(self._path.parent).sync_files([self._part.name])
                self._part.replace(self._path)
        except OSError as refused:
            raise storage_error("write", str(self._path), refused) from None
        finally:
            self._part.unlink(missing_ok=True)

    def write(self, rows: Columns, symbol: str | None = None) -> None:
        """Write some more rows.

        Args:
            rows: with the columns of the schema.
            symbol: of these rows, where the file has symbols.
        """
        if len(rows) == 0:
            return
        self._waiting.append(self._table(rows, symbol))
        self._waiting_rows += len(rows)
        if self._waiting_rows >= _GROUP_ROWS:
            self._write_waiting()

    def _write_waiting(self) -> None:
        import pyarrow as pa

        if not self._waiting:
            return
        table = pa.concat_tables(self._waiting).combine_chunks()
        self._waiting, self._waiting_rows = [], 0
        try:
            self._writer.write_table(table)
        except OSError as error:
            raise storage_error("write", str(self._part), error) from None

    def _table(self, rows: Columns, symbol: str | None) -> Any:
        """The rows as an Arrow table of the file's schema."""
        import pyarrow as pa

        table = pa.table(rows)
        arrays = dict(zip(table.column_names, table.columns, strict=True))
        if self._times == "epoch":
            arrays["Epoch"] = pa.array(rows["Epoch"])
            if self._stored.is_variable:
                arrays["Nanoseconds"] = pa.array((rows.ts % NS_PER_SECOND).astype(np.int32))
        if symbol is not None:
            arrays["Symbol"] = pa.repeat(symbol, len(rows))
        convert = _for_csv if self._style == "csv" else _unchanged
        return pa.table(
            [convert(arrays[field.name]).cast(field.type) for field in self._schema],
            schema=self._schema,
        )


def _arrow_schema(
    pa: Any, schema: Schema, style: str, tz: str, times: str, *, with_symbol: bool
) -> Any:
    if with_symbol and "Symbol" in schema.names:
        raise InvalidArgumentError(
            "the buckets have a column Symbol themselves; export them to a directory"
        )
    # Rows of fixed buckets begin at whole seconds.
    unit = "s" if style == "csv" and not schema.is_variable else "ns"
    fields = [("Symbol", pa.string())] if with_symbol else []
    if times == "epoch":
        fields.append(("Epoch", pa.int64()))
        if schema.is_variable:
            fields.append(("Nanoseconds", pa.int32()))
    else:
        fields.append(("Epoch", pa.timestamp(unit, tz)))
    for name, dtype in schema.columns:
        kind = pa.string() if dtype.kind == "U" else pa.from_numpy_dtype(dtype)
        fields.append((name, pa.float64() if style == "csv" and kind == pa.float32() else kind))
    metadata = None if style == "csv" else {SCHEMA_KEY: dump_schema(schema)}
    return pa.schema(fields, metadata=metadata)


def _unchanged(column: Any) -> Any:
    return column


def _for_csv(column: Any) -> Any:
    """NaN as an empty cell, and 0.1 of single precision as 0.1 and not 0.10000000149011612."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not pa.types.is_floating(column.type):
        return column
    if pa.types.is_float32(column.type):
        short = column.cast(pa.string()).cast(pa.float64())
        exact = pc.equal(short.cast(pa.float32(), safe=False), column)
        column = pc.if_else(exact, short, column.cast(pa.float64()))
    return pc.if_else(pc.is_nan(column), pa.scalar(None, pa.float64()), column)


def _open(path: Path, style: str, schema: Any) -> Any:
    import pyarrow as pa
    from pyarrow import csv, parquet

    if style == "csv":
        return csv.CSVWriter(path, schema)
    if style == "parquet":
        return parquet.ParquetWriter(path, schema, compression="zstd")
    return pa.ipc.new_file(str(path), schema)
