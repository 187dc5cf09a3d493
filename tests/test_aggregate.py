"""aggregate: bars of bars, compared with pandas."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.aggregate import input_names, is_bars, output_names, resample, windows
from tsstore.columns import Columns
from tsstore.schema import Schema
from tsstore.timeframe import Timeframe

MINUTE = 60 * 10**9
NAN = float("nan")
PANDAS_RULES = {
    "5Min": "5min",
    "1H": "1h",
    "4H": "4h",
    "1D": "D",
    "1W": "W-MON",
    "1M": "MS",
    "3M": "QS-JAN",
    "1Y": "YS",
}
# Clock changes, leap days and year ends; what skips a midnight is beyond pandas: see test_zones.
EDGES = {
    "America/New_York": ["2013-03-10", "2013-11-03", "2012-02-29", "2012-12-31"],
    "Europe/London": ["2024-03-31", "2024-10-27"],
    "Asia/Kolkata": ["2020-01-01"],
    "UTC": ["2000-02-29", "1999-12-31", "1969-12-31"],
}


def bars(ts, **columns):
    return Columns(np.asarray(ts, np.int64), {n: np.asarray(c) for n, c in columns.items()})


@st.composite
def histories(draw):
    zone = draw(st.sampled_from(sorted(EDGES)))
    day = np.datetime64(draw(st.sampled_from(EDGES[zone])), "ns").astype(np.int64)
    step = draw(st.sampled_from([1, 7, 60, 24 * 60 + 13])) * MINUTE
    count = draw(st.integers(1, 120))
    keep = np.array(draw(st.lists(st.booleans(), min_size=count, max_size=count)))
    ts = (day // MINUTE * MINUTE - 30 * step + step * np.arange(count))[keep]
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    prices = random.integers(1, 1000, (4, len(ts))) / 8
    prices[random.random(prices.shape) < draw(st.sampled_from([0, 0.5]))] = np.nan
    volume = random.integers(0, 2**31, len(ts), np.int32)
    names = ("Open", "High", "Low", "Close")
    return bars(ts, **dict(zip(names, prices, strict=True)), Volume=volume), zone


@given(history=histories(), rule=st.sampled_from(sorted(PANDAS_RULES)))
def test_bars_are_those_of_pandas(history, rule):
    columns, zone = history
    timeframe = Timeframe.parse(rule)

    ours = resample(columns, timeframe, zone)

    local = timeframe.is_calendar
    frame = columns.in_zone(zone if local else "UTC").to_pandas()
    if len(frame) == 0:
        assert len(ours) == 0
        return
    # pandas anchors hours at midnight of the first day unless told otherwise.
    options = {} if local else {"origin": "epoch"}
    grouped = frame.resample(PANDAS_RULES[rule], label="left", closed="left", **options)
    there = grouped["Volume"].count() > 0
    np.testing.assert_array_equal(ours.ts, there[there].index.as_unit("ns").asi8)
    wanted = {
        "Open": grouped["Open"].first(),
        "High": grouped["High"].max(),
        "Low": grouped["Low"].min(),
        "Close": grouped["Close"].last(),
        "Volume": grouped["Volume"].sum(),
    }
    for name, series in wanted.items():
        np.testing.assert_array_equal(ours[name], series[there].to_numpy())


STEPS = [
    "2Min",
    "5Min",
    "10Min",
    "30Min",
    "1H",
    "2H",
    "4H",
    "1D",
    "2D",
    "1W",
    "2W",
    "1M",
    "3M",
    "1Y",
]


@given(history=histories(), steps=st.lists(st.sampled_from(STEPS), min_size=2, max_size=5))
def test_bars_are_the_same_whichever_bars_they_are_made_of(history, steps):
    columns, zone = history
    chain = list[Timeframe]()
    for timeframe in sorted(map(Timeframe.parse, steps), key=lambda each: each.duration_ns):
        if not chain or chain[-1].divides(timeframe, zone):
            chain.append(timeframe)

    found = columns
    for timeframe in chain:
        found = resample(found, timeframe, zone)

    wanted = resample(columns, chain[-1], zone)
    np.testing.assert_array_equal(found.ts, wanted.ts)
    for name in wanted.names:
        np.testing.assert_array_equal(found[name], wanted[name])


@given(
    start=st.integers(0, 2 * 10**18),
    step=st.sampled_from([MINUTE, 7 * MINUTE, 24 * 60 * MINUTE + 13]),
    rows=st.integers(1, 2000),
    zone=st.sampled_from(sorted(EDGES)),
    rule=st.sampled_from(sorted(PANDAS_RULES)),
)
def test_windows_found_by_searching_are_those_found_by_flooring(start, step, rows, zone, rule):
    ts = start + step * np.arange(rows)
    timeframe = Timeframe.parse(rule)

    starts, first = windows(ts, timeframe, zone)

    wanted, wanted_first = np.unique(timeframe.floor(ts, zone), return_index=True)
    np.testing.assert_array_equal(starts, wanted)
    np.testing.assert_array_equal(first, wanted_first)


def test_nan_is_passed_over_at_either_end():
    columns = bars(
        [0, MINUTE, 2 * MINUTE],
        Open=[NAN, 2.0, 3.0],
        High=[NAN, 5.0, 4.0],
        Low=[NAN, 5.0, 4.0],
        Close=[1.0, 2.0, NAN],
    )

    hour = resample(columns, Timeframe.parse("1H"))

    assert [hour[name].tolist() for name in hour] == [[2.0], [5.0], [4.0], [2.0]]


def test_a_window_of_nan_is_nan_and_borrows_nothing():
    columns = bars(
        [0, MINUTE, 5 * MINUTE], Open=[NAN, NAN, 3.0], Close=[NAN, NAN, 4.0], Volume=[NAN, NAN, 1.0]
    )

    found = resample(columns, Timeframe.parse("5Min"))

    for name, last in (("Open", 3.0), ("Close", 4.0), ("Volume", 1.0)):
        np.testing.assert_array_equal(found[name], [NAN, last])


@pytest.mark.parametrize(
    ("dtype", "wide"),
    [
        ("i2", "i8"),
        ("i4", "i8"),
        ("i8", "i8"),
        ("u1", "u8"),
        ("u4", "u8"),
        ("f4", "f8"),
        ("f8", "f8"),
    ],
)
def test_sums_of_volume_do_not_wrap(dtype, wide):
    most = np.iinfo(dtype).max if dtype[0] in "iu" else 2.0**24
    if dtype in ("i8", "u8"):
        most //= 4
    columns = bars([0, MINUTE, 2 * MINUTE], Volume=np.array([most, most, 1], dtype))

    volume = resample(columns, Timeframe.parse("1H"))["Volume"]

    assert volume.dtype == np.dtype(wide)
    assert volume.tolist() == [2 * int(most) + 1]


def test_vwap_is_weighted_by_volume():
    columns = bars([0, MINUTE], Volume=[1.0, 3.0], VWAP=[10.0, 20.0])

    assert resample(columns, Timeframe.parse("1H"))["VWAP"].tolist() == [17.5]


def test_vwap_passes_over_rows_without_it():
    columns = bars([0, MINUTE, 2 * MINUTE], Volume=[1.0, 3.0, NAN], VWAP=[10.0, NAN, 50.0])

    assert resample(columns, Timeframe.parse("1H"))["VWAP"].tolist() == [10.0]


def test_vwap_of_nothing_traded_is_nan():
    columns = bars([0], Volume=[0], VWAP=[10.0])

    assert np.isnan(resample(columns, Timeframe.parse("1H"))["VWAP"]).all()


def test_vwap_without_volume_is_left_out():
    assert resample(bars([0], VWAP=[10.0]), Timeframe.parse("1H")).names == ()


def test_counts_are_summed_and_unknown_ones_passed_over():
    columns = bars([0, MINUTE, 5 * MINUTE], TradeCount=[NAN, 7.0, NAN])

    found = resample(columns, Timeframe.parse("5Min"))

    np.testing.assert_array_equal(found["TradeCount"], [7.0, NAN])


def test_columns_come_in_the_order_of_bars_and_others_are_left_out():
    zeros = np.zeros(1)
    columns = bars([0], Close=zeros, Odd=zeros, Volume=zeros, Low=zeros, High=zeros, Open=zeros)

    assert resample(columns, Timeframe.parse("1H")).names == (
        "Open",
        "High",
        "Low",
        "Close",
        "Volume",
    )


def test_prices_keep_their_type():
    columns = bars([0, 1], Open=np.array([1, 2], "f4"), High=np.array([1, 2], "i4"))

    hour = resample(columns, Timeframe.parse("1H"))

    assert (hour["Open"].dtype, hour["High"].dtype) == (np.float32, np.int32)


def test_no_rows_make_no_windows_but_columns():
    schema = Schema.of({"Open": "f8", "High": "f4", "Low": "i4", "Close": "f8", "Volume": "i4"})

    empty = resample(Columns.empty(schema), Timeframe.parse("1D"), "America/New_York")

    assert len(empty) == 0
    assert empty.schema == Schema.of(
        {"Open": "f8", "High": "f4", "Low": "i4", "Close": "f8", "Volume": "i8"}
    )


def test_bars_have_four_numeric_prices():
    prices = {"Open": "f8", "High": "f8", "Low": "f8", "Close": "f8"}

    assert is_bars(Schema.of(prices))
    assert not is_bars(Schema.of({**prices, "Close": "U4"}))
    assert not is_bars(Schema.of({"Price": "f8"}))


def test_names_tell_what_is_made_and_what_is_needed():
    schema = Schema.of({"VWAP": "f8", "Close": "f8", "Volume": "f8", "Note": "U4"})

    assert output_names(schema) == ("Close", "Volume", "VWAP")
    assert input_names(["VWAP"]) == ["VWAP", "Volume"]
    assert input_names(["Close"]) == ["Close"]
