"""Runs statements in a DuckDB that holds no rows and can reach no file."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.errors import (
    BusyError,
    ClosedError,
    InvalidArgumentError,
    LimitExceededError,
    TsStoreError,
)
from tsstore.shown import shown
from tsstore.sql.hints import advised
from tsstore.sql.limits import SqlLimits
from tsstore.sql.missing import import_duckdb, import_pyarrow
from tsstore.sql.parameters import plain_parameters
from tsstore.sql.pushdown import ColumnNames, Needs, read_plan
from tsstore.sql.result import SqlResult, settled
from tsstore.sql.running import Running, end
from tsstore.sql.statement import read_statement
from tsstore.sql.tables import find_table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore.query import SlicedEngine
    from tsstore.sql.parameters import Parameters, Scalar
    from tsstore.sql.scan import TableScan
    from tsstore.sql.statement import Statement
    from tsstore.sql.tables import SqlTable

_FETCH_ROWS = 64 * 1024
#: With a line of its own, so that the places that DuckDB shows in a statement stay right.
_EXPLAIN = "EXPLAIN (FORMAT JSON)\n"
_LINE = re.compile(r"^LINE (\d+):", re.MULTILINE)
#: In this order; after the last one nothing can be changed any more.
_SETTINGS = (
    "SET GLOBAL python_enable_replacements = false",  # no variables of the calling program
    "SET GLOBAL temp_directory = ''",  # nothing is written to disk
    "SET GLOBAL autoinstall_known_extensions = false",
    "SET GLOBAL autoload_known_extensions = false",
    "SET GLOBAL allow_community_extensions = false",
    "SET GLOBAL TimeZone = 'UTC'",
    # DuckDB takes an Arrow dataset for one row; these have it join as if there were many.
    "SET GLOBAL asof_loop_join_threshold = 0",
    "SET GLOBAL nested_loop_join_threshold = 0",
    "SET GLOBAL merge_join_threshold = 0",
    # Epoch has no zone and is UTC, so what is compared with it should be the same.
    "CREATE MACRO now() AS system.main.now() AT TIME ZONE 'UTC'",
    "CREATE MACRO get_current_timestamp() AS system.main.now() AT TIME ZONE 'UTC'",
    "SET GLOBAL enable_external_access = false",
    "SET GLOBAL lock_configuration = true",
)


class SqlDatabase:
    """Runs statements over the buckets of one store. Thread-safe.

    Args:
        engine: where the rows are.
        tz: zone of the store, whose midnights bound days, weeks, months and years.
        limits: what statements may cost.
    """

    def __init__(self, engine: SlicedEngine, tz: str, limits: SqlLimits | None = None) -> None:
        self._engine = engine
        self._tz = tz
        self._limits = limits or SqlLimits()
        self._lock = threading.Lock()
        self._root: Any = None
        self._is_closed = False
        self._running = set[Running[SqlResult]]()

    def run(
        self,
        text: str,
        parameters: Parameters = None,
        *,
        time_s: float | None = None,
        bytes_max: int | None = None,
    ) -> SqlResult:
        """The rows of a statement; see `StoreApi.sql`.

        Args:
            text: one statement that only reads.
            parameters: values of its `?` or `$1`, as a list, or of its `$name`, as a mapping.
            time_s: longest time it may take; never more than the limit of the database.
            bytes_max: bytes of Arrow that it may return.

        Raises:
            BusyError: as many are at work as may be; some of them were left behind.
        """
        _check_text(text, self._limits)
        values = plain_parameters(parameters)
        times = [_checked_time(time) for time in (time_s, self._limits.time_s) if time is not None]
        running = self._begin(min(times, default=None))
        try:
            statement = _Statement(self, running, values, bytes_max)
            return running.result(partial(statement.result, text))
        finally:
            if not running.is_at_work:  # else its thread does it
                self._running.discard(running)

    def close(self) -> None:
        """End all statements and give the memory back; that of some only when DuckDB ends them."""
        with self._lock:
            self._is_closed = True
        end(tuple(self._running))
        self.forget()

    def _begin(self, time_s: float | None) -> Running[SqlResult]:
        with self._lock:
            if self._is_closed:
                raise ClosedError("the store is closed; open it again")
            calls = self._limits.calls
            if calls is not None and len(self._running) >= calls:
                raise BusyError(
                    f"as many statements are at work as may be ({calls}), some beyond their time, "
                    "which DuckDB does not notice inside a function; try again later, or start "
                    "the server anew"
                )
            if self._root is None:
                self._root = _open(self._limits)
            running: Running[SqlResult] = Running(
                self._root.cursor(), time_s, self._running.discard
            )
            self._running.add(running)
            return running

    def forget(self) -> None:
        """Begin anew with the next statement: DuckDB may have found itself to be broken."""
        with self._lock:
            self._root = None  # its memory is given back with the last connection to it

    @property
    def engine(self) -> SlicedEngine:
        """Where the rows are."""
        return self._engine

    @property
    def tz(self) -> str:
        """Zone of the store."""
        return self._tz

    @property
    def limits(self) -> SqlLimits:
        """What statements may cost."""
        return self._limits


class _Statement:
    """One statement on its own connection."""

    def __init__(
        self,
        database: SqlDatabase,
        running: Running[SqlResult],
        parameters: list[Scalar] | dict[str, Scalar] | None,
        bytes_max: int | None,
    ) -> None:
        self._database = database
        self._running = running
        self._check = running.check
        self._parameters = parameters
        self._bytes_max = bytes_max
        self._scans: list[tuple[ColumnNames, TableScan]] = []
        self._lines_before = 0  # of what DuckDB is given, before the statement's own

    @property
    def _connection(self) -> Any:
        return self._running.connection

    def result(self, text: str) -> SqlResult:
        pa = import_pyarrow()
        with self._errors(text):
            statement = read_statement(self._connection, text)
            if statement.lists_tables:
                return SqlResult(pa.table({"name": pa.array(self._database.engine.keys())}))
            tables = self._tables(statement)
            self._show(statement, tables)
            relation = self._connection.sql(statement.text, params=self._parameters)
            self._check()
            reader = relation.to_arrow_reader(_FETCH_ROWS)
            rows = pa.Table.from_batches(list(self._counted(reader)), reader.schema)
        return SqlResult(settled(rows), variable=any(table.is_variable for table in tables))

    def _tables(self, statement: Statement) -> list[SqlTable]:
        database = self._database
        tables = [find_table(database.engine, name, database.tz) for name in statement.tables]
        seen: dict[str, str] = {}
        for table in tables:
            other = seen.setdefault(table.name.casefold(), table.name)
            if other != table.name:
                raise InvalidArgumentError(
                    f"{other!r} and {table.name!r} differ in capitals only, which SQL does not "
                    "see; query them one at a time"
                )
        return tables

    def _show(self, statement: Statement, tables: list[SqlTable]) -> None:
        """Let DuckDB see the tables, and read no more of them than it will need."""
        from tsstore.sql.scan import TableDataset, TableScan

        prefix = _unused_prefix(statement.text)
        for index, table in enumerate(tables):
            names = ColumnNames.of(f"{prefix}{index}", len(table.labels), len(table.columns))
            database = self._database
            scan = TableScan(database.engine, table, names, database.tz, self._check)
            self._connection.register(names.table, TableDataset(scan))
            self._connection.execute(_view(table, names)).fetchall()
            self._scans.append((names, scan))
        for (names, scan), needs in zip(self._scans, self._needs(statement), strict=True):
            scan.span = needs.span
            self._choose(names, scan, needs)

    def _needs(self, statement: Statement) -> list[Needs]:
        if statement.is_explain:
            return [Needs.everything() for _ in self._scans]
        self._lines_before = 1
        plan = _EXPLAIN + statement.text
        ((_, found),) = self._connection.execute(plan, self._parameters).fetchall()
        self._lines_before = 0
        return read_plan(self._connection, found, [names for names, _ in self._scans])

    def _choose(self, names: ColumnNames, scan: TableScan, needs: Needs) -> None:
        """Leave out the buckets whose symbol no scan of the table asks for."""
        if not all(needs.conditions):
            return
        pa = import_pyarrow()
        duckdb = import_duckdb()
        texts = (" AND ".join(parts) for parts in needs.conditions)
        condition = " OR ".join(f"({text})" for text in texts)
        labels = zip(*(bucket.labels for bucket in scan.buckets), strict=True)
        columns = {name: pa.array(texts) for name, texts in zip(names.labels, labels, strict=True)}
        row = f"{names.table}row"
        keys = pa.table({**columns, row: pa.array(np.arange(len(scan.buckets)))})
        try:
            kept = self._connection.from_arrow(keys).filter(condition).select(row).fetchall()
        except duckdb.Error:  # the plan's words need not be SQL
            return
        scan.buckets = [scan.buckets[index] for index in sorted(index for (index,) in kept)]

    def _counted(self, reader: Any) -> Iterator[Any]:
        """The batches of the answer, as long as they are within the limits."""
        limits = self._database.limits
        rows = octets = 0
        for batch in reader:
            rows += batch.num_rows
            octets += batch.nbytes
            if limits.rows_max is not None and rows > limits.rows_max:
                raise LimitExceededError(
                    f"the answer has more than {limits.rows_max} rows; add LIMIT, a range of "
                    "Epoch or GROUP BY"
                )
            if self._bytes_max is not None and octets > self._bytes_max:
                raise LimitExceededError(
                    f"the answer has more than {self._bytes_max} bytes; add LIMIT, a range of "
                    "Epoch or GROUP BY, or name fewer columns"
                )
            yield batch

    @contextmanager
    def _errors(self, text: str) -> Iterator[None]:
        """DuckDB's errors as ours, and our own back from beneath DuckDB."""
        duckdb = import_duckdb()
        try:
            yield
        except (duckdb.InternalException, duckdb.FatalException) as error:
            self._database.forget()
            raise TsStoreError(
                f"DuckDB failed: {_first_line(error)}; write the statement in another way"
            ) from error
        except duckdb.InterruptException:
            self._check()
            raise
        except duckdb.OutOfMemoryException as error:
            raise LimitExceededError(
                f"the statement needs more memory than the limit of "
                f"{self._database.limits.memory} bytes ({_first_line(error)}); ask for fewer rows "
                "or columns"
            ) from None
        except duckdb.Error as error:
            for _, scan in self._scans:
                if scan.failure is not None:
                    raise scan.failure from None
            refused = self._in_own_lines(str(error).rstrip())
            told, shell_text = advised(refused, text)
            refusal = InvalidArgumentError(told)
            refusal.shell_text = shell_text
            raise refusal from None

    def _in_own_lines(self, text: str) -> str:
        return _LINE.sub(lambda found: f"LINE {int(found[1]) - self._lines_before}:", text)


