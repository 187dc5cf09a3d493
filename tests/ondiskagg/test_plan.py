"""Which bars are made of which, the options, and when the market trades."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest

from tsstore.timeframe import Timeframe
from tsstore.times import to_ns
from tsstore_ondiskagg import OnDiskAggConfig
from tsstore_ondiskagg.hours import MarketHours
from tsstore_ondiskagg.plan import plan

NEW_YORK = "America/New_York"


def sources(base, *destinations, tz="UTC", filtered=False):
    """Destination to what it is made of; an exclamation mark stands for market hours."""
    chosen = [Timeframe.parse(text) for text in destinations]
    return {
        step.group + "!" * step.in_hours: level.source
        for level in plan(base, chosen, tz, filtered=filtered)
        for step in level.steps
    }


@pytest.mark.parametrize(
    ("base", "destinations", "expected"),
    [
        (
            "1Min/OHLCV",
            ["5Min", "1H", "1D"],
            dict.fromkeys(["5Min/OHLCV", "1H/OHLCV", "1D/OHLCV"], "1Min/OHLCV"),
        ),
        (
            "1Min/X",
            ["1D", "1W", "1M", "3M", "1Y"],
            {
                "1D/X": "1Min/X",
                "1W/X": "1D/X",
                "1M/X": "1D/X",
                "3M/X": "1M/X",
                "1Y/X": "3M/X",
            },
        ),
        ("1Min/X", ["1W"], {"1W/X": "1Min/X"}),
        (
            "1Sec/TRADE",
            ["1Sec", "1Min", "1H"],
            {"1Sec/OHLCV": "1Sec/TRADE", "1Min/OHLCV": "1Sec/OHLCV", "1H/OHLCV": "1Min/OHLCV"},
        ),
        ("7Min/X", ["10Min", "14Min"], {"14Min/X": "7Min/X"}),
        ("5Min/X", ["5Min", "10Min"], {}),
        ("1H/X", ["5Min"], {}),
    ],
)
def test_sources(base, destinations, expected):
    assert sources(base, *destinations) == expected


def test_filtered_days_are_made_of_what_lies_within_the_hours():
    options = {"tz": NEW_YORK, "filtered": True}
    assert sources("1Min/X", "1H", "1D", "1W", **options) == {
        "1H/X": "1Min/X",
        "1D/X!": "1Min/X",
        "1W/X": "1D/X",
    }
    assert sources("1Sec/TRADE", "1Min", "2H", "1D", **options)["1D/OHLCV!"] == "1Min/OHLCV"
    assert sources("1D/X", "1W", **options) == {"1W/X": "1D/X"}


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"destinations": []}, "`destinations` is empty"),
        ({"destinations": ["5min"]}, "'5min' is not a timeframe"),
        ({"destinations": ["5Min"], "filter": "nyse"}, "nyse"),
        ({}, "destinations"),
        ({"destinations": ["5Min"], "filters": "nasdaq"}, "filters"),
    ],
)
def test_wrong_options_are_named(options, text):
    with pytest.raises(msgspec.ValidationError, match=text):
        msgspec.convert(options, OnDiskAggConfig)


@pytest.mark.parametrize(
    ("first", "last"),
    [
        ("2013-10-08 04:00", "2013-10-08 20:00"),  # summer
        ("2013-11-29 04:00", "2013-11-29 17:00"),  # the day after Thanksgiving ends early
        ("1999-01-04 04:00", "1999-01-04 20:00"),
    ],
)
def test_market_hours_of_a_day(first, last):
    opened, closed = to_ns(first, tz=NEW_YORK), to_ns(last, tz=NEW_YORK)
    instants = np.array([opened - 1, opened, closed - 1, closed])
    assert MarketHours().inside(instants).tolist() == [False, True, True, False]


@pytest.mark.parametrize("day", ["2013-11-28", "2013-10-05", "2013-10-06", "2024-12-25"])
def test_no_hours_on_holidays_and_weekends(day):
    instants = to_ns(day, tz=NEW_YORK) + np.arange(24) * 3600 * 10**9
    assert not MarketHours().inside(instants).any()


def test_no_instants_have_no_hours():
    assert MarketHours().inside(np.empty(0, np.int64)).tolist() == []
