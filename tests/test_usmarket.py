"""Days and hours of the US stock market."""

from __future__ import annotations

import sys
from dataclasses import astuple
from importlib import metadata

import numpy as np
import pytest

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


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """An empty cache of this test."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    market_days.cache_clear()
    yield tmp_path / "tsstore" / "us-market-days"
    market_days.cache_clear()


def asked_again():
    market_days.cache_clear()
    return market_days()


def test_the_calendar_is_asked_once_per_version_of_it(cache, monkeypatch):
    asked = market_days()
    with monkeypatch.context() as without:
        without.setitem(sys.modules, "exchange_calendars", None)
        for ours, theirs in zip(astuple(asked_again()), astuple(asked), strict=True):
            assert ours.tolist() == theirs.tolist()
        without.setattr(metadata, "version", lambda _: "0.0")
        with pytest.raises(ConfigError):
            asked_again()


@pytest.mark.parametrize("damage", [b"", b"\0" * 100, b"short"])
def test_a_damaged_cache_is_made_anew(cache, damage):
    days = market_days().days.tolist()
    whole = cache.read_bytes()
    cache.write_bytes(whole[:-100] + damage)
    assert asked_again().days.tolist() == days
    assert cache.read_bytes() == whole


def test_days_are_known_without_a_place_to_keep_them(cache, monkeypatch):
    cache.parent.write_text("a file")
    days = market_days().days.tolist()
    monkeypatch.setenv("XDG_CACHE_HOME", "~nobody-has-this-name")
    assert asked_again().days.tolist() == days


def test_without_the_calendar_the_error_says_what_to_install(cache, monkeypatch):
    monkeypatch.setitem(sys.modules, "exchange_calendars", None)
    with pytest.raises(ConfigError, match=r"pip install 'tsstore\[massive\]'"):
        market_days()
