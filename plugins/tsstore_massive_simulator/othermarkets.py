"""Options, indices, currencies, crypto and futures made from a seed.

Made as stocks are: every instrument and day on its own, a price path first, quotes around it,
trades at the quotes, bars from the trades. Rows have the columns that the vendor tells of the
market, with `sip_timestamp` for the instant that orders them.
"""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import bars
from tsstore_massive_simulator.calendar import MINUTE_NS
from tsstore_massive_simulator.instruments import KITS
from tsstore_massive_simulator.rows import Kind, Rows, empty, joined
from tsstore_massive_simulator.walks import Walks, evenly, moments, random_of

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive_simulator.corporate import Dividend, Split
    from tsstore_massive_simulator.listings import Listing

_MS = 1_000_000
_CACHED_DAYS = 64
_FAIR_VALUES_A_DAY = 400
_QUOTES_PER_TRADE = 3
_OPTION_SETS = ((), (209,), (219,), (227, 232))
_CRYPTO_SETS = ((), (1,), (2,))
_EXCHANGES = {"options": (302, 312, 322, 300), "crypto": (1, 2, 6, 23), "forex": (44, 48)}

Columns = dict[str, "NDArray[Any]"]


class OtherMarket:
    """A market that is not stocks, with a few instruments.

    Args:
        name: options, indices, forex, crypto or futures.
        seed: another seed is another market.
    """

    live = True
    revised_share = 0.002

    def __init__(self, name: str, seed: int = 1) -> None:
        kit = KITS[name]
        self.name = name
        self.schedule = kit.schedule
        self._listings = kit.listings()
        self._instruments = {each.ticker: each for each in kit.instruments}
        self._sorted = tuple(sorted(self._instruments))
        self._seed = seed
        self._walks = Walks(seed, self._anchor_price, self.schedule.span, kit.daily_move)
        self._make = {
            kind: lru_cache(maxsize=_CACHED_DAYS)(make) for kind, make in self._makers().items()
        }

    def _makers(self) -> Mapping[Kind, Any]:
        """What makes the kinds of rows that this market has."""
        made = {Kind.MINUTES: self._minutes, Kind.DAYS: self._day}
        if self.name == "indices":
            return made | {Kind.VALUES: self._values}
        made[Kind.QUOTES] = self._quotes
        if self.name != "forex":
            made[Kind.TRADES] = self._trades
        if self.name != "futures":
            made[Kind.FAIR_VALUES] = self._fair_values
        return made

    def tickers(self) -> Sequence[str]:
        """Every ticker, in order of bytes."""
        return self._sorted

    def of_venue(self, venue: str) -> frozenset[str]:
        """Tickers that trade at a venue."""
        return frozenset(name for name, each in self._instruments.items() if each.venue == venue)

    def listings(self) -> Sequence[Listing]:
        """What is known of the tickers."""
        return self._listings

    def splits(self) -> Sequence[Split]:
        """Nothing here splits."""
        return ()

    def dividends(self) -> Sequence[Dividend]:
        """Nothing here pays."""
        return ()

    def days(self, first: date, last: date) -> Sequence[date]:
        """Days from `first` to `last` on which the market trades, ascending."""
        return self.schedule.days(first, last)

    def played_days(self, first: date, last: date) -> Sequence[date]:
        """Every day is played."""
        return self.days(first, last)

    def rows(self, kind: Kind, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Rows of a day, of all tickers or of some; none when the market is closed."""
        make = self._make.get(kind)
        if make is None or not self.schedule.days(day, day):
            return empty(kind)
        wanted = self._sorted if tickers is None else sorted(set(tickers) & set(self._sorted))
        return joined(kind, [make(name, day) for name in wanted])

    def second_bars(self, day: date, tickers: Sequence[str] | None = None) -> Rows:
        """Bars of one second of a day."""
        if not self.schedule.days(day, day):
            return empty(Kind.MINUTES)
        wanted = self._sorted if tickers is None else sorted(set(tickers) & set(self._sorted))
        made = [bars.plain_bars(self._prints(name, day), NS_PER_SECOND) for name in wanted]
        return joined(Kind.MINUTES, made)

    def open_ns(self, day: date) -> int:
        """When trading begins."""
        return self.schedule.span(day)[0]

    def _anchor_price(self, name: str) -> float:
        return self._instruments[name].price

    def _random(self, name: str, *purpose: int) -> np.random.Generator:
        return random_of(self._seed, name, *purpose)

    def _moments(self, random: np.random.Generator, day: date, expected: int) -> NDArray[np.int64]:
        first_ns, last_ns = self.schedule.span(day)
        return moments(random, first_ns, expected, evenly(first_ns, last_ns))

    def _on_ticks(self, name: str, price: NDArray[np.float64]) -> NDArray[np.float64]:
        """Prices that may be asked, none of them zero."""
        tick = self._instruments[name].tick
        return np.asarray(np.maximum(np.rint(price / tick), 1) * tick).round(8)

    def _rows(self, name: str, columns: Columns, sets: Any = ((),)) -> Rows:
        return Rows((name,), np.array([0, len(columns["sip_timestamp"])]), columns, sets)

    def _prints(self, name: str, day: date) -> Rows:
        """What makes bars, in the shape of trades: trades, bids of quotes, or values."""
        kind = {"indices": Kind.VALUES, "forex": Kind.QUOTES}.get(self.name, Kind.TRADES)
        rows = self._make[kind](name, day)
        price = {"indices": "value", "forex": "bid_price"}.get(self.name, "price")
        count = len(rows)
        return self._rows(
            name,
            {
                "conditions": np.zeros(count, np.int32),
                "price": rows[price],
                "size": rows.columns.get("size", np.ones(count)),
                "sip_timestamp": rows["sip_timestamp"],
            },
        )

    def _minutes(self, name: str, day: date) -> Rows:
        return bars.plain_bars(self._prints(name, day), MINUTE_NS)

    def _day(self, name: str, day: date) -> Rows:
        return bars.plain_bars(self._prints(name, day), None, self.schedule.midnight(day))

    def _values(self, name: str, day: date) -> Rows:
        random = self._random(name, 3, day.toordinal())
        ts = self._moments(random, day, self._instruments[name].events_a_day)
        value = self._on_ticks(name, self._walks.prices(name, day, ts))
        return self._rows(name, {"value": value, "sip_timestamp": ts})

    def _fair_values(self, name: str, day: date) -> Rows:
        ts = self._moments(self._random(name, 6, day.toordinal()), day, _FAIR_VALUES_A_DAY)
        value = self._walks.prices(name, day, ts).round(6)
        return self._rows(name, {"value": value, "sip_timestamp": ts})

    def _trades(self, name: str, day: date) -> Rows:
        random = self._random(name, 3, day.toordinal())
        ts = self._moments(random, day, self._instruments[name].events_a_day)
        count = len(ts)
        step = self._instruments[name].tick * random.integers(-1, 2, count)
        columns: Columns = {
            "price": self._on_ticks(name, self._walks.prices(name, day, ts) + step),
            "sip_timestamp": ts,
        }
        if self.name == "options":
            columns |= {
                "conditions": random.integers(0, len(_OPTION_SETS), count).astype(np.int32),
                "exchange": self._exchanges(random, count),
                "participant_timestamp": ts - random.integers(20_000, 400_000, count),
                "sequence_number": _sequence(random, count),
                "size": random.integers(1, 50, count).astype(np.float64),
            }
            return self._rows(name, columns, _OPTION_SETS)
        if self.name == "futures":
            columns |= {
                "report_sequence": np.arange(1, count + 1),
                "sequence_number": _sequence(random, count),
                "size": random.integers(1, 12, count).astype(np.float64),
            }
            return self._rows(name, columns)
        columns |= {
            "conditions": random.integers(1, len(_CRYPTO_SETS), count).astype(np.int32),
            "exchange": self._exchanges(random, count),
            "id": 14_272_084 + np.cumsum(random.integers(1, 9, count)),
            "participant_timestamp": ts,
            "received_timestamp": _received(random, ts),
            "size": (random.integers(1, 200_000_000, count) / 1e8).round(8),
        }
        return self._rows(name, columns, _CRYPTO_SETS)

    def _quotes(self, name: str, day: date) -> Rows:
        random, instrument = self._random(name, 4, day.toordinal()), self._instruments[name]
        per_trade = 1 if self.name == "forex" else _QUOTES_PER_TRADE
        ts = self._moments(random, day, instrument.events_a_day * per_trade)
        count = len(ts)
        bid = self._on_ticks(name, self._walks.prices(name, day, ts))
        columns: Columns = {
            "bid_price": bid,
            "ask_price": (bid + instrument.tick * random.integers(1, 4, count)).round(8),
            "sip_timestamp": ts,
        }
        if self.name == "forex":
            exchange = self._exchanges(random, count)
            return self._rows(
                name,
                columns
                | {
                    "ask_exchange": exchange,
                    "bid_exchange": exchange,
                    "participant_timestamp": ts,
                },
            )
        if self.name == "crypto":
            columns |= {
                "bid_size": (random.integers(1, 10**7, count) / 1e6).round(6),
                "ask_size": (random.integers(1, 10**7, count) / 1e6).round(6),
                "exchange": self._exchanges(random, count),
                "participant_timestamp": ts,
                "received_timestamp": _received(random, ts),
            }
            return self._rows(name, columns)
        columns |= {
            "bid_size": random.integers(1, 60, count),
            "ask_size": random.integers(1, 60, count),
            "sequence_number": _sequence(random, count),
        }
        if self.name == "options":
            columns |= {
                "bid_exchange": self._exchanges(random, count),
                "ask_exchange": self._exchanges(random, count),
            }
            return self._rows(name, columns)
        no_ask = random.integers(0, 512, count) == 0
        columns |= {
            "report_sequence": np.arange(1, count + 1),
            "bid_timestamp": ts - random.integers(0, 3, count) * _MS,
            "ask_timestamp": np.where(no_ask, 0, ts - random.integers(0, 3, count) * _MS),
            "ask_price": np.where(no_ask, 0.0, columns["ask_price"]),
            "ask_size": np.where(no_ask, 0, columns["ask_size"]),
        }
        return self._rows(name, columns)

    def _exchanges(self, random: np.random.Generator, count: int) -> NDArray[np.int64]:
        exchanges = np.array(_EXCHANGES[self.name])
        return np.asarray(exchanges[random.integers(0, len(exchanges), count)])


def _sequence(random: np.random.Generator, count: int) -> NDArray[np.int64]:
    return np.asarray(1000 + np.cumsum(random.integers(1, 40, count)))


def _received(random: np.random.Generator, ts: NDArray[np.int64]) -> NDArray[np.int64]:
    """When the vendor heard of what happened; events keep their order."""
    return np.asarray(np.maximum.accumulate(ts + random.integers(5, 80, len(ts)) * _MS))


def other_markets(seed: int = 1) -> dict[str, OtherMarket]:
    """Every market besides stocks."""
    return {name: OtherMarket(name, seed) for name in KITS}
