"""What can still be read of a damaged segment: each block for itself, and footers with wrong bytes.

A block is believed if its own checksum is right. A footer whose checksum is wrong is believed as
far as the rest of the file, and what the manifest knows of it, bear it out: buckets must be known
by number and by name, and runs must begin and end with the rows that the footer says.
"""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgpack
import numpy as np

from tsstore.errors import CorruptionError, TsStoreError
from tsstore.format.constants import KIND_MANIFEST, KIND_PACKED_FOOTER, KIND_SEGMENT_FOOTER
from tsstore.format.record import HEADER_BYTES, Record, RecordError, decode_record
from tsstore.format.segment import TRAILER_BYTES, Footer, decode_footer, decode_trailer
from tsstore.storage.bitflip import mended
from tsstore.storage.blocks import BlockReader, SegmentFile
from tsstore.storage.chunk import Chunk, split_ids
from tsstore.storage.places import Place, place_of_rows

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.vfs import FileSystem

_MAGIC = b"TSR1"
#: What numpy and msgpack raise for bytes that mean nothing.
NONSENSE = (
    ValueError,
    TypeError,
    KeyError,
    IndexError,
    OverflowError,
    AttributeError,
    msgpack.UnpackException,
    RecordError,
)


@dataclass(frozen=True)
class FoundFooter:
    """The footer of a segment.

    Attributes:
        footer: what is where.
        checksum: of its body as it stands; what a manifest lists.
        sound: whether its checksums are right, maybe after one bit was put right.
        intact: whether nothing had to be put right.
    """

    footer: Footer
    checksum: int
    sound: bool
    intact: bool


def find_footer(fs: FileSystem, name: str, owner: int) -> FoundFooter | None:
    """The footer of a segment file, sound or not; None if nothing can be made of it."""
    data = _read_all(fs, name)
    return None if data is None else footer_in(data, owner)


def footer_in(data: bytes, owner: int | None) -> FoundFooter | None:
    """The footer of a segment, given by all its bytes, and whose it has to be, if that is known."""
    places = _footer_places(data)
    for offset, length in places:
        with contextlib.suppress(*NONSENSE):
            stored = data[offset : offset + length]
            whole = mended(stored, owner=owner) or b""
            record = decode_record(whole, owner=owner)
            intact = whole == stored and _has_trailer(data)
            footer = decode_footer(record)
            return FoundFooter(footer, record.checksum, sound=True, intact=intact)
    for offset, length in places:
        with contextlib.suppress(*NONSENSE):
            footer = decode_footer(unchecked_record(data[offset : offset + length]))
            _check_shape(footer, offset)
            return FoundFooter(footer, 0, sound=False, intact=False)
    return None


def _has_trailer(data: bytes) -> bool:
    try:
        decode_trailer(data[-TRAILER_BYTES:], len(data))
    except RecordError:
        return False
    return True


def _read_all(fs: FileSystem, name: str) -> bytes | None:
    try:
        return fs.read(name)
    except TsStoreError:
        return None


def _footer_places(data: bytes) -> list[tuple[int, int]]:
    """Where a footer may be: where the trailer says, and wherever the last record begins."""
    places = []
    with contextlib.suppress(RecordError):
        places.append(decode_trailer(data[-TRAILER_BYTES:], len(data)))
    last = data.rfind(_MAGIC)
    if last > 0:
        places.append((last, len(data) - TRAILER_BYTES - last))
    if len(data) > TRAILER_BYTES:
        offset, length = np.frombuffer(data[-TRAILER_BYTES:-16], "<u8").tolist()
        places += [(offset, len(data) - TRAILER_BYTES - offset)] if offset < len(data) else []
        places += [(len(data) - TRAILER_BYTES - length, length)] if length < len(data) else []
    return places


def unchecked_record(data: bytes) -> Record:
    """A footer or a manifest, without a look at its checksums and its header.

    Raises:
        RecordError: or one of NONSENSE; it makes no sense.
    """
    body = memoryview(data)[HEADER_BYTES:]
    unpacker = msgpack.Unpacker(strict_map_key=False, max_buffer_size=0)
    unpacker.feed(body)
    meta: dict[str, Any] = unpacker.unpack()
    position = unpacker.tell() + -unpacker.tell() % 8
    arrays = []
    for name, count in meta["arrays"]:
        dtype = np.dtype(name)
        arrays.append(np.frombuffer(body, dtype, count, position))
        position += dtype.itemsize * count
        position += -position % 8
    if position != len(body):
        raise RecordError("the arrays of a record do not fill it")
    kind = KIND_MANIFEST if "store" in meta else KIND_PACKED_FOOTER
    return Record(KIND_SEGMENT_FOOTER if "block_rows" in meta else kind, 0, 0, meta, arrays)


def _check_shape(footer: Footer, end: int) -> None:
    """Whether the numbers of an unchecked footer could be those of a file.

    Raises:
        RecordError: they could not.
    """
    runs = len(footer.ids)
    lengths = (len(footer.keys), len(footer.starts) - 1, len(footer.first_ts), len(footer.last_ts))
    blocks = footer.block_offsets.shape[1]
    columns = len(footer.schema.columns) + 1
    fits = (
        lengths == (runs,) * 4
        and len(footer.block_starts) == blocks + 1
        and footer.block_offsets.shape[0] == columns
        and 0 < footer.rows < end
        and footer.starts[0] == 0 == footer.block_starts[0]
        and int(footer.block_starts[-1]) == footer.rows
        and bool((np.diff(footer.block_starts) > 0).all())
    )
    if not fits:
        raise RecordError("the footer does not fit itself")


