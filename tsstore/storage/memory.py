"""Memory for arrays. That of a large array costs more to come by than to fill.

The system gives memory page by page when it is touched first. Where it can, numpy asks for huge
pages, which cost a tenth, but only for what is several megabytes in one piece.
"""

from __future__ import annotations

from functools import cache
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

_ALIGNMENT = 8
# The largest array from which glibc still learns, with room for what it adds.
_LEARNT_BYTES = (32 << 20) - (1 << 16)


@cache
def keep_freed_memory() -> None:
    """Let malloc keep what it gets back for the arrays that come next. Once in a process.

    At first glibc returns every array from 128 KB on to the system, so that reading a year of bars
    is mostly waiting for pages. It learns from the largest array that was ever freed, as soon as a
    program frees one of 32 MB; then it keeps 64 MB at most. This one is freed untouched.
    """
    np.empty(_LEARNT_BYTES, np.uint8)


def together(dtypes: Sequence[np.dtype[Any]], rows: int) -> list[NDArray[Any]]:
    """Arrays in one piece of memory, for what is needed and given back together.

    Args:
        dtypes: of the arrays.
        rows: of each of them.

    Returns:
        Arrays of shape (rows,) that hold any values.
    """
    sizes = [rows * dtype.itemsize for dtype in dtypes]
    *starts, end = accumulate((size + -size % _ALIGNMENT for size in sizes), initial=0)
    whole = np.empty(end, np.uint8)
    return [
        whole[start : start + size].view(dtype)
        for start, size, dtype in zip(starts, sizes, dtypes, strict=True)
    ]


class Place:
    """Memory that holds one array after the other."""

    def __init__(self) -> None:
        self._bytes = np.empty(0, np.uint8)

    def array(self, dtype: np.dtype[Any], rows: int) -> NDArray[Any]:
        """An array of any values, shape (rows,); the one before is no longer good."""
        size = rows * dtype.itemsize
        if size > len(self._bytes):
            self._bytes = np.empty(size, np.uint8)
        return self._bytes[:size].view(dtype)
