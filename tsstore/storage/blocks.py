"""The blocks of one segment file: read, checked and decoded into arrays of the caller."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xxhash

from tsstore.errors import CorruptionError, StorageError
from tsstore.format.constants import ENCODING_RAW
from tsstore.format.encoding import UnknownEncodingError, decode_block
from tsstore.format.record import array_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.format.segment import Footer
    from tsstore.vfs import File, FileSystem

    # Rows of a column in neighbouring blocks, if they are in memory.
    Known = Callable[[int, range], NDArray[Any] | None]
    # Places for the rows of columns.
    Rows = dict[int, NDArray[Any]]

# Larger buffers cost more to come by than a second read.
_READ_BYTES_MAX = 8 << 20
# Rows of packed blocks that are decoded together: more of them gain nothing, and take memory.
_STEP_ROWS_MAX = 1 << 17


class SegmentFile:
    """The bytes of a segment file. It is opened when they are needed.

    Attributes:
        name: of the file, relative to the root.
    """

    def __init__(self, fs: FileSystem, name: str) -> None:
        self.name = name
        self._fs = fs
        self._file: File | None = None

    @property
    def is_open(self) -> bool:
        """Whether it takes one of the files that the process may have open."""
        return self._file is not None

    @property
    def path(self) -> str:
        """The name as people know it."""
        return self._fs.describe(self.name)

    def size(self) -> int:
        """Length in bytes."""
        return self._opened().size()

    def read(self, offset: int, length: int) -> memoryview:
        """Bytes of the file. Raises CorruptionError if it ends before."""
        data = self._opened().pread(offset, length)
        if len(data) < length:
            raise self.damage(offset + len(data), "a column block is cut short")
        return memoryview(data)

    def read_into(self, buffer: memoryview, offset: int) -> None:
        """Fill a buffer. Raises CorruptionError if the file ends before."""
        count = self._opened().pread_into(buffer, offset)
        if count < len(buffer):
            raise self.damage(offset + count, "a column block is cut short")

    def damage(self, offset: int, what: str) -> CorruptionError:
        """The error for what is wrong in the file."""
        return CorruptionError(self.path, offset, what)

    def close(self) -> None:
        """Close the file until it is needed again."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    def _opened(self) -> File:
        if self._file is None:
            try:
                self._file = self._fs.open(self.name)
            except StorageError as error:
                if error.errno != errno.ENOENT:
                    raise
                raise self.damage(0, "the manifest lists it and it is gone") from None
        return self._file


