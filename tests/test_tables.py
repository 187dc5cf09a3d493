"""tables: what users write becomes exact arrays, or an error that names column and row."""

from __future__ import annotations

import datetime as dt
from decimal import Decimal
from zoneinfo import ZoneInfo

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, SchemaMismatchError
from tsstore.schema import Schema
from tsstore.tables import fit, read_table, schema_of

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
EXACT = np.array(["2013-10-08T13:30:00.000000001", "2013-10-08T13:31"], "M8[ns]")
EXACT_NS = [T0 * 10**9 + 1, (T0 + 60) * 10**9]
BASE = {
    "Epoch": EXACT,
    "Price": np.array([1.5, np.nan]),
    "Name": np.array(["a", "bcd"]),
    "Up": np.array([True, False]),
    "Size": np.array([-1, 2], np.int16),
}


def assert_is_base(table):
    assert table.ts.tolist() == EXACT_NS
    assert list(table.arrays) == ["Price", "Name", "Up", "Size"]
    for name, array in table.arrays.items():
        np.testing.assert_array_equal(array, BASE[name])
        assert array.dtype.kind == BASE[name].dtype.kind
    assert table.arrays["Size"].dtype == np.int16


FRAMES = {
    "mapping": lambda: BASE,
    "mapping of lists": lambda: {**BASE, "Name": ["a", "bcd"], "Price": [1.5, float("nan")]},
    "structured": lambda: (
        pd.DataFrame(BASE).astype({"Name": "U3"}, errors="ignore").to_records(index=False)
    ),
    "pandas column": lambda: pd.DataFrame(BASE),
    "pandas index": lambda: pd.DataFrame(BASE).set_index("Epoch"),
    "pandas unnamed index": lambda: pd.DataFrame(BASE).set_index("Epoch").rename_axis(None),
    "pandas aware index": lambda: (
        pd.DataFrame(BASE).set_index("Epoch").tz_localize("UTC").tz_convert("Asia/Tokyo")
    ),
    "pandas nullable": lambda: pd.DataFrame(BASE).astype(
        {"Name": "string", "Size": "Int16", "Up": "boolean"}
    ),
    "pandas arrow": lambda: pd.DataFrame(BASE).astype(
        {
            "Epoch": pd.ArrowDtype(pa.timestamp("ns")),
            "Name": pd.ArrowDtype(pa.string()),
            "Size": pd.ArrowDtype(pa.int16()),
            "Up": pd.ArrowDtype(pa.bool_()),
        }
    ),
    "pandas category": lambda: pd.DataFrame(BASE).astype({"Name": "category"}),
    "polars": lambda: pl.DataFrame(BASE),
    "polars aware": lambda: pl.DataFrame(BASE).with_columns(
        pl.col("Epoch").dt.replace_time_zone("UTC").dt.convert_time_zone("America/New_York")
    ),
    "polars category": lambda: pl.DataFrame(BASE).with_columns(pl.col("Name").cast(pl.Categorical)),
    "arrow": lambda: pa.table(BASE),
    "arrow in chunks": lambda: pa.concat_tables(
        [pa.table(BASE).slice(0, 1), pa.table(BASE).slice(1)]
    ),
    "arrow dictionary": lambda: pa.table(
        {**BASE, "Name": pa.array(["a", "bcd"]).dictionary_encode()}
    ),
    "arrow large string": lambda: pa.table(
        {**BASE, "Name": pa.array(["a", "bcd"], pa.large_string())}
    ),
    "columns of three libraries": lambda: {
        **BASE,
        "Epoch": pl.Series(EXACT).dt.replace_time_zone("UTC"),
        "Price": pa.array([1.5, float("nan")]),
        "Up": pd.Series([True, False]),
    },
    "Columns": lambda: Columns(
        EXACT.astype(np.int64), {n: a for n, a in BASE.items() if n != "Epoch"}
    ),
}


@pytest.mark.parametrize("source", FRAMES)
def test_every_source_gives_the_same_rows(source):
    assert_is_base(read_table(FRAMES[source]()))


