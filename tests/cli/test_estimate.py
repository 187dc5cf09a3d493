"""`tsstore estimate`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from click.testing import Result


def test_defaults_are_those_of_the_reference(run: Callable[..., Result]) -> None:
    found = run("estimate").output
    assert found.startswith("1000 symbols x 10 years of 1Min: 1,017,900,000 rows, about ")
    assert "(48.9 GB before compaction)" in found


@pytest.mark.parametrize(
    ("arguments", "rows"),
    [
        (["-s", 2, "-y", 1, "-t", "1D"], 522),
        (["-s", 1, "-y", 1, "-d", 365, "--hours", 24, "-t", "1Sec"], 365 * 86_400),
        (["-s", 1, "-y", 1, "-d", 300, "-t", "1W"], 43),
        (["--8byteCols", 0, "--4byteCols", 3, "-s", 1, "-y", 0], 0),
    ],
)
def test_rows_follow_from_the_plan(
    run: Callable[..., Result], arguments: list[object], rows: int
) -> None:
    assert f": {rows:,} rows, about " in run("estimate", *arguments).output


def test_a_plan_that_cannot_be_is_refused(run: Callable[..., Result]) -> None:
    assert run("estimate", "-t", "1Fortnight").exit_code == 2
    assert run("estimate", "--hours", 25).exit_code == 2
