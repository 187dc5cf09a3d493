"""Arrow's C stream to numpy and back, by nanoarrow, so that no Arrow library is needed.

Only what a column of a bucket can be is read: numbers, booleans, text (plain, view or dictionary)
and, for the time, timestamps and dates. Values are taken from the buffers here, because nanoarrow
0.9 copies string views of more than 12 bytes wrongly and brings the process down.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from numpy.typing import NDArray

_TIME_UNITS = {"SECOND": "s", "MILLI": "ms", "MICRO": "us", "NANO": "ns"}
_NUMBERS = {
    "INT8": "i1", "INT16": "i2", "INT32": "i4", "INT64": "i8", "UINT8": "u1", "UINT16": "u2",
    "UINT32": "u4", "UINT64": "u8", "HALF_FLOAT": "f2", "FLOAT": "f4", "DOUBLE": "f8",
    "DATE32": "M8[D]", "DATE64": "M8[ms]",
}  # fmt: skip
# Offsets of a string column have 32 bits, those of a large one 64.
_STRING_BYTES_MAX = 2**31 - 1
_STORAGE = {"M8[D]": "i4"}
_TEXT_VIEW = np.dtype([("length", "<u4"), ("short", "V4"), ("run", "<u4"), ("begin", "<u4")])


def is_table(value: object) -> bool:
    """Whether the value hands out its rows as an Arrow C stream."""
    return hasattr(value, "__arrow_c_stream__")


def is_column(value: object) -> bool:
    """Whether the value hands out one column as an Arrow C stream or array."""
    return hasattr(value, "__arrow_c_stream__") or hasattr(value, "__arrow_c_array__")


def read_stream(source: object) -> tuple[dict[str, NDArray[Any]], set[str]]:
    """The columns of a table, and which of them are instants rather than wall times.

    Returns:
        Arrays by name (text as object arrays of str, timestamps as datetime64 in their own unit),
        and the names of timestamps that carry a zone, whose values are UTC.

    Raises:
        InvalidArgumentError: two columns of one name, a missing value outside a float column, or a
            type no column has.
    """
    with _understood():
        return _read_stream(source)


def _read_stream(source: object) -> tuple[dict[str, NDArray[Any]], set[str]]:
    schema, chunks = _chunks(source)
    if schema.type.name != "STRUCT":
        raise InvalidArgumentError(
            f"an Arrow stream of {schema.type.name} is one column; pass a table with an Epoch"
        )
    columns: dict[str, NDArray[Any]] = {}
    aware = set[str]()
    for index, field in enumerate(schema.fields):
        name = str(field.name)
        if name in columns:
            raise InvalidArgumentError(f"column {name!r} appears twice")
        pieces = []
        for chunk in chunks:
            begin = chunk.offset
            child = chunk.child(index)
            pieces.append(_decode(name, field, child)[begin : begin + chunk.length])
        columns[name] = _join(name, field, pieces)
        if _is_aware(field):
            aware.add(name)
    return columns, aware


def read_column(name: str, source: object) -> tuple[NDArray[Any], bool]:
    """One Arrow column as an array, and whether it holds instants rather than wall times."""
    with _understood(f"column {name!r}: "):
        schema, chunks = _chunks(source)
        pieces = [_decode(name, schema, chunk) for chunk in chunks]
        return _join(name, schema, pieces), _is_aware(schema)


@contextmanager
def _understood(where: str = "") -> Iterator[None]:
    """Types that nanoarrow does not know are the caller's to convert."""
    from nanoarrow._utils import NanoarrowException  # it has no public name

    try:
        yield
    except (NanoarrowException, NotImplementedError) as error:
        raise InvalidArgumentError(
            f"{where}the Arrow data are of a type that no column has ({error}); convert them to "
            "integers, floats, booleans or text"
        ) from None


def _chunks(source: Any) -> tuple[Any, list[Any]]:
    import nanoarrow as na
    from nanoarrow.c_array_stream import c_array_stream

    if hasattr(source, "__arrow_c_array__"):
        array = na.c_array(source)
        return na.Schema(array.schema), [array]
    with c_array_stream(source) as stream:
        return na.Schema(stream.get_schema()), list(stream)


def _join(name: str, schema: Any, pieces: list[NDArray[Any]]) -> NDArray[Any]:
    if len(pieces) == 1:
        return pieces[0]
    if not pieces:
        return np.empty(0, _dtype(name, schema))
    return np.concatenate(pieces)


def _is_aware(schema: Any) -> bool:
    return bool(schema.type.name == "TIMESTAMP" and schema.timezone)


def _dtype(name: str, schema: Any) -> np.dtype[Any]:
    kind = schema.type.name
    if kind in _NUMBERS:
        return np.dtype(_NUMBERS[kind])
    if kind == "NULL":  # a column without values, which says nothing of its type
        return np.dtype(np.float64)
    if kind == "BOOL":
        return np.dtype(bool)
    if kind == "TIMESTAMP":
        return np.dtype(f"M8[{_TIME_UNITS[schema.unit.name]}]")
    if kind in _TEXTS:
        return np.dtype(object)
    if kind == "DICTIONARY":
        return _dtype(name, schema.value_type)
    raise InvalidArgumentError(
        f"column {name!r} has Arrow type {kind.lower()}; convert it to an integer, a float, a "
        "boolean or text"
    )


