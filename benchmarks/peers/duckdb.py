"""DuckDB: one table for all symbols, no index, one transaction for each batch."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from benchmarks.data import Rows

_TYPES = {"f8": "DOUBLE", "i4": "INTEGER", "i8": "BIGINT"}


class DuckDb:
    """A database file. Commits are synced by default; there is no other way.

    Args:
        folder: where it is.
        columns: names and types of the data columns.
    """

    def __init__(self, folder: Path, columns: Mapping[str, str]) -> None:
        folder.mkdir()
        self._path = str(folder / "data.duckdb")
        self._first = next(iter(columns))
        self._names = ", ".join(("ts", *columns))
        self._connection = duckdb.connect(self._path)
        listed = ", ".join(f"{name} {_TYPES[kind]}" for name, kind in columns.items())
        self._connection.execute(f"CREATE TABLE data (symbol VARCHAR, ts BIGINT, {listed})")

    def write(self, rows: Rows) -> None:
        batch = pa.table({"symbol": pa.array(rows.symbols), "ts": rows.ts, **rows.columns})
        self._connection.register("batch", batch)
        self._connection.execute("INSERT INTO data SELECT * FROM batch")
        self._connection.unregister("batch")

    def load(self, rows: Rows) -> None:
        self.write(rows)

    def settle(self) -> None:
        self._connection.execute("CHECKPOINT")

    def read(self, symbol: str, start_ns: int, end_ns: int) -> tuple[int, float]:
        return self._query(
            f"SELECT {self._names} FROM data WHERE symbol = ? AND ts BETWEEN ? AND ? ORDER BY ts",
            [symbol, start_ns, end_ns],
        )

    def last(self, symbol: str, count: int) -> tuple[int, float]:
        return self._query(
            f"SELECT * FROM (SELECT {self._names} FROM data "
            "WHERE symbol = ? ORDER BY ts DESC LIMIT ?) ORDER BY ts",
            [symbol, count],
        )

    def totals(self) -> tuple[int, float]:
        query = f"SELECT count(*), sum({self._first}) FROM data"
        rows, total = self._connection.execute(query).fetchall()[0]
        return rows, total

    def reopen(self) -> None:
        self.close()
        self._connection = duckdb.connect(self._path)

    def close(self) -> None:
        self._connection.close()

    def _query(self, query: str, values: list[object]) -> tuple[int, float]:
        arrays = self._connection.execute(query, values).fetchnumpy()
        first = np.asarray(arrays[self._first])
        return len(first), float(first[-1])
