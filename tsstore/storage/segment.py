"""Reading segment files: what was read stays in memory until it is taken back.

A reader keeps *stretches*: rows of neighbouring blocks of one column in one array. A read that lies
in one stretch is answered with a view of it, without copy and checksum. Views that were handed out
stay good when the memory is taken back.
"""

from __future__ import annotations

import threading
from bisect import bisect_left, bisect_right
from collections import OrderedDict
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
import xxhash

from tsstore.errors import FormatVersionError
from tsstore.format.constants import FORMAT_VERSION
from tsstore.format.record import (
    HEADER_BYTES,
    RecordError,
    VersionError,
    decode_header,
    decode_record,
    record_bytes,
)
from tsstore.format.segment import TRAILER_BYTES, Footer, decode_footer, decode_trailer
from tsstore.storage.blocks import BlockReader, SegmentFile
from tsstore.storage.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.errors import CorruptionError
    from tsstore.vfs import FileSystem

# What an open segment takes in memory besides its rows, about, and more for each block of a column
# and each run.
_READER_BYTES = 8192
_ENTRY_BYTES = 32
# One read of the end of a file brings the trailer and, nearly always, the whole footer.
_TAIL_BYTES = 1 << 15


class _Stretch(NamedTuple):
    """Rows `first` to `end` of a column of a segment."""

    first: int
    end: int
    rows: NDArray[Any]

    def part(self, first: int, end: int) -> NDArray[Any]:
        """Those of the rows that lie between two rows of the segment."""
        return self.rows[max(first, self.first) - self.first : max(0, end - self.first)]


