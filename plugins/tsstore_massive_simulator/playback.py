"""What time it is in the market that is played.

REST answers show what happened up to `now_ns`; connections are sent the events that are due up to
`until_ns`. All connections share one playback, so one that comes back has missed what was played
meanwhile, as with the vendor; a subscription with a `date` gets a playback of its own.
"""

from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Protocol

from tsstore.times import MAX_NS
from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import (
    day_end_ns,
    day_of,
    hours,
    latest_market_day,
    session,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tsstore.clock import Clock
    from tsstore_massive_simulator.market import Market

#: How long after the last trade of a day its last bars may still come.
_AFTER_HOURS_NS = 15 * NS_PER_SECOND


class Playback(Protocol):
    """The clock of a market.

    Attributes:
        as_fast_as_read: whether events are sent as fast as the reader takes them.
    """

    as_fast_as_read: bool

    def begin(self) -> int:
        """Let the time run if it does not yet; return after which instant events are to come."""
        ...

    def now_ns(self) -> int:
        """The instant in the market."""
        ...

    def until_ns(self) -> int:
        """Events due up to this instant may be sent."""
        ...

    def days(self, market: Market, first_ns: int, last_ns: int) -> Sequence[date]:
        """Days of a market that are played between two instants, ascending."""
        ...

    def reaching(self, due_ns: int) -> None:
        """Events due up to an instant are about to be sent."""
        ...

    def reached(self, due_ns: int) -> None:
        """Events due up to an instant were sent."""
        ...

    def seconds_to(self, due_ns: int) -> float:
        """How long to wait for an instant, at the least."""
        ...


class Live:
    """The present."""

    as_fast_as_read = False

    def __init__(self, clock: Clock) -> None:
        self._clock = clock

    def begin(self) -> int:
        """Events are to come from now on."""
        return self._clock.now_ns()

    def now_ns(self) -> int:
        """The instant in the market."""
        return self._clock.now_ns()

    def until_ns(self) -> int:
        """Events due up to this instant may be sent."""
        return self._clock.now_ns()

    def days(self, market: Market, first_ns: int, last_ns: int) -> Sequence[date]:
        """Days of a market that are played between two instants, ascending."""
        return _between(market, date.min, date.max, first_ns, last_ns)

    def reaching(self, due_ns: int) -> None:
        """The present does not depend on readers."""

    def reached(self, due_ns: int) -> None:
        """The present does not depend on readers."""

    def seconds_to(self, due_ns: int) -> float:
        """How long to wait for an instant."""
        return (due_ns - self.now_ns()) / NS_PER_SECOND


class Replay:
    """Days at a multiple of their speed.

    Args:
        days: what to play, ascending, at least one.
        start_ns: where to begin.
        speed: 60 plays an hour in a minute.
        clock: the real one.
        skips_nights: whether the hours between the days, when stocks are closed, are skipped;
            what other markets do meanwhile then comes all at once.
    """

    as_fast_as_read = False

    def __init__(
        self,
        days: Sequence[date],
        start_ns: int,
        speed: float,
        clock: Clock,
        *,
        skips_nights: bool = True,
    ) -> None:
        self._days = days
        spans = [(max(first, start_ns), last) for first, last in map(_span, days)]
        if not skips_nights:
            spans = [(start_ns, spans[-1][1])]
        self._spans = [(first, last) for first, last in spans if first <= last] or spans[-1:]
        self._speed = speed
        self._clock = clock
        self._started_at: float | None = None

    def begin(self) -> int:
        """Let the time run if it does not yet; return after which instant events are to come."""
        if self._started_at is not None:
            return self.now_ns()
        self._started_at = self._clock.monotonic()
        return self._spans[0][0] - 1

    def now_ns(self) -> int:
        """The instant in the market."""
        if self._started_at is None:
            return self._spans[0][0]
        passed = int((self._clock.monotonic() - self._started_at) * self._speed * NS_PER_SECOND)
        for first, last in self._spans:
            if passed <= last - first:
                return first + passed
            passed -= last - first
        # Corrections of the last day's bars come long after its end.
        return day_end_ns(day_of(self._spans[-1][1]))

    def until_ns(self) -> int:
        """Events due up to this instant may be sent."""
        return self.now_ns()

    def days(self, market: Market, first_ns: int, last_ns: int) -> Sequence[date]:
        """Days of a market that are played between two instants, ascending."""
        return _between(market, self._days[0], self._days[-1], first_ns, last_ns)

    def reaching(self, due_ns: int) -> None:
        """The time does not depend on readers."""

    def reached(self, due_ns: int) -> None:
        """The time does not depend on readers."""

    def seconds_to(self, due_ns: int) -> float:
        """How long to wait for an instant, at the least."""
        return (due_ns - self.now_ns()) / NS_PER_SECOND / self._speed


class AsFastAsRead:
    """Days as fast as readers take them; the time is that of the last event on its way to anyone.

    Args:
        days: what to play, ascending, at least one.
        start_ns: where to begin.
    """

    as_fast_as_read = True

    def __init__(self, days: Sequence[date], start_ns: int) -> None:
        self._days = days
        self._now_ns = self._reached_ns = start_ns - 1

    def begin(self) -> int:
        """Events are to come after those that were sent already."""
        return self._reached_ns

    def now_ns(self) -> int:
        """The instant in the market: what a reader has seen happen, has happened for everyone."""
        return self._now_ns

    def until_ns(self) -> int:
        """Everything may be sent."""
        return MAX_NS

    def days(self, market: Market, first_ns: int, last_ns: int) -> Sequence[date]:
        """Days of a market that are played between two instants, ascending."""
        return _between(market, self._days[0], self._days[-1], first_ns, last_ns)

    def reaching(self, due_ns: int) -> None:
        """Events due up to an instant are about to be sent."""
        self._now_ns = max(self._now_ns, due_ns)

    def reached(self, due_ns: int) -> None:
        """Events due up to an instant were sent."""
        self._reached_ns = max(self._reached_ns, due_ns)

    def seconds_to(self, due_ns: int) -> float:
        """There is nothing to wait for."""
        del due_ns
        return 0.0


def playback_of(
    market: Market,
    clock: Clock,
    speed: float | None = 1.0,
    start_ns: int | None = None,
    *,
    skips_nights: bool = True,
) -> Playback:
    """How a market is played.

    Without a start, files are played from their first day on; a generated market is live while
    trading goes on, and otherwise repeats its latest market day from the opening bell.

    Args:
        market: what is played.
        clock: the real one.
        speed: None plays as fast as it is read.
        start_ns: where to begin.
        skips_nights: see `Replay`.
    """
    today = day_of(clock.now_ns())
    if start_ns is None and market.live:
        if speed == 1.0 and _is_trading(clock.now_ns()):
            return Live(clock)
        latest = hours(latest_market_day(day_of(clock.now_ns() - 86_400 * NS_PER_SECOND)))
        start_ns = latest.first_ns if speed is None else latest.open_ns
    if start_ns is None:
        start_ns = hours(_first_day(market)).first_ns
    days = market.played_days(day_of(start_ns), today)
    days = days or [day_of(start_ns)]
    return replay_of(days, start_ns, speed, clock, skips_nights=skips_nights)


def playbacks_of(
    markets: Mapping[str, Market],
    clock: Clock,
    speed: float | None,
    start_ns: int | None,
    *,
    skips_nights: bool = True,
) -> dict[str, Playback]:
    """The time of each market: that of stocks for all, unless readers decide how fast it goes."""

    def made() -> Playback:
        return playback_of(markets["stocks"], clock, speed, start_ns, skips_nights=skips_nights)

    common = made()
    if not common.as_fast_as_read:
        return dict.fromkeys(markets, common)
    return {name: made() for name in markets}


def replay_of(
    days: Sequence[date],
    start_ns: int,
    speed: float | None,
    clock: Clock,
    *,
    skips_nights: bool = True,
) -> Playback:
    """A replay of some days; no speed plays as fast as it is read."""
    if speed is None:
        return AsFastAsRead(days, start_ns)
    return Replay(days, start_ns, speed, clock, skips_nights=skips_nights)


def _first_day(market: Market) -> date:
    played = market.played_days(day_of(0), day_of(MAX_NS))
    return (played or market.days(day_of(0), day_of(MAX_NS)))[0]


def _is_trading(ns: int) -> bool:
    today = session(day_of(ns))
    return today is not None and today.first_ns <= ns < today.last_ns


def _between(
    market: Market, first: date, last: date, first_ns: int, last_ns: int
) -> Sequence[date]:
    day_of = market.schedule.day_of
    return market.played_days(max(first, day_of(first_ns)), min(last, day_of(last_ns)))


def _span(day: date) -> tuple[int, int]:
    session_hours = hours(day)
    return session_hours.first_ns, session_hours.last_ns + _AFTER_HOURS_NS
