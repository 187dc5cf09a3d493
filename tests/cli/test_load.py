"""`tsstore load`."""

from __future__ import annotations

import gzip
import sys

import numpy as np
import pytest

import tsstore
from tsstore.cli import csvfile, csvslow
from tsstore.cli import load as loading

from .conftest import BARS

CSV = "Epoch,Close,Volume,Note\n2024-01-02 14:30,100,1,x\n2024-01-02 14:31,100.5,2,longer\n"


@pytest.fixture(params=["quick", "slow"])
def reader(request, monkeypatch):
    """Both readers of CSV: with pyarrow and without."""
    if request.param == "slow":
        monkeypatch.setitem(sys.modules, "pyarrow", None)
    return request.param


@pytest.fixture
def load(here, run, reader):
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


@pytest.fixture(params=["in.csv", "in.csv.gz", "in.parquet", "in.arrow"])
def dates(here, request):
    """A file with days that are written as numbers."""
    pa = pytest.importorskip("pyarrow")
    from pyarrow import feather, parquet

    table = pa.table({"Date": [20240102, 20240103, 20240229], "Close": [1.0, 2.0, 3.0]})
    path = here / request.param
    if path.suffix == ".parquet":
        parquet.write_table(table, path)
    elif path.suffix == ".arrow":
        feather.write_feather(table, path)
    else:
        opened = gzip.open if path.suffix == ".gz" else open
        with opened(path, "wt") as file:
            file.write("Date,Close\n20240102,1.0\n20240103,2.0\n20240229,3.0\n")
    return path


def test_numbers_that_look_like_dates_are_refused(run, dates, here):
    result = run("load", dates, "A/1D/X")
    assert result.exit_code == 2
    assert "time 20240102 looks like a date; say --unit date if it is one" in result.stderr
    with tsstore.open(here / "data") as store:
        assert store.list() == []
    assert run("load", dates, "A/1D/X", "--unit", "s", "--variable").exit_code == 0


def test_numbers_are_read_as_dates(run, dates, here):
    (here / "mkts.yml").write_text("root_directory: data\ntimezone: America/New_York\n")
    result = run("load", dates, "A/1D/X", "--unit", "date", "--tz", "America/New_York")
    assert result.exit_code == 0, result.stderr
    with tsstore.open(here / "data") as store:
        found = store.read("A/1D/X").ts.view("M8[ns]").astype("M8[h]").astype(str).tolist()
    assert found == ["2024-01-02T05", "2024-01-03T05", "2024-02-29T05"]


@pytest.mark.parametrize(
    "bad", ["20240230", "20241301", "20240100", "1704205800", "-1", "18991231"]
)
def test_numbers_that_are_no_dates_are_refused(run, here, bad):
    (here / "in.csv").write_text(f"Date,Close\n20240102,1.0\n{bad},2.0\n")
    result = run("load", "in.csv", "A/1D/X", "--unit", "date")
    assert result.exit_code == 2
    assert f"line 3, column Date: time {bad} is no date from 19000101 to 21001231" in result.stderr


def test_a_csv_file_is_written(load, stored) -> None:
    assert load(CSV).output == f"wrote 2 rows of in.csv to {BARS}\n"
    rows = stored()
    assert rows["Close"].tolist() == [100.0, 100.5]
    assert rows["Volume"].tolist() == [1, 2]
    assert rows["Note"].tolist() == ["x", "longer"]


def test_types_come_from_the_whole_file(load, stored, monkeypatch) -> None:
    monkeypatch.setattr(csvslow, "PIECE_ROWS", 1)
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


def test_a_gzip_file_is_read(here, run, stored, reader) -> None:
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


SHARED = "Epoch,A\n60,1\n61,2\n120,3\n62,4\n"


