"""`tsstore export`, and that `tsstore load` takes back what it wrote."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from click.testing import CliRunner
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from pyarrow import parquet

import tsstore
from tsstore.cli import export, tablewriter
from tsstore.cli.main import main
from tsstore.schema import Schema

from .conftest import BARS

TICKS = "AAPL/1Sec/TRADE"
STYLES = ["csv", "parquet", "arrow"]


@pytest.fixture
def ticks(data):
    with tsstore.open(data) as store:
        times = np.array([1, 2, 2], "m8[ns]") + np.datetime64("2024-01-02T14:30:00", "ns")
        schema = Schema.of({"Price": "f4", "Note": "U9"}, variable=True, identity=["Note"])
        columns = {"Epoch": times, "Price": np.float32([0.1, np.nan, 2]), "Note": ["a", 'b"', "c"]}
        store.write(TICKS, columns, schema=schema)
    return data


def run_quietly(*arguments):
    result = CliRunner().invoke(main, list(map(str, arguments)), catch_exceptions=False)
    assert result.exit_code == 0, result.stderr
    return result.output


def test_csv_is_written_for_people(ticks, run, here):
    assert run("export", TICKS, "out.csv").output == f"wrote 3 rows of {TICKS} to out.csv\n"
    assert (here / "out.csv").read_text().splitlines() == [
        '"Epoch","Price","Note"',
        '2024-01-02 14:30:00.000000001Z,0.1,"a"',
        '2024-01-02 14:30:00.000000002Z,,"b"""',
        '2024-01-02 14:30:00.000000002Z,2,"c"',
    ]


def test_times_of_bars_have_no_fractions_and_can_be_local(data, run, here):
    run("export", BARS, "out.csv", "--tz", "America/New_York", "--columns", "Close")
    assert (here / "out.csv").read_text().splitlines()[:2] == [
        '"Epoch","Close"',
        "2024-01-02 09:30:00-0500,0",
    ]


def test_times_can_be_seconds_and_nanoseconds(ticks, run, here):
    run("export", TICKS, "out.csv", "--times", "epoch", "--columns", "Price")
    assert (here / "out.csv").read_text().splitlines()[:2] == [
        '"Epoch","Nanoseconds","Price"',
        "1704205800,1,0.1",
    ]


def test_a_range_is_exported(data, run, here):
    minute = "2024-01-02 14:31"
    run("export", BARS, "out.parquet", "--start", minute, "--end", minute)
    assert parquet.read_table(here / "out.parquet")["Close"].to_pylist() == [1.0]


def test_parquet_keeps_nanoseconds_and_the_schema(ticks, run, here):
    run("export", TICKS, "out.parquet")
    table = parquet.read_table(here / "out.parquet")
    assert table.schema.field("Epoch").type == pa.timestamp("ns", "UTC")
    assert table["Epoch"].cast(pa.int64()).to_pylist()[0] % 10**9 == 1
    assert table.schema.field("Price").type == pa.float32()