class BlockReader:
    """Decodes the blocks of a segment, and remembers none.

    Attributes:
        dtypes: of the columns; column 0 is the time.
    """

    def __init__(self, file: SegmentFile, footer: Footer) -> None:
        self.dtypes = [np.dtype("<i8"), *(dtype for _, dtype in footer.schema.columns)]
        self._file = file
        self._footer = footer

    def read(
        self, columns: Sequence[int], blocks: range, outs: Sequence[NDArray[Any]], known: Known
    ) -> None:
        """Fill arrays with the rows of neighbouring blocks.

        Args:
            columns: which ones.
            blocks: one or more.
            outs: per column an array of its type, as long as all the blocks.
            known: is asked for columns that others refer to.

        Raises:
            CorruptionError: a block is not what was written.
        """
        if self._footer.packed:
            self._read_packed(columns, blocks, outs, known)
        else:
            self._read_flat(columns, blocks, outs)

    def _read_flat(
        self, columns: Sequence[int], blocks: range, outs: Sequence[NDArray[Any]]
    ) -> None:
        """Blocks that lie one column after the other."""
        footer, part = self._footer, slice(blocks.start, blocks.stop)
        offsets = footer.block_offsets[:, part].tolist()
        lengths = footer.block_lengths[:, part].tolist()
        encodings = footer.encodings[:, part].tolist()
        checksums = footer.checksums[:, part].tolist()
        for column, out in zip(columns, outs, strict=True):
            start = offsets[column][0]
            ends = [o + n - start for o, n in zip(offsets[column], lengths[column], strict=True)]
            is_raw = encodings[column].count(ENCODING_RAW) == len(blocks)
            is_ready = is_raw and ends[-1] == out.nbytes
            if is_ready:  # the bytes in the file are those in memory
                extent = array_bytes(out)
                self._file.read_into(extent, start)
            else:
                extent = self._file.read(start, ends[-1])
            parts = [extent[e - n : e] for e, n in zip(ends, lengths[column], strict=True)]
            for block, data, checksum in zip(blocks, parts, checksums[column], strict=True):
                if xxhash.xxh3_64_intdigest(data) != checksum:
                    raise wrong_checksum(self._file, footer, column, block)
            if not is_ready:
                self._decode_flat(column, blocks, parts, out)

    def _decode_flat(
        self, column: int, blocks: range, parts: list[memoryview], out: NDArray[Any]
    ) -> None:
        footer = self._footer
        starts = footer.block_starts[blocks.start : blocks.stop + 1].tolist()
        for place, block in enumerate(blocks):
            rows = out[starts[place] - starts[0] : starts[place + 1] - starts[0]]
            try:
                decode_block(int(footer.encodings[column, block]), parts[place], rows)
            except UnknownEncodingError as error:
                offset = int(footer.block_offsets[column, block])
                raise self._file.damage(offset, str(error)) from None

    def _read_packed(
        self, columns: Sequence[int], blocks: range, outs: Sequence[NDArray[Any]], known: Known
    ) -> None:
        """Blocks whose columns lie together."""
        rows = dict(zip(columns, outs, strict=True))
        origin = int(self._footer.block_starts[blocks.start])
        for extent, several in self._extents(columns, blocks):
            self._decode(several, extent, self._part(rows, origin, several), known)

    def _part(self, rows: Rows, origin: int, blocks: range) -> Rows:
        """Those of the rows, which begin at row `origin`, that lie in these blocks."""
        starts = self._footer.block_starts
        low, high = int(starts[blocks.start]) - origin, int(starts[blocks.stop]) - origin
        return {column: out[low:high] for column, out in rows.items()}

    def _decode(self, blocks: range, extent: Extent, rows: Rows, known: Known) -> None:
        from tsstore.storage.packed_blocks import PackedBlocks  # only where something is packed

        try:
            PackedBlocks(self._file, self._footer, blocks, rows, known).decode(extent)
        except UnknownEncodingError:  # of several: one by one tells which it is
            origin = int(self._footer.block_starts[blocks.start])
            for number in blocks:
                block = range(number, number + 1)
                self._decode(block, extent, self._part(rows, origin, block), known)

    def _extents(self, columns: Sequence[int], blocks: range) -> Iterator[tuple[Extent, range]]:
        """Bytes of the file, and those of the blocks that are in them.

        Bytes between the columns are read along, unless they are most of it: then there are none.
        """
        footer, part = self._footer, slice(blocks.start, blocks.stop)
        low, high = min(columns), max(columns)
        rows = footer.block_starts[blocks.start : blocks.stop + 1].tolist()
        starts = footer.block_offsets[low, part].tolist()
        ends = (footer.block_offsets[high, part] + footer.block_lengths[high, part]).tolist()
        needed = sum(int(footer.block_lengths[column, part].sum()) for column in columns)
        is_dense = 4 * needed >= sum(ends) - sum(starts)
        first = 0
        for end in range(1, len(blocks) + 1):
            if (
                end < len(blocks)
                and rows[end + 1] - rows[first] <= _STEP_ROWS_MAX
                and ends[end] - starts[first] <= _READ_BYTES_MAX
            ):
                continue
            length = ends[end - 1] - starts[first]
            data = self._file.read(starts[first], length) if is_dense else memoryview(b"")
            yield Extent(starts[first], data), blocks[first:end]
            first = end


class Extent(NamedTuple):
    """Bytes of a file, from an offset on."""

    start: int
    data: memoryview


def wrong_checksum(file: SegmentFile, footer: Footer, column: int, block: int) -> CorruptionError:
    """The error for bytes that are not the ones that were written."""
    offset = int(footer.block_offsets[column, block])
    name = "the time" if column == 0 else footer.schema.names[column - 1]
    return file.damage(offset, f"the checksum of a block of column {name} is wrong")
