"""The first line of a flat file, which tells whether the file is what its name says."""

from __future__ import annotations

from collections import Counter
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tsstore.errors import StorageError
from tsstore_massive.flatfiles.errors import BadFileError
from tsstore_massive.flatfiles.inflate import DAMAGES, GZIP_MAGIC, open_gzip

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from tsstore_massive.flatfiles.catalogue import Rows

_BYTES_MAX = 64 << 10

#: Names that a time may have, the best one first.
_TIMES: Mapping[Rows, tuple[str, ...]] = {
    "bars": ("window_start",),
    "trades": ("sip_timestamp", "participant_timestamp", "timestamp"),
    "quotes": ("sip_timestamp", "participant_timestamp", "timestamp"),
    "values": ("timestamp",),
}
#: Columns without which a row is nothing.
NEEDED: Mapping[Rows, Mapping[str, str]] = {
    "bars": {"Open": "open", "High": "high", "Low": "low", "Close": "close"},
    "trades": {"Price": "price"},
    "quotes": {},
    "values": {"Value": "value"},
}


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Tell a file that is damaged from a system that refuses to read it.

    Raises:
        BadFileError: it is damaged.
        StorageError: the system refuses.
    """
    import pyarrow as pa

    try:
        yield
    except (OSError, pa.ArrowInvalid, UnicodeDecodeError, *DAMAGES) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise StorageError(
                f"{path} cannot be read: {error.strerror}; it stays as it is"
            ) from None
        raise BadFileError(f"{path} cannot be read: {error}") from None


def read_header(path: Path, rows: Rows) -> list[str]:
    """The names of the columns.

    Raises:
        BadFileError: it is no such file.
        StorageError: the system refuses to read it.
    """
    with reading(path):
        with path.open("rb") as packed:
            magic = packed.read(len(GZIP_MAGIC))
        if magic and magic != GZIP_MAGIC:
            raise BadFileError(f"{path} is no gzip file")
        with open_gzip(path) as file:
            line = file.readline(_BYTES_MAX)
        names = line.decode("utf-8-sig").strip().split(",")
    if not line:
        raise BadFileError(f"{path} is empty")
    absent = {"ticker", *NEEDED[rows].values()} - set(names)
    if absent:
        raise BadFileError(f"{path} has no column {min(absent)!r}; it is no file of {rows}")
    if not set(_TIMES[rows]) & set(names):
        raise BadFileError(f"{path} has no column {_TIMES[rows][0]!r}")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise BadFileError(f"{path} has two columns {twice[0]!r}")
    return names


def time_name(names: list[str], rows: Rows) -> str:
    """The column, of a header, with the times of the rows."""
    return next(name for name in _TIMES[rows] if name in names)
