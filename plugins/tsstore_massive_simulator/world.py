"""What all connections and requests of a simulator share."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass, field, replace
from datetime import date
from typing import TYPE_CHECKING

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.calendar import day_end_ns
from tsstore_massive_simulator.playback import Playback, replay_of
from tsstore_massive_simulator.sources import Timing
from tsstore_massive_simulator.tape import Tape, Wanted

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.clock import Clock
    from tsstore_massive_simulator.faults import Faults
    from tsstore_massive_simulator.market import Market
    from tsstore_massive_simulator.plans import Plan
    from tsstore_massive_simulator.recording import RecordedTape, Recording

#: Of each market; a connection plays one at a time, and two at midnight.
_TAPES_MAX = 2
STOCKS = "stocks"


@dataclass
class World:
    """The markets, their time, and what goes wrong.

    Attributes:
        markets: what is played, by name; stocks are always there.
        playbacks: the time of each; they share one unless they are read as fast as possible.
        speed: of replays that a connection asks for; None is as fast as it reads.
        clock: the real one.
        keys: API keys that are good; every key when empty.
        faults: what goes wrong.
        plans: what clients have paid for, by market; everything where there is none.
        recording: what the socket of stocks plays in place of the market.
        events_sent: events by channel.
        replies: REST answers by HTTP status.
    """

    markets: Mapping[str, Market]
    playbacks: Mapping[str, Playback]
    speed: float | None
    clock: Clock
    keys: frozenset[str]
    faults: Faults
    plans: Mapping[str, Plan] = field(default_factory=dict)
    recording: Recording | None = None
    events_sent: Counter[str] = field(default_factory=Counter)
    replies: Counter[int] = field(default_factory=Counter)
    _tapes: OrderedDict[tuple[object, ...], Tape] = field(default_factory=OrderedDict)
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def now_ns(self) -> int:
        """The instant in the markets: that of the one that is read fastest."""
        return max(playback.now_ns() for playback in self.playbacks.values())

    def horizon_ns(self) -> int:
        """Nothing later has happened: the present of a generated market, the end of the files."""
        stocks = self.markets[STOCKS]
        if stocks.live:
            return self.now_ns()
        return day_end_ns(stocks.days(date.min, date.max)[-1])

    def playback_for(self, market: Market, day: date | None) -> Playback:
        """The common playback, or one of a single day from its first trade on."""
        if day is None:
            return self.playbacks[market.name]
        first_ns = market.schedule.span(day)[0]
        return replay_of([day], first_ns, self.speed, self.clock)

    async def tape(self, market: Market, day: date, wanted: Wanted) -> Tape | RecordedTape:
        """The events of a day of a market for some topics; the last ones are kept."""
        if self.recording is not None and market.name == STOCKS:
            return self.recording.tape(day)
        timing = self._timing(market)
        key = (market.name, day, timing, frozenset(wanted.items()))
        async with self._loading:
            if key not in self._tapes:
                while len(self._tapes) >= _TAPES_MAX * len(self.markets):
                    self._tapes.popitem(last=False)
                self._tapes[key] = await asyncio.to_thread(Tape, market, day, wanted, timing)
            self._tapes.move_to_end(key)
            return self._tapes[key]

    def delay_ns(self, market: str) -> int:
        """How late the socket tells of a market."""
        plan = self.plans.get(market)
        return int(self.faults.number("delay", plan.delay_s if plan else 0) * NS_PER_SECOND)

    def _timing(self, market: Market) -> Timing:
        share = self.faults.number("revised_bars", market.revised_share)
        late_ns = int(self.faults.number("late_bars", 0) * NS_PER_SECOND)
        usual = Timing(revised_share=share)
        return replace(
            usual, second_ns=usual.second_ns + late_ns, minute_ns=usual.minute_ns + late_ns
        )
