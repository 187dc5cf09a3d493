"""The stores that are compared, each behind the same few calls.

A *log* takes rows of many symbols as they come; a *library* keeps much of each symbol. Most peers
are both in one class; where the best way differs, there is a class for each, and its name says how.
"""

from __future__ import annotations

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from benchmarks.data import Kind, Rows

#: How many rows were read, and the last value of the first data column.
Seen: TypeAlias = tuple[int, float]


class Log(Protocol):
    """A store that takes small batches, in a directory of its own."""

    def write(self, rows: Rows) -> None:
        """Append rows of any symbols; they are on the disk when it returns."""
        ...

    def totals(self) -> tuple[int, float]:
        """How many rows are stored, and the sum of the first data column."""
        ...

    def close(self) -> None:
        """Release the directory."""
        ...


class Library(Protocol):
    """A store of rows by symbol and time, in a directory of its own.

    Rows are read as arrays or frames that are in memory and complete.
    """

    def load(self, batch: Sequence[Rows]) -> None:
        """Append many rows of each of several symbols; they are on the disk when it returns."""
        ...

    def upsert(self, batch: Sequence[Rows]) -> None:
        """The same in place of what is stored between the first and the last time of each."""
        ...

    def settle(self) -> None:
        """After loading: have everything where it is read from in the long run."""
        ...

    def read(self, symbol: str, start_ns: int, end_ns: int) -> Seen:
        """All columns between two instants, both included."""
        ...

    def last(self, symbol: str, count: int) -> Seen:
        """All columns of the last rows."""
        ...

    def cross(self, symbols: Sequence[str], start_ns: int, end_ns: int) -> Seen:
        """What `read` reads of each symbol; the value is of the last symbol."""
        ...

    def daily(self, symbols: Sequence[str]) -> Seen:
        """A bar of each day of each symbol, from all its minutes; the value is their last High."""
        ...

    def totals(self) -> tuple[int, float]:
        """How many rows are stored, and the sum of the first data column."""
        ...

    def reopen(self) -> None:
        """Close and open again, so that nothing is left in the memory of the store."""
        ...

    def close(self) -> None:
        """Release the directory."""
        ...


LIBRARIES = {
    "tsstore": "tsstore:TsStore",
    "duckdb": "duckdb:DuckDb",
    "arcticdb": "arcticdb:ArcticDb",
    "polars": "polars:ParquetFiles",
    "lmdb": "lmdb:Lmdb",
    "numpy": "numpy:ColumnFiles",
}
LOGS = {
    "tsstore": "tsstore:TsStore",
    "duckdb": "duckdb:DuckDb",
    "arcticdb (one long symbol)": "arcticdb:ArcticDbLong",
    "polars (a file each)": "polars:ParquetInbox",
    "lmdb": "lmdb:Lmdb",
    "numpy (one file: the floor)": "numpy:RecordFile",
}
#: What loads flat files; each has a method `load_flat_file(path)` besides those of a log.
LOADERS = {
    "tsstore": "tsstore:CommandLine",
    "duckdb": "duckdb:DuckDb",
    "arcticdb": "arcticdb:ArcticDb",
    "polars (a file each)": "polars:ParquetInbox",
    "lmdb": "lmdb:Lmdb",
}


def installed(peers: Iterable[str]) -> list[str]:
    """Those peers whose package is there."""
    return [peer for peer in peers if find_spec(peer.split()[0]) is not None]


def left_out() -> list[str]:
    """Those whose package is not installed."""
    return sorted(LIBRARIES.keys() - installed(LIBRARIES))


def open_all(classes: Mapping[str, str], folder: Path, kind: Kind) -> dict[str, Any]:
    """A new, empty store of every peer that is installed, by its name.

    Args:
        classes: `LIBRARIES` or `LOGS`, or some of them.
        folder: gets a directory for each.
        kind: of the rows.
    """
    return {
        peer: find(classes[peer])(folder / peer.replace(" ", "-"), kind)
        for peer in installed(classes)
    }


def find(name: str) -> Any:
    """A class of one of the modules here, by `module:Class`."""
    module, _, attribute = name.partition(":")
    return getattr(import_module(f"benchmarks.peers.{module}"), attribute)
