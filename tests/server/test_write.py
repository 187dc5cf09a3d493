"""DataService.Write as MarketStore's clients know it, without its losses."""

from __future__ import annotations

import threading

import numpy as np
import pytest

T0 = 1_381_239_000
KEY = "AAPL/1Min/OHLCV"
SUFFIX = ":Symbol/Timeframe/AttributeGroup"


def i4(*values):
    return np.array(values, "i4")


def test_rows_of_a_fixed_bucket_replace_each_other_by_slot(rpc):
    rpc.write(KEY, {"Epoch": [T0, T0 + 59, T0 + 60], "Open": [1.0, 2.0, 3.0]})
    rpc.write(KEY, {"Epoch": [T0 + 61], "Open": [4.0]})
    assert rpc.query(KEY) == {"Epoch": [T0, T0 + 60], "Open": [2.0, 4.0]}


def test_rows_of_a_variable_bucket_all_stay_in_order_of_time(rpc):
    key = "AAPL/1Sec/TICK"
    rpc.write(key, {"Epoch": [T0 + 1, T0], "Price": [1.0, 2.0]}, variable=True)
    rpc.write(key, {"Epoch": [T0], "Price": [3.0]}, variable=True)
    found = rpc.query(key)
    assert found["Price"] == [2.0, 3.0, 1.0]
    assert found["Nanoseconds"] == [0, 0, 0]


def test_nanoseconds_outside_a_second_move_it(rpc):
    columns = {"Epoch": [T0, T0], "Price": [1.0, 2.0], "Nanoseconds": i4(-5, 1_500_000_000)}
    rpc.write("A/1Sec/TICK", columns, variable=True)
    found = rpc.query("A/1Sec/TICK")
    assert found["Epoch"] == [T0 - 1, T0 + 1]
    assert found["Nanoseconds"] == [999_999_995, 500_000_000]


