"""gzip files of any number of members, unpacked as they are read."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path


def open_gzip(path: Path) -> BinaryIO:
    """The unpacked bytes of a file, checked against the sums in it.

    With the package isal this takes half the time of Python's own, which is used without it.

    Raises:
        OSError: when read: it is no gzip, or damaged.
        EOFError: when read: it breaks off.
    """
    try:
        from isal import igzip
    except ImportError:
        import gzip

        return cast("BinaryIO", gzip.open(path))
    return cast("BinaryIO", igzip.open(path))  # type: ignore[no-untyped-call]
