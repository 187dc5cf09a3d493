"""Every name that is ever created below the data directory, built and parsed in one place."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from tsstore.key import BucketKey, name_on_disk

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.timeframe import Timeframe

LOCK = "LOCK"
#: Says of which store a directory is the backup.
BACKUP = "BACKUP"
#: Says of which store a directory is the replica.
REPLICA = "REPLICA"
WAL_DIR = "wal"
#: Everything named after symbols is below this, so no symbol can collide with a file of ours.
BUCKETS_DIR = "buckets"
#: Segments that hold many buckets; no symbol has this name on disk (see `key.name_on_disk`).
SHARED_DIR = f"{BUCKETS_DIR}/%shared"

_MANIFEST = "MANIFEST-"


def wal_name(number: int) -> str:
    """`wal/000012.wal`."""
    return f"{WAL_DIR}/{number:06d}.wal"


def wal_number(entry: str) -> int | None:
    """The number of a file of the WAL directory; None if it is not a WAL file."""
    digits, dot, suffix = entry.partition(".")
    return _number(digits) if dot and suffix == "wal" else None


def manifest_name(number: int) -> str:
    """`MANIFEST-000003`."""
    return f"{_MANIFEST}{number:06d}"


def manifest_number(entry: str) -> int | None:
    """The number of an entry of the root; None if it is not a manifest."""
    return _number(entry.removeprefix(_MANIFEST)) if entry.startswith(_MANIFEST) else None


def shared_segment_name(number: int) -> str:
    """`buckets/%shared/rows.000031.seg`."""
    return f"{SHARED_DIR}/rows.{number:06d}.seg"


def bucket_dir(key: str) -> str:
    """`buckets/AAPL/1Min/OHLCV`, encoded so that different keys never share a name."""
    parsed = BucketKey.parse(key)
    parts = (name_on_disk(parsed.symbol), parsed.timeframe, name_on_disk(parsed.attribute_group))
    return "/".join((BUCKETS_DIR, *parts))


def segment_name(key: str, period: str, number: int) -> str:
    """`buckets/AAPL/1Min/OHLCV/2024.000031.seg`."""
    return f"{bucket_dir(key)}/{period}.{number:06d}.seg"


def segment_number(name: str) -> int | None:
    """The number of a segment file; None if it is not one."""
    parts = name.rpartition("/")[2].rsplit(".", 2)
    return _number(parts[1]) if len(parts) == 3 and parts[2] == "seg" else None


def segment_period(name: str) -> str:
    """The period in the name of a segment of one bucket: `2024` of `…/2024.000031.seg`."""
    return name.rpartition("/")[2].rsplit(".", 2)[0]


def _number(digits: str) -> int | None:
    """The number that at least six digits make."""
    return int(digits) if len(digits) >= 6 and digits.isascii() and digits.isdigit() else None


def split_periods(
    ts: NDArray[np.int64], timeframe: Timeframe, *, variable: bool
) -> list[tuple[str, int, int]]:
    """Where rows are cut into files: (period, first row, end row), for ascending times.

    Ticks get a file per day, seconds a file per month, longer bars a file per year, all in UTC:
    how many rows a file holds is the only thing the period decides.
    """
    if len(ts) == 0:
        return []
    unit = "D" if variable else "M" if timeframe.duration_ns < 60_000_000_000 else "Y"
    first, last = ts[[0, -1]].astype("M8[ns]").astype(f"M8[{unit}]")
    # Fewer periods to look for than rows to look at. The first period that has nanoseconds begins
    # before the first nanosecond, and numpy then takes it for a late one.
    if 0 <= (last - first).astype(np.int64) < len(ts):
        periods = np.arange(first, last + 1)
        starts = ts.searchsorted(periods[1:].astype("M8[ns]").astype(np.int64))
    else:
        periods = ts.astype("M8[ns]").astype(f"M8[{unit}]")
        starts = np.flatnonzero(periods[1:] != periods[:-1]) + 1
        periods = periods[np.append(0, starts)]
    bounds = itertools.pairwise([0, *starts.tolist(), len(ts)])
    return [
        (str(period), low, high)
        for period, (low, high) in zip(periods, bounds, strict=True)
        if low < high
    ]
