"""A range of a bucket, some rows at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING

import msgspec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsstore.columns import Columns
    from tsstore.wire.exact import ReadParams


def pieces(
    params: ReadParams, found: Columns, read: Callable[[ReadParams], Columns]
) -> Iterator[Columns]:
    """The rows that the parameters ask for, cut between two instants, never within one.

    Args:
        params: of one bucket; `limit` is one more than the rows of a piece, or None for all.
        found: what was read with them.
        read: reads on.
    """
    while params.limit is not None and len(found) == params.limit:
        last = int(found.ts[-1])
        whole = int(found.ts.searchsorted(last, "left"))
        if whole:
            yield found.slice(0, whole)
        else:
            yield read(msgspec.structs.replace(params, start_ns=last, end_ns=last, limit=None))
        # Bars have one row of an instant, so this is never the middle of a slot.
        params = msgspec.structs.replace(params, start_ns=last if whole else last + 1)
        found = read(params)
    if len(found):
        yield found
