"""frames: Columns in pandas, polars, Arrow and DuckDB are the same rows."""

from __future__ import annotations

import sys

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsstore import arrow
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.tables import read_table

ROWS = Columns(
    np.array([-1, 0, 1_381_239_000_000_000_001, 1_381_239_000_000_000_001]),
    {
        "Price": np.array([1.5, np.nan, np.inf, -0.0]),
        "Size": np.array([0, 1, 2**64 - 1, 3], np.uint64),
        "Small": np.array([-1, 0, 1, 2], np.int8),
        "Up": np.array([True, False, True, True]),
        "Name": np.array(["", "b", "ccc", "dd"]),
        "Wide": np.array(["é", "", "漢字", "x"]),
    },
    variable=True,
    tz="America/New_York",
)
CALLS = ["to_pandas", "to_polars", "to_arrow"]


def assert_same(table, columns):
    np.testing.assert_array_equal(table.ts, columns.ts)
    assert list(table.arrays) == list(columns.names)
    for name, array in table.arrays.items():
        np.testing.assert_array_equal(array, columns[name])
        if array.dtype.kind != "U":
            assert array.dtype == columns[name].dtype


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("part", [ROWS, ROWS.slice(1, 3)])
def test_what_goes_out_comes_back(call, part):
    assert_same(read_table(getattr(part, call)()), part)


@pytest.mark.parametrize("call", CALLS)
def test_no_rows_go_out_and_come_back(call):
    table = read_table(getattr(ROWS.slice(0, 0), call)())

    assert len(table) == 0
    assert list(table.arrays) == list(ROWS.names)


_DTYPES = st.sampled_from(["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "?"])


@st.composite
def batches(draw):
    rows = draw(st.integers(0, 6))
    ts = np.sort(draw(hnp.arrays(np.int64, rows, elements=st.integers(-(2**62), 2**62))))
    columns = {
        f"C{index}": draw(hnp.arrays(draw(_DTYPES), rows))
        for index in range(draw(st.integers(0, 3)))
    }
    letters = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
    texts = draw(st.lists(st.text(letters, max_size=5), min_size=rows, max_size=rows))
    columns["T"] = np.array(texts, "U5")
    return Columns(ts, columns)


@pytest.mark.parametrize("call", CALLS)
@given(columns=batches())
def test_any_batch_goes_out_and_comes_back(call, columns):
    table = read_table(getattr(columns, call)())

    if len(columns):
        assert_same(table, columns)
    assert len(table) == len(columns)


def test_pandas_is_indexed_by_time_in_the_zone():
    frame = ROWS.to_pandas()

    assert frame.index.name == "Epoch"
    assert str(frame.index.dtype) == "datetime64[ns, America/New_York]"
    assert frame.index[3] == pd.Timestamp("2013-10-08 09:30:00.000000001-04:00")
    assert frame.dtypes["Small"] == np.int8


def test_a_pandas_frame_can_be_changed_without_harm():
    price = np.array([1.0])
    price.flags.writeable = False
    columns = Columns(np.array([0]), {"Price": price})

    frame = columns.to_pandas()
    frame.iloc[0, 0] = 2.0

    assert columns["Price"].tolist() == [1.0]
    assert frame["Price"].tolist() == [2.0]


def test_polars_and_arrow_have_the_time_first():
    assert ROWS.to_polars().schema["Epoch"] == pl.Datetime("ns", "America/New_York")
    assert ROWS.to_arrow().schema.field(0) == pa.field(
        "Epoch", pa.timestamp("ns", "America/New_York")
    )
    assert ROWS.to_arrow().schema.field("Name").type == pa.string()
    assert ROWS.to_arrow().schema.field("Up").type == pa.bool_()


def test_arrow_shares_the_memory_of_the_columns():
    table = ROWS.to_arrow()

    assert np.shares_memory(table["Price"].chunk(0).to_numpy(), ROWS["Price"])


def test_a_stream_outlives_its_columns():
    table = Columns(np.arange(3), {"P": np.arange(3.0)}).to_arrow()

    assert table["P"].to_pylist() == [0.0, 1.0, 2.0]


@pytest.mark.parametrize("call", CALLS)
def test_text_beyond_the_size_of_a_string_column_is_the_same(call, monkeypatch):
    monkeypatch.setattr(arrow, "_STRING_BYTES_MAX", 2)

    assert_same(read_table(getattr(ROWS, call)()), ROWS)
    assert ROWS.to_arrow().schema.field("Name").type == pa.large_string()


def test_columns_that_are_views_go_out_as_they_look():
    columns = Columns(
        np.arange(6)[::2], {"P": np.arange(6.0)[::2], "B": np.array([True, False] * 3)[::2]}
    )

    assert columns.to_polars()["P"].to_list() == [0.0, 2.0, 4.0]
    assert columns.to_arrow()["B"].to_pylist() == [True, True, True]


def test_duckdb_reads_columns_in_place():
    rows = ROWS.in_zone("UTC")

    found = duckdb.sql("SELECT count(*), max(Size), sum(Up::INT), max(Wide) FROM rows").fetchall()

    assert found == [(len(rows), 2**64 - 1, 3, "漢字")]


@pytest.mark.parametrize(
    ("call", "package"), [("to_pandas", "pandas"), ("to_polars", "polars"), ("to_arrow", "pyarrow")]
)
def test_a_library_that_is_not_there_is_named(call, package, monkeypatch):
    monkeypatch.setitem(sys.modules, package, None)

    with pytest.raises(InvalidArgumentError, match=rf"{call}\(\) needs {package}, .*pip install"):
        getattr(ROWS, call)()
