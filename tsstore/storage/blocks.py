"""The blocks of one segment file: read, checked and decoded into arrays of the caller."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from tsstore.errors import CorruptionError, StorageError
from tsstore.format.constants import ENCODING_RAW, REFERENCE_DEPTH
from tsstore.format.encoding import UnknownEncodingError, decode_block
from tsstore.format.record import array_bytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.format.segment import Footer
    from tsstore.vfs import File, FileSystem

    # Rows of a column in a block, if they are in memory.
    Known = Callable[[int, int], NDArray[Any] | None]

# Larger buffers cost more to come by than a second read.
_READ_BYTES_MAX = 8 << 20


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
                    raise _wrong_checksum(self._file, footer, column, block)
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
        row_starts = self._footer.block_starts[blocks.start : blocks.stop + 1].tolist()
        for start, extent, places in self._extents(columns, blocks):
            for place in places:
                low, high = (row - row_starts[0] for row in row_starts[place : place + 2])
                rows = {c: out[low:high] for c, out in zip(columns, outs, strict=True)}
                block = _PackedBlock(self._file, self._footer, blocks[place], rows, known)
                block.decode(start, extent)

    def _extents(
        self, columns: Sequence[int], blocks: range
    ) -> Iterator[tuple[int, memoryview, range]]:
        """Bytes of the file, where they begin, and the places in `blocks` of what they hold.

        Bytes between the columns are read along, unless they are most of it: then there are none.
        """
        footer, part = self._footer, slice(blocks.start, blocks.stop)
        low, high = min(columns), max(columns)
        starts = footer.block_offsets[low, part].tolist()
        ends = (footer.block_offsets[high, part] + footer.block_lengths[high, part]).tolist()
        needed = sum(int(footer.block_lengths[column, part].sum()) for column in columns)
        if 4 * needed < sum(ends) - sum(starts):
            yield 0, memoryview(b""), range(len(blocks))
            return
        first = 0
        for place in range(1, len(blocks) + 1):
            if place == len(blocks) or ends[place] - starts[first] > _READ_BYTES_MAX:
                length = ends[place - 1] - starts[first]
                yield starts[first], self._file.read(starts[first], length), range(first, place)
                first = place


class _PackedBlock:
    """A packed block that is being decoded, each of its columns once."""

    def __init__(
        self,
        file: SegmentFile,
        footer: Footer,
        number: int,
        rows: dict[int, NDArray[Any]],
        known: Known,
    ) -> None:
        self._file = file
        self._footer = footer
        self._number = number
        self._outs = rows
        self._known = known
        self._done: dict[int, NDArray[Any]] = {}
        self._offsets = footer.block_offsets[:, number].tolist()
        self._lengths = footer.block_lengths[:, number].tolist()
        self._encodings = footer.encodings[:, number].tolist()
        self._checksums = footer.checksums[:, number].tolist()
        self._start = 0
        self._extent = memoryview(b"")

    def decode(self, start: int, extent: memoryview) -> None:
        """Fill the rows; `extent` holds bytes of the file from `start`, and maybe the block's."""
        self._start, self._extent = start, extent
        for column in self._outs:
            self._rows(column, 0)

    def _rows(self, column: int, depth: int) -> NDArray[Any]:
        rows = self._done.get(column)
        if rows is None:
            rows = self._known(column, self._number) if depth else None
            if rows is None:
                rows = self._unpacked(column, depth)
            self._done[column] = rows
        return rows

    def _unpacked(self, column: int, depth: int) -> NDArray[Any]:
        from tsstore.format.packed import unpack  # only where something is packed

        def of(other: int) -> NDArray[Any]:
            if depth == REFERENCE_DEPTH or not 0 <= other < len(self._offsets):
                raise UnknownEncodingError(f"a block refers to column {other}")
            return self._rows(other, depth + 1)

        data = self._stored(column)
        out = self._out(column)
        try:
            unpack(self._encodings[column], data, out, of)
        except UnknownEncodingError as error:
            raise self._file.damage(self._offsets[column], str(error)) from None
        return out

    def _out(self, column: int) -> NDArray[Any]:
        out = self._outs.get(column)
        if out is None:  # only referred to
            first, end = self._footer.block_starts[self._number : self._number + 2].tolist()
            dtype = self._footer.schema.columns[column - 1][1] if column else np.dtype("<i8")
            out = np.empty(end - first, dtype)
        return out

    def _stored(self, column: int) -> memoryview:
        """The stored bytes of a column, checked."""
        offset, length = self._offsets[column], self._lengths[column]
        place = offset - self._start
        if place >= 0 and place + length <= len(self._extent):
            data = self._extent[place : place + length]
        else:
            data = self._file.read(offset, length)
        if xxhash.xxh3_64_intdigest(data) != self._checksums[column]:
            raise _wrong_checksum(self._file, self._footer, column, self._number)
        return data


def _wrong_checksum(file: SegmentFile, footer: Footer, column: int, block: int) -> CorruptionError:
    offset = int(footer.block_offsets[column, block])
    name = "the time" if column == 0 else footer.schema.names[column - 1]
    return file.damage(offset, f"the checksum of a block of column {name} is wrong")
