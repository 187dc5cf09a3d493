"""When a row was: from the number of its slot and, for ticks, the fraction of the slot.

MarketStore counts slots from the local midnight of 1 January, but measures fractions from the UTC
one, in steps of a 2³²th of a slot, and keeps the lowest 32 bits of their number. Where both are not
the same instant, as in other zones and for days, its own reader returns times that are wrong by
hours. Slot and fraction together tell the right one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore.marketstore.header import YearHeader

_STEPS = 2**32


def slot_starts(header: YearHeader, index: NDArray[np.int64], tz: str) -> NDArray[np.int64]:
    """The start of each slot.

    Args:
        header: of the year file.
        index: numbers of slots; from 0 for days, else from 1.
        tz: zone of the server.

    Returns:
        int64 nanoseconds since 1970 UTC, same shape.
    """
    if header.is_daily:
        return local_to_utc(_new_year(header) + index * NS_PER_DAY, tz)
    first = int(local_to_utc(np.array([_new_year(header)], np.int64), tz)[0])
    return first + (index - 1) * header.timeframe_ns


def instants(
    header: YearHeader, index: NDArray[np.int64], fraction: NDArray[np.uint32], tz: str
) -> NDArray[np.int64]:
    """The instants of ticks.

    The fraction leaves a stretch of time open, of a quarter of a nanosecond in slots of a second
    and 14 ns in slots of a minute. Of the instants in it, the roundest is taken: that is the one
    which was written if it had no more digits than microseconds (in slots of two hours and more,
    milliseconds).
    Of a day of 25 hours, the last hour is taken for the first: their fractions are the same.

    Args:
        header: of the year file; its slots are a whole fraction of a day.
        index: number of the slot of each row.
        fraction: fraction of the slot of each row.
        tz: zone of the server.

    Returns:
        int64 nanoseconds since 1970 UTC, same shape; within their slots.
    """
    length = header.timeframe_ns
    base = _new_year(header) + (index - 1) * length
    begin = slot_starts(header, index, tz) - base
    steps = _unwrapped(fraction.astype(np.int64), begin, length)
    # Go cuts towards zero: what lies before the base was rounded up.
    early = (steps < 0).astype(np.int64)
    low, low_rest = _scaled(steps - early, length)
    high, _ = _scaled(steps + 1 - early, length)
    # Far from the base its floats are off by a few hundredths of a step.
    slack = np.where(begin != 0, length / _STEPS / 32, 0.0)
    low = np.maximum(low + np.ceil(low_rest - slack).astype(np.int64), begin)
    high = np.minimum(high, begin + length - 1)
    return base + _roundest(low, np.maximum(low, high))


def _new_year(header: YearHeader) -> int:
    return int(np.datetime64(f"{header.year:04d}-01-01", "ns").astype(np.int64))


def _unwrapped(
    fraction: NDArray[np.int64], begin: NDArray[np.int64], length: int
) -> NDArray[np.int64]:
    """Steps from the base, of which the fraction holds the lowest 32 bits.

    Args:
        fraction: these bits.
        begin: start of each slot from the base, in nanoseconds.
        length: of a slot, in nanoseconds.
    """
    first, _ = _divided(begin, length)
    # Floats that are large enough may be a step short: the start of a slot lies before it then.
    first -= begin != 0
    found: NDArray[np.int64] = first + (fraction - first) % _STEPS
    return found


def _divided(ns: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Nanoseconds in steps, rounded down, and the rest: exact, 16 bits at a time."""
    steps, rest = np.divmod(ns, length)
    for _ in range(2):
        digit, rest = np.divmod(rest << 16, length)
        steps = (steps << 16) + digit
    return steps, rest


def _scaled(steps: NDArray[np.int64], length: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Steps in nanoseconds, rounded down, and what was cut off: exact, 16 bits at a time."""
    slots, rest = np.divmod(steps, _STEPS)
    lower = (rest & 0xFFFF) * length
    upper = (rest >> 16) * length + (lower >> 16)
    rest = ((upper & 0xFFFF) << 16) + (lower & 0xFFFF)
    return slots * length + (upper >> 16), rest / _STEPS


def _roundest(low: NDArray[np.int64], high: NDArray[np.int64]) -> NDArray[np.int64]:
    """The number between the two, both included, that ends in most zeros."""
    found = high.copy()
    step = 10
    while step <= NS_PER_SECOND:
        round_ones = high // step * step
        found = np.where(round_ones >= low, round_ones, found)
        step *= 10
    return found
