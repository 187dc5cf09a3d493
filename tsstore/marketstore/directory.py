"""The buckets of a MarketStore directory: `SYMBOL/TIMEFRAME/GROUP/YEAR.bin`."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from tsstore.errors import NotFoundError, TsStoreError
from tsstore.key import BucketKey, KeyPattern
from tsstore.marketstore.errors import DamagedFileError
from tsstore.marketstore.walfile import Pending, read_pending
from tsstore.marketstore.yearfile import YearFile, open_year
from tsstore.timeframe import Timeframe
from tsstore.vfs import storage_error
from tsstore.zones import zone

if TYPE_CHECKING:
    import os
    from collections.abc import Iterator


@dataclass(frozen=True)
class Bucket:
    """A bucket of a MarketStore directory.

    Attributes:
        key: its name, as MarketStore spells it.
        years: its files, ascending.
        failures: why years, or the whole bucket, cannot be read.
    """

    key: str
    years: tuple[YearFile, ...]
    failures: tuple[TsStoreError, ...] = ()


def read_directory(
    path: str | os.PathLike[str],
    *,
    pattern: str = "*/*/*",
    timezone: str = "UTC",
    compressed: bool = True,
    ignore_wal: bool = False,
) -> Iterator[Bucket]:
    """The buckets of a directory that a stopped MarketStore has written, sorted.

    Headers are read when a bucket's turn comes, rows only by `YearFile.batches`. What cannot be
    read is in `Bucket.failures`, so that the rest can.

    Args:
        path: `root_directory` of its mkts.yml.
        pattern: which buckets.
        timezone: `timezone` of its mkts.yml.
        compressed: False where its mkts.yml says `disable_variable_compression: true`.
        ignore_wal: leave out rows that are in the WAL alone.

    Raises:
        NotFoundError: not the directory of a MarketStore.
        InvalidArgumentError: no pattern or no zone.
        DamagedFileError: a WAL cannot be read.
    """
    zone(timezone)
    wanted = KeyPattern(pattern)
    root = Path(path)
    if not (root / "category_name").is_file():
        raise NotFoundError(
            f"{root} is not the root_directory of a MarketStore: it holds no file category_name"
        )
    pending = {} if ignore_wal else read_pending(root)
    keys = {"/".join(file.parts[-4:-1]) for file in root.glob("*/*/*/*.bin")}
    late: dict[str, dict[str, Pending]] = {}
    for name, rows in pending.items():
        key, _, year = name.rpartition("/")
        late.setdefault(key, {})[year] = rows
    for key in sorted(filter(wanted.matches, keys | late.keys())):
        yield _bucket(root, key, late.get(key, {}), timezone=timezone, compressed=compressed)


def _bucket(
    root: Path, key: str, pending: dict[str, Pending], *, timezone: str, compressed: bool
) -> Bucket:
    years: list[YearFile] = []
    failures: list[TsStoreError] = []
    try:
        timeframe = Timeframe.parse(BucketKey.parse(key).timeframe)
    except TsStoreError as error:
        return Bucket(key, (), (error,))
    there = {path.name: path for path in (root / key).glob("*.bin") if path.stem.isdecimal()}
    for name, path in sorted(there.items(), key=lambda item: int(item[1].stem)):
        rows = pending.get(name)
        try:
            year = open_year(path, timezone=timezone, compressed=compressed, pending=rows)
            _check_place(year, timeframe)
            years.append(year)
        except TsStoreError as error:
            failures.append(error)
        except OSError as error:
            failures.append(storage_error("read", str(path), error))
    failures += [
        DamagedFileError(str(root / key / name), 0, "it is gone, and the WAL has rows for it")
        for name in sorted(pending.keys() - there.keys())
    ]
    return Bucket(key, tuple(years), tuple(failures))


def _check_place(year: YearFile, timeframe: Timeframe) -> None:
    """The header says what the path says."""
    header, path = year.header, str(year.path)
    if header.year != int(year.path.stem):
        raise DamagedFileError(path, 264, f"year {header.year} instead of {year.path.stem}")
    if timeframe.unit not in "MY" and header.timeframe_ns != timeframe.duration_ns:
        raise DamagedFileError(
            path, 272, f"slots of {header.timeframe_ns} ns in a bucket of {timeframe}"
        )
