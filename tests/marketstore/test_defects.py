"""What MarketStore gets wrong and we must not: one test for each defect, D1 to D15.

They run against `tsstore start` in New York's zone, and fail if the defect were there. D12 needs a
writer and a replica; it is `tests/cli/test_replica.py::
test_a_replica_refuses_writes_and_says_where_to_write`.
"""

from __future__ import annotations

import ast
from pathlib import Path

import msgpack
import numpy as np
import pytest
from click.testing import CliRunner
from websockets.sync.client import connect

from tsstore.cli.main import main

from .carriers import CallError, Dataset

T0 = 1_381_239_000  # 2013-10-08 13:30:00 UTC
NAMES = ("Open", "High", "Low", "Close", "Volume")
BARS = "A/1Min/OHLCV"
TICK = "A/1Sec/TICK"
#: Of each unit, and of those that MarketStore can write and not read, some.
TIMEFRAMES = (
    *("1Sec", "5Sec", "15Sec", "2Min", "3Min", "10Min", "20Min", "60Min", "6H", "8H", "12H", "24H"),
    *("1D", "2D", "1W", "2W", "1M", "3M", "1Y"),
)


def bars(rows: int = 10, kind: str = "f4") -> dict[str, np.ndarray]:
    numbers = np.arange(rows)
    return {"Epoch": T0 + 60 * numbers, **{name: numbers.astype(kind) for name in NAMES}}


def i4(*values: int) -> np.ndarray:
    return np.array(values, "i4")


def test_d1_daily_rows_of_the_first_of_january_stay(carrier):
    new_year = 1_388_552_400  # 2014-01-01 00:00 in New York
    days = new_year + 86_400 * np.arange(-1, 2)
    assert (
        carrier.write("A/1D/OHLCV", {"Epoch": days} | {name: [1.0, 2, 3] for name in NAMES}) == []
    )
    assert carrier.query({"destination": "A/1D/OHLCV"})[0].columns["Close"] == [1, 2, 3]
    years = carrier.query({"destination": "A/1Y/OHLCV"})[0].columns
    assert (years["Epoch"][1], years["Open"][1], years["Volume"][1]) == (new_year, 2, 5)


def test_d2_columns_are_matched_by_name(carrier):
    carrier.write(BARS, {"Epoch": [T0], "Open": [1.0], "Close": [2.0]})
    assert carrier.write(BARS, {"Close": [4.0], "Open": [3.0], "Epoch": [T0 + 60]}) == []
    (found,) = carrier.query({"destination": BARS})
    assert found.columns == {"Epoch": [T0, T0 + 60], "Open": [1, 3], "Close": [2, 4]}


@pytest.mark.parametrize("timeframe", ["1Sec", "1Min", "5Min", "1H", "1D", "1W"])
@pytest.mark.parametrize("epoch", [T0, T0 + 100 * 86_400])  # in summer and in winter
def test_d3_instants_are_exact_in_every_zone(carrier, timeframe, epoch):
    ticks = {
        "Epoch": [epoch, epoch, epoch + 1],
        "P": [1.0, 2, 3],
        "Nanoseconds": i4(0, 1, 999_999_999),
    }
    key = f"A/{timeframe}/TICK"
    assert carrier.write(key, ticks, variable=True) == []
    (found,) = carrier.query({"destination": key, "epoch_start": epoch, "epoch_end": epoch + 2})
    assert found.columns["Epoch"] == ticks["Epoch"]
    assert found.columns["Nanoseconds"] == [0, 1, 999_999_999]


@pytest.mark.parametrize(
    "request_",
    [
        {"destination": "A/1Min"},
        {"destination": BARS, "limit_record_count": -1},
        {"destination": BARS, "functions": ["candlecandler('5Min', Open)"]},
        {"destination": "T/1Min/TICK"},
        {"is_sqlstatement": True, "sql_statement": f"SELECT * FROM `{BARS}` JOIN `{BARS}`;"},
    ],
)
def test_d4_a_request_that_cannot_be_carried_out_is_an_error(carrier, request_):
    carrier.write(BARS, bars(kind="u8"))
    carrier.write("T/1Sec/TICK", {"Epoch": [T0], "Price": [1.0]}, variable=True)
    with pytest.raises(CallError):
        carrier.query(request_)
    (found,) = carrier.query({"destination": BARS, "functions": ["max(Open)"]})
    assert found.columns["Max"] == [9]


def test_d4_rows_that_cannot_be_stored_are_failures(carrier):
    carrier.write(BARS, {"Epoch": [T0], "P": [1.0]})
    short = {"Epoch": [T0, T0 + 60], "P": [1.0]}
    text = {"Epoch": [T0], "P": np.array(["one"], "U16")}
    for columns in (short, text):
        (failure,) = carrier.write(BARS, columns)
        assert "P" in failure
    more_types = [("Epoch", "i8"), ("P", "f4"), ("P", "f4")]
    assert "twice" in carrier.create("B/1Min/X", more_types, "fixed")
    assert carrier.listed() == [BARS]


def test_d4_a_write_without_a_dataset_is_a_failure(rpc):
    (failure,) = rpc.result("Write", {"requests": [{"dataset": None}]})["responses"]
    assert "Epoch column" in failure["error"]


@pytest.mark.parametrize("part", ["..", "../..", "../../../../tmp/x", "/etc", ".", "a\0b"])
def test_d5_no_name_leaves_the_directory(carrier, part):
    for key in (f"{part}/1Min/X", f"A/1Min/{part}"):
        (failure,) = carrier.write(key, {"Epoch": [T0], "P": [1.0]})
        assert failure
        assert carrier.create(key, [("Epoch", "i8"), ("P", "f4")], "fixed")
        assert carrier.destroy(key)
    assert carrier.listed() == []


