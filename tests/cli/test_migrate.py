"""`tsstore migrate`."""

from __future__ import annotations

import numpy as np
import pytest

import tsstore
from tests.marketstore.writer import Directory, group
from tsstore.cli import migrate
from tsstore.schema import Schema

T0 = 1_381_239_000 * 10**9
BARS = "AAPL/1Min/OHLCV"
TICKS = "AAPL/1Sec/TRADE"
OHLCV = {"Close": "f8", "Volume": "u4"}
TRADE = {"Price": "f8"}


@pytest.fixture
def old(here):
    """A MarketStore with bars of two symbols and ticks of one."""
    old = Directory(here / "old")
    bars = [(T0 + n * 60 * 10**9, (n + 0.5, n)) for n in range(100)]
    old.write(BARS, OHLCV, bars)
    old.write("MSFT/1Min/OHLCV", OHLCV, bars[:3])
    old.write(TICKS, TRADE, [(T0 + n * 10**8, (n / 4,)) for n in range(50)], variable=True)
    return old


@pytest.fixture
def stored(here):
    def stored(key):
        with tsstore.open(here / "data", read_only=True) as store:
            return store.read(key)

    return stored


def test_all_buckets_are_copied(old, run, stored):
    assert run("migrate", "old").stdout == "copied and compared 153 rows of 3 buckets from old\n"
    assert stored(BARS)["Volume"].tolist() == list(range(100))
    assert stored(TICKS).ts.tolist() == [T0 + n * 10**8 for n in range(50)]
    assert stored(TICKS).variable


@pytest.mark.parametrize("batch", [1, 64 << 20])
def test_a_second_copy_changes_nothing(old, run, stored, monkeypatch, batch):
    monkeypatch.setattr(migrate, "BATCH_BYTES", batch)
    monkeypatch.setattr("tsstore.marketstore.records.BATCH_BYTES", batch)
    first = run("migrate", "old").stdout
    assert run("migrate", "old").stdout == first
    assert stored(TICKS)["Price"].tolist() == [n / 4 for n in range(50)]


def test_buckets_can_be_chosen(old, run, here):
    assert "3 rows of 1 buckets" in run("migrate", "old", "M*/*/*").output
    with tsstore.open(here / "data") as store:
        assert store.list() == ["MSFT/1Min/OHLCV"]


def test_rows_that_are_there_already_stay(old, run, stored, here):
    late = np.array([T0 + 10**12], "M8[ns]")
    with tsstore.open(here / "data") as store:
        schema = Schema.of(TRADE, variable=True)
        store.write(TICKS, {"Epoch": late, "Price": [7.0]}, schema=schema)
    run("migrate", "old")
    assert len(stored(TICKS)) == 51


def test_the_rest_is_copied_and_what_is_damaged_is_listed(old, run, stored):
    old.patch(old.root / BARS / "2013.bin", 0, b"\7")
    result = run("migrate", "old")
    assert result.exit_code == 4
    assert "53 rows of 2 buckets" in result.output
    assert "AAPL/1Min/OHLCV/2013.bin is damaged at byte 0: version 7" in result.stderr
    assert "1 files were not copied, or not to their end" in result.stderr


def test_a_bucket_with_other_columns_does_not_stop_the_others(old, run, here):
    with tsstore.open(here / "data") as store:
        store.create(BARS, Schema.of({"Other": "f8"}))
    result = run("migrate", "old")
    assert result.exit_code == 2
    assert "53 rows of 2 buckets" in result.output
    assert f"{BARS}: unable to match data columns" in result.stderr


MIDNIGHT = 1_381_204_800 * 10**9


@pytest.fixture
def days(here):
    """A MarketStore of New York with a day and, earlier in the alphabet, minutes."""
    days = Directory(here / "days", "America/New_York")
    days.write("A/1Min/X", TRADE, [(T0, (2.0,))])
    days.write("B/1D/X", TRADE, [(MIDNIGHT, (1.0,))])
    return days


def test_a_new_store_takes_the_zone_that_is_given(days, run, here):
    result = run("migrate", "days", "--dir", "new", "--tz", "America/New_York")
    assert result.exit_code == 0, result.stderr
    assert "as of timezone America/New_York, as --tz says" in result.stderr
    with tsstore.open(here / "new") as store:
        assert store.timezone == "America/New_York"
        assert store.read("B/1D/X").ts.tolist() == [MIDNIGHT]
    assert run("migrate", "days", "--dir", "new").exit_code == 0


def test_a_new_store_takes_the_zone_of_the_configuration(days, run, here, stored):
    (here / "mkts.yml").write_text("root_directory: data\ntimezone: America/New_York\n")
    assert "as ./mkts.yml says" in run("migrate", "days").stderr
    assert stored("B/1D/X").ts.tolist() == [MIDNIGHT]


def test_days_that_the_store_would_move_are_refused_before_anything_is_copied(days, run, here):
    with tsstore.open(here / "data") as store:
        store.create("C/1D/X", Schema.of(TRADE))
    result = run("migrate", "days", "--tz", "America/New_York")
    assert result.exit_code == 2
    assert "has a slot of 1D at 2013-10-08T04:00:00.000000000Z" in result.stderr
    assert "copy into a new directory, with --tz America/New_York" in result.stderr
    with tsstore.open(here / "data") as store:
        assert store.list() == ["C/1D/X"]


def test_a_zone_that_nothing_names_is_said_loudly(old, run):
    said = run("migrate", "old").stderr
    assert "as of timezone UTC, BECAUSE NOTHING NAMES ONE" in said
    assert "delete the new directory, and run this again with --tz" in said
    assert "as of timezone UTC, BECAUSE THE STORE HAS IT" in run("migrate", "old").stderr


def test_rows_of_the_wal_are_copied(old, run, stored):
    new = (T0 + 200 * 60 * 10**9, (1.0, 2))
    old.wal(group(5, old.command(BARS, OHLCV, *new, variable=False)))
    run("migrate", "old", "--ignore-wal")
    assert len(stored(BARS)) == 100
    run("migrate", "old")
    assert stored(BARS).ts[-1] == new[0]


def test_rows_that_another_program_changes_are_noticed(old, run, monkeypatch):
    monkeypatch.setattr(tsstore.Store, "read", lambda *_, **__: tsstore.Columns.empty(Schema(())))
    result = run("migrate", "old")
    assert result.exit_code == 7
    assert "not all were read back as they were written" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["."], 3, "is not the root_directory of a MarketStore"),
        (["old", "--dir", "old"], 2, "cannot become its own copy"),
        (["old", "--tz", "Mars"], 2, "unknown time zone"),
    ],
)
def test_what_cannot_be_copied_is_refused(old, run, arguments, code, message):
    result = run("migrate", *arguments)
    assert result.exit_code == code
    assert message in result.stderr
