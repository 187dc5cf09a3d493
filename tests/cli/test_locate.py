"""Which store a command works on."""

from __future__ import annotations

import tsstore

from .conftest import BARS, bars


def test_the_directory_is_data_by_default(data, run) -> None:
    assert BARS in run("ls").output


def test_a_configuration_here_names_the_directory(here, run) -> None:
    with tsstore.open(here / "elsewhere") as store:
        store.write("X/1Min/OHLCV", bars())
    (here / "mkts.yml").write_text("root_directory: elsewhere\nbgworkers: [{nonsense: '${UNSET}'}]")
    assert run("ls").output == "X/1Min/OHLCV\n"


def test_an_option_comes_before_the_configuration(data, here, run) -> None:
    (here / "mkts.yml").write_text("root_directory: elsewhere\n")
    assert BARS in run("ls", "--dir", "data").output


def test_the_zone_of_the_configuration_bounds_days(here, run) -> None:
    prices = {key: [1.0, 2.0] for key in ("Open", "High", "Low", "Close")}
    day = {"Epoch": ["2024-01-02 05:00", "2024-01-03 04:59"], **prices}
    (here / "mkts.yml").write_text("root_directory: data\ntimezone: America/New_York\n")
    with tsstore.open(here / "data", timezone="America/New_York") as store:
        store.write("A/1Min/OHLCV", day)
    assert "(1 row)" in run("query", "A/1D/OHLCV").output
    assert "(1 row)" in run("query", "A/1D/OHLCV", "--dir", here / "data").output


def test_a_broken_configuration_here_is_reported(here, run) -> None:
    (here / "mkts.yml").write_text("root_directory: [}")
    result = run("ls")
    assert result.exit_code == 2
    assert "mkts.yml:1: not YAML" in result.stderr


def test_another_zone_than_that_of_the_days_changes_nothing(here, run) -> None:
    with tsstore.open(here / "data") as store:
        store.create("A/1D/OHLCV", tsstore.Schema.of({"Close": "f8"}))
    (here / "mkts.yml").write_text("root_directory: data\ntimezone: America/New_York\n")
    result = run("compact")
    assert result.exit_code == 2
    assert "write `timezone: UTC` in the mkts.yml that names this directory" in result.stderr
    for command in (["ls"], ["query", "A/1D/OHLCV"]):
        result = run(*command)
        assert result.exit_code == 0
        assert "mkts.yml here says America/New_York: reading in UTC; correct" in result.stderr


def test_a_zone_that_there_is_not_is_refused(data, here, run) -> None:
    (here / "mkts.yml").write_text("root_directory: data\ntimezone: Mars\n")
    result = run("ls")
    assert result.exit_code == 2
    assert "unknown time zone 'Mars'" in result.stderr