def _open(limits: SqlLimits) -> Any:
    duckdb = import_duckdb()
    import_pyarrow()
    root = duckdb.connect(":memory:")
    root.execute(f"SET GLOBAL memory_limit = '{limits.memory}B'")
    if limits.threads is not None:
        root.execute(f"SET GLOBAL threads = {limits.threads:d}")
    for setting in _SETTINGS:
        root.execute(setting).fetchall()
    return root


def _checked_time(time_s: object) -> float:
    if isinstance(time_s, bool) or not isinstance(time_s, int | float) or not time_s > 0:
        raise InvalidArgumentError(f"{shown(time_s)} s is no time that a statement may take")
    return min(time_s, threading.TIMEOUT_MAX)


def _check_text(text: object, limits: SqlLimits) -> None:
    if not isinstance(text, str):
        raise InvalidArgumentError(f"a statement is text, not {type(text).__name__}")
    try:
        octets = len(text.encode())
    except UnicodeEncodeError:
        raise InvalidArgumentError("the statement is no Unicode text; correct it") from None
    if octets > limits.statement_bytes_max:
        raise LimitExceededError(
            f"the statement has {octets} bytes; at most {limits.statement_bytes_max}"
        )


def _unused_prefix(text: str) -> str:
    """What no name in the statement begins with."""
    folded, prefix = text.casefold(), "t"
    while any(f"{prefix}{digit}" in folded for digit in range(10)):
        prefix += "t"
    return prefix


def _view(table: SqlTable, names: ColumnNames) -> str:
    """The table under its own name and with its own columns, as a view of the dataset."""
    plan_names = [*names.labels, names.epoch, *names.data]
    shown = [*table.labels, "Epoch", *(name for name, _ in table.columns)]
    columns = ", ".join(
        f"{name} AS {_quoted(own)}"
        for name, own in zip(plan_names, _told_apart(shown), strict=True)
    )
    view = _quoted(table.name)
    return f"CREATE TEMP VIEW {view} AS SELECT {columns} FROM {names.table}"  # noqa: S608  quoted


def _told_apart(names: list[str]) -> list[str]:
    """The names; one that differs from an earlier one in capitals only gets a number."""
    seen = set[str]()
    for index, name in enumerate(names):
        free, number = name, 0
        while free.casefold() in seen:
            number += 1
            free = f"{name}_{number}"
        seen.add(free.casefold())
        names[index] = free
    return names


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _first_line(error: BaseException) -> str:
    with suppress(IndexError):
        return str(error).splitlines()[0]
    return type(error).__name__
