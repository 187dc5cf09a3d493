"""What a connection has missed and nobody has fetched yet: stretches without an end.

A stretch begins where something was surely seen, with an overlap, and ends when the connection
streams again. Until then `so_far` hands out what is missed up to now and goes on from there, with
the same overlap and what a delayed plan had not yet, so that polling leaves nothing out either.
What has come by then is not asked for again: ticks are many.
"""

from __future__ import annotations

import threading
from dataclasses import replace
from itertools import chain
from types import MappingProxyType
from typing import TYPE_CHECKING

from tsstore.zones import NS_PER_SECOND
from tsstore_massive.datasets import LATE_NS
from tsstore_massive.missing.gaps import Stretch
from tsstore_massive.schemas import BAR_KINDS

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

    from tsstore_massive.schemas import Kind

#: Late trades change the bars of this long.
BARS_OVERLAP_NS = 15 * 60 * NS_PER_SECOND
#: Ticks of one instant may arrive out of order.
TICKS_OVERLAP_NS = 10 * NS_PER_SECOND
#: Symbols that are missed since instants this close are asked for together.
_GRID_NS = 15 * NS_PER_SECOND


def overlap_ns(kind: Kind) -> int:
    """How far before the last row that was seen rows may still be missing or change."""
    return BARS_OVERLAP_NS if kind in BAR_KINDS else TICKS_OVERLAP_NS


def _going_on(
    stretches: Iterable[Stretch], end_ns: int, came_ns: Mapping[tuple[Kind, str], int]
) -> list[Stretch]:
    """What is missed from some end on, each symbol once, however many stretches it was in.

    The history of a delayed plan ended long before it, so they overlap by that as well.
    """
    together: dict[tuple[Kind, int], dict[str, None] | None] = {}
    for one in chain.from_iterable(_since(one, end_ns, came_ns) for one in stretches):
        place = one.kind, one.start_ns
        symbols = together.setdefault(place, {})
        if one.symbols is None:
            together[place] = None
        elif symbols is not None:
            symbols.update(dict.fromkeys(one.symbols))
    return [
        Stretch(kind, None if symbols is None else tuple(symbols), start_ns)
        for (kind, start_ns), symbols in together.items()
    ]


def _since(one: Stretch, end_ns: int, came_ns: Mapping[tuple[Kind, str], int]) -> Iterator[Stretch]:
    """A stretch from where it goes on, its symbols apart where their last rows are."""
    overlap = overlap_ns(one.kind)
    first_ns = max(one.start_ns, end_ns - LATE_NS - overlap)
    if one.symbols is None:
        yield replace(one, start_ns=first_ns)
        return
    together: dict[int, list[str]] = {}
    for symbol in one.symbols:
        since_ns = came_ns.get((one.kind, symbol), 0) - overlap
        start_ns = max(first_ns, since_ns - since_ns % _GRID_NS)
        together.setdefault(start_ns, []).append(symbol)
    for start_ns, symbols in together.items():
        yield replace(one, symbols=tuple(symbols), start_ns=start_ns)


def _of_symbols(stretches: Iterable[Stretch], wanted: Callable[[str], bool]) -> list[Stretch]:
    """The stretches with some of their symbols, without those that have none of them."""
    chosen = ((one, tuple(filter(wanted, one.symbols or ()))) for one in stretches)
    return [replace(one, symbols=symbols) for one, symbols in chosen if symbols]


class Missed:
    """The stretches of one connection; thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._stretches: list[Stretch] = []

    def add(self, *stretches: Stretch) -> None:
        """From the start of each on it is missed."""
        with self._lock:
            self._stretches += stretches

    def take(self, end_ns: int, not_before: float) -> list[Stretch]:
        """Everything, as missed up to an instant; nothing is missed from then on.

        Args:
            end_ns: the last instant that is missed.
            not_before: monotonic second before which it cannot be fetched.
        """
        with self._lock:
            stretches, self._stretches = self._stretches, []
        return [stretch.until(end_ns, not_before) for stretch in stretches]

    def leave(self, gone: Collection[str], end_ns: int, not_before: float) -> list[Stretch]:
        """What is missed of some symbols up to an instant, from which on nobody misses them."""
        with self._lock:
            named = [stretch for stretch in self._stretches if stretch.symbols is not None]
            every = [stretch for stretch in self._stretches if stretch.symbols is None]
            self._stretches = every + _of_symbols(named, lambda symbol: symbol not in gone)
        left = _of_symbols(named, lambda symbol: symbol in gone)
        return [stretch.until(end_ns, not_before) for stretch in left]

    def so_far(
        self,
        kinds: Collection[Kind],
        end_ns: int,
        not_before: float = 0.0,
        came_ns: Mapping[tuple[Kind, str], int] = MappingProxyType({}),
    ) -> list[Stretch]:
        """What is missed of some kinds up to an instant; it goes on being missed.

        Args:
            kinds: which.
            end_ns: the last instant that is missed by now.
            not_before: monotonic second before which it cannot be fetched.
            came_ns: time of the last row of a kind and symbol, where the vendor has told all up to
                there: it goes on from there, where that is not long ago.
        """
        with self._lock:
            mine = [stretch for stretch in self._stretches if stretch.kind in kinds]
            others = [stretch for stretch in self._stretches if stretch.kind not in kinds]
            self._stretches = others + _going_on(mine, end_ns, came_ns)
        return [stretch.until(end_ns, not_before) for stretch in mine]