def test_nanoseconds_of_a_fixed_bucket_are_a_column(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Nanoseconds": i4(7), "Open": [1.0]})
    assert rpc.query(KEY) == {"Epoch": [T0], "Nanoseconds": [7], "Open": [1.0]}


def test_a_variable_write_into_a_fixed_bucket_keeps_the_last_row_of_a_slot(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Open": [1.0]})
    columns = {"Epoch": [T0, T0 + 1], "Open": [2.0, 3.0], "Nanoseconds": i4(1, 2)}
    assert rpc.write(KEY, columns, variable=True) == []
    assert rpc.query(KEY) == {"Epoch": [T0], "Open": [3.0]}


def test_columns_are_matched_by_name(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Open": [1.0], "Close": [2.0]})
    rpc.write(KEY, {"Close": [4.0], "Epoch": [T0 + 60], "Open": [3.0]})
    assert rpc.query(KEY) == {"Epoch": [T0, T0 + 60], "Open": [1.0, 3.0], "Close": [2.0, 4.0]}


def test_other_columns_are_refused_with_both_shapes(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Close": np.array([1.0], "f4")})
    failure = rpc.write(KEY, {"Epoch": [T0], "Open": np.array([1.0], "f4")})
    assert "unable to match data columns ([{Epoch INT64} {Open FLOAT32}])" in failure[0]
    assert "to bucket columns ([{Epoch INT64} {Close FLOAT32}])" in failure[0]


def test_float64_is_rounded_into_a_float32_bucket(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Open": np.array([1.0], "f4")})
    assert rpc.write(KEY, {"Epoch": [T0 + 60], "Open": [0.1]}) == []
    assert rpc.query(KEY)["Open"] == [1.0, np.float32(0.1)]


@pytest.mark.parametrize("kind", ["i4", "i8", "u4", "u8"])
def test_whole_numbers_are_rounded_into_a_float_bucket(rpc, kind):
    volume = np.array([123_456_789, 5], kind)
    rpc.write(KEY, {"Epoch": [T0], "Volume": np.array([1], "f4")})
    assert rpc.write(KEY, {"Epoch": [T0, T0 + 60], "Volume": volume}) == []
    assert rpc.query(KEY)["Volume"] == [np.float32(123_456_789), 5]


def test_whole_numbers_beyond_float64_are_rounded_into_it(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Volume": [1.0]})
    assert rpc.write(KEY, {"Epoch": [T0], "Volume": np.array([2**53 + 1])}) == []
    assert rpc.query(KEY)["Volume"] == [2.0**53]


def test_the_types_of_two_first_writes_at_once_do_not_meet(rpc):
    """Whichever comes first, the other one fits."""
    kinds, keys = ("f4", "f8"), [f"{number}/1Min/X" for number in range(100)]
    failures = []

    def write(kind):
        for key in keys:
            failures.extend(rpc.write(key, {"Epoch": [T0], "Open": np.array([0.1], kind)}))

    threads = [threading.Thread(target=write, args=(kind,)) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []


def test_numbers_beyond_the_range_are_refused(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Open": np.array([1.0], "f4")})
    failure = rpc.write(KEY, {"Epoch": [T0], "Open": [1e300]})
    assert "column 'Open' of the bucket is f4, the data are f8 and 1e+300 in row 0" in failure[0]
    assert rpc.write(KEY, {"Epoch": [T0], "Open": [np.inf]}) == []
    assert rpc.query(KEY)["Open"] == [np.inf]


def test_other_values_that_would_change_are_refused(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Volume": np.array([1], "i4")})
    failure = rpc.write(KEY, {"Epoch": [T0 + 60], "Volume": [0.5]})
    assert "Volume" in failure[0]
    assert rpc.query(KEY)["Volume"] == [1]


def test_only_failures_are_answered_and_the_rest_is_stored(rpc, make_dataset):
    good = make_dataset("A/1Min/X", {"Epoch": [T0], "P": [1.0]})
    bad = make_dataset("B/1Min/X", {"P": [1.0]})
    also_good = make_dataset("C/1Min/X", {"Epoch": [T0], "P": [1.0]})
    requests = [{"dataset": one} for one in (good, bad, also_good)]
    responses = rpc.result("Write", *requests)["responses"]
    assert len(responses) == 1
    assert list(responses[0]) == ["error", "version"]
    assert rpc.answer("DataService.ListSymbols", {})["result"] == {"Results": ["A", "C"]}


def test_a_dataset_of_several_buckets_is_one_atomic_write(rpc, make_dataset):
    dataset = make_dataset("", {"Epoch": [T0, T0 + 60, T0], "P": [1.0, 2.0, 3.0]})
    dataset["startindex"] = {"A/1Min/X": 0, "B/1Min/X" + SUFFIX: 2}
    dataset["lengths"] = {"A/1Min/X": 2, "B/1Min/X" + SUFFIX: 1}
    assert rpc.result("Write", {"dataset": dataset})["responses"] is None
    assert rpc.query("A/1Min/X")["P"] == [1.0, 2.0]
    assert rpc.query("B/1Min/X")["P"] == [3.0]
    dataset["lengths"] = {"C/1Min/X": 2, "../1Min/X": 1}
    dataset["startindex"] = {}
    assert len(rpc.result("Write", {"dataset": dataset})["responses"]) == 1
    assert "no results" in rpc.error("Query", {"destination": "C/1Min/X"})


@pytest.mark.parametrize("field", ["lengths", "startindex"])
def test_a_bucket_that_a_dataset_names_twice_is_refused(rpc, store, make_dataset, field):
    dataset = make_dataset(KEY, {"Epoch": [T0, T0 + 60], "Open": [1.0, 2.0]})
    dataset[field] = {KEY: 1, KEY + SUFFIX: 1}
    [failure] = rpc.result("Write", {"dataset": dataset})["responses"]
    assert "twice" in failure["error"]
    assert store.list() == []


@pytest.mark.parametrize("value", [1e300, -1e300, 3.5e38])
def test_what_a_float32_bucket_cannot_hold_is_refused(rpc, value):
    rpc.write(KEY, {"Epoch": [T0], "Open": np.array([1.0], "f4")})
    [failure] = rpc.write(KEY, {"Epoch": [T0, T0 + 60], "Open": [2.0, value]})
    assert "'Open'" in failure
    assert "row 1" in failure
    assert rpc.query(KEY)["Open"] == [1.0]


def test_infinity_fits_a_float32_bucket(rpc):
    rpc.write(KEY, {"Epoch": [T0], "Open": np.array([1.0], "f4")})
    assert rpc.write(KEY, {"Epoch": [T0, T0 + 60], "Open": [np.inf, np.nan]}) == []


def test_times_that_were_divided_once_too_often_are_warned_about_once_a_bucket(rpc, caplog):
    """A client with a frame whose index is in microseconds writes thousandths of seconds."""
    for key in ("A/1Min/X", "B/1Min/X"):
        assert rpc.write(key, {"Epoch": [T0], "P": [1.0]}) == []
    assert not caplog.records
    assert rpc.write("A/1Min/X", {"Epoch": [T0 // 1000], "Q": [1.0]})  # refused: nothing to tell
    for key in ("A/1Min/X", "B/1Min/X") * 2:
        assert rpc.write(key, {"Epoch": [T0 // 1000], "P": [1.0]}) == []
    first, second = [record.getMessage() for record in caplog.records]
    assert "A/1Min/X: rows of 1970-01-16 are written" in first
    assert "B/1Min/X: rows of 1970-01-16 are written" in second
    assert rpc.query("A/1Min/X")["Epoch"] == [T0 // 1000 // 60 * 60, T0]


def test_no_rows_is_success_and_creates_nothing(rpc):
    assert rpc.write(KEY, {"Epoch": np.array([], "i8"), "Open": np.array([], "f8")}) == []
    assert rpc.answer("DataService.ListSymbols", {})["result"] == {"Results": []}


def test_length_may_be_missing(rpc, make_dataset):
    dataset = make_dataset(KEY, {"Epoch": [T0], "Open": [1.0]})
    del dataset["length"]
    assert rpc.result("Write", {"dataset": dataset})["responses"] is None


@pytest.mark.parametrize("prefix", ["<", "|", "="])
def test_types_may_carry_a_byte_order_mark(rpc, make_dataset, prefix):
    dataset = make_dataset(KEY, {"Epoch": [T0], "Flag": np.array([200], "u1")})
    dataset["types"] = [prefix + text for text in dataset["types"]]
    assert rpc.result("Write", {"dataset": dataset})["responses"] is None
    assert rpc.query(KEY)["Flag"] == [200]


@pytest.mark.parametrize(
    "kind", ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "b1", "U16", "U3"]
)
def test_every_type_comes_back_as_it_was(rpc, kind):
    values = np.array(["ab", "é"] if kind[0] == "U" else [0, 1], kind)
    assert rpc.write(KEY, {"Epoch": [T0, T0 + 60], "X": values}) == []
    result = rpc.result("Query", {"destination": KEY})["responses"][0]["result"]
    assert result["types"] == ["i8", kind]
    assert result["data"][1] == values.tobytes()


def test_all_timeframes_that_can_be_written_can_be_read(rpc):
    for timeframe in ("1Sec", "5Sec", "3Min", "10Min", "6H", "12H", "1D", "2D", "1W", "1M", "1Y"):
        assert rpc.write(f"A/{timeframe}/X", {"Epoch": [T0], "P": [1.0]}) == []
        assert rpc.query(f"A/{timeframe}/X")["P"] == [1.0]


def test_daily_rows_of_the_first_of_january_stay(rpc):
    new_year = 1_388_534_400  # 2014-01-01
    rpc.write("A/1D/X", {"Epoch": [new_year - 86_400, new_year], "P": [1.0, 2.0]})
    assert rpc.query("A/1D/X") == {"Epoch": [new_year - 86_400, new_year], "P": [1.0, 2.0]}