def test_rows_that_would_replace_each_other_in_a_new_bucket_are_refused(load, here) -> None:
    result = load(SHARED)
    assert result.exit_code == 2
    assert result.stderr == (
        f"tsstore: in.csv: 3 rows fall into the slot 1970-01-01 00:01:00Z of {BARS}, which would "
        "keep the last one alone; nothing of the file was written: --variable keeps every row, "
        "--fixed the last one of each slot\n"
    )
    with tsstore.open(here / "data") as store:
        assert store.list() == []


def test_the_last_row_of_each_slot_stays_where_it_is_asked_for(load, stored) -> None:
    assert load(SHARED, "--fixed").output == (
        f"wrote 4 rows of in.csv to {BARS}\n"
        "2 of them were replaced by a later one of the same slot\n"
    )
    assert stored()["A"].tolist() == [4, 3]


def test_rows_replaced_in_an_existing_bucket_are_counted(load, stored) -> None:
    load("Epoch,A\n60,0\n")
    assert load(SHARED).output.splitlines()[1] == (
        "2 of them were replaced by a later one of the same slot"
    )
    assert stored()["A"].tolist() == [4, 3]


@pytest.mark.parametrize(("zone", "code"), [("UTC", 0), ("America/New_York", 2)])
def test_slots_of_days_are_those_of_the_store(load, here, zone, code) -> None:
    with tsstore.open(here / "data", timezone=zone) as store:
        store.create("B/1D/X", tsstore.Schema.of({"A": "f8"}))
    text = "Epoch,A\n2024-01-02 20:00,1\n2024-01-03 01:00,2\n"
    assert load(text, key="A/1D/X").exit_code == code


@pytest.mark.parametrize("reader", ["slow"], indirect=True)
@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        ([60, 120, 121, 180], "1 of them were replaced by a later one of the same slot"),
        ([180, 121, 120, 60], "1 of them were replaced by a later one of the same slot"),
        (
            [9, 240, 241, 120, 121],
            "at least 1 of them were replaced by a later one of the same slot",
        ),
        (
            [9, 240, 120, 121],
            "they are in no order of time; some may have replaced others of the same slot",
        ),
    ],
)
def test_rows_replaced_by_a_later_piece_are_counted(load, monkeypatch, seconds, said) -> None:
    monkeypatch.setattr(csvslow, "PIECE_ROWS", 1)
    monkeypatch.setattr(loading, "BATCH_BYTES", 1)
    result = load("Epoch,A\n" + "".join(f"{s},1\n" for s in seconds))
    assert result.output.splitlines()[1:] == [said]


def test_ticks_keep_every_row_of_an_instant(load, stored) -> None:
    load("Epoch,Price\n60,1\n60,2\n", "--variable")
    assert stored()["Price"].tolist() == [1, 2]


@pytest.mark.parametrize(
    ("text", "options", "message"),
    [
        ("", [], "has no column 'Epoch'"),
        ("Time,A\n1,2\n", [], "has no column 'Epoch'; name the one with the time by --time"),
        ("Epoch,A,A\n1,2,3\n", [], "two columns 'A'"),
        ("Epoch,A\n1,2\n3\n", [], "in.csv, line 3: 1 cells, where the header has 2"),
        ("Epoch,A\nsoon,2\n", [], "in.csv, line 2, column Epoch: 'soon' is not a time"),
        ("Epoch,A\n60,1\n", ["--tz", "Mars"], "unknown time zone 'Mars'"),
        (
            "Epoch,A\n60,1\n99999999999999,1\n",
            [],
            "line 3, column Epoch: time 99999999999999 is",
        ),
        ("Epoch,A\n60,1\n120,1O0\n", [], "in.csv, line 3, column A: '1O0' is not a number"),
        ("Epoch,A\n60,x\n120,1\n", [], "line 2, column A: 'x' is not a number"),
        ("Epoch,A\n60,1\n120,x\n", [], "or declare it with --type A=text"),
        (
            "Epoch,A\n60,true\n120,no\n",
            ["--type", "A=b1"],
            "'no' is neither true nor false",
        ),
        ("Epoch,A\n60,1\n", ["--type", "B=f8"], "no column 'B', which --type names"),
        ("Epoch,A\n60,1.5\n", ["--type", "A=i8"], "line 2, column A: '1.5' is not a whole number"),
        ("Epoch,A\n60,300\n", ["--type", "A=u1"], "'300' is not a whole number that u1 holds"),
        ("Epoch,A\n60,1e39\n", ["--type", "A=f4"], "line 2, column A: '1e39' is not a number (f4)"),
        ("Epoch,A\n60,-1\n", ["--type", "A=u8"], "line 2, column A: '-1' is not a whole number"),
        ("Epoch,A\n60,\n", ["--type", "A=i8"], "an empty cell in a column of whole numbers (i8)"),
        ('Epoch,A,B\n60,"a\nb",1\n120,c,x\n', [], "line 4, column B: 'x' is not a number"),
    ],
)
def test_bad_files_are_refused(load, here, text, options, message) -> None:
    result = load(text, *options)
    assert result.exit_code == 2
    assert message in result.stderr
    assert len(result.stderr.splitlines()) == 1
    with tsstore.open(here / "data") as store:
        assert store.list() == []


