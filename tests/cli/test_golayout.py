"""Times in layouts of Go, against a slow reader of the same rules."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.cli import gotime
from tsstore.cli.session.timecells import BadTimeError, GoTimes, Timestamps
from tsstore.errors import InvalidArgumentError

YEARS = ["2006", "06"]
DATES = [["Jan", "2"], ["January", "_2"], ["1", "2"], ["01", "02"], ["01", "_2"], ["002"], ["__2"]]
TIMES = [[], ["15", "04", "05"], ["3", "4", "5", "PM"], ["03", "04", "pm"], ["15", "04"]]
EXTRAS = [[], ["Mon"], ["Monday"], ["Z07:00"], ["Z0700"], ["-07:00"], ["-0700"], ["-07"]]
FRACTIONS = ["", ".000", ".999999999", ",000000"]


@st.composite
def layouts(draw) -> list[str]:
    """Parts of a layout, text that means nothing between them."""
    parts = [draw(st.sampled_from(YEARS)), *draw(st.sampled_from(DATES))]
    parts += [*draw(st.sampled_from(TIMES)), *draw(st.sampled_from(EXTRAS))]
    parts = draw(st.permutations(parts))
    between = st.sampled_from(["/", "; ", " T", "|", "(", "\\"])
    spread = []
    for part in parts:
        spread += [draw(between), part]
        if part in ("05", "5") and (extra := draw(st.sampled_from(FRACTIONS))):
            spread.append(extra)
    return spread[1:]


def written(part: str, draw) -> str:
    """A cell's text for one part of a layout, now and then a wrong one."""

    def digits(low: int, high: int, width: int = 1) -> str:
        return str(draw(st.integers(low, high))).zfill(width)

    if part in ("Jan", "January", "Mon", "Monday"):
        names = {
            "Jan": gotime.MONTHS, "January": gotime.LONG_MONTHS, "Mon": gotime.DAYS,
            "Monday": gotime.LONG_DAYS,
        }[part]  # fmt: skip
        case = draw(st.sampled_from([str.upper, str.lower, str.title]))
        return case(draw(st.sampled_from(names)))
    if part[:1] in (".", ","):
        return draw(st.sampled_from([".", ","])) + digits(
            0, 10 ** (len(part) - 1) - 1, len(part) - 1
        )
    if part[1:3] == "07":
        sign = draw(st.sampled_from("+-" if part[0] == "-" else "+-Z"))
        rest = digits(0, 25, 2) + part[3:].replace("00", digits(0, 61, 2))
        return "Z" if sign == "Z" else sign + rest
    return {
        "2006": lambda: digits(1677, 2262, 4), "06": lambda: digits(0, 99, 2),
        "01": lambda: digits(0, 13, 2), "1": lambda: digits(0, 13),
        "02": lambda: digits(0, 32, 2), "2": lambda: digits(0, 32),
        "_2": lambda: digits(1, 31).rjust(2), "002": lambda: digits(0, 367, 3),
        "__2": lambda: digits(0, 367).rjust(3), "15": lambda: digits(0, 24, 2),
        "3": lambda: digits(0, 13), "03": lambda: digits(0, 13, 2),
        "4": lambda: digits(0, 60), "04": lambda: digits(0, 60, 2),
        "5": lambda: digits(0, 60), "05": lambda: digits(0, 60, 2),
        "PM": lambda: draw(st.sampled_from(["AM", "PM"])),
        "pm": lambda: draw(st.sampled_from(["am", "pm"])),
    }.get(part, lambda: part.replace(" ", draw(st.sampled_from([" ", "   "]))))()  # fmt: skip


@st.composite
def cells(draw) -> tuple[list[str], list[str]]:
    parts = draw(layouts())
    texts = ["".join(written(part, draw) for part in parts) for _ in range(3)]
    at = draw(st.integers(0, len(texts[0])))
    texts[0] = draw(st.sampled_from([texts[0], texts[0][:at], texts[0][:at] + "7" + texts[0][at:]]))
    return parts, texts


@given(cells(), st.sampled_from(["UTC", "America/New_York", "Asia/Kolkata"]))
def test_what_go_reads_is_read_and_nothing_else(generated, tz) -> None:
    parts, texts = generated
    times = GoTimes("".join(parts))
    for text in texts:
        try:
            expected = gotime.parse(parts, text, tz)
        except ValueError:
            with pytest.raises(BadTimeError):
                times.read([text], tz)
        else:
            assert times.read([text], tz).tolist() == [expected]


@given(st.lists(st.datetimes(), min_size=1, max_size=20))
def test_a_column_is_read_as_its_cells_are(moments) -> None:
    moments = [moment for moment in moments if 1678 <= moment.year <= 2261]
    texts = [
        f"{m.month}/{m.day}/{m:%Y} {m.hour % 12 or 12}:{m:%M:%S}.{m.microsecond:06d} {m:%p}"
        for m in moments
    ]
    expected = np.array(moments, "M8[ns]").view(np.int64).tolist()
    assert GoTimes("1/2/2006 3:04:05 PM").read(texts, "UTC").tolist() == expected


