"""When no connection streamed, kept in the store: a bar that is missing may have come then.

`_massive/24H/OUTAGES` has a row for each outage that is over, at its first instant:

    End         i8   its last instant, ns since 1970 UTC
    Market      U8   whose connection
    Connection  U32  its name; empty for the only one
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore.schema import Schema

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.api import StoreApi

KEY = "_massive/24H/OUTAGES"
SCHEMA = Schema.of({"End": "i8", "Market": "U8", "Connection": "U32"}, variable=True)


def write(store: StoreApi, start_ns: int, end_ns: int, *, market: str, connection: str) -> None:
    """Write an outage down. Raises TsStoreError if the store does not take it."""
    rows = Columns(
        np.array([start_ns], np.int64),
        {
            "End": np.array([end_ns], np.int64),
            "Market": np.array([market], "U8"),
            "Connection": np.array([connection], "U32"),
        },
    )
    store.write(KEY, rows, schema=SCHEMA)


def read(store: StoreApi) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.str_]]:
    """First and last instant of each outage, and whose market's connection was down."""
    try:
        rows = store.read(KEY)
    except NotFoundError:
        empty = np.empty(0, np.int64)
        return empty, empty, np.empty(0, "U8")
    return rows.ts, rows["End"], rows["Market"]
