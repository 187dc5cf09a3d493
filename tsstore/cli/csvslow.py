"""CSV by Python alone: slow, but it knows the line of every cell that is wrong."""

from __future__ import annotations

import csv
import gzip
import io
import os
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.cli.csvcells import Batch, TooNarrowError, complaint, fits, parse
from tsstore.cli.tablefile import Symbols
from tsstore.errors import InvalidArgumentError, StorageError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tsstore.cli.csvcells import Types

#: Rows that are read at a time.
PIECE_ROWS = 100_000


@dataclass(frozen=True)
class InputFile:
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


def is_packed(path: Path) -> bool:
    """Whether the file is to be unpacked."""
    return path.suffix.lower() == ".gz"


@contextmanager
def open_csv(path: Path) -> Iterator[InputFile]:
    """The file, opened.

    Raises:
        InvalidArgumentError: what is read of it is not UTF-8.
        StorageError: it cannot be read.
    """
    with readable(path), path.open("rb") as raw:
        octets: Any = gzip.GzipFile(fileobj=raw) if is_packed(path) else raw
        yield InputFile(octets, raw, max(1, os.fstat(raw.fileno()).st_size))


@contextmanager
def readable(path: Path) -> Iterator[None]:
    """Errors of reading the file as errors of ours."""
    try:
        yield
    except UnicodeDecodeError as error:
        raise InvalidArgumentError(
            f"{path} is not UTF-8: {error.reason}; convert it, with iconv for example"
        ) from None
    except FileNotFoundError:
        raise StorageError(f"there is no file {path}; check its name") from None
    except (OSError, EOFError, zlib.error, csv.Error) as error:
        raise StorageError(f"cannot read {path}: {error}; is it whole?") from None


def read_slowly(
    path: Path, types: Types, skipped: int, *, header_rows: int | None = None
) -> Iterator[Batch]:
    """Rows, some at a time.

    Args:
        path: the file.
        types: of all its columns.
        skipped: rows that are passed over.
        header_rows: rows before the data, if the columns are called as in `types` and not as in
            the first row.

    Raises:
        TooNarrowError: a cell that is not of the type of its column, with its line.
        InvalidArgumentError: a line with other cells than the header has.
        StorageError: the file cannot be read.
    """
    with open_csv(path) as file:
        rows = file.rows()
        names: list[str] = next(rows, []) if header_rows is None else list(types)
        for _ in islice(rows, header_rows or 0):
            pass
        numbered = ((rows.line_num, row) for row in rows if row)
        for _ in islice(numbered, skipped):
            pass
        while piece := list(islice(numbered, PIECE_ROWS)):
            lines = [line for line, _ in piece]
            _check_lengths(path, names, piece)
            cells = zip(*(row for _, row in piece), strict=True)
            columns = {
                name: _parsed(path, name, texts, types[name], lines)
                for name, texts in zip(names, cells, strict=True)
            }
            yield Batch(columns, file.fraction, lines)


def _check_lengths(path: Path, names: list[str], piece: list[tuple[int, list[str]]]) -> None:
    for line, row in piece:
        if len(row) != len(names):
            raise InvalidArgumentError(
                f"{path}, line {line}: {len(row)} cells, where the header has {len(names)}; "
                "correct the line"
            )


def _parsed(
    path: Path, name: str, cells: tuple[str, ...], dtype: np.dtype[Any], lines: list[int]
) -> Any:
    if dtype.kind == "U":
        places: dict[str, int] = {}
        codes = [places.setdefault(cell, len(places)) for cell in cells]
        return Symbols(list(places), np.array(codes, np.int32))
    try:
        return parse(np.array(cells), dtype)
    except (ValueError, OverflowError):
        at = next(at for at, cell in enumerate(cells) if not fits(cell, dtype))
    where = f"{path}, line {lines[at]}, column {name}"
    raise TooNarrowError(name, f"{where}: {complaint(cells[at], dtype)}; correct the cell")
