"""The session: takes lines until there are no more, and carries them out one by one."""

from __future__ import annotations

import sys
import time
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tsstore.cli.load import tell_of_replaced
from tsstore.cli.output import print_rows, print_table, times_text
from tsstore.cli.session import lines
from tsstore.cli.session.controlled import load
from tsstore.cli.session.sink import Sink
from tsstore.cli.sql import pieces
from tsstore.errors import StorageError, TsStoreError
from tsstore.key import BucketKey
from tsstore.schema import type_name
from tsstore.timeframe import Timeframe
from tsstore.times import format_ns
from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from tsstore.api import BucketInfo
    from tsstore.cli.session.source import Source
    from tsstore.cli.session.stores import Stores
    from tsstore.columns import Columns

CSV_FILE = "mstore-csv-output.csv"


class Session:
    """A session with one store.

    Args:
        stores: the store.
        source: where lines come from; a terminal is asked before rows are deleted.

    Attributes:
        exit_code: of the first line that failed; 0 if none did.
    """

    def __init__(self, stores: Stores, source: Source) -> None:
        self.exit_code = 0
        self._stores = stores
        self._source = source
        self._statements = lines.Statements()
        self._sink = Sink()
        self._is_timing = False
        self._is_over = False

    def run(self) -> None:
        """Carry out lines until the last one, or one that ends the session.

        An error is told and the next line is taken, on a terminal also after Ctrl-C.
        """
        try:
            while not self._is_over:
                self._step()
        finally:
            self._sink.close()

    def _step(self) -> None:
        try:
            line = self._source.read(more=self._statements.is_open)
            complete = self._statements.end() if line is None else self._statements.feed(line)
        except KeyboardInterrupt:
            self._interrupted()
            return
        except TsStoreError as error:
            self._failed(_told(error), error.exit_code)
            return
        for text in complete:
            if not self._is_over:
                self._carry_out(text)
        self._is_over |= line is None

    def _carry_out(self, text: str) -> None:
        begin = time.perf_counter()
        try:
            self._do(lines.parse_line(text))
            sys.stdout.flush()
        except TsStoreError as error:
            self._failed(_told(error), error.exit_code)
        except BrokenPipeError:  # whoever reads the results has gone
            raise
        except OSError as error:
            where = "" if error.filename is None else f"{error.filename}: "
            self._failed(f"{where}{error.strerror or error}", StorageError.exit_code)
        except UnicodeError:
            self._failed("the line holds what is no Unicode text", TsStoreError.exit_code)
        except MemoryError:
            self._failed(
                "the result does not fit into memory; name a shorter range", TsStoreError.exit_code
            )
        except click.Abort:
            click.echo("nothing was done", err=True)
        except KeyboardInterrupt:
            self._interrupted()
        if self._is_timing:
            click.echo(f"{time.perf_counter() - begin:.3f} s", err=True)

    def _failed(self, text: str, exit_code: int) -> None:
        self.exit_code = self.exit_code or exit_code
        for line in text.splitlines():
            click.echo(f"{self._source.where()}{line}", err=True)

    def _interrupted(self) -> None:
        if not self._source.is_terminal:
            raise KeyboardInterrupt
        self._statements.drop()
        click.echo("interrupted", err=True)

    def _do(self, action: lines.Action) -> None:
        match action:
            case lines.Sql():
                self._sql(action)
            case lines.Show():
                self._show(action)
            case lines.Gaps():
                self._gaps(action)
            case lines.GetInfo():
                self._get_info(action)
            case lines.Load():
                self._load(action)
            case lines.Create():
                with self._stores.writing(create=True) as store:
                    store.create(action.key, action.schema)
                self._say(f"created {action.key}: {action.schema}")
            case lines.Trim():
                self._trim(action)
            case lines.Destroy():
                self._destroy(action)
            case lines.Output():
                self._sink.use(action.path)
            case lines.Timing():
                self._is_timing = not self._is_timing
                self._say(f"timing is {'on' if self._is_timing else 'off'}")
            case lines.Help():
                self._say(lines.help_text())
            case lines.Stop():
                self._is_over = True

    def _sql(self, action: lines.Sql) -> None:
        result = self._stores.reading().sql(action.statement)
        with self._sink.open():
            print_table(result.names, pieces(result.to_arrow()), self._sink.style)

    def _show(self, action: lines.Show) -> None:
        rows = self._read(action)
        if not action.as_csv:
            with self._sink.open():
                print_rows({action.key: rows}, self._sink.style, label=None)
            return
        with Path(CSV_FILE).open("w", encoding="utf-8") as file, redirect_stdout(file):
            print_rows({action.key: rows}, "csv", label=None)
        self._say(f"wrote {len(rows)} rows to {CSV_FILE}")

    def _read(self, action: lines.Show | lines.Gaps, functions: tuple[str, ...] = ()) -> Columns:
        start, end = _datetime(action.start_ns), _datetime(action.end_ns)
        return self._stores.reading().read(action.key, start=start, end=end, functions=functions)

    def _gaps(self, action: lines.Gaps) -> None:
        timeframe = BucketKey.parse(action.key).timeframe
        rows = self._read(action, (f"gap('{timeframe}')",))
        ends = times_text(rows["End"] * NS_PER_SECOND, "UTC")
        table = zip(times_text(rows.ts, "UTC"), ends, rows["Length"].tolist(), strict=True)
        with self._sink.open():
            print_table(("After", "Before", "Seconds"), iter([list(table)]), self._sink.style)

    def _get_info(self, action: lines.GetInfo) -> None:
        info = self._stores.reading().info(action.key)
        with self._sink.open():
            print_table(("Name", "Value"), iter([_facts(info)]), self._sink.style)

    def _load(self, action: lines.Load) -> None:
        control = None if action.control is None else Path(action.control)
        with self._stores.writing() as store:
            loaded = load(store, action.key, Path(action.path), control)
        self._say(f"wrote {loaded.rows} rows of {action.path} to {action.key}")
        tell_of_replaced(loaded)

    def _trim(self, action: lines.Trim) -> None:
        info = self._stores.reading().info(action.key)
        since = format_ns(action.start_ns)
        self._ask(f"Delete the rows of {info.key} from {since} on?")
        start = action.start_ns
        with self._stores.writing() as store:
            if not info.schema.is_variable:
                start = _first_slot(info.key, start, store.timezone)
            rows = store.delete(info.key, start=_datetime(start))
        self._say(f"deleted {rows} rows of {info.key} from {since} on")

    def _destroy(self, action: lines.Destroy) -> None:
        info = self._stores.reading().info(action.key)
        self._ask(f"Destroy {info.key} and its rows, up to {info.rows}?")
        with self._stores.writing() as store:
            store.destroy(info.key)
        self._say(f"destroyed {info.key}")

    def _ask(self, question: str) -> None:
        if self._source.is_terminal:
            click.confirm(question, abort=True)

    def _say(self, text: str) -> None:
        click.echo(text)


