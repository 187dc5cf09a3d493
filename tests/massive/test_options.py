from __future__ import annotations

import threading
from datetime import date
from pathlib import Path

import pytest
from click.testing import CliRunner

from tests.massive.http_server import KEY, page, scripted
from tsstore.cli.main import main
from tsstore.clock import ManualClock
from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore.testing.model import ModelStore
from tsstore_massive import commandline
from tsstore_massive.backfilling.backfill import Target
from tsstore_massive.backfilling.options import Options, read_options
from tsstore_massive.commandline import split_list
from tsstore_massive.datasets import Dataset
from tsstore_massive.doctor.cli import command as doctor_command
from tsstore_massive.listing import resolve_symbols
from tsstore_massive.rest import RestClient
from tsstore_massive.rest.rate import RateLimiter

TODAY = date(2024, 6, 5)
NOTHING = {
    "api_key": None, "api_key_file": None, "base_url": None, "bars": False,
    "bar_frequencies": None, "trades": False, "quotes": False, "starts": (), "end": None,
    "symbols": None, "parallelism": None, "batch_size": None, "requests_per_minute": None,
    "adjusted": None, "refetch": False, "ask_again": False,
    "source": "rest", "dry_run": False, "archive": None, "profile": None, "endpoint": None,
    "bucket": None, "config_path": None,
    "directory": Path("data"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def _no_system_config(monkeypatch):
    monkeypatch.setattr(commandline, "DEFAULT_CONFIG", "/nonexistent/mkts.yml")
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)


def read(**flags) -> Options:
    return read_options(NOTHING | flags, TODAY)


def target(name: str, first: str, last: date = TODAY) -> Target:
    return Target(Dataset.parse(name), date.fromisoformat(first), last)


# What is fetched


def test_bars_are_minutes_unless_told_otherwise():
    assert read(bars=True, starts=("1Min=2024-01-02",)).targets == [target("1Min", "2024-01-02")]


def test_each_bar_length_has_its_first_day():
    options = read(
        bars=True, bar_frequencies="1Min, 1D", starts=("1Min=2024-01-02", "1D=2020-01-02")
    )
    assert options.targets == [target("1Min", "2024-01-02"), target("1D", "2020-01-02")]


def test_trades_and_quotes_have_theirs():
    options = read(trades=True, quotes=True, starts=("trades=2024-06-01,quotes=2024-06-03",))
    assert options.targets == [target("trades", "2024-06-01"), target("quotes", "2024-06-03")]


def test_a_date_alone_is_for_everything_that_has_none():
    options = read(bars=True, trades=True, starts=("2024-06-01", "1Min=2024-01-02"))
    assert options.targets == [target("1Min", "2024-01-02"), target("trades", "2024-06-01")]


def test_what_has_a_first_day_is_fetched_when_no_flag_says_what():
    options = read(starts=("1D=2020-01-02", "quotes=2024-06-03"))
    assert options.targets == [target("1D", "2020-01-02"), target("quotes", "2024-06-03")]


def test_what_is_named_twice_is_fetched_once():
    options = read(
        bars=True, bar_frequencies="1Min,1Min,1T", starts=("2024-06-03",), symbols="AAPL,AAPL"
    )
    assert options.targets == [target("1Min", "2024-06-03")]
    assert options.symbols == ["AAPL"]


def test_the_last_day_is_not_included():
    options = read(trades=True, starts=("2024-06-01",), end="2024-06-04")
    assert options.targets == [target("trades", "2024-06-01", date(2024, 6, 3))]


@pytest.mark.parametrize(
    ("flags", "text"),
    [
        ({}, "what is to be fetched"),
        ({"bars": True}, "1Min bars from which day.*-from 1Min=2024-01-01"),
        ({"trades": True, "starts": ("quotes=2024-01-01",)}, "quotes are not asked .*say -quotes"),
        (
            {"bars": True, "starts": ("1D=2024-01-02",)},
            "-from 1D=2024-01-02 .*1D bars are not .*-bar-frequencies 1Min,1D, .*-frequencies 1D$",
        ),
        (
            {"trades": True, "starts": ("2024-06-03",), "end": "2024-06-03"},
            "trades from 2024-06-03 to 2024-06-03, which is itself not included: .*-to 2024-06-04$",
        ),
        (
            {"trades": True, "starts": ("2024-06-06",)},
            "^trades from 2024-06-06, and today in New York is 2024-06-05; give an earlier -from$",
        ),
        ({"starts": ("2024-01-01",)}, "what is to be fetched"),
        ({"starts": ("1Min=yesterday",)}, "'yesterday' is not a date"),
        ({"starts": ("ticks=2024-01-01",)}, "'ticks' is neither trades"),
        ({"trades": True, "starts": ("2024-01-01",), "end": "soon"}, "'soon' is not a date"),
        ({"trades": True, "starts": ("2024-01-01",), "end": "0001-01-01"}, "0001-01-01.*1970"),
        ({"bar_frequencies": "7Min", "starts": ("2024-01-01",)}, "7Min cannot be fetched"),
        ({"directory": None, "trades": True}, "where is the store"),
        (
            {"trades": True, "starts": ("2024-01-01",), "symbols": " ,"},
            "--symbols names none; .*'\\*' for all",
        ),
        ({"base_url": "http://example.com", "trades": True}, "unencrypted"),
        ({"config_path": Path("/nonexistent/a.yml")}, "cannot read /nonexistent/a.yml"),
    ],
)
def test_what_is_missing_or_wrong_is_told_in_one_line(flags, text):
    with pytest.raises(InvalidArgumentError, match=text) as caught:
        read(**flags)
    assert "\n" not in str(caught.value)


# mkts.yml


@pytest.fixture
def mkts(tmp_path):
    path = tmp_path / "mkts.yml"
    path.write_text(
        f"""
root_directory: {tmp_path}/db
listen_port: 5993
timezone: America/New_York
bgworkers:
  - module: other.so
    config: {{symbols: [ZZZ]}}
  - module: massive.so
    name: Massive
    config:
      api_key: key-of-the-file
      base_url: https://proxy.example.com
      symbols: [AAPL, ON]
      data_types: [bars, trades]
      query_start: {{1Min: 2024-01-02, trades: 2024-06-03}}
      backfill_batch_size: 1000
      backfill_adjusted: false
"""
    )
    return path


def test_everything_may_come_from_the_file_of_the_server(mkts, tmp_path):
    options = read(config_path=mkts, directory=None)
    assert options.targets == [target("1Min", "2024-01-02"), target("trades", "2024-06-03")]
    assert options.symbols == ["AAPL", "ON"]
    assert options.directory == tmp_path / "db"
    assert options.timezone == "America/New_York"
    assert options.config.resolve_key() == "key-of-the-file"
    assert options.config.backfill_batch_size == 1000
    assert not options.config.backfill_adjusted


def test_the_command_line_stands_over_the_file(mkts):
    options = read(
        config_path=mkts, api_key="mine", base_url="http://127.0.0.1:1", symbols="SPY", trades=True,
        batch_size=7, adjusted=True, parallelism=9, requests_per_minute=5, starts=("2024-05-01",),
    )  # fmt: skip
    assert options.targets == [target("trades", "2024-05-01")]
    assert options.symbols == ["SPY"]
    assert options.directory == Path("data")
    config = options.config
    assert config.resolve_key() == "mine"
    assert config.base_url == "http://127.0.0.1:1"
    assert (config.backfill_batch_size, config.backfill_parallelism) == (7, 9)
    assert config.backfill_adjusted
    assert config.requests_per_minute == 5


def test_a_flag_takes_its_first_day_from_the_file(mkts):
    assert read(config_path=mkts, trades=True).targets == [target("trades", "2024-06-03")]


def test_a_file_without_the_worker_gives_the_directory(tmp_path):
    path = tmp_path / "mkts.yml"
    path.write_text("root_directory: db\nlisten_port: 5993\n")
    assert read(config_path=path, directory=None, starts=("1D=2024-01-02",)).symbols == ["*"]


def test_a_mistake_in_the_file_names_its_line(tmp_path):
    path = tmp_path / "mkts.yml"
    path.write_text(
        "root_directory: db\nbgworkers:\n  - module: massive\n    config:\n      symbls: [A]\n"
    )
    with pytest.raises(ConfigError, match=r"mkts.yml:5: .*symbls"):
        read(config_path=path)


# The key


def test_the_key_may_come_from_a_file(tmp_path):
    path = tmp_path / "key"
    path.write_text("from-the-file\n")
    path.chmod(0o600)
    options = read(api_key_file=path, starts=("1D=2024-01-02",))
    assert options.config.resolve_key() == "from-the-file"


def test_the_key_may_come_from_the_environment(monkeypatch):
    monkeypatch.setenv("MASSIVE_API_KEY", "from-the-environment")
    assert read(starts=("1D=2024-01-02",)).config.resolve_key() == "from-the-environment"


def test_no_key_is_told_when_it_is_needed():
    options = read(starts=("1D=2024-01-02",))
    with pytest.raises(ConfigError, match="MASSIVE_API_KEY"):
        options.config.resolve_key()


def test_the_key_is_not_shown(monkeypatch):
    assert "hidden-key" not in repr(read(api_key="hidden-key", starts=("1D=2024-01-02",)))


# Symbols


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("AAPL", ["AAPL"]),
        ("AAPL, MSFT ,", ["AAPL", "MSFT"]),
        ("B,A, B", ["B", "A"]),
        ("{A,B}*,C", ["{A,B}*", "C"]),
        ("", []),
    ],
)
def test_a_list_is_split_at_commas_outside_braces(text, items):
    assert split_list(text) == items


