"""`tsstore migrate`: the data directory of a MarketStore into the store."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
import numpy as np

from tsstore import marketstore
from tsstore.api import Replace, Write
from tsstore.cli.locate import Location, locate, location_options, same_path
from tsstore.cli.paths import FilledPath
from tsstore.cli.progress import Bar
from tsstore.errors import InvalidArgumentError, StorageError, TsStoreError
from tsstore.key import BucketKey
from tsstore.marketstore.errors import DamagedFileError
from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tsstore.client import RemoteStore
    from tsstore.columns import Columns
    from tsstore.schema import Schema
    from tsstore.store import Store


#: Rows are gathered until they are so many bytes, and written together.
BATCH_BYTES = 16 << 20


@click.command("migrate")
@click.argument("source", type=FilledPath(exists=True, file_okay=False, path_type=Path))
@click.argument("pattern", default="*/*/*")
@click.option(
    "--tz",
    help="`timezone` of MarketStore's mkts.yml; a new store takes it as its own.  "
    "[default: that of ./mkts.yml, of the store, or UTC]",
)
@click.option(
    "--uncompressed", is_flag=True, help="Its mkts.yml has disable_variable_compression: true."
)
@click.option("--ignore-wal", is_flag=True, help="Leave out rows that are in its WAL alone.")
@location_options
def command(
    source: Path,
    pattern: str,
    tz: str | None,
    uncompressed: bool,
    ignore_wal: bool,
    **where: Any,
) -> None:
    """Copy the buckets of a MarketStore into the store.

    SOURCE is the root_directory of a MarketStore that is stopped; nothing in it is changed. PATTERN
    chooses buckets, such as '*/1Min/*'. All rows are read back and compared. It can be run again:
    rows take the place of the ones that were copied before.
    """
    location = locate(**where)
    if location.url is None and same_path(location.directory, source):
        raise InvalidArgumentError(
            f"{source} cannot become its own copy; name another directory for the store with --dir"
        )
    is_new = location.url is None and not location.holds_store()
    zone, whose = _zone(tz, location, is_new=is_new)
    buckets = list(
        marketstore.read_directory(
            source,
            pattern=pattern,
            timezone=zone,
            compressed=not uncompressed,
            ignore_wal=ignore_wal,
        )
    )
    click.echo(f"tsstore: taking {source} as of timezone {zone}, {whose}", err=True)
    if is_new and location.timezone is None:
        location = replace(location, timezone=zone)
    with location.open_to_write(create=True) as store, Bar(str(source)) as bar:
        copy = _Copy(store)
        copy.check(buckets)
        for number, bucket in enumerate(buckets, 1):
            copy.bucket(bucket)
            bar.update(number / len(buckets), copy.rows)
        copy.commit()
    click.echo(f"copied and compared {copy.rows} rows of {len(copy.keys)} buckets from {source}")
    _report(copy.failures)


def _zone(tz: str | None, location: Location, *, is_new: bool) -> tuple[str, str]:
    """The zone that MarketStore had, and why it is taken for that one."""
    if tz is not None:
        return tz, "as --tz says"
    if location.timezone is not None:
        return location.timezone, "as ./mkts.yml says"
    if is_new:
        return "UTC", f"BECAUSE NOTHING NAMES ONE. {_OTHER_ZONE}"
    with location.open_to_read() as store:
        return store.timezone, f"BECAUSE THE STORE HAS IT. {_OTHER_ZONE}"


#: A second run would not replace the rows: they lie at other instants.
_OTHER_ZONE = (
    "If its mkts.yml says another `timezone`, all times will be wrong: delete the new directory, "
    "and run this again with --tz"
)


def _report(failures: list[TsStoreError]) -> None:
    """Say what was not copied, and end with the exit code of the first of them."""
    if not failures:
        return
    for failure in failures:
        click.echo(f"tsstore: {failure}", err=True)
    click.echo(f"tsstore: {len(failures)} files were not copied, or not to their end", err=True)
    click.get_current_context().exit(failures[0].exit_code)


class _Copy:
    """Rows on their way, and what became of them.

    Attributes:
        rows: that were copied.
        keys: of the buckets with rows that were copied.
        failures: why others were not.
    """

    def __init__(self, store: Store | RemoteStore) -> None:
        self.rows = 0
        self.keys = set[str]()
        self.failures: list[TsStoreError] = []
        self._store = store
        self._timezone = store.timezone
        self._waiting: list[tuple[str, Columns, Schema]] = []
        self._waiting_bytes = 0

    def check(self, buckets: Iterable[marketstore.Bucket]) -> None:
        """Refuse, before anything is copied, days that begin elsewhere in the store's zone."""
        for bucket in buckets:
            for year in bucket.years:
                if year.timezone == self._timezone or not _has_midnights(bucket.key, year):
                    continue
                # What cannot be read is told when its turn to be copied comes.
                with suppress(DamagedFileError, OSError):
                    for rows in year.batches():
                        self._check_slots(bucket.key, year, rows)

    def bucket(self, bucket: marketstore.Bucket) -> None:
        """Copy a bucket, or as much of it as can be read."""
        self.failures += bucket.failures
        for year in bucket.years:
            try:
                for rows in year.batches():
                    self._check_slots(bucket.key, year, rows)
                    self._add(bucket.key, rows, year.schema)
            except TsStoreError as error:
                self.failures.append(error)
            except OSError as error:
                self.failures.append(StorageError(f"cannot read {year.path}: {error.strerror}"))

    def _check_slots(self, key: str, year: marketstore.YearFile, rows: Columns) -> None:
        """Refuse slots that the store would move."""
        if year.schema.is_variable or not len(rows):
            return
        timeframe = Timeframe.parse(BucketKey.parse(key).timeframe)
        moved = timeframe.floor(rows.ts, self._timezone) != rows.ts
        if moved.any():
            at = np.datetime64(int(rows.ts[int(np.argmax(moved))]), "ns")
            raise InvalidArgumentError(
                f"{year.path}: in {year.timezone}, MarketStore has a slot of {timeframe} at {at}Z, "
                f"and this store, in {self._timezone}, none that begins there; copy into a new "
                f"directory, with --tz {year.timezone}, or copy a finer timeframe"
            )

    def _add(self, key: str, rows: Columns, schema: Schema) -> None:
        if not len(rows):
            return
        self._waiting.append((key, rows, schema))
        self._waiting_bytes += len(rows) * schema.row_bytes
        if self._waiting_bytes >= BATCH_BYTES:
            self.commit()

    def commit(self) -> None:
        """Write what waits, together; or, if that is refused, each by itself to know which."""
        waiting, self._waiting, self._waiting_bytes = self._waiting, [], 0
        try:
            self._store.bulk([_operation(*item) for item in waiting])
        except InvalidArgumentError:
            written = [item for item in waiting if self._commit_one(*item)]
        else:
            written = waiting
        for key, rows, _ in written:
            self._compare(key, rows)

    def _commit_one(self, key: str, rows: Columns, schema: Schema) -> bool:
        try:
            self._store.bulk([_operation(key, rows, schema)])
        except InvalidArgumentError as error:
            self.failures.append(error)
            return False
        return True

    def _compare(self, key: str, rows: Columns) -> None:
        """Read the rows back."""
        first, last = (np.datetime64(int(ts), "ns") for ts in rows.ts[[0, -1]])
        stored = self._store.read(key, start=first, end=last)
        if not rows.variable and len(stored):
            # Slots that the store had before may lie between.
            place = np.searchsorted(stored.ts, rows.ts).clip(max=len(stored) - 1)
            stored = stored.take(place)
        if not _same(rows, stored):
            self.failures.append(
                StorageError(
                    f"{key}: of {len(rows)} rows from {first} to {last} not all were read back as "
                    "they were written; is another program writing to this bucket? Run it again"
                )
            )
            return
        self.rows += len(rows)
        self.keys.add(key)


def _has_midnights(key: str, year: marketstore.YearFile) -> bool:
    """Whether rows stand at the beginning of days or longer."""
    return (
        not year.schema.is_variable and Timeframe.parse(BucketKey.parse(key).timeframe).is_calendar
    )


def _operation(key: str, rows: Columns, schema: Schema) -> Write | Replace:
    """Rows of ticks take the place of all between them, so that a second copy adds none."""
    if not schema.is_variable:
        return Write(key, rows, schema)
    first, last = (np.datetime64(int(ts), "ns") for ts in rows.ts[[0, -1]])
    return Replace(key, first, last, rows, schema, variable=True)


def _same(rows: Columns, stored: Columns) -> bool:
    if rows.ts.shape != stored.ts.shape or (rows.ts != stored.ts).any():
        return False
    return all(_equal(array, stored[name]) for name, array in rows.items())


def _equal(given: NDArray[Any], stored: NDArray[Any]) -> bool:
    if given.dtype == stored.dtype:
        return given.tobytes() == stored.tobytes()
    return np.array_equal(given, stored, equal_nan=given.dtype.kind == "f")
