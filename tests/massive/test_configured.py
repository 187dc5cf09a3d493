from __future__ import annotations

from typing import Any

import msgspec
import pytest

from tsstore.errors import ConfigError
from tsstore_massive.config import Config
from tsstore_massive.configured import configured_symbols

UNIVERSES = {"etfs": ["SPY", "QQQ"], "coins": ["BTCUSD"]}


def symbols(**options: Any) -> list[str]:
    return configured_symbols(msgspec.convert({"universes": UNIVERSES} | options, Config))


def test_symbols_and_universes_are_named() -> None:
    assert symbols(symbols=["AAPL", "SPY"], universe="etfs") == ["AAPL", "SPY", "QQQ"]


def test_without_symbols_it_is_the_whole_market() -> None:
    assert symbols() == ["*"]
    assert symbols(market="crypto") == ["X:*"]
    with pytest.raises(ConfigError, match="nobody lists all futures"):
        symbols(market="futures")


def test_connections_are_put_together() -> None:
    connections = {
        "a": {"symbols": ["AAPL"], "universe": "etfs"},
        "b": {"symbols": ["AAPL"], "ws_server": "wss://delayed.massive.com"},
        "c": {"market": "crypto", "universe": "coins"},
        "off": {"enabled": False},
    }
    assert symbols(connections=connections) == ["AAPL", "SPY", "QQQ", "X:BTC-USD"]


def test_a_universe_that_is_not_there_is_named() -> None:
    with pytest.raises(ConfigError, match="there is no universe 'tech'"):
        symbols(universe="tech")
