"""What a statement returns: named columns of any type, in Arrow."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tsstore.errors import InvalidArgumentError
from tsstore.sql.missing import import_pyarrow

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pandas as pd
    import polars as pl
    import pyarrow as pa
    from numpy.typing import NDArray


class SqlResult:
    """The rows of a statement, in its order. Times are UTC and carry no zone.

    Unlike `Columns` it may have any columns, none of them a time, and values that are missing.
    Every Arrow library takes it as it is.

    Attributes:
        names: of the columns, in order; a name that comes again gets a number, `Epoch_1`.
        variable: whether rows of variable-length buckets were asked for, whose times need the
            nanoseconds.
    """

    __slots__ = ("_table", "names", "variable")

    def __init__(self, table: pa.Table, *, variable: bool = False) -> None:
        names = _unique(table.column_names)
        self._table = table if names == table.column_names else table.rename_columns(names)
        self.names = tuple(names)
        self.variable = variable

    def __len__(self) -> int:
        return int(self._table.num_rows)

    def __getitem__(self, name: str) -> NDArray[Any]:
        """One column; times are datetime64, integers with missing values floats with NaN.

        Raises:
            KeyError: there is no such column.
        """
        if name not in self.names:
            raise KeyError(f"no column {name!r}; there are {', '.join(self.names)}")
        array: NDArray[Any] = self._table.column(name).to_numpy()
        return array

    def __iter__(self) -> Iterator[str]:
        return iter(self.names)

    def __repr__(self) -> str:
        return f"<SqlResult {len(self)} rows: {', '.join(self.names)}>"

    def rows(self) -> list[tuple[Any, ...]]:
        """The rows as tuples of Python values; what is missing is None."""
        columns = [column.to_pylist() for column in _readable(self._table).columns]
        return list(zip(*columns, strict=True)) if columns else []

    def to_arrow(self) -> pa.Table:
        """The rows as a pyarrow Table."""
        return self._table

    def to_pandas(self) -> pd.DataFrame:
        """A DataFrame with a plain index; needs pandas."""
        try:
            import pandas  # noqa: F401, ICN001  (pyarrow imports it)
        except ImportError:
            raise _not_installed("to_pandas", "pandas") from None
        frame: pd.DataFrame = self._table.to_pandas()
        return frame

    def to_polars(self) -> pl.DataFrame:
        """A polars DataFrame; needs polars."""
        try:
            import polars as pl
        except ImportError:
            raise _not_installed("to_polars", "polars") from None
        return pl.DataFrame(self)

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> object:
        """The Arrow C stream of the rows."""
        return self._table.__arrow_c_stream__(requested_schema)

    def to_ipc(self) -> memoryview:
        """The rows as an Arrow IPC stream, which `from_ipc` reads."""
        pa = import_pyarrow()
        sink = pa.BufferOutputStream()
        with pa.ipc.new_stream(sink, self._table.schema) as writer:
            writer.write_table(self._table)
        return memoryview(sink.getvalue())

    @classmethod
    def from_ipc(cls, octets: memoryview | bytes, *, variable: bool = False) -> SqlResult:
        """The rows of an Arrow IPC stream."""
        pa = import_pyarrow()
        with pa.ipc.open_stream(pa.py_buffer(octets)) as reader:
            return cls(reader.read_all(), variable=variable)


def settled(table: pa.Table) -> pa.Table:
    """The table with sums of integers as integers again.

    DuckDB adds integers in 128 bits, for which Arrow has only decimals; sums that fit into 64 bits,
    all but contrived ones, become those.
    """
    pa = import_pyarrow()
    for index, field in enumerate(table.schema):
        if field.type != pa.decimal128(38, 0):
            continue
        try:
            column = table.column(index).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
        table = table.set_column(index, field.name, column)
    return table


def _readable(table: pa.Table) -> pa.Table:
    """Times in units that Python's datetime has, where nothing is lost by it."""
    pa = import_pyarrow()
    for index, field in enumerate(table.schema):
        if not pa.types.is_timestamp(field.type) or field.type.unit != "ns":
            continue
        try:
            column = table.column(index).cast(pa.timestamp("us", field.type.tz))
        except pa.ArrowInvalid:  # pandas.Timestamp keeps them
            continue
        table = table.set_column(index, field.name, column)
    return table


def _unique(names: list[str]) -> list[str]:
    """The names, those that come again with a number that is free."""
    if len(set(names)) == len(names):
        return names
    taken = set(names)
    seen = set[str]()
    unique = []
    for name in names:
        free, number = name, 0
        while free in seen or (number and free in taken):
            number += 1
            free = f"{name}_{number}"
        seen.add(free)
        unique.append(free)
    return unique


def _not_installed(call: str, package: str) -> InvalidArgumentError:
    return InvalidArgumentError(
        f"{call}() needs {package}, which is not installed; run `pip install tsstore[frames]`"
    )
