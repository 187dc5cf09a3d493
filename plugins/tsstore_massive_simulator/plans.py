"""What the vendor's plans include, market by market."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

_BARS = frozenset({"A", "AM", "CA", "CAS", "XA", "XAS", "V"})
_TRADES = frozenset({"T"})
_QUOTES = frozenset({"Q", "LULD", "NOI"})
#: Plans of currencies and crypto do not keep ticks from those who pay.
_PAIRS = frozenset({"C", "XT", "XQ", "XL2"})
_EVERYTHING = frozenset({"bars", "snapshots", "trades", "quotes"})
_QUARTER_HOUR_S = 900


@dataclass(frozen=True)
class Plan:
    """What one may have of a market.

    Attributes:
        name: as the price list has it.
        years: how far back data goes.
        requests_a_minute: how many, None for as many as one likes.
        delay_s: how late data is.
        is_end_of_day: whether a day is told when it is over, not before.
        channels: what the socket tells; without any, it does not even let one in.
        rest: kinds of data REST tells: bars, snapshots, trades, quotes.
    """

    name: str
    years: int
    requests_a_minute: int | None
    delay_s: int
    is_end_of_day: bool
    channels: frozenset[str]
    rest: frozenset[str]


PLANS = {
    each.name: each
    for each in (
        Plan("basic", 2, 5, 0, True, frozenset(), frozenset({"bars"})),
        Plan(
            "starter", 5, None, _QUARTER_HOUR_S, False, _BARS | _PAIRS,
            frozenset({"bars", "snapshots"}),
        ),
        Plan(
            "developer", 10, None, _QUARTER_HOUR_S, False, _BARS | _PAIRS | _TRADES,
            frozenset({"bars", "snapshots", "trades"}),
        ),
        Plan("advanced", 30, None, 0, False, _BARS | _PAIRS | _TRADES | _QUOTES, _EVERYTHING),
    )
}  # fmt: skip


class PlanError(ValueError):
    """No such plan; the text says what there is."""


def plans_of(texts: Iterable[str], markets: Iterable[str]) -> Mapping[str, Plan]:
    """Plans by market; nothing is kept from anyone where there is none.

    Args:
        texts: `NAME` for every market, or `MARKET=NAME` for one, in which case those that are not
            named have the basic plan.
        markets: the markets there are.

    Raises:
        PlanError: there is no such plan or market.
    """
    plans: dict[str, Plan] = {}
    markets = tuple(markets)
    for text in texts:
        market, equals, name = text.rpartition("=")
        if name not in PLANS or (equals and market not in markets):
            raise PlanError(
                f"{text!r} is no plan; write {', '.join(PLANS)}, or one of them for one market, "
                "such as stocks=starter"
            )
        if equals:
            plans = dict.fromkeys(markets, PLANS["basic"]) | plans | {market: PLANS[name]}
        else:
            plans = dict.fromkeys(markets, PLANS[name])
    return plans
