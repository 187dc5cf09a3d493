"""What all connections and requests of a simulator share."""

from __future__ import annotations

import asyncio
from collections import Counter, OrderedDict
from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

from tsstore_massive_simulator.calendar import day_end_ns, hours
from tsstore_massive_simulator.playback import Playback, replay_of
from tsstore_massive_simulator.tape import Tape, Wanted

if TYPE_CHECKING:
    from tsstore.clock import Clock
    from tsstore_massive_simulator.faults import Faults
    from tsstore_massive_simulator.market import Market

_TAPES_MAX = 2


@dataclass
class World:
    """The market, its time, and what goes wrong.

    Attributes:
        market: what is played.
        playback: its time.
        speed: of replays that a connection asks for; None is as fast as it reads.
        clock: the real one.
        keys: API keys that are good; every key when empty.
        faults: what goes wrong.
        events_sent: events by channel.
        replies: REST answers by HTTP status.
    """

    market: Market
    playback: Playback
    speed: float | None
    clock: Clock
    keys: frozenset[str]
    faults: Faults
    events_sent: Counter[str] = field(default_factory=Counter)
    replies: Counter[int] = field(default_factory=Counter)
    _tapes: OrderedDict[tuple[object, ...], Tape] = field(default_factory=OrderedDict)
    _loading: asyncio.Lock = field(default_factory=asyncio.Lock)

    def horizon_ns(self) -> int:
        """Nothing later has happened: the present of a generated market, the end of the files."""
        if self.market.live:
            return self.playback.now_ns()
        return day_end_ns(self.market.days(date.min, date.max)[-1])

    def playback_for(self, day: date | None) -> Playback:
        """The common playback, or one of a single day from its first trade on."""
        if day is None:
            return self.playback
        return replay_of([day], hours(day).first_ns, self.speed, self.clock)

    async def tape(self, day: date, wanted: Wanted) -> Tape:
        """The events of a day for some topics; the last ones are kept."""
        revised = self.faults.number("revised_bars", self.market.revised_share)
        key = (day, revised, frozenset(wanted.items()))
        async with self._loading:
            if key not in self._tapes:
                while len(self._tapes) >= _TAPES_MAX:
                    self._tapes.popitem(last=False)
                self._tapes[key] = await asyncio.to_thread(Tape, self.market, day, wanted, revised)
            self._tapes.move_to_end(key)
            return self._tapes[key]
