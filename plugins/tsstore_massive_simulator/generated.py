"""A believable market made from a seed: the same seed, ticker and day always give the same rows.

Every ticker and day is made on its own, so any past day costs only itself. A price path through the
day is made first; quotes stand around it, trades happen at the quotes, bars are built from the
trades. From the days when the vendor began to show fractional shares, there are some.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache, partial
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import bars, corporate, draws, stockextras
from tsstore_massive_simulator.calendar import (
    FIRST_DAY,
    MINUTE_NS,
    Session,
    day_start_ns,
    market_days,
    session,
)
from tsstore_massive_simulator.cells import DECIMALS_SINCE
from tsstore_massive_simulator.listings import DELISTED, Listing, stock_listings
from tsstore_massive_simulator.names import ticker_names
from tsstore_massive_simulator.rows import Kind, Rows, empty, joined, renamed
from tsstore_massive_simulator.schedules import ExtendedHours, Schedule
from tsstore_massive_simulator.walks import ANCHOR, Walks, random_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date

    from numpy.typing import NDArray

#: Trades a day of the busiest ticker; the one of rank n has a fraction 1/n of them.
_BUSIEST_TRADES = 60_000
_FEWEST_TRADES = 30
_YEARLY_GROWTH = 1.25
_GROWN_YEAR = 2026
_QUOTES_PER_TRADE = 4
#: What is remembered, in days of one ticker: 4 MB of trades or 14 MB of quotes of the busiest.
_CACHED_TICK_DAYS = 64
_CACHED_BAR_DAYS = 8192

_DAILY_MOVE = 0.012

# Codes of the sets of conditions: bit 0 odd lot, bit 1 intermarket sweep, bit 2 extended hours.
_ODD_LOT, _SWEEP, _EXTENDED = 1, 2, 4
_TRADE_SETS = (
    *((), (37,), (14,), (14, 37), (12,), (12, 37), (12, 14), (12, 14, 37)),
    *((17, 41), (16,), (8, 41), (15,), (2,), (53,)),
)
_AUCTIONS = (8, 9, 10, 11)  # open and its official copy, close and its official copy
_RARE = (12, 13)
_QUOTE_SETS = ((), (1,), (604,))

_OFF_EXCHANGE = 4


@dataclass(frozen=True)
class _Ticker:
    name: str
    rank: int
    trades_a_day: int
    anchor_price: float
    tape: int


class GeneratedMarket:
    """US stocks since the vendor's first day, as many as asked for.

    Args:
        seed: another seed is another market.
        tickers: how many, or which.
    """

    name = "stocks"
    schedule: Schedule = ExtendedHours()
    live = True
    revised_share = 0.002

    def __init__(self, seed: int = 1, tickers: int | Sequence[str] = 30) -> None:
        self._seed = seed
        names = ticker_names(tickers) if isinstance(tickers, int) else list(tickers)
        self._sorted = tuple(sorted(names))
        names.append(DELISTED.ticker)
        self._tickers = {name: self._describe(rank, name) for rank, name in enumerate(names, 1)}
        self._walks = Walks(seed, self._anchor_price, _span, _DAILY_MOVE)
        self._listings = stock_listings(self._sorted)
        self._splits = corporate.splits_of(names, seed)
        self._splits_of = _by_ticker(names, self._splits)
        self._prints = lru_cache(maxsize=_CACHED_TICK_DAYS)(self._make_prints)
        self._make: dict[Kind, Callable[[str, date], Rows]] = {
            Kind.TRADES: lru_cache(maxsize=_CACHED_TICK_DAYS)(self._make_trades),
            Kind.QUOTES: lru_cache(maxsize=_CACHED_TICK_DAYS // 4)(self._make_quotes),
            Kind.MINUTES: lru_cache(maxsize=_CACHED_BAR_DAYS)(self._make_minutes),
            Kind.DAYS: lru_cache(maxsize=_CACHED_BAR_DAYS)(self._make_day),
            Kind.LULD: self._make_bands,
            Kind.IMBALANCES: self._make_imbalances,
            Kind.FAIR_VALUES: self._make_fair_values,
        }
        self._listed_on = lru_cache(maxsize=64)(self._list_on)

    def tickers(self) -> Sequence[str]:
        """Every ticker there is at present, in order of bytes."""
        return self._sorted

    def listings(self) -> Sequence[Listing]:
        """What is known of the tickers, those of the past included."""
        return self._listings

    def splits(self) -> Sequence[corporate.Split]:
        """Every split, ascending by day."""
        return self._splits

    @cached_property
    def _dividends(self) -> Sequence[corporate.Dividend]:
        return corporate.dividends_of(self._sorted, self._seed, self._price_on)

    def dividends(self) -> Sequence[corporate.Dividend]:
        """Every dividend, ascending by day."""
        return self._dividends

    def days(self, first: date, last: date) -> Sequence[date]:
        """Market days from `first` to `last`."""
        return market_days(max(first, FIRST_DAY), last)

    def played_days(self, first: date, last: date) -> Sequence[date]:
        """Every market day is played."""
        return self.days(first, last)

    def rows(self, kind: Kind, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Rows of a day, of all tickers or of some; none when the market is closed."""
        hours = session(day)
        if hours is None:
            return empty(kind)
        make = self._make.get(kind)
        if make is None:
            return empty(kind)
        listed = self._listed_on(day)
        wanted = listed if tickers is None else sorted(set(tickers) & listed.keys())
        return joined(kind, [renamed(make(listed[name], day), name) for name in wanted])

    def _list_on(self, day: date) -> dict[str, str]:
        """The present ticker by the one of a day, in order of bytes."""
        pairs = ((each.ticker_on(day), each.ticker) for each in self._listings)
        return dict(sorted((then, now) for then, now in pairs if then is not None))

    def _price_on(self, name: str, day: date) -> float:
        """The price at the start of a day."""
        return self._walks.price_on(name, day) * self._split_factor(name, day)

    def _split_factor(self, name: str, day: date) -> float:
        """How many times its comparable price a stock costs on a day."""
        splits = self._splits_of[name]
        if day < ANCHOR:
            return 1 / corporate.price_factor(splits, day, ANCHOR)
        return corporate.price_factor(splits, ANCHOR, day)

    def of_venue(self, venue: str) -> frozenset[str]:
        """Stocks have no such venues."""
        del venue
        return frozenset()

    def open_ns(self, day: date) -> int:
        """The opening bell of a day."""
        return _hours(day).open_ns

    def second_bars(self, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Bars of one second of a day."""
        return bars.window_bars(self.rows(Kind.TRADES, day, tickers), NS_PER_SECOND)

    def _anchor_price(self, name: str) -> float:
        return self._tickers[name].anchor_price

    def _describe(self, rank: int, name: str) -> _Ticker:
        random = self._random(name, 0)
        return _Ticker(
            name,
            rank,
            max(_BUSIEST_TRADES // rank, _FEWEST_TRADES),
            float(random.uniform(25, 400)),
            tape=int(random.choice([1, 2, 3, 3])),
        )

    def _random(self, name: str, *purpose: int) -> np.random.Generator:
        return random_of(self._seed, name, *purpose)

    def _middle(self, name: str, day: date, ts: NDArray[np.int64]) -> NDArray[np.float64]:
        return self._walks.prices(name, day, ts) * self._split_factor(name, day)

    def _prices(self, name: str, day: date) -> partial[NDArray[np.float64]]:
        return partial(self._middle, name, day)

    def _make_prints(self, name: str, day: date) -> Rows:
        """What makes bars: when, at what price, how much and under which conditions."""
        hours = _hours(day)
        random = self._random(name, 3, day.toordinal())
        auctions = np.array([hours.open_ns, hours.open_ns, hours.close_ns, hours.close_ns])
        auctions += np.array([210, 215, 330, 335]) * 1_000_000 + int(random.integers(0, 1_000_000))
        moments = draws.daily_moments(random, hours, self._trade_count(name, day))
        ts = np.concatenate([moments, auctions])
        ts.sort()
        at_auction = np.searchsorted(ts, auctions)
        count = len(ts)

        extended = (ts < hours.open_ns) | (ts >= hours.close_ns)
        size = draws.sizes(random, count, fractions=day >= DECIMALS_SINCE)
        codes = _SWEEP * (random.integers(0, 256, count, np.uint8) < 70).astype(np.int32)
        codes |= np.where(size < 100, _ODD_LOT, 0) | np.where(extended, _EXTENDED, 0)
        rare = np.flatnonzero(random.integers(0, 256, count, np.uint8) == 0)
        codes[rare] = random.choice(_RARE, len(rare))
        codes[at_auction] = _AUCTIONS
        size[at_auction] = random.integers(50, 500, 4)[[0, 0, 2, 2]] * 100.0

        exchange = draws.exchanges(random, count)
        middle = self._middle(name, day, ts)
        side = random.integers(-1, 2, count, np.int8) * draws.half_spread(middle)
        # Wholesalers print at the middle of a spread, which may be half a cent.
        between = (exchange == _OFF_EXCHANGE) & (side == 0)
        price = np.where(between, np.rint(middle * 200) * 5 / 1000, draws.cents(middle + side))
        price[at_auction] = price[at_auction[[0, 0, 2, 2]]]
        columns: dict[str, NDArray[Any]] = {
            "conditions": codes.astype(np.int32),
            "exchange": exchange,
            "price": np.maximum(price, 0.01),
            "sip_timestamp": ts,
            "size": size,
        }
        return Rows((name,), np.array([0, count]), columns, _TRADE_SETS)

    def _make_trades(self, name: str, day: date) -> Rows:
        prints = self._prints(name, day)
        random = self._random(name, 5, day.toordinal())
        count = len(prints)
        off_exchange = prints["exchange"] == _OFF_EXCHANGE
        reported = prints["sip_timestamp"] - random.integers(20_000, 4_000_000, count)
        trf = draws.facilities(random, count)
        columns: dict[str, NDArray[Any]] = {
            **prints.columns,
            "correction": np.zeros(count, np.int32),
            "id": 52_983_525_000_000 + np.arange(count),
            "participant_timestamp": reported,
            "sequence_number": 1000 + np.cumsum(random.integers(1, 40, count)),
            "tape": np.full(count, self._tickers[name].tape, np.uint8),
            "trf_id": np.where(off_exchange, trf, 0),
            "trf_timestamp": np.where(off_exchange, reported + 15_000, 0),
        }
        return Rows(prints.tickers, prints.starts, columns, prints.sets)

    def _trade_count(self, name: str, day: date) -> int:
        """How many trades to expect: fewer in the past, as it was."""
        growth = _YEARLY_GROWTH ** min(0, day.year - _GROWN_YEAR)
        return max(int(self._tickers[name].trades_a_day * growth), _FEWEST_TRADES)

    def _make_quotes(self, name: str, day: date) -> Rows:
        ticker, hours = self._tickers[name], _hours(day)
        random = self._random(name, 4, day.toordinal())
        ts = draws.daily_moments(random, hours, self._trade_count(name, day) * _QUOTES_PER_TRADE)
        count = len(ts)
        middle = self._middle(name, day, ts)
        half = draws.half_spread(middle) * random.integers(1, 3, count)
        no_ask = random.integers(0, 1024, count) < 2
        return Rows(
            (name,),
            np.array([0, count]),
            {
                "ask_exchange": np.where(no_ask, 0, draws.quote_exchanges(random, count)),
                "ask_price": np.where(no_ask, 0, draws.cents(middle + half)),
                "ask_size": np.where(no_ask, 0, draws.quote_sizes(random, count)),
                "bid_exchange": draws.quote_exchanges(random, count),
                "bid_price": np.maximum(draws.cents(middle - half), 0.01),
                "bid_size": draws.quote_sizes(random, count),
                "conditions": np.ones(count, np.int32),
                "indicators": 2 * (random.integers(0, 256, count, np.uint8) < 20).astype(np.int32),
                "participant_timestamp": ts - random.integers(20_000, 400_000, count),
                "sequence_number": 1000 + np.cumsum(random.integers(1, 60, count)),
                "sip_timestamp": ts,
                "tape": np.full(count, ticker.tape, np.uint8),
            },
            _QUOTE_SETS,
        )

    def _make_bands(self, name: str, day: date) -> Rows:
        tape, random = self._tickers[name].tape, self._random(name, 6, day.toordinal())
        return stockextras.bands(name, _hours(day), tape, self._prices(name, day), random)

    def _make_imbalances(self, name: str, day: date) -> Rows:
        random = self._random(name, 7, day.toordinal())
        return stockextras.imbalances(name, _hours(day), self._prices(name, day), random)

    def _make_fair_values(self, name: str, day: date) -> Rows:
        random = self._random(name, 8, day.toordinal())
        return stockextras.fair_values(name, _hours(day), self._prices(name, day), random)

    def _make_minutes(self, name: str, day: date) -> Rows:
        return bars.window_bars(self._prints(name, day), MINUTE_NS)

    def _make_day(self, name: str, day: date) -> Rows:
        return bars.day_bars(self._prints(name, day), day_start_ns(day))


def _by_ticker(
    names: Iterable[str], splits: Iterable[corporate.Split]
) -> dict[str, list[corporate.Split]]:
    found: dict[str, list[corporate.Split]] = {name: [] for name in names}
    for split in splits:
        found[split.ticker].append(split)
    return found


def _hours(day: date) -> Session:
    hours = session(day)
    if hours is None:
        raise ValueError(f"the market is closed on {day}")
    return hours


def _span(day: date) -> tuple[int, int]:
    hours = _hours(day)
    return hours.first_ns, hours.last_ns
