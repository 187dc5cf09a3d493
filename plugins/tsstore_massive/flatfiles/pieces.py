"""The rows of a file, as many at a time as are stored together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from tsstore.columns import Columns

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore_massive.flatfiles.parse import Batch

#: Rows are gathered until they are so many bytes.
PIECE_BYTES = 24 << 20


class Piece(NamedTuple):
    """Rows of one commit, by symbol and then by time.

    Attributes:
        symbols: those that have rows here, each once.
        starts: int64, first row of each symbol, and the number of rows at the end.
        rows: of all of them.
        goes_on: the symbol of which the next piece may have more; empty in the last piece.
    """

    symbols: list[str]
    starts: NDArray[np.int64]
    rows: Columns
    goes_on: str

    @property
    def counts(self) -> dict[str, int]:
        """Rows by symbol."""
        return dict(zip(self.symbols, np.diff(self.starts).tolist(), strict=True))

    @property
    def codes(self) -> NDArray[np.int64]:
        """The place in `symbols` of each row's, shape (rows,)."""
        return np.repeat(np.arange(len(self.symbols)), np.diff(self.starts))

    def runs(self) -> Iterator[tuple[str, slice]]:
        """Each symbol, and which rows are its."""
        ends = self.starts.tolist()
        return zip(self.symbols, map(slice, ends[:-1], ends[1:]), strict=True)


def pieces(batches: Iterable[Batch], schema: Schema) -> Generator[Piece, None, None]:
    """The rows of a file; the last piece may have none.

    Args:
        batches: the file as it is parsed; none of them is empty.
        schema: of its buckets.
    """
    gathered: list[Batch] = []
    size = 0
    for batch in batches:
        gathered.append(batch)
        size += sum(array.nbytes for array in batch.columns.values())
        if size >= PIECE_BYTES:
            yield _piece(gathered, schema, goes_on=batch.symbols[batch.codes[-1]])
            gathered, size = [], 0
    yield _piece(gathered, schema, goes_on="")


def _piece(batches: list[Batch], schema: Schema, *, goes_on: str) -> Piece:
    numbers: dict[str, int] = {}
    codes = _joined([_renumbered(batch, numbers) for batch in batches], np.dtype(np.int64))
    ts = _joined([batch.ts for batch in batches], np.dtype(np.int64))
    columns = {
        name: _joined([batch.columns[name] for batch in batches], dtype)
        for name, dtype in schema.columns
    }
    rows = Columns(ts, columns, variable=schema.is_variable)
    steps = np.diff(codes)
    if ((steps < 0) | ((steps == 0) & (ts[1:] < ts[:-1]))).any():
        order = np.lexsort((ts, codes))  # which is stable
        codes, rows = codes[order], rows.take(order)
    starts = np.searchsorted(codes, np.arange(len(numbers) + 1))
    return Piece(list(numbers), starts, rows, goes_on)


def _renumbered(batch: Batch, numbers: dict[str, int]) -> NDArray[np.int64]:
    """The codes of a batch as numbers, which symbols get as they come."""
    codes = batch.codes
    turns = np.concatenate(([True], codes[1:] != codes[:-1]))
    number_of = np.zeros(len(batch.symbols), np.int64)
    for code in dict.fromkeys(codes[turns].tolist()):
        number_of[code] = numbers.setdefault(batch.symbols[code], len(numbers))
    return number_of[codes]


def _joined(parts: list[NDArray[Any]], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.concatenate(parts) if parts else np.empty(0, dtype)
