"""The stores that are compared, each behind the same few calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from benchmarks.data import Rows


class Peer(Protocol):
    """A store of rows by symbol and time, in a directory of its own."""

    def write(self, rows: Rows) -> None:
        """Append rows of any symbols; they are on the disk when it returns."""
        ...

    def load(self, rows: Rows) -> None:
        """Append many rows of one symbol, the way that suits the store best."""
        ...

    def settle(self) -> None:
        """After loading: have everything where it is read from in the long run."""
        ...

    def read(self, symbol: str, start_ns: int, end_ns: int) -> tuple[int, float]:
        """Read all columns between two instants, both included, as arrays or a frame.

        Returns:
            How many rows there are, and the last value of the first data column.
        """
        ...

    def last(self, symbol: str, count: int) -> tuple[int, float]:
        """Read all columns of the last rows; returns like `read`."""
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
