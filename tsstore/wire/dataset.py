"""MarketStore's dataset: rows of several buckets, one after the other, as packed columns.

    types       ["i8", "f4", "i4"]                   no byte-order marks
    names       ["Epoch", "Ask", "Nanoseconds"]      Epoch in seconds; Nanoseconds of variable rows
    data        [bytes, bytes, bytes]                little-endian values
    length      rows in all
    startindex  {"AAPL/1Sec/TICK:Symbol/Timeframe/AttributeGroup": first row of the bucket}
    lengths     {the same key: rows of the bucket}

Datasets of requests are checked in whole here, before any of their rows comes near the store.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.key import KEY_CATEGORY, BucketKey
from tsstore.schema import Schema, parse_dtype, type_name
from tsstore.tables import Table
from tsstore.times import MAX_NS, array_to_ns
from tsstore.wire.codec import Int64, Octets

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_EPOCH = np.dtype("<i8")
_NANOSECONDS = np.dtype("<i4")
_INT32_SPAN = 2**32
_dtype = lru_cache(1024)(parse_dtype)


class Dataset(msgspec.Struct):
    """A dataset as it stands in a request. Its `length` says nothing new and is not looked at."""

    types: list[str] = []
    names: list[str] = []
    data: list[memoryview] = []
    startindex: dict[str, int] | None = None
    lengths: dict[str, int] | None = None


def packed(array: NDArray[Any]) -> memoryview:
    """The bytes of a column as they go on the wire, without copying if they lie together."""
    return np.ascontiguousarray(array).view(np.uint8).data


def sendable(array: NDArray[Any]) -> Octets:
    """A column of an answer."""
    return Octets(packed(array))


def unpack_columns(
    names: Sequence[str], types: Sequence[str], data: Sequence[memoryview]
) -> dict[str, NDArray[Any]]:
    """Arrays by name, all of one length.

    Raises:
        InvalidArgumentError: a name twice, an unknown type, or columns of different lengths.
    """
    if not len(names) == len(types) == len(data):
        raise InvalidArgumentError(
            f"a dataset with {len(names)} names, {len(types)} types and {len(data)} columns of "
            "data; give one of each per column"
        )
    arrays: dict[str, NDArray[Any]] = {}
    for name, text, buffer in zip(names, types, data, strict=True):
        if name in arrays:
            raise InvalidArgumentError(f"column {name!r} appears twice")
        arrays[name] = unpack_column(name, text, buffer)
    rows = {len(array) for array in arrays.values()}
    if len(rows) > 1:
        shape = ", ".join(f"{name} {len(array)}" for name, array in arrays.items())
        raise InvalidArgumentError(f"columns of different lengths: {shape[:500]}")
    return arrays


def unpack_column(name: str, text: str, buffer: memoryview) -> NDArray[Any]:
    """One column, as a view of the buffer.

    Raises:
        InvalidArgumentError: an unknown type, or bytes that are no whole number of values.
    """
    dtype = _dtype(text)
    if buffer.nbytes % dtype.itemsize:
        raise InvalidArgumentError(
            f"column {name!r} has {buffer.nbytes} bytes, which is no whole number of {text} values"
        )
    array = np.frombuffer(buffer, dtype)
    if dtype.kind == "U" and (array.view(np.uint32) > 0x10FFFF).any():
        raise InvalidArgumentError(f"column {name!r} holds numbers that are no characters")
    if dtype.kind == "b" and (array.view(np.uint8) > 1).any():
        raise InvalidArgumentError(f"column {name!r} holds bytes other than 0 and 1")
    return array


class WriteRows:
    """The rows of a written dataset: its columns, and which rows belong to which bucket.

    Attributes:
        table: all rows, in the order sent; numbers may be rounded into columns of floats, which
            MarketStore's clients count on.
        slices: (bucket key, first row, row after the last one).
    """

    def __init__(self, dataset: Dataset) -> None:
        """Check a dataset and take it apart.

        Raises:
            InvalidArgumentError: anything about it that cannot be right.
        """
        arrays = unpack_columns(dataset.names, dataset.types, dataset.data)
        epoch = arrays.pop("Epoch", None)
        if epoch is None or epoch.dtype != _EPOCH:
            found = "there is none" if epoch is None else f"it is {type_name(epoch.dtype)}"
            raise InvalidArgumentError(
                f"unexpected data type for Epoch column: {found}; it is i8, seconds since 1970"
            )
        Schema.of((name, array.dtype) for name, array in arrays.items())
        self.slices = _slices(dataset, len(epoch))
        ts = array_to_ns(epoch)
        nanoseconds = arrays.get("Nanoseconds")
        if nanoseconds is None:
            self.table = Table(ts, arrays, is_rounded=True)
            return
        if nanoseconds.dtype != _NANOSECONDS:
            raise InvalidArgumentError(
                "unexpected data type for Nanoseconds column: "
                f"it is {type_name(nanoseconds.dtype)} and should be i4"
            )
        if (np.abs(ts) > MAX_NS - _INT32_SPAN).any():
            raise InvalidArgumentError(
                "Epoch and Nanoseconds together leave the years 1678 to 2261"
            )
        # Outside 0..999999999 they move the second, as MarketStore does.
        self.table = Table(ts + nanoseconds, arrays, had_nanoseconds=True, is_rounded=True)

    def rows(self, start: int, stop: int) -> Table:
        """The rows of one bucket."""
        arrays = {name: array[start:stop] for name, array in self.table.arrays.items()}
        return replace(self.table, ts=self.table.ts[start:stop], arrays=arrays)


def _slices(dataset: Dataset, rows: int) -> list[tuple[str, int, int]]:
    if not dataset.lengths:
        if rows:
            raise InvalidArgumentError(
                f"a dataset of {rows} rows names no bucket in its lengths; add its key there"
            )
        return []
    starts = _by_bare_key(dataset.startindex or {})
    slices = []
    for bare, length in _by_bare_key(dataset.lengths).items():
        start = starts.get(bare, 0)
        if start < 0 or length < 0 or start + length > rows:
            raise InvalidArgumentError(
                f"dataset says that {bare[:200]} has {length} rows from row {start}, "
                f"of {rows} in all"
            )
        slices.append((str(BucketKey.parse(bare)), start, start + length))
    return slices


def _by_bare_key(numbers: Mapping[str, int]) -> dict[str, int]:
    """What `startindex` and `lengths` say, the keys without their suffix."""
    bare = {key.removesuffix(":" + KEY_CATEGORY): number for key, number in numbers.items()}
    if len(bare) < len(numbers):
        raise InvalidArgumentError(
            "a dataset names a bucket twice, with and without its suffix; name it once"
        )
    return bare


def to_dataset(batches: Mapping[str, Columns]) -> dict[str, Any]:
    """The dataset of an answer, its fields in MarketStore's order.

    Args:
        batches: bucket key to rows, all with the same columns, of which numbers may be of
            different width and become the widest; at least one.
    """
    pieces = list(batches.values())
    joined = Columns.concat(pieces)
    arrays = {"Epoch": joined["Epoch"], **dict(joined.items())}
    if joined.variable:
        arrays["Nanoseconds"] = joined["Nanoseconds"]
    starts = {}
    lengths = {}
    row = 0
    for key, piece in batches.items():
        starts[f"{key}:{KEY_CATEGORY}"] = Int64(row)
        lengths[f"{key}:{KEY_CATEGORY}"] = Int64(len(piece))
        row += len(piece)
    return {
        "types": [type_name(array.dtype) for array in arrays.values()],
        "names": list(arrays),
        "data": [sendable(array) for array in arrays.values()],
        "length": Int64(row),
        "startindex": starts,
        "lengths": lengths,
    }
