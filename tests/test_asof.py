"""Rows of one bucket with what another one had at their time."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsstore
from tsstore import Columns, Schema
from tsstore.asof import asof, make_options
from tsstore.errors import InvalidArgumentError, NotFoundError

NS = 1_000_000_000
TICKS = Schema.of({"Price": "f8", "Size": "i4"}, variable=True)
QUOTES = Schema.of({"Bid": "f8", "Size": "i8", "Venue": "U4"}, variable=True)


def ticks(times: list[int]) -> Columns:
    numbers = np.arange(len(times))
    arrays = {"Price": numbers + 0.5, "Size": numbers.astype(np.int32)}
    return Columns(np.array(times, np.int64), arrays, variable=True)


def quotes(times: list[int]) -> Columns:
    numbers = np.arange(len(times))
    venues = np.array([f"V{number}" for number in numbers], "<U4")
    arrays = {"Bid": numbers * 10.0, "Size": numbers, "Venue": venues}
    return Columns(np.array(times, np.int64), arrays, variable=True)


def write(store: tsstore.Store, key: str, rows: Columns, schema: Schema) -> None:
    data: dict[str, Any] = {"Epoch": rows.ts.astype("M8[ns]"), **dict(rows.items())}
    store.write(key, data, schema=schema)


@pytest.fixture
def filled(store):
    write(store, "A/1Sec/TRADE", ticks([10, 20, 20, 35, 90]), TICKS)
    write(store, "A/1Sec/QUOTE", quotes([5, 12, 20, 20, 40]), QUOTES)
    write(store, "B/1Sec/TRADE", ticks([7]), TICKS)
    return store


def test_each_trade_gets_the_quote_before_it(filled) -> None:
    found = filled.asof("A/1Sec/TRADE", "A/1Sec/QUOTE")
    assert found.ts.tolist() == [10, 20, 20, 35, 90]
    assert found.names == ("Price", "Size", "Bid", "Size_right", "Venue")
    assert found["Bid"].tolist() == [0, 30, 30, 30, 40]
    assert found["Size_right"].dtype == np.int64
    assert found["Venue"].tolist() == ["V0", "V3", "V3", "V3", "V4"]
    assert found.variable


@pytest.mark.parametrize(
    ("options", "bids"),
    [
        ({"allow_exact": False}, [0, 10, 10, 30, 40]),
        ({"direction": "forward"}, [10, 20, 20, 40, None]),
        ({"direction": "forward", "allow_exact": False}, [10, 40, 40, 40, None]),
        ({"direction": "nearest"}, [10, 30, 30, 40, 40]),
        ({"tolerance": 15e-9}, [0, 30, 30, 30, None]),
        ({"tolerance": np.timedelta64(5, "ns")}, [0, 30, 30, None, None]),
        ({"tolerance": timedelta(0)}, [None, 30, 30, None, None]),
        ({"tolerance": "1Min"}, [0, 30, 30, 30, 40]),
        ({"start": np.datetime64(20, "ns"), "end": np.datetime64(35, "ns")}, [30, 30, 30]),
        ({"start": np.datetime64(8, "ns"), "end": np.datetime64(11, "ns")}, [0]),
        ({"start": np.datetime64(91, "ns")}, []),
    ],
)
def test_how_rows_are_matched(filled, options, bids) -> None:
    found = filled.asof("A/1Sec/TRADE", "A/1Sec/QUOTE", **options)
    assert [None if np.isnan(bid) else bid for bid in found["Bid"]] == bids


def test_rows_without_a_match_have_nan_or_nothing(filled) -> None:
    found = filled.asof("A/1Sec/TRADE", "A/1Sec/QUOTE", direction="forward")
    assert found["Size_right"].dtype == np.float64
    assert np.isnan(found["Size_right"][-1])
    assert found["Venue"].tolist() == ["V1", "V2", "V2", "V4", ""]


def test_rows_without_a_match_can_be_left_out(filled) -> None:
    found = filled.asof("A/1Sec/TRADE", "A/1Sec/QUOTE", direction="forward", drop=True)
    assert found.ts.tolist() == [10, 20, 20, 35]
    assert found["Size_right"].tolist() == [1, 2, 2, 4]
    assert found["Size_right"].dtype == np.int64


def test_columns_can_be_chosen_and_named(filled) -> None:
    found = filled.asof(
        "A/1Sec/TRADE",
        "A/1Sec/QUOTE",
        columns=["Size"],
        right_columns=["Size", "Bid"],
        suffix="Q",
        age="Age",
        tz="America/New_York",
    )
    assert found.names == ("Size", "SizeQ", "Bid", "Age")
    assert found["Age"].tolist() == [5e-9, 0, 0, 15e-9, 50e-9]
    assert found.tz == "America/New_York"


def test_whole_numbers_are_not_rounded(store) -> None:
    write(store, "A/1Sec/TRADE", ticks([1, 10]), TICKS)
    rows = quotes([5])
    large = {**dict(rows.items()), "Size": np.array([2**53 + 1])}
    write(store, "A/1Sec/QUOTE", Columns(rows.ts, large, variable=True), QUOTES)
    with pytest.raises(InvalidArgumentError, match="pass drop=True"):
        store.asof("A/1Sec/TRADE", "A/1Sec/QUOTE")
    found = store.asof("A/1Sec/TRADE", "A/1Sec/QUOTE", drop=True)
    assert found["Size_right"].tolist() == [2**53 + 1]


@pytest.mark.parametrize("right", ["1Sec/QUOTE", "*/1Sec/QUOTE"])
def test_several_symbols_meet_their_own_quotes(filled, right) -> None:
    write(filled, "C/1Sec/TRADE", ticks([10]), TICKS)
    write(filled, "C/1Sec/QUOTE", quotes([1, 2]), QUOTES)
    found = filled.asof("*/1Sec/TRADE", right)
    assert list(found) == ["A/1Sec/TRADE", "C/1Sec/TRADE"]  # B has no quotes
    assert found["C/1Sec/TRADE"]["Bid"].tolist() == [10]
    listed = filled.asof(["C/1Sec/TRADE"], right)
    assert listed["C/1Sec/TRADE"]["Bid"].tolist() == [10]
    single = filled.asof("C/1Sec/TRADE", right)
    assert single["Bid"].tolist() == [10]


def test_all_symbols_may_meet_one_bucket(filled) -> None:
    found = filled.asof("*/1Sec/TRADE", "A/1Sec/QUOTE")
    assert found["B/1Sec/TRADE"]["Bid"].tolist() == [0]


def test_bars_may_be_either_side(filled) -> None:
    bars = {"Epoch": [0, 60], **{name: [1.0, 2.0] for name in ("Open", "High", "Low", "Close")}}
    filled.write("A/1Min/OHLCV", bars)
    found = filled.asof("A/1Sec/TRADE", "A/1Min/OHLCV", right_columns=["Close"])
    assert found["Close"].tolist() == [1] * 5
    found = filled.asof("A/1Min/OHLCV", "A/1Sec/QUOTE", right_columns=["Bid"])
    assert [bid for bid in found["Bid"] if not np.isnan(bid)] == [40]
    computed = filled.asof("A/1Sec/TRADE", "A/5Min/OHLCV", right_columns=["Close"])
    assert computed["Close"].tolist() == [2] * 5


def test_rows_that_were_read_may_be_either_side(filled) -> None:
    left = filled.read("A/1Sec/TRADE", limit=2)
    right = filled.read("A/1Sec/QUOTE")
    for one, other in ((left, "A/1Sec/QUOTE"), (left, right)):
        found = filled.asof(one, other, right_columns=["Bid"])
        assert found.names == ("Price", "Size", "Bid")
        assert found["Bid"].tolist() == [30, 40]


def test_a_bar_that_goes_on_stays_one() -> None:
    left = Columns(np.array([0]), {"Close": np.array([1.0])}, partial=True)
    assert asof(_unused, left, quotes([0]), make_options()).partial


def test_only_the_range_and_the_row_before_are_read(filled) -> None:
    reads = []

    def read(key, *arguments, **options):
        rows = filled.read(key, *arguments, **options)
        reads.append((key, len(rows)))
        return rows

    options = make_options(start=np.datetime64(35, "ns"), end=np.datetime64(89, "ns"))
    found = asof(read, "A/1Sec/TRADE", "A/1Sec/QUOTE", options)
    assert found["Bid"].tolist() == [30]
    # The two quotes of the instant before; not the earlier ones, nor the one after the last trade.
    assert reads == [("A/1Sec/TRADE", 1), ("A/1Sec/QUOTE", 1), ("A/1Sec/QUOTE", 2)]


def test_a_side_without_rows_is_an_answer(filled) -> None:
    filled.create("E/1Sec/QUOTE", QUOTES)
    filled.create("E/1Sec/TRADE", TICKS)
    found = filled.asof("A/1Sec/TRADE", "E/1Sec/QUOTE", age="Age")
    assert np.isnan(found["Bid"]).all()
    assert np.isnan(found["Age"]).all()
    assert found["Venue"].tolist() == [""] * 5
    for direction in ("backward", "forward", "nearest"):
        found = filled.asof("E/1Sec/TRADE", "A/1Sec/QUOTE", direction=direction)
        assert (len(found), found["Size_right"].dtype) == (0, np.int64)


@pytest.mark.parametrize(
    ("left", "right", "options", "kind", "text"),
    [
        ("A/1Sec/TRADE", "X/1Sec/QUOTE", {}, NotFoundError, "X/1Sec/QUOTE"),
        ("X/1Sec/TRADE", "A/1Sec/QUOTE", {}, NotFoundError, "X/1Sec/TRADE"),
        ("B/1Sec/*", "1Sec/QUOTE", {}, NotFoundError, "no symbol of 'B/1Sec/*'"),
        ("A/1Sec/TRADE", 5, {}, InvalidArgumentError, "neither a bucket key nor rows"),
        (5, "A/1Sec/QUOTE", {}, InvalidArgumentError, "neither a bucket key nor a list"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"direction": "up"}, InvalidArgumentError, "backward"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"tolerance": -1}, InvalidArgumentError, "no length"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"tolerance": "x"}, InvalidArgumentError, "no length"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"suffix": ""}, InvalidArgumentError, "suffix"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"columns": "Bid"}, InvalidArgumentError, "list of names"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"right_columns": ["No"]}, InvalidArgumentError, "'No'"),
        ("A/1Sec/TRADE", "A/1Sec/QUOTE", {"tz": "Mars"}, InvalidArgumentError, "Mars"),
    ],
)
def test_errors_say_what_is_wrong(filled, left, right, options, kind, text) -> None:
    with pytest.raises(kind) as raised:
        filled.asof(left, right, **options)
    assert text in str(raised.value)


TIMES = st.lists(st.integers(0, 30), max_size=12).map(sorted)


@given(
    TIMES,
    TIMES,
    st.sampled_from(["backward", "forward", "nearest"]),
    st.one_of(st.none(), st.integers(0, 10)),
    st.booleans(),
)
def test_it_is_what_pandas_does(left, right, direction, tolerance, exact) -> None:
    options = make_options(
        direction=direction,
        tolerance=None if tolerance is None else np.timedelta64(tolerance, "ns"),
        allow_exact=exact,
    )
    found = asof(_unused, ticks(left), quotes(right), options)
    frames = [pd.DataFrame({"ts": pd.array(times, "int64")}) for times in (left, right)]
    frames[1]["Bid"] = np.arange(len(right)) * 10.0
    expected = pd.merge_asof(
        *frames, on="ts", direction=direction, tolerance=tolerance, allow_exact_matches=exact
    )
    np.testing.assert_array_equal(found["Bid"], expected["Bid"].to_numpy())


@settings(max_examples=20)
@given(TIMES, TIMES)
def test_it_is_what_duckdb_does(left, right) -> None:
    duckdb = pytest.importorskip("duckdb")
    found = asof(_unused, ticks(left), quotes(sorted(set(right))), make_options())
    with duckdb.connect(":memory:") as connection:
        connection.register("trades", pd.DataFrame({"ts": pd.array(left, "int64")}))
        frame = pd.DataFrame({"ts": pd.array(sorted(set(right)), "int64")})
        frame["Bid"] = np.arange(len(frame)) * 10.0
        connection.register("quotes", frame)
        rows = connection.execute(
            "SELECT Bid FROM trades ASOF LEFT JOIN quotes USING (ts) ORDER BY trades.ts"
        ).fetchall()
    expected = [np.nan if bid is None else bid for (bid,) in rows]
    np.testing.assert_array_equal(found["Bid"], np.array(expected, float))


def _unused(*_: Any, **__: Any) -> Columns:
    raise AssertionError("nothing is read when both sides are there")
