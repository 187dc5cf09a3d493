"""Which living connection carries the symbols of a dead one, as a function of how they stand.

Only topics move. What a dead connection has missed stays its own, and is fetched when it comes back
whoever carried its symbols meanwhile. So nothing depends on the carrier being entitled to them, and
the identity of the rows keeps both copies from doubling.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class Standing:
    """How a connection fares.

    Attributes:
        name: of the connection.
        market: what it streams.
        is_moved: whether its symbols may be carried by others.
        down_s: how long it has not been streaming; 0.0 while it streams.
    """

    name: str
    market: str
    is_moved: bool
    down_s: float


def carriers(
    standings: Iterable[Standing], before: Mapping[str, str], *, dead_after_s: float
) -> dict[str, str]:
    """Who carries whom: name of each dead connection to the name of a living one.

    Args:
        standings: of all connections.
        before: the last answer; a carrier that still lives goes on.
        dead_after_s: how long a connection is given to come back by itself.

    A connection without a living one of its market is left out. One that is down, but not dead,
    is given nobody's symbols, and keeps those it carries.
    """
    lines = {standing.name: standing for standing in standings}
    dead = [line for line in lines.values() if line.is_moved and line.down_s >= dead_after_s]
    load = Counter[str]()
    result: dict[str, str] = {}
    for line in dead:
        carrier = lines.get(before.get(line.name, ""))
        if carrier and carrier.market == line.market and carrier.down_s < dead_after_s:
            result[line.name] = carrier.name
            load[carrier.name] += 1
    for line in dead:
        living = [
            other.name
            for other in lines.values()
            if other.market == line.market and other.down_s == 0 and other.name != line.name
        ]
        if line.name not in result and living:
            result[line.name] = min(living, key=lambda name: load[name])
            load[result[line.name]] += 1
    return result