@pytest.mark.parametrize("cell", ["x", "", "1.5"])
def test_a_cell_that_does_not_fit_the_bucket_names_line_and_column(load, here, cell) -> None:
    with tsstore.open(here / "data") as store:
        store.create(BARS, tsstore.Schema.of({"Volume": "i8"}))
    result = load(f"Epoch,Volume\n60,1\n120,{cell}\n")
    assert result.exit_code == 2
    assert "in.csv, line 3, column Volume: " in result.stderr


@pytest.mark.parametrize("reader", ["slow"], indirect=True)
def test_what_was_written_before_an_error_is_said(load, monkeypatch) -> None:
    monkeypatch.setattr(csvslow, "PIECE_ROWS", 1)
    monkeypatch.setattr(loading, "BATCH_BYTES", 1)
    assert load("Epoch,A\n60,1\n").exit_code == 0
    result = load("Epoch,A\n120,2\n180,x\n")
    assert result.stderr.startswith("tsstore: 1 rows of the file were written before the error\n")


def test_a_truncated_gzip_file_is_refused(here, run, reader) -> None:
    (here / "in.csv.gz").write_bytes(gzip.compress(CSV.encode())[:-12])
    result = run("load", "in.csv.gz", BARS)
    assert result.exit_code == 7
    assert "cannot read in.csv.gz" in result.stderr


def test_a_file_in_another_encoding_is_refused(here, run, reader) -> None:
    (here / "in.csv").write_bytes("Epoch,Name\n60,Zürich\n".encode("latin-1"))
    result = run("load", "in.csv", BARS)
    assert result.exit_code == 2
    assert "in.csv is not UTF-8" in result.stderr


def test_a_gzip_file_of_several_parts_is_read(here, run, stored, reader) -> None:
    parts = [CSV[:40], CSV[40:]]
    (here / "in.csv.gz").write_bytes(b"".join(gzip.compress(part.encode()) for part in parts))
    assert run("load", "in.csv.gz", BARS).exit_code == 0
    assert stored()["Close"].tolist() == [100.0, 100.5]


def test_other_kinds_of_files_are_refused(here, run) -> None:
    (here / "in.xlsx").write_text("")
    result = run("load", "in.xlsx", BARS)
    assert result.exit_code == 2
    assert "neither .csv, .csv.gz, .parquet, .arrow nor .feather" in result.stderr


@pytest.mark.parametrize(
    ("first", "second", "message"),
    [
        ("--fixed", "--variable", "keeps one row per slot; leave out --variable"),
        ("--variable", "--fixed", "keeps every row per slot; leave out --fixed"),
    ],
)
def test_an_option_contradicts_the_bucket(load, first, second, message) -> None:
    load(CSV, first)
    result = load(CSV, second)
    assert result.exit_code == 2
    assert message in result.stderr


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


