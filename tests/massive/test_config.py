from __future__ import annotations

from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tsstore.errors import ConfigError
from tsstore_massive.config import API_KEY_VARIABLE, Config
from tsstore_massive.datasets import Dataset

if TYPE_CHECKING:
    from pathlib import Path


def read(**options: Any) -> Config:
    return msgspec.convert(options, Config)


def test_the_defaults_are_the_references() -> None:
    config = Config()
    assert config.base_url == "https://api.massive.com"
    assert config.stream_url == "wss://socket.massive.com/stocks"
    assert config.bar_frequencies == ("1Min",)
    assert config.backfill_batch_size == 50_000
    assert not config.backfill_adjusted
    assert config.all_symbols


@pytest.mark.parametrize(
    "query_start",
    [
        {"1Min": "2024-01-02", "1D": "2020-01-01"},
        [{"1Min": "2024-01-02"}, {"1D": "2020-01-01"}],
        {"1Min": date(2024, 1, 2), "1D": date(2020, 1, 1)},
    ],
)
def test_query_start_is_a_mapping_or_a_list_of_mappings(query_start: Any) -> None:
    starts = read(query_start=query_start).starts
    assert starts == {
        Dataset.parse("1Min"): date(2024, 1, 2),
        Dataset.parse("1D"): date(2020, 1, 1),
    }


def test_query_start_names_ticks_by_kind() -> None:
    starts = read(query_start={"trades": "2024-01-02"}).starts
    assert starts == {Dataset.parse("trades"): date(2024, 1, 2)}


def test_what_is_named_twice_is_wanted_once() -> None:
    config = read(
        data_types=["bars", "trades", "bars"],
        symbols=["AAPL", "BRK.B", "AAPL"],
        reference=["splits", "splits"],
        query_start=[{"1Min": "2024-01-02"}, {"1T": "2024-01-02"}],
    )
    assert config.data_types == ("bars", "trades")
    assert [channel.kind for channel in config.channels] == ["bars", "trades"]
    assert config.bucket_symbols == ("AAPL", "BRK.B")
    assert config.reference == ("splits",)
    assert len(config.starts) == 1
    currencies = read(symbols=["EUR/USD", "C:EURUSD", "C:EUR-USD"], market="forex")
    assert currencies.bucket_symbols == ("C:EUR-USD",)
    line = read(connections={"a": {"data_types": ["bars", "bars"]}}).of_connection("a")
    assert line.data_types == ("bars",)


def test_the_path_is_the_market() -> None:
    config = read(
        ws_server="wss://socket.massive.com/forex", symbols=["EUR/USD"], data_types=["quotes"]
    )
    assert config.market == "forex"
    assert config.bucket_symbols == ("C:EUR-USD",)
    assert [channel.topic for channel in config.channels] == ["C"]
    assert read(ws_server="wss://socket.massive.com/futures/cme").market == "futures"


@pytest.mark.parametrize(
    ("server", "url"),
    [
        ("wss://socket.massive.com", "wss://socket.massive.com/stocks"),
        ("wss://socket.massive.com/", "wss://socket.massive.com/stocks"),
        ("wss://delayed.massive.com/options", "wss://delayed.massive.com/options"),
        ("ws://127.0.0.1:8765", "ws://127.0.0.1:8765/stocks"),
    ],
)
def test_the_path_of_stocks_is_added_when_there_is_none(server: str, url: str) -> None:
    assert read(ws_server=server).stream_url == url


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"symbls": ["AAPL"]}, "symbls"),
        ({"data_types": []}, "data_types"),
        ({"data_types": ["news"]}, "news"),
        ({"symbols": ["A*"]}, "A*"),
        ({"symbols": ["C:EUR-USD"]}, "a symbol of forex, not of stocks"),
        ({"data_types": ["values"]}, "no values of stocks; there are bars, second_bars"),
        ({"ws_server": "wss://socket.massive.com/bonds"}, "one of /stocks, /options"),
        ({"market": "bonds"}, "bonds"),
        ({"market": "options", "ws_server": "wss://h/stocks"}, "streams stocks"),
        ({"connections": {"a b": {}}}, "no name"),
        ({"connections": {"a": {}}, "data_source": "synthetic"}, "connections go to Massive"),
        ({"connections": {"a": {}}, "symbols": ["SPY"]}, "symbols is said of each"),
        ({"connections": {"a": {}}, "ws_server": "wss://h/stocks"}, "the path of ws_server"),
        ({"connections": {"a": {"symbols": ["T.*"]}}}, "not a symbol"),
        ({"connections": {"a": {"ws_server": "ws://h"}}}, "unencrypted"),
        ({"connections": {"a": {"ws_server": "wss://h/forex", "market": "stocks"}}}, "streams for"),
        ({"connections": {"a": {"market": "forex", "data_types": ["trades"]}}}, "a: the vendor"),
        ({"ws_server": "wss://h/launchpad"}, "no market that we know"),
        ({"connections_allowed": 0}, "connections_allowed"),
        ({"symbols": ["T.AAPL,T.MSFT"]}, "not a symbol"),
        ({"bar_frequencies": ["1Foo"]}, "1Foo"),
        ({"query_start": {"1Foo": "2024-01-02"}}, "1Foo"),
        ({"query_start": {"7Min": "2024-01-02"}}, "query_start: bars of 7Min cannot"),
        ({"query_start": {"1Min": "yesterday"}}, "query_start"),
        (
            {"query_start": {"1Min": "2024-01-02", "1T": "2024-01-03"}},
            "query_start: 1Min bars begin on 2024-01-02 and on 2024-01-03",
        ),
        ({"backfill_batch_size": 0}, "backfill_batch_size"),
        ({"backfill_batch_size": 50_001}, "backfill_batch_size"),
        ({"base_url": "ftp://h"}, "base_url"),
        ({"base_url": "http://api.massive.com"}, "unencrypted"),
        ({"ws_server": "ws://socket.massive.com"}, "unencrypted"),
        ({"ws_server": "wss://h/?apiKey=abc"}, "api_key"),
        ({"ws_query_start": "2024-01-02"}, "ws_query_start"),
    ],
)
def test_a_wrong_option_is_refused_and_named(options: dict[str, Any], words: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=words.replace("*", r"\*")):
        read(**options)


