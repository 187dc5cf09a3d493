r"""`\load` of the session: control files and the rows that come of them."""

from __future__ import annotations

import gzip

import numpy as np
import pytest

import tsstore
from tsstore.cli import csvquick
from tsstore.cli.session.control import Control, read_control
from tsstore.cli.session.controlled import load
from tsstore.errors import (
    ConfigError,
    InvalidArgumentError,
    NotFoundError,
    SchemaMismatchError,
    StorageError,
)
from tsstore.schema import Schema

BAR = "AAPL/1Min/OHLCV"
TICK = "AAPL/1Sec/TICK"


@pytest.fixture(params=["quick", "slow"])
def reader(request, monkeypatch) -> str:
    """Both readers of CSV: the one that is quick, and the one that knows the lines."""
    if request.param == "slow":

        def no(*_, **__):
            raise csvquick.NotReadQuicklyError(None)
            yield

        monkeypatch.setattr("tsstore.cli.session.controlled.read_quickly", no)
    return request.param


@pytest.fixture
def store(tmp_path):
    with tsstore.open(tmp_path / "data") as store:
        store.create(BAR, Schema.of({"Open": "f4", "Close": "f8", "Volume": "i4"}))
        store.create(TICK, Schema.of({"Price": "f8", "Kind": "U4"}, variable=True))
        yield store


@pytest.fixture
def loaded(store, tmp_path):
    """Load a file with these contents."""

    def loaded(key: str, text: str, control: str | None = None):
        (tmp_path / "rows.csv").write_text(text, newline="")
        path = None
        if control is not None:
            path = tmp_path / "rows.yaml"
            path.write_text(control)
        return load(store, key, tmp_path / "rows.csv", path)

    return loaded


def test_without_a_control_file_the_header_names_and_times_are_american(
    store, loaded, reader
) -> None:
    text = (
        "\ufeffVolume,Epoch,Open,Close,Note\n"
        '7,1/2/2024 9:30:00 AM,0.1,0.2,"two\nlines"\n'
        "\n"
        "8,12/31/2024 12:00:00 PM,1.5,,x\n"
    )
    assert loaded(BAR, text).rows == 2
    rows = store.read(BAR)
    expected = np.array(["2024-01-02T09:30", "2024-12-31T12:00"], "M8[ns]").view(np.int64)
    assert rows.ts.tolist() == expected.tolist()
    assert rows["Open"].tolist() == [np.float32(0.1), 1.5]
    assert rows["Close"][0] == 0.2
    assert np.isnan(rows["Close"][1])
    assert rows["Volume"].tolist() == [7, 8]


def test_date_and_time_in_two_columns_with_a_suffix_and_a_zone(store, loaded, reader) -> None:
    control = """
        firstRowHasColumnNames: false
        timeFormat: "20060102 15:04:05"
        timeZone: America/New_York
        columnNameMap: [Epoch-date, Epoch-time, Price, Kind]
    """
    text = "20161230,21:37:57 140000,1.25,a\n20160701,21:37:57 140001,1.5,bbbb\n"
    assert loaded(TICK, text, control).rows == 2
    rows = store.read(TICK)
    expected = ["2016-07-02T01:37:57.140001", "2016-12-31T02:37:57.140"]
    assert rows.ts.tolist() == np.array(expected, "M8[ns]").view(np.int64).tolist()
    assert rows["Kind"].tolist() == ["bbbb", "a"]


def test_timestamps_with_decimals(store, loaded, reader) -> None:
    control = "firstRowHasColumnNames: true\ntimeFormat: timestamp\n"
    text = "Epoch,Price,Kind\n1700000000.000000001,1,\n1700000000.000000001,2,x\n1699999999,3,y\n"
    assert loaded(TICK, text, control).rows == 3
    rows = store.read(TICK)
    assert rows.ts.tolist() == [1699999999 * 10**9, 1700000000 * 10**9 + 1, 1700000000 * 10**9 + 1]
    assert rows["Price"].tolist() == [3, 1, 2]


def test_the_map_renames_columns_of_the_header(store, loaded, reader) -> None:
    control = """
        firstRowHasColumnNames: true
        timeFormat: "2006-01-02"
        columnNameMap: [Epoch, "", "", Volume]
    """
    text = "day,Open,Close,shares,Volume2\n2024-01-02,1,2,3,4\n"
    assert loaded(BAR, text, control).rows == 1
    assert store.read(BAR)["Volume"].tolist() == [3]
    assert store.read(BAR)["Close"].tolist() == [2]


def test_a_fixed_bucket_keeps_the_last_row_of_a_slot_and_that_is_told(
    store, loaded, reader
) -> None:
    text = "Epoch,Open,Close,Volume\n" + "".join(
        f"1/2/2024 9:30:{second:02d} AM,{second},1,1\n" for second in range(3)
    )
    result = loaded(BAR, text)
    assert (result.rows, result.replaced) == (3, 2)
    assert store.read(BAR)["Open"].tolist() == [2]