@pytest.mark.parametrize(
    ("layout", "text", "instant"),
    [
        ("20060102150405", "20240229235959", "2024-03-01T04:59:59"),
        ("20060102 150405.000000", "20240229 235959.000001", "2024-03-01T04:59:59.000001"),
        ("2006-01-02T15:04:05Z07:00", "2024-07-01T00:00:00.5+02:00", "2024-06-30T22:00:00.5"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Jul  2 09:30:00 EDT 2024", "2024-07-02T13:30:00"),
        ("Mon Jan _2 15:04:05 MST 2006", "Tue Jan  2 09:30:00 EST 2024", "2024-01-02T14:30:00"),
        ("2006-01-02 15:04 MST", "2024-01-02 09:30 UTC", "2024-01-02T09:30"),
        ("Monday, 02-Jan-06", "Tuesday, 02-Jan-24", "2024-01-02T05:00"),
        ("2006.01.02 (15h)", "2024.01.02 (9h)", "2024-01-02T14:00"),
        ("1/2/2006", "12/31/1999", "1999-12-31T05:00"),
        ("_2006-01-02", "_2024-01-02", "2024-01-02T05:00"),
        ("02Jan2006", "02JAN2024", "2024-01-02T05:00"),
        ("2.1.06", "1.1.69", "1969-01-01T05:00"),
        ("2.1.06", "1.1.68", "2068-01-01T05:00"),
        ("2.1.06 3PM", "1.1.24 12AM", "2024-01-01T05:00"),
        ("2.1.06 3PM", "1.1.24 12PM", "2024-01-01T17:00"),
        ("2006-01-02 15:04Z07:00", "2024-01-02 10:00+05:60", "2024-01-02T04:00"),
        ("2/115 2006", "2/1115 2024", "2024-11-02T19:00"),
    ],
)
def test_layouts_of_files(layout, text, instant) -> None:
    expected = np.datetime64(instant, "ns")
    assert GoTimes(layout).read([text], "America/New_York").view("M8[ns]").tolist() == [
        expected.astype(np.int64)
    ]


@pytest.mark.parametrize(
    ("layout", "text"),
    [
        ("2006-01-02 15:04Z07:00", "2024-01-02 10:00+05:61"),
        ("2006-01-02 15:04Z07:00", "2024-01-02 10:00+25:00"),
        ("2/115 2006", "2/915 2024"),  # Go takes 91 for the month
        ("2006-01-02", "2023-02-29"),
        ("2006-01-02", "2024-1-2"),
        ("2006-01-02", "\uff12\uff10\uff12\uff14-01-02"),
        ("2006-01-02 MST", "2024-01-02 CET"),
        ("2006-01-02", ""),
    ],
)
def test_cells_that_go_refuses(layout, text) -> None:
    with pytest.raises(BadTimeError):
        GoTimes(layout).read([text], "America/New_York")


@pytest.mark.parametrize(
    ("text", "ns"),
    [("2016-12-30 21:37:57 14", 14_000_000), ("2016-12-30 21:37:57 140001", 140_001_000)],
)
def test_a_suffix_of_the_first_cell_counts_for_all(text, ns) -> None:
    times = GoTimes("2006-01-02 15:04:05").settled(text)
    assert times.read([text, text], "UTC")[1] % 10**9 == ns
    with pytest.raises(BadTimeError) as caught:
        times.read([text, "2016-12-30 21:37:57"], "UTC")
    assert caught.value.at == 1


def test_other_suffixes_are_refused_and_not_dropped() -> None:
    with pytest.raises(BadTimeError, match="2016-12-30 21:37:57 EST"):
        GoTimes("2006-01-02 15:04:05").settled("2016-12-30 21:37:57 EST")


@pytest.mark.parametrize(
    "layout", ["", "15:04", "2006-01", "Jan 2", "2 15 2006", "nonsense", "06\n1/2"]
)
def test_layouts_without_a_date_are_refused(layout) -> None:
    with pytest.raises(InvalidArgumentError, match="timeFormat"):
        GoTimes(layout)


@given(st.integers(-9_000_000_000, 9_000_000_000), st.integers(0, 10**9 - 1))
def test_timestamps_with_decimals(seconds, ns) -> None:
    text = f"{seconds}.{ns:09d}"
    expected = abs(seconds) * 10**9 + ns
    expected = -expected if text.startswith("-") else expected
    assert Timestamps().read([text, str(seconds)], "Asia/Tokyo").tolist() == [
        expected, seconds * 10**9,
    ]  # fmt: skip


@pytest.mark.parametrize(
    "text", ["", "1e9", "nan", "1.", ".5", "99999999999", "\uff11", "0x1", "1 "]
)
def test_no_timestamps(text) -> None:
    with pytest.raises(BadTimeError):
        Timestamps().read(["1", text], "UTC")
