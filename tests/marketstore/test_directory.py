"""Directories of MarketStore: every row comes back, and damage is told with file and offset."""

from __future__ import annotations

import struct
import sys
from datetime import datetime
from zoneinfo import ZoneInfo

import numpy as np
import pytest

from tsstore import marketstore
from tsstore.columns import Columns
from tsstore.errors import InvalidArgumentError, NotFoundError
from tsstore.marketstore import DamagedFileError, records

from .writer import CODES, HEADER, Directory, Place, group, info

BARS = "AAPL/1Min/OHLCV"
TICKS = "AAPL/1Sec/TRADE"
OHLCV = {"Open": "f4", "Close": "f8", "Volume": "u8", "Up": "b1"}
TRADE = {"Price": "f8", "Size": "u4", "Id": "U16"}
T0 = 1_381_239_000 * 10**9  # 2013-10-08 13:30:00 UTC
MINUTE = 60 * 10**9
NEW_YORK = "America/New_York"


def bar(place: int):
    return T0 + place * MINUTE, (0.5 + place, 1.1 * place, 2**63 + place, place % 2 == 0)


def tick(place: int, ns: int = 0):
    return T0 + ns, (10.25 + place, place, f"é{place}")


@pytest.fixture
def there(tmp_path):
    return Directory(tmp_path / "marketstore")


def read(directory: Directory, key: str, **options) -> Columns:
    (bucket,) = marketstore.read_directory(
        directory.root,
        pattern=key,
        timezone=directory.zone,
        compressed=directory.compressed,
        **options,
    )
    assert not bucket.failures
    return Columns.concat([rows for year in bucket.years for rows in year.batches()])


def rows_of(columns: Columns):
    values = zip(*(array.tolist() for _, array in columns.items()), strict=True)
    return list(zip(columns.ts.tolist(), values, strict=True))


def damage(directory: Directory, key: str, at: int, octets: bytes, **options) -> str:
    """What is said when these bytes of the year file are others."""
    directory.patch(directory.root / key / "2013.bin", at, octets)
    with pytest.raises(DamagedFileError) as caught:
        read_all(directory, key, **options)
    assert caught.value.path.endswith("2013.bin")
    return str(caught.value)


def read_all(directory: Directory, key: str, **options):
    for bucket in marketstore.read_directory(directory.root, pattern=key, **options):
        for failure in bucket.failures:
            raise failure
        for year in bucket.years:
            list(year.batches())


# Rows


def test_bars_come_back(there):
    there.write(BARS, OHLCV, [bar(n) for n in (0, 1, 5, 100_000)])
    rows = read(there, BARS)
    assert rows_of(rows) == [bar(n) for n in (0, 1, 5, 100_000)]
    assert [rows[name].dtype.str for name in OHLCV] == ["<f4", "<f8", "<u8", "|b1"]


def test_the_years_of_a_bucket_follow_each_other(there):
    times = [T0 + year * 365 * 86_400 * 10**9 for year in (1, 0, -2)]
    there.write(BARS, {"P": "i8"}, [(ns, (n,)) for n, ns in enumerate(times)])
    (bucket,) = marketstore.read_directory(there.root)
    assert [year.path.name for year in bucket.years] == ["2011.bin", "2013.bin", "2014.bin"]
    assert read(there, BARS)["P"].tolist() == [2, 1, 0]


@pytest.mark.parametrize("code", CODES)
def test_columns_of_every_type_come_back(there, code):
    value = "ab漢" if code == "U16" else 1
    there.write(BARS, {"A": "i1", "X": code}, [(T0, (7, value))])
    rows = read(there, BARS)
    assert rows["X"].tolist() == [value]
    assert rows["X"].dtype == np.dtype(code)


def test_ticks_come_back_in_order(there):
    given = [tick(0, 5), tick(1, 5), tick(2, 3), tick(3, 7 * 10**9), tick(4, 5)]
    there.write(TICKS, TRADE, given[:3], variable=True)
    there.write(TICKS, TRADE, given[3:], variable=True)
    assert rows_of(read(there, TICKS)) == [given[n] for n in (2, 0, 1, 4, 3)]


def test_ticks_that_are_not_packed_come_back(tmp_path):
    there = Directory(tmp_path / "m", compressed=False)
    there.write(TICKS, TRADE, [tick(n, n) for n in range(3)], variable=True)
    assert rows_of(read(there, TICKS)) == [tick(n, n) for n in range(3)]


