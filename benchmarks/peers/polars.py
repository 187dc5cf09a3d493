"""polars with Parquet: a file for each symbol, or for each batch."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

import polars as pl

from benchmarks.durable import replace_files, sync

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.data import Kind, Rows
    from benchmarks.peers import Seen

_ROWS_PER_GROUP = 16_384
_DAILY = (
    pl.col("Open").first(),
    pl.col("High").max(),
    pl.col("Low").min(),
    pl.col("Close").last(),
    pl.col("Volume").sum(),
)


class ParquetFiles:
    """A file for each symbol; changing it means writing it again.

    Args:
        folder: where they are.
        kind: of the rows.
    """

    def __init__(self, folder: Path, kind: Kind) -> None:
        folder.mkdir()
        self._folder = folder
        self._first = next(iter(kind.columns))

    def load(self, batch: Sequence[Rows]) -> None:
        self._replace({rows.symbols[0]: _frame(rows) for rows in batch})

    def upsert(self, batch: Sequence[Rows]) -> None:
        self._replace({rows.symbols[0]: self._with(rows) for rows in batch})

    def settle(self) -> None:
        """Everything is where it stays."""

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        return self._seen(self._scan(symbol).filter(_between(start_ns, end_ns)).collect())

    def last(self, symbol: str, count: int) -> Seen:
        return self._seen(self._scan(symbol).tail(count).collect())

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        return self._seen(self._scan(*symbols).filter(_between(start_ns, end_ns)).collect())

    def daily(self, symbols: Sequence[str]) -> Seen:
        days = pl.col("ts").dt.truncate("1d").alias("day")
        query = self._scan(*symbols).group_by("path", days).agg(_DAILY).sort("path", "day")
        frame = query.collect()
        return len(frame), frame["High"][-1]

    def totals(self) -> tuple[int, float]:
        columns = [pl.len(), pl.col(self._first).sum()]
        rows, total = pl.scan_parquet(self._folder).select(columns).collect().row(0)
        return rows, total

    def reopen(self) -> None:
        """Nothing is kept open."""

    def close(self) -> None:
        """Nothing is open."""

    def _scan(self, *symbols: str) -> pl.LazyFrame:
        """The rows of one symbol; of several, with the path of each, one scan for all."""
        files = [self._folder / f"{symbol}.parquet" for symbol in symbols]
        return pl.scan_parquet(files, include_file_paths="path" if len(files) > 1 else None)

    def _with(self, rows: Rows) -> pl.DataFrame:
        """The file's rows with others in place of those at the same times."""
        new = _frame(rows)
        stored = self._scan(rows.symbols[0]).collect()
        return pl.concat([stored.join(new, on="ts", how="anti"), new]).sort("ts")

    def _replace(self, frames: dict[str, pl.DataFrame]) -> None:
        files = {
            f"{symbol}.parquet": partial(frame.write_parquet, row_group_size=_ROWS_PER_GROUP)
            for symbol, frame in frames.items()
        }
        replace_files(self._folder, files)

    def _seen(self, frame: pl.DataFrame) -> Seen:
        return len(frame), frame[self._first][-1]


class ParquetInbox:
    """A new file for each batch; nobody merges them, so reading gets slower and slower."""

    def __init__(self, folder: Path, kind: Kind) -> None:
        folder.mkdir()
        self._folder = folder
        self._first = next(iter(kind.columns))
        self._files = 0

    def write(self, rows: Rows) -> None:
        self._add(_frame(rows).with_columns(symbol=pl.Series(rows.symbols)))

    def load_flat_file(self, path: Path) -> None:
        """A csv.gz of minute bars in the vendor's layout, as it is; nothing is sorted by symbol."""
        self._add(pl.read_csv(path).rename({"open": self._first}))

    def totals(self) -> tuple[int, float]:
        columns = [pl.len(), pl.col(self._first).sum()]
        rows, total = pl.scan_parquet(self._folder).select(columns).collect().row(0)
        return rows, total

    def close(self) -> None:
        """Nothing is open."""

    def _add(self, frame: pl.DataFrame) -> None:
        path = self._folder / f"{self._files:06d}.parquet"
        self._files += 1
        frame.write_parquet(path)
        sync(path)
        sync(self._folder)


def _between(start_ns: int, end_ns: int) -> pl.Expr:
    start, end = (pl.lit(each).cast(pl.Datetime("ns")) for each in (start_ns, end_ns))
    return pl.col("ts").is_between(start, end)


def _frame(rows: Rows) -> pl.DataFrame:
    return pl.DataFrame({"ts": rows.ts.view("M8[ns]"), **rows.columns})
