"""DataService.Query as MarketStore's clients know it."""

from __future__ import annotations

import numpy as np
import pytest

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
KEY = "AAPL/1Min/OHLCV"
SUFFIX = ":Symbol/Timeframe/AttributeGroup"


@pytest.fixture
def bars(rpc):
    """Five minutes of two symbols."""
    for symbol, base in (("AAPL", 100.0), ("MSFT", 30.0)):
        columns = {
            "Epoch": [T0 + 60 * minute for minute in range(5)],
            "Open": [base + minute for minute in range(5)],
            "Close": [base + minute + 0.5 for minute in range(5)],
        }
        assert rpc.write(f"{symbol}/1Min/OHLCV", columns) == []
    return rpc


@pytest.fixture
def ticks(rpc):
    columns = {
        "Epoch": [T0, T0, T0 + 1],
        "Price": [1.0, 2.0, 3.0],
        "Nanoseconds": np.array([5, 999_999_999, 0], "i4"),
    }
    assert rpc.write("AAPL/1Sec/TICK", columns, variable=True) == []
    return rpc


def test_rows_come_back_ascending_with_epoch_first(bars):
    found = bars.query(KEY)
    assert list(found) == ["Epoch", "Open", "Close"]
    assert found["Epoch"] == [T0 + 60 * minute for minute in range(5)]


def test_nanoseconds_stand_last_in_variable_buckets(ticks):
    found = ticks.query("AAPL/1Sec/TICK")
    assert list(found) == ["Epoch", "Price", "Nanoseconds"]
    assert found["Nanoseconds"] == [5, 999_999_999, 0]


def test_the_answer_names_its_buckets_in_full_and_sorted(bars):
    result = bars.result("Query", {"destination": "MSFT,AAPL/1Min/OHLCV"})
    found = result["responses"][0]["result"]
    assert found["startindex"] == {"AAPL/1Min/OHLCV" + SUFFIX: 0, "MSFT/1Min/OHLCV" + SUFFIX: 5}
    assert found["lengths"] == {"AAPL/1Min/OHLCV" + SUFFIX: 5, "MSFT/1Min/OHLCV" + SUFFIX: 5}
    assert found["length"] == 10


def test_the_zone_and_version_stand_beside_the_responses(bars):
    result = bars.result("Query", {"destination": KEY})
    assert list(result) == ["responses", "version", "timezone"]
    assert result["timezone"] == "UTC"


def test_a_row_that_is_not_over_is_said_to_be(bars):
    now = np.array([np.datetime64("now", "s").astype("i8")])
    bars.write("A/100Y/OHLCV", {"Epoch": now, "Open": [1.0]})
    first, second = bars.result("Query", {"destination": "A/100Y/OHLCV"}, {"destination": KEY})[
        "responses"
    ]
    assert first["partial"] == ["A/100Y/OHLCV" + SUFFIX]
    assert list(second) == ["result"]


def test_adjusted_rows_are_asked_for_by_function(bars):
    split = {"Epoch": [T0 + 120], "From": [1.0], "To": [2.0]}
    assert bars.write("AAPL/1D/SPLITS", split, variable=True) == []
    found = bars.query(KEY, functions=["adjust('split')"])
    assert found["Open"] == [50.0, 50.5, 102.0, 103.0, 104.0]


def test_a_bucket_without_rows_in_range_has_columns_and_no_rows(bars):
    assert bars.query(KEY, epoch_end=T0 - 60) == {"Epoch": [], "Open": [], "Close": []}


def test_a_range_that_ends_before_it_begins_is_empty(bars):
    assert bars.query(KEY, epoch_start=T0 + 60, epoch_end=T0)["Epoch"] == []


def test_a_created_bucket_without_rows_is_found(rpc):
    request = {
        "key": KEY + SUFFIX,
        "column_names": ["Epoch", "Open"],
        "column_types": ["i8", "f4"],
        "row_type": "fixed",
    }
    rpc.result("Create", request)
    assert rpc.query(KEY) == {"Epoch": [], "Open": []}


def test_an_unknown_bucket_has_both_texts_that_clients_look_for(rpc):
    text = rpc.error("Query", {"destination": "NOPE/1Min/Tick"})
    assert "no files returned from query parse" in text
    assert "no results returned from query" in text


