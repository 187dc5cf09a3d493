"""`tsstore load`."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

import tsstore
from tsstore.cli import tablefile

from .conftest import BARS

CSV = "Epoch,Close,Volume,Note\n2024-01-02 14:30,100,1,x\n2024-01-02 14:31,100.5,2,longer\n"


@pytest.fixture
def load(here, run):
    """Load the text of a CSV file; the result of the command."""

    def load(text: str, *options: object, key: str = BARS, name: str = "in.csv"):
        (here / name).write_text(text)
        return run("load", name, key, *options)

    return load


@pytest.fixture
def stored(here):
    def stored(key: str = BARS):
        with tsstore.open(here / "data", read_only=True) as store:
            return store.read(key)

    return stored


def test_a_csv_file_is_written(load, stored) -> None:
    assert load(CSV).output == f"wrote 2 rows of in.csv to {BARS}\n"
    rows = stored()
    assert rows["Close"].tolist() == [100.0, 100.5]
    assert rows["Volume"].tolist() == [1, 2]
    assert rows["Note"].tolist() == ["x", "longer"]


def test_types_come_from_the_whole_file(load, stored, monkeypatch) -> None:
    monkeypatch.setattr(tablefile, "PIECE_ROWS", 1)
    assert load(CSV).exit_code == 0
    assert [stored()[name].dtype.str for name in ("Close", "Volume", "Note")] == [
        "<f8", "<i8", "<U6",
    ]  # fmt: skip


def test_types_of_an_existing_bucket_are_kept(load, stored, here) -> None:
    with tsstore.open(here / "data") as store:
        store.create(BARS, tsstore.Schema.of({"Close": "f4", "Volume": "u2", "Up": "b1"}))
    assert load("Epoch,Volume,Close,Up\n60,7,1.5,true\n120,8,2.5,0\n").exit_code == 0
    rows = stored()
    assert [rows[name].dtype.str for name in rows.names] == ["<f4", "<u2", "|b1"]
    assert rows["Up"].tolist() == [True, False]


def test_a_gzip_file_is_read(here, run, stored) -> None:
    (here / "in.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    assert run("load", "in.csv.gz", BARS).exit_code == 0
    assert len(stored()) == 2


def test_a_byte_order_mark_and_quotes_are_read(load, stored) -> None:
    load('\ufeffEpoch,Note\n60,"a, ""b"""\n')
    assert stored()["Note"].tolist() == ['a, "b"']


@pytest.mark.parametrize(
    ("cell", "options", "ns"),
    [
        ("60", [], 60 * 10**9),
        ("60000", ["--unit", "ms"], 60 * 10**9),
        ("60000000123", ["--unit", "ns"], 60_000_000_123),
        ("1970-01-01 00:01", [], 60 * 10**9),
        ("1970-01-01T00:01:00Z", ["--tz", "America/New_York"], 60 * 10**9),
        ("1969-12-31 19:01", ["--tz", "America/New_York"], 60 * 10**9),
    ],
)
def test_times_in_any_spelling(load, stored, cell: str, options, ns: int) -> None:
    result = load(f"when,Price\n{cell},1\n", "--time", "when", "--variable", *options)
    assert result.exit_code == 0
    assert stored().ts.tolist() == [ns]


def test_seconds_with_nanoseconds_beside_them(load, stored) -> None:
    load("Epoch,Nanoseconds,Price\n60,5,1\n", "--variable")
    assert stored().ts.tolist() == [60_000_000_005]
    assert stored().names == ("Price",)


def test_an_empty_cell_is_nan(load, stored) -> None:
    load("Epoch,Close\n60,\n120,1\n")
    assert np.isnan(stored()["Close"][0])


def test_ticks_keep_every_row_of_an_instant(load, stored) -> None:
    load("Epoch,Price\n60,1\n60,2\n", "--variable")
    assert stored()["Price"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "has no column 'Epoch'"),
        ("Time,A\n1,2\n", [], "has no column 'Epoch'; name the one with the time by --time"),
        ("Epoch,A,A\n1,2,3\n", [], "two columns 'A'"),
        ("Epoch,A\n1,2\n3\n", [], "row 2 has 1 cells, the header 2"),
        ("Epoch,A\nsoon,2\n", [], "column Epoch, rows 1 to 1: 'soon' is not a time"),
        ("Epoch,A\n60,1\n", ["--tz", "Mars"], ""),
        ("Epoch,A\n99999999999999,1\n", [], "column Epoch"),
    ],
)
def test_bad_files_are_refused(load, here, text, options, message) -> None:
    result = load(text, *options)
    if message:
        assert result.exit_code == 2
        assert message in result.stderr
        assert BARS not in tsstore.open(here / "data").list()


@pytest.mark.parametrize("cell", ["x", "", "1.5"])
def test_a_cell_that_does_not_fit_the_bucket_names_column_and_rows(load, here, cell) -> None:
    with tsstore.open(here / "data") as store:
        store.create(BARS, tsstore.Schema.of({"Volume": "i8"}))
    result = load(f"Epoch,Volume\n60,1\n120,{cell}\n")
    assert result.exit_code == 2
    assert "column Volume, rows 1 to 2" in result.stderr


def test_what_was_written_before_an_error_is_said(load, monkeypatch) -> None:
    monkeypatch.setattr(tablefile, "PIECE_ROWS", 1)
    assert load("Epoch,A\n60,1\n").exit_code == 0
    result = load("Epoch,A\n120,2\n180,x\n")
    assert result.stderr.startswith("tsstore: 1 rows of the file were written before the error\n")


def test_a_truncated_gzip_file_is_refused(here, run) -> None:
    (here / "in.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-12])
    result = run("load", "in.csv.gz", BARS)
    assert result.exit_code == 7
    assert "cannot read in.csv.gz" in result.stderr


def test_other_kinds_of_files_are_refused(here, run) -> None:
    (here / "in.xlsx").write_text("")
    result = run("load", "in.xlsx", BARS)
    assert result.exit_code == 2
    assert "neither .csv, .csv.gz nor .parquet" in result.stderr


def test_variable_contradicts_a_fixed_bucket(load) -> None:
    load(CSV)
    result = load(CSV, "--variable")
    assert result.exit_code == 2
    assert "keeps one row per slot" in result.stderr


def test_a_parquet_file_is_written(here, run, stored) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    table = pa.table(
        {
            "when": pa.array([60_000, 120_000]),
            "Close": pa.array([1.0, 2.5]),
            "Note": pa.array(["a", "longer"]),
        }
    )
    parquet.write_table(table, here / "in.parquet")
    result = run("load", "in.parquet", BARS, "--time", "when", "--unit", "ms")
    assert result.output == f"wrote 2 rows of in.parquet to {BARS}\n"
    assert stored().ts.tolist() == [60 * 10**9, 120 * 10**9]
    assert stored()["Note"].tolist() == ["a", "longer"]


def test_a_parquet_file_with_timestamps_of_a_zone_is_written(here, run, stored) -> None:
    pa = pytest.importorskip("pyarrow")
    from pyarrow import parquet

    times = pa.array([60 * 10**6], pa.timestamp("us", "America/New_York"))
    parquet.write_table(pa.table({"Epoch": times, "Close": [1.0]}), here / "in.parquet")
    assert run("load", "in.parquet", BARS).exit_code == 0
    assert stored().ts.tolist() == [60 * 10**9]


def test_what_is_no_parquet_is_refused(here, run) -> None:
    (here / "in.parquet").write_text("no")
    result = run("load", "in.parquet", BARS)
    assert result.exit_code == 7
    assert "cannot read in.parquet" in result.stderr