def test_columns_are_text_where_it_is_said_so(load, stored) -> None:
    assert load("Epoch,A\n60,1\n120,x\n", "--type", "A=text").exit_code == 0
    assert stored()["A"].tolist() == ["1", "x"]


def test_types_of_a_new_bucket_can_be_chosen(load, stored) -> None:
    load("Epoch,A,B,C\n60,1,0.1,x\n", "--type", "A=i2", "--type", "B=f4", "--type", "C=U9")
    assert [stored()[name].dtype.str for name in "ABC"] == ["<i2", "<f4", "<U9"]
    assert stored()["B"][0] == np.float32("0.1")


def test_a_column_of_true_and_false_is_boolean(load, stored) -> None:
    load("Epoch,A\n60,true\n120,False\n")
    assert stored()["A"].dtype == bool
    assert stored()["A"].tolist() == [True, False]


def test_whole_numbers_beyond_int64_are_unsigned(load, stored) -> None:
    load(f"Epoch,A\n60,1\n120,{2**64 - 1}\n")
    assert stored()["A"].tolist() == [1, 2**64 - 1]


def test_a_column_without_any_cell_is_nan(load, stored) -> None:
    load("Epoch,A,B\n60,,1\n120,,2\n")
    assert np.isnan(stored()["A"]).all()


def test_text_after_empty_cells_is_text(load, stored, monkeypatch) -> None:
    monkeypatch.setattr(csvfile, "_GUESS_ROWS", 1)
    load("Epoch,A\n60,\n120,late\n")
    assert stored()["A"].tolist() == ["", "late"]


def test_empty_lines_and_line_breaks_in_quotes_are_read(load, stored) -> None:
    load('Epoch,A\n60,"a\nb"\n\n120,c\n')
    assert stored()["A"].tolist() == ["a\nb", "c"]


def test_both_readers_read_the_same(here, run, reader) -> None:
    rng = np.random.default_rng(5)
    numbers = [repr(x) for x in (rng.random(300) * 10.0 ** rng.integers(-300, 300, 300)).tolist()]
    odd = ["inf", "-inf", "nan", "", "1e400", "-0.0", "5e-324", " 2", "+1.5", ".5", "1."]
    lines = [f"{60 * n},{cell},{n}" for n, cell in enumerate(numbers + odd)]
    (here / "in.csv").write_text("\n".join(["Epoch,A,B", *lines]))
    assert run("load", "in.csv", BARS).exit_code == 0
    with tsstore.open(here / "data", read_only=True) as store:
        stored = store.read(BARS)
    expected = np.array([float(cell or "nan") for cell in numbers + odd])
    assert stored["A"].view("i8").tolist() == expected.view("i8").tolist()
    assert stored["B"].tolist() == list(range(len(lines)))


def test_several_files_are_loaded_one_after_the_other(here, run, stored) -> None:
    for number in range(2):
        (here / f"{number}.csv").write_text(f"Epoch,A\n{60 * number},{number}\n")
    result = run("load", "0.csv", "1.csv", BARS)
    assert result.output.splitlines() == [
        f"wrote 1 rows of 0.csv to {BARS}",
        f"wrote 1 rows of 1.csv to {BARS}",
    ]
    assert stored()["A"].tolist() == [0, 1]


# Files of many symbols


@pytest.mark.parametrize("name", ["Symbol", "ticker"])
def test_a_file_with_symbols_becomes_buckets(load, stored, name) -> None:
    text = f"{name},Epoch,Close\nB,60,1\nA,60,2\nB,120,3\nON,60,4\n"
    assert load(text, key="1Min/OHLCV").output == "wrote 4 rows of in.csv to 1Min/OHLCV\n"
    assert stored("B/1Min/OHLCV")["Close"].tolist() == [1, 3]
    assert stored("A/1Min/OHLCV")["Close"].tolist() == [2]
    assert stored("ON/1Min/OHLCV").names == ("Close",)