def test_one_unknown_bucket_fails_the_whole_call(bars):
    assert "NOPE" in bars.error("Query", {"destination": KEY}, {"destination": "NOPE/1Min/X"})


def test_a_limit_takes_the_last_rows_of_each_bucket(bars):
    assert bars.query("AAPL,MSFT/1Min/OHLCV", limit_record_count=2)["Open"] == [103, 104, 33, 34]


def test_a_limit_from_the_start_takes_the_first_rows(bars):
    found = bars.query(KEY, limit_record_count=2, limit_from_start=True)
    assert found["Open"] == [100, 101]


def test_a_limit_counts_within_the_range(bars):
    assert bars.query(KEY, epoch_end=T0 + 120, limit_record_count=2)["Open"] == [101, 102]


def test_a_negative_limit_is_an_error(bars):
    text = bars.error("Query", {"destination": KEY, "limit_record_count": -1})
    assert "limit_record_count" in text


def test_both_ends_of_a_range_belong_to_it(bars):
    assert bars.query(KEY, epoch_start=T0 + 60, epoch_end=T0 + 180)["Open"] == [101, 102, 103]


def test_a_range_of_bars_takes_the_slots_that_hold_its_ends(bars):
    assert bars.query(KEY, epoch_start=T0 + 90, epoch_end=T0 + 130)["Open"] == [101, 102]


def test_a_range_of_ticks_is_exact_to_the_nanosecond(ticks):
    found = ticks.query(
        "AAPL/1Sec/TICK",
        epoch_start=T0,
        epoch_start_nanos=6,
        epoch_end=T0,
        epoch_end_nanos=999_999_999,
    )
    assert found["Price"] == [2.0]


def test_an_end_beyond_all_time_is_no_limit(bars):
    assert len(bars.query(KEY, epoch_end=2**63 - 1)["Epoch"]) == 5


def test_columns_come_in_the_order_asked_for_and_unknown_ones_are_dropped(bars):
    found = bars.query(KEY, columns=["Close", "Nope", "Open", "Close", "Epoch"])
    assert list(found) == ["Epoch", "Close", "Open"]


def test_only_unknown_columns_leave_the_time(ticks):
    assert list(ticks.query("AAPL/1Sec/TICK", columns=["Nope"])) == ["Epoch", "Nanoseconds"]


def test_unknown_symbols_of_a_list_are_left_out(bars):
    assert bars.query("NOPE,AAPL,AAPL/1Min/OHLCV", limit_record_count=1)["Open"] == [104]


def test_a_star_asks_for_all_symbols(bars):
    assert len(bars.query("*/1Min/OHLCV")["Epoch"]) == 10


def test_symbols_with_other_columns_do_not_mix(bars):
    bars.write("IBM/1Min/OHLCV", {"Epoch": [T0], "Open": [1.0]})
    text = bars.error("Query", {"destination": "IBM,AAPL/1Min/OHLCV"})
    assert text == (
        "symbols in a query must have the same data type or be filtered by common columns. "
        "symbols=[AAPL IBM]"
    )


@pytest.mark.parametrize(("kind", "wide"), [("f4", "f8"), ("i4", "i8"), ("u4", "u8")])
def test_stored_and_computed_rows_mix_in_the_wider_type(rpc, kind, wide):
    """Sums are computed wide, so that none overflows; the stored ones are as they were written."""
    prices = {name: np.array([1.0, 2.0], "f4") for name in ("Open", "High", "Low", "Close")}
    rows = {"Epoch": [T0, T0 + 60], **prices, "Volume": np.array([5, 7], kind)}
    for key in ("A/5Min/OHLCV", "B/1Min/OHLCV", "C/1D/OHLCV"):
        assert rpc.write(key, rows) == []
    request = {"destination": "A,B/5Min/OHLCV"}
    found = rpc.result("Query", request)["responses"][0]["result"]
    assert found["types"] == ["i8", "f4", "f4", "f4", "f4", wide]
    assert np.frombuffer(found["data"][5], wide).tolist() == [7, 12]
    other = {**rows, "Volume": np.array([5, 7], wide)}
    assert rpc.write("D/1D/OHLCV", other) == []
    assert "same data type" in rpc.error("Query", {"destination": "C,D/1D/OHLCV"})


