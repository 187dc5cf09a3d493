"""The rows of a year file, in batches.

A file of fixed rows is a record per slot; one of ticks is an index entry per slot, and behind these
the rows of each slot, packed with Snappy. Slots without rows are zeros, mostly holes of the file.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore.marketstore.fixed import FixedFile
from tsstore.marketstore.header import HEADER_BYTES, YearHeader, parse_header
from tsstore.marketstore.ticks import TickFile

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tsstore.columns import Columns
    from tsstore.marketstore.walfile import Pending
    from tsstore.schema import Schema


@dataclass(frozen=True)
class YearFile:
    """A year of a bucket.

    Attributes:
        path: the file.
        header: what it says of itself.
        timezone: zone of the server that wrote it.
        compressed: whether ticks are packed, which is MarketStore's default.
        pending: rows of the WAL that the file may lack.
    """

    path: Path
    header: YearHeader
    timezone: str = "UTC"
    compressed: bool = True
    pending: Pending | None = None

    @property
    def schema(self) -> Schema:
        """The columns of this year, which may differ from those of another."""
        return self.header.schema

    def batches(self) -> Iterator[Columns]:
        """The rows, ascending in time within a batch.

        Rows of the WAL that the file lacks are among them; in a fixed bucket they are the last
        batch, and the rows whose place they take are left out.

        Raises:
            DamagedFileError: the file is not what MarketStore writes; what came before is right.
            InvalidArgumentError: rows whose times cannot be told, or cramjam is not installed.
        """
        with self.path.open("rb", buffering=0) as file:
            kind = TickFile if self.schema.is_variable else FixedFile
            yield from filter(len, kind(file.fileno(), self).batches())


def open_year(
    path: Path, *, timezone: str, compressed: bool, pending: Pending | None = None
) -> YearFile:
    """A year file, its header read.

    Raises:
        DamagedFileError: it is none, or the WAL has other rows for it than it holds.
        OSError: it cannot be read.
    """
    with path.open("rb", buffering=0) as file:
        header = parse_header(os.pread(file.fileno(), HEADER_BYTES, 0), str(path))
    if pending is not None:
        pending.check(header)
    return YearFile(path, header, timezone, compressed, pending)
