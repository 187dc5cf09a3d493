"""The buckets that a pattern means, and the rows that a range does."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import NotFoundError

if TYPE_CHECKING:
    import numpy as np

    from tsstore.api import StoreApi


def matching(store: StoreApi, pattern: str) -> list[str]:
    """The keys of the buckets that match, sorted.

    Raises:
        NotFoundError: there are none.
        InvalidKeyError: not a pattern.
    """
    keys = store.list(pattern)
    if not keys:
        raise NotFoundError(f"no bucket matches {pattern}; `tsstore ls` shows what there is")
    return keys


def count_rows(
    store: StoreApi, key: str, start: np.datetime64 | None, end: np.datetime64 | None
) -> int:
    """How many rows of a bucket lie in a range, both ends included.

    Of bars, the one whose slot holds the start is among them, as it is when they are deleted.
    """
    return sum(len(part) for part in store.iterate(key, start=start, end=end, columns=()))
