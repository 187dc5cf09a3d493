"""Where the events of one channel and day come from: rows, when each is due, and its JSON shape."""

from __future__ import annotations

import zlib
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

#: Constants of splitmix64.
_GOLDEN = 0x9E3779B97F4A7C15
_MIXING = ((30, 0xBF58476D1CE4E5B9), (27, 0x94D049BB133111EB), (31, 1))

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
        spread, is_early, ahead = (_chances(rows, salt) for salt in range(3))
        ends = rows["window_start"] + MINUTE_NS
        due = ends + timing.minute_ns + (spread * timing.spread_ns).astype(np.int64)
        early = np.flatnonzero(is_early < timing.revised_share)
        again = due[early]
        first_ns, last_ns = _REVISION_DELAYS_NS
        due[early] += first_ns + (ahead[early] * (last_ns - first_ns)).astype(np.int64)
        self.due: NDArray[np.int64] = np.concatenate([due, again])
        self._row = np.concatenate([np.arange(len(rows)), early])
        self._count = len(rows)
        self._make = make

    def events(self, at: At) -> list[Any]:
        """The events at some positions of `due`, as structs."""
        return self._make(self._row[at], np.asarray(at) >= self._count)


def _chances(rows: Rows, salt: int) -> NDArray[np.float64]:
    """A number from 0 to 1 for each bar, which does not depend on the other bars.

    Else a client that changes its topics would find other bars revised than were announced.
    """
    tickers = np.array([zlib.crc32(ticker.encode()) for ticker in rows.tickers], np.uint64)
    mixed = (rows["window_start"] // NS_PER_SECOND).astype(np.uint64)
    mixed += np.repeat(tickers, np.diff(rows.starts)) << np.uint64(32)
    mixed += np.uint64(_GOLDEN * (salt + 1) % 2**64)
    for shift, factor in _MIXING:
        mixed = (mixed ^ (mixed >> np.uint64(shift))) * np.uint64(factor)
    return np.asarray((mixed >> np.uint64(11)) / 2**53)
