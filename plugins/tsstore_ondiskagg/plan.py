"""Which bars are made of which."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from tsstore.timeframe import Timeframe

if TYPE_CHECKING:
    from collections.abc import Sequence

_HOUR = Timeframe(1, "H")
_DAY = Timeframe(1, "D")


class Step(NamedTuple):
    """One destination.

    Attributes:
        group: what is written, such as `5Min/OHLCV`.
        timeframe: its windows.
        in_hours: whether rows outside of market hours are left out.
    """

    group: str
    timeframe: Timeframe
    in_hours: bool


class Level(NamedTuple):
    """Destinations that are made of the same rows.

    Attributes:
        source: what is read, such as `1Min/OHLCV`.
        steps: what is made of it, shortest first.
        is_made: whether the source is a destination itself.
    """

    source: str
    steps: tuple[Step, ...]
    is_made: bool


def plan(
    base: str, destinations: Sequence[Timeframe], tz: str, *, filtered: bool
) -> tuple[Level, ...]:
    """What to make of the rows of a group, in this order.

    Bars up to a day are made of the base rows. Longer ones, and all but the shortest of trades,
    are made of the longest other destination that fits, as a query would do it: nobody wants to
    read a year of minutes again for every minute.

    Args:
        base: timeframe and attribute group of the rows that come in.
        destinations: shortest first.
        tz: zone whose midnights bound days and longer windows.
        filtered: whether bars of days and longer leave rows outside of market hours out.

    Returns:
        Nothing when the base is a destination itself, or fits into none.
    """
    timeframe_text, _, attribute_group = base.partition("/")
    is_trades = attribute_group == "TRADE"
    made_of = Timeframe.parse(timeframe_text)
    group = "OHLCV" if is_trades else attribute_group
    if not is_trades and made_of in destinations:
        return ()
    usable = [each for each in destinations if each != made_of or is_trades]
    usable = [each for each in usable if made_of.divides(each, tz)]
    levels: dict[Timeframe | None, list[Step]] = {}
    for each in usable:
        wants_hours = filtered and each.duration_ns >= _DAY.duration_ns
        chain = is_trades or each.duration_ns > _DAY.duration_ns
        source = _longest(usable, each, tz, wants_hours) if chain else None
        length = (source or made_of).duration_ns
        step = Step(f"{each}/{group}", each, wants_hours and length < _DAY.duration_ns)
        levels.setdefault(source, []).append(step)
    return tuple(
        Level(base if source is None else f"{source}/{group}", tuple(steps), source is not None)
        for source, steps in levels.items()
    )


def _longest(
    usable: Sequence[Timeframe], of: Timeframe, tz: str, wants_hours: bool
) -> Timeframe | None:
    """The longest other destination that windows are made of whole."""
    shorter = [one for one in usable if one.duration_ns < of.duration_ns and one.divides(of, tz)]
    if wants_hours:
        # Market hours begin and end with an hour, so longer bars of a day lie partly outside.
        shorter = [one for one in shorter if one.is_calendar or one.divides(_HOUR)]
    return shorter[-1] if shorter else None