@pytest.mark.parametrize("limit", [1, 2, 3])
@pytest.mark.parametrize("timeframe", ["5Min", "1H", "1M", "3M"])
def test_d6_a_limit_of_computed_bars_is_exact_and_its_bars_are_whole(carrier, timeframe, limit):
    days = T0 + 5 * 3600 * np.arange(2000)
    carrier.write(BARS, {"Epoch": days, **dict.fromkeys(NAMES, np.ones(2000, "f4"))})
    key = f"A/{timeframe}/OHLCV"
    (every,) = carrier.query({"destination": key})
    (last,) = carrier.query({"destination": key, "limit_record_count": limit})
    (first,) = carrier.query(
        {"destination": key, "limit_record_count": limit, "limit_from_start": True}
    )
    for name, values in every.columns.items():
        assert last.columns[name] == values[-limit:]
        assert first.columns[name] == values[:limit]


def test_d7_computed_bars_without_rows_are_a_dataset_of_columns(carrier):
    carrier.write(BARS, bars())
    (found,) = carrier.query({"destination": "A/5Min/OHLCV", "epoch_start": T0 + 86_400})
    assert found.columns == {name: [] for name in ("Epoch", *NAMES)}
    assert found.bare_keys == ["A/5Min/OHLCV"]


def test_d8_no_tick_is_doubled_or_lost_by_a_crash(start, tmp_path):
    written = {"Epoch": T0 + np.arange(500), "P": np.arange(500.0)}
    server = start(folder=tmp_path)
    assert server.carriers["msgpack"].write(TICK, written, variable=True) == []
    server.process.kill()
    server.process.wait()
    (found,) = start(folder=tmp_path).carriers["msgpack"].query({"destination": TICK})
    assert found.columns["P"] == written["P"].tolist()


def test_d9_lists_and_results_are_sorted(carrier):
    symbols = ["M", "B", "Z", "A", "K"]
    for symbol in symbols:
        carrier.write(f"{symbol}/1Min/OHLCV", bars(1))
    expected = [f"{symbol}/1Min/OHLCV" for symbol in sorted(symbols)]
    assert carrier.listed() == expected
    for destination in ("*/1Min/OHLCV", f"{','.join(symbols)}/1Min/OHLCV"):
        (found,) = carrier.query({"destination": destination})
        assert found.bare_keys == expected
        assert [start for start, _ in found.keys.values()] == [0, 1, 2, 3, 4]


def test_d10_every_timeframe_that_can_be_written_can_be_read(carrier):
    for timeframe in TIMEFRAMES:
        key = f"A/{timeframe}/OHLCV"
        assert carrier.write(key, bars(1)) == []
        (found,) = carrier.query({"destination": key})
        assert (found.bare_keys, found.columns["Close"]) == ([key], [0])


def test_d11_no_column_is_answered_twice(carrier):
    carrier.write(BARS, bars(1))
    carrier.write(TICK, {"Epoch": [T0], "P": [1.0]}, variable=True)
    columns = ["Close", "Epoch", "Close", "Nanoseconds", "Open", "Epoch"]
    (found,) = carrier.query({"destination": BARS, "columns": columns})
    assert list(found.columns) == ["Epoch", "Close", "Open"]
    (found,) = carrier.query({"destination": TICK, "columns": ["P", *columns, "P"]})
    assert list(found.columns) == ["Epoch", "P", "Nanoseconds"]


def test_d12_is_tested_where_replicas_are():
    """The docstring above names the test; it has to be there."""
    path, _, name = (__doc__ or "").replace("\n", "").partition("`tests/")[2].partition("::")
    tree = ast.parse(Path("tests", path).read_text())
    functions = {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}
    assert name.partition("`")[0] in functions


def test_d13_every_row_of_a_batch_is_streamed(server, carrier):
    with connect(server.url.replace("http", "ws") + "/ws", proxy=None) as stream:
        stream.send(msgpack.packb({"streams": ["A/*/*"]}))
        stream.recv(timeout=10)
        carrier.write(BARS, bars(5))
        carrier.write(TICK, {"Epoch": [T0] * 3, "P": [1.0, 2, 3]}, variable=True)
        messages = [msgpack.unpackb(stream.recv(timeout=10)) for _ in range(8)]
    rows = [(one["key"], one["data"].get("Close", one["data"].get("P"))) for one in messages]
    assert sorted(rows) == [*((BARS, n) for n in range(5)), *((TICK, n) for n in (1, 2, 3))]


def test_d14_the_row_type_of_create_is_the_buckets(carrier):
    shape = [("Epoch", "i8"), ("P", "f4")]
    for row_type, rows in (("variable", 2), ("fixed", 1)):
        key = f"A/1Sec/{row_type}"
        assert carrier.create(key, shape, row_type) == ""
        carrier.write(key, {"Epoch": [T0, T0], "P": np.ones(2, "f4")})
        (found,) = carrier.query({"destination": key})
        assert len(found.columns["P"]) == rows


def test_d15_trim_deletes_the_rows_of_its_bucket_from_its_date_on(server, rpc):
    for key in (BARS, "B/1Min/OHLCV"):
        rpc.write(key, bars(3))
    rpc.write(TICK, {"Epoch": [T0 + 3600], "P": [1.0]}, variable=True)
    options = ["connect", "-u", server.url.removeprefix("http://")]
    result = CliRunner().invoke(main, options, input=f"\\trim {BARS} 2013-10-08T13:31\n")
    assert result.exit_code == 0
    found: list[Dataset] = rpc.query(*({"destination": key} for key in rpc.listed()))
    assert [len(one.columns["Epoch"]) for one in found] == [1, 1, 3]
