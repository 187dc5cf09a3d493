from __future__ import annotations

from datetime import date

import pytest

from tsstore.times import to_ns
from tsstore_massive.sessions import (
    MarketCalendar,
    day_end_ns,
    day_of,
    day_start_ns,
    market_open,
)
from tsstore_massive.symbols import Market

CALENDAR = MarketCalendar()


def days(first: str, last: str) -> list[str]:
    found = CALENDAR.days(date.fromisoformat(first), date.fromisoformat(last))
    return [str(day) for day in found]


def test_weekends_and_holidays_are_no_market_days():
    assert days("2013-11-27", "2013-12-02") == ["2013-11-27", "2013-11-29", "2013-12-02"]


def test_years_more_than_twenty_ago_are_known():
    assert days("2003-12-24", "2003-12-29") == ["2003-12-24", "2003-12-26", "2003-12-29"]


def test_days_before_the_history_of_the_vendor_are_left_out():
    assert days("1999-01-01", "2003-09-10") == ["2003-09-10"]


def test_the_day_of_mourning_of_2025_is_closed():
    assert days("2025-01-08", "2025-01-10") == ["2025-01-08", "2025-01-10"]


def test_a_leap_day_is_a_day():
    assert days("2024-02-29", "2024-02-29") == ["2024-02-29"]


def test_years_to_come_are_known():
    assert days("2031-01-01", "2031-01-03") == ["2031-01-02", "2031-01-03"]


def test_a_range_that_ends_before_it_begins_holds_no_days():
    assert days("2024-02-29", "2024-02-28") == []


def test_a_full_session_lasts_from_four_to_twenty_new_york():
    session = CALENDAR.session(date(2024, 7, 2))
    assert session is not None
    assert session.extended_open_ns == to_ns("2024-07-02 04:00", "America/New_York")
    assert session.open_ns == to_ns("2024-07-02 09:30", "America/New_York")
    assert session.close_ns == to_ns("2024-07-02 16:00", "America/New_York")
    assert session.extended_close_ns == to_ns("2024-07-02 20:00", "America/New_York")


def test_an_early_close_ends_at_thirteen_and_late_trading_at_seventeen():
    session = CALENDAR.session(date(2013, 11, 29))
    assert session is not None
    assert session.close_ns == to_ns("2013-11-29 13:00", "America/New_York")
    assert session.extended_close_ns == to_ns("2013-11-29 17:00", "America/New_York")


@pytest.mark.parametrize("day", ["2013-11-28", "2013-11-30", "2001-09-11"])
def test_a_day_without_trading_has_no_session(day):
    assert CALENDAR.session(date.fromisoformat(day)) is None


@pytest.mark.parametrize(
    ("day", "hours"), [("2013-03-09", 24), ("2013-03-10", 23), ("2013-11-03", 25)]
)
def test_days_are_as_long_as_summer_time_makes_them(day, hours):
    day = date.fromisoformat(day)
    assert day_end_ns(day) + 1 - day_start_ns(day) == hours * 3600 * 10**9


def test_every_instant_of_a_day_belongs_to_it():
    day = date(2024, 3, 10)
    assert day_of(day_start_ns(day)) == day
    assert day_of(day_end_ns(day)) == day
    assert day_of(day_end_ns(day) + 1) == date(2024, 3, 11)


def test_extended_hours_bound_a_session():
    session = CALENDAR.session(date(2024, 7, 2))

    assert session is not None
    assert session.extended_open_ns == to_ns("2024-07-02 04:00", "America/New_York")
    assert session.extended_close_ns == to_ns("2024-07-02 20:00", "America/New_York")
    assert CALENDAR.session(date(2024, 7, 6)) is None


@pytest.mark.parametrize(
    ("market", "when", "is_open"),
    [
        ("stocks", "2024-06-03 13:30", True),
        ("stocks", "2024-06-03 13:29", False),
        ("options", "2024-06-01 15:00", False),
        ("indices", "2024-07-03 17:30", False),  # closed at 13:00 in New York
        ("crypto", "2024-06-01 03:00", True),
        ("forex", "2024-06-07 20:59", True),
        ("forex", "2024-06-07 21:00", False),
        ("forex", "2024-06-08 12:00", False),
        ("forex", "2024-06-09 20:59", False),
        ("forex", "2024-06-09 21:00", True),
        ("forex", "2024-06-04 21:30", True),
        ("futures", "2024-06-04 21:30", False),
        ("futures", "2024-06-04 22:00", True),
        ("futures", "2024-06-09 21:30", False),
        ("futures", "2024-06-09 22:00", True),
        # Sundays on which the clocks are put back, and forward: 16:30 and 17:30 in New York.
        ("forex", "2026-11-01 21:30", False),
        ("forex", "2026-03-08 21:30", True),
        ("futures", "2026-11-01 22:30", False),
        ("futures", "2026-11-01 23:30", True),
    ],
)
def test_each_market_has_its_hours(market: Market, when: str, is_open: bool) -> None:
    assert market_open(market, to_ns(when)) is is_open