@dataclass
class Salvage:
    """What was saved of a segment.

    Attributes:
        ids: uint32, bucket of each row that was saved.
        ts: int64 nanoseconds of these rows.
        arrays: their columns.
        lost: rows that were not.
        gone: by bucket, ranges in which rows are lost, both ends included.
        deletes: what a segment of format 1 deletes from older ones; see `Footer`.
    """

    ids: NDArray[np.uint32]
    ts: NDArray[np.int64]
    arrays: list[NDArray[Any]]
    lost: list[Place] = field(default_factory=list)
    gone: list[tuple[int, NDArray[np.int64]]] = field(default_factory=list)
    deletes: list[tuple[int, int, int]] = field(default_factory=list)

    def chunk(self, sequences: tuple[int, int]) -> Chunk:
        """The rows as a chunk of these commits."""
        ids, starts = split_ids(self.ids)
        return Chunk(ids, starts, self.ts, self.arrays, {}, *sequences)


class SegmentSalvage:
    """Saves the rows of one segment.

    Args:
        fs: the data directory.
        name: of the file.
        found: its footer.
        keys: names of the buckets by id, as the catalog has them.
        bucket: whose segment it is, as the manifest says; None where it does not say.
    """

    def __init__(
        self,
        fs: FileSystem,
        name: str,
        found: FoundFooter,
        keys: Mapping[int, str],
        bucket: int | None = None,
    ) -> None:
        self._footer = found.footer
        self._sound = found.sound
        self._keys = keys
        self._bucket = bucket
        self._file = SegmentFile(fs, name)
        self._blocks = BlockReader(self._file, found.footer)

    def run(self) -> Salvage:
        """Read what can be read."""
        footer = self._footer
        columns = [np.zeros(footer.rows, dtype) for dtype in self._blocks.dtypes]
        saved = np.zeros(footer.rows, np.bool_)
        dated = np.zeros(footer.rows, np.bool_)
        for block in range(len(footer.block_starts) - 1):
            rows = slice(int(footer.block_starts[block]), int(footer.block_starts[block + 1]))
            dated[rows] = self._read([0], block, [columns[0][rows]])
            every = range(len(columns))
            outs = [column[rows] for column in columns]
            saved[rows] = dated[rows.start] and self._read(every, block, outs)
        self._file.close()
        runs = self._runs(columns[0], dated)
        row_ids = np.zeros(footer.rows, np.uint32)
        believed = np.zeros(footer.rows, np.bool_)
        for run in runs:
            first, end = footer.starts[run : run + 2].tolist()
            row_ids[first:end] = footer.ids[run]
            believed[first:end] = True
        saved &= believed
        lost, gone = self._lost(runs, saved, dated, columns[0])
        nameless = footer.rows - int(believed.sum())
        if nameless:
            span = int(footer.first_ts.min()), int(footer.last_ts.max())
            lost.append(Place((), nameless, *span))
        kept = [column[saved] for column in columns]
        return Salvage(row_ids[saved], kept[0], kept[1:], lost, gone, footer.deletes)

    def _read(self, columns: Sequence[int], block: int, outs: list[NDArray[Any]]) -> bool:
        try:
            self._blocks.read(columns, range(block, block + 1), outs, lambda _column, _block: None)
        except CorruptionError:
            return False
        except NONSENSE:  # a footer that was not checked may ask for anything
            if self._sound:
                raise
            return False
        return True

    def _runs(self, ts: NDArray[np.int64], dated: NDArray[np.bool_]) -> list[int]:
        """Runs that are what the footer says, as far as the rest of the file can tell."""
        every = range(len(self._footer.ids))
        return list(every) if self._sound else [r for r in every if self._bears_out(r, ts, dated)]

    def _bears_out(self, run: int, ts: NDArray[np.int64], dated: NDArray[np.bool_]) -> bool:
        footer = self._footer
        bucket_id, (first, end) = int(footer.ids[run]), footer.starts[run : run + 2].tolist()
        key = self._keys.get(bucket_id)
        named = bucket_id == self._bucket or key == footer.keys[run]
        if key is None or not named or not 0 <= first < end <= footer.rows:
            return False
        rows = ts[first:end][dated[first:end]]
        if not (rows[1:] >= rows[:-1]).all():
            return False
        if len(footer.ids) == 1 and bucket_id == self._bucket:
            return (first, end) == (0, footer.rows)
        begins = bool(dated[first]) and ts[first] == footer.first_ts[run]
        return begins and bool(dated[end - 1]) and bool(ts[end - 1] == footer.last_ts[run])

    def _lost(
        self,
        runs: list[int],
        saved: NDArray[np.bool_],
        dated: NDArray[np.bool_],
        ts: NDArray[np.int64],
    ) -> tuple[list[Place], list[tuple[int, NDArray[np.int64]]]]:
        """Rows of runs that were not saved, and their times as far as they are known."""
        footer = self._footer
        places, gone = [], []
        for run in runs:
            first, end = footer.starts[run : run + 2].tolist()
            for begin, stop in stretches(~saved[first:end]):
                low, high = first + begin, first + stop
                place = place_of_rows(footer, low, high, self._keys)
                places.append(place)
                known = dated[low:high]
                times = np.repeat(ts[low:high][known], 2).reshape(-1, 2)
                if not known.all():
                    times = np.append(times, [[place.first_ts, place.last_ts]], axis=0)
                gone.append((int(footer.ids[run]), times))
        return places, gone


def stretches(wanted: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First and end of each stretch of true values."""
    edges = np.flatnonzero(np.diff(np.concatenate(([False], wanted, [False])).astype(np.int8)))
    return [(low, high) for low, high in edges.reshape(-1, 2).tolist()]