def _decode(name: str, schema: Any, chunk: Any) -> NDArray[Any]:
    import nanoarrow as na

    dtype = _dtype(name, schema)
    if schema.type.name == "NULL":
        _refuse_missing(name, np.zeros(chunk.length, bool))
        return np.empty(0, dtype)
    array = na.c_array(chunk)
    view = array.view()
    valid = _valid(view)
    if schema.type.name == "DICTIONARY":
        _refuse_missing(name, valid)
        codes = _buffer(view, np.dtype(_NUMBERS[schema.index_type.type.name]))
        values = _decode(name, schema.value_type, array.dictionary)
        return np.take(values, codes)
    if dtype.kind == "O":
        _refuse_missing(name, valid)
        return np.fromiter(_TEXTS[schema.type.name](view), object, view.length)
    if dtype.kind == "b":
        _refuse_missing(name, valid)
        return _bits(view, 1)
    values = _buffer(view, np.dtype(_STORAGE.get(dtype.str.lstrip("<"), dtype)))
    values = values.astype(dtype) if dtype.str.lstrip("<") in _STORAGE else values.view(dtype)
    if valid is None:
        return values
    if dtype.kind != "f":
        _refuse_missing(name, valid)
    return np.where(valid, values, np.array(np.nan, dtype))


def _buffer(view: Any, dtype: np.dtype[Any]) -> NDArray[Any]:
    if view.length == 0:
        return np.empty(0, dtype)
    return np.frombuffer(view.buffer(1), dtype)[view.offset : view.offset + view.length]


def _texts_between(view: Any, offset_dtype: type[np.int32 | np.int64]) -> Iterator[str]:
    """Values of the types that keep offsets into one run of bytes."""
    if view.length == 0:
        return
    offsets = np.frombuffer(view.buffer(1), offset_dtype)
    offsets = offsets[view.offset : view.offset + view.length + 1]
    octets = bytes(view.buffer(2))
    for begin, end in pairwise(offsets.tolist()):
        yield octets[begin:end].decode()


def _texts_viewed(view: Any) -> Iterator[str]:
    """Values of the type that keeps up to 12 bytes in place and refers to longer ones."""
    entries = _buffer(view, _TEXT_VIEW)
    runs: dict[int, bytes] = {}
    for length, short, run, begin in entries.tolist():
        if length <= 12:
            entry = short + run.to_bytes(4, "little") + begin.to_bytes(4, "little")
            yield entry[:length].decode()
            continue
        if run not in runs:
            runs[run] = bytes(view.buffer(2 + run))
        yield runs[run][begin : begin + length].decode()


def _bits(view: Any, index: int) -> NDArray[np.bool_]:
    if view.length == 0:
        return np.empty(0, bool)
    octets = np.frombuffer(view.buffer(index), np.uint8)
    bits = np.unpackbits(octets, count=view.offset + view.length, bitorder="little")
    return bits[view.offset :].view(bool)


def _valid(view: Any) -> NDArray[np.bool_] | None:
    return None if view.null_count == 0 else _bits(view, 0)


def _refuse_missing(name: str, valid: NDArray[np.bool_] | None) -> None:
    if valid is not None and not valid.all():
        raise InvalidArgumentError(
            f"column {name!r} is null in row {int(np.argmin(valid))}; only float columns can lack "
            "values, as NaN: fill the others first"
        )


_TEXTS: dict[str, Callable[[Any], Iterator[str]]] = {
    "STRING": lambda view: _texts_between(view, np.int32),
    "LARGE_STRING": lambda view: _texts_between(view, np.int64),
    "STRING_VIEW": _texts_viewed,
}


def write_stream(times: NDArray[np.int64], tz: str, columns: Mapping[str, NDArray[Any]]) -> object:
    """The rows as the PyCapsule of an Arrow C stream: `Epoch` first, then the columns.

    Numbers are handed over without copying and keep their arrays alive.

    Args:
        times: int64 nanoseconds since 1970 UTC.
        tz: zone named in the timestamp type.
        columns: arrays by name, each as long as `times`.
    """
    import nanoarrow as na

    schemas = {"Epoch": na.timestamp("ns", tz)}
    buffers = [None, np.ascontiguousarray(times)]
    children = [na.c_array_from_buffers(schemas["Epoch"], len(times), buffers)]
    for name, array in columns.items():
        schemas[name], buffers = _encode(array)
        children.append(na.c_array_from_buffers(schemas[name], len(array), buffers))
    rows = na.c_array_from_buffers(
        na.struct(schemas, nullable=False), len(times), [None], children=children
    )
    return na.c_array_stream(rows).__arrow_c_stream__()


def _encode(array: NDArray[Any]) -> tuple[Any, list[Any]]:
    import nanoarrow as na

    if array.dtype.kind == "b":
        return na.bool_(), [None, np.packbits(array, bitorder="little")]
    if array.dtype.kind == "U":
        offsets, octets = _utf8(array)
        if offsets[-1] > _STRING_BYTES_MAX:
            return na.large_string(), [None, offsets, octets]
        return na.string(), [None, offsets.astype(np.int32), octets]
    kinds = {dtype: kind for kind, dtype in _NUMBERS.items()}
    kind = kinds[array.dtype.str.lstrip("<|")]
    return na.Schema(na.Type[kind]), [None, np.ascontiguousarray(array)]


def _utf8(texts: NDArray[np.str_]) -> tuple[NDArray[np.int64], NDArray[np.uint8]]:
    """Offsets and bytes of an Arrow string column."""
    width = texts.dtype.itemsize // 4
    offsets = np.zeros(len(texts) + 1, np.int64)
    codes = np.ascontiguousarray(texts).view(np.uint32).reshape(len(texts), width)
    if codes.max(initial=0) < 128:  # one byte per character: no loop needed
        lengths = np.char.str_len(texts)
        np.cumsum(lengths, out=offsets[1:])
        return offsets, codes[np.arange(width) < lengths[:, None]].astype(np.uint8)
    encoded = [text.encode() for text in texts.tolist()]
    np.cumsum([len(text) for text in encoded], out=offsets[1:])
    return offsets, np.frombuffer(b"".join(encoded), np.uint8)
