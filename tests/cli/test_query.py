"""`tsstore query`."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys

import numpy as np
import pytest

import tsstore

from .conftest import BARS, bars


def test_a_table_is_aligned_and_counted(data, run) -> None:
    assert run("query", BARS).output == (
        "Epoch                 Close  Volume\n"
        "2024-01-02T14:30:00Z    0.0       0\n"
        "2024-01-02T14:31:00Z    1.0      10\n"
        "2024-01-02T14:32:00Z    2.0      20\n"
        "(3 rows)\n"
    )


def test_csv_is_what_load_reads(data, run, here) -> None:
    (here / "out.csv").write_text(run("query", BARS, "--format", "csv").output)
    assert run("load", "out.csv", "COPY/1Min/OHLCV").exit_code == 0
    with tsstore.open(data, read_only=True) as store:
        before, after = store.read(BARS), store.read("COPY/1Min/OHLCV")
    assert (before.ts == after.ts).all()
    assert (before["Close"] == after["Close"]).all()
    assert after["Volume"].dtype == np.int64


def test_json_is_an_array_of_rows(data, run) -> None:
    rows = json.loads(run("query", BARS, "--format", "json").output)
    assert rows[1] == {"Epoch": "2024-01-02T14:31:00Z", "Close": 1.0, "Volume": 10}


@pytest.mark.parametrize(("style", "text"), [("json", "[]\n"), ("csv", "Epoch,Close,Volume\n")])
def test_no_rows_are_valid_output(data, run, style: str, text: str) -> None:
    assert run("query", BARS, "--start", "2025-01-01", "--format", style).output == text


def test_arrow_is_an_ipc_stream(data) -> None:
    pa = pytest.importorskip("pyarrow")
    command = [sys.executable, "-m", "tsstore", "query", BARS, "--format", "arrow"]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    table = pa.ipc.open_stream(output).read_all()
    assert table.column_names == ["Epoch", "Close", "Volume"]
    assert table.column("Volume").to_pylist() == [0, 10, 20]


def test_a_pattern_prints_the_keys_too(data, run) -> None:
    output = run("query", "*/1Min/OHLCV", "--format", "csv", "--limit", "1").output
    assert list(csv.reader(io.StringIO(output))) == [
        ["Key", "Epoch", "Close", "Volume"],
        [BARS, "2024-01-02T14:32:00Z", "2.0", "20"],
        ["MSFT/1Min/OHLCV", "2024-01-02T14:32:00Z", "2.0", "20"],
    ]


def test_a_pattern_works_in_arrow(data) -> None:
    pa = pytest.importorskip("pyarrow")
    command = [sys.executable, "-m", "tsstore", "query", "*/1Min/OHLCV", "--format", "arrow"]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    assert len(pa.ipc.open_stream(output).read_all()) == 6


def test_buckets_with_other_columns_are_refused_together(data, run) -> None:
    with tsstore.open(data) as store:
        store.write("X/1Min/OHLCV", {"Epoch": [0], "Other": [1.0]})
    result = run("query", "*/1Min/OHLCV")
    assert result.exit_code == 2
    assert "--columns" in result.stderr


@pytest.mark.parametrize(
    ("options", "closes"),
    [
        (["--start", "2024-01-02 14:31"], [1.0, 2.0]),
        (["--end", "2024-01-02T14:31"], [0.0, 1.0]),
        (["--start", "1704205860", "--end", "1704205860"], [1.0]),
        (["--start", "2024-01-02 09:31", "--tz", "America/New_York"], [1.0, 2.0]),
        (["--limit", "1"], [2.0]),
        (["--limit", "1", "--from-start"], [0.0]),
    ],
)
def test_ranges_and_limits(data, run, options, closes) -> None:
    rows = json.loads(run("query", BARS, "--format", "json", *options).output)
    assert [row["Close"] for row in rows] == closes


def test_a_zone_shows_in_the_times(data, run) -> None:
    output = run("query", BARS, "--tz", "America/New_York", "--limit", 1, "--format", "csv").output
    assert "2024-01-02T09:32:00-05:00" in output


def test_columns_are_chosen_and_ordered(data, run) -> None:
    output = run("query", BARS, "--columns", "Volume, Close", "--format", "csv").output
    assert output.startswith("Epoch,Volume,Close\n")


def test_values_that_are_not_there_are_empty_or_null(here, run) -> None:
    with tsstore.open(here / "data") as store:
        store.write(BARS, {"Epoch": [0], "A": [np.nan], "B": np.array([0.1], np.float32)})
    assert run("query", BARS, "--format", "csv").output.endswith("Z,,0.1\n")
    assert json.loads(run("query", BARS, "--format", "json").output)[0]["A"] is None


def test_many_rows_are_printed_in_pieces(here, run) -> None:
    with tsstore.open(here / "data") as store:
        store.write(BARS, bars(25_000))
    for style, lines in (("csv", 25_001), ("table", 25_002), ("json", 25_002)):
        assert len(run("query", BARS, "--format", style).output.splitlines()) == lines


def test_reading_beside_a_writer_sees_its_rows(data, run) -> None:
    with tsstore.open(data) as store:
        store.write(BARS, bars(1, first=3))
        assert "(4 rows)" in run("query", BARS).output


@pytest.mark.parametrize(
    ("key", "why"),
    [
        ("AAPL/5Min/OHLCV", f"and {BARS} has no Open, High, Low and Close to compute it from"),
        ("AAPL/90Sec/OHLCV", "and of 1Min, which is stored, windows of 90Sec cannot be made"),
        ("*/1Sec/OHLCV", "no bucket matches */1Sec/OHLCV, and of 1Min, which is stored"),
        ("AAPL/5Min/NOPE", "there is no bucket AAPL/5Min/NOPE; `tsstore ls` shows what there is"),
    ],
)
def test_a_timeframe_that_cannot_be_computed_says_why(data, run, key, why) -> None:
    result = run("query", key)
    assert result.exit_code == 3
    assert why in result.stderr
    assert "query parse" not in result.stderr


def test_a_program_is_told_why_in_its_own_terms(data) -> None:
    with tsstore.open(data) as store, pytest.raises(tsstore.NotFoundError) as caught:
        store.read("AAPL/90Sec/OHLCV")
    assert "no files returned from query parse" in str(caught.value)
    assert "windows of 90Sec cannot be made; list() shows" in str(caught.value)
