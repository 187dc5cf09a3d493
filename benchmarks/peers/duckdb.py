"""DuckDB: one table for all symbols, no index, one transaction for each call."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb
import pyarrow as pa

from benchmarks.data import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.data import Kind, Rows
    from benchmarks.peers import Seen

_TYPES = {
    "f8": "DOUBLE", "i4": "INTEGER", "i8": "BIGINT", "u1": "UTINYINT", "u2": "USMALLINT",
}  # fmt: skip
_DAILY = f"""
SELECT symbol, ts // {NS_PER_DAY} AS day, arg_min(Open, ts) AS Open, max(High) AS High,
    min(Low) AS Low, arg_max(Close, ts) AS Close, sum(Volume) AS Volume
FROM data GROUP BY symbol, day ORDER BY symbol, day
"""


class DuckDb:
    """A database file. Commits are synced by default; there is no other way.

    Args:
        folder: where it is.
        kind: of the rows.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        folder.mkdir(exist_ok=True)
        self._path = str(folder / "data.duckdb")
        self._first = next(iter(kind.columns))
        self._names = ", ".join(("ts", *kind.columns))
        self._connection = duckdb.connect(self._path)
        listed = ", ".join(f"{name} {_TYPES[code]}" for name, code in kind.columns.items())
        self._connection.execute(
            f"CREATE TABLE IF NOT EXISTS data (symbol VARCHAR, ts BIGINT, {listed})"
        )

    def write(self, rows: Rows) -> None:
        self._insert(_table(rows))

    def load(self, batch: Sequence[Rows]) -> None:
        self._insert(pa.concat_tables(map(_table, batch)))

    def upsert(self, batch: Sequence[Rows]) -> None:
        """Deleting a range is several times faster than a primary key with ON CONFLICT."""
        start, end = min(int(rows.ts[0]) for rows in batch), max(int(rows.ts[-1]) for rows in batch)
        symbols = [rows.symbols[0] for rows in batch]
        self._connection.begin()
        self._connection.execute(
            "DELETE FROM data WHERE list_contains(?, symbol) AND ts BETWEEN ? AND ?",
            [symbols, start, end],
        )
        self.load(batch)
        self._connection.commit()

    def settle(self) -> None:
        self._connection.execute("CHECKPOINT")

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        table = self._query(
            f"SELECT {self._names} FROM data WHERE symbol = ? AND ts BETWEEN ? AND ? ORDER BY ts",
            [symbol, start_ns, end_ns],
        )
        return self._seen(table)

    def last(self, symbol: str, count: int) -> Seen:
        table = self._query(
            f"SELECT * FROM (SELECT {self._names} FROM data "
            "WHERE symbol = ? ORDER BY ts DESC LIMIT ?) ORDER BY ts",
            [symbol, count],
        )
        return self._seen(table)

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        """All symbols there are in one table, which is quicker than naming them."""
        table = self._query(
            f"SELECT symbol, {self._names} FROM data WHERE ts BETWEEN ? AND ? ORDER BY symbol, ts",
            [start_ns, end_ns],
        )
        assert table["symbol"][-1].as_py() == symbols[-1]
        return self._seen(table)

    def daily(self, symbols: Sequence[str]) -> Seen:
        """The same."""
        table = self._query(_DAILY, [])
        assert table["symbol"][-1].as_py() == symbols[-1]
        return len(table), table["High"][-1].as_py()

    def load_flat_file(self, path: Path) -> None:
        """A csv.gz of minute bars in the vendor's layout, by DuckDB's own reader."""
        self._connection.execute(
            "INSERT INTO data SELECT ticker, window_start, open, high, low, close, volume "
            "FROM read_csv(?)",
            [str(path)],
        )

    def totals(self) -> tuple[int, float]:
        query = f"SELECT count(*), sum({self._first}) FROM data"
        rows, total = self._connection.execute(query).fetchall()[0]
        return rows, total

    def reopen(self) -> None:
        self.close()
        self._connection = duckdb.connect(self._path)

    def keep_log(self) -> None:
        """Leave rows in the log."""
        self._connection.execute("SET checkpoint_threshold = '1TB'")

    def close(self) -> None:
        self._connection.close()

    def _insert(self, table: pa.Table) -> None:
        self._connection.register("batch", table)
        self._connection.execute("INSERT INTO data SELECT * FROM batch")
        self._connection.unregister("batch")

    def _query(self, query: str, values: list[object]) -> pa.Table:
        """Arrow, which DuckDB makes in half the time of numpy arrays."""
        table: pa.Table = self._connection.sql(query, params=values).to_arrow_table()
        return table

    def _seen(self, table: pa.Table) -> Seen:
        return len(table), table[self._first][-1].as_py()


def _table(rows: Rows) -> pa.Table:
    return pa.table({"symbol": pa.array(rows.symbols), "ts": rows.ts, **rows.columns})
