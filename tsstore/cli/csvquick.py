"""CSV by pyarrow, which parses on all cores; what it cannot read, the slow reader can explain."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.cli.csvcells import Batch, NotReadQuicklyError, narrowed
from tsstore.cli.csvslow import is_packed, readable
from tsstore.cli.tablefile import TEXT, Symbols
from tsstore.times import array_to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from tsstore.cli.csvcells import Types
    from tsstore.cli.tablefile import Layout

_BLOCK_BYTES = 4 << 20
_FAILED_COLUMN = re.compile(r"In CSV column #(\d+)")
_ZONE = re.compile(r"(?:Z|[+-]\d\d:?\d\d)$", re.ASCII)
# Both readers round decimals the same way: to double precision first.
_READ_AS = {np.dtype(np.float32): np.dtype(np.float64)}


def read_quickly(
    path: Path,
    types: Types,
    layout: Layout,
    wanted: list[str] | None = None,
    *,
    header_rows: int | None = None,
) -> Iterator[Batch]:
    """Rows, some at a time.

    Args:
        path: the file.
        types: of all its columns, in their order.
        layout: which column is the time.
        wanted: only these columns.
        header_rows: rows before the data, if the columns are called as in `types` and not as in
            the first row.

    Raises:
        NotReadQuicklyError: there is no pyarrow, or a cell it cannot read.
        StorageError: the file cannot be read.
    """
    try:
        import pyarrow as pa
        from pyarrow import csv
    except ImportError:
        raise NotReadQuicklyError(None) from None
    convert = csv.ConvertOptions(
        column_types={
            name: _arrow_type(dtype, is_time=name == layout.time) for name, dtype in types.items()
        },
        include_columns=wanted,
        null_values=[""],
        true_values=["true", "True", "TRUE", "t", "T", "1"],
        false_values=["false", "False", "FALSE", "f", "F", "0"],
    )
    try:
        with readable(path), pa.OSFile(str(path)) as raw:
            # Unpacked by Arrow, ahead of the rows and beside the writing of others.
            octets = pa.CompressedInputStream(raw, "gzip") if is_packed(path) else raw
            size = max(1, raw.size())
            batches = csv.open_csv(
                octets,
                csv.ReadOptions(
                    block_size=_BLOCK_BYTES,
                    column_names=None if header_rows is None else list(types),
                    skip_rows_after_names=header_rows or 0,
                ),
                csv.ParseOptions(newlines_in_values=True),
                convert,
            )
            for batch in batches:
                yield Batch(_columns(batch, types, layout), raw.tell() / size)
    except ValueError as error:  # pyarrow's errors, and numbers that do not fit
        found = _FAILED_COLUMN.match(str(error))
        raise NotReadQuicklyError(list(types)[int(found[1])] if found else None) from None


def _arrow_type(dtype: np.dtype[Any], *, is_time: bool) -> Any:
    import pyarrow as pa

    if dtype == TEXT and is_time:
        return pa.string()
    if dtype.kind == "U":
        return pa.dictionary(pa.int32(), pa.string())
    return pa.from_numpy_dtype(_READ_AS.get(dtype, dtype))


def _columns(batch: Any, types: Types, layout: Layout) -> dict[str, Any]:
    columns: dict[str, Any] = {}
    for name, array in zip(batch.schema.names, batch.columns, strict=True):
        kind = types[name].kind
        if kind == "U" and name == layout.time:
            columns[name] = _instants(array, layout.tz)
        elif kind == "U":
            columns[name] = Symbols(array.dictionary.to_pylist(), _numbers(array.indices))
        elif array.null_count and kind != "f":
            raise NotReadQuicklyError(name)
        else:
            columns[name] = narrowed(_numbers(array), types[name])
    return columns


def _numbers(array: Any) -> NDArray[Any]:
    """An Arrow array as a numpy array; nulls are NaN.

    Where it can be done without, not by Arrow's own way, which imports pandas: that takes as long
    as to read a million rows.
    """
    if array.null_count or array.type == "bool":
        return np.asarray(array.to_numpy(zero_copy_only=False))
    return np.from_dlpack(array)


def _instants(array: Any, tz: str | None) -> NDArray[Any]:
    """Times as datetime64[ns] in UTC if Arrow can read them, which is fast; else as text."""
    import pyarrow as pa

    zoned = len(array) > 0 and _ZONE.search(array[0].as_py() or "") is not None
    try:
        times = array.cast(pa.timestamp("ns", "UTC" if zoned else None))
    except pa.ArrowInvalid:
        return np.array(array.to_pylist(), str)
    wall = times.to_numpy(zero_copy_only=False)
    return array_to_ns(wall, None if zoned else tz).view("M8[ns]")
