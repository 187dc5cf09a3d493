"""What can be backfilled: bars of a timeframe, trades, or quotes; and the bucket each goes to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from tsstore.errors import ConfigError, InvalidKeyError
from tsstore.timeframe import Timeframe
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc
from tsstore_massive.schemas import BAR_KINDS, SCHEMAS, STREAM_GROUPS, bar_group, bucket_key

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from tsstore.schema import Schema
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market

_TICKS: tuple[Kind, ...] = ("trades", "quotes")

_NS_PER_HOUR = 3600 * NS_PER_SECOND

#: The vendor counts the bars that a bar is made of, and gives 50,000 of them per request. Minutes
#: from 04:00 to 20:00 are 960 a day; a day of seconds needs a second page anyway.
_DAYS_PER_REQUEST = {"Sec": 1, "Min": 52, "H": 52, "D": 2500, "W": 2500, "M": 2500, "Y": 5000}
#: The same where a day has 1,440 minutes; what trades round the clock, or may.
_LONG_DAYS_PER_REQUEST = _DAYS_PER_REQUEST | {"Min": 34, "H": 34}
#: Bars that the vendor counts for a day, at most.
_BASE_BARS = {"Sec": 57_600, "Min": 960, "H": 960}
_LONG_BASE_BARS = {"Sec": 86_400, "Min": 1_440, "H": 1_440}
_SHORT_DAYS = frozenset({"stocks", "options"})
#: Markets whose days begin at midnight UTC; those of the others begin at midnight in New York.
UTC_DAYS = frozenset({"forex", "crypto"})
#: Markets that trade while a day of theirs ends.
_ROUND_THE_CLOCK = frozenset({"forex", "crypto", "futures"})
#: How late rows may come: plans may be delayed by a quarter of an hour.
LATE_NS = 20 * 60 * NS_PER_SECOND


@dataclass(frozen=True)
class Dataset:
    """One kind of rows.

    Attributes:
        kind: bars, trades or quotes.
        timeframe: of the bucket the rows go to.
        market: whose symbols; it says when a day begins.
    """

    kind: Kind
    timeframe: Timeframe
    market: Market = "stocks"

    @staticmethod
    def parse(text: str) -> Dataset:
        """Read `1Min` (bars of that timeframe), `trades` or `quotes`, as in `query_start`.

        Raises:
            ConfigError: something else, or bars the vendor does not make.
        """
        for kind in _TICKS:
            if text == kind:
                return Dataset.of_stream(kind)
        try:
            timeframe = Timeframe.parse(text)
        except InvalidKeyError:
            raise ConfigError(
                f"{text!r} is neither trades nor quotes nor a timeframe such as 1Min"
            ) from None
        _check_bars(timeframe)
        return Dataset("bars", timeframe)

    @staticmethod
    def of_stream(kind: Kind) -> Dataset:
        """The rows that the socket delivers of a kind: those REST tells of it are the same."""
        timeframe = Timeframe.parse(STREAM_GROUPS[kind].partition("/")[0])
        return Dataset("bars" if kind in BAR_KINDS else kind, timeframe)

    def of(self, market: Market) -> Dataset:
        """The same kind of rows of another market."""
        return self if market == self.market else replace(self, market=market)

    @property
    def zone(self) -> str:
        """The time zone in which its days begin."""
        return "UTC" if self.market in UTC_DAYS else NEW_YORK

    def __str__(self) -> str:
        return f"{self.timeframe} bars" if self.kind == "bars" else self.kind

    @property
    def schema(self) -> Schema:
        """The columns of its buckets."""
        return SCHEMAS[self.kind]

    @property
    def group(self) -> str:
        """Timeframe and attribute group of its buckets."""
        return bar_group(str(self.timeframe)) if self.kind == "bars" else STREAM_GROUPS[self.kind]

    @property
    def coverage_group(self) -> str:
        """Timeframe and attribute group of the buckets that say which days were fetched."""
        timeframe, attribute_group = self.group.split("/")
        return f"24H/{attribute_group}_{timeframe}_BACKFILL"

    def key(self, symbol: str) -> str:
        """The bucket of a symbol as the vendor spells it. Raises InvalidKeyError."""
        return bucket_key(symbol, self.group)

    def coverage_key(self, symbol: str) -> str:
        """The bucket that says which days of a symbol were fetched. Raises InvalidKeyError."""
        return bucket_key(symbol, self.coverage_group)

    @property
    def days_per_request(self) -> int:
        """Market days that one unit of work fetches."""
        if self.kind != "bars":
            return 1
        days = _DAYS_PER_REQUEST if self.market in _SHORT_DAYS else _LONG_DAYS_PER_REQUEST
        return days[self.timeframe.unit]

    @property
    def base_bars_per_request(self) -> int:
        """Bars that the vendor counts, of such a unit of bars, at most."""
        of_day = _BASE_BARS if self.market in _SHORT_DAYS else _LONG_BASE_BARS
        return self.days_per_request * of_day.get(self.timeframe.unit, 1)

    @property
    def late_ns(self) -> int:
        """How long after the end of a day its last rows may come, nanoseconds.

        The others have traded nothing for hours when a day of theirs ends.
        """
        return LATE_NS if self.market in _ROUND_THE_CLOCK else 0

    def window(self, first: date, last: date) -> tuple[int, int]:
        """First and last instant of the rows of some days, nanoseconds since 1970 UTC.

        Days begin and end in `zone`. Bars longer than a day belong to every day of theirs, so
        their window reaches to the ends of the first and the last of these bars.
        """
        days = np.array([first, last], "M8[D]")
        return int(self.starts(days)[0]), int(self.ends(days)[1])

    def starts(self, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """The first instant of the rows of each day, int64 nanoseconds since 1970 UTC."""
        return self._calendar_unit.floor(self._midnights(days), self.zone)

    def ends(self, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
        """The last instant of the rows of each day, int64 nanoseconds since 1970 UTC."""
        return self._calendar_unit.next(self._midnights(days), self.zone) - 1

    def _midnights(self, days: NDArray[np.datetime64]) -> NDArray[np.int64]:
        return local_to_utc(days.astype("M8[D]").astype(np.int64) * NS_PER_DAY, self.zone)

    @property
    def _calendar_unit(self) -> Timeframe:
        return self.timeframe if self.timeframe.is_calendar else Timeframe(1, "D")


def _check_bars(timeframe: Timeframe) -> None:
    """Refuse bars that begin where no slot of their length does.

    The vendor's begin on the clocks of New York, a whole number of hours from those of UTC; and
    where bars of several days begin is its choice and not ours.
    """
    if timeframe.is_calendar:
        known = timeframe.count == 1
    else:
        known = _NS_PER_HOUR % timeframe.duration_ns == 0
    if not known:
        smaller = _smaller(timeframe)
        raise ConfigError(
            f"bars of {timeframe} cannot be fetched, as the vendor's begin at other times than "
            f"those of a store; fetch {smaller} and read {timeframe}, which is computed from it"
        )


def _smaller(timeframe: Timeframe) -> str:
    """The longest bars that can be fetched and make up others."""
    if timeframe.is_calendar:
        return "1D"
    lengths = {"1H": _NS_PER_HOUR, "1Min": 60 * NS_PER_SECOND}
    fitting = (name for name, ns in lengths.items() if timeframe.duration_ns % ns == 0)
    return next(fitting, "1Sec")
