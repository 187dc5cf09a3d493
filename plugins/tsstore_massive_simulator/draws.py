"""What chance decides of the trades and quotes of stocks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.walks import moments

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive_simulator.calendar import Session

#: Decimals the vendor gives fractional shares.
_SIZE_DECIMALS = 6
# A random byte picks from these, which is the quickest way to draw from a distribution.
_EXCHANGES = np.resize(
    np.array([4, 4, 4, 4, 4, 4, 4, 12, 12, 12, 11, 11, 8, 19, 10, 15, 7, 21, 18, 20], np.uint8), 256
)
_QUOTE_EXCHANGES = np.resize(np.array([12, 12, 12, 11, 11, 19, 8, 10, 15, 21, 7], np.uint8), 256)
_TRFS = np.resize(np.array([202, 202, 201, 203], np.int32), 256)
_ROUND_LOTS = np.resize(np.array([1, 1, 1, 1, 1, 1, 2, 2, 3, 5, 10]), 256) * 100.0


def daily_moments(random: np.random.Generator, hours: Session, expected: int) -> NDArray[np.int64]:
    """Instants of a day, ascending: few in the extended hours, most near open and close."""
    return moments(random, hours.first_ns, expected, _intensity(hours))


@lru_cache(maxsize=64)
def _intensity(hours: Session) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """Edges of minutes since the first hour, and the share of the day's events before each."""
    edges = np.arange(0, hours.last_ns - hours.first_ns + 1, MINUTE_NS)
    minutes = hours.first_ns + edges[:-1]
    regular = (minutes >= hours.open_ns) & (minutes < hours.close_ns)
    since_open = (minutes - hours.open_ns) / (hours.close_ns - hours.open_ns)
    u_shape = 1 + 9 * np.exp(-since_open * 14) + 6 * np.exp((since_open - 1) * 20)
    weights = np.where(regular, u_shape, 0.06)
    return edges, np.concatenate([[0], np.cumsum(weights) / weights.sum()])


def sizes(random: np.random.Generator, count: int, *, fractions: bool) -> NDArray[np.float64]:
    """Sizes of trades, most of them odd lots or one round lot."""
    draw = random.integers(0, 256, count, np.uint8)
    drawn = np.where(
        draw < 140,
        random.integers(1, 100, count).astype(np.float64),
        _ROUND_LOTS[random.integers(0, 256, count, np.uint8)],
    )
    if not fractions:
        return drawn
    below_one = random.integers(1, 1_000_000, count) / 1_000_000
    whole = np.where(draw < 20, 0.0, drawn)
    return np.where(draw < 32, (whole + below_one).round(_SIZE_DECIMALS), drawn)


def quote_sizes(random: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Sizes of quotes, whole lots."""
    drawn: NDArray[np.float64] = _ROUND_LOTS[random.integers(0, 256, count, np.uint8)]
    return drawn


def quote_exchanges(random: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Exchanges of quotes."""
    drawn: NDArray[np.uint8] = _QUOTE_EXCHANGES[random.integers(0, 256, count, np.uint8)]
    return drawn


def half_spread(middle: NDArray[np.float64]) -> NDArray[np.float64]:
    """How far a quote is from the middle."""
    return np.maximum(0.005, middle * 0.00004)


def cents(price: NDArray[Any]) -> NDArray[np.float64]:
    """Prices of whole cents."""
    return np.asarray(np.rint(price * 100) / 100)


def exchanges(random: np.random.Generator, count: int) -> NDArray[np.uint8]:
    """Exchanges of trades."""
    drawn: NDArray[np.uint8] = _EXCHANGES[random.integers(0, 256, count, np.uint8)]
    return drawn


def facilities(random: np.random.Generator, count: int) -> NDArray[np.int32]:
    """Facilities to which trades off the exchanges are reported."""
    drawn: NDArray[np.int32] = _TRFS[random.integers(0, 256, count, np.uint8)]
    return drawn
