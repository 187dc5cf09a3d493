"""`tsstore load`: files of rows into buckets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsstore.api import Write
from tsstore.cli.exported import find_exported
from tsstore.cli.locate import locate, location_options
from tsstore.cli.paths import FilledPath
from tsstore.cli.progress import Bar
from tsstore.cli.split import by_symbol
from tsstore.cli.tablefile import UNITS, Layout, column_type, open_table
from tsstore.errors import InvalidArgumentError, InvalidKeyError, NotFoundError, TsStoreError
from tsstore.key import BucketKey, is_pattern
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from tsstore.api import StoreApi
    from tsstore.cli.tablefile import Piece, TableFile
    from tsstore.schema import Schema


#: Pieces are gathered until they hold so many bytes, and written together.
BATCH_BYTES = 16 << 20


@dataclass(frozen=True)
class Source:
    """A file to load.

    Attributes:
        path: the file.
        target: a bucket key, or `timeframe/attribute group` for a file of many symbols.
    """

    path: Path
    target: str

    @property
    def with_symbol(self) -> bool:
        """Whether its rows are of many symbols."""
        return self.target.count("/") == 1


def _layout_types(
    context: click.Context, parameter: click.Parameter, given: Sequence[str]
) -> dict[str, Any]:
    del context, parameter
    types = {}
    for text in given:
        name, equals, kind = text.partition("=")
        if not equals:
            raise click.BadParameter(f"{text!r} is not NAME=TYPE, such as Close=f8 or Note=text")
        types[name] = column_type(kind)
    return types


@click.command("load")
@click.argument(
    "paths",
    metavar="FILE...",
    nargs=-1,
    required=True,
    type=FilledPath(exists=True, path_type=Path),
)
@click.argument("target")
@click.option("--time", "time_name", help="Column of the time.  [default: Epoch, Date …]")
@click.option(
    "--unit",
    type=click.Choice(UNITS),
    default="s",
    show_default=True,
    help="What whole numbers in it count, since 1970 UTC.",
)
@click.option("--tz", help="Zone of dates and times that carry none.  [default: UTC]")
@click.option("--symbol", help="Column of the symbol.  [default: Symbol, ticker]")
@click.option(
    "--type",
    "types",
    multiple=True,
    metavar="NAME=TYPE",
    callback=_layout_types,
    help="Type of a column of a new bucket, such as Volume=i8 or Note=text.",
)
@click.option("--variable", is_flag=True, help="A new bucket keeps any number of rows per slot.")
@location_options
def command(
    paths: tuple[Path, ...],
    target: str,
    time_name: str | None,
    unit: str,
    tz: str | None,
    symbol: str | None,
    types: dict[str, Any],
    variable: bool,
    **where: Any,
) -> None:
    """Write the rows of files to TARGET.

    TARGET is a bucket such as AAPL/1D/OHLCV; or 1D/OHLCV for files with a column of symbols, whose
    rows go to a bucket each; or, for a directory that `tsstore export` has written, a pattern such
    as '*/*/*'. Files end in .csv, .csv.gz, .parquet, .arrow or .feather. Bar files of Massive need
    no options.

    Rows are written in large pieces; each is on disk when the next begins. A server that runs on
    the directory does the writing itself.
    """
    if tz is not None:
        zone(tz)
    layout = Layout(time=time_name, unit=unit, tz=tz, symbol=symbol, types=types)
    sources = [source for path in paths for source in _sources(path, target)]
    with locate(**where).open_to_write(create=True) as store:
        for source in sources:
            rows = load(store, source, layout, variable=variable)
            click.echo(f"wrote {rows} rows of {source.path} to {source.target}")


def _sources(path: Path, target: str) -> Iterator[Source]:
    if path.is_dir():
        yield from (Source(file, key) for file, key in find_exported(path, target))
        return
    if is_pattern(target):
        raise InvalidArgumentError(
            f"{path} is a file and {target!r} a pattern; name one bucket, or a timeframe and "
            "attribute group for a file with a column of symbols"
        )
    if target.count("/") == 1:
        BucketKey.parse(f"X/{target}")
        yield Source(path, target)
        return
    try:
        yield Source(path, str(BucketKey.parse(target)))
    except InvalidKeyError as error:
        raise InvalidKeyError(f"{error}; or 1Min/OHLCV, if the file has symbols") from None


def load(store: StoreApi, source: Source, layout: Layout, *, variable: bool = False) -> int:
    """Write the rows of a file.

    Args:
        store: where to.
        source: the file and its bucket or buckets, which are created if they are not there.
        layout: what the columns of the file are.
        variable: kind of new buckets.

    Returns:
        How many rows.

    Raises:
        InvalidArgumentError: columns or cells that cannot be right, with file, line and column.
        StorageError: the file cannot be read, or the disk refused.
    """
    table = open_table(source.path, layout, with_symbol=source.with_symbol)
    schema = _schema(store, source, table, variable=variable)
    rows = 0
    try:
        with Bar(source.target) as bar:
            for batch in _batches(table.pieces(schema)):
                rows += _write(store, source, batch, schema)
                bar.update(batch[-1].fraction, rows)
    except TsStoreError:
        if rows:
            click.echo(f"tsstore: {rows} rows of the file were written before the error", err=True)
        raise
    return rows


def _schema(store: StoreApi, source: Source, table: TableFile, *, variable: bool) -> Schema:
    """The schema of the bucket, or of the first one of the group, or else that of the file."""
    try:
        key = source.target
        if source.with_symbol:
            key = next(iter(store.list(f"*/{source.target}")), f"-/{source.target}")
        schema = store.info(key).schema
    except NotFoundError:
        return table.schema(variable=variable)
    if variable and not schema.is_variable:
        raise InvalidArgumentError(
            f"{key} is there and keeps one row per slot; leave out --variable, or use another key"
        )
    return schema


def _batches(pieces: Iterable[Piece]) -> Iterator[list[Piece]]:
    """Pieces, as many at a time as are written at once."""
    batch: list[Piece] = []
    for piece in pieces:
        if len(piece):
            batch.append(piece)
        if sum(piece.nbytes for piece in batch) >= BATCH_BYTES:
            yield batch
            batch = []
    if batch:
        yield batch


def _write(store: StoreApi, source: Source, batch: list[Piece], schema: Schema) -> int:
    return store.bulk([one for piece in batch for one in _writes(source, piece, schema)])


def _writes(source: Source, piece: Piece, schema: Schema) -> Iterator[Write]:
    if piece.symbols is None:
        yield Write(source.target, piece.columns, schema)
        return
    for symbol, table in by_symbol(piece, where=str(source.path)):
        yield Write(f"{symbol}/{source.target}", table, schema)
