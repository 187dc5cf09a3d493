"""gzip files of any number of members, unpacked as they are read.

With the package isal this takes half the time of Python's own, which is used without it.
"""

from __future__ import annotations

import gzip
import zlib
from typing import TYPE_CHECKING, Any, BinaryIO, cast

if TYPE_CHECKING:
    from pathlib import Path

#: What a gzip file begins with.
GZIP_MAGIC = b"\x1f\x8b"
#: What damage raises besides OSError without a number.
DAMAGES: tuple[type[Exception], ...] = (EOFError, zlib.error)
_opener: Any = gzip
try:
    from isal import igzip, isal_zlib
except ImportError:
    pass
else:
    _opener = igzip
    DAMAGES = (*DAMAGES, cast("type[Exception]", isal_zlib.error))


def open_gzip(path: Path) -> BinaryIO:
    """The unpacked bytes of a file, checked against the sums in it.

    Raises:
        OSError: also when read: with a number the system refuses, without one the file is damaged
            or no gzip.
        Exception: when read: one of `DAMAGES`.
    """
    return cast("BinaryIO", _opener.open(path))
