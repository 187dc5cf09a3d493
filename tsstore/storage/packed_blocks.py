"""Packed blocks of a segment file: checked, and decoded with the columns that they refer to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from tsstore.format.constants import REFERENCE_DEPTH
from tsstore.format.encoding import UnknownEncodingError
from tsstore.format.packed import unpack
from tsstore.format.packed_numbers import Stored, Unpacked
from tsstore.storage.blocks import Extent, wrong_checksum

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.format.segment import Footer
    from tsstore.storage.blocks import Known, Rows, SegmentFile


class PackedBlocks:
    """Neighbouring packed blocks that are being decoded together, each of their columns once.

    Args:
        file: where they are.
        footer: of it.
        numbers: of the blocks.
        rows: per column that is wanted, the place for all of its rows.
        known: is asked for columns that others refer to.
    """

    def __init__(
        self, file: SegmentFile, footer: Footer, numbers: range, rows: Rows, known: Known
    ) -> None:
        self._file = file
        self._footer = footer
        self._numbers = numbers
        part = slice(numbers.start, numbers.stop)
        self._offsets: list[list[int]] = footer.block_offsets[:, part].tolist()
        self._lengths: list[list[int]] = footer.block_lengths[:, part].tolist()
        self._encodings: list[list[int]] = footer.encodings[:, part].tolist()
        self._checksums: list[list[int]] = footer.checksums[:, part].tolist()
        starts = footer.block_starts[numbers.start : numbers.stop + 1]
        self._starts: list[int] = (starts - starts[0]).tolist()
        self._outs = rows
        self._known = known
        self._done: dict[int, Unpacked] = {}
        self._extent = Extent(0, memoryview(b""))

    def decode(self, extent: Extent) -> None:
        """Fill the rows; `extent` may hold bytes of the blocks.

        Raises:
            CorruptionError: a block is not what was written.
            UnknownEncodingError: so is one of several blocks.
        """
        self._extent = extent
        for column in self._outs:
            self._rows(column, 0)

    def _rows(self, column: int, depth: int) -> Unpacked:
        found = self._done.get(column)
        if found is None:
            rows = self._known(column, self._numbers) if depth else None
            found = self._unpacked(column, depth) if rows is None else Unpacked(rows)
            self._done[column] = found
        return found

    def _unpacked(self, column: int, depth: int) -> Unpacked:
        def of(other: int) -> Unpacked:
            if depth == REFERENCE_DEPTH or not 0 <= other < len(self._offsets):
                raise UnknownEncodingError(f"a block refers to column {other}")
            return self._rows(other, depth + 1)

        stored, out = self._stored(column), self._out(column)
        try:
            return unpack(stored, out, of)
        except UnknownEncodingError as error:
            if len(self._numbers) > 1:
                raise
            raise self._file.damage(self._offsets[column][0], str(error)) from None

    def _out(self, column: int) -> NDArray[Any]:
        out = self._outs.get(column)
        if out is None:  # only referred to
            dtype = self._footer.schema.columns[column - 1][1] if column else np.dtype("<i8")
            out = np.empty(self._starts[-1], dtype)
        return out

    def _stored(self, column: int) -> Stored:
        """The stored bytes of a column, checked."""
        start, extent = self._extent
        offsets, lengths = self._offsets[column], self._lengths[column]
        found = []
        for number, offset, length, checksum in zip(
            self._numbers, offsets, lengths, self._checksums[column], strict=True
        ):
            place = offset - start
            if place >= 0 and place + length <= len(extent):
                data = extent[place : place + length]
            else:
                data = self._file.read(offset, length)
            if xxhash.xxh3_64_intdigest(data) != checksum:
                raise wrong_checksum(self._file, self._footer, column, number)
            found.append(data)
        return Stored(self._encodings[column], found, self._starts)
