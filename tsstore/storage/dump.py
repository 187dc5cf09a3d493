"""What a file of a data directory holds, as lines for people, as far as it can be read.

Works on one file alone, without the store around it: its kind is in its name, and who it belongs to
is in its records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import xxhash

from tsstore.errors import CorruptionError, InvalidArgumentError
from tsstore.format import constants
from tsstore.format.commit import decode_commit
from tsstore.format.manifest import SHARED, decode_manifest
from tsstore.format.record import (
    HEADER_BYTES,
    Record,
    RecordError,
    VersionError,
    decode_body,
    decode_header,
    record_bytes,
)
from tsstore.storage.blocks import BlockReader, SegmentFile
from tsstore.storage.filenames import manifest_number, segment_number, wal_number
from tsstore.storage.salvage import NONSENSE, FoundFooter, footer_in
from tsstore.storage.stats import encoding_name
from tsstore.times import format_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsstore.format.segment import Footer
    from tsstore.vfs import FileSystem

_MAGIC = b"TSR1"
_KINDS = {
    number: name.removeprefix("KIND_").replace("_", " ")
    for name, number in vars(constants).items()
    if name.startswith("KIND_")
}


def dump_file(fs: FileSystem, name: str, *, rows: int = 0) -> Iterator[str]:
    """Lines about a file; those about damage begin with `damaged`.

    Args:
        fs: the directory that holds it.
        name: of the file, by which its kind is known.
        rows: how many rows of each bucket to show.

    Raises:
        InvalidArgumentError: no file of a data directory has such a name.
        StorageError: it cannot be read.
    """
    if segment_number(name) is not None:
        return _segment(fs, name, rows)
    if wal_number(name) is not None:
        return _records(fs.read(name), lambda record: _commit(record, rows))
    if manifest_number(name) is not None:
        return _records(fs.read(name), _manifest)
    raise InvalidArgumentError(
        f"{name} is neither a segment (….000012.seg) nor a log file (000012.wal) nor a manifest "
        "(MANIFEST-000012); name one of a data directory"
    )


# Records


def _records(data: bytes, describe: Callable[[Record], Iterator[str]]) -> Iterator[str]:
    """Each record, what it says, and stretches that are none."""
    at = 0
    while at < len(data):
        record = _record_at(data, at)
        if isinstance(record, str):
            end = data.find(_MAGIC, at + 1)
            end = len(data) if end < 0 else end
            yield f"damaged {at}: {end - at} bytes are no record: {record}"
        else:
            header = decode_header(data[at : at + HEADER_BYTES])
            end = at + record_bytes(header)
            yield _headline(at, record, header.owner, end - at)
            yield from describe(record)
        at = end


def _headline(at: int, record: Record, owner: int, length: int) -> str:
    kind = _KINDS.get(record.kind, f"kind {record.kind}")
    return f"{at}: {kind} {record.sequence}, {length} bytes, owner {owner:016x}, checksums ok"


def _record_at(data: bytes, at: int) -> Record | str:
    try:
        header = decode_header(data[at : at + HEADER_BYTES])
        return decode_body(header, memoryview(data)[at + HEADER_BYTES :])
    except RecordError as error:
        return str(error)
    except VersionError as error:
        return f"it has version {error.found} of the format"


# The log


def _commit(record: Record, rows: int) -> Iterator[str]:
    if record.kind != constants.KIND_COMMIT:
        meta = {key: value for key, value in record.meta.items() if key != "arrays"}
        yield f"    {meta}"
        return
    commit = decode_commit(record)
    for number, schema in commit.schemas.items():
        yield f"    schema {number}: {schema}"
    for bucket_id, key, schema_id in commit.created:
        yield f"    create bucket {bucket_id} {key} with schema {schema_id}"
    for bucket_id, key in commit.renamed:
        yield f"    rename bucket {bucket_id} to {key}"
    for bucket_id, schema_id in commit.altered:
        yield f"    alter bucket {bucket_id} to schema {schema_id}"
    for bucket_id, first, last in commit.deletes:
        yield f"    rows of bucket {bucket_id} go: {_span(first, last)}"
    for section in commit.sections:
        yield f"    {len(section.ts)} rows of schema {section.schema_id}"
        for place, bucket_id in enumerate(section.ids.tolist()):
            low, high = section.starts[place : place + 2].tolist()
            span = f"{format_ns(int(section.ts[low]))} to {format_ns(int(section.ts[high - 1]))}"
            yield f"        bucket {bucket_id}: {high - low} rows, {span}"
            columns = [section.ts[low:high], *(array[low:high] for array in section.arrays)]
            yield from _rows([column[:rows] for column in columns], " " * 12)
    for name, entry in zip(commit.segment_names, commit.segments, strict=True):
        yield f"    load {name}: {entry['rows']} rows, {entry['bytes']} bytes"
    for bucket_id in commit.destroyed:
        yield f"    destroy bucket {bucket_id}"


# The manifest


def _manifest(record: Record) -> Iterator[str]:
    try:
        manifest = decode_manifest(record)
    except NONSENSE as error:
        yield f"damaged: {error}"
        return
    yield f"    store {manifest.store_id:016x}, time zone {manifest.timezone}"
    yield f"    in segments up to commit {manifest.checkpoint}, log from {manifest.first_wal}.wal"
    yield f"    log files at a clean close: {dict(manifest.sealed)}"
    for number, schema in manifest.schemas.items():
        yield f"    schema {number}: {schema}"
    buckets = zip(manifest.bucket_ids, manifest.keys, manifest.bucket_schemas, strict=True)
    for bucket_id, key, schema_id in buckets:
        former = manifest.former.get(int(bucket_id), ())
        before = f", before {list(former)}" if former else ""
        yield f"    bucket {bucket_id} {key}: schema {schema_id}{before}"
    for name, entry in zip(manifest.segment_names, manifest.segments, strict=True):
        owner = "shared" if entry["bucket"] == SHARED else f"bucket {entry['bucket']}"
        yield (
            f"    segment {name}: {owner}, {entry['rows']} rows, {entry['bytes']} bytes, "
            f"generation {entry['generation']}, commits {entry['first_sequence']} to "
            f"{entry['last_sequence']}, {_span(entry['first_ts'], entry['last_ts'])}"
        )
    for number, bucket_id, first, last in manifest.deletes.tolist():
        yield f"    deleted from segment {number}, bucket {bucket_id}: {_span(first, last)}"


def _span(first: Any, last: Any) -> str:
    return f"{format_ns(int(first))} to {format_ns(int(last))}"


# Segments


def _segment(fs: FileSystem, name: str, rows: int) -> Iterator[str]:
    data = fs.read(name)
    head = _record_at(data, 0)
    if isinstance(head, str):
        yield f"damaged 0: {head}"
    else:
        owner = decode_header(data[:HEADER_BYTES]).owner
        yield _headline(0, head, owner, record_bytes(decode_header(data[:HEADER_BYTES])))
    found = footer_in(data, None)
    if found is None:
        yield f"damaged {len(data)}: no footer was found; `tsstore repair` may save rows"
        return
    yield from _footer(found, len(data))
    yield from _blocks(data, found.footer)
    if rows:
        yield from _decoded(fs, name, found.footer, rows)


def _footer(found: FoundFooter, length: int) -> Iterator[str]:
    footer = found.footer
    kind = "packed" if footer.packed else "flat"
    state = "checksums ok" if found.intact else "its checksum is wrong, or that of the trailer"
    yield f"{'' if found.intact else 'damaged '}footer: {state}"
    yield (
        f"    {kind}, {length} bytes, {footer.rows} rows, {len(footer.ids)} buckets, commits "
        f"{footer.first_sequence} to {footer.last_sequence}"
    )
    yield f"    {footer.schema}"
    for place, bucket_id in enumerate(footer.ids.tolist()):
        low, high = footer.starts[place : place + 2].tolist()
        span = _span(footer.first_ts[place], footer.last_ts[place])
        yield f"    bucket {bucket_id} {footer.keys[place]}: rows {low} to {high}, {span}"
    for bucket_id, first, last in footer.deletes:
        yield f"    deletes from older segments, bucket {bucket_id}: {_span(first, last)}"


def _blocks(data: bytes, footer: Footer) -> Iterator[str]:
    names = ("Epoch", *footer.schema.names)
    for block in range(footer.block_offsets.shape[1]):
        low, high = footer.block_starts[block : block + 2].tolist()
        first = format_ns(int(footer.block_first_ts[block]))
        yield f"block {block}: rows {low} to {high}, from {first}"
        for column, name in enumerate(names):
            offset = int(footer.block_offsets[column, block])
            length = int(footer.block_lengths[column, block])
            stored = data[max(offset, 0) : max(offset, 0) + length]
            sound = xxhash.xxh3_64_intdigest(stored) == footer.checksums[column, block]
            encoding = encoding_name(int(footer.encodings[column, block]))
            what = "checksum ok" if sound else "checksum wrong"
            mark = "    " if sound else "damaged "
            yield f"{mark}{offset}: {name}, {encoding}, {length} bytes, {what}"


def _decoded(fs: FileSystem, name: str, footer: Footer, rows: int) -> Iterator[str]:
    reader = BlockReader(SegmentFile(fs, name), footer)
    for place, key in enumerate(footer.keys):
        first, end = footer.starts[place : place + 2].tolist()
        end = min(end, first + rows)
        yield f"rows of {key}"
        low = int(footer.block_starts.searchsorted(first, "right")) - 1
        blocks = range(low, int(footer.block_starts.searchsorted(end, "left")))
        start = int(footer.block_starts[low])
        count = int(footer.block_starts[blocks.stop]) - start
        columns = [np.empty(count, dtype) for dtype in reader.dtypes]
        try:
            reader.read(range(len(columns)), blocks, columns, lambda _column, _block: None)
        except CorruptionError as error:
            yield f"damaged {error.offset}: {error.what}"
            continue
        except NONSENSE as error:  # a footer with wrong bytes may say anything
            yield f"damaged: {error}"
            continue
        yield from _rows([column[first - start : end - start] for column in columns], "    ")


def _rows(columns: list[Any], indent: str) -> Iterator[str]:
    for ts, *values in zip(*(column.tolist() for column in columns), strict=True):
        yield f"{indent}{format_ns(ts)}  {'  '.join(map(str, values))}"
