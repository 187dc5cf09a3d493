"""`tsstore load`: files of rows into buckets."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from tsstore.ahead import ahead
from tsstore.api import Write, WriteTable
from tsstore.cli.exported import find_exported
from tsstore.cli.locate import locate, location_options
from tsstore.cli.paths import FilledPath
from tsstore.cli.progress import Bar
from tsstore.cli.slots import SlotWatch
from tsstore.cli.split import cross_section
from tsstore.cli.tablefile import UNITS, Layout, column_type, open_table
from tsstore.errors import InvalidArgumentError, InvalidKeyError, NotFoundError, TsStoreError
from tsstore.key import BucketKey, is_pattern
from tsstore.schema import Schema
from tsstore.times import format_ns
from tsstore.zones import zone

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence

    from tsstore.cli.slots import Crowd
    from tsstore.cli.tablefile import Piece, TableFile
    from tsstore.client import RemoteStore
    from tsstore.store import Store


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

    @property
    def timeframe(self) -> str:
        """The timeframe of its bucket or buckets."""
        return self.target.split("/")[-2]


class Loaded(NamedTuple):
    """What became of the rows of a file.

    Attributes:
        rows: how many were given to the store.
        replaced: of these, the ones whose slot a later one of the file took.
        exact: whether `replaced` counts all of them; in a long file without order it may not.
    """

    rows: int
    replaced: int
    exact: bool


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
    help="What whole numbers in it count, since 1970 UTC; date: they are written as 20240102.  "
    "[default: s, and numbers that are all such dates are refused]",
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
@click.option(
    "--variable/--fixed",
    default=None,
    help="A new bucket keeps any number of rows per slot, or the last one.  [default: one, and "
    "files with more are refused]",
)
@location_options
def command(
    paths: tuple[Path, ...],
    target: str,
    time_name: str | None,
    unit: str | None,
    tz: str | None,
    symbol: str | None,
    types: dict[str, Any],
    variable: bool | None,
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
            loaded = load(store, source, layout, variable=variable)
            click.echo(f"wrote {loaded.rows} rows of {source.path} to {source.target}")
            tell_of_replaced(loaded)


def tell_of_replaced(loaded: Loaded) -> None:
    """Say how many rows replaced each other, if any did."""
    if loaded.replaced:
        count = loaded.replaced if loaded.exact else f"at least {loaded.replaced}"
        click.echo(f"{count} of them were replaced by a later one of the same slot")
    elif not loaded.exact:
        click.echo("they are in no order of time; some may have replaced others of the same slot")


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


def load(
    store: Store | RemoteStore, source: Source, layout: Layout, *, variable: bool | None = None
) -> Loaded:
    """Write the rows of a file.

    Args:
        store: where to.
        source: the file and its bucket or buckets, which are created if they are not there.
        layout: what the columns of the file are.
        variable: kind of new buckets; None for fixed ones, of which no row may replace another.

    Raises:
        InvalidArgumentError: columns or cells that cannot be right, with file, line and column; or
            rows that would replace each other in a new bucket, unless that is asked for.
        StorageError: the file cannot be read, or the disk refused.
    """
    table = open_table(source.path, layout, with_symbol=source.with_symbol)
    schema = _schema(store, source, table, variable=variable)
    loading = Loading(store, source, schema, may_replace=variable is False)
    return loading.run(table.pieces(schema))


class Loading:
    """A file on its way into the store.

    Attributes:
        rows: how many were written.
    """

    def __init__(
        self, store: Store | RemoteStore, source: Source, schema: Schema, *, may_replace: bool
    ) -> None:
        self.rows = 0
        self._store = store
        self._source = source
        self._schema = schema
        self._may_replace = may_replace
        self._replaced = 0
        self._fixed: dict[str, bool] = {}
        self._slots = None
        if not schema.is_variable:
            self._slots = SlotWatch(source.timeframe, store.timezone)

    def run(self, pieces: Iterable[Piece]) -> Loaded:
        """Write all pieces; on an error, those before it are told and stay."""
        try:
            with Bar(self._source.target) as bar:
                for batch in ahead(_batches(pieces)):
                    self._write(batch)
                    bar.update(batch[-1].fraction, self.rows)
        except TsStoreError:
            if self.rows:
                click.echo(
                    f"tsstore: {self.rows} rows of the file were written before the error", err=True
                )
            raise
        return Loaded(self.rows, self._replaced, self._slots is None or self._slots.exact)

    def _write(self, batch: list[Piece]) -> None:
        """Write pieces, together.

        Raises:
            InvalidArgumentError: rows would replace each other, and none is written yet. Later,
                and in buckets that were there, they are counted.
        """
        writes = [_write(self._source, piece, self._schema) for piece in batch]
        crowds = [] if self._slots is None else self._slots.look(writes)
        if not self.rows and not self._may_replace:
            self._refuse_crowds(crowds)
        self.rows += self._store.bulk(writes)
        self._replaced += sum(crowd.replaced for crowd in crowds if self._is_fixed(crowd.key))

    def _is_fixed(self, key: str) -> bool:
        # Buckets of one group may differ in kind.
        if key not in self._fixed:
            self._fixed[key] = not self._store.info(key).schema.is_variable
        return self._fixed[key]

    def _refuse_crowds(self, crowds: list[Crowd]) -> None:
        if not crowds:
            return
        target = self._source.target
        there = set(self._store.list(f"*/{target}" if self._source.with_symbol else target))
        crowd = next((crowd for crowd in crowds if crowd.key not in there), None)
        if crowd is None:
            return
        raise InvalidArgumentError(
            f"{self._source.path}: {crowd.slot_rows} rows fall into the slot "
            f"{format_ns(crowd.slot_ns)} of {crowd.key}, which would keep the last one alone; "
            "nothing of the file was written: --variable keeps every row, --fixed the last one of "
            "each slot"
        )


def _schema(
    store: Store | RemoteStore, source: Source, table: TableFile, *, variable: bool | None
) -> Schema:
    """The schema of the bucket, or of the first one of the group, or else that of the file."""
    try:
        key = source.target
        if source.with_symbol:
            key = next(iter(store.list(f"*/{source.target}")), f"-/{source.target}")
        # Nothing says that a file's rows are made up: the store refuses them where others are.
        schema = replace(store.info(key).schema, synthetic=False)
    except NotFoundError:
        schema = table.schema(variable=bool(variable))
        # An exported file may tell that its bucket kept every row.
        return Schema(schema.columns) if variable is False else schema
    if variable is not None and variable != schema.is_variable:
        option, keeps = ("--variable", "one row") if variable else ("--fixed", "every row")
        raise InvalidArgumentError(
            f"{key} is there and keeps {keeps} per slot; leave out {option}, or use another key"
        )
    return schema


def _batches(pieces: Iterable[Piece]) -> Generator[list[Piece], None, None]:
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


def _write(source: Source, piece: Piece, schema: Schema) -> Write | WriteTable:
    if not source.with_symbol:
        return Write(source.target, piece.columns, schema)
    return WriteTable(source.target, cross_section(piece, where=str(source.path)), schema)
