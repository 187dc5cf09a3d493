"""zones: offsets and local midnights are those of the standard library."""

from __future__ import annotations

from datetime import datetime, timedelta
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.errors import InvalidArgumentError
from tsstore.zones import local_to_utc, utc_offsets, zone

ZONES = [
    "UTC",
    "America/New_York",
    "Europe/London",
    "America/Sao_Paulo",  # skipped midnights until 2018
    "Asia/Kolkata",
    "Australia/Lord_Howe",  # changes by half an hour
    "Africa/Casablanca",  # two changes around Ramadan
]
WALL_TIMES = st.datetimes(datetime(1975, 1, 1), datetime(2035, 1, 1)).map(
    lambda wall: wall.replace(minute=0, second=0, microsecond=0)
)


def ns(instant):
    return int(instant.timestamp()) * 10**9


def wall_ns(wall):
    return int(np.datetime64(wall, "ns").astype(np.int64))


@given(instants=st.lists(st.integers(0, 2**31), max_size=5), name=st.sampled_from(ZONES))
def test_offsets_are_those_of_zoneinfo(instants, name):
    found = utc_offsets(np.array(instants, np.int64) * 10**9, name)

    wanted = [datetime.fromtimestamp(s, ZoneInfo(name)).utcoffset() for s in instants]
    assert found.tolist() == [offset // timedelta(seconds=1) * 10**9 for offset in wanted]


@given(wall=WALL_TIMES, name=st.sampled_from(ZONES))
def test_wall_times_are_those_of_zoneinfo(wall, name):
    found = local_to_utc(np.array([wall_ns(wall)]), name)

    assert found.tolist() == [ns(wall.replace(tzinfo=ZoneInfo(name)))]


@pytest.mark.parametrize("day", range(8, 16))
def test_midnights_around_a_spring_change(day):
    wall = datetime(2012, 3, day)

    found = local_to_utc(np.array([wall_ns(wall)]), "America/New_York")

    assert found.tolist() == [ns(wall.replace(tzinfo=ZoneInfo("America/New_York")))]


def test_a_midnight_that_is_skipped_is_the_change_itself():
    found = local_to_utc(np.array([wall_ns(datetime(2018, 11, 4))]), "America/Sao_Paulo")

    assert found.tolist() == [1_541_300_400 * 10**9]  # 00:00-03:00 = 01:00-02:00


def test_a_wall_time_that_comes_twice_is_the_earlier_one():
    found = local_to_utc(np.array([wall_ns(datetime(2013, 11, 3, 1, 30))]), "America/New_York")

    assert found.tolist() == [1_383_456_600 * 10**9]  # 01:30-04:00


@pytest.mark.parametrize("name", ["Mars/Olympus", "", "../etc/passwd", "America"])
def test_an_unknown_zone_is_refused(name):
    with pytest.raises(InvalidArgumentError, match="unknown time zone"):
        zone(name)