LISTED = ["X:BTCUSD", "A", "AAPL", "ABCw", "BCPC", "BCpC", "BRK.B", "bad name"]


def resolve(
    *wanted: str, store: ModelStore | None = None, now_ns: int = 10**18
) -> tuple[list[str], int]:
    clock = ManualClock(now_ns)
    tickers = page({"ticker": name} for name in LISTED)
    with (
        scripted(tickers) as server,
        RestClient(
            server.url,
            KEY,
            clock=clock,
            limiter=RateLimiter(100, 60.0, clock),
            stop=threading.Event(),
        ) as rest,
    ):
        found = resolve_symbols(list(wanted), store or ModelStore(), rest, clock)
        return found, len(server.requests)


def test_the_list_of_all_is_asked_for_once_a_day():
    store = ModelStore()
    assert resolve("A*", store=store) == (["A", "AAPL", "ABCw"], 1)
    assert resolve("BC?C", store=store) == (["BCPC", "BCpC"], 0)


def test_a_list_of_a_clock_that_was_ahead_is_asked_for_again():
    store = ModelStore()
    resolve("A*", store=store, now_ns=2 * 10**18)
    assert resolve("A*", store=store)[1] == 1
    assert resolve("A*", store=store)[1] == 0


def test_a_pattern_is_of_one_market():
    assert resolve("X:BTC-*", "C:EURUSD", "A")[0] == ["A", "C:EUR-USD", "X:BTC-USD"]
    with pytest.raises(ConfigError, match="symbols of options have to be named one by one"):
        resolve("O:SPY*")