def test_a_symbol_of_a_dictionary_without_rows_becomes_no_bucket(run, here) -> None:
    import pyarrow as pa
    from pyarrow import feather

    symbols = pa.DictionaryArray.from_arrays([2, 0, 2], ["B", "", "A"])
    table = pa.table({"Symbol": symbols, "Epoch": [60, 60, 120], "Close": [1.0, 2.0, 3.0]})
    feather.write_feather(table, here / "in.arrow", compression="uncompressed")
    assert run("load", "in.arrow", "1Min/X").exit_code == 0
    with tsstore.open(here / "data") as store:
        assert store.list() == ["A/1Min/X", "B/1Min/X"]
        assert store.read("A/1Min/X")["Close"].tolist() == [1, 3]


def test_rows_of_a_symbol_that_share_a_slot(load, stored) -> None:
    text = "Symbol,Epoch,A\nB,60,1\nC,61,2\nB,62,3\nC,120,4\n"
    refused = load(text, key="1Min/X")
    assert refused.exit_code == 2
    assert "2 rows fall into the slot 1970-01-01 00:01:00Z of B/1Min/X" in refused.stderr
    assert load("Symbol,Epoch,A\nB,0,1\nC,0,1\n", key="1Min/X").exit_code == 0
    assert load(text, key="1Min/X").output.splitlines()[1].startswith("1 of them")
    assert stored("B/1Min/X")["A"].tolist() == [1, 3]


def test_the_column_of_the_symbol_can_be_named(load, stored) -> None:
    load("who,Epoch,Close\nA,60,2\n", "--symbol", "who", key="1D/X")
    assert stored("A/1D/X")["Close"].tolist() == [2]


def test_bars_of_the_vendor_need_no_options(load, stored) -> None:
    load(
        "ticker,volume,open,close,high,low,window_start,transactions\n"
        "AAPL,4930,200.29,200.5,200.63,200.29,1744792500000000000,129\n"
        "AAPL,1815,200.39,200.34,200.61,200.34,1744792560000000000,57\n",
        key="1Min/OHLCV",
    )
    rows = stored("AAPL/1Min/OHLCV")
    assert rows.ts.tolist() == [1744792500 * 10**9, 1744792560 * 10**9]
    assert rows.names == ("Open", "High", "Low", "Close", "Volume", "VWAP", "TradeCount")
    assert {array.dtype.str for _, array in rows.items()} == {"<f8"}
    assert [rows[name][0] for name in rows.names if name != "VWAP"] == [
        200.29, 200.63, 200.29, 200.5, 4930, 129,
    ]  # fmt: skip
    assert np.isnan(rows["VWAP"]).all()


def test_types_of_the_group_are_those_of_its_first_bucket(load, stored, here) -> None:
    with tsstore.open(here / "data") as store:
        store.create("A/1Min/X", tsstore.Schema.of({"Id": "U4"}))
    assert load("Symbol,Epoch,Id\nB,60,007\n", key="1Min/X").exit_code == 0
    assert stored("B/1Min/X")["Id"].tolist() == ["007"]


@pytest.mark.parametrize(
    ("text", "target", "message"),
    [
        (
            "Epoch,A\n60,1\n",
            "1Min/X",
            "no column 'Symbol'; name the one with the symbol",
        ),
        (
            "Symbol,Epoch,A\n,60,1\n",
            "1Min/X",
            "in.csv: a row at 1970-01-01 00:01:00Z has",
        ),
        ("Symbol,Epoch,A\na b,60,1\n", "1Min/X", "symbol 'a b' holds ' '"),
        ("Symbol,Epoch,A\nB,60,1\n", "1Min", "bucket key '1Min' has 1 part(s)"),
        ("Symbol,Epoch,A\nB,60,1\n", "9X/Y", "'9X' is not a timeframe"),
        ("Symbol,Epoch,A\nB,60,1\n", "*/1Min/Y", "is a file and '*/1Min/Y' a pattern"),
    ],
)
def test_bad_files_of_symbols_are_refused(load, text, target, message) -> None:
    result = load(text, key=target)
    assert result.exit_code == 2
    assert message in result.stderr


