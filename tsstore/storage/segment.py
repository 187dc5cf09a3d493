"""Reading segment files: checked, block by block, each block at most once.

A reader keeps one array per column for the whole segment and fills in the blocks that were asked
for. A read returns views into these arrays, so asking again costs no copy and no checksum. Memory
is taken back by dropping a reader's arrays; views that were handed out stay good.
"""

from __future__ import annotations

import errno
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import xxhash

from tsstore.errors import CorruptionError, FormatVersionError, StorageError
from tsstore.format.constants import ENCODING_RAW, FORMAT_VERSION
from tsstore.format.encoding import UnknownEncodingError, decode_block
from tsstore.format.record import (
    HEADER_BYTES,
    RecordError,
    VersionError,
    array_bytes,
    decode_header,
    decode_record,
    record_bytes,
)
from tsstore.format.segment import TRAILER_BYTES, Footer, decode_footer, decode_trailer

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.vfs import File, FileSystem

# One read of the end of a file brings the trailer and, nearly always, the whole footer.
_TAIL_BYTES = 1 << 16
# So many columns may refer to another one by one (format.packed).
REFERENCE_DEPTH = 3
# Larger buffers cost more to come by than a second read.
_READ_BYTES_MAX = 8 << 20


class _Column:
    """A column of a segment in memory, as far as it was read.

    One object, replaced as a whole when memory is taken back: whoever holds it sees rows that are
    ready stay ready.

    Attributes:
        rows: the values.
        shown: the same memory, read-only.
        ready: which blocks were read.
        whole: whether all of them were.
    """

    __slots__ = ("ready", "rows", "shown", "whole")

    def __init__(self, rows: int, blocks: int, dtype: np.dtype[Any]) -> None:
        self.rows: NDArray[Any] = np.empty(rows, dtype)
        self.shown = self.rows.view()
        self.shown.flags.writeable = False
        self.ready = np.zeros(blocks, np.bool_)
        self.whole = False

    def has(self, blocks: slice) -> bool:
        """Whether these blocks were read."""
        return self.whole or bool(self.ready[blocks].all())


