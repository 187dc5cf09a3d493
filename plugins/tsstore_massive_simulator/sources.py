"""Where the events of one channel and day come from: rows, when each is due, and its JSON shape."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.rows import TIME, Kind

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive_simulator.market import Market
    from tsstore_massive_simulator.rows import Rows

    At = NDArray[np.integer[Any]]

_REVISION_DELAYS_NS = 60 * NS_PER_SECOND, 600 * NS_PER_SECOND


@dataclass(frozen=True)
class Timing:
    """When bars come, and come again.

    Attributes:
        second_ns: how long after its end a second bar comes.
        minute_ns: how long after its end a minute bar comes at the earliest.
        spread_ns: how much later it comes at the latest.
        revised_share: share of the minute bars that come too early, and once more later.
    """

    second_ns: int = 2 * NS_PER_SECOND
    minute_ns: int = 1 * NS_PER_SECOND
    spread_ns: int = 2 * NS_PER_SECOND
    revised_share: float = 0.0


@dataclass(frozen=True)
class Asked:
    """What a channel is to tell.

    Attributes:
        market: of which market.
        day: of which day.
        tickers: of which tickers; None for all.
        timing: when bars come.
    """

    market: Market
    day: date
    tickers: Sequence[str] | None
    timing: Timing

    def rows(self, kind: Kind) -> Rows:
        """The rows of a kind."""
        return self.market.rows(kind, self.day, self.tickers)


class Source(Protocol):
    """The events of one channel.

    Attributes:
        due: when each event is sent, int64 nanoseconds, in no order.
    """

    due: NDArray[np.int64]

    def events(self, at: At) -> list[Any]:
        """The events at some positions of `due`, as structs."""
        ...


class Ticks:
    """Events that are told when they happen.

    Args:
        rows: an event each.
        make: turns rows at some positions into structs.
        due: the column of the instant they are sent; when they happened if absent.
    """

    def __init__(
        self,
        rows: Rows,
        make: Callable[[Rows, At], list[Any]],
        due: str = TIME[Kind.TRADES],
    ) -> None:
        self.due: NDArray[np.int64] = rows[due]
        self._rows = rows
        self._make = make

    def events(self, at: At) -> list[Any]:
        """The events at some positions of `due`, as structs."""
        return self._make(self._rows, at)


class SecondBars:
    """Bars that are told once.

    Args:
        rows: the bars.
        delay_ns: how long after its end a bar comes.
        make: turns bars at some positions into structs; told that none is early.
    """

    def __init__(
        self, rows: Rows, delay_ns: int, make: Callable[[At, NDArray[np.bool_]], list[Any]]
    ) -> None:
        self.due: NDArray[np.int64] = rows["window_start"] + NS_PER_SECOND + delay_ns
        self._make = make

    def events(self, at: At) -> list[Any]:
        """The events at some positions of `due`, as structs."""
        return self._make(at, np.zeros(len(at), bool))


class MinuteBars:
    """Bars that come within seconds after their end; some come too early and once more later.

    Args:
        rows: the bars.
        timing: when they come.
        make: turns bars at some positions into structs, `early` ones before their last trades.
    """

    def __init__(
        self, rows: Rows, timing: Timing, make: Callable[[At, NDArray[np.bool_]], list[Any]]
    ) -> None:
        random = np.random.default_rng(len(rows))
        ends = rows["window_start"] + MINUTE_NS
        due = ends + timing.minute_ns + random.integers(0, timing.spread_ns + 1, len(rows))
        early = np.flatnonzero(random.random(len(rows)) < timing.revised_share)
        again = due[early]
        due[early] += random.integers(*_REVISION_DELAYS_NS, len(early))
        self.due: NDArray[np.int64] = np.concatenate([due, again])
        self._row = np.concatenate([np.arange(len(rows)), early])
        self._count = len(rows)
        self._make = make

    def events(self, at: At) -> list[Any]:
        """The events at some positions of `due`, as structs."""
        return self._make(self._row[at], np.asarray(at) >= self._count)