class SegmentReader:
    """One segment file.

    Attributes:
        footer: what is where.
        cached_bytes: memory that it takes, with the rows that were read.
        counted_bytes: how many of them its `SegmentCache` knows of.
    """

    def __init__(
        self,
        fs: FileSystem,
        name: str,
        file_bytes: int,
        owner: int,
        *,
        checksum: int | None = None,
        loaded: Callable[[SegmentReader], None] = lambda _reader: None,
    ) -> None:
        self.counted_bytes = 0
        self._fs = fs
        self._owner = owner
        self._loaded = loaded
        self._lock = threading.Lock()
        self._file = SegmentFile(fs, name)
        try:
            self.footer = _read_footer(self._file, file_bytes, owner, checksum)
        except BaseException:
            self._file.close()
            raise
        entries = self.footer.block_offsets.size + self.footer.ids.size
        self._own_bytes = self.cached_bytes = _READER_BYTES + _ENTRY_BYTES * entries
        self._blocks = BlockReader(self._file, self.footer)
        self._starts: list[int] = self.footer.block_starts.tolist()
        # Per column: the block's number → the stretch it is in.
        self._stretches: list[dict[int, _Stretch]] = [{} for _ in self._blocks.dtypes]

    @property
    def name(self) -> str:
        """Of the file, relative to the root."""
        return self._file.name

    @property
    def is_open(self) -> bool:
        """Whether the file is open."""
        return self._file.is_open

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
        block = self._block_of(instant, side, self._blocks_of(first, end))
        low, high = max(first, self._starts[block]), min(end, self._starts[block + 1])
        return low + int(self.columns((0,), low, high)[0].searchsorted(instant, side))

    def reach(self, first: int, end: int, start: int, stop: int) -> tuple[int, int]:
        """The whole blocks, of rows `first` to `end`, that may hold rows between two instants.

        Returns:
            First row and end row; none are read for that.
        """
        blocks = self._blocks_of(first, end)
        low = self._block_of(start, "left", blocks)
        high = self._block_of(stop, "right", blocks)
        return max(first, self._starts[low]), min(end, self._starts[high + 1])

    def _block_of(self, instant: int, side: Literal["left", "right"], blocks: range) -> int:
        """The one of the blocks in which an instant belongs."""
        later = self.footer.block_first_ts[blocks.start + 1 : blocks.stop]
        return blocks.start + int(later.searchsorted(instant, side))

    def columns(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        """Rows `first` to `end` of columns, one at least; column 0 is the time.

        Raises:
            CorruptionError: a block is not what was written.
        """
        block = bisect_right(self._starts, first) - 1
        found = []
        for column in columns:
            stretch = self._stretches[column].get(block)
            if stretch is None or stretch.end < end:
                return self._load(columns, first, end)
            found.append(stretch.rows[first - stretch.first : end - stretch.first])
        return found

    def _blocks_of(self, first: int, end: int) -> range:
        """The blocks in which rows `first` to `end` lie."""
        block = bisect_right(self._starts, first) - 1
        return range(block, bisect_left(self._starts, end))

    def _load(self, columns: Sequence[int], first: int, end: int) -> list[NDArray[Any]]:
        blocks = self._blocks_of(first, end)
        try:
            with self._lock:
                for missing, of in self._missing(columns, blocks).items():
                    self._read(of, missing)
                return [self._found(column, blocks, first, end) for column in columns]
        finally:
            self._loaded(self)

    def _missing(self, columns: Sequence[int], blocks: range) -> dict[range, list[int]]:
        """Blocks next to each other that are not in memory, and the columns of which."""
        missing: dict[range, list[int]] = {}
        for column in dict.fromkeys(columns):
            for gap in _gaps(self._stretches[column], blocks):
                missing.setdefault(gap, []).append(column)
        return missing

    def _read(self, columns: list[int], blocks: range) -> None:
        first, end = self._starts[blocks.start], self._starts[blocks.stop]
        outs = [np.empty(end - first, self._blocks.dtypes[column]) for column in columns]
        self._blocks.read(columns, blocks, outs, self._known)
        for column, out in zip(columns, outs, strict=True):
            self._keep(column, blocks, _Stretch(first, end, _read_only(out)))
            self.cached_bytes += out.nbytes

    def _known(self, column: int, blocks: range) -> NDArray[Any] | None:
        stretch = self._stretches[column].get(blocks.start)
        first, end = self._starts[blocks.start], self._starts[blocks.stop]
        return None if stretch is None or stretch.end < end else stretch.part(first, end)

    def _keep(self, column: int, blocks: range, stretch: _Stretch) -> None:
        self._stretches[column] |= dict.fromkeys(blocks, stretch)

    def _found(self, column: int, blocks: range, first: int, end: int) -> NDArray[Any]:
        """Rows that are in memory, in one stretch or several."""
        of_column = self._stretches[column]
        stretches = list({of_column[b].first: of_column[b] for b in blocks}.values())
        low, high = stretches[0].first, stretches[-1].end
        if len(stretches) > 1 and 2 * (end - first) < high - low:
            return _read_only(np.concatenate([each.part(first, end) for each in stretches]))
        if len(stretches) > 1:  # next time it is one
            rows = _read_only(np.concatenate([each.rows for each in stretches]))
            stretches = [_Stretch(low, high, rows)]
            self._keep(column, self._blocks_of(low, high), stretches[0])
        return stretches[0].part(first, end)

    def verify(self) -> Iterator[CorruptionError]:
        """Read everything once, the rows in memory left aside; yield what is wrong."""
        file = SegmentFile(self._fs, self.name)
        try:
            yield from self._verify_blocks(file)
        finally:
            file.close()

    def _verify_blocks(self, file: SegmentFile) -> Iterator[CorruptionError]:
        try:
            decode_record(file.read(0, _header_record_bytes(file)), owner=self._owner)
        except (RecordError, VersionError) as error:
            yield file.damage(0, str(error))
        footer = self.footer
        for column in range(footer.block_offsets.shape[0]):
            for block in range(footer.block_offsets.shape[1]):
                offset = int(footer.block_offsets[column, block])
                data = file.read(offset, int(footer.block_lengths[column, block]))
                if xxhash.xxh3_64_intdigest(data) != footer.checksums[column, block]:
                    yield file.damage(offset, "the checksum of a column block is wrong")

    def drop_rows(self) -> None:
        """Give back the memory of the rows."""
        with self._lock:
            self._stretches = [{} for _ in self._stretches]
            self.cached_bytes = self._own_bytes

    def close_file(self) -> None:
        """Close the file; it is opened again when it is needed."""
        with self._lock:
            self._file.close()


def _read_footer(file: SegmentFile, file_bytes: int, owner: int, checksum: int | None) -> Footer:
    found = file.size()
    if found != file_bytes:
        what = f"it has {found} bytes and the manifest says {file_bytes}"
        raise file.damage(min(found, file_bytes), what)
    tail_start = max(0, file_bytes - _TAIL_BYTES)
    tail = file.read(tail_start, file_bytes - tail_start)
    try:
        offset, length = decode_trailer(bytes(tail[-TRAILER_BYTES:]), file_bytes)
        start = offset - tail_start
        # The footer's arrays are views: they shall not keep the bytes around them in memory.
        data = file.read(offset, length) if start < 0 else bytes(tail[start : start + length])
        record = decode_record(data, owner=owner)
        if checksum not in (None, record.checksum):
            raise RecordError("it is not the segment that the manifest lists")
        return decode_footer(record)
    except VersionError as error:
        raise FormatVersionError(file.path, error.found, FORMAT_VERSION) from None
    except RecordError as error:
        raise file.damage(tail_start, str(error)) from None


def _header_record_bytes(file: SegmentFile) -> int:
    return record_bytes(decode_header(file.read(0, HEADER_BYTES)))


def _gaps(known: Collection[int], blocks: range) -> Iterator[range]:
    """Blocks that are not known, neighbours together."""
    first = blocks.start
    for block in blocks:
        if block not in known:
            continue
        if first < block:
            yield range(first, block)
        first = block + 1
    if first < blocks.stop:
        yield range(first, blocks.stop)


def _read_only(rows: NDArray[Any]) -> NDArray[Any]:
    rows.flags.writeable = False
    return rows


class SegmentCache:
    """Open segments, bounded in memory and in open files; the ones used longest ago go first.

    Args:
        fs: where the files are.
        store_id: of the store they belong to.
        bytes_max: of rows in memory.
        files_max: of open files.

    Attributes:
        bytes: memory of the segments that are open.
    """

    def __init__(self, fs: FileSystem, store_id: int, *, bytes_max: int, files_max: int) -> None:
        keep_freed_memory()
        self._fs = fs
        self._store_id = store_id
        self._bytes_max = bytes_max
        self._files_max = files_max
        self.bytes = 0
        self._readers: OrderedDict[int, SegmentReader] = OrderedDict()
        self._open: dict[int, SegmentReader] = {}
        self._lock = threading.Lock()

    def reader(self, number: int, name: str, file_bytes: int, checksum: int) -> SegmentReader:
        """The reader of a segment."""
        with self._lock:
            reader = self._readers.get(number)
            if reader is not None:
                self._readers.move_to_end(number)
                return reader
        loaded = partial(self._loaded, number)
        opened = self.open(number, name, file_bytes, checksum, loaded=loaded)
        with self._lock:
            reader = self._readers.setdefault(number, opened)
        if reader is not opened:
            opened.close_file()
        self._loaded(number, reader)
        return reader

    def open(
        self,
        number: int,
        name: str,
        file_bytes: int,
        checksum: int,
        *,
        loaded: Callable[[SegmentReader], None] = lambda _reader: None,
    ) -> SegmentReader:
        """A segment past the cache; the caller closes its file."""
        owner = self._store_id ^ number
        return SegmentReader(self._fs, name, file_bytes, owner, checksum=checksum, loaded=loaded)

    def _loaded(self, number: int, reader: SegmentReader) -> None:
        """Rows were read, or a file was opened: take back what is too much."""
        with self._lock:
            if self._readers.get(number) is not reader:  # taken back while it was read
                reader.close_file()
                return
            self.bytes += reader.cached_bytes - reader.counted_bytes
            reader.counted_bytes = reader.cached_bytes
            if reader.is_open:
                self._open[number] = reader
            while len(self._open) > self._files_max:
                oldest = next(iter(self._open))
                self._open.pop(oldest).close_file()
            while self.bytes > self._bytes_max and len(self._readers) > 1:
                self._drop(next(iter(self._readers)))

    def _drop(self, number: int) -> None:
        reader = self._readers.pop(number, None)
        if reader is not None:
            self._open.pop(number, None)
            self.bytes -= reader.counted_bytes
            reader.close_file()

    def forget(self, number: int) -> None:
        """Drop a segment that is no longer live."""
        with self._lock:
            self._drop(number)

    def keep(self, numbers: Collection[int]) -> None:
        """Drop all but these segments."""
        with self._lock:
            for number in self._readers.keys() - numbers:
                self._drop(number)

    def close(self) -> None:
        """Close all files."""
        self.keep(())