def _told(error: TsStoreError) -> str:
    """The text of an error for a session, in which buckets are listed by SQL."""
    return (error.shell_text or str(error)).replace("`tsstore ls`", "SHOW TABLES")


def _datetime(ns: int | None) -> np.datetime64 | None:
    return None if ns is None else np.datetime64(ns, "ns")


def _first_slot(key: str, ns: int, timezone: str) -> int:
    """The first slot that begins at an instant or later: a delete takes whole slots."""
    timeframe = Timeframe.parse(BucketKey.parse(key).timeframe)
    instant = np.array([ns], np.int64)
    floor = timeframe.floor(instant, timezone)
    return int((floor if floor[0] == ns else timeframe.next(instant, timezone))[0])


def _facts(info: BucketInfo) -> list[tuple[str, Any]]:
    year = None
    if info.last_ns is not None:
        year = int(np.datetime64(info.last_ns, "ns").astype("M8[Y]").astype(np.int64)) + 1970
    columns = (f"{name}/{type_name(dtype)}" for name, dtype in info.schema.columns)
    return [
        ("Bucket", info.key),
        ("Latest Year", year),
        ("RecordType", "VARIABLE" if info.schema.is_variable else "FIXED"),
        ("Synthetic", "yes" if info.schema.synthetic else "no"),
        ("TF", BucketKey.parse(info.key).timeframe),
        ("Data Types", " ".join(columns)),
        ("First", None if info.first_ns is None else format_ns(info.first_ns)),
        ("Last", None if info.last_ns is None else format_ns(info.last_ns)),
        ("Rows, up to", info.rows),
    ]
