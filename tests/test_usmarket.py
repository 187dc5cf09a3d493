"""Days and hours of the US stock market."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from tsstore import usmarket
from tsstore.errors import ConfigError
from tsstore.times import to_ns
from tsstore.usmarket import NEW_YORK, market_days, new_york_days


def instants(*texts):
    return [to_ns(text, tz=NEW_YORK) for text in texts]


@pytest.mark.parametrize(
    ("day", "hours"),
    [
        ("2024-03-11", ["04:00", "09:30", "16:00", "20:00"]),  # the Monday after summer time began
        ("2013-11-29", ["04:00", "09:30", "13:00", "17:00"]),  # the day after Thanksgiving
        ("1999-01-04", ["04:00", "09:30", "16:00", "20:00"]),
    ],
)
def test_the_hours_of_a_day(day, hours):
    market = market_days()
    at, is_market_day = market.find(new_york_days(np.array(instants(day))))
    assert is_market_day.all()
    found = [
        int(times[at[0]]) for times in (market.first, market.opens, market.closes, market.last)
    ]
    assert found == instants(*(f"{day} {hour}" for hour in hours))


@pytest.mark.parametrize("day", ["2013-11-28", "2013-10-05", "1975-01-02", "2050-01-03"])
def test_other_days_are_not_found(day):
    assert not market_days().find(new_york_days(np.array(instants(day))))[1].any()


def test_the_last_instant_of_a_day_belongs_to_it():
    midnight = instants("2024-03-11")[0]
    days = new_york_days(np.array([midnight - 1, midnight]))
    assert days.astype("M8[D]").astype(str).tolist() == ["2024-03-10", "2024-03-11"]


def test_without_the_calendar_the_error_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    usmarket._market_days.cache_clear()
    with pytest.raises(ConfigError, match=r"pip install 'tsstore\[massive\]'"):
        market_days()
