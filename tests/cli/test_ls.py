"""`tsstore ls`."""

from __future__ import annotations

import json

import tsstore


def test_keys_are_printed_one_a_line(data, run) -> None:
    assert run("ls").output == "AAPL/1Min/OHLCV\nMSFT/1Min/OHLCV\n"


def test_a_pattern_selects(data, run) -> None:
    assert run("ls", "M*/*/*").output == "MSFT/1Min/OHLCV\n"


def test_nothing_is_nothing(data, run) -> None:
    result = run("ls", "X/*/*")
    assert (result.exit_code, result.output) == (0, "")


def test_json_says_what_is_known_of_each(data, run) -> None:
    assert json.loads(run("ls", "A*/*/*", "--format", "json").output) == [
        {
            "Key": "AAPL/1Min/OHLCV",
            "Kind": "fixed",
            "Rows": 3,
            "First": "2024-01-02 14:30:00Z",
            "Last": "2024-01-02 14:32:00Z",
            "Columns": "Close Volume",
        }
    ]


def test_an_empty_bucket_has_no_span(here, run) -> None:
    with tsstore.open(here / "data") as store:
        store.create("A/1Sec/TRADE", tsstore.Schema.of({"Price": "f8"}, variable=True))
    assert run("ls", "--format", "csv").output.splitlines()[1] == "A/1Sec/TRADE,variable,0,,,Price"


def test_what_plugins_keep_for_themselves_is_shown_to_who_asks(data, run) -> None:
    with tsstore.open(data) as store:
        store.create("_mine/24H/POSITION", tsstore.Schema.of({"Commit": "i8"}))
        assert "_mine/24H/POSITION" in store.list()
    assert run("ls").output == "AAPL/1Min/OHLCV\nMSFT/1Min/OHLCV\n"
    for arguments in (["--all"], ["*/*/*"]):
        assert run("ls", *arguments).output.splitlines()[-1] == "_mine/24H/POSITION"
    assert run("ls", "_*/*/*").output == "_mine/24H/POSITION\n"
