"""`tsstore sql`: the rows of a statement."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tsstore.cli.locate import locate, location_options
from tsstore.cli.output import FORMATS, print_table
from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

    from tsstore.cli.output import Row
    from tsstore.sql import SqlResult

_PIECE_ROWS = 10_000
_UNITS = ("s", "ms", "us", "ns")


@click.command("sql")
@click.argument("statement")
@click.option(
    "--format",
    "style",
    type=click.Choice((*FORMATS, "parquet")),
    default="table",
    show_default=True,
)
@click.option("--timeout", "timeout_s", type=float, help="Longest time it may take, in seconds.")
@location_options
def command(statement: str, style: str, timeout_s: float | None, **where: Any) -> None:
    """Print the rows of STATEMENT, or of the one on standard input if it is a dash.

    Tables are buckets, in double quotes or backticks: "AAPL/1Min/OHLCV", or many symbols with a
    column Symbol: "*/1Min/OHLCV". Times are Epoch, in UTC.

        tsstore sql 'SELECT Symbol, max(High) FROM "*/1D/OHLCV" GROUP BY Symbol'
    """
    text = sys.stdin.read() if statement == "-" else statement
    with locate(**where).open_to_read() as store:
        result = store.sql(text, timeout_s=timeout_s)
    if style in ("arrow", "parquet"):
        _write_binary(result, style)
        return
    print_table(result.names, pieces(result.to_arrow()), style)


def _write_binary(result: SqlResult, style: str) -> None:
    stream = sys.stdout.buffer
    if stream.isatty():
        raise InvalidArgumentError(f"{style} is binary; write it to a file: `... > rows.{style}`")
    if style == "arrow":
        stream.write(result.to_ipc())
    else:
        import pyarrow as pa
        from pyarrow import parquet

        sink = pa.BufferOutputStream()  # a file of Parquet ends with what a pipe cannot go back to
        parquet.write_table(result.to_arrow(), sink, compression="zstd")
        stream.write(memoryview(sink.getvalue()))
    stream.flush()


def pieces(table: pa.Table) -> Iterator[list[Row]]:
    """Rows of plain values."""
    units = {name: _unit(table.column(name)) for name in table.column_names}
    for start in range(0, table.num_rows, _PIECE_ROWS):
        part = table.slice(start, _PIECE_ROWS)
        columns = [_values(part.column(name), units[name]) for name in part.column_names]
        yield list(zip(*columns, strict=True))


def _unit(column: pa.ChunkedArray) -> str:
    """The coarsest unit that shows all times of a column; empty for other columns."""
    import pyarrow as pa

    if not pa.types.is_timestamp(column.type):
        return ""
    times = column.to_numpy()
    for unit in _UNITS:
        same = times.astype(f"M8[{unit}]") == times
        if unit == column.type.unit or (same | np.isnat(times)).all():
            return unit
    return str(column.type.unit)


def _values(column: pa.ChunkedArray, unit: str) -> list[Any]:
    """Values that CSV and JSON know: times as ISO 8601, other things as text."""
    import pyarrow as pa

    kind = column.type
    if unit:
        suffix = "Z" if kind.tz else ""
        texts: list[str] = column.to_numpy().astype(f"M8[{unit}]").astype(str).tolist()
        return [None if text == "NaT" else text + suffix for text in texts]
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    values: list[Any] = column.to_pylist()
    plain = (
        pa.types.is_integer, pa.types.is_floating, pa.types.is_boolean, pa.types.is_string,
        pa.types.is_null,
    )  # fmt: skip
    if any(is_plain(kind) for is_plain in plain):
        return values
    return [None if value is None else str(value) for value in values]
