"""DataService.Create, Destroy, ListSymbols and GetInfo as MarketStore's clients know them."""

from __future__ import annotations

import pytest

import tsstore

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
KEY = "CR8/1Min/OHLCV"
SUFFIX = ":Symbol/Timeframe/AttributeGroup"
BAR = {"column_names": ["Epoch", "Open"], "column_types": ["i8", "f4"]}


def create(rpc, **request):
    return rpc.result("Create", request)["responses"][0]["error"]


def listed(rpc, **params):
    return rpc.answer("DataService.ListSymbols", params)["result"]["Results"]


@pytest.mark.parametrize("key", [KEY, KEY + SUFFIX])
def test_a_created_bucket_is_listed_at_once(rpc, key):
    assert create(rpc, key=key, **BAR) == ""
    assert listed(rpc, format="tbk") == [KEY]


@pytest.mark.parametrize(
    ("kind", "variable"),
    [
        ({"row_type": "variable"}, True),
        ({"row_type": "fixed"}, False),
        ({"is_variable_length": True}, True),
        ({}, False),
    ],
)
def test_the_kind_is_taken_from_either_field(rpc, store, kind, variable):
    assert create(rpc, key=KEY, **BAR, **kind) == ""
    assert store.info(KEY).schema.is_variable is variable


def test_data_shapes_are_taken_instead_of_two_lists(rpc, store):
    shapes = "Epoch/int64:Open,High/float32:Volume/i8"
    assert create(rpc, key=KEY, data_shapes=shapes, row_type="fixed") == ""
    assert str(store.info(KEY).schema) == "fixed (Open f4, High f4, Volume i8)"


def test_a_bucket_that_exists_is_not_created_again(rpc):
    create(rpc, key=KEY, **BAR)
    error = create(rpc, key=KEY, **BAR)
    assert error.startswith("creation of new catalog entry failed: Can not overwrite file")


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ({"key": "CR8/1Min"}, 'key "CR8/1Min" is not in proper format, should be like: TSLA/1Min'),
        ({"key": "../1Min/X"}, "is not in proper format"),
        ({"column_types": ["i8", "S4"]}, "unexpected data type:S4"),
        ({"column_types": ["i4", "f4"]}, "unexpected data type for Epoch column"),
        ({"column_types": ["i8"]}, "2 column names and 1 column types"),
        ({"column_names": ["Epoch", "a/b"]}, "column name"),
        ({"row_type": ""}, 'record type "" must be one of fixed or variable'),
    ],
)
def test_what_cannot_be_created_is_said_in_the_answer(rpc, change, text):
    assert text in create(rpc, **{"key": KEY, **BAR, **change})
    assert listed(rpc) == []


def test_a_destroyed_bucket_is_gone_and_may_come_back_otherwise(rpc):
    create(rpc, key=KEY, **BAR)
    assert rpc.result("Destroy", {"key": KEY + SUFFIX})["responses"][0]["error"] == ""
    assert listed(rpc) == []
    other = {"column_names": ["Close"], "column_types": ["f8"]}
    assert create(rpc, key=KEY, **other) == ""


def test_a_missing_bucket_cannot_be_destroyed(rpc):
    error = rpc.result("Destroy", {"key": KEY})["responses"][0]["error"]
    text = "removal of catalog entry failed: Unable to find level item: CR8 in directory"
    assert error.startswith(text)


def test_one_answer_per_request_in_their_order(rpc):
    create(rpc, key=KEY, **BAR)
    responses = rpc.result("Destroy", {"key": "NO/1Min/X"}, {"key": KEY})["responses"]
    assert [bool(response["error"]) for response in responses] == [True, False]


@pytest.fixture
def buckets(rpc):
    for key, epoch in (("B/1Min/X", T0), ("A/1Min/X", T0 + 86_400), ("A/1D/X", T0)):
        rpc.write(key, {"Epoch": [epoch], "P": [1.0]})
    return rpc


def test_symbols_and_keys_are_listed_sorted(buckets):
    assert listed(buckets) == ["A", "B"]
    assert listed(buckets, format="symbol") == ["A", "B"]
    assert listed(buckets, format="tbk") == ["A/1D/X", "A/1Min/X", "B/1Min/X"]


def test_what_plugins_keep_for_themselves_is_not_listed(buckets):
    buckets.write("_worker/24H/GAPS", {"Epoch": [0], "P": [1.0]})
    assert listed(buckets) == ["A", "B"]
    assert listed(buckets, format="tbk") == ["A/1D/X", "A/1Min/X", "B/1Min/X"]


def test_symbols_are_listed_by_timeframe(buckets):
    assert listed(buckets, timeframe="1D") == ["A"]


@pytest.mark.parametrize("date", ["2013-10-08", str(T0)])
def test_symbols_are_listed_by_the_day_they_have_rows_of(buckets, date):
    assert listed(buckets, format="tbk", date=date) == ["A/1D/X", "B/1Min/X"]


@pytest.mark.parametrize("date", ["yesterday", "\u00b2", "\u0661", "--5", "-"])
def test_a_date_that_is_none_is_an_error(buckets, date):
    answer = buckets.answer("DataService.ListSymbols", {"date": date})
    assert "2013-10-08" in answer["error"]["message"]


def test_info_tells_columns_kind_and_year(rpc):
    rpc.write("A/1Sec/T", {"Epoch": [T0], "Price": [1.0]}, variable=True)
    info = rpc.result("GetInfo", {"key": "A/1Sec/T"})["responses"][0]
    assert info == {
        "LatestYear": 2013,
        "TimeFrame": 1_000_000_000,
        "DSV": [{"Name": "Epoch", "Type": 4}, {"Name": "Price", "Type": 2}],
        "RecordType": 1,
        "ServerResp": {"error": "", "version": tsstore.__version__},
    }


def test_info_of_an_unknown_bucket_is_an_error_in_its_answer(rpc):
    info = rpc.result("GetInfo", {"key": "A/1Min/X"})["responses"][0]
    assert info["DSV"] is None
    assert info["ServerResp"]["error"].startswith("unable to get info about key A/1Min/X:")


@pytest.mark.parametrize("method", ["Write", "Create", "Destroy", "GetInfo"])
def test_no_requests_is_no_responses(rpc, method):
    assert rpc.answer(f"DataService.{method}", {})["result"] == {"responses": None}
