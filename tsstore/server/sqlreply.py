"""SQL for MarketStore's clients: the rows of a statement as a dataset, and what one may cost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.schema import type_name
from tsstore.sql.limits import SqlLimits
from tsstore.wire.codec import Int64
from tsstore.wire.dataset import sendable
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    import pyarrow as pa
    from numpy.typing import NDArray

    from tsstore.server.settings import ServerSettings
    from tsstore.sql import SqlResult

_CATEGORY = "SQL"


def sql_limits(settings: ServerSettings) -> SqlLimits:
    """What statements of clients may cost."""
    return SqlLimits(
        memory_bytes=settings.sql_memory_bytes,
        threads=settings.sql_calls,
        time_s=settings.sql_time_s,
        rows_max=settings.sql_rows_max,
        calls=settings.sql_calls,
    )


def sql_dataset(result: SqlResult, statement: str) -> dict[str, Any]:
    """The dataset of an answer: the columns selected, under the key `statement:SQL`.

    Times are whole seconds since 1970 (i8). If the statement reads ticks and selects their `Epoch`,
    `Nanoseconds` (i4) follow the last column, as in any dataset of ticks. Where values are missing,
    numbers are f8 with NaN and texts are empty. What no column of a bucket can be is text.
    """
    table = result.to_arrow()
    arrays = {name: _column(table.column(name)) for name in result.names}
    if result.variable and "Epoch" in arrays and "Nanoseconds" not in arrays:
        ns = _nanoseconds(table.column("Epoch"))
        if ns is not None:
            arrays["Nanoseconds"] = (ns % NS_PER_SECOND).astype("<i4")
    key = f"{statement}:{_CATEGORY}"
    return {
        "types": [type_name(array.dtype) for array in arrays.values()],
        "names": list(arrays),
        "data": [sendable(array) for array in arrays.values()],
        "length": Int64(len(result)),
        "startindex": {key: Int64(0)},
        "lengths": {key: Int64(len(result))},
    }


def _column(column: pa.ChunkedArray) -> NDArray[Any]:
    """One column in a type that a dataset has."""
    ns = _nanoseconds(column)
    if ns is not None:
        return ns // NS_PER_SECOND
    values = _numbers(column)
    if values is None:
        texts = ["" if value is None else str(value) for value in column.to_pylist()]
        width = max(map(len, texts), default=0)
        return np.array(texts, f"<U{max(1, width)}")
    return values.astype(values.dtype.newbyteorder("<"), copy=False)


def _nanoseconds(column: pa.ChunkedArray) -> NDArray[np.int64] | None:
    """Times and days in nanoseconds since 1970; None for other columns, or where one is missing."""
    import pyarrow as pa

    is_time = pa.types.is_timestamp(column.type) or pa.types.is_date(column.type)
    if not is_time or column.null_count:
        return None
    return column.to_numpy().astype("M8[ns]").astype(np.int64)  # type: ignore[no-any-return]


def _numbers(column: pa.ChunkedArray) -> NDArray[Any] | None:
    """Numbers and booleans; None for other columns."""
    import pyarrow as pa

    kind = column.type
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):  # some of them are missing
        ns = column.cast(pa.timestamp("ns")).cast(pa.int64())
        return np.floor_divide(ns.to_numpy(), NS_PER_SECOND)  # type: ignore[no-any-return]
    if pa.types.is_null(kind):
        return np.full(len(column), np.nan)
    if pa.types.is_boolean(kind):
        if not column.null_count:
            return column.to_numpy()  # type: ignore[no-any-return]
        column, kind = column.cast(pa.int8()), pa.int8()
    if pa.types.is_decimal(kind):
        column, kind = column.cast(pa.float64()), pa.float64()
    if not (pa.types.is_integer(kind) or pa.types.is_floating(kind)):
        return None
    values: NDArray[Any] = column.to_numpy()  # with NaN as f8 where some are missing
    return values.astype("<f4") if values.dtype == np.float16 else values
