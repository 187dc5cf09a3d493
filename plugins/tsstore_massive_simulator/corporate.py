"""Splits and dividends of a generated market.

Well-known splits happened when they really did, so that a chart of a generated ticker looks right;
others are drawn from the seed. The table has the oddities of the vendor's: a row twice with the
same id, fractional ratios, a side of zero, and splits announced for the future.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive_simulator.calendar import FIRST_DAY, market_days

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence


@dataclass(frozen=True)
class Split:
    """A split, or a row of the table that looks like one.

    Attributes:
        ticker: whose.
        day: the first day at the new price.
        old: so many shares became ...
        new: ... so many.
    """

    ticker: str
    day: date
    old: float
    new: float

    @property
    def id(self) -> str:
        """What the vendor calls it."""
        return _id(self.ticker, self.day, self.old, self.new)

    @property
    def price_factor(self) -> float:
        """What a price before the day is multiplied by to be comparable; 1 for a side of zero."""
        return self.old / self.new if self.old > 0 and self.new > 0 else 1.0


@dataclass(frozen=True)
class Dividend:
    """A dividend.

    Attributes:
        ticker: whose.
        day: the first day without it.
        amount: dollars per share.
        frequency: how often a year; 0 when only once.
    """

    ticker: str
    day: date
    amount: float
    frequency: int

    @property
    def id(self) -> str:
        """What the vendor calls it."""
        return _id(self.ticker, self.day, self.amount)


#: Ticker, day, old and new shares.
_KNOWN = (
    Split("AAPL", date(2005, 2, 28), 1, 2),
    Split("AAPL", date(2014, 6, 9), 1, 7),
    Split("AAPL", date(2020, 8, 31), 1, 4),
    Split("AAPL", date(2027, 6, 14), 1, 2),
    Split("AMZN", date(2022, 6, 6), 1, 20),
    Split("GE", date(2021, 8, 2), 8, 1),
    Split("GOOGL", date(2022, 7, 18), 1, 20),
    Split("NVDA", date(2021, 7, 20), 1, 4),
    Split("NVDA", date(2024, 6, 10), 1, 10),
    Split("NVDA", date(2024, 6, 10), 1, 10),  # the same row twice
    Split("QQQ", date(2012, 5, 14), 1, 0.625),
    Split("TSLA", date(2020, 8, 31), 1, 5),
    Split("TSLA", date(2022, 8, 25), 1, 3),
    Split("TSLA", date(2023, 3, 6), 0, 1),  # a side of zero
)
_WITHOUT = frozenset({"SPY", *(split.ticker for split in _KNOWN)})
_RATIOS = ((1, 2), (2, 3), (1, 3), (1, 10), (10, 1), (20, 1), (1, 1.5))
_SPLIT_SHARE = 0.4
_PAYER_SHARE = 0.6
_QUARTERLY_YIELD = 0.004
_SPECIAL_SHARE = 0.01
_LAST_YEAR = 2029


def splits_of(tickers: Iterable[str], seed: int) -> tuple[Split, ...]:
    """Splits of some tickers, ascending by day."""
    wanted = set(tickers)
    drawn = (split for ticker in sorted(wanted - _WITHOUT) for split in _drawn_splits(ticker, seed))
    known = (split for split in _KNOWN if split.ticker in wanted)
    return tuple(sorted((*known, *drawn), key=lambda split: (split.day, split.ticker)))


def _drawn_splits(ticker: str, seed: int) -> list[Split]:
    random = _random(ticker, seed, "splits")
    if random.random() >= _SPLIT_SHARE:
        return []
    year = int(random.integers(FIRST_DAY.year + 1, _LAST_YEAR))
    days = market_days(date(year, 1, 1), date(year, 12, 31))
    old, new = _RATIOS[int(random.integers(len(_RATIOS)))]
    return [Split(ticker, days[int(random.integers(len(days)))], old, new)]


def dividends_of(
    tickers: Iterable[str], seed: int, price_on: Callable[[str, date], float]
) -> tuple[Dividend, ...]:
    """Dividends of some tickers, ascending by day.

    Args:
        tickers: of which stocks.
        seed: another seed draws others.
        price_on: the price of a ticker at the start of a day, of which a dividend is a share.
    """
    drawn = [each for ticker in sorted(tickers) for each in _drawn(ticker, seed, price_on)]
    return tuple(sorted(drawn, key=lambda each: (each.day, each.ticker)))


def _drawn(ticker: str, seed: int, price_on: Callable[[str, date], float]) -> Iterable[Dividend]:
    random = _random(ticker, seed, "dividends")
    if random.random() >= _PAYER_SHARE:
        return
    first_month, share = int(random.integers(1, 4)), random.uniform(0.3, 1.7) * _QUARTERLY_YIELD
    for year in range(FIRST_DAY.year + 1, _LAST_YEAR):
        for month in range(first_month, 13, 3):
            (day, *_) = market_days(date(year, month, 8), date(year, month, 20))
            yield Dividend(ticker, day, round(max(price_on(ticker, day) * share, 0.01), 2), 4)
        if random.random() < _SPECIAL_SHARE:
            (day, *_) = market_days(date(year, 12, 10), date(year, 12, 20))
            yield Dividend(ticker, day, round(price_on(ticker, day) * 0.02, 2), 0)


def price_factor(splits: Sequence[Split], day: date, until: date) -> float:
    """What prices of a day are multiplied by to be comparable with those of a later one.

    Splits after `day` and up to `until` count, each once however often the table has it.
    """
    factor = 1.0
    for split in dict.fromkeys(splits):
        if day < split.day <= until:
            factor *= split.price_factor
    return factor


def declared_on(dividend: Dividend) -> date:
    """When a dividend was announced."""
    return dividend.day - timedelta(days=21)


def _random(ticker: str, seed: int, purpose: str) -> np.random.Generator:
    text = f"{seed} {ticker} {purpose}".encode()
    return np.random.default_rng(int.from_bytes(hashlib.sha256(text).digest()[:8]))


def _id(*parts: object) -> str:
    return "E" + hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()
