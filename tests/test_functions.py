"""functions: MarketStore's query functions, their arguments and their error texts."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.clock import ManualClock
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.functions import apply, parse

MINUTE = 60 * 10**9
NOW = 1_700_000_000_123_456_789


def rows(minutes, **columns):
    ts = np.array(minutes, np.int64) * MINUTE
    return Columns(ts, {name: np.asarray(array) for name, array in columns.items()})


BARS = rows(
    [0, 1, 4, 5, 60],
    Open=[1.0, 2.0, 3.0, 4.0, 5.0],
    High=[2.0, 9.0, 4.0, 5.0, 6.0],
    Low=[0.5, 1.0, 2.0, 3.0, 4.0],
    Close=[1.5, 2.5, 3.5, 4.5, 5.5],
    Volume=np.array([1, 2, 3, 4, 5], np.int32),
)


def call(text, columns=BARS, tz="UTC"):
    return apply(columns, [parse(text)], tz=tz, clock=ManualClock(NOW))


def as_lists(columns):
    return {name: array.tolist() for name, array in columns.items()}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("count(*)", {"Count": [5]}),
        ("Count(Open)", {"Count": [5]}),
        ("COUNT( Open , Close )", {"Count": [5]}),
        ("min(Low)", {"Min": [0.5]}),
        ("max(Volume)", {"Max": [5]}),
        ("avg(Volume)", {"Avg": [3.0]}),
        ("sum(Volume)", {"Sum": [15]}),
        ("vwap(Close, Volume)", {"VWAP": [(1.5 + 5 + 10.5 + 18 + 27.5) / 15]}),
        ("max(Epoch)", {"Max": [3600]}),
    ],
)
def test_a_summary_is_one_row_of_now(text, wanted):
    found = call(text)

    assert as_lists(found) == wanted
    assert found.ts.tolist() == [NOW]


@pytest.mark.parametrize("dtype", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "?"])
@pytest.mark.parametrize("text", ["min(X)", "max(X)", "avg(X)", "sum(X)", "vwap(X, X)", "first(X)"])
def test_a_summary_takes_any_number(dtype, text):
    assert len(call(text, rows([0, 1], X=np.array([0, 1], dtype)))) == 1


def test_the_first_and_last_value_keep_their_time():
    first, last = call("first(Open)"), call("LAST(Open)")

    assert (as_lists(first), first.ts.tolist()) == ({"First": [1.0]}, [0])
    assert (as_lists(last), last.ts.tolist()) == ({"Last": [5.0]}, [60 * MINUTE])


def test_the_first_and_last_value_are_there():
    gaps = rows([0, 1, 2, 3], X=[float("nan"), 1.0, 3.0, float("nan")])

    assert as_lists(call("first(X)", gaps)) == {"First": [1.0]}
    assert as_lists(call("last(X)", gaps)) == {"Last": [3.0]}
    assert len(call("last(X)", gaps.slice(0, 1))) == 0
    assert as_lists(call("last(X)", rows([0], X=np.array(["abc"])))) == {"Last": ["abc"]}


def test_vwap_is_of_windows_when_a_timeframe_is_given():
    found = call("vwap('5Min', Close, Volume)")

    assert found.ts.tolist() == [0, 5 * MINUTE, 60 * MINUTE]
    assert as_lists(found) == {"VWAP": [(1.5 + 5 + 10.5) / 6, 4.5, 5.5]}
    nothing = rows([0, 1], Close=[1.0, 2.0], Volume=[0, 0])
    assert np.isnan(call("vwap(Volume::Volume, Price::Close)", nothing)["VWAP"]).all()


def test_a_summary_is_exact():
    big = 2**63 + 1

    assert call("max(X)", rows([0, 1], X=np.array([big, 0], "u8")))["Max"].tolist() == [big]
    assert call("min(X)", rows([0], X=[0.1]))["Min"].tolist() == [0.1]


def test_a_summary_passes_over_nan():
    columns = rows([0, 1, 2], X=[float("nan"), 1.0, 3.0])

    assert call("min(X)", columns)["Min"].tolist() == [1.0]
    assert call("avg(X)", columns)["Avg"].tolist() == [2.0]


def test_a_summary_of_nothing_is_nan_and_counts_none():
    empty = BARS.slice(0, 0)

    assert call("count(*)", empty)["Count"].tolist() == [0]
    for text, name in (("min(Open)", "Min"), ("max(Volume)", "Max"), ("avg(Open)", "Avg")):
        assert np.isnan(call(text, empty)[name]).all()
    assert np.isnan(call("avg(X)", rows([0], X=[float("nan")]))["Avg"]).all()


def test_gap_gives_where_rows_are_farther_apart():
    found = call("gap('1Min')")

    assert found["Epoch"].tolist() == [60, 300]
    assert as_lists(found) == {"End": [240, 3600], "Length": [180, 3300]}


def test_gap_of_one_row_is_nothing():
    assert len(call("gap('1Min')", BARS.slice(0, 1))) == 0


def test_candlecandler_makes_bars_of_bars():
    found = call("candlecandler('5Min', Open, High, Low, Close, Sum::Volume, Avg::Volume)")

    assert found["Epoch"].tolist() == [0, 300, 3600]
    assert as_lists(found) == {
        "Open": [1.0, 4.0, 5.0],
        "High": [9.0, 5.0, 6.0],
        "Low": [0.5, 3.0, 4.0],
        "Close": [3.5, 4.5, 5.5],
        "Volume_SUM": [6.0, 4.0, 5.0],
        "Volume_AVG": [2.0, 4.0, 5.0],
    }


@pytest.mark.parametrize(
    "text",
    [
        "candlecandler('5Min', Open, High, Low, Close, Volume, Volume)",
        'CandleCandler("5Min",Open,High,Low,Close,Avg::Volume,Sum::Volume)',
        "candlecandler(Open::Open, '5Min', High, Low, Close, Sum :: Volume, Avg::Volume)",
    ],
)
def test_arguments_are_bound_by_position_or_name(text):
    wanted = call("candlecandler('5Min', Open, High, Low, Close, Sum::Volume, Avg::Volume)")

    assert as_lists(call(text)) == as_lists(wanted)


def test_tickcandler_makes_bars_of_prices():
    found = call("tickcandler('5Min', Close, Sum::Volume)")

    assert as_lists(found) == {
        "Open": [1.5, 4.5, 5.5],
        "High": [3.5, 4.5, 5.5],
        "Low": [1.5, 4.5, 5.5],
        "Close": [3.5, 4.5, 5.5],
        "Volume_SUM": [6.0, 4.0, 5.0],
    }


def test_tickcandler_averages_several_prices():
    found = call("tickcandler('1H', CandlePrice::High, CandlePrice::Low)")

    assert found["Open"].tolist() == [1.25, 5.0]
    assert found["High"].tolist() == [5.0, 5.0]


def test_windows_of_days_begin_at_local_midnight():
    found = call("tickcandler('1D', Close)", tz="America/New_York")

    assert found["Epoch"].tolist() == [-19 * 3600]


@pytest.mark.parametrize(
    "text", ["candlecandler('1D', Open, High, Low, Close, Sum::Volume)", "tickcandler('1D', Open)"]
)
def test_no_rows_make_no_candles(text):
    found = call(text, BARS.slice(0, 0))

    assert len(found) == 0
    assert found.names[:4] == ("Open", "High", "Low", "Close")


def test_calls_are_applied_in_turn():
    calls = [parse("tickcandler('5Min', Close)"), parse("max(Open)")]

    assert as_lists(apply(BARS, calls, clock=ManualClock(NOW))) == {"Max": [5.5]}


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("max", "unable to parse function call max;"),
        ("max(Open", "unable to parse function call max"),
        ("max(Open Close)", "unable to parse function call"),
        ("max(Open,)", "unable to parse function call"),
        ("max('Open)", "unable to parse function call"),
        ("", "unable to parse function call"),
        (5, "unable to parse function call 5"),
        ("foo(Open)", 'no function in the UDA Registry named "foo"; there are adjust, avg, '),
        ("max()", r"Argument mapping error for max: have \[\], need \[\*\]"),
        ("candlecandler('1H', Open)", r"have \[Open\], need \[Open High Low Close\]"),
        (
            "max(Open, Close)",
            r"extra args used: have \[Open Close\], required \[\*\], optional \[\]",
        ),
        ("max(X::Open)", r"extra args used: have \[X::Open\]"),
        ("gap('1Min', Open)", "extra args used"),
        ("candlecandler('1H', Open, High, Low, Close, Volume)", r"optional \[Sum Avg\]"),
        (
            "candlecandler('1H', Open, High, Low, Close, Volume, Volume, Sum::Open)",
            "extra args used",
        ),
        ("max(Nope)", "unable to retrieve column named Nope; there are Epoch, Open"),
        ("count(Nope)", "unable to retrieve column named Nope"),
        ("max(*)", r"unable to retrieve column named \*"),
        (
            "candlecandler(Open, High, Low, Close)",
            "not enough init arguments for candlecandler, need 1 have 0",
        ),
        ("gap()", "not enough init arguments for gap, need 1 have 0"),
        ("gap('1Parsec')", "init aggfunc during query: no suitable timeframe provided: .*1Parsec"),
    ],
)
def test_a_call_that_cannot_be_is_refused(text, error):
    with pytest.raises(InvalidArgumentError, match=error):
        call(text)


@pytest.mark.parametrize(
    "text", ["max(N)", "avg(N)", "tickcandler('1H', N)", "tickcandler('1H', Open, Sum::N)"]
)
def test_text_is_no_number(text):
    with pytest.raises(InvalidArgumentError, match="needs numbers and column 'N' holds text"):
        call(text, rows([0], N=["a"], Open=[1.0]))


@given(text=st.text(st.sampled_from("max(Open,Close)'\":* 1H\n"), max_size=30))
def test_no_text_breaks_the_parser(text):
    with contextlib.suppress(InvalidArgumentError):
        call(text)


def test_an_error_is_one_short_line():
    with pytest.raises(InvalidArgumentError) as caught:
        parse("max(\n" + "x" * 1000)

    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
