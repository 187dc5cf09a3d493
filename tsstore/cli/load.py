"""`tsstore load`: a CSV or Parquet file into a bucket."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from tsstore.cli.locate import locate, location_options
from tsstore.cli.tablefile import UNITS, TimeColumn, open_table
from tsstore.errors import InvalidArgumentError, NotFoundError, TsStoreError
from tsstore.key import BucketKey

if TYPE_CHECKING:
    from tsstore.api import StoreApi
    from tsstore.cli.tablefile import TableFile
    from tsstore.schema import Schema


@click.command("load")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.argument("key")
@click.option("--time", "time_name", default="Epoch", show_default=True, help="Column of the time.")
@click.option(
    "--unit",
    type=click.Choice(UNITS),
    default="s",
    show_default=True,
    help="What whole numbers in it count, since 1970 UTC.",
)
@click.option("--tz", help="Zone of dates and times that carry none. [default: UTC]")
@click.option("--variable", is_flag=True, help="A new bucket keeps any number of rows per slot.")
@location_options
def command(
    file: Path,
    key: str,
    time_name: str,
    unit: str,
    tz: str | None,
    variable: bool,
    **where: Any,
) -> None:
    """Write the rows of FILE (.csv, .csv.gz, .parquet) to the bucket KEY, such as AAPL/1D/OHLCV.

    The file has a header with the names of the columns. Rows are written in large pieces; each is
    on disk when the next begins. A server that runs on the directory does the writing itself.
    """
    key = str(BucketKey.parse(key))
    table = open_table(file, TimeColumn(time_name, unit, tz))
    with locate(**where).open_to_write() as store:
        schema = _schema(store, key, table, variable=variable)
        rows = _write(store, key, table, schema)
    click.echo(f"wrote {rows} rows of {file} to {key}")


def _schema(store: StoreApi, key: str, table: TableFile, *, variable: bool) -> Schema:
    try:
        schema = store.info(key).schema
    except NotFoundError:
        return table.schema(variable=variable)
    if variable and not schema.is_variable:
        raise InvalidArgumentError(
            f"{key} is there and keeps one row per slot; leave out --variable, or use another key"
        )
    return schema


def _write(store: StoreApi, key: str, table: TableFile, schema: Schema) -> int:
    rows = 0
    try:
        with _progress() as progress:
            task = progress.add_task(key, total=1.0, rows=0)
            for piece in table.pieces(schema):
                store.write(key, piece.table, schema=schema)
                rows += piece.rows
                progress.update(task, completed=piece.fraction, rows=f"{rows:,}")
    except TsStoreError:
        click.echo(f"tsstore: {rows} rows of the file were written before the error", err=True)
        raise
    return rows


def _progress() -> Progress:
    """A bar on a terminal, nothing elsewhere."""
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        TextColumn("{task.fields[rows]} rows"),
        TimeRemainingColumn(),
        console=console,
        disable=not console.is_terminal,
    )