@pytest.mark.parametrize("timeframe", ["1Sec", "1Min", "5Min", "1H", "1D"])
def test_ticks_of_a_server_in_another_zone_are_when_they_were(tmp_path, timeframe):
    there = Directory(tmp_path / "m", NEW_YORK)
    given = [tick(n, n * 7_000_000_000 + 123_000_000) for n in range(2000)]
    there.write(f"A/{timeframe}/T", TRADE, given, variable=True)
    assert rows_of(read(there, f"A/{timeframe}/T")) == given


@pytest.mark.parametrize("zone", ["UTC", NEW_YORK, "Asia/Tokyo"])
@pytest.mark.parametrize("variable", [False, True])
def test_no_day_of_a_year_is_lost(tmp_path, zone, variable):
    there = Directory(tmp_path / "m", zone)
    days = [
        int(datetime(2012, month, day, tzinfo=ZoneInfo(zone)).timestamp()) * 10**9
        for month, day in [(1, 1), (1, 2), (2, 29), (3, 12), (11, 5), (12, 31)]
    ]
    there.write(
        "A/1D/X", {"P": "i8"}, [(ns, (n + 1,)) for n, ns in enumerate(days)], variable=variable
    )
    assert rows_of(read(there, "A/1D/X")) == [(ns, (n + 1,)) for n, ns in enumerate(days)]


def test_batches_are_bounded_and_whole(there, monkeypatch):
    monkeypatch.setattr(records, "BATCH_BYTES", 1000)
    there.write(BARS, OHLCV, [bar(n) for n in range(200)])
    there.write(TICKS, TRADE, [tick(n, n * 10**8) for n in range(200)], variable=True)
    for key, given in ((BARS, bar), (TICKS, lambda n: tick(n, n * 10**8))):
        (bucket,) = marketstore.read_directory(there.root, pattern=key)
        batches = list(bucket.years[0].batches())
        assert len(batches) > 5
        assert max(map(len, batches)) < 60
        assert rows_of(Columns.concat(batches)) == [given(n) for n in range(200)]


def test_buckets_are_chosen_by_a_pattern_and_sorted(there):
    for key in ("B/1Min/X", "A/1Min/X", "A/1D/X"):
        there.write(key, {"P": "i8"}, [(T0, (1,))])
    keys = [bucket.key for bucket in marketstore.read_directory(there.root, pattern="*/1Min/*")]
    assert keys == ["A/1Min/X", "B/1Min/X"]


def test_another_directory_is_refused(tmp_path):
    with pytest.raises(NotFoundError, match="holds no file category_name"):
        next(marketstore.read_directory(tmp_path))


def test_cramjam_is_asked_for(there, monkeypatch):
    there.write(TICKS, TRADE, [tick(0)], variable=True)
    monkeypatch.setitem(sys.modules, "cramjam", None)
    with pytest.raises(InvalidArgumentError, match=r"pip install tsstore\[marketstore\]"):
        read(there, TICKS)


# Damage


@pytest.mark.parametrize(
    ("at", "octets", "said"),
    [
        (0, struct.pack("<q", 3), "at byte 0: version 3 instead of 2"),
        (264, struct.pack("<q", 2014), "at byte 264: year 2014 instead of 2013"),
        (264, struct.pack("<q", 2**62), "at byte 264: year"),
        (272, struct.pack("<q", 0), "at byte 272: a timeframe of 0 ns"),
        (272, struct.pack("<q", 10**9), "slots of 1000000000 ns in a bucket of 1Min"),
        (280, struct.pack("<q", 2), "at byte 280: record type 2"),
        (288, struct.pack("<q", 0), "at byte 288: 0 columns"),
        (288, struct.pack("<q", 2**40), "at byte 288: 1099511627776 columns"),
        (288, struct.pack("<q", 5), "column name '' is not text"),
        (296, struct.pack("<q", 8), "at byte 296: records of 8 bytes instead of 32"),
        (296, struct.pack("<q", 2**40), "at byte 296"),
        (312, b"\xff", "at byte 312: the name of column 0 is no text"),
        (33_080, b"\x08", "at byte 33080: type 8 of column 0"),
    ],
)
def test_a_damaged_header_is_refused(there, at, octets, said):
    there.write(BARS, OHLCV, [bar(0)])
    assert said in damage(there, BARS, at, octets)


@pytest.mark.parametrize("size", [0, 100, HEADER - 1, HEADER, HEADER + 10_000])
@pytest.mark.parametrize("key", [BARS, TICKS])
def test_a_truncated_file_is_refused(there, key, size):
    there.write(BARS, OHLCV, [bar(0)])
    there.write(TICKS, TRADE, [tick(0)], variable=True)
    with (there.root / key / "2013.bin").open("r+b") as file:
        file.truncate(size)
    with pytest.raises(DamagedFileError) as caught:
        read_all(there, key)
    assert caught.value.offset == size


