"""What the plan of an API key does not include, learned from the vendor's refusals.

The vendor says it three ways (403), and what is concluded from each spares the calls that would be
answered the same:

- *entitlement*: this kind of data is not in the plan. That is believed of the symbol, and of all
  symbols of its market once some were refused and none was given. Indices are sold one by one.
- *timeframe*: the day is older than the plan's history, and so is every day before it. How far back
  the history reaches is found by asking for single days in between, which is one search for all
  symbols of a market.
- *today*: the day under way comes once it is over.

Plans change, so nothing is believed longer than `BELIEVED_NS`; what is learned is written down (see
`refusals.py`), so that the next run does not ask again at once.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal, TypeAlias

import numpy as np

from tsstore.zones import NS_PER_DAY
from tsstore_massive.datasets import UTC_DAYS
from tsstore_massive.sessions import day_of
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from tsstore.clock import Clock
    from tsstore_massive.errors import NotEntitledError

Reason: TypeAlias = Literal["entitlement", "timeframe", "today"]

#: How long a refusal is believed.
BELIEVED_NS = NS_PER_DAY
#: Symbols of a market that are refused, none being given, before the others are not asked for.
SYMBOLS_ASKED = 3

_EVERY_SYMBOL = ""


@dataclass(frozen=True)
class Refusal:
    """Something that the vendor refused.

    Attributes:
        market: such as `stocks`.
        what: was asked for, such as `1Min bars`.
        symbol: whose; empty for every symbol of the market.
        reason: which of the three.
        day: the last day that is refused, and for `today` the only one.
        asked_ns: when it was refused.
        text: what the vendor said.
    """

    market: str
    what: str
    symbol: str
    reason: Reason
    day: np.datetime64
    asked_ns: int
    text: str

    @property
    def place(self) -> tuple[str, str, str, Reason]:
        """What it speaks of; the newest of a place is the one that counts."""
        return self.market, self.what, self.symbol, self.reason


def reason_of(error: NotEntitledError) -> Reason:
    """Which of the three a refusal is, by its text."""
    text = str(error)
    if "timeframe" in text:
        return "timeframe"
    return "today" if "before end of day" in text else "entitlement"


class Allowance:
    """What is known of a key's plan; thread-safe.

    Args:
        clock: says when to forget.
        known: what earlier runs have learned.
        on_new: told each refusal that is new, to write it down.
    """

    def __init__(
        self,
        clock: Clock,
        known: Iterable[Refusal] = (),
        on_new: Callable[[Refusal], None] = lambda _: None,
    ) -> None:
        self._clock = clock
        self._on_new = on_new
        self._lock = threading.Lock()
        self._known = {refusal.place: refusal for refusal in known}
        self._given: set[tuple[str, str]] = set()
        self._refused: dict[tuple[str, str], set[str]] = {}

    def verdict(
        self, place: str, symbol: str, days: NDArray[np.datetime64]
    ) -> tuple[int, Refusal | None]:
        """Whether the first of some days are refused, and how many days are so in a row.

        Args:
            place: what is asked for, such as `1Min bars`.
            symbol: as the vendor spells it.
            days: market days, datetime64[D], ascending, at least one.
        """
        if not self._known:
            return len(days), None
        market = market_of(symbol)
        for whose in (_EVERY_SYMBOL, symbol):
            refusal = self._find(market, place, whose, "entitlement")
            if refusal is not None:
                return len(days), refusal
        old = self._find(market, place, _EVERY_SYMBOL, "timeframe")
        if old is not None and days[0] <= old.day:
            return int(np.searchsorted(days, old.day, side="right")), old
        today = self._find(market, place, _EVERY_SYMBOL, "today")
        if today is not None and days[-1] >= today.day:
            before = int(np.searchsorted(days, today.day))
            return (before, None) if before else (len(days), today)
        return len(days), None

    def given(self, place: str, symbol: str) -> None:
        """The vendor gave something."""
        self._given.add((market_of(symbol), place))

    def refused(
        self, error: NotEntitledError, place: str, symbol: str, days: NDArray[np.datetime64]
    ) -> Refusal:
        """The vendor refused some days of a symbol; what is concluded from it."""
        now_ns = self._clock.now_ns()
        market, reason = market_of(symbol), reason_of(error)
        day = (
            _day_of(market, now_ns)
            if reason == "today"
            else days[0 if reason == "timeframe" else -1]
        )
        whose = symbol if reason == "entitlement" else _EVERY_SYMBOL
        refusal = Refusal(market, place, whose, reason, day, now_ns, _words(error))
        with self._lock:
            self._learn(refusal)
            if reason == "entitlement" and market != "indices":
                self._conclude(refusal)
        return refusal

    def _conclude(self, refusal: Refusal) -> None:
        """Believe it of every symbol of the market once enough were refused."""
        place = refusal.market, refusal.what
        symbols = self._refused.setdefault(place, set())
        symbols.add(refusal.symbol)
        if len(symbols) >= SYMBOLS_ASKED and place not in self._given:
            self._learn(replace(refusal, symbol=_EVERY_SYMBOL))

    def _learn(self, refusal: Refusal) -> None:
        before = self._known.get(refusal.place)
        if before is not None and self._is_believed(before) and before.day >= refusal.day:
            return
        self._known[refusal.place] = refusal
        self._on_new(refusal)

    def _find(self, market: str, what: str, symbol: str, reason: Reason) -> Refusal | None:
        refusal = self._known.get((market, what, symbol, reason))
        return refusal if refusal is not None and self._is_believed(refusal) else None

    def _is_believed(self, refusal: Refusal) -> bool:
        now_ns = self._clock.now_ns()
        if refusal.reason == "today":
            return bool(_day_of(refusal.market, now_ns) == refusal.day)
        return refusal.asked_ns <= now_ns < refusal.asked_ns + BELIEVED_NS


def _day_of(market: str, ns: int) -> np.datetime64:
    """The day that is under way in a market."""
    if market in UTC_DAYS:
        return np.datetime64(ns // NS_PER_DAY, "D")
    return np.datetime64(day_of(ns), "D")


def _words(error: NotEntitledError) -> str:
    """What the vendor said, without the path that was asked for and the advertisement."""
    text = str(error).partition(": ")[2] or str(error)
    return text.partition(" Please upgrade")[0].strip(" .")
