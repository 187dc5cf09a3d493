"""Stretches of time that something is known of, a bounded number of them."""

from __future__ import annotations

from bisect import bisect_left
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

STRETCHES_MAX = 16


class Stretches:
    """Stretches of one bucket, ascending and apart from each other.

    Of more than `STRETCHES_MAX` those that lie nearest to each other become one.
    """

    __slots__ = ("_spans",)

    def __init__(self) -> None:
        self._spans: list[tuple[int, int]] = []

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return iter(self._spans)

    @property
    def length_ns(self) -> int:
        """How long they are together."""
        return sum(last - first for first, last in self._spans)

    def add(self, first: int, last: int) -> None:
        """Add a stretch, both ends included."""
        spans = self._spans
        begin = bisect_left(spans, first, key=lambda span: span[1] + 1)
        end = begin
        while end < len(spans) and spans[end][0] <= last + 1:
            first, last = min(first, spans[end][0]), max(last, spans[end][1])
            end += 1
        spans[begin:end] = [(first, last)]
        if len(spans) > STRETCHES_MAX:
            self._join_nearest()

    def _join_nearest(self) -> None:
        spans = self._spans
        near = min(range(len(spans) - 1), key=lambda place: spans[place + 1][0] - spans[place][1])
        spans[near : near + 2] = [(spans[near][0], spans[near + 1][1])]
