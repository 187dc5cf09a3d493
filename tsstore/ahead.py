"""What comes next is made on a thread while what came is used."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Generator

_T = TypeVar("_T")


def ahead(items: Generator[_T, None, None]) -> Generator[_T, None, None]:
    """The items of a generator, each made while the one before it is used.

    The generator runs on a thread of its own, so two items are in memory besides the one in use.
    What it raises is raised after the items before it. Who leaves early waits for the item that is
    being made.
    """
    with closing(items), ThreadPoolExecutor(1, thread_name_prefix="ahead") as pool:
        coming = pool.submit(_next, items)
        while found := coming.result():
            coming = pool.submit(_next, items)
            yield found[0]


def _next(items: Generator[_T, None, None]) -> tuple[_T] | None:
    """The next item, or None after the last one."""
    for item in items:
        return (item,)
    return None