def test_symbols_with_other_columns_mix_by_their_common_ones(bars):
    bars.write("IBM/1Min/OHLCV", {"Epoch": [T0], "Open": [1.0]})
    found = bars.query("IBM,AAPL/1Min/OHLCV", columns=["Open"], limit_record_count=1)
    assert found["Open"] == [104, 1]


def test_the_category_may_come_with_the_destination_or_permuted(bars):
    assert bars.query(KEY + SUFFIX, limit_record_count=1)["Open"] == [104]
    found = bars.query(
        "OHLCV/AAPL/1Min",
        key_category="AttributeGroup/Symbol/Timeframe",
        limit_record_count=1,
    )
    assert found["Open"] == [104]


def test_an_empty_category_is_the_usual_one(bars):
    assert len(bars.query(KEY, key_category="")["Epoch"]) == len(bars.query(KEY)["Epoch"])


def test_a_category_without_a_part_is_refused(bars):
    request = {"destination": "AAPL/1Min", "key_category": "Symbol/Timeframe"}
    text = bars.error("Query", request)
    assert text.startswith("destinations must have a Symbol, Timeframe and AttributeGroup, have:")


@pytest.mark.parametrize("destination", ["AAPL", "AAPL/1Min", "A/B/C/D", "", "/"])
def test_a_destination_of_other_than_three_parts_is_an_error(bars, destination):
    assert "no results returned from query" in bars.error("Query", {"destination": destination})


def test_a_timeframe_that_is_none_is_named(bars):
    text = bars.error("Query", {"destination": "A/1X/OHLCV"})
    assert text == (
        "timeframe not found in TimeBucketKey=A/1X/OHLCV:Symbol/Timeframe/AttributeGroup: "
        'timeframe not found in "1X"'
    )


@pytest.mark.parametrize(
    ("written", "meant"),
    [("1min", "1Min"), ("5Minute", "5Min"), ("1hour", "1H"), ("1d", "1D"), ("3MONTHS", "3M")],
)
def test_a_timeframe_in_others_spelling_is_told_in_ours(bars, written, meant):
    text = bars.error("Query", {"destination": f"A/{written}/OHLCV"})
    assert text.endswith(f'timeframe not found in "{written}"; write {meant}')


@pytest.mark.parametrize("written", ["min", "1m", "0min", "01min"])
def test_a_timeframe_that_may_be_another_is_not_guessed(bars, written):
    text = bars.error("Query", {"destination": f"A/{written}/OHLCV"})
    assert "; write " not in text


def test_answers_come_in_the_order_of_the_requests(bars):
    requests = [{"destination": f"{symbol}/1Min/OHLCV"} for symbol in ("MSFT", "AAPL", "MSFT")]
    responses = bars.result("Query", *requests)["responses"]
    keys = [next(iter(response["result"]["lengths"])) for response in responses]
    assert [key.split("/")[0] for key in keys] == ["MSFT", "AAPL", "MSFT"]


def test_nil_fields_count_as_not_sent(bars):
    nothing = dict.fromkeys(("epoch_start", "epoch_end", "columns", "functions", "key_category"))
    assert len(bars.query(KEY, limit_record_count=None, **nothing)["Epoch"]) == 5


def test_a_timeframe_that_is_not_stored_is_computed(rpc):
    columns = {"Epoch": [T0 + 60 * minute for minute in range(10)]}
    for name in ("Open", "High", "Low", "Close", "Volume"):
        columns[name] = [float(minute) for minute in range(10)]
    rpc.write(KEY, columns)
    found = rpc.query("AAPL/5Min/OHLCV")
    assert found["Open"] == [0, 5]
    assert found["Close"] == [4, 9]
    assert found["Volume"] == [10, 35]


def test_functions_are_applied(bars):
    assert bars.query(KEY, functions=["count(*)"])["Count"] == [5]


def test_no_requests_is_no_responses(rpc):
    result = rpc.answer("DataService.Query", None)["result"]
    assert result["responses"] is None
    assert result["timezone"] == "UTC"
