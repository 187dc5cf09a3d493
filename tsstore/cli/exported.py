"""Where `tsstore export` puts the file of a bucket, and `tsstore load` finds it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import InvalidKeyError, NotFoundError
from tsstore.key import BucketKey, KeyPattern

if TYPE_CHECKING:
    from pathlib import Path

SUFFIXES = {"csv": ".csv", "parquet": ".parquet", "arrow": ".arrow"}


def path_of(directory: Path, key: str, style: str) -> Path:
    """The file of a bucket: `directory/AAPL/1Min/OHLCV.csv`."""
    symbol, timeframe, group = key.split("/")
    return directory / symbol / timeframe / f"{group}{SUFFIXES[style]}"


def find_exported(directory: Path, pattern: str) -> list[tuple[Path, str]]:
    """The files below a directory whose bucket matches, and the keys of these, sorted.

    Raises:
        InvalidKeyError: the pattern does not have three parts.
        NotFoundError: no file matches.
    """
    wanted = KeyPattern(pattern)
    found = []
    for path in sorted(directory.glob("*/*/*")):
        key = _key_of(path)
        if key is not None and wanted.matches(key):
            found.append((path, key))
    if not found:
        raise NotFoundError(
            f"no file below {directory} is of a bucket that matches {pattern!r}; they are named "
            "as `tsstore export` does, such as AAPL/1Min/OHLCV.parquet"
        )
    return found


def _key_of(path: Path) -> str | None:
    suffix = next((s for s in SUFFIXES.values() if path.name.endswith(s)), None)
    if suffix is None:
        return None
    group = path.name.removesuffix(suffix)
    try:
        return str(BucketKey.parse(f"{path.parent.parent.name}/{path.parent.name}/{group}"))
    except InvalidKeyError:
        return None