@pytest.mark.parametrize(
    "source", ["mapping", "pandas column", "pandas index", "pandas arrow", "polars", "arrow"]
)
def test_naive_datetimes_are_in_the_given_zone(source):
    table = read_table(FRAMES[source](), tz="America/New_York")

    assert table.ts.tolist() == [ns + 4 * 3600 * 10**9 for ns in EXACT_NS]


@pytest.mark.parametrize("source", ["pandas aware index", "polars aware"])
def test_aware_datetimes_are_instants_whatever_the_zone(source):
    assert read_table(FRAMES[source](), tz="America/New_York").ts.tolist() == EXACT_NS


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
@pytest.mark.parametrize("library", [pa.table, pd.DataFrame, dict])
def test_datetimes_of_any_unit_are_exact(unit, library):
    times = np.array([T0 * 10**9, 0], "M8[ns]").astype(f"M8[{unit}]")

    assert read_table(library({"Epoch": times, "P": [1.0, 2.0]})).ts.tolist() == [T0 * 10**9, 0]


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_polars_datetimes_of_any_unit_are_exact(unit):
    frame = pl.DataFrame({"Epoch": EXACT.astype(f"M8[{unit}]")})

    assert (
        read_table(frame).ts.tolist()
        == EXACT.astype(f"M8[{unit}]").astype("M8[ns]").astype(int).tolist()
    )


def test_dates_are_midnights():
    for days in (
        pl.Series([dt.date(2013, 10, 8)]),
        pa.array([dt.date(2013, 10, 8)]),
        [dt.date(2013, 10, 8)],
    ):
        table = read_table({"Epoch": days, "P": [1.0]}, tz="America/New_York")
        assert table.ts.tolist() == [1_381_204_800 * 10**9]


def test_epoch_is_whole_seconds():
    assert read_table({"Epoch": [T0, -1], "P": [1.0, 2.0]}).ts.tolist() == [T0 * 10**9, -(10**9)]


def test_python_datetimes_keep_their_zone():
    times = [dt.datetime(2013, 10, 8, 9, 30, tzinfo=ZoneInfo("America/New_York"))]

    assert read_table({"Epoch": times, "P": [1]}).ts.tolist() == [T0 * 10**9]


@pytest.mark.parametrize("name", ["ts", "Timestamp", "timestamp", "time", "datetime"])
def test_a_datetime_column_of_another_name_is_the_time(name):
    for library in (dict, pd.DataFrame, pl.DataFrame, pa.table):
        assert read_table(library({name: EXACT, "P": [1.0, 2.0]})).ts.tolist() == EXACT_NS


def test_integers_of_another_name_are_not_the_time():
    with pytest.raises(InvalidArgumentError, match="no column Epoch among timestamp, P"):
        read_table({"timestamp": [T0], "P": [1.0]})


def test_epoch_wins_over_an_index_and_other_names():
    frame = pd.DataFrame({"Epoch": [T0], "time": [5]}, index=pd.DatetimeIndex(["2001-01-01"]))

    table = read_table(frame)

    assert table.ts.tolist() == [T0 * 10**9]
    assert table.arrays["time"].tolist() == [5]


def test_a_pandas_series_is_one_column():
    table = read_table(pd.Series([1.5, 2.5], index=EXACT, name="Price"))

    assert table.ts.tolist() == EXACT_NS
    assert table.arrays["Price"].tolist() == [1.5, 2.5]


def test_a_pandas_index_of_symbol_and_time_is_a_cross_section():
    frame = pd.DataFrame({"Symbol": ["B", "A"], "Epoch": EXACT, "P": [1.0, 2.0]})

    table = read_table(frame.set_index(["Symbol", "Epoch"]), with_symbol=True)

    assert table.symbols == ["B", "A"]
    assert table.ts.tolist() == EXACT_NS


# Nanoseconds


def test_nanoseconds_are_part_of_the_time_and_kept_beside_it():
    table = read_table({"Epoch": [T0, T0], "P": [1.0, 2.0], "Nanoseconds": np.array([5, 7], "i4")})

    assert table.had_nanoseconds
    assert table.ts.tolist() == [T0 * 10**9 + 5, T0 * 10**9 + 7]
    assert table.arrays["Nanoseconds"].tolist() == [5, 7]


