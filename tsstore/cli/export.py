"""`tsstore export`: buckets into files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tsstore.cli.exported import SUFFIXES, path_of
from tsstore.cli.locate import locate, location_options
from tsstore.cli.matching import matching
from tsstore.cli.paths import FilledPath
from tsstore.cli.progress import Bar
from tsstore.cli.query import split_names
from tsstore.cli.spans import as_time, check_span
from tsstore.cli.tablewriter import STYLES, TIMES, TableWriter
from tsstore.errors import InvalidArgumentError
from tsstore.key import BucketKey, is_pattern
from tsstore.schema import Schema
from tsstore.zones import zone

if TYPE_CHECKING:
    from tsstore.api import BucketInfo, StoreApi

#: Rows that are in memory at a time.
PIECE_ROWS = 250_000


@click.command("export")
@click.argument("key")
@click.argument("target", type=FilledPath(path_type=Path))
@click.option(
    "--format",
    "style",
    type=click.Choice(STYLES),
    help="[default: by the end of TARGET; parquet for a directory]",
)
@click.option("--start", help="First instant, included: 2013-10-08, '2013-10-08 09:30', seconds.")
@click.option("--end", help="Last instant, included.")
@click.option("--tz", default="UTC", help="Zone of --start and --end, and of the times written.")
@click.option("--columns", help="Only these, in this order: Open,Close.")
@click.option(
    "--times",
    type=click.Choice(TIMES),
    default="iso",
    show_default=True,
    help="Timestamps, or seconds since 1970 with Nanoseconds beside them.",
)
@location_options
def command(
    key: str,
    target: Path,
    style: str | None,
    start: str | None,
    end: str | None,
    tz: str,
    columns: str | None,
    times: str,
    **where: Any,
) -> None:
    """Write the rows of KEY to the file TARGET, which ends in .csv, .parquet or .arrow.

    KEY is a bucket such as AAPL/1Min/OHLCV, or a pattern such as '*/1D/OHLCV'. Buckets of a pattern
    become one file with a column Symbol, or, if TARGET is a directory, a file each. `tsstore load`
    takes all of them back as they were; CSV tells no types, so create the bucket first, or name
    them there.
    """
    zone(tz)
    first, last = as_time(start), as_time(end)
    check_span(first, last, tz)
    by_name = next((s for s, suffix in SUFFIXES.items() if target.name.endswith(suffix)), None)
    if by_name is None and target.suffix and not target.is_dir():
        raise InvalidArgumentError(
            f"{target} does not end in .csv, .parquet or .arrow; name it so, or, if it is to be a "
            "directory, create it first"
        )
    export = _Export(
        style=style or by_name or "parquet",
        tz=tz,
        times=times,
        start=first,
        end=last,
        names=split_names(columns),
    )
    with locate(**where).open_to_read() as store:
        if not is_pattern(key):
            if target.is_dir() or by_name is None:
                target = path_of(target, str(BucketKey.parse(key)), export.style)
            export.one(store, key, target)
            return
        keys = matching(store, key)
        if by_name is not None and not target.is_dir():
            export.together(store, keys, target)
            return
        for each in keys:
            export.one(store, each, path_of(target, each, export.style))


class _Export:
    """How rows are read and written."""

    def __init__(
        self, *, style: str, tz: str, times: str, start: Any, end: Any, names: list[str] | None
    ) -> None:
        self.style = style
        self._tz = tz
        self._times = times
        self._start = start
        self._end = end
        self._names = names

    def one(self, store: StoreApi, key: str, path: Path) -> None:
        """A bucket as a file."""
        info = store.info(key)
        schema = _selected(info.schema, self._names, key)
        with self._writer(path, schema, with_symbol=False) as writer:
            rows = self._copy(store, info, writer, schema, None)
        click.echo(f"wrote {rows} rows of {info.key} to {path}")

    def together(self, store: StoreApi, keys: list[str], path: Path) -> None:
        """Buckets of one timeframe and attribute group as one file."""
        infos = [store.info(key) for key in keys]
        group, schema = _common(infos)
        schema = _selected(schema, self._names, infos[0].key)
        rows = 0
        with self._writer(path, schema, with_symbol=True) as writer:
            for info in infos:
                symbol = info.key.partition("/")[0]
                rows += self._copy(store, info, writer, schema, symbol)
        click.echo(f"wrote {rows} rows of {len(infos)} buckets {group} to {path}")

    def _writer(self, path: Path, schema: Schema, *, with_symbol: bool) -> TableWriter:
        return TableWriter(
            path, self.style, schema, tz=self._tz, times=self._times, with_symbol=with_symbol
        )

    def _copy(
        self,
        store: StoreApi,
        info: BucketInfo,
        writer: TableWriter,
        schema: Schema,
        symbol: str | None,
    ) -> int:
        rows = 0
        with Bar(info.key) as bar:
            pieces = store.iterate(
                info.key,
                start=self._start,
                end=self._end,
                tz=self._tz,
                rows=PIECE_ROWS,
                columns=schema.names,
            )
            for piece in pieces:
                writer.write(piece, symbol)
                rows += len(piece)
                bar.update(min(1.0, rows / max(1, info.rows)), rows)
        return rows


def _selected(schema: Schema, names: list[str] | None, key: str) -> Schema:
    """The schema with these columns only."""
    if names is None:
        return schema
    unknown = [name for name in names if name not in schema.dtypes]
    if unknown:
        raise InvalidArgumentError(
            f"{key} has no column {unknown[0]!r}; there are {', '.join(schema.names)}"
        )
    identity = schema.identity if set(schema.identity) <= set(names) else ()
    return Schema(tuple((name, schema.dtypes[name]) for name in names), schema.kind, identity)


def _common(infos: list[BucketInfo]) -> tuple[str, Schema]:
    """What buckets have in common that shall become one file.

    Raises:
        InvalidArgumentError: they differ in timeframe, attribute group or columns.
    """
    first = infos[0]
    group = first.key.partition("/")[2]
    for info in infos:
        if info.key.partition("/")[2] != group:
            raise InvalidArgumentError(
                f"{first.key} and {info.key} do not fit into one file; choose one timeframe and "
                "attribute group, or export to a directory"
            )
        if info.schema != first.schema:
            raise InvalidArgumentError(
                f"{first.key} is {first.schema} and {info.key} is {info.schema}; choose common "
                "columns in several exports, or export to a directory"
            )
    return group, first.schema
