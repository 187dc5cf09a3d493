"""How the commands that fetch history open their store."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from click.testing import CliRunner

import tsstore
from tests.massive.http_server import Reply, Server, Vendor, bar
from tsstore.errors import InvalidArgumentError
from tsstore.times import to_ns
from tsstore_massive.backfilling import cli as backfiller
from tsstore_massive.errors import ApiKeyError
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


def test_a_store_of_which_nothing_came_keeps_the_zone_it_was_made_with(tmp_path: Path) -> None:
    for zone, expected in ((None, NEW_YORK), ("Asia/Tokyo", "Asia/Tokyo")):
        data = tmp_path / expected.replace("/", "-")
        for given in (zone, None, None):
            with open_for_history(data, given) as store:
                assert store.timezone == expected


def test_nothing_is_made_by_a_dry_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MASSIVE_API_KEY", "key-of-the-test")
    (tmp_path / "archive").mkdir()
    for command, arguments in (
        (backfiller.command, "-bars -from 2024-06-03 --source rest --base-url http://127.0.0.1:9"),
        (flatfiles.command, f"--start 2024-06-03 --offline --archive {tmp_path}/archive"),
        (flatfiles.command, f"--start 2024-06-03 --offline --no-keep --archive {tmp_path}/archive"),
    ):
        told = [*arguments.split(), "--symbols", "AAPL", "--dir", str(tmp_path / "data")]
        done = CliRunner().invoke(command, [*told, "--dry-run"], catch_exceptions=False)
        assert done.exit_code == 0, done.output
        assert list(tmp_path.rglob("*")) == [tmp_path / "archive"]
    with open_for_history(tmp_path / "old", None) as store:
        store.write("A/1D/OHLCV", ROWS)
    with open_for_history(tmp_path / "old", None, dry_run=True) as store:
        assert store.list() == ["A/1D/OHLCV"]


def test_a_first_run_that_fails_leaves_a_store_with_days_of_new_york(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its rows of days would stand at other midnights than those of the vendor."""
    monkeypatch.setenv("MASSIVE_API_KEY", "key-of-the-test")
    data, what = tmp_path / "data", "-bars -bar-frequencies 1D -from 2024-06-03 -to 2024-06-04"
    arguments = [*what.split(), "-symbols", "AAPL", "-dir", str(data), "--source", "rest"]
    vendor = Vendor()
    vendor.bars["AAPL"] = [bar(to_ns("2024-06-03", NEW_YORK))]
    with Server(vendor) as server:
        told = [*arguments, "-base-url", server.url]
        vendor.fault = lambda _: Reply(b'{"error":"Unknown API Key"}', 401)
        assert isinstance(CliRunner().invoke(backfiller.command, told).exception, ApiKeyError)
        vendor.fault = lambda _: None
        assert CliRunner().invoke(backfiller.command, told).exit_code == 0
    with tsstore.open(data) as store:
        assert store.read("AAPL/1D/OHLCV").ts.tolist() == [to_ns("2024-06-03", NEW_YORK)]


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
