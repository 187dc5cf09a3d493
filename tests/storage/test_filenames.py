"""Into which files the rows of a bucket are cut."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.storage.filenames import split_periods
from tsstore.timeframe import Timeframe
from tsstore.times import MAX_NS, MIN_NS

KINDS = {"Y": ("1Min", False), "M": ("1Sec", False), "D": ("1Sec", True)}
_times = st.one_of(
    st.lists(st.integers(MIN_NS, MAX_NS), min_size=1, max_size=8),
    st.lists(st.integers(0, 400 * 86_400 * 10**9), min_size=1, max_size=40),
)


@pytest.mark.parametrize("unit", KINDS)
@given(times=_times)
def test_every_row_is_in_the_file_of_its_period(unit: str, times: list[int]) -> None:
    name, variable = KINDS[unit]
    ts = np.array(sorted(times), np.int64)
    parts = split_periods(ts, Timeframe.parse(name), variable=variable)
    named = [period for period, first, end in parts for _ in range(first, end)]
    assert named == [str(time) for time in ts.view("M8[ns]").astype(f"M8[{unit}]")]
    assert [first for _, first, _ in parts] == [0, *(end for _, _, end in parts[:-1])]


def test_no_rows_are_in_no_file() -> None:
    assert split_periods(np.empty(0, np.int64), Timeframe.parse("1Min"), variable=False) == []
