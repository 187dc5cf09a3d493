"""How the commands that fetch history open their store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import tsstore
from tsstore.errors import InvalidArgumentError
from tsstore_massive.backfilling import cli as backfiller
from tsstore_massive.flatfiles import cli as flatfiles
from tsstore_massive.opening import open_for_history
from tsstore_massive.reference import cli as reference
from tsstore_massive.synthetic import marking

if TYPE_CHECKING:
    from pathlib import Path

    import click

NEW_YORK = "America/New_York"
ROWS = {"Epoch": [0], "Until": [1]}


def test_a_new_directory_has_the_zone_of_init_and_an_old_one_its_own(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for name, zone, expected in (
        ("new", None, NEW_YORK),
        ("new", None, NEW_YORK),
        ("empty", None, NEW_YORK),
        ("given", "UTC", "UTC"),
        ("given", None, "UTC"),
    ):
        with open_for_history(tmp_path / name, zone) as store:
            assert store.timezone == expected, name
            store.write("A/1D/OHLCV", ROWS)


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        (backfiller.command, "-bars -from 2024-06-03 -symbols AAPL --source rest"),
        (flatfiles.command, "--start 2024-06-03 --symbols AAPL --offline"),
        (reference.command, "--symbols AAPL"),
    ],
)
def test_real_rows_do_not_come_beside_made_up_ones(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, command: click.Command, arguments: str
) -> None:
    monkeypatch.setenv("MASSIVE_API_KEY", "key-of-the-test")
    data = tmp_path / "data"
    (tmp_path / "data.flatfiles").mkdir()  # the archive that --offline reads
    with tsstore.open(data) as store:
        marking(store).write("_massive/24H/BARS_GAPS", ROWS)
    told = [*arguments.split(), "--dir", str(data), "--base-url", "http://127.0.0.1:9"]
    with pytest.raises(InvalidArgumentError, match=r"data holds made-up rows .*another .*--dir"):
        CliRunner().invoke(command, told, catch_exceptions=False)
    with tsstore.open(data) as store:  # nobody is left who holds it
        assert store.list() == ["_massive/24H/BARS_GAPS"]
