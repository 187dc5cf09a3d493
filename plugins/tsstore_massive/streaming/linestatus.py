"""What people see of one connection; `linehealth.py` adds several up."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsstore.clock import Clock
    from tsstore_massive.backfilling.history import History
    from tsstore_massive.faults import Faults
    from tsstore_massive.missing.catchup import CatchUp
    from tsstore_massive.missing.gaps import GapFiller
    from tsstore_massive.reference.keeper import ReferenceKeeper
    from tsstore_massive.rest import RestClient
    from tsstore_massive.streaming.feed import Feed
    from tsstore_massive.streaming.sink import Sink

_RATE_PERIOD_S = 0.5
_PRICES_SHOWN_MAX = 100


class Rate:
    """Events per second between two looks.

    Attributes:
        per_s: of the last two.
    """

    def __init__(self) -> None:
        self.per_s = 0
        self._at = float("-inf")
        self._events = 0

    def note(self, now: float, events: int) -> None:
        """Look: how many there were up to a monotonic second."""
        if now - self._at >= _RATE_PERIOD_S:
            self.per_s = round((events - self._events) / (now - self._at))
            self._at, self._events = now, events


@dataclass(frozen=True)
class LineStatus:
    """Tells how a connection fares by looking at its parts, which are its attributes."""

    feed: Feed
    sink: Sink
    catch_up: CatchUp
    gaps: GapFiller
    history: History
    reference: ReferenceKeeper
    rest: RestClient
    faults: Faults
    clock: Clock
    rate: Rate = field(default_factory=Rate)

    def describe(
        self, symbols: tuple[str, ...] | None, *, down_s: float, carried: int, is_carried: bool
    ) -> dict[str, Any]:
        """How it fares, as JSON values.

        Args:
            symbols: what it is to stream; None for all of the market.
            down_s: how long it has not been streaming.
            carried: of how many topics it streams what others should.
            is_carried: whether another one streams its symbols.
        """
        sink, feed = self.sink, self.feed
        gap_count, gaps = self.gaps.describe()
        missing, missing_days = self.history.gaps()
        seen = feed.last_message
        return {
            "state": self._state(is_carried),
            "alarm": self._alarm(down_s, is_carried),
            "refused": feed.refusal,
            "symbols": None if symbols is None else len(symbols),
            "carried": carried,
            "down_s": round(down_s, 1),
            "last_message_age_s": None if seen is None else round(self.clock.monotonic() - seen, 1),
            "connections": feed.connections,
            "failures": feed.failures,
            "polls": self.catch_up.polling.rounds,
            "messages": sink.events,
            "events_per_s": self.rate.per_s,
            "rows": sink.rows,
            "commits": sink.commits,
            "lag_ms": sink.lag_ms,
            "queue": len(feed.intake),
            "queue_pauses": feed.intake.pauses,
            "faults": dict(self.faults.counts),
            "rest_faults": self.rest.faults,
            "quota": self.rest.quota,
            "misfits": sorted(sink.misfits),
            "gaps": gaps + missing_days,
            "gap_count": gap_count + missing,
            "backfill": self.history.describe(),
            "reference": self.reference.describe(),
            "last": self._prices(symbols),
        }

    def _state(self, is_carried: bool) -> str:
        if is_carried:
            return "carried"
        return "polling" if self.catch_up.polling.is_on else self.feed.state

    def _alarm(self, down_s: float, is_carried: bool) -> str:
        alarms = [self.feed.alarm]
        if is_carried:
            alarms.append(f"not streaming for {down_s:.0f} s; another one carries it")
        elif self.catch_up.polling.is_on and down_s:
            alarms.append(f"not streaming for {down_s:.0f} s; bars are fetched by REST")
        if behind_s := self.catch_up.clock_behind_s:
            alarms.append(f"this machine's clock is {behind_s:.0f} s behind the vendor's")
        return "; ".join(filter(None, alarms))

    def _prices(self, symbols: tuple[str, ...] | None) -> dict[str, float]:
        prices = self.sink.prices.copy()
        names = symbols or tuple(prices)
        return {name: prices[name] for name in names[:_PRICES_SHOWN_MAX] if name in prices}
