"""Rows, schemas and operations there and back, exactly."""

from __future__ import annotations

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from tsstore.api import Replace, Write, WriteTable
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError
from tsstore.schema import Schema
from tsstore.tables import Table
from tsstore.wire import exact
from tsstore.wire.codec import MSGPACK
from tsstore.wire.dataset import Dataset, WriteRows, packed, to_dataset

TYPES = ["<i1", "<i2", "<i4", "<i8", "<u1", "<u2", "<u4", "<u8", "<f4", "<f8", "?", "<U5"]


@st.composite
def columns(draw):
    rows = draw(st.integers(0, 20))
    times = st.integers(-(2**63) + 1, 2**63 - 1)
    ts = np.sort(draw(hnp.arrays(np.int64, rows, elements=times)))
    arrays = {
        f"C{index}": draw(hnp.arrays(np.dtype(kind), rows))
        for index, kind in enumerate(draw(st.lists(st.sampled_from(TYPES), max_size=5)))
    }
    return Columns(ts, arrays, variable=draw(st.booleans()))


def over_the_wire(message):
    return msgspec.msgpack.decode(MSGPACK.encode(message), type=type(message))


@given(columns())
def test_rows_read_are_the_same_bits(rows):
    found = exact.columns_of(over_the_wire(exact.rows_of(rows)), "UTC")
    assert found.ts.tolist() == rows.ts.tolist()
    assert found.variable == rows.variable
    assert found.names == rows.names
    for name, array in rows.items():
        assert found[name].dtype == array.dtype
        assert found[name].tobytes() == array.tobytes()
        assert not found[name].flags.writeable


@given(columns(), st.booleans())
def test_rows_written_are_the_same_bits(rows, had_nanoseconds):
    table = Table(rows.ts, dict(rows.items()), ["A"] * len(rows), had_nanoseconds)
    found = exact.table_of(over_the_wire(exact.rows_of_table(table)))
    assert found.symbols == table.symbols
    assert found.had_nanoseconds == had_nanoseconds
    assert found.ts.tolist() == rows.ts.tolist()
    for name, array in rows.items():
        assert found.arrays[name].tobytes() == array.tobytes()


@pytest.mark.parametrize(
    "schema",
    [
        Schema.of({"A": "f8", "B": "U16"}),
        Schema.of({}),
        Schema.of({"A": "u2", "B": "b1"}, variable=True, identity=["A"]),
    ],
)
def test_schemas_are_the_same(schema):
    assert exact.schema_of(over_the_wire(exact.schema_message(schema))) == schema


@pytest.mark.parametrize("kind", ["write", "replace", "table"])
def test_operations_are_of_their_kind(kind):
    rows = exact.rows_of(Columns(np.array([1], np.int64), {"P": np.array([1.0])}))
    message = exact.OperationMessage(kind, "A/1Min/X", rows, None, True, 5, 6)
    operation = exact.operation_of(over_the_wire(message))
    assert type(operation) is {"write": Write, "replace": Replace, "table": WriteTable}[kind]
    assert operation.variable
    if isinstance(operation, Replace):
        assert operation.start.astype(np.int64) == 5
        assert operation.end.astype(np.int64) == 6


@given(columns().filter(len))
def test_a_dataset_is_read_back_as_it_was_written(rows):
    limit = 9 * 10**18
    rows = Columns(np.clip(rows.ts, -limit, limit), dict(rows.items()), variable=True)
    message = to_dataset({"A/1Sec/T": rows})
    written = WriteRows(
        Dataset(
            message["types"],
            message["names"],
            [column.view for column in message["data"]],
            {key: start.value for key, start in message["startindex"].items()},
            {key: length.value for key, length in message["lengths"].items()},
        )
    )
    assert written.slices == [("A/1Sec/T", 0, len(rows))]
    table = written.rows(0, len(rows))
    assert table.ts.tolist() == rows.ts.tolist()
    for name, array in rows.items():
        assert table.arrays[name].tobytes() == array.tobytes()


def test_a_schema_of_unequal_lists_is_refused():
    with pytest.raises(InvalidArgumentError, match="2 names and 1 types"):
        exact.schema_of(exact.SchemaMessage(["A", "B"], ["f8"]))


def test_columns_with_gaps_between_values_are_packed():
    assert bytes(packed(np.arange(6, dtype="u1")[::2])) == b"\x00\x02\x04"
