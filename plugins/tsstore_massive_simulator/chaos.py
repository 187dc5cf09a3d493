"""Every fault at random: what a client must survive without losing or inventing a row.

Of the faults only those take part that a client can make good: what they keep from the socket REST
still tells, and nothing they change is told wrongly.
"""

from __future__ import annotations

import asyncio
import random
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tsstore_massive_simulator.faults import Faults, Value

#: Values by fault; those with several are drawn from.
_STORMS: dict[str, tuple[Value, ...]] = {
    "refuse": (502, 503),
    "connect_delay": (0.2, 1),
    "drop_open": (1, 2),
    "drop_connected": (1, 2),
    "drop_auth": (1, 2),
    "drop_subscribed": (1, 2),
    "drop_every": (300, 2000, 20_000),
    "drop_midframe": (300, 2000, 20_000),
    "close": (1000, 1001, 1006, 1008, 1011, 1012),
    "force_disconnect": (1,),
    "no_acks": (None,),
    "late_acks": (None,),
    "slow_acks": (0.2, 1),
    "split_acks": (None,),
    "unknown_event": (0.05,),
    "unknown_field": (0.05,),
    "float_ints": (0.05,),
    "duplicates": (0.05, 0.5),
    "out_of_order": (0.05, 0.3),
    "malformed": (0.02,),
    "broken_json": (0.05,),
    "luld_micros": (None,),
    "fmv_millis": (None,),
    "frame_events": (1, 7, 1000),
    "frame_bytes": (300, 4096, 65_536),
    "deflate": (None,),
    "no_pongs": (None,),
    "server_pings": (0.1, 1),
    "too_many": (1, 3),
    "retry_after": (0.2, 1),
    "empty_429": (None,),
    "server_error": (1, 3),
    "server_status": (500, 502, 503, 504),
    "drop_request": (1, 2),
    "truncate": (1, 2),
    "cut_gzip": (1, 2),
    "not_json": (1, 2),
    "slow_body": (0.1, 0.5),
    "null_next_url": (None,),
    "null_results": (None,),
    "page": (50, 1000, 20_000),
}
#: On from beginning to end: switched in between, it would take back a correction that is due.
_STANDING: dict[str, Value] = {"revised_bars": 0.05}
_STORMS_AT_ONCE = 4
_PAUSE_S = 0.2, 2.0


class Chaos:
    """Switches faults on and off, the same ones in the same order for the same seed.

    Args:
        faults: what is switched; those that are on already are left alone.
        seed: which order.

    Attributes:
        steps: how often something was switched.
    """

    def __init__(self, faults: Faults, seed: int) -> None:
        self._faults = faults
        self._random = random.Random(seed)  # noqa: S311 nothing here is secret
        self._names = [name for name in _STORMS if not faults.on(name)]
        self._own: list[str] = []
        self._timer: asyncio.TimerHandle | None = None
        self.steps = 0
        for name, value in _STANDING.items():
            if not faults.on(name):
                faults.set(name, value)

    def step(self) -> float:
        """Switch one fault; return after how many seconds to do it again."""
        self.steps += 1
        is_full = len(self._own) >= _STORMS_AT_ONCE
        if self._own and (is_full or self._random.random() < 1 / 3):
            self._faults.clear(self._own.pop(self._random.randrange(len(self._own))))
        else:
            name = self._random.choice([name for name in self._names if name not in self._own])
            self._faults.set(name, self._random.choice(_STORMS[name]))
            self._own.append(name)
        return self._random.uniform(*_PAUSE_S)

    def begin(self) -> None:
        """Go on switching, on the running event loop, until `end`."""
        self._timer = asyncio.get_running_loop().call_later(self.step(), self.begin)

    def end(self) -> None:
        """Stop, and switch off what was switched, but not what stands from the beginning."""
        if self._timer is not None:
            self._timer.cancel()
        for name in self._own:
            self._faults.clear(name)
        self._own.clear()