@pytest.mark.parametrize("rest", [-5, 1_500_000_000, 2**40])
def test_nanoseconds_beyond_a_second_are_carried(rest):
    table = read_table({"Epoch": [T0], "Nanoseconds": [rest]})

    assert table.ts.tolist() == [T0 * 10**9 + rest]


def test_a_variable_bucket_has_no_nanoseconds_column():
    table = read_table({"Epoch": [T0], "Nanoseconds": [5], "P": [1.0]})

    schema = schema_of(table, variable=True)
    fitted = fit(table, schema, where="A/1Sec/TRADE")

    assert schema == Schema.of({"P": "f8"}, variable=True)
    assert fitted.ts.tolist() == [T0 * 10**9 + 5]
    assert list(fitted.arrays) == ["P"]


def test_a_fixed_bucket_keeps_nanoseconds_as_a_column():
    table = read_table({"Epoch": [T0], "Nanoseconds": np.array([-5], "i4"), "P": [1.0]})

    schema = schema_of(table, variable=False)
    fitted = fit(table, schema, where="A/1Min/X")

    assert schema.names == ("Nanoseconds", "P")
    assert fitted.ts.tolist() == [T0 * 10**9]
    assert fitted.arrays["Nanoseconds"].tolist() == [-5]


def test_nanoseconds_fit_a_fixed_bucket_that_has_no_such_column():
    table = read_table({"Epoch": [T0], "Nanoseconds": [5], "P": [1.0]})

    assert list(fit(table, Schema.of({"P": "f8"}), where="A/1Min/X").arrays) == ["P"]


def test_nanoseconds_beside_exact_datetimes_are_a_column_only():
    table = read_table({"Epoch": EXACT, "Nanoseconds": [1, 0]})

    assert not table.had_nanoseconds
    assert table.ts.tolist() == EXACT_NS


def test_nanoseconds_that_are_no_integers_are_refused():
    with pytest.raises(InvalidArgumentError, match="unexpected data type for Nanoseconds column"):
        read_table({"Epoch": [T0], "Nanoseconds": [0.5]})


def test_nanoseconds_that_leave_int64_are_refused():
    with pytest.raises(InvalidArgumentError, match="in row 0 leave the calendar"):
        read_table({"Epoch": [9_000_000_000], "Nanoseconds": [2**62]})


# Symbols