def test_a_record_in_a_wrong_place_is_refused(there):
    there.write(BARS, OHLCV, [bar(0), bar(1)])
    at = HEADER + 1000 * 32
    assert f"at byte {at}: slot 7 where slot 1001" in damage(there, BARS, at, struct.pack("<q", 7))


def test_text_that_is_none_is_refused(there):
    there.write("A/1Min/X", {"Note": "U16"}, [(T0, ("abc",))])
    at = HEADER + (Place(T0, 60, "UTC").index - 1) * 72 + 8
    assert "a text of column Note" in damage(there, "A/1Min/X", at, b"\xff" * 4)


def test_days_counted_from_one_are_refused(there):
    there.write("A/1D/X", {"P": "i8"}, [(T0, (1,))])
    last = HEADER + 364 * 16
    assert "slot 365 where" in damage(there, "A/1D/X", last, struct.pack("<q", 365))


def entry(key_path) -> tuple[int, int, int, int]:
    """The place of the one index entry of a file, and what it says."""
    place = HEADER + (Place(T0, 1, "UTC").index - 1) * 24
    with key_path.open("rb") as file:
        file.seek(place)
        return place, *struct.unpack("<3q", file.read(24))


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        (0, 5, "slot 5 where slot"),
        (1, -1, "outside the rows of the file"),
        (1, HEADER, "outside the rows of the file"),
        (1, 2**62, "outside the rows of the file"),
        (2, 0, "outside the rows of the file"),
        (2, -5, "outside the rows of the file"),
        (2, 2**62, "outside the rows of the file"),
        (2, 10_000, "outside the rows of the file"),
        (2, 9, "(or the rows are not packed: disable_variable_compression in mkts.yml)"),
    ],
)
def test_a_damaged_index_is_refused(there, field, value, said):
    there.write(TICKS, TRADE, [tick(0), tick(1)], variable=True)
    place, *_ = entry(there.root / TICKS / "2013.bin")
    assert said in damage(there, TICKS, place + 8 * field, struct.pack("<q", value))


def test_weeks_behind_the_laid_out_end_are_read(there):
    last = 1_388_448_000 * 10**9  # 2013-12-31, in the 53rd week
    there.write("A/1W/X", {"P": "f4"}, [(last, (1.5,))])
    (row,) = rows_of(read(there, "A/1W/X"))
    assert row == (last, (1.5,))
    path = there.root / "A/1W/X/2013.bin"
    path.write_bytes(path.read_bytes()[:-2])
    with pytest.raises(DamagedFileError, match="ends there, within a record"):
        read_all(there, "A/1W/X")


def test_slots_that_share_bytes_are_refused(there):
    there.write(TICKS, TRADE, [tick(0)], variable=True)
    place, index, begin, length = entry(there.root / TICKS / "2013.bin")
    shared = struct.pack("<3q", index + 1, begin, length)
    assert "slots that share their bytes" in damage(there, TICKS, place + 24, shared)


@pytest.mark.parametrize(
    ("octets", "said"),
    [
        (b"\xff\xff\xff\xff\x0f", "claims to unpack to more than Snappy can"),
        (b"\xff\xff\xff\xff\xff", "claims to unpack to more than Snappy can"),
        (b"\x01\x00", "restore this file"),
    ],
)
def test_damaged_rows_of_ticks_are_refused(there, octets, said):
    there.write(TICKS, TRADE, [tick(n, n) for n in range(9)], variable=True)
    _, _, begin, _ = entry(there.root / TICKS / "2013.bin")
    text = damage(there, TICKS, begin, octets)
    assert said in text
    assert f"at byte {begin}" in text


def test_rows_that_are_packed_are_not_taken_for_others(there):
    there.write(TICKS, TRADE, [tick(0)], variable=True)
    with pytest.raises(DamagedFileError, match="or the rows are packed"):
        read_all(there, TICKS, compressed=False)


def test_ticks_of_odd_slots_are_refused(there):
    there.write("A/7Min/T", {"P": "f8"}, [(T0, (1.0,))], variable=True)
    with pytest.raises(InvalidArgumentError, match="no whole fraction of a day"):
        read_all(there, "*/*/*")


def test_what_is_damaged_does_not_hide_the_rest(there):
    for key in ("A/1Min/X", "B/1Min/X", "C/1X/X"):
        there.write(key.replace("1X", "1Min"), {"P": "i8"}, [(T0, (1,))])
    (there.root / "C/1Min").rename(there.root / "C/1X")
    there.patch(there.root / "A/1Min/X/2013.bin", 0, b"\0")
    found = {bucket.key: bucket for bucket in marketstore.read_directory(there.root)}
    assert [len(found[key].failures) for key in found] == [1, 0, 1]
    assert "'1X' is not a timeframe" in str(found["C/1X/X"].failures[0])


