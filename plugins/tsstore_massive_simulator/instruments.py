"""What trades on the generated markets besides stocks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore_massive_simulator.listings import Listing
from tsstore_massive_simulator.schedules import (
    BusinessWeek,
    EveryDay,
    Globex,
    RegularHours,
)

if TYPE_CHECKING:
    from tsstore_massive_simulator.schedules import Schedule


@dataclass(frozen=True)
class Instrument:
    """A contract, index or pair.

    Attributes:
        ticker: as flat files spell it.
        name: in full.
        price: what it costs about the middle of 2026.
        tick: what its prices are multiples of.
        events_a_day: trades, or quotes or values where there are no trades.
        venue: the exchange of a future: cme, cbot, nymex or comex.
    """

    ticker: str
    name: str
    price: float
    tick: float
    events_a_day: int
    venue: str = ""


@dataclass(frozen=True)
class Kit:
    """What a market is made of.

    Attributes:
        schedule: when it trades.
        daily_move: deviation of the logarithm of a price from one day to the next.
        instruments: the busiest first.
        listed_as: what the tickers endpoint calls the market; empty when it has none of them.
    """

    schedule: Schedule
    daily_move: float
    instruments: tuple[Instrument, ...]
    listed_as: str = ""

    def listings(self) -> tuple[Listing, ...]:
        """What the tickers endpoint tells."""
        if not self.listed_as:
            return ()
        return tuple(
            Listing(each.ticker.replace("-", ""), each.name, "", "", self.listed_as)
            for each in self.instruments
        )


KITS = {
    "options": Kit(
        RegularHours(),
        0.05,
        (
            Instrument("O:SPY271217C00650000", "SPY 650 call", 31.4, 0.01, 3000),
            Instrument("O:AAPL271217C00300000", "AAPL 300 call", 14.95, 0.01, 2000),
            Instrument("O:NVDA271217P00150000", "NVDA 150 put", 7.2, 0.01, 1500),
        ),
    ),
    "indices": Kit(
        RegularHours(),
        0.01,
        (
            Instrument("I:SPX", "S&P 500", 5988.0, 0.01, 6000),
            Instrument("I:NDX", "Nasdaq 100", 21_400.0, 0.01, 6000),
            Instrument("I:VIX", "Cboe Volatility Index", 17.2, 0.01, 2000),
        ),
        "indices",
    ),
    "forex": Kit(
        BusinessWeek(),
        0.004,
        (
            Instrument("C:EUR-USD", "Euro - United States Dollar", 1.1512, 0.00001, 20_000),
            Instrument("C:USD-JPY", "United States Dollar - Yen", 148.3, 0.001, 15_000),
            Instrument("C:USD-CNH", "United States Dollar - Yuan", 6.8366, 0.0001, 5000),
        ),
        "fx",
    ),
    "crypto": Kit(
        EveryDay(),
        0.03,
        (
            Instrument("X:BTC-USD", "Bitcoin - United States Dollar", 64_021.9, 0.01, 12_000),
            Instrument("X:ETH-USD", "Ethereum - United States Dollar", 3052.8, 0.01, 8000),
            Instrument("X:DOGE-USD", "Dogecoin - United States Dollar", 0.1624, 0.00001, 2000),
        ),
        "crypto",
    ),
    "futures": Kit(
        Globex(),
        0.01,
        (
            Instrument("ESZ7", "E-mini S&P 500 December 2027", 6010.25, 0.25, 10_000, "cme"),
            Instrument("GCZ7", "Gold December 2027", 2874.3, 0.1, 5000, "comex"),
            Instrument("CLZ7", "Crude Oil December 2027", 71.42, 0.01, 4000, "nymex"),
            Instrument("ZNZ7", "10-Year T-Note December 2027", 110.5, 1 / 64, 2000, "cbot"),
        ),
    ),
}