# Parquet and Arrow


def test_an_arrow_file_and_stream_are_read(here, run, stored) -> None:
    import pyarrow as pa

    table = pa.table({"Epoch": pa.array([60, 120]), "Close": pa.array([1.0, 2.5])})
    for number, new in enumerate((pa.ipc.new_file, pa.ipc.new_stream)):
        with new(str(here / "in.arrow"), table.schema) as writer:
            writer.write_table(table, max_chunksize=1)
        assert run("load", "in.arrow", f"A{number}/1Min/X").exit_code == 0
        assert stored(f"A{number}/1Min/X")["Close"].tolist() == [1.0, 2.5]


def test_a_parquet_file_with_symbols_becomes_buckets(here, run, stored) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    table = pa.table({"Symbol": ["B", "A", "B"], "Epoch": [60, 60, 120], "Close": [1, 2, 3]})
    parquet.write_table(table, here / "in.parquet")
    assert run("load", "in.parquet", "1Min/X").exit_code == 0
    assert stored("B/1Min/X")["Close"].tolist() == [1, 3]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"Epoch": [60, None], "A": [1, 2]}, "in.parquet, rows 0 to 1: column 'Epoch' is null"),
        ({"Epoch": [60, 120], "A": [1, None]}, "rows 0 to 1: column 'A' is null in row 1"),
        ({"Epoch": [60, 120], "A": [[1], [2]]}, "in.parquet: column 'A' is list"),
    ],
)
def test_bad_parquet_files_are_refused(here, run, columns, message) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    parquet.write_table(pa.table(columns), here / "in.parquet")
    result = run("load", "in.parquet", BARS)
    assert result.exit_code == 2
    assert message in result.stderr


def test_a_damaged_arrow_file_is_refused(here, run) -> None:
    (here / "in.arrow").write_bytes(b"ARROW1\0\0nothing")
    result = run("load", "in.arrow", BARS)
    assert result.exit_code == 7
    assert "cannot read in.arrow" in result.stderr


@pytest.mark.parametrize(
    ("name", "write"),
    [
        ("pandas.csv", lambda rows, path: rows.to_pandas().to_csv(path)),
        ("pandas.csv.gz", lambda rows, path: rows.to_pandas().to_csv(path)),
        ("pandas.parquet", lambda rows, path: rows.to_pandas().to_parquet(path)),
        ("pandas.feather", lambda rows, path: rows.to_pandas().reset_index().to_feather(path)),
        ("polars.csv", lambda rows, path: rows.to_polars().write_csv(path)),
        ("polars.parquet", lambda rows, path: rows.to_polars().write_parquet(path)),
        ("polars.arrow", lambda rows, path: rows.to_polars().write_ipc(path, compression="lz4")),
        ("stream.arrow", lambda rows, path: rows.to_polars().write_ipc_stream(path)),
    ],
)
def test_files_of_other_libraries_are_read(here, run, stored, name, write) -> None:
    ts = np.array([0, 1, 10**9]) + 1_381_239_000 * 10**9
    columns = {
        "Price": np.array([0.1, np.nan, 2.5]),
        "Size": np.arange(3),
        "Note": np.array(list("abc")),
    }
    write(tsstore.Columns(ts, columns, tz="America/New_York"), here / name)
    result = run("load", name, "A/1Sec/T", "--variable")
    assert result.output == f"wrote 3 rows of {name} to A/1Sec/T\n"
    rows = stored("A/1Sec/T")
    assert rows.ts.tolist() == ts.tolist()
    for column, values in columns.items():
        np.testing.assert_array_equal(rows[column], values)
