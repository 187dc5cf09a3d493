"""Rows as a table, CSV, JSON or Arrow."""

from __future__ import annotations

import numpy as np
import pytest

from tsstore.cli.output import times_text


def ns(*texts: str) -> np.ndarray:
    return np.array(texts, "M8[ns]").astype(np.int64)


@pytest.mark.parametrize(
    ("instant", "text"),
    [
        ("2024-01-02T14:30:00", "2024-01-02T14:30:00Z"),
        ("2024-01-02T14:30:00.5", "2024-01-02T14:30:00.500Z"),
        ("2024-01-02T14:30:00.000001", "2024-01-02T14:30:00.000001Z"),
        ("2024-01-02T14:30:00.000000001", "2024-01-02T14:30:00.000000001Z"),
        ("1969-12-31T23:59:59", "1969-12-31T23:59:59Z"),
    ],
)
def test_times_are_as_short_as_they_can_be(instant: str, text: str) -> None:
    assert times_text(ns(instant), "UTC") == [text]


def test_all_times_of_a_piece_have_the_same_length() -> None:
    texts = times_text(ns("2024-01-02", "2024-01-02T00:00:00.001"), "UTC")
    assert texts == ["2024-01-02T00:00:00.000Z", "2024-01-02T00:00:00.001Z"]


def test_times_of_a_zone_carry_its_offset() -> None:
    instants = ns("2024-01-02T14:30:00", "2024-07-02T13:30:00")
    assert times_text(instants, "America/New_York") == [
        "2024-01-02T09:30:00-05:00",
        "2024-07-02T09:30:00-04:00",
    ]


def test_an_offset_with_minutes_east_of_greenwich() -> None:
    assert times_text(ns("2024-01-02"), "Asia/Kolkata") == ["2024-01-02T05:30:00+05:30"]


def test_no_times_are_no_texts() -> None:
    assert times_text(ns(), "America/New_York") == []
