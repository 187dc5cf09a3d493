"""The data sets of flat files: where they lie, and which bucket their rows go to.

| data set | stocks | options | indices | forex | crypto | bucket |
|---|---|---|---|---|---|---|
| minute_aggs | yes | yes | yes | yes | yes | `{ticker}/1Min/OHLCV` |
| day_aggs | yes | yes | yes | yes | yes | `{ticker}/1D/OHLCV` |
| trades | yes | yes | | | yes | `{ticker}/1Sec/TRADE` |
| quotes | yes | yes | | yes | | `{ticker}/1Min/QUOTE` |
| values | | | yes | | | `{ticker}/1Sec/VALUE` |

A ticker is spelled as in the file: `AAPL`, `O:SPY251219C00650000`, `I:SPX`, `C:EUR-USD`,
`X:BTC-USD`. Schemas are those of the streamed and backfilled rows. What a file does not tell is NaN
for VWAP and trade count of bars (files have no VWAP, those of indices no count) and 0 elsewhere,
volumes of indices included.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from tsstore.errors import InvalidArgumentError
from tsstore.timeframe import Timeframe
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc
from tsstore_massive.schemas import SCHEMAS, STREAM_GROUPS, bar_group

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.schema import Schema

Rows: TypeAlias = Literal["bars", "trades", "quotes", "values"]

#: Folder of each market in the vendor's bucket.
MARKETS: Mapping[str, str] = {
    "stocks": "us_stocks_sip",
    "options": "us_options_opra",
    "indices": "us_indices",
    "forex": "global_forex",
    "crypto": "global_crypto",
}

_ROWS: Mapping[str, Rows] = {
    "minute_aggs": "bars",
    "day_aggs": "bars",
    "trades": "trades",
    "quotes": "quotes",
    "values": "values",
}
_GROUPS = {
    "minute_aggs": STREAM_GROUPS["bars"],
    "day_aggs": bar_group("1D"),
    "trades": STREAM_GROUPS["trades"],
    "quotes": STREAM_GROUPS["quotes"],
    "values": STREAM_GROUPS["values"],
}
_AGGREGATES = ("minute_aggs", "day_aggs")
_OF_MARKET: Mapping[str, tuple[str, ...]] = {
    "stocks": (*_AGGREGATES, "trades", "quotes"),
    "options": (*_AGGREGATES, "trades", "quotes"),
    "indices": (*_AGGREGATES, "values"),
    "forex": (*_AGGREGATES, "quotes"),
    "crypto": (*_AGGREGATES, "trades"),
}
_UNNUMBERED = frozenset({("options", "trades"), ("forex", "quotes")})
#: Markets whose days begin in New York; those of the others begin in UTC.
_NEW_YORK_DAYS = frozenset({"stocks", "options", "indices"})
#: New York is behind UTC by no more.
_EDGE_NS = 5 * 3600 * NS_PER_SECOND


@dataclass(frozen=True)
class FlatSet:
    """One data set of one market.

    Attributes:
        market: such as `stocks`.
        name: such as `minute_aggs`.
    """

    market: str
    name: str

    @staticmethod
    def of(market: str, name: str) -> FlatSet:
        """The data set of that name, with or without the vendor's `_v1`.

        Raises:
            InvalidArgumentError: the market has no such data set.
        """
        short = name.removesuffix("_v1")
        if market not in MARKETS:
            raise InvalidArgumentError(f"market {market!r} is not one of {', '.join(MARKETS)}")
        if short not in _OF_MARKET[market]:
            raise InvalidArgumentError(
                f"there are no flat files {name!r} of {market}; there are "
                f"{', '.join(_OF_MARKET[market])}"
            )
        return FlatSet(market, short)

    def __str__(self) -> str:
        return f"{self.market} {self.name}"

    @property
    def rows(self) -> Rows:
        """What its rows are."""
        return _ROWS[self.name]

    @property
    def group(self) -> str:
        """Timeframe and attribute group of its buckets."""
        return _GROUPS[self.name]

    @property
    def schema(self) -> Schema:
        """The columns of its buckets."""
        return SCHEMAS[self.rows]

    @property
    def timeframe(self) -> Timeframe:
        """The timeframe of its buckets."""
        return Timeframe.parse(self.group.partition("/")[0])

    @property
    def prefix(self) -> str:
        """What the names of its files begin with."""
        return f"{MARKETS[self.market]}/{self.name}_v1/"

    @property
    def is_numbered(self) -> bool:
        """Whether a sequence or an id in its files is told by REST and the socket as well."""
        return (self.market, self.rows) not in _UNNUMBERED

    @property
    def zone(self) -> str:
        """The time zone in which its days begin."""
        return NEW_YORK if self.market in _NEW_YORK_DAYS else "UTC"

    def window(self, day: date, timezone: str) -> tuple[int, int]:
        """First and last instant of the rows of a day, nanoseconds since 1970 UTC.

        A day's bar stands at the midnight of its date in the store's zone.
        """
        first, after = _midnights(day, timezone if self.timeframe.is_calendar else self.zone)
        return first, first if self.timeframe.is_calendar else after - 1

    def times(self, day: date) -> tuple[int, int]:
        """Between which instants, nanoseconds since 1970 UTC, the times in a day's file lie.

        Of markets that never close these are some hours more: the vendor does not say where their
        days end, and their ticks have the time of the exchange, which may be before a midnight that
        was over when the vendor had them.
        """
        first, after = _midnights(day, self.zone)
        edge = 0 if self.market in _NEW_YORK_DAYS else _EDGE_NS
        return first - edge, after + edge

    def path(self, day: date) -> str:
        """The name of a day's file, in the vendor's bucket and below the archive."""
        return f"{self.prefix}{day:%Y/%m/%Y-%m-%d}.csv.gz"

    def day_of(self, path: str) -> date | None:
        """The day of a file's name; None when it is no file of this data set."""
        name = path.rpartition("/")[2]
        try:
            day = date.fromisoformat(name.removesuffix(".csv.gz"))
        except ValueError:
            return None
        return day if path == self.path(day) else None


def _midnights(day: date, zone: str) -> tuple[int, int]:
    """Of a day and of the next one, nanoseconds since 1970 UTC."""
    number = np.datetime64(day, "D").astype(np.int64)
    first, after = local_to_utc(np.array([number, number + 1]) * NS_PER_DAY, zone).tolist()
    return first, after