@pytest.mark.parametrize(
    ("options", "url"),
    [
        ({"market": "crypto"}, "wss://socket.massive.com/crypto"),
        ({"market": "futures", "ws_server": "wss://h/futures/cme"}, "wss://h/futures/cme"),
    ],
)
def test_the_market_is_the_path(options: dict[str, Any], url: str) -> None:
    assert read(**options).stream_url == url


def test_a_universe_alone_is_not_all_symbols() -> None:
    assert not read(universe="tech_leaders").all_symbols
    assert read(universe="tech_leaders").universe_names == ("tech_leaders",)
    assert read(universe=["a", "b:c"]).universe_names == ("a", "b:c")
    assert read().universe_names == ()


@pytest.mark.parametrize(
    "options",
    [
        {"ws_server": "wss://h/?apiKey=secret-key-0001"},
        {"ws_server": "socket.massive.com/stocks?apiKey=secret-key-0001"},
        {"base_url": "htps://api.massive.com?apiKey=secret-key-0001"},
        {"base_url": "https://api.massive.com/#apiKey=secret-key-0001"},
        {"base_url": "https://:secret-key-0001@api.massive.com"},
        {"base_url": "http://user:secret-key-0001@api.massive.com"},
    ],
)
def test_a_url_with_the_key_in_it_is_refused_without_showing_it(options: dict[str, Any]) -> None:
    with pytest.raises(msgspec.ValidationError, match="more than scheme, host and path") as refused:
        read(**options)
    assert "secret-key-0001" not in str(refused.value)


@pytest.mark.parametrize("url", ["https://[::1", "https://h:99999", "https://h:x", "https://"])
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(msgspec.ValidationError, match=r"base_url .* is not a URL such as"):
        read(base_url=url)


def test_a_replay_is_asked_only_of_this_machine() -> None:
    config = read(ws_server="ws://localhost:1", ws_query_start="2024-01-02")
    assert config.ws_query_start == date(2024, 1, 2)


def test_the_key_is_never_shown() -> None:
    config = read(api_key="secret-key-0001")
    assert "secret-key-0001" not in f"{config!r} {config} {dict(config.__rich_repr__())}"
    connections = read(connections={"a": {"api_key": "secret-key-0001"}})
    assert "secret-key-0001" not in f"{connections!r}"
    assert "secret-key-0001" not in str(connections.connections["a"].__rich_repr__())


def test_the_key_comes_from_the_option_first(tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setenv(API_KEY_VARIABLE, "of-environment")
    file = tmp_path / "key"
    file.write_text("of-file\n")
    assert read(api_key="of-option", api_key_file=str(file)).resolve_key() == "of-option"
    assert read(api_key_file=str(file)).resolve_key() == "of-file"
    assert read().resolve_key() == "of-environment"


def test_no_key_says_where_to_put_it(monkeypatch: Any) -> None:
    monkeypatch.delenv(API_KEY_VARIABLE, raising=False)
    with pytest.raises(ConfigError, match=API_KEY_VARIABLE):
        read().resolve_key()


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="nowhere"):
        read(api_key_file=str(tmp_path / "nowhere")).resolve_key()


def test_a_key_with_blanks_is_refused_without_showing_it() -> None:
    with pytest.raises(ConfigError) as refused:
        read(api_key="secret key").resolve_key()
    assert "secret key" not in str(refused.value)
