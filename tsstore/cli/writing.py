"""Many rows into a store, by the way that suits their number."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore.store import Store

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore.api import Operation, StoreApi

#: What reads files gathers so many bytes of rows for one call.
BATCH_BYTES = 32 << 20
# From so many on they go straight to files; fewer would make files that are too small.
_BULK_BYTES = 8 << 20


def write(store: StoreApi, operations: Sequence[Operation], nbytes: int) -> int:
    """Carry out operations as one atomic unit; on disk when it returns.

    Args:
        store: where to.
        operations: the rows.
        nbytes: how many bytes they are.

    Returns:
        How many rows.
    """
    if isinstance(store, Store) and nbytes >= _BULK_BYTES:
        return store.bulk(operations)
    return store.commit(operations)