def test_many_rows_come_in_pieces(store, loaded, tmp_path) -> None:
    count = 300_000
    control = "columnNameMap: [Epoch, Price, Kind]\ntimeFormat: timestamp\n"
    lines = (
        f"{1_600_000_000 + number // 2}.25,{number},k{number % 7}\n" for number in range(count)
    )
    assert loaded(TICK, "".join(lines), control).rows == count
    rows = store.read(TICK)
    assert rows["Price"].tolist() == list(range(count))
    assert rows.ts[-1] == (1_600_000_000 + (count - 1) // 2) * 10**9 + 250_000_000


def test_a_packed_file(store, tmp_path, reader) -> None:
    path = tmp_path / "rows.csv.gz"
    path.write_bytes(gzip.compress(b"Epoch,Price,Kind\n1/2/2024 9:30:00 AM,1,a\n"))
    assert load(store, TICK, path, None).rows == 1


@pytest.mark.parametrize(
    ("key", "text", "control", "message"),
    [
        (BAR, "", None, "empty"),
        (BAR, "Epoch,Open,Close\n", None, "no column 'Volume'"),
        (BAR, "Time,Open,Close,Volume\n", None, "no column 'Epoch', nor both of 'Epoch-date'"),
        (BAR, "Epoch,Epoch,Open,Close,Volume\n", None, "two columns 'Epoch'"),
        (BAR, "Epoch,Open,Close,Volume\n", "firstRowHasColumnNames: false", "nothing names"),
        (BAR, "a,b\n", "columnNameMap: [a, b, c]", "names 3 columns"),
        (BAR, "Epoch,Open,Close,Volume\n2024-01-02,1,2,3\n", None, "line 2, column Epoch"),
        (
            BAR,
            "Epoch,Open,Close,Volume\n1/2/2024 9:30:00 AM,1,2,3\n13/2/2024 9:30:00 AM,1,2,3\n",
            None,
            "line 3, column Epoch: '13/2/2024",
        ),
        (BAR, "Epoch,Open,Close,Volume\n1/2/2024 9:30:00 AM,1,x,3\n", None, "line 2, column Close"),
        (BAR, "Epoch,Open,Close,Volume\n1/2/2024 9:30:00 AM,1,2,3.5\n", None, "column Volume"),
        (BAR, "Epoch,Open,Close,Volume\n1/2/2024 9:30:00 AM,1,2,\n", None, "empty cell"),
        (BAR, "Epoch,Open,Close,Volume\n1/2/2024 9:30:00 AM,1,2\n", None, "3 cells"),
        (
            BAR,
            "Epoch,Open,Close,Volume\n",
            "firstRowHasColumnNames: true\ntimeZone: Mars\n",
            "Mars",
        ),
        (
            BAR,
            "Epoch,Open,Close,Volume\n",
            "firstRowHasColumnNames: true\ntimeFormat: 15:04\n",
            "does not say year",
        ),
    ],
)
def test_what_is_wrong_is_said_with_its_place(
    store, loaded, reader, key, text, control, message
) -> None:
    with pytest.raises(InvalidArgumentError, match=message):
        loaded(key, text, control)
    assert len(store.read(key)) == 0


def test_text_that_is_too_long_is_refused(store, loaded) -> None:
    with pytest.raises(SchemaMismatchError, match="at most 4 characters"):
        loaded(TICK, "Epoch,Price,Kind\n1/2/2024 9:30:00 AM,1,abcde\n")


def test_the_bucket_has_to_be_there(store, loaded) -> None:
    with pytest.raises(NotFoundError):
        loaded("NEW/1Min/OHLCV", "Epoch,Open\n")


@pytest.mark.parametrize(
    "text",
    [
        "timeFromat: x",
        "columnNameMap: Epoch",
        "- 1",
        "firstRowHasColumnNames: maybe",
        "a: [",
        "x: !!python/name:os.system",
    ],
)
def test_control_files_that_cannot_be_right(tmp_path, text) -> None:
    path = tmp_path / "control.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=r"control\.yaml"):
        read_control(path)


def test_control_files_that_are_not_there(tmp_path) -> None:
    with pytest.raises(ConfigError, match="cannot be read"):
        read_control(tmp_path / "none.yaml")


def test_an_empty_control_file_says_what_the_reference_says(tmp_path) -> None:
    path = tmp_path / "control.yaml"
    path.write_text("")
    assert read_control(path) == Control(False, "1/2/2006 3:04:05 PM", "UTC", [])


def test_a_file_that_is_not_there_is_named(store, tmp_path) -> None:
    with pytest.raises(StorageError, match=r"there is no file \S+/nope\.csv; check its name"):
        load(store, BAR, tmp_path / "nope.csv", None)
