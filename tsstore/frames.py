"""Columns as pandas, polars and Arrow tables; each library is imported only when it is asked for.

The time becomes `Epoch` with nanoseconds, in the zone of the Columns. polars and pyarrow share the
arrays' memory; pandas gets one copy, because people change DataFrames and the arrays are read-only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore import arrow
from tsstore.errors import InvalidArgumentError

if TYPE_CHECKING:
    import pandas as pd
    import polars as pl
    import pyarrow as pa

    from tsstore.columns import Columns


def to_pandas(columns: Columns) -> pd.DataFrame:
    """A DataFrame indexed by `Epoch`, datetime64[ns, tz]; text columns as pandas keeps text."""
    try:
        import pandas as pd
    except ImportError:
        raise _not_installed("to_pandas", "pandas") from None
    index = pd.DatetimeIndex(columns.ts.view("M8[ns]"), name="Epoch").tz_localize("UTC")
    if columns.tz != "UTC":
        index = index.tz_convert(columns.tz)
    return pd.DataFrame(dict(columns.items()), index=index)


def to_polars(columns: Columns) -> pl.DataFrame:
    """A DataFrame whose first column is `Epoch`, Datetime(ns, tz)."""
    try:
        import polars as pl
    except ImportError:
        raise _not_installed("to_polars", "polars") from None
    return pl.DataFrame(columns)


def to_arrow(columns: Columns) -> pa.Table:
    """A Table whose first column is `Epoch`, timestamp[ns, tz]."""
    try:
        import pyarrow as pa
    except ImportError:
        raise _not_installed("to_arrow", "pyarrow") from None
    return pa.table(columns)


def arrow_stream(columns: Columns, requested_schema: object | None = None) -> object:
    """The PyCapsule of an Arrow C stream with one batch: `Epoch`, then the columns.

    Args:
        columns: the rows; they stay alive as long as the stream.
        requested_schema: a wish the Arrow interface lets us pass over: the consumer casts.
    """
    del requested_schema
    return arrow.write_stream(columns.ts, columns.tz, dict(columns.items()))


def _not_installed(call: str, package: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{call}() needs {package}, which is not installed; run `pip install tsstore[frames]`"
    )
