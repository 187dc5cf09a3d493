"""The one interface of a store, whichever way it was reached.

`tsstore.open(path)` (embedded) and `tsstore.connect(url)` (over RPC) return objects with these
methods, the same results and the same exceptions. Plugins, the backfiller and the command line see
nothing but this, so they run beside the files or far from them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, Self, TypeAlias, overload

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence
    from types import TracebackType

    from tsstore.asof import Duration, Side
    from tsstore.columns import Columns
    from tsstore.reports import BackupReport, BucketStats, CompactionReport
    from tsstore.schema import Schema
    from tsstore.sql.result import SqlResult
    from tsstore.times import TimeLike

#: What `write` takes: Columns, a mapping of name to array, a structured numpy array, a pandas or
#: polars DataFrame, or anything with an Arrow C stream.
TableLike: TypeAlias = Any


class Write(NamedTuple):
    """Upsert (fixed buckets) or append (variable buckets) rows.

    Attributes:
        key: the bucket; created from `schema`, or from the columns, when it is not there.
        data: the rows, in any order.
        schema: what a new bucket is created with; an existing one keeps its own, and has to be of
            synthetic rows if this is, and only then.
        variable: kind of a new bucket when no schema is given.
    """

    key: str
    data: TableLike
    schema: Schema | None = None
    variable: bool = False


class Replace(NamedTuple):
    """Delete the rows from `start` to `end` (both included), then write these.

    Attributes:
        key: the bucket, created like for `Write`.
        start: first instant that is deleted; of a fixed bucket, the whole slot that holds it.
        end: last instant that is deleted, or its slot.
        data: the rows to write, all of them inside the deleted range.
        schema: see `Write`.
        variable: see `Write`.
    """

    key: str
    start: TimeLike
    end: TimeLike
    data: TableLike
    schema: Schema | None = None
    variable: bool = False


class WriteTable(NamedTuple):
    """Rows of many symbols at once: a cross-section.

    Attributes:
        group: `timeframe/attribute group`, such as `1Min/OHLCV`.
        data: a table with a column `Symbol` (text) besides the time and the data columns; rows of
            one symbol keep their order.
        schema: see `Write`.
        variable: see `Write`.
    """

    group: str
    data: TableLike
    schema: Schema | None = None
    variable: bool = False


Operation: TypeAlias = Write | Replace | WriteTable


class BucketInfo(NamedTuple):
    """What is known of a bucket without reading its rows.

    Attributes:
        key: its name.
        schema: its columns.
        first_ns: instant of the first row, nanoseconds since 1970 UTC; None when it has no rows.
        last_ns: instant of the last row; None when it has no rows.
        rows: rows stored; replaced rows not yet compacted count twice, so this is an upper bound.
    """

    key: str
    schema: Schema
    first_ns: int | None = None
    last_ns: int | None = None
    rows: int = 0


class Changed(NamedTuple):
    """Where buckets got rows since an earlier moment.

    Attributes:
        position: the newest commit that this knows of.
        stretches: by bucket, (first ns, last ns) with both ends included; nothing was written
            outside of them. They may be longer than what was written.
    """

    position: int
    stretches: dict[str, list[tuple[int, int]]]


class Snapshot(NamedTuple):
    """Rows of a bucket, and of which moment they are.

    Attributes:
        position: the newest commit that they show. The stream of the server goes on from there.
        rows: the rows.
    """

    position: int
    rows: Columns


class StoreApi(Protocol):
    """A store of buckets.

    A call that writes is one unit: it is on disk in whole when it returns, and after a crash it is
    there in whole or not at all. Times are anything `tsstore.times.to_ns` takes; `tz` is the zone
    of those that carry none, and of the frames made from the result.
    """

    @overload
    def read(
        self,
        key: str,
        group: None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
        functions: Sequence[str] = (),
    ) -> Columns: ...

    @overload
    def read(
        self,
        key: Sequence[str] | str,
        group: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
        functions: Sequence[str] = (),
    ) -> dict[str, Columns]: ...

    def read(
        self,
        key: str | Sequence[str],
        group: str | None = None,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        limit: int | None = None,
        from_start: bool = False,
        columns: Sequence[str] | None = None,
        functions: Sequence[str] = (),
    ) -> Columns | dict[str, Columns]:
        """Rows between `start` and `end`, both included, ascending in time.

        Args:
            key: a bucket key; or, for a mapping of key to rows, a list of symbols together with
                `group`, or a pattern such as `A*/1Min/OHLCV`.
            group: `timeframe/attribute group` when `key` holds symbols.
            start: first instant; a fixed bucket returns the whole slot that holds it.
            end: last instant.
            tz: zone of times without one, and of the frames made from the result.
            limit: at most this many rows of each bucket: the last ones of the range.
            from_start: with `limit`, the first ones instead.
            columns: only these columns, in this order; unknown names are an error here.
            functions: calls that are applied to the rows of each bucket, one after the other, such
                as `adjust('split')` or `vwap('5Min', Close, Volume)`; see `tsstore.functions`.

        A timeframe that is not stored is computed from the coarsest stored one that divides it.
        Of a list or a pattern, symbols that do not exist are left out.

        Raises:
            NotFoundError: no bucket of that name, or none of the list or pattern.
            InvalidArgumentError: a key, time, column or number that cannot be right.
            CorruptionError: the rows cannot be read as they were written.
        """
        ...

    def write(
        self, key: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """Write rows to one bucket; returns how many were given.

        Fixed buckets keep one row per slot, the last written. Columns are matched by name. A bucket
        that is not there is created with `schema`, or with the columns of the data.

        Raises:
            SchemaMismatchError: other columns than the bucket has, or values that do not fit.
            StorageError: the disk refused; nothing was written.
        """
        ...

    def write_many(self, batches: Mapping[str, TableLike]) -> int:
        """Write several buckets as one atomic unit; returns the number of rows."""
        ...

    def write_table(
        self, group: str, data: TableLike, *, schema: Schema | None = None, variable: bool = False
    ) -> int:
        """Write a cross-section: `data` has a column `Symbol`, `group` is `1Min/OHLCV`."""
        ...

    def replace(
        self,
        key: str,
        start: TimeLike,
        end: TimeLike,
        data: TableLike,
        *,
        schema: Schema | None = None,
    ) -> int:
        """Delete a range, both ends included, and write its rows, as one atomic unit.

        Of a fixed bucket the whole slots that hold `start` and `end` are replaced.

        Raises:
            InvalidArgumentError: the range ends before it starts, or a row is outside of it.
            SchemaMismatchError: see `write`.
            StorageError: the disk refused; nothing was changed.
        """
        ...

    def commit(self, operations: Iterable[Operation]) -> int:
        """Carry out several operations, in order, as one atomic unit; returns rows written."""
        ...

    def bulk(self, operations: Mapping[str, TableLike] | Iterable[Operation]) -> int:
        """Write very many rows as one atomic unit, past the log; returns rows written.

        The same as `write_many` for a mapping, or `commit` for operations, and as durable. The rows
        go straight to files: use it from some hundred thousand rows on.
        """
        ...

    def iterate(
        self,
        key: str,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        rows: int = 1_000_000,
        columns: Sequence[str] | None = None,
    ) -> Iterator[Columns]:
        """Rows of a stored bucket as `read` gives them, piece by piece, ascending in time.

        Args:
            key: of a bucket; no pattern, and no timeframe that is computed.
            start: first instant; a fixed bucket returns the whole slot that holds it.
            end: last instant.
            tz: see `read`.
            rows: so many in each piece but the last. All rows of one instant are in one piece, so
                one of ticks may have fewer, or more if one instant has more.
            columns: see `read`.

        The store of the writing process reads one state, whatever is written meanwhile. Over RPC
        each piece is of the state when it is asked for, and where another process writes, the rest
        may be of a later state if files were merged meanwhile.

        Raises:
            NotFoundError: no such bucket.
            InvalidArgumentError: a key, time, column or number that cannot be right.
            CorruptionError: the rows cannot be read as they were written.
        """
        ...

    def sql(
        self,
        statement: str,
        parameters: Sequence[Any] | Mapping[str, Any] | None = None,
        *,
        timeout_s: float | None = None,
    ) -> SqlResult:
        """The rows of a statement that reads buckets as tables, carried out by DuckDB.

            store.sql('SELECT Symbol, avg(Close) FROM "*/1D/OHLCV" GROUP BY Symbol').to_pandas()

        A table is a bucket (`"AAPL/1Min/OHLCV"`, in double quotes or backticks), a timeframe that
        `read` can compute, or a cross-section of the buckets of many symbols (`"*/1Min/OHLCV"`,
        or for short `"1Min/OHLCV"`) with a column `Symbol`. Its time is `Epoch`, a TIMESTAMP_NS in
        UTC; the data columns follow. NaN is NULL. Only rows and columns that the statement needs
        are read: it should name symbols and a range of `Epoch`.

        Args:
            statement: one SELECT, WITH, EXPLAIN, DESCRIBE, SUMMARIZE or SHOW TABLES.
            parameters: values for its `?` or `$1` (a list) or its `$name` (a mapping): text,
                numbers, times, None.
            timeout_s: longest time it may take.

        Raises:
            NotFoundError: there is no bucket for a table.
            InvalidArgumentError: the statement cannot be carried out, or what it needs is not
                installed (`pip install tsstore[sql]`).
            LimitExceededError: it took too long, too much memory, or answers too much.
            BusyError: of a server, while as many statements as it may carry out go on beyond their
                time, because DuckDB cannot end them inside a function.
        """
        ...

    def asof(
        self,
        left: Side | Sequence[str],
        right: Side,
        *,
        start: TimeLike | None = None,
        end: TimeLike | None = None,
        tz: str | None = None,
        columns: Sequence[str] | None = None,
        right_columns: Sequence[str] | None = None,
        direction: str = "backward",
        tolerance: Duration | None = None,
        allow_exact: bool = True,
        drop: bool = False,
        suffix: str = "_right",
        age: str | None = None,
    ) -> Any:
        """The rows of one side with what the other side had at each of them: trades and quotes.

            store.asof("AAPL/1Sec/TRADE", "AAPL/1Sec/QUOTE", start="2024-01-02", end="2024-01-03")

        Every row of `left` is kept, with the columns of the last row of `right` at or before it.

        Args:
            left: a bucket key, or rows that were read; or, for a mapping of key to rows, a pattern
                or a list of keys.
            right: a bucket key, or rows that were read. `1Sec/QUOTE` or `*/1Sec/QUOTE` stand for
                the bucket of the same symbol as the left one; of a pattern or a list, symbols
                without one are left out.
            start: first instant of `left`; see `read`. The right side is read from the row before.
            end: last instant of `left`.
            tz: zone of times without one, and of the frames made from the result.
            columns: of `left`; all when left out.
            right_columns: of `right`; all when left out.
            direction: `backward`, `forward` for the next row of `right`, or `nearest`.
            tolerance: how far a matching row may be: seconds, text such as `5Sec`, a timedelta.
            allow_exact: whether a row of the same instant matches.
            drop: leave out rows that nothing matches. They are kept with NaN otherwise (empty
                text for text), and columns of whole numbers become floats.
            suffix: added to names of `right` that `left` has as well.
            age: name of one more column: seconds from the matching row to the row of `left`.

        Raises:
            NotFoundError: no such bucket.
            InvalidArgumentError: an argument that cannot be right, or whole numbers beyond 2**53
                in rows of which some match nothing.
        """
        ...

    def delete(self, key: str, start: TimeLike | None = None, end: TimeLike | None = None) -> int:
        """Delete the rows between two instants, both included; returns how many there were.

        Without `start` from the first row on, without `end` up to the last one. Of a fixed bucket
        the whole slots that hold `start` and `end` go. The bucket stays.

        Raises:
            NotFoundError: no such bucket.
            InvalidArgumentError: the range ends before it starts.
        """
        ...

    def rename(self, key: str, new_key: str) -> None:
        """Give a bucket another symbol or attribute group; its rows stay where they are.

        Raises:
            NotFoundError: no bucket of the old name.
            AlreadyExistsError: there is one of the new name.
            InvalidArgumentError: the new name has another timeframe.
        """
        ...

    def copy(self, key: str, new_key: str) -> None:
        """Make a bucket with the columns and the rows that another one has now.

        Raises the same as `rename`.
        """
        ...

    def alter(self, key: str, schema: Schema) -> None:
        """Give a bucket more or wider columns, without rewriting its rows.

        A column that older rows lack reads as NaN, 0, false or empty text.

        Raises:
            NotFoundError: no such bucket.
            SchemaMismatchError: the schema drops, renames or narrows a column.
        """
        ...

    def compact(self, pattern: str = "*/*/*") -> CompactionReport:
        """Merge the files of the buckets that match into few packed ones, and wait for it.

        The store does this by itself, slowly; nothing needs it to be right.
        """
        ...

    @overload
    def stats(self) -> dict[str, Any]: ...

    @overload
    def stats(self, key: str) -> BucketStats: ...

    def stats(self, key: str | None = None) -> dict[str, Any] | BucketStats:
        """How the store, or one bucket, is stored: files, bytes, memory.

        Without `key` a mapping of name to number, as on /metrics. Raises NotFoundError.
        """
        ...

    def backup(self, dest: str) -> BackupReport:
        """Make a copy of the store at this moment in another directory; writing goes on.

        Args:
            dest: an empty directory, one that is not there yet, or an older backup of this store,
                which becomes the new one and of which only what is new is copied. Over RPC the
                name of a directory below the server's `backup_directory`.

        The copy is a data directory as any other, without LOCK: open it read-only, or `tsstore
        restore` it. If the call is cut off, `dest` holds the older backup, or none.

        Raises:
            InvalidArgumentError: `dest` holds something else.
            LockedError: another backup to `dest` is being made.
            StorageError: the disk refused.
        """
        ...

    def create(self, key: str, schema: Schema) -> None:
        """Create an empty bucket. Raises AlreadyExistsError if it is there."""
        ...

    def destroy(self, key: str) -> None:
        """Remove a bucket and its rows. Raises NotFoundError if it is not there."""
        ...

    def list(self, pattern: str = "*/*/*") -> list[str]:
        """Keys of the buckets that match, sorted.

        All of them: also those of plugins, which begin with an underscore (`_massive/24H/…`).
        """
        ...

    def info(self, key: str) -> BucketInfo:
        """Schema, first and last instant of a bucket. Raises NotFoundError."""
        ...

    def close(self) -> None:
        """Release everything; written rows are on disk already."""
        ...

    def __enter__(self) -> Self: ...

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None: ...
