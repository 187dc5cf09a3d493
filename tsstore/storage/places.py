"""Which rows a part of a segment file holds: for people who have to know what is damaged."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from tsstore.times import format_ns

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.format.segment import Footer

_KEYS_SHOWN = 3


class Place(NamedTuple):
    """Some rows.

    Attributes:
        keys: their buckets.
        rows: how many there are.
        first_ts: no row is before this instant.
        last_ts: no row is after this one.
    """

    keys: tuple[str, ...]
    rows: int
    first_ts: int
    last_ts: int

    def __str__(self) -> str:
        names = ", ".join(self.keys[:_KEYS_SHOWN]) or "unknown buckets"
        more = len(self.keys) - _KEYS_SHOWN
        if more > 0:
            names += f" and {more} more"
        span = f"{format_ns(self.first_ts)} to {format_ns(self.last_ts)}"
        return f"{self.rows} rows of {names}, {span}"


def place_of_rows(footer: Footer, first: int, end: int, keys: Mapping[int, str]) -> Place:
    """The rows `first` to `end` of a segment, by what its footer says.

    Args:
        footer: of the segment.
        first: a row.
        end: the row after the last one.
        keys: names of the buckets by id; those that are not there have the name in the footer.
    """
    low = int(footer.starts.searchsorted(first, "right")) - 1
    high = max(low + 1, int(footer.starts.searchsorted(end, "left")))
    ids = footer.ids[low:high].tolist()
    names = tuple(
        keys.get(number, name) for number, name in zip(ids, footer.keys[low:high], strict=True)
    )
    return Place(names, end - first, *_span(footer, first, end, low, high))


def _span(footer: Footer, first: int, end: int, low: int, high: int) -> tuple[int, int]:
    if high - low > 1:
        return int(footer.first_ts[low:high].min()), int(footer.last_ts[low:high].max())
    first_ts, last_ts = int(footer.first_ts[low]), int(footer.last_ts[low])
    begins = footer.block_starts[:-1]
    before = int(begins.searchsorted(first, "right")) - 1
    if before >= 0 and begins[before] >= footer.starts[low]:
        first_ts = max(first_ts, int(footer.block_first_ts[before]))
    after = int(begins.searchsorted(end, "left"))
    if after < len(begins) and begins[after] < footer.starts[high]:
        last_ts = min(last_ts, int(footer.block_first_ts[after]))
    return first_ts, last_ts


def place_of_block(footer: Footer, offset: int, keys: Mapping[int, str]) -> Place | None:
    """The rows of the block that is stored at an offset of the file; None when none is."""
    blocks = np.flatnonzero((footer.block_offsets == offset).any(axis=0))
    if len(blocks) == 0:
        return None
    first, end = footer.block_starts[[blocks[0], blocks[0] + 1]].tolist()
    return place_of_rows(footer, first, end, keys)