def test_exact_symbols_need_no_list_of_all():
    assert resolve("MSFT", "AAPL", "MSFT") == (["AAPL", "MSFT"], 0)


@pytest.mark.parametrize(
    ("pattern", "found"),
    [
        ("A*", ["A", "AAPL", "ABCw"]),
        ("BC?C", ["BCPC", "BCpC"]),
        ("{A,BRK.B}", ["A", "BRK.B"]),
        ("*", ["A", "AAPL", "ABCw", "BCPC", "BCpC", "BRK.B"]),
    ],
)
def test_a_pattern_takes_the_symbols_that_match(pattern, found):
    assert resolve(pattern) == (found, 1)


def test_exact_symbols_stay_beside_a_pattern():
    assert resolve("DELISTED", "A") == (["A", "DELISTED"], 0)
    assert resolve("DELISTED", "BRK*") == (["BRK.B", "DELISTED"], 1)


def test_a_pattern_that_nothing_matches_is_told():
    with pytest.raises(ConfigError, match=r"no symbol matches Z\*"):
        resolve("Z*")


def test_the_file_of_the_folder_counts_and_its_zone_for_its_own_store(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert CliRunner().invoke(main, ["init"]).exit_code == 0
    days = {"bars": True, "starts": ("2024-01-02",)}
    options = read(**days, directory=None)  # and it is no matter that the key is not set
    assert (options.directory, options.timezone) == (Path("data"), "America/New_York")
    assert read(**days, directory=tmp_path / "data").timezone == "America/New_York"
    assert read(**days, directory=Path("other")).timezone is None
    assert read(**days, directory=Path("other"), config_path=Path("mkts.yml")).timezone
    with pytest.raises(ConfigError, match=r"no Massive API key.*data_source: synthetic"):
        options.config.resolve_key()
    monkeypatch.setattr(commandline, "DEFAULT_CONFIG", str(tmp_path / "machine.yml"))
    Path("mkts.yml").rename("machine.yml")
    assert read(**days, directory=None).directory == Path("data")
    doctor = CliRunner().invoke(doctor_command, ["--no-socket", "--no-files", "--json"])
    assert str(tmp_path / "machine.yml") in doctor.stdout
