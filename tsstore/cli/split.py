"""Rows of many symbols, as a store takes them."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.tables import read_table
from tsstore.times import format_ns

if TYPE_CHECKING:
    from tsstore.cli.tablefile import Piece
    from tsstore.tables import Table


def cross_section(piece: Piece, *, where: str) -> Table:
    """The rows with their symbols, each named once.

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
    has_rows = np.zeros(len(names), np.bool_)
    has_rows[codes] = True
    if not has_rows.all():
        codes = (np.cumsum(has_rows) - 1)[codes]
        names = [name for name, has in zip(names, has_rows.tolist(), strict=True) if has]
    if "" in names:
        row = int(np.argmax(codes == names.index("")))
        raise InvalidArgumentError(
            f"{where}: a row at {format_ns(int(table.ts[row]))} has no symbol; name one"
        )
    return replace(table, symbols=names, codes=codes)
