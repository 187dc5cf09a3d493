"""What Python has as `itertools.batched` from 3.12 on, of lists."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_T = TypeVar("_T")


def batched(items: Iterable[_T], size: int) -> Iterator[list[_T]]:
    """Lists of so many items each; the last one may be shorter."""
    left = iter(items)
    while some := list(islice(left, size)):
        yield some