@pytest.mark.parametrize("library", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_symbols_of_a_cross_section_are_taken_out(library):
    table = read_table(
        library({"Symbol": ["MSFT", "A", "MSFT"], "Epoch": [T0] * 3, "P": [1.0, 2.0, 3.0]}),
        with_symbol=True,
    )

    assert table.symbols == ["MSFT", "A", "MSFT"]
    assert list(table.arrays) == ["P"]


def test_symbol_is_an_ordinary_column_of_one_bucket():
    assert read_table({"Symbol": ["A"], "Epoch": [T0]}).arrays["Symbol"].tolist() == ["A"]


@pytest.mark.parametrize(
    ("data", "text"),
    [
        ({"Epoch": [T0]}, "needs a text column Symbol; there are Epoch"),
        ({"Epoch": [T0], "Symbol": [5]}, "Symbol in row 0 is 5, not text"),
        ({"Epoch": [T0, T0], "Symbol": ["A", None]}, "Symbol in row 1 is None, not text"),
        ({"Epoch": [T0, T0], "Symbol": ["A"]}, "'Symbol' has 1 rows and the time has 2"),
        ({"Epoch": [T0], "Symbol": np.array([["A"]])}, "more than one dimension"),
    ],
)
def test_a_cross_section_without_proper_symbols_is_refused(data, text):
    with pytest.raises(InvalidArgumentError, match=text):
        read_table(data, with_symbol=True)


# Columns


def test_big_endian_and_strided_columns_become_plain():
    wide = np.arange(8, dtype=">f8").reshape(4, 2)
    table = read_table(
        {"Epoch": np.array([T0] * 4, ">i8"), "P": wide[:, 1], "N": np.array(list("abcd"), ">U1")}
    )

    assert table.arrays["P"].dtype == np.dtype("<f8")
    assert table.arrays["P"].flags.c_contiguous
    assert table.arrays["P"].tolist() == [1, 3, 5, 7]
    assert table.arrays["N"].dtype == np.dtype("<U1")


def test_half_floats_are_widened():
    assert read_table({"Epoch": [T0], "P": np.array([0.5], "f2")}).arrays["P"].dtype == np.float32


def test_objects_become_what_they_are():
    table = read_table(
        {
            "Epoch": [T0, T0],
            "Text": np.array(["é", "漢字"], object),
            "Whole": np.array([1, 2], object),
            "Mixed": np.array([1, 2.5], object),
        }
    )

    assert [a.dtype.str for a in table.arrays.values()] == ["<U2", "<i8", "<f8"]


def test_masked_floats_become_nan():
    table = read_table({"Epoch": [T0], "P": np.ma.array([1.0], mask=[True])})

    assert np.isnan(table.arrays["P"]).all()


@pytest.mark.parametrize("library", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_no_rows_are_a_table_too(library):
    table = read_table(library({"Epoch": np.empty(0, "i8"), "P": np.empty(0)}))

    assert len(table) == 0
    assert table.arrays["P"].dtype == np.float64


def test_rows_without_data_columns_are_a_table():
    assert read_table({"Epoch": [T0]}).arrays == {}


@pytest.mark.parametrize(
    ("columns", "text"),
    [
        ({"P": [1.0]}, "no column Epoch among P; add whole seconds"),
        ({}, "no column Epoch among no columns at all"),
        ({"Epoch": [True]}, "Epoch has dtype bool"),
        ({"Epoch": np.array(["NaT"], "M8[ns]")}, "row 0 is NaT"),
        ({"Epoch": [float("nan")]}, "Epoch in row 0 is nan"),
        (
            {"Epoch": [T0 * 1000]},
            "as milliseconds it would be 2013-10-08 13:30:00Z: divide it by 1000",
        ),
        ({"Epoch": [T0 * 10**6]}, "as microseconds it would be 2013-10-08 13:30:00Z"),
        ({"Epoch": [T0 * 10**9]}, "as nanoseconds it would be 2013-10-08 13:30:00Z"),
        ({"Epoch": [0.5]}, "fractions of seconds"),
        ({"Epoch": T0}, "'Epoch' has 0 dimensions"),
        ({"Epoch": [[T0]]}, "'Epoch' has 2 dimensions"),
        ({"Epoch": [T0], "P": [[1.0, 2.0]]}, "'P' has 2 dimensions"),
        ({"Epoch": [T0], "P": 5.0}, "'P' has 0 dimensions"),
        ({"Epoch": [T0], "P": [1.0, 2.0]}, "'P' has 2 rows and 'Epoch' has 1"),
        ({"Epoch": [T0, T0], "P": [[1], [1, 2]]}, "'P' is ragged or mixed"),
        ({"Epoch": [T0], "P": "x"}, "'P' is str, not an array"),
        ({"Epoch": [T0], "P": None}, "'P' is NoneType, not an array"),
        ({"Epoch": [T0, T0], "P": [1.0, None]}, "'P' is None in row 1"),
        ({"Epoch": [T0], "P": [pd.NA]}, "'P' is <NA> in row 0"),
        ({"Epoch": [T0], "P": [Decimal("1.5")]}, r"Decimal\('1.5'\).*convert to float"),
        ({"Epoch": [T0, T0], "P": ["a", 1]}, r"'P' holds 1 \(int\) in row 1"),
        ({"Epoch": [T0, T0], "P": [1, "a"]}, r"'P' holds 'a' \(str\) in row 1"),
        ({"Epoch": [T0, T0], "P": ["a", None]}, "'P' is None in row 1"),
        ({"Epoch": [T0, T0], "P": [float("nan"), "a"]}, "'P' is nan in row 0"),
        ({"Epoch": [T0], "P": pd.array(["a", None], "string")[1:]}, "'P' is <NA> in row 0"),
        ({"Epoch": [T0, T0], "P": pd.Categorical(["a", None])}, "'P' is nan in row 1"),
        ({"Epoch": [T0, T0], "P": ["b", "a\0"]}, r"'a\\x00' in row 1, whose last character is NUL"),
        ({"Epoch": [T0, T0], "P": ["b", "\ud800"]}, "half a character in row 1"),
        ({"Epoch": [T0, T0], "P": np.array(["b", "\udfff"])}, "half a character in row 1"),
        ({"Epoch": [T0], "P": np.array([0x110000], "u4").view("U1")}, "half a character in row 0"),
        (
            {"Epoch": [T0], "P": pl.Series([1], dtype=pl.Int128)},
            "column 'P': the Arrow data are of",
        ),
        ({"Epoch": [T0], "P": [2**70]}, "beyond 64 bits"),
        ({"Epoch": [T0], "P": [1j]}, "dtype complex128"),
        ({"Epoch": [T0], "P": np.array([b"x"])}, r"dtype \|S1"),
        ({"Epoch": [T0], "P": EXACT[:1]}, "a row has one time, its Epoch"),
        ({"Epoch": [T0], 5: [1.0]}, "column name 5 is not text"),
        ({"Epoch": [T0], "P": np.ma.array([1], mask=[True])}, "'P' is masked in row 0"),
        ({"Epoch": [T0], "P": pd.array([None], "Int64")}, "'P' is NA in row 0"),
        ({"Epoch": [T0], "P": pa.array([None], pa.int64())}, "'P' is null in row 0"),
        ({"Epoch": [T0, T0], "P": pl.Series(["a", None])}, "'P' is null in row 1"),
        ({"Epoch": [T0], "P": pa.array([Decimal("1.5")])}, "'P' has Arrow type decimal128"),
        ({"Epoch": [T0], "P": pl.Series([[1]])}, "'P' has Arrow type large_list"),
    ],
)
def test_columns_that_cannot_be_kept_are_refused(columns, text):
    with pytest.raises(InvalidArgumentError, match=text):
        read_table(columns)


@pytest.mark.parametrize(
    ("data", "text"),
    [
        (5, "cannot write a int"),
        (None, "cannot write a NoneType"),
        ([[1, 2]], "cannot write a list"),
        (np.zeros(3), "a plain array of float64 has no column names"),
        (np.zeros((2, 2), [("Epoch", "i8")]), "a structured array of 2 dimensions"),
        (pd.DataFrame([[T0, 1, 2]], columns=["Epoch", "P", "P"]), "column 'P' appears twice"),
        (pa.table([[T0], [1], [2]], ["Epoch", "P", "P"]), "column 'P' appears twice"),
        (pa.chunked_array([[1]]), "is one column"),
    ],
)
def test_what_is_no_table_is_refused(data, text):
    with pytest.raises(InvalidArgumentError, match=text):
        read_table(data)


@pytest.mark.parametrize("text", ["", "twelve bytes", "more than twelve bytes", "漢字" * 9])
def test_text_of_any_length_is_read(text):
    for column in (
        pl.Series([text, "x"]),
        pl.Series(["cut", text, "x"]).slice(1),
        pa.array([text, "x"], pa.string_view()),
        pa.array([text, "x"], pa.large_string()),
        pa.chunked_array([[text], ["x"]]),
    ):
        table = read_table({"Epoch": [T0, T0], "Name": column})
        assert table.arrays["Name"].tolist() == [text, "x"]
    frame = pl.DataFrame({"Epoch": [T0, T0], "Name": [text, "x"]})
    assert read_table(frame).arrays["Name"].tolist() == [text, "x"]


def test_float_nulls_become_nan():
    for column in (pl.Series([1.0, None]), pa.array([1.0, None]), pd.array([1.0, None], "Float64")):
        array = read_table({"Epoch": [T0, T0], "P": column}).arrays["P"]
        np.testing.assert_array_equal(array, [1.0, np.nan])


@given(
    rows=st.lists(
        st.tuples(
            st.integers(-(2**62), 2**62),
            st.one_of(st.none(), st.floats(allow_nan=False)),
            st.booleans(),
            st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=4),
        )
    ),
    cut=st.integers(0, 5),
)
def test_arrow_tables_are_read_exactly(rows, cut):
    times, numbers, flags, texts = zip(*rows, strict=True) if rows else ((), (), (), ())
    table = pa.table(
        {
            "Epoch": pa.array(times, pa.timestamp("ns", "UTC")),
            "N": pa.array(numbers, pa.float64()),
            "F": pa.array(flags, pa.bool_()),
            "T": pa.array(texts, pa.string()),
        }
    ).slice(cut)

    read = read_table(table)

    assert read.ts.tolist() == list(times[cut:])
    np.testing.assert_array_equal(
        read.arrays["N"], [np.nan if n is None else n for n in numbers[cut:]]
    )
    assert read.arrays["F"].tolist() == list(flags[cut:])
    assert read.arrays["T"].tolist() == (list(texts[cut:]))


@pytest.mark.parametrize("unit", ["ms", "us", "ns"])
def test_polars_datetimes_of_a_zone_are_instants(unit):
    wall = [dt.datetime(2013, 10, 8, 9, 30, 0, 7000)]
    times = pl.Series(wall, dtype=pl.Datetime(unit)).dt.replace_time_zone("America/New_York")

    assert read_table(pl.DataFrame({"Epoch": times}), tz="Asia/Tokyo").ts.tolist() == [
        T0 * 10**9 + 7_000_000
    ]


@pytest.mark.parametrize("unit", ["s", "ms", "us", "ns"])
def test_pandas_datetimes_of_a_zone_are_instants(unit):
    index = pd.DatetimeIndex(["2013-10-08 09:30"]).as_unit(unit).tz_localize("America/New_York")

    for frame in (pd.DataFrame({"P": [1]}, index=index), pd.DataFrame({"P": [1], "Epoch": index})):
        assert read_table(frame, tz="Asia/Tokyo").ts.tolist() == [T0 * 10**9]


@pytest.mark.parametrize(
    "column",
    [
        pd.array([2**62 + 1, 1], "Int64"),
        pd.Categorical([2**62 + 1, 1]),
        pd.Series([2**62 + 1, 1], dtype=pd.ArrowDtype(pa.int64())),
        pl.Series([2**62 + 1, 1]),
        pa.array([2**62 + 1, 1]).dictionary_encode(),
    ],
)
def test_whole_numbers_never_pass_through_floats(column):
    assert read_table({"Epoch": [T0, T0], "P": column}).arrays["P"].tolist() == [2**62 + 1, 1]


def test_a_polars_column_without_any_value_is_refused():
    with pytest.raises(InvalidArgumentError, match="'P' is null in row 0"):
        read_table(pl.DataFrame({"Epoch": EXACT, "P": [None, None]}))


# fit


@pytest.mark.parametrize("library", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_no_rows_fit_whatever_type_they_would_have(library):
    schema = Schema.of({"Name": "U4", "Size": "u1"})
    table = read_table(library({"Epoch": EXACT[:0], "Name": [], "Size": []}))

    fitted = fit(table, schema, where="X/1Min/Y")

    assert [array.dtype.str for array in fitted.arrays.values()] == ["<U4", "|u1"]


def test_columns_are_matched_by_name():
    schema = Schema.of({"A": "f8", "B": "f8"})

    fitted = fit(read_table({"Epoch": [T0], "B": [2.0], "A": [1.0]}), schema, where="X/1Min/Y")

    assert list(fitted.arrays) == ["A", "B"]
    assert fitted.arrays["A"].tolist() == [1.0]


def test_other_columns_than_the_bucket_has_are_refused():
    table = read_table({"Epoch": [T0], "Open": np.array([1.0], "f4")})

    with pytest.raises(SchemaMismatchError) as caught:
        fit(table, Schema.of({"Close": "f4", "Name": "U16"}), where="X/1Min/Y")

    assert (
        "unable to match data columns ([{Epoch INT64} {Open FLOAT32}]) to bucket columns "
        "([{Epoch INT64} {Close FLOAT32} {Name STRING16}])"
    ) in str(caught.value)