@pytest.mark.parametrize("style", STYLES)
def test_a_long_bucket_is_written_in_pieces(data, run, here, style, monkeypatch):
    monkeypatch.setattr(export, "PIECE_ROWS", 2)
    monkeypatch.setattr(tablewriter, "_GROUP_ROWS", 2)
    run("export", BARS, f"out.{style}")
    run("load", f"out.{style}", BARS, "--dir", "other")
    with tsstore.open("other") as store:
        assert store.read(BARS)["Close"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("style", STYLES)
def test_buckets_of_a_pattern_become_a_file_each(data, run, here, style):
    run("export", "*/1Min/*", "out", "--format", style)
    assert sorted(str(p.relative_to(here)) for p in here.glob("out/**/*.*")) == [
        f"out/AAPL/1Min/OHLCV.{style}",
        f"out/MSFT/1Min/OHLCV.{style}",
    ]
    assert run("load", "out", "A*/*/*", "--dir", "other").exit_code == 0
    with tsstore.open("other") as store:
        assert store.list() == [BARS]
        assert store.read(BARS)["Close"].tolist() == [0, 1, 2]


@pytest.mark.parametrize("style", STYLES)
def test_buckets_of_a_pattern_become_one_file_with_symbols(data, run, here, style):
    assert run("export", "*/1Min/OHLCV", f"all.{style}").output == (
        f"wrote 6 rows of 2 buckets 1Min/OHLCV to all.{style}\n"
    )
    assert run("load", f"all.{style}", "1Min/OHLCV", "--dir", "other").exit_code == 0
    with tsstore.open("other") as store:
        assert store.list() == [BARS, "MSFT/1Min/OHLCV"]
        assert store.read("MSFT/1Min/OHLCV")["Volume"].tolist() == [0, 10, 20]


@pytest.mark.parametrize("name", ["out.xlsx", "out.csv.gz", "OUT.CSV"])
def test_an_ending_that_is_not_known_does_not_become_a_directory(data, run, here, name):
    for options in ([], ["--format", "csv"]):
        assert run("export", BARS, name, *options).exit_code == 2
    assert not (here / name).exists()


def test_a_directory_may_have_a_dot_in_its_name(data, run, here):
    (here / "v1.5").mkdir()
    assert run("export", BARS, "v1.5").exit_code == 0
    assert (here / "v1.5" / f"{BARS}.parquet").is_file()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["NO/1Min/X", "out.csv"], 3, "NO/1Min/X"),
        (["N*/1Min/X", "out.csv"], 3, "no bucket matches N*/1Min/X"),
        ([BARS, "out.csv", "--columns", "Nope"], 2, f"{BARS} has no column 'Nope'; there are"),
        (["*/*/*", "out.csv"], 2, "do not fit into one file"),
        ([BARS, "out.csv", "--tz", "Mars"], 2, "unknown time zone"),
        ([BARS, "out.csv", "--start", "soon"], 2, "'soon' is not a time"),
    ],
)
def test_what_cannot_be_exported_is_refused(ticks, run, here, arguments, code, message):
    result = run("export", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
    assert not list(here.glob("*out*"))


def test_buckets_with_other_columns_do_not_become_one_file(data, run, here):
    with tsstore.open(data) as store:
        store.create("B/1Min/OHLCV", Schema.of({"A": "f8"}))
    result = run("export", "*/1Min/OHLCV", "out.csv")
    assert result.exit_code == 2
    assert "B/1Min/OHLCV is fixed (A f8)" in result.stderr


def test_an_export_that_fails_leaves_what_was_there(data, run, here, monkeypatch):
    (here / "out.csv").write_text("before")
    monkeypatch.setattr(tsstore.Store, "iterate", lambda *_, **__: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        CliRunner().invoke(main, ["export", BARS, "out.csv"], catch_exceptions=False)
    assert (here / "out.csv").read_text() == "before"
    assert {path.name for path in here.iterdir()} == {"data", "out.csv"}


def test_a_directory_that_cannot_be_written_is_refused(data, run, here):
    (here / "file").write_text("")
    result = run("export", BARS, "file/out.csv")
    assert result.exit_code == 7
    assert "file/.out.csv.part" in result.stderr


def test_pyarrow_is_asked_for(data, run, here, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    result = run("export", BARS, "out.csv")
    assert result.exit_code == 2
    assert "needs pyarrow; `pip install tsstore[frames]`" in result.stderr


# Everything comes back

_LETTERS = st.characters(exclude_characters="\0", exclude_categories=["Cs"])
_DTYPES = ["i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f4", "f8", "b1", "U1", "U5", "U40"]


def _values(dtype: str, rows: int):
    if dtype[0] == "U":
        text = st.text(_LETTERS, max_size=int(dtype[1:]))
        return st.lists(text, min_size=rows, max_size=rows).map(lambda t: np.array(t, dtype))
    return hnp.arrays(np.dtype(dtype), rows)


@st.composite
def buckets(draw):
    """A schema, and rows in order that fit it."""
    variable = draw(st.booleans())
    dtypes = draw(st.lists(st.sampled_from(_DTYPES), min_size=1, max_size=5))
    names = [f"C{place}" for place in range(len(dtypes))]
    if not variable and draw(st.booleans()):
        names[0], dtypes[0] = "Nanoseconds", "i4"
    rows = draw(st.integers(0, 8))
    seconds = st.integers(-(2**33), 2**33)
    times = np.unique(draw(hnp.arrays(np.int64, rows, elements=seconds, unique=True))) * 10**9
    if variable:
        times += np.sort(draw(hnp.arrays(np.int64, rows, elements=st.integers(0, 10**9 - 1))))
    columns = {n: draw(_values(d, rows)) for n, d in zip(names, dtypes, strict=True)}
    return Schema.of(dict(zip(names, dtypes, strict=True)), variable=variable), times, columns


@pytest.mark.parametrize("style", STYLES)
@given(bucket=buckets(), times=st.sampled_from(["iso", "epoch"]), symbol=st.booleans())
@settings(deadline=None, max_examples=25)
def test_what_is_exported_is_loaded_as_it_was(style, bucket, times, symbol):
    schema, ts, columns = bucket
    key, target = ("A/1Sec/X", "1Sec/X" if symbol else "A/1Sec/X")
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"out.{style}"
        for name in "ab":
            with tsstore.open(f"{folder}/{name}") as store:
                if name == "a" or style == "csv":  # CSV carries no types
                    store.create(key, schema)
                if name == "a":
                    store.write(key, {"Epoch": ts.view("M8[ns]"), **columns})
        pattern = "*/1Sec/X" if symbol else key
        run_quietly("export", pattern, path, "--times", times, "--dir", f"{folder}/a")
        run_quietly("load", path, target, "--dir", f"{folder}/b")
        with tsstore.open(f"{folder}/a") as one, tsstore.open(f"{folder}/b") as other:
            if not len(ts):
                return
            assert other.info(key).schema == one.info(key).schema
            before, after = one.read(key), other.read(key)
            np.testing.assert_array_equal(after.ts, before.ts)
            for name, array in before.items():
                if style == "csv":  # which has one NaN only
                    np.testing.assert_array_equal(after[name], array)
                else:
                    assert after[name].tobytes() == array.tobytes()
