"""timeframe: slots, where they begin, and which are made of which."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.errors import InvalidKeyError
from tsstore.timeframe import Timeframe

SPELLED = [
    "1Sec",
    "7Sec",
    "1Min",
    "5Min",
    "1H",
    "4H",
    "1D",
    "2D",
    "1W",
    "2W",
    "1M",
    "3M",
    "1Y",
    "10Y",
]
ZONES = ["UTC", "America/New_York", "America/Sao_Paulo", "Asia/Kolkata"]
timeframes = st.sampled_from(SPELLED).map(Timeframe.parse)
instants = st.integers(0, 2 * 10**18)
zones = st.sampled_from(ZONES)


def floor(text, wall, zone):
    """Local wall time of the start of the slot that holds a local wall time."""
    instant = int(datetime.fromisoformat(wall).replace(tzinfo=ZoneInfo(zone)).timestamp())
    start = Timeframe.parse(text).floor(np.array([instant * 10**9]), zone)[0]
    return datetime.fromtimestamp(int(start) // 10**9, ZoneInfo(zone)).strftime("%Y-%m-%d %H:%M")


@pytest.mark.parametrize("text", SPELLED)
def test_what_is_written_is_read(text):
    assert str(Timeframe.parse(text)) == text


def test_old_spellings_are_understood():
    assert Timeframe.parse("5T") == Timeframe.parse("5Min")
    assert Timeframe.parse("1S") == Timeframe.parse("1Sec")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Min",
        "0Min",
        "-1Min",
        "1.5Min",
        "1min",
        "1h",
        "1X",
        "01Min",
        "1Min ",
        "1Minute",
        "1Sec1Min",
    ],
)
def test_what_is_no_timeframe_is_refused(text):
    with pytest.raises(InvalidKeyError, match="Unable to get timeframe from key"):
        Timeframe.parse(text)


@pytest.mark.parametrize("text", ["101Y", "999999D", "999999Y", "999999H"])
def test_a_timeframe_too_long_for_int64_is_refused(text):
    with pytest.raises(InvalidKeyError, match="longer than 100 years"):
        Timeframe.parse(text)


@pytest.mark.parametrize(
    ("text", "wall", "zone", "start"),
    [
        ("5Min", "2013-10-08 09:34", "America/New_York", "2013-10-08 09:30"),
        ("4H", "2013-10-08 09:34", "America/New_York", "2013-10-08 08:00"),
        ("1D", "2013-10-08 23:59", "America/New_York", "2013-10-08 00:00"),
        ("1D", "2012-03-12 10:00", "America/New_York", "2012-03-12 00:00"),
        ("1D", "2012-03-11 10:00", "America/New_York", "2012-03-11 00:00"),
        ("1D", "2013-11-03 23:00", "America/New_York", "2013-11-03 00:00"),
        ("1D", "2018-11-04 10:00", "America/Sao_Paulo", "2018-11-04 01:00"),
        ("1W", "2024-01-07 23:00", "Asia/Kolkata", "2024-01-01 00:00"),
        ("1M", "2024-02-29 23:00", "Asia/Kolkata", "2024-02-01 00:00"),
        ("3M", "2023-12-31 23:00", "Asia/Kolkata", "2023-10-01 00:00"),
        ("1Y", "2023-12-31 23:00", "America/New_York", "2023-01-01 00:00"),
        ("10Y", "2023-12-31 23:00", "America/New_York", "2020-01-01 00:00"),
    ],
)
def test_a_slot_begins_where_people_say(text, wall, zone, start):
    assert floor(text, wall, zone) == start


@given(timeframe=timeframes, instant=instants, zone=zones)
def test_a_slot_holds_its_instants_and_meets_the_next(timeframe, instant, zone):
    ts = np.array([instant])
    start, after = timeframe.floor(ts, zone), timeframe.next(ts, zone)

    assert start[0] <= instant < after[0]
    assert timeframe.floor(start, zone) == start
    assert timeframe.floor(after, zone) == after
    assert timeframe.floor(after - 1, zone) == start


@given(timeframe=timeframes, instant=instants, zone=zones, slots=st.integers(0, 50))
def test_starts_are_all_slots_between(timeframe, instant, zone, slots):
    last = min(instant + slots * timeframe.duration_ns, 2 * 10**18)

    starts = timeframe.starts(instant, last, zone)

    assert starts[0] == timeframe.floor(np.array([instant]), zone)[0]
    assert starts[-1] == timeframe.floor(np.array([last]), zone)[0]
    np.testing.assert_array_equal(timeframe.next(starts[:-1], zone), starts[1:])


@given(fine=timeframes, coarse=timeframes, instant=instants, zone=zones)
def test_a_timeframe_that_divides_another_shares_its_bounds(fine, coarse, instant, zone):
    start = coarse.floor(np.array([instant]), zone)

    if fine.divides(coarse, zone):
        assert fine.floor(start, zone) == start


@pytest.mark.parametrize(
    ("fine", "coarse", "zone", "divides"),
    [
        ("1Min", "5Min", "America/New_York", True),
        ("2Min", "5Min", "America/New_York", False),
        ("1Min", "1D", "America/New_York", True),
        ("1H", "1D", "America/New_York", True),
        ("4H", "1D", "America/New_York", False),
        ("1D", "1W", "America/New_York", True),
        ("2D", "1W", "America/New_York", False),
        ("1D", "1M", "America/New_York", True),
        ("1W", "1M", "America/New_York", False),
        ("1M", "3M", "America/New_York", True),
        ("1M", "1Y", "America/New_York", True),
        ("5M", "1Y", "America/New_York", False),
        ("1Y", "12M", "America/New_York", True),
        ("1D", "1H", "America/New_York", False),
        ("4H", "1D", "UTC", True),
        ("5H", "1D", "UTC", False),
        ("1H", "1D", "Asia/Kolkata", False),
        ("30Min", "1M", "Asia/Kolkata", True),
        ("7Sec", "1D", "UTC", False),
        ("7Sec", "21Sec", "UTC", True),
    ],
)
def test_which_timeframes_are_made_of_which(fine, coarse, zone, divides):
    assert Timeframe.parse(fine).divides(Timeframe.parse(coarse), zone) is divides


@given(wall=st.datetimes(datetime(1975, 1, 1), datetime(2035, 1, 1)), zone=zones)
def test_days_are_those_of_the_calendar(wall, zone):
    instant = wall.replace(microsecond=0, tzinfo=ZoneInfo(zone))
    ts = np.array([int(instant.timestamp()) * 10**9])

    start = Timeframe.parse("1D").floor(ts, zone)[0]

    first = datetime.fromtimestamp(int(start) // 10**9, ZoneInfo(zone))
    day = datetime.fromtimestamp(int(instant.timestamp()), ZoneInfo(zone)).date()
    assert first.date() == day
    before = datetime.fromtimestamp(int(start) // 10**9 - 1, ZoneInfo(zone))
    assert before.date() == day - timedelta(days=1)
