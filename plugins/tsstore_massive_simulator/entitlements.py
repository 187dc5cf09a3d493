"""What a plan keeps from a request: whole kinds of data, old days, and the youngest data."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

from tsstore.zones import NS_PER_SECOND

if TYPE_CHECKING:
    from tsstore_massive_simulator.plans import Plan
    from tsstore_massive_simulator.question import Question

_MS = 1_000_000
_DAYS_A_YEAR = 365.25


def refusal(plan: Plan, kind: str, question: Question) -> str | None:
    """Why a plan does not let one ask: entitlement, timeframe or today; None when it does.

    Raises:
        BadRequestError: a time in the request is none.
    """
    if not kind:
        return None
    if kind not in plan.rest:
        return "entitlement"
    first_ns = _first_ns(question)
    if first_ns is None:
        return None
    schedule = question.market.schedule
    today = schedule.day_of(question.now_ns)
    earliest = today - timedelta(days=round(plan.years * _DAYS_A_YEAR))
    if first_ns < schedule.midnight(earliest):
        return "timeframe"
    return "today" if plan.is_end_of_day and first_ns >= schedule.midnight(today) else None


def horizon_ns(plan: Plan | None, question: Question) -> int:
    """Nothing later is told."""
    if plan is None:
        return question.horizon_ns
    if plan.is_end_of_day:
        schedule = question.market.schedule
        return min(question.horizon_ns, schedule.midnight(schedule.day_of(question.now_ns)) - 1)
    return question.horizon_ns - plan.delay_s * NS_PER_SECOND


def _first_ns(question: Question) -> int | None:
    """The first instant that is asked for; None when nothing is said of it."""
    if "day" in question.parts:
        return question.market.schedule.midnight(question.day)
    if "first" in question.parts and "last" in question.parts:
        return question.start_ns(question.parts["first"], _MS)
    starts = [
        question.start_ns(text, 1)
        for name, text in question.params.items()
        if name in _STARTS and text
    ]
    return max(starts, default=None)


_STARTS = frozenset(
    f"{field}{comparison}"
    for field in ("timestamp", "window_start")
    for comparison in ("", ".gte", ".gt")
)
