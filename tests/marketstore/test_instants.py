"""Slots and fractions of slots are the instants that were written."""

from __future__ import annotations

from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.marketstore.header import YearHeader
from tsstore.marketstore.instants import instants, slot_starts
from tsstore.schema import Schema

from .writer import Place, seconds_of

TIMEFRAMES = [
    "1Sec", "10Sec", "30Sec", "1Min", "5Min", "15Min", "30Min", "1H", "2H", "4H", "1D",
]  # fmt: skip
ZONES = ["UTC", "America/New_York", "Asia/Tokyo", "Asia/Kolkata"]
SCHEMA = Schema.of({"P": "f8"}, variable=True)
DAY_NS = 86_400 * 10**9


def read_back(ns: int, timeframe: str, zone: str) -> int:
    step = seconds_of(timeframe)
    place = Place(ns, step, zone)
    header = YearHeader(place.year, step * 10**9, SCHEMA, 24)
    index, fraction = np.array([place.index]), np.array([place.fraction], np.uint32)
    return int(instants(header, index, fraction, zone)[0])


@st.composite
def moments(draw, digits: int):
    """Instants of the years 2012 to 2025 with so many digits after the second."""
    second = draw(st.integers(1_325_462_400, 1_767_139_200))
    return second * 10**9 + draw(st.integers(0, 10**digits - 1)) * 10 ** (9 - digits)


@pytest.mark.parametrize("timeframe", TIMEFRAMES[:-3])
@given(zone=st.sampled_from(ZONES), ns=moments(6))
def test_microseconds_come_back_as_they_were(timeframe, zone, ns):
    assert read_back(ns, timeframe, zone) == ns


@pytest.mark.parametrize("timeframe", TIMEFRAMES[-3:])
@given(zone=st.sampled_from(["UTC", "Asia/Tokyo", "Asia/Kolkata"]), ns=moments(3))
def test_milliseconds_of_long_slots_come_back_as_they_were(timeframe, zone, ns):
    assert read_back(ns, timeframe, zone) == ns


@given(ns=moments(3))
def test_milliseconds_of_days_that_change_their_length_come_back(ns):
    hour = datetime.fromtimestamp(ns // 10**9, ZoneInfo("America/New_York")).hour
    if 1 < hour < 23:  # beyond, a day of 25 hours repeats its fractions
        assert read_back(ns, "1D", "America/New_York") == ns


@pytest.mark.parametrize("zone", ZONES)
@given(ns=moments(9))
def test_nanoseconds_of_seconds_come_back_as_they_were(zone, ns):
    assert read_back(ns, "1Sec", zone) == ns


@pytest.mark.parametrize("timeframe", TIMEFRAMES[:-1])
@given(ns=moments(9))
def test_nanoseconds_come_back_as_exact_as_the_fraction_is(timeframe, ns):
    step = seconds_of(timeframe) * 10**9
    found = read_back(ns, timeframe, "UTC")
    assert abs(found - ns) <= step / 2**32 + 1
    assert found // step == ns // step


@given(fractions=st.lists(st.integers(0, 2**32 - 1), min_size=2, max_size=9).map(sorted))
def test_the_order_of_fractions_is_kept(fractions):
    header = YearHeader(2024, 60 * 10**9, SCHEMA, 24)
    index = np.full(len(fractions), 7)
    found = instants(header, index, np.array(fractions, np.uint32), "UTC")
    assert (np.diff(found) >= 0).all()


@pytest.mark.parametrize("zone", ZONES)
def test_days_begin_at_local_midnights(zone):
    header = YearHeader(2024, DAY_NS, SCHEMA, 24)
    found = slot_starts(header, np.array([0, 70, 365]), zone)
    expected = [datetime(2024, m, d, tzinfo=ZoneInfo(zone)) for m, d in [(1, 1), (3, 11), (12, 31)]]
    assert found.tolist() == [int(day.timestamp()) * 10**9 for day in expected]


def test_shorter_slots_are_counted_from_the_local_new_year():
    header = YearHeader(2024, 3600 * 10**9, SCHEMA, 24)
    found = slot_starts(header, np.array([1, 25]), "America/New_York")
    assert np.array(found, "M8[ns]").astype("M8[h]").astype(str).tolist() == [
        "2024-01-01T05", "2024-01-02T05",
    ]  # fmt: skip
