"""What is listed: names, types and exchanges of tickers, since when, until when, and renames."""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING

from tsstore_massive_simulator.calendar import FIRST_DAY

if TYPE_CHECKING:
    from collections.abc import Iterable

_FUNDS = frozenset({"SPY", "QQQ", "IWM", "EEM", "USO", "BNO"})

#: Tickers that were called otherwise before a day.
_FORMER = {"META": ("FB", date(2022, 6, 9)), "QQQ": ("QQQQ", date(2011, 3, 23))}


@dataclass(frozen=True)
class Listing:
    """A company or fund, which keeps its identity when its ticker changes.

    Attributes:
        ticker: the present one, or the last.
        name: in full.
        type: one of the codes of the types endpoint.
        exchange: MIC of the primary exchange; empty where there is none.
        market: as the tickers endpoint names it: stocks, options, indices, fx or crypto.
        delisted: the first day without it; None while it is listed.
        former: the ticker before, when it was renamed.
        renamed: the first day under the present ticker, when it was renamed.
    """

    ticker: str
    name: str
    type: str
    exchange: str
    market: str = "stocks"
    delisted: date | None = None
    former: str | None = None
    renamed: date | None = None

    def ticker_on(self, day: date) -> str | None:
        """Under which ticker it trades on a day; None once it is delisted."""
        if self.delisted is not None and day >= self.delisted:
            return None
        return self.former if self.renamed is not None and day < self.renamed else self.ticker

    @property
    def tickers(self) -> tuple[str, ...]:
        """Every ticker it ever had, the present one first."""
        return (self.ticker,) if self.former is None else (self.ticker, self.former)

    @property
    def changes(self) -> tuple[tuple[date, str], ...]:
        """Since when it had which ticker, the latest first."""
        if self.former is None or self.renamed is None:
            return ((FIRST_DAY, self.ticker),)
        return ((self.renamed, self.ticker), (FIRST_DAY, self.former))

    @property
    def cik(self) -> str:
        """A number as the SEC gives."""
        return f"{zlib.crc32(self.ticker.encode()) % 2_000_000:010d}"

    @property
    def figi(self) -> str:
        """An identifier as OpenFIGI gives."""
        return f"BBG{zlib.adler32(self.ticker.encode()):09d}"[:12]


#: A company that is no more; it trades in a generated market until its last day.
DELISTED = Listing("OLDC", "Old Company Corp.", "CS", "XNAS", delisted=date(2024, 2, 20))


def stock_listing(ticker: str) -> Listing:
    """What is known of a stock or fund."""
    former, renamed = _FORMER.get(ticker, (None, None))
    return Listing(
        ticker,
        f"{ticker} Inc.",
        _type(ticker),
        "XNYS" if len(ticker) < 4 else "XNAS",
        former=former,
        renamed=renamed,
    )


def _type(ticker: str) -> str:
    if ticker in _FUNDS:
        return "ETF"
    return "CS" if ticker.isupper() else "PFD"


def stock_listings(tickers: Iterable[str]) -> tuple[Listing, ...]:
    """What is known of the stocks of a generated market, delisted ones included."""
    return (*map(stock_listing, tickers), DELISTED)
