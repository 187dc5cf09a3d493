"""Columns: an immutable batch of rows of one bucket, as numpy arrays."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.schema import RecordKind, Schema
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray


class Columns:
    """Rows of one bucket, ascending in time, as one array per column.

    Arrays are read-only and may be views into the store's own memory; copy before changing one.

    Attributes:
        ts: int64 nanoseconds since 1970 UTC, shape (rows,), ascending.
        names: the data columns, in order; the time is not among them.
        variable: whether the rows come from a variable-length bucket.
        tz: zone of the index of `to_pandas()` and of times in the other frames; UTC by default.
        partial: whether the slot of the last row went on when the rows were read, so that its
            values may yet change.
    """

    __slots__ = ("_arrays", "names", "partial", "ts", "tz", "variable")

    def __init__(
        self,
        ts: NDArray[np.int64],
        arrays: Mapping[str, NDArray[Any]],
        *,
        variable: bool = False,
        tz: str = "UTC",
        partial: bool = False,
    ) -> None:
        self.ts = ts
        self._arrays = dict(arrays)
        self.names = tuple(self._arrays)
        self.variable = variable
        self.tz = tz
        self.partial = partial

    def __len__(self) -> int:
        return len(self.ts)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column; `Epoch` is int64 seconds, `Nanoseconds` the int32 rest, `ts` both."""
        array = self._arrays.get(name)
        if array is not None:
            return array
        if name == "Epoch":
            return self.ts // NS_PER_SECOND
        if name == "Nanoseconds":
            return (self.ts % NS_PER_SECOND).astype(np.int32)
        if name == "ts":
            return self.ts
        raise KeyError(f"no column {name!r}; there are Epoch, {', '.join(self.names)}")

    def __contains__(self, name: object) -> bool:
        return name in self._arrays

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        return f"<Columns {len(self)} rows: Epoch, {', '.join(self.names)}>"

    def items(self) -> Iterator[tuple[str, NDArray[Any]]]:
        """Data columns as (name, array), the time left out."""
        return iter(self._arrays.items())

    @property
    def schema(self) -> Schema:
        """Names and types of the columns."""
        kind = RecordKind.VARIABLE if self.variable else RecordKind.FIXED
        return Schema(tuple((name, array.dtype) for name, array in self.items()), kind)

    def slice(self, start: int, stop: int) -> Columns:
        """Rows `start` to `stop` (exclusive), without copying."""
        rows = self._with(self.ts[start:stop], {n: a[start:stop] for n, a in self.items()})
        return rows.as_partial() if self.partial and len(rows) and stop >= len(self) else rows

    def take(self, rows: NDArray[np.intp] | NDArray[np.bool_]) -> Columns:
        """The rows at these positions, or where the mask is true."""
        return self._with(self.ts[rows], {name: array[rows] for name, array in self.items()})

    def select(self, names: list[str] | tuple[str, ...]) -> Columns:
        """Only these columns, in this order; names that are not there are left out."""
        rows = self._with(self.ts, {n: self._arrays[n] for n in names if n in self._arrays})
        return rows.as_partial() if self.partial else rows

    def in_zone(self, tz: str | None) -> Columns:
        """The same rows, shown in another time zone by the frames."""
        if tz is None or tz == self.tz:
            return self
        return Columns(self.ts, self._arrays, variable=self.variable, tz=tz, partial=self.partial)

    def as_partial(self) -> Columns:
        """The same rows, the last of which may yet change."""
        return Columns(self.ts, self._arrays, variable=self.variable, tz=self.tz, partial=True)

    def _with(self, ts: NDArray[np.int64], arrays: dict[str, NDArray[Any]]) -> Columns:
        return Columns(ts, arrays, variable=self.variable, tz=self.tz)

    @staticmethod
    def empty(schema: Schema) -> Columns:
        """No rows of that schema."""
        arrays = {name: np.empty(0, dtype) for name, dtype in schema.columns}
        return Columns(np.empty(0, np.int64), arrays, variable=schema.is_variable)

    @staticmethod
    def concat(pieces: list[Columns]) -> Columns:
        """One batch after the other; all have the columns of the first.

        Raises:
            InvalidArgumentError: no pieces, or one has other columns.
        """
        if not pieces:
            raise InvalidArgumentError("nothing to concatenate")
        first = pieces[0]
        if len(pieces) == 1:
            return first
        if any(piece.names != first.names for piece in pieces):
            raise InvalidArgumentError("batches with different columns cannot be concatenated")
        arrays = {n: np.concatenate([p[n] for p in pieces]) for n in first.names}
        return first._with(np.concatenate([piece.ts for piece in pieces]), arrays)  # noqa: SLF001

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame indexed by time (`Epoch`, datetime64[ns, tz]); needs pandas."""
        from tsstore.frames import to_pandas

        return to_pandas(self)

    def to_polars(self) -> pl.DataFrame:
        """A DataFrame whose first column `Epoch` is Datetime(ns, tz); needs polars."""
        from tsstore.frames import to_polars

        return to_polars(self)

    def to_arrow(self) -> pa.Table:
        """A Table whose first column `Epoch` is timestamp[ns, tz]; needs pyarrow."""
        from tsstore.frames import to_arrow

        return to_arrow(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow C stream of the rows, so that any Arrow library takes them as they are."""
        from tsstore.frames import arrow_stream

        return arrow_stream(self, requested_schema)
