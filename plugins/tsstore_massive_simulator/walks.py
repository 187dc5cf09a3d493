"""Random numbers, price paths and instants that a seed, a name and a day decide."""

from __future__ import annotations

import zlib
from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import FIRST_DAY

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

#: When prices are what one expects of the tickers; they wander both ways from there.
ANCHOR = date(2026, 7, 1)

_ANCHOR_DAY = (ANCHOR - FIRST_DAY).days
_LAST_DAY_NUMBER = 60 * 366
_KNOT_NS = 10 * NS_PER_SECOND
#: What is remembered, in days of one ticker.
_CACHED_PATHS = 64


def random_of(seed: int, name: str, *purpose: int) -> np.random.Generator:
    """A generator that depends on nothing but its arguments."""
    return np.random.default_rng([seed, zlib.crc32(name.encode()), *purpose])


class Walks:
    """Price paths of the tickers of a market.

    Args:
        seed: another seed is another market.
        anchor_price: what a ticker costs at the anchor day.
        span: first and last instant of a day, in nanoseconds.
        daily_move: deviation of the logarithm of the price from one day to the next.
    """

    def __init__(
        self,
        seed: int,
        anchor_price: Callable[[str], float],
        span: Callable[[date], tuple[int, int]],
        daily_move: float,
    ) -> None:
        self._seed = seed
        self._anchor_price = anchor_price
        self._span = span
        self._daily_move = daily_move
        self._levels = lru_cache(maxsize=None)(self._make_levels)
        self._path = lru_cache(maxsize=_CACHED_PATHS)(self._make_path)

    def price_on(self, name: str, day: date) -> float:
        """The price at the start of a day."""
        return float(np.exp(self._levels(name)[(day - FIRST_DAY).days]))

    def prices(self, name: str, day: date, ts: NDArray[np.int64]) -> NDArray[np.float64]:
        """The price at instants of a day."""
        path = self._path(name, day)
        return np.interp((ts - self._span(day)[0]) / _KNOT_NS, np.arange(len(path)), path)

    def _make_levels(self, name: str) -> NDArray[np.float64]:
        """Logarithm of the price at the start of each day since the vendor's first."""
        moves = random_of(self._seed, name, 1).normal(0, self._daily_move, _LAST_DAY_NUMBER)
        walk = np.cumsum(moves)
        walk -= walk[_ANCHOR_DAY]
        return np.asarray(np.log(self._anchor_price(name)) + walk)

    def _make_path(self, name: str, day: date) -> NDArray[np.float64]:
        """The price at each knot of the day, first to last instant."""
        first_ns, last_ns = self._span(day)
        count = (last_ns - first_ns) // _KNOT_NS + 1
        start, end = self._levels(name)[(day - FIRST_DAY).days :][:2]
        walk = np.cumsum(random_of(self._seed, name, 2, day.toordinal()).standard_normal(count))
        along = np.linspace(0, 1, count)
        walk -= walk[0] + along * (walk[-1] - walk[0])
        logs = start + along * (end - start) + walk * (self._daily_move / np.sqrt(count))
        return np.asarray(np.exp(logs))


def moments(
    random: np.random.Generator,
    first_ns: int,
    expected: int,
    intensity: tuple[NDArray[np.int64], NDArray[np.float64]],
) -> NDArray[np.int64]:
    """Instants of a day, ascending.

    Args:
        random: where chance comes from.
        first_ns: when the day begins.
        expected: how many to expect.
        intensity: nanoseconds since the beginning, and the share of the events before each.
    """
    count = max(int(random.poisson(expected)), 2)
    gaps = np.cumsum(random.standard_exponential(count + 1))
    edges, share = intensity
    offsets = np.interp(gaps[:-1] / gaps[-1], share, edges)
    return np.asarray(first_ns + offsets.astype(np.int64))


def evenly(first_ns: int, last_ns: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The intensity of a day on which every minute is like the other."""
    return np.array([0, last_ns - first_ns]), np.array([0.0, 1.0])