class SegmentReader:
    """One segment file.

    Attributes:
        name: of the file, relative to the root.
        footer: what is where.
        cached_bytes: memory of the blocks that were read.
    """

    def __init__(
        self,
        fs: FileSystem,
        name: str,
        file_bytes: int,
        owner: int,
        *,
        checksum: int | None = None,
        loaded: Callable[[int], None] = lambda _bytes: None,
    ) -> None:
        self.name = name
        self.cached_bytes = 0
        self._fs = fs
        self._owner = owner
        self._checksum = checksum
        self._loaded = loaded
        self._lock = threading.Lock()
        self._file: File | None = _open_segment(fs, name)
        try:
            self.footer = self._read_footer(self._file, file_bytes)
        except BaseException:
            self._file.close()
            raise
        self._dtypes = [np.dtype("<i8"), *(dtype for _, dtype in self.footer.schema.columns)]
        self._columns: list[_Column | None] = [None] * len(self._dtypes)

    def _read_footer(self, file: File, file_bytes: int) -> Footer:
        found = file.size()
        if found != file_bytes:
            what = f"it has {found} bytes and the manifest says {file_bytes}"
            raise CorruptionError(self._fs.describe(self.name), min(found, file_bytes), what)
        tail_start = max(0, file_bytes - _TAIL_BYTES)
        tail = file.pread(tail_start, file_bytes - tail_start)
        try:
            offset, length = decode_trailer(tail[-TRAILER_BYTES:], file_bytes)
            if offset < tail_start:
                tail_start = offset
                tail = file.pread(offset, length)
            start = offset - tail_start
            record = decode_record(memoryview(tail)[start : start + length], owner=self._owner)
            if self._checksum not in (None, record.checksum):
                raise RecordError("it is not the segment that the manifest lists")
            return decode_footer(record)
        except VersionError as error:
            path = self._fs.describe(self.name)
            raise FormatVersionError(path, error.found, FORMAT_VERSION) from None
        except RecordError as error:
            raise CorruptionError(self._fs.describe(self.name), tail_start, str(error)) from None

    def run(self, bucket_id: int) -> tuple[int, int, int, int] | None:
        """First row, end row, first and last instant of a bucket; None when it is not here."""
        footer = self.footer
        place = int(footer.ids.searchsorted(bucket_id))
        if place == len(footer.ids) or footer.ids[place] != bucket_id:
            return None
        first, end = int(footer.starts[place]), int(footer.starts[place + 1])
        return first, end, int(footer.first_ts[place]), int(footer.last_ts[place])

    def search(self, first: int, end: int, instant: int, side: Literal["left", "right"]) -> int:
        """Where in rows `first` to `end`, which are of one bucket, an instant belongs."""
        blocks = self._blocks(first, end)
        starts = self.footer.block_first_ts[blocks.start + 1 : blocks.stop]
        block = blocks.start + int(starts.searchsorted(instant, side))
        low = max(first, int(self.footer.block_starts[block]))
        high = min(end, int(self.footer.block_starts[block + 1]))
        return low + int(self.columns((0,), low, high)[0].searchsorted(instant, side))

    def columns(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows `first` to `end` of columns; column 0 is the time.

        Raises:
            CorruptionError: a block is not what was written.
        """
        blocks = self._blocks(first, end)
        memories = [self._columns[column] for column in columns]
        if all(memory is not None and memory.has(blocks) for memory in memories):
            return [memory.shown[first:end] for memory in memories if memory is not None]
        with self._lock:
            before = self.cached_bytes
            loaded = self._load(columns, blocks)
            more = self.cached_bytes - before
        self._loaded(more)
        return [memory.shown[first:end] for memory in loaded]

    def _blocks(self, first: int, end: int) -> slice:
        """The blocks in which rows `first` to `end` lie."""
        starts = self.footer.block_starts
        block = int(starts.searchsorted(first, "right")) - 1
        return slice(block, max(block, int(starts.searchsorted(end, "left"))))

    def _load(self, columns: Sequence[int], blocks: slice) -> list[_Column]:
        memories = [self._memory(column) for column in columns]
        if self.footer.packed:
            self._load_packed(columns, blocks)
        else:
            for column in columns:
                self._load_flat(column, blocks)
        return memories

    def _memory(self, column: int) -> _Column:
        memory = self._columns[column]
        if memory is None:
            blocks_in_all = self.footer.block_offsets.shape[1]
            memory = _Column(self.footer.rows, blocks_in_all, self._dtypes[column])
            self._columns[column] = memory
        return memory

    def _rows_of(self, memory: _Column, first: int, stop: int) -> NDArray[Any]:
        """The memory of blocks `first` to `stop`."""
        starts = self.footer.block_starts
        return memory.rows[int(starts[first]) : int(starts[stop])]

    def _ready(self, memory: _Column, first: int, stop: int) -> None:
        memory.ready[first:stop] = True
        memory.whole = bool(memory.ready.all())
        self.cached_bytes += self._rows_of(memory, first, stop).nbytes

    # Flat segments: a column's raw blocks lie in the file just as they do in memory

    def _load_flat(self, column: int, blocks: slice) -> None:
        memory = self._memory(column)
        for first, stop in self._missing_stretches(column, memory.ready, blocks):
            self._read_stretch(column, first, stop, self._rows_of(memory, first, stop))
            self._ready(memory, first, stop)

    def _missing_stretches(
        self, column: int, ready: NDArray[np.bool_], blocks: slice
    ) -> Iterator[tuple[int, int]]:
        """Neighbouring blocks that are missing and lie in the file just as they do in memory."""
        missing = ~ready
        raw = missing & (self.footer.encodings[column] == ENCODING_RAW)
        block = blocks.start
        while block < blocks.stop:
            first = block
            block += 1
            if not missing[first]:
                continue
            while block < blocks.stop and raw[first] and raw[block]:
                block += 1
            yield first, block

    def _read_stretch(self, column: int, first: int, stop: int, rows: NDArray[Any]) -> None:
        footer = self.footer
        lengths = footer.block_lengths[column, first:stop]
        if footer.encodings[column, first] != ENCODING_RAW or int(lengths.sum()) != rows.nbytes:
            self._decode(column, first, self._stored(column, first), rows)
            return
        offset = int(footer.block_offsets[column, first])
        data = array_bytes(rows)
        count = self._open_file().pread_into(data, offset)
        if count < len(data):
            raise self._damage(offset + count, "a column block is cut short")
        position = 0
        for block, length in enumerate(lengths.tolist(), first):
            self._check_block(column, block, data[position : position + length])
            position += length

    # Packed segments: all columns of a block lie together

    def _load_packed(self, columns: Sequence[int], blocks: slice) -> None:
        wanted = [c for c in columns if not self._memory(c).ready[blocks].all()]
        if not wanted:
            return
        offsets = self.footer.block_offsets[wanted, blocks]
        ends = offsets + self.footer.block_lengths[wanted, blocks]
        block = blocks.start
        while block < blocks.stop:
            start = int(offsets[:, block - blocks.start].min())
            reach = ends[:, block - blocks.start :].max(axis=0)
            count = max(1, int(reach.searchsorted(start + _READ_BYTES_MAX, "right")))
            needed = int((ends - offsets)[:, block - blocks.start :][:, :count].sum())
            span = int(reach[count - 1]) - start
            # Bytes between wanted columns are read along unless they are the most of it.
            extent = self._read(start, span) if 4 * needed >= span else None
            for each in range(block, block + count):
                for column in wanted:
                    self._load_block(column, each, start, extent)
            block += count

    def _load_block(
        self, column: int, block: int, start: int, extent: memoryview | None, depth: int = 0
    ) -> NDArray[Any]:
        """One block of a column, decoded once; `extent` holds bytes of the file from `start`."""
        memory = self._memory(column)
        rows = self._rows_of(memory, block, block + 1)
        if memory.ready[block]:
            return rows
        place = int(self.footer.block_offsets[column, block]) - start
        length = int(self.footer.block_lengths[column, block])
        if extent is not None and place >= 0 and place + length <= len(extent):
            data = extent[place : place + length]
            self._check_block(column, block, data)
        else:
            data = self._stored(column, block)

        def of(other: int) -> NDArray[Any]:
            if depth == REFERENCE_DEPTH or not 0 <= other < len(self._columns):
                raise UnknownEncodingError(f"a block refers to column {other}")
            return self._load_block(other, block, start, extent, depth + 1)

        self._decode(column, block, data, rows, of)
        self._ready(memory, block, block + 1)
        return rows

    # Blocks

    def _stored(self, column: int, block: int) -> memoryview:
        """The stored bytes of a block, checked."""
        offset = int(self.footer.block_offsets[column, block])
        data = self._read(offset, int(self.footer.block_lengths[column, block]))
        self._check_block(column, block, data)
        return data

    def _read(self, offset: int, length: int) -> memoryview:
        data = self._open_file().pread(offset, length)
        if len(data) < length:
            raise self._damage(offset + len(data), "a column block is cut short")
        return memoryview(data)

    def _decode(
        self,
        column: int,
        block: int,
        data: memoryview,
        rows: NDArray[Any],
        of: Callable[[int], NDArray[Any]] | None = None,
    ) -> None:
        encoding = int(self.footer.encodings[column, block])
        try:
            if of is None:
                decode_block(encoding, data, rows)
            else:
                from tsstore.format.packed import unpack  # only where something is packed

                unpack(encoding, data, rows, of)
        except UnknownEncodingError as error:
            offset = int(self.footer.block_offsets[column, block])
            raise self._damage(offset, str(error)) from None

    def _check_block(self, column: int, block: int, data: memoryview) -> None:
        if xxhash.xxh3_64_intdigest(data) == self.footer.checksums[column, block]:
            return
        offset = int(self.footer.block_offsets[column, block])
        name = "the time" if column == 0 else self.footer.schema.names[column - 1]
        raise self._damage(offset, f"the checksum of a block of column {name} is wrong")

    def _open_file(self) -> File:
        if self._file is None:
            self._file = _open_segment(self._fs, self.name)
        return self._file

    def _damage(self, offset: int, what: str) -> CorruptionError:
        return CorruptionError(self._fs.describe(self.name), offset, what)

    def verify(self) -> Iterator[CorruptionError]:
        """Read everything once, the rows in memory left aside; yield what is wrong."""
        file = self._fs.open(self.name)
        try:
            yield from self._verify_blocks(file)
        finally:
            file.close()

    def _verify_blocks(self, file: File) -> Iterator[CorruptionError]:
        try:
            decode_record(file.pread(0, _header_record_bytes(file)), owner=self._owner)
        except (RecordError, VersionError) as error:
            yield self._damage(0, str(error))
        footer = self.footer
        for column in range(footer.block_offsets.shape[0]):
            for block in range(footer.block_offsets.shape[1]):
                offset = int(footer.block_offsets[column, block])
                data = file.pread(offset, int(footer.block_lengths[column, block]))
                if xxhash.xxh3_64_intdigest(data) != footer.checksums[column, block]:
                    yield self._damage(offset, "the checksum of a column block is wrong")

    def drop_rows(self) -> int:
        """Give back the memory of the decoded blocks; returns how many bytes it was."""
        with self._lock:
            freed = self.cached_bytes
            self._columns = [None] * len(self._columns)
            self.cached_bytes = 0
        return freed

    def close_file(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            if self._file is not None:
                self._file.close()
                self._file = None


def _open_segment(fs: FileSystem, name: str) -> File:
    try:
        return fs.open(name)
    except StorageError as error:
        if error.errno != errno.ENOENT:
            raise
        raise CorruptionError(
            fs.describe(name), 0, "the manifest lists it and it is gone"
        ) from None


def _header_record_bytes(file: File) -> int:
    return record_bytes(decode_header(file.pread(0, HEADER_BYTES)))


class SegmentCache:
    """Open segments, bounded in memory and in open files; the ones used longest ago go first."""

    def __init__(self, fs: FileSystem, store_id: int, *, bytes_max: int, files_max: int) -> None:
        self._fs = fs
        self._store_id = store_id
        self._bytes_max = bytes_max
        self._files_max = files_max
        self._bytes = 0
        self._readers: OrderedDict[int, SegmentReader] = OrderedDict()
        self._lock = threading.Lock()

    def reader(self, number: int, name: str, file_bytes: int, checksum: int) -> SegmentReader:
        """The reader of a segment."""
        with self._lock:
            reader = self._readers.get(number)
            if reader is not None:
                self._readers.move_to_end(number)
                return reader
        opened = self.open(number, name, file_bytes, checksum, loaded=self._loaded)
        with self._lock:
            reader = self._readers.setdefault(number, opened)
        if reader is not opened:
            opened.close_file()
        self._loaded(0)
        return reader

    def open(
        self,
        number: int,
        name: str,
        file_bytes: int,
        checksum: int,
        *,
        loaded: Callable[[int], None] = lambda _bytes: None,
    ) -> SegmentReader:
        """A segment past the cache; the caller closes its file."""
        owner = self._store_id ^ number
        return SegmentReader(self._fs, name, file_bytes, owner, checksum=checksum, loaded=loaded)

    def _loaded(self, more: int) -> None:
        """Blocks were read, or a file was opened: take back what is too much."""
        with self._lock:
            self._bytes += more
            if self._bytes <= self._bytes_max and len(self._readers) <= self._files_max:
                return
            for place, reader in enumerate(list(self._readers.values())[:-1]):
                if self._bytes > self._bytes_max:
                    self._bytes -= reader.drop_rows()
                if len(self._readers) - place > self._files_max:
                    reader.close_file()

    def forget(self, number: int) -> None:
        """Drop a segment that is no longer live."""
        with self._lock:
            reader = self._readers.pop(number, None)
            if reader is not None:
                self._bytes -= reader.cached_bytes
        if reader is not None:
            reader.close_file()

    def keep(self, numbers: Collection[int]) -> None:
        """Drop all but these segments."""
        with self._lock:
            gone = [number for number in self._readers if number not in numbers]
        for number in gone:
            self.forget(number)

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            readers = list(self._readers.values())
            self._readers.clear()
        for reader in readers:
            reader.close_file()
