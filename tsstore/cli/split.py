"""Rows of many symbols, symbol by symbol."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.tables import Table, read_table
from tsstore.times import format_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    from tsstore.cli.tablefile import Piece


def by_symbol(piece: Piece, *, where: str) -> Iterator[tuple[str, Table]]:
    """The rows of each symbol, in their order.

    Where the rows of a symbol stand together, which they do in files sorted by symbol, its arrays
    are views of the piece's.

    Args:
        piece: rows with symbols.
        where: the file, for messages.

    Raises:
        InvalidArgumentError: a row without a symbol.
    """
    if piece.symbols is None:
        raise InvalidArgumentError(f"{where}: these rows have no symbols")
    table = read_table(piece.columns)
    names, codes = piece.symbols.names, piece.symbols.codes
    starts = _starts(codes)
    if len(starts) > len(np.unique(codes[starts])):
        order = np.argsort(codes, kind="stable")
        table, codes = _taken(table, order), codes[order]
        starts = _starts(codes)
    ends = [*starts[1:].tolist(), len(codes)]
    columns = list(table.arrays.items())
    for start, end, code in zip(starts.tolist(), ends, codes[starts].tolist(), strict=True):
        if not names[code]:
            raise InvalidArgumentError(
                f"{where}: a row at {format_ns(table.ts[start])} has no symbol; name one"
            )
        arrays = {name: array[start:end] for name, array in columns}
        yield names[code], Table(table.ts[start:end], arrays, None, table.had_nanoseconds)


def _starts(codes: NDArray[np.integer[Any]]) -> NDArray[np.intp]:
    """Where each run of equal codes begins."""
    if not len(codes):
        return np.empty(0, np.intp)
    return np.flatnonzero(np.concatenate(([True], codes[1:] != codes[:-1])))


def _taken(table: Table, order: NDArray[np.intp]) -> Table:
    arrays = {name: array[order] for name, array in table.arrays.items()}
    return Table(table.ts[order], arrays, None, table.had_nanoseconds)
