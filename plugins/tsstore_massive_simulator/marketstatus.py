"""Whether the market is open, and when it will be closed."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING

from tsstore.zones import NS_PER_SECOND, zone
from tsstore_massive_simulator.calendar import NEW_YORK, day_of, session
from tsstore_massive_simulator.question import Page
from tsstore_massive_simulator.schedules import BusinessWeek

if TYPE_CHECKING:
    from tsstore_massive_simulator.question import Question
    from tsstore_massive_simulator.schedules import Schedule

_CURRENCIES = BusinessWeek()
_DAYS_AHEAD = 365


def market_status(question: Question) -> Page:
    """Whether the market is open."""
    now = question.now_ns
    hours = session(day_of(now))
    early = hours is not None and hours.first_ns <= now < hours.open_ns
    late = hours is not None and hours.close_ns <= now < hours.last_ns
    is_open = hours is not None and hours.open_ns <= now < hours.close_ns
    state = "open" if is_open else "extended-hours" if early or late else "closed"
    local = datetime.fromtimestamp(now // NS_PER_SECOND, UTC).astimezone(zone(NEW_YORK))
    return Page(
        {
            "afterHours": late,
            "currencies": {"crypto": "open", "fx": _open_or_closed(_trades(_CURRENCIES, now))},
            "earlyHours": early,
            "exchanges": {"nasdaq": state, "nyse": state, "otc": _open_or_closed(is_open)},
            "indicesGroups": dict.fromkeys(("s_and_p", "dow_jones"), _open_or_closed(is_open)),
            "market": state,
            "serverTime": local.isoformat(timespec="seconds"),
        },
        is_standard=False,
    )


def _trades(schedule: Schedule, ns: int) -> bool:
    """Whether a market trades at an instant."""
    day = schedule.day_of(ns)
    first_ns, last_ns = schedule.span(day)
    return bool(schedule.days(day, day)) and first_ns <= ns <= last_ns


def _open_or_closed(is_open: bool) -> str:
    return "open" if is_open else "closed"


def market_holidays(question: Question) -> Page:
    """Closed and half days within a year, a bare list."""
    today = day_of(question.now_ns)
    days = [today + timedelta(days=ahead) for ahead in range(1, _DAYS_AHEAD)]
    rows = [row for day in days for row in _holiday(day)]
    return Page(rows, is_standard=False)


def _holiday(day: date) -> list[dict[str, str]]:
    hours = session(day)
    if day.weekday() >= 5 or (hours is not None and not hours.is_half_day):
        return []
    row = {"date": str(day), "name": "Market holiday", "status": "closed"}
    if hours is not None:
        row |= {
            "status": "early-close",
            "open": _iso(hours.open_ns),
            "close": _iso(hours.close_ns),
        }
    return [{**row, "exchange": exchange} for exchange in ("NYSE", "NASDAQ", "OTC")]


def _iso(ns: int) -> str:
    moment = datetime.fromtimestamp(ns // NS_PER_SECOND, UTC).replace(tzinfo=None)
    return moment.isoformat(timespec="milliseconds") + "Z"
