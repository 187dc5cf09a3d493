"""The buckets that a pattern means."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.errors import NotFoundError

if TYPE_CHECKING:
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
