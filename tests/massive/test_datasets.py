from __future__ import annotations

from datetime import date

import numpy as np
import pytest

from tsstore.errors import ConfigError, InvalidKeyError
from tsstore.times import to_ns
from tsstore_massive.datasets import Dataset

NEW_YORK = "America/New_York"


@pytest.mark.parametrize(
    ("text", "key"),
    [
        ("1Min", "BRK.B/1Min/OHLCV"),
        ("1T", "BRK.B/1Min/OHLCV"),
        ("1D", "BRK.B/1D/OHLCV"),
        ("trades", "BRK.B/1Sec/TRADE"),
        ("quotes", "BRK.B/1Min/QUOTE"),
    ],
)
def test_rows_go_to_the_bucket_that_is_streamed_to(text, key):
    assert Dataset.parse(text).key("BRK.B") == key


@pytest.mark.parametrize(
    ("text", "key"),
    [("5Min", "X.Y/24H/OHLCV_5Min_BACKFILL"), ("trades", "X.Y/24H/TRADE_1Sec_BACKFILL")],
)
def test_coverage_has_a_bucket_of_its_own(text, key):
    assert Dataset.parse(text).coverage_key("X/Y") == key


@pytest.mark.parametrize("text", ["ticks", "", "0Min"])
def test_what_is_no_kind_of_rows_is_refused(text):
    with pytest.raises(ConfigError, match="neither trades"):
        Dataset.parse(text)


@pytest.mark.parametrize(
    ("text", "instead"),
    [
        *[("7Min", "1Min"), ("45Min", "1Min"), ("7Sec", "1Sec"), ("90Min", "1Min")],
        *[("2H", "1H"), ("4H", "1H"), ("12H", "1H"), ("24H", "1H"), ("36H", "1H")],
        *[("2D", "1D"), ("2W", "1D"), ("3M", "1D")],
    ],
)
def test_lengths_whose_windows_are_no_slots_are_refused_with_what_to_fetch_instead(text, instead):
    with pytest.raises(ConfigError, match=f"^bars of {text} cannot be fetched.*; fetch {instead} "):
        Dataset.parse(text)


@pytest.mark.parametrize("text", ["1Sec", "30Sec", "5Min", "60Min", "1H", "1D", "1W", "1M", "1Y"])
def test_lengths_whose_windows_are_slots_are_fetched(text):
    assert str(Dataset.parse(text).timeframe) == text


def test_streamed_seconds_are_the_bars_of_seconds():
    assert Dataset.of_stream("second_bars") == Dataset.parse("1Sec")
    assert Dataset.of_stream("bars") == Dataset.parse("1Min")
    assert Dataset.of_stream("quotes") == Dataset.parse("quotes")


def test_a_symbol_that_no_bucket_can_have_is_refused():
    with pytest.raises(InvalidKeyError):
        Dataset.parse("trades").key("..")


@pytest.mark.parametrize(
    ("text", "first", "last", "start", "end"),
    [
        ("1Min", "2024-06-04", "2024-06-05", "2024-06-04", "2024-06-06"),
        ("trades", "2024-03-10", "2024-03-10", "2024-03-10", "2024-03-11"),
        ("1D", "2024-11-01", "2024-11-04", "2024-11-01", "2024-11-05"),
        ("1W", "2024-06-05", "2024-06-11", "2024-06-03", "2024-06-17"),
        ("1M", "2024-02-29", "2024-02-29", "2024-02-01", "2024-03-01"),
        ("1Y", "2024-12-31", "2025-01-02", "2024-01-01", "2026-01-01"),
    ],
)
def test_a_window_holds_the_whole_bars_of_its_days(text, first, last, start, end):
    found = Dataset.parse(text).window(date.fromisoformat(first), date.fromisoformat(last))
    assert found == (to_ns(start, NEW_YORK), to_ns(end, NEW_YORK) - 1)


def test_ends_of_days_follow_summer_time():
    days = np.array(["2024-03-08", "2024-03-11"], "M8[D]")
    ends = Dataset.parse("trades").ends(days)
    assert ends.tolist() == [
        to_ns("2024-03-09 05:00") - 1,
        to_ns("2024-03-12 04:00") - 1,
    ]


@pytest.mark.parametrize(("text", "shown"), [("5Min", "5Min bars"), ("quotes", "quotes")])
def test_it_is_shown_as_people_say_it(text, shown):
    assert str(Dataset.parse(text)) == shown
