"""What some client sends and MarketStore refuses or passes over, and works here.

A row type in Create is `test_d14_…` of test_defects.py, keys without their category `test_m17_…` of
test_contract.py.
"""

from __future__ import annotations

import numpy as np
import pytest

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
KEY = "A/1Min/X"


@pytest.mark.parametrize("codec", ["msgpack", "json"])
def test_columns_of_create_may_be_one_text(server, codec):
    names = (
        ("key", "data_shapes", "row_type")
        if codec == "msgpack"
        else ("Key", "DataShapes", "RowType")
    )
    request = dict(zip(names, (KEY, "Epoch/int64:Open,High/float32:Size/u4", "fixed"), strict=True))
    server.carriers[codec].result("Create", {"requests": [request]})
    (found,) = server.carriers["msgpack"].query({"destination": KEY})
    assert list(found.columns) == ["Epoch", "Open", "High", "Size"]
    assert found.types == ["i8", "f4", "f4", "u4"]


@pytest.mark.parametrize(
    ("spellings", "kind"),
    [
        (["FLOAT32", "float32", "f4", "<f4", "=f4"], "f4"),
        (["INT64", "int64", "i8", "<i8", "EPOCH"], "i8"),
        (["UINT8", "uint8", "u1", "|u1"], "u1"),
        (["BYTE", "byte", "i1", "|i1"], "i1"),
        (["BOOL", "bool", "b1", "|b1"], "b1"),
        (["STRING16", "string16", "U16", "<U16"], "U16"),
        (["U1"], "U1"),
        (["U64"], "U64"),
    ],
)
def test_types_of_create_have_many_spellings(carrier, spellings, kind):
    columns = [(f"c{number}", text) for number, text in enumerate(spellings)]
    assert carrier.create(KEY, [("Epoch", "i8"), *columns], "fixed") == ""
    assert carrier.query({"destination": KEY})[0].types == ["i8"] + [kind] * len(columns)


@pytest.mark.parametrize(
    ("kind", "prefix"),
    [
        *(("u1", "|"), ("i1", "|"), ("b1", "|")),
        *(("f4", "<"), ("f8", "="), ("i2", "<"), ("U16", "<")),
        *(("U1", ""), ("U5", "<"), ("U100", "")),
    ],
)
def test_types_of_rows_may_have_marks_and_texts_any_width(carrier, kind, prefix):
    values = np.array(["a", "b"] if kind[0] == "U" else [0, 1], kind)
    columns = {"Epoch": [T0, T0 + 60], "V": values}
    assert carrier.write(KEY, columns, types=["<i8", prefix + kind]) == []
    (found,) = carrier.query({"destination": KEY})
    assert (found.types[1], found.columns["V"]) == (kind, values.tolist())


def test_lists_may_be_of_one_timeframe_and_of_one_day(carrier):
    for key, epoch in (("B/1Min/X", T0), ("A/1Min/X", T0 + 86_400), ("A/1D/X", T0)):
        carrier.write(key, {"Epoch": [epoch], "P": [1.0]})
    assert carrier.listed(timeframe="1Min") == ["A/1Min/X", "B/1Min/X"]
    assert carrier.listed(date="2013-10-08") == ["A/1D/X", "B/1Min/X"]
    assert carrier.listed(timeframe="1Min", date="2013-10-09") == ["A/1Min/X"]
    assert carrier.listed(date=str(T0)) == ["A/1D/X", "B/1Min/X"]
    assert carrier.listed(timeframe="5Min") == []


@pytest.mark.parametrize("timeframe", ["1M", "3M"])
def test_months_may_be_written(carrier, timeframe):
    october = 1_380_600_000  # midnight in New York
    key = f"A/{timeframe}/X"
    assert carrier.write(key, {"Epoch": [T0], "P": [1.0]}) == []
    assert carrier.query({"destination": key})[0].columns == {"Epoch": [october], "P": [1]}
