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


def carried_topics(own: Iterable[str], others: Iterable[str], *, quotes_max: int) -> list[str]:
    """The topics of others that a connection of options has room for, besides its own.

    Args:
        own: its topics.
        others: those of dead ones.
        quotes_max: contracts whose quotes the vendor allows on one connection; with more it would
            end the living one as well.
    """
    held = {topic for topic in own if _is_quote(topic)}
    carried = list(dict.fromkeys(others))
    quotes = [topic for topic in carried if _is_quote(topic) and topic not in held]
    left_out = set(quotes[max(0, quotes_max - len(held)) :])
    return [topic for topic in carried if topic not in left_out]


def _is_quote(topic: str) -> bool:
    return topic.startswith("Q.")


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
