from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from tsstore.errors import ConfigError
from tsstore_massive.config import Config
from tsstore_massive.streaming.lineup import SOLE, Planned, lineup

if TYPE_CHECKING:
    from pathlib import Path

KEY, OTHER = "secret-key-0001", "secret-key-0002"


def planned(connections: dict[str, Any] | None = None, **options: Any) -> dict[str, Planned]:
    defaults = {"api_key": KEY, "connections": connections or {}}
    return {one.name: one for one in lineup(msgspec.convert(defaults | options, Config))}


def test_without_connections_there_is_one_with_the_options_as_they_are() -> None:
    found = planned(symbols=["SPY"], data_types=["trades"])
    assert list(found) == [SOLE]
    assert found[SOLE].config.symbols == ("SPY",)
    assert found[SOLE].key == KEY


def test_a_connection_takes_what_it_leaves_out_from_the_worker(tmp_path: Path) -> None:
    (tmp_path / "key").write_text(OTHER)
    found = planned(
        {
            "plain": {},
            "own": {
                "market": "options",
                "ws_server": "wss://delayed.massive.com",
                "api_key_file": str(tmp_path / "key"),
                "data_types": ["quotes"],
                "symbols": ["O:SPY251219C00650000"],
                "failover": True,
                "requests_per_minute": 5,
            },
        },
        data_types=["bars", "trades"],
    )
    plain, own = found["plain"], found["own"]
    assert (plain.key, plain.config.data_types, plain.is_moved) == (KEY, ("bars", "trades"), False)
    assert plain.config.stream_url == "wss://socket.massive.com/stocks"
    assert plain.config.all_symbols
    assert (own.key, own.config.data_types, own.is_moved) == (OTHER, ("quotes",), True)
    assert own.config.stream_url == "wss://delayed.massive.com/options"
    assert own.config.symbols == ("O:SPY251219C00650000",)
    assert (plain.config.requests_per_minute, own.config.requests_per_minute) == (6000, 5)


def test_a_disabled_connection_is_not_made() -> None:
    assert list(planned({"a": {}, "b": {"enabled": False}})) == ["a"]
    with pytest.raises(ConfigError, match="none is enabled"):
        planned({"a": {"enabled": False}})


@pytest.mark.parametrize(
    "second",
    [
        {},
        {"symbols": ["AAPL"]},
        {"ws_server": "wss://delayed.massive.com"},  # real-time and delayed share the quota
        {"ws_server": "wss://socket.polygon.io"},
        {"api_key": KEY},
    ],
)
def test_two_that_would_evict_each_other_are_refused(second: dict[str, Any]) -> None:
    with pytest.raises(ConfigError, match="connections a, b use one API key for stocks") as refused:
        planned({"a": {}, "b": second})
    assert KEY not in str(refused.value)
    assert set(planned({"a": {}, "b": second}, connections_allowed=2)) == {"a", "b"}


@pytest.mark.parametrize(
    "second", [{"api_key": OTHER}, {"market": "crypto"}, {"ws_server": "wss://elsewhere.org"}]
)
def test_another_key_market_or_vendor_is_another_quota(second: dict[str, Any]) -> None:
    assert set(planned({"a": {}, "b": second})) == {"a", "b"}


def test_exchanges_of_futures_are_one_cluster() -> None:
    futures = {
        name: {"ws_server": f"wss://socket.massive.com/futures/{name}"} for name in ("cme", "comex")
    }
    with pytest.raises(ConfigError, match="cme, comex use one API key for futures"):
        planned(futures)


def test_no_key_names_the_connection(monkeypatch: Any) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    with pytest.raises(ConfigError, match="connections: a: no Massive API key"):
        planned({"a": {}}, api_key="")


def test_the_key_is_not_shown() -> None:
    assert KEY not in repr(planned())
