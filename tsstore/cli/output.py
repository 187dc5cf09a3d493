"""Rows on standard output: a table for people, CSV and JSON for tools, Arrow for programs.

Everything is written in pieces, so that memory does not grow with the number of rows and `head`
gets its lines at once.
"""

from __future__ import annotations

import csv
import io
import sys
from typing import TYPE_CHECKING, Any, Protocol

import click
import msgspec
import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.zones import utc_offsets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.columns import Columns

FORMATS = ("table", "csv", "json", "arrow")
_PIECE_ROWS = 10_000
_SECOND_NS = 1_000_000_000
_UNITS = (("s", _SECOND_NS), ("ms", 1_000_000), ("us", 1_000), ("ns", 1))

Row = tuple[Any, ...]


class Writer(Protocol):
    """Writes pieces of a table."""

    def piece(self, names: Sequence[str], rows: list[Row]) -> None:
        """Write some more rows; the names are the same each time."""
        ...

    def end(self) -> None:
        """Write what comes after the last row."""
        ...


def print_rows(results: Mapping[str, Columns], style: str, *, label: str | None) -> None:
    """Print the rows of one bucket or of several.

    Args:
        results: key or symbol to rows.
        style: one of FORMATS.
        label: name of a first column that holds the keys of `results`; None for no such column.

    Raises:
        InvalidArgumentError: several buckets whose columns differ.
    """
    columns = {rows.names for rows in results.values()}
    if len(columns) > 1:
        first, second = sorted(columns)[:2]
        raise InvalidArgumentError(
            f"the buckets have different columns ({', '.join(first)}; {', '.join(second)}); choose "
            "with --columns, or query them one by one"
        )
    if style == "arrow":
        _print_arrow(results, label)
        return
    names = [*([label] if label else []), "Epoch", *next(iter(columns), ())]
    print_table(names, _pieces(results, with_label=label is not None), style)


def print_table(names: Sequence[str], pieces: Iterator[list[Row]], style: str) -> None:
    """Print rows of plain values as `table`, `csv` or `json`."""
    writer = _WRITERS[style]()
    printed = False
    for rows in pieces:
        writer.piece(names, rows)
        printed = True
    if not printed:
        writer.piece(names, [])
    writer.end()


class TableWriter:
    """Aligned columns, numbers to the right; widths follow the first piece."""

    def __init__(self) -> None:
        self._widths: list[int] = []
        self._count = 0

    def piece(self, names: Sequence[str], rows: list[Row]) -> None:
        """Write rows; the first time the names above them."""
        cells = [[_text(value) for value in row] for row in rows]
        if not self._widths:
            self._widths = [len(name) for name in names]
            for row in cells:
                self._widths = [max(w, len(c)) for w, c in zip(self._widths, row, strict=True)]
            cells.insert(0, list(names))
        self._count += len(rows)
        numeric = [isinstance(value, int | float) for value in rows[0]] if rows else []
        lines = (self._line(row, numeric) for row in cells)
        click.echo("".join(lines), nl=False)

    def end(self) -> None:
        """Say how many rows there were."""
        click.echo(f"({self._count} row{'' if self._count == 1 else 's'})")

    def _line(self, cells: list[str], numeric: list[bool]) -> str:
        numeric = numeric or [False] * len(cells)
        padded = (
            cell.rjust(width) if right else cell.ljust(width)
            for cell, width, right in zip(cells, self._widths, numeric, strict=True)
        )
        return "  ".join(padded).rstrip() + "\n"


class CsvWriter:
    """RFC 4180 with a header; what is not there (NaN) is empty."""

    def __init__(self) -> None:
        self._begun = False

    def piece(self, names: Sequence[str], rows: list[Row]) -> None:
        """Write rows; the first time the header above them."""
        buffer = io.StringIO()
        writer = csv.writer(buffer, lineterminator="\n")
        if not self._begun:
            writer.writerow(names)
            self._begun = True
        writer.writerows([map(_text, row) for row in rows])
        click.echo(buffer.getvalue(), nl=False)

    def end(self) -> None:
        """Nothing comes after the rows."""


class JsonWriter:
    """An array of objects, one on each line; what is not there (NaN) is null."""

    def __init__(self) -> None:
        self._before = "["
        self._encode = msgspec.json.Encoder().encode

    def piece(self, names: Sequence[str], rows: list[Row]) -> None:
        """Write rows."""
        lines = []
        for row in rows:
            text = self._encode(dict(zip(names, row, strict=True))).decode()
            lines.append(f"{self._before}\n{text}")
            self._before = ","
        click.echo("".join(lines), nl=False)

    def end(self) -> None:
        """Close the array."""
        click.echo("[]" if self._before == "[" else "\n]")


_WRITERS: dict[str, Callable[[], Writer]] = {
    "table": TableWriter,
    "csv": CsvWriter,
    "json": JsonWriter,
}


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if value is None or value != value:  # noqa: PLR0124  (NaN is not equal to itself)
        return ""
    return str(value)


def _pieces(results: Mapping[str, Columns], *, with_label: bool) -> Iterator[list[Row]]:
    for key, rows in results.items():
        for start in range(0, len(rows), _PIECE_ROWS):
            piece = rows.slice(start, start + _PIECE_ROWS)
            values = [times_text(piece.ts, piece.tz), *(_values(a) for _, a in piece.items())]
            if with_label:
                values.insert(0, [key] * len(piece))
            yield list(zip(*values, strict=True))


def _values(array: NDArray[Any]) -> list[Any]:
    if array.dtype == np.float32:
        # Its shortest text, not that of the double it becomes: 0.1, not 0.10000000149011612.
        return [float(text) for text in array.astype(str).tolist()]
    values: list[Any] = array.tolist()
    return values


def times_text(ts: NDArray[np.int64], tz: str) -> list[str]:
    """Instants as ISO 8601 in a zone, with its offset, as short as all of them allow.

    Args:
        ts: int64 nanoseconds since 1970 UTC, shape (rows,).
        tz: IANA zone name.
    """
    unit = next(unit for unit, ns in _UNITS if ns == 1 or not (ts % ns).any())
    offsets = utc_offsets(ts, tz)
    local = (ts + offsets).astype("M8[ns]")
    texts: list[str] = local.astype(f"M8[{unit}]").astype(str).tolist()
    if tz == "UTC":
        return [text + "Z" for text in texts]
    suffixes = {offset: _offset_text(offset) for offset in np.unique(offsets).tolist()}
    return [text + suffixes[offset] for text, offset in zip(texts, offsets.tolist(), strict=True)]


def _offset_text(offset_ns: int) -> str:
    minutes = abs(offset_ns) // (60 * _SECOND_NS)
    sign = "-" if offset_ns < 0 else "+"
    return f"{sign}{minutes // 60:02d}:{minutes % 60:02d}"


def _print_arrow(results: Mapping[str, Columns], label: str | None) -> None:
    try:
        import pyarrow as pa
    except ImportError:
        raise InvalidArgumentError(
            "--format arrow needs pyarrow; `pip install tsstore[frames]`"
        ) from None
    stream = sys.stdout.buffer
    if stream.isatty():
        raise InvalidArgumentError("Arrow is binary; write it to a file: `... > rows.arrow`")
    writer = None
    for key, rows in results.items():
        table = rows.to_arrow()
        if label is not None:
            keys = pa.repeat(pa.scalar(key), len(rows))
            table = table.add_column(0, label, keys)
        writer = writer or pa.ipc.new_stream(stream, table.schema)
        writer.write_table(table)
    if writer is not None:
        writer.close()
    stream.flush()