# The WAL


def bar_in_wal(there: Directory, place: int, number: int = 10, key: str = BARS) -> bytes:
    return group(number, there.command(key, OHLCV, *bar(place), variable=False))


def test_bars_that_only_the_wal_has_are_read(there):
    there.write(BARS, OHLCV, [bar(0), bar(1)])
    changed = (bar(1)[0], (9.0, 9.0, 9, False))
    there.wal(
        group(10, there.command(BARS, OHLCV, *changed, variable=False)),
        group(11, there.command(BARS, OHLCV, *bar(7), variable=False)),
    )
    assert rows_of(read(there, BARS)) == [bar(0), changed, bar(7)]
    assert rows_of(read(there, BARS, ignore_wal=True)) == [bar(0), bar(1)]


def test_ticks_of_the_wal_are_read_once(there):
    given = [tick(0, 1), tick(1, 2), tick(1, 2), tick(2, 3), tick(9, 5 * 10**9), tick(8, 10**10)]
    there.write(TICKS, TRADE, [given[0], given[1], given[4]], variable=True)
    in_wal = [given[n] for n in (1, 2, 3, 5)]  # one of them is in the year file
    there.wal(group(10, *(there.command(TICKS, TRADE, *row, variable=True) for row in in_wal)))
    assert rows_of(read(there, TICKS)) == given


def test_ticks_of_a_new_year_that_only_the_wal_has_are_read(there):
    new_year = 1_356_998_400 * 10**9
    there.write("A/1D/T", {"P": "f8"}, [(T0, (1.0,))], variable=True)
    row = there.command("A/1D/T", {"P": "f8"}, new_year, (2.0,), variable=True)
    there.wal(group(10, row))
    assert rows_of(read(there, "A/1D/T")) == [(new_year, (2.0,)), (T0, (1.0,))]


def test_what_a_checkpoint_covers_is_not_read(there):
    there.write(BARS, OHLCV, [bar(0)])
    for done in (info(10, 1, 2), info(11, 1, 2)):
        there.wal(bar_in_wal(there, 3), done)
        assert len(read(there, BARS)) == 1
    there.wal(bar_in_wal(there, 3), info(10, 1, 0), info(9, 1, 2))
    assert len(read(there, BARS)) == 2


def test_a_wal_that_was_replayed_is_not_read(there):
    there.write(BARS, OHLCV, [bar(0)])
    there.wal(bar_in_wal(there, 3), state=2)
    assert len(read(there, BARS)) == 1


@pytest.mark.parametrize(("cut", "rows"), [(1, 3), (11, 3), (12, 2), (40, 2), (100, 2)])
def test_the_torn_end_of_a_wal_is_no_damage(there, cut, rows):
    there.write(BARS, OHLCV, [bar(0)])
    path = there.wal(bar_in_wal(there, 3), bar_in_wal(there, 4, 11))
    path.write_bytes(path.read_bytes()[:-cut])
    assert len(read(there, BARS)) == rows


@pytest.mark.parametrize(
    ("messages", "said"),
    [
        ([b"\x07"], "message 7"),
        ([b"\0" + struct.pack("<q", 3) + bytes(40)], "a group of 3 bytes"),
        ([b"\0" + struct.pack("<q", 20) + bytes(60)], "whose checksum is another"),
        ([group(1, b"\0\xff\x7f")], "a command that cannot be read"),
        ([group(1, b"\0\xff\xff")], "a command that cannot be read"),
    ],
)
def test_a_damaged_wal_is_refused(there, messages, said):
    there.write(BARS, OHLCV, [bar(0)])
    there.wal(*messages)
    with pytest.raises(DamagedFileError, match=said) as caught:
        read(there, BARS)
    assert caught.value.path.endswith(".walfile")
    assert len(read(there, BARS, ignore_wal=True)) == 1


def test_rows_of_a_wal_that_cannot_be_of_the_file_are_refused(there):
    there.write(BARS, OHLCV, [bar(0)])
    there.wal(group(1, there.command(BARS, {"P": "i1"}, T0, (1,), variable=False)))
    (bucket,) = marketstore.read_directory(there.root)
    assert "1 bytes in slot" in str(bucket.failures[0])


def test_rows_of_a_wal_for_a_file_that_is_gone_are_told(there):
    there.write(BARS, OHLCV, [bar(0)])
    there.wal(bar_in_wal(there, 1, key="GONE/1Min/OHLCV"))
    buckets = {bucket.key: bucket for bucket in marketstore.read_directory(there.root)}
    assert "the WAL has rows for it" in str(buckets["GONE/1Min/OHLCV"].failures[0])
