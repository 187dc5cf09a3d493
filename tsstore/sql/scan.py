"""A table as DuckDB sees it: an Arrow dataset that reads from the store when it is scanned.

DuckDB asks the dataset for the columns it needs and for some of the filters, which the scan then
has to apply itself. Rows come in batches of about `_BATCH_ROWS`: long buckets in pieces, short ones
together, so that neither memory nor the number of batches grows with the table.

This module needs pyarrow; `database.py` imports it when it is known to be there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.dataset as ds

from tsstore.errors import NotFoundError
from tsstore.query import Query, run

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.columns import Columns
    from tsstore.query import SlicedEngine
    from tsstore.sql.pushdown import ColumnNames, Span
    from tsstore.sql.tables import Bucket, SqlTable

_BATCH_ROWS = 128 * 1024
_LABEL = pa.dictionary(pa.int32(), pa.string())
_EPOCH = pa.timestamp("ns")


class TableScan:
    """Reads the rows of one table.

    Attributes:
        schema: Arrow schema of all columns, named as in the plan.
        span: instants that are read; to be set before the scan begins.
        buckets: those that are read; to be set before the scan begins.
        failure: what ended the scan, which DuckDB only knows as text; or None.

    Args:
        engine: where the rows are.
        table: which they are.
        names: of the columns.
        tz: zone of the store.
        check: called before each piece; raises to end the statement.
    """

    def __init__(
        self,
        engine: SlicedEngine,
        table: SqlTable,
        names: ColumnNames,
        tz: str,
        check: Callable[[], None],
    ) -> None:
        self._engine = engine
        self._names = names
        self._tz = tz
        self._check = check
        self._columns = dict(zip(names.data, table.columns, strict=True))
        fields = [(name, _LABEL) for name in names.labels]
        fields.append((names.epoch, _EPOCH))
        fields += [(name, _arrow_type(dtype)) for name, (_, dtype) in self._columns.items()]
        self.schema = pa.schema(fields)
        self.buckets: Sequence[Bucket] = table.buckets
        self.span: Span
        self.failure: Exception | None = None

    def reader(self, columns: list[str] | None, condition: ds.Expression | None) -> Any:
        """The rows as a RecordBatchReader.

        Args:
            columns: those wanted, in order; None for all.
            condition: what rows have to fulfil.
        """
        wanted = self.schema.names if columns is None else columns
        schema = pa.schema([self.schema.field(name) for name in wanted])
        return pa.RecordBatchReader.from_batches(schema, self._kept(wanted, condition))

    def _kept(self, wanted: list[str], condition: ds.Expression | None) -> Iterator[pa.RecordBatch]:
        try:
            yield from self._batches(wanted, condition)
        except Exception as error:
            self.failure = error
            raise

    def _batches(
        self, wanted: list[str], condition: ds.Expression | None
    ) -> Iterator[pa.RecordBatch]:
        # Names in the plan are found in a condition's text wherever it refers to them.
        text = "" if condition is None else str(condition)
        asked = set(re.findall(rf"\b{self._names.table}c\d+\b", text))
        if condition is not None and asked and asked <= set(self._names.labels):
            buckets, condition = self._chosen(condition), None
        else:
            buckets = list(self.buckets)
        needed = [name for name in self.schema.names if name in asked.union(wanted)]
        for group in self._groups(buckets, [name for name in needed if name in self._columns]):
            batch = self._batch(group, needed)
            if condition is not None:
                batch = batch.filter(condition)
            yield batch.select(wanted)

    def _chosen(self, condition: ds.Expression) -> list[Bucket]:
        """The buckets that fulfil a condition on the key columns."""
        buckets = list(self.buckets)
        if not buckets:
            return []
        labels = zip(*(bucket.labels for bucket in buckets), strict=True)
        arrays = dict(zip(self._names.labels, labels, strict=True))
        rows = pa.table({**arrays, "row": np.arange(len(buckets))}).filter(condition)
        return [buckets[row] for row in rows["row"].to_pylist()]

    def _groups(
        self, buckets: list[Bucket], names: list[str]
    ) -> Iterator[list[tuple[Bucket, Columns]]]:
        """Pieces of buckets that become one batch each."""
        group: list[tuple[Bucket, Columns]] = []
        rows = 0
        for bucket in buckets:
            for piece in self._still_there(bucket, names):
                if group and rows + len(piece) > _BATCH_ROWS:
                    yield group
                    group, rows = [], 0
                group.append((bucket, piece))
                rows += len(piece)
        if group:
            yield group

    def _still_there(self, bucket: Bucket, names: list[str]) -> Iterator[Columns]:
        """The rows of a bucket; of one that a pattern found and that is gone by now, none."""
        try:
            yield from self._pieces(bucket, names)
        except NotFoundError:
            if not bucket.labels:  # it was named
                raise

    def _pieces(self, bucket: Bucket, names: list[str]) -> Iterator[Columns]:
        """The rows of a bucket, with those of the columns that it has."""
        self._check()
        columns = [self._columns[name][0] for name in names]
        columns = [name for name in columns if name in bucket.schema.dtypes]
        key, (start_ns, end_ns) = bucket.key, self.span
        if start_ns > end_ns:
            return
        if not bucket.is_stored:
            query = Query(
                (key.symbol,), key.timeframe, key.attribute_group, start_ns, end_ns,
                columns=tuple(columns), tz=self._tz,
            )  # fmt: skip
            rows = run(self._engine, query)[str(key)]
            starts = range(0, len(rows), _BATCH_ROWS)
            yield from (rows.slice(start, start + _BATCH_ROWS) for start in starts)
            return
        for piece in self._engine.slices(str(key), start_ns, end_ns, _BATCH_ROWS, columns):
            self._check()
            yield piece

    def _batch(self, group: list[tuple[Bucket, Columns]], needed: list[str]) -> pa.RecordBatch:
        lengths = [len(piece) for _, piece in group]
        arrays = []
        for name in needed:
            if name in self._columns:
                arrays.append(self._data(name, group))
            elif name == self._names.epoch:
                arrays.append(_times(_joined([piece.ts for _, piece in group])))
            else:
                label = self._names.labels.index(name)
                arrays.append(_labels([bucket.labels[label] for bucket, _ in group], lengths))
        schema = pa.schema([self.schema.field(name) for name in needed])
        return pa.RecordBatch.from_arrays(arrays, schema=schema)

    def _data(self, name: str, group: list[tuple[Bucket, Columns]]) -> pa.Array:
        column, dtype = self._columns[name]
        if all(column in piece for _, piece in group):
            return _values(_joined([piece[column] for _, piece in group]).astype(dtype, copy=False))
        kind = _arrow_type(dtype)
        parts = [
            _values(piece[column].astype(dtype, copy=False))
            if column in piece
            else pa.nulls(len(piece), kind)
            for _, piece in group
        ]
        return pa.concat_arrays(parts)


class TableDataset(ds.Dataset):  # type: ignore[misc]  # pyarrow has no types
    """What DuckDB is given: it looks at `schema` and calls `scanner`, as of any Arrow dataset."""

    def __init__(self, scan: TableScan) -> None:  # the base class forbids its own
        self._scan = scan

    @property
    def schema(self) -> pa.Schema:
        """Names and types of the columns."""
        return self._scan.schema

    def scanner(
        self,
        columns: list[str] | None = None,
        filter: ds.Expression | None = None,  # noqa: A002  Arrow's name
        **options: Any,
    ) -> _Scanner:
        """A scan of some columns, and of the rows that fulfil a condition."""
        del options  # how Arrow would read files
        return _Scanner(self._scan, columns, filter)


class _Scanner:
    """One scan, which begins when its reader is asked for."""

    def __init__(
        self, scan: TableScan, columns: list[str] | None, condition: ds.Expression | None
    ) -> None:
        self._scan = scan
        self._columns = columns
        self._condition = condition

    def to_reader(self) -> Any:
        return self._scan.reader(self._columns, self._condition)


def _arrow_type(dtype: np.dtype[Any]) -> pa.DataType:
    return pa.string() if dtype.kind == "U" else pa.from_numpy_dtype(dtype)


def _joined(arrays: list[NDArray[Any]]) -> NDArray[Any]:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _times(ts: NDArray[np.int64]) -> pa.Array:
    return pa.Array.from_buffers(_EPOCH, len(ts), [None, pa.py_buffer(np.ascontiguousarray(ts))])


def _labels(texts: list[str], lengths: list[int]) -> pa.Array:
    codes = np.repeat(np.arange(len(texts), dtype=np.int32), lengths)
    return pa.DictionaryArray.from_arrays(codes, pa.array(texts, pa.string()))


def _values(array: NDArray[Any]) -> pa.Array:
    """A column; NaN, which is a value that is not there, becomes NULL."""
    if array.dtype.kind == "U":
        return pa.array(array.tolist(), pa.string())
    return pa.array(array, from_pandas=array.dtype.kind == "f")
