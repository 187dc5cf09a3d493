"""From `module: massive.so` to a class and its checked options."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from types import ModuleType
from typing import TYPE_CHECKING

import msgspec
import pytest

from tsstore.config import load_config
from tsstore.errors import ConfigError, InvalidKeyError
from tsstore.host import load_plugins, resolve
from tsstore.host.reference import MODULES
from tsstore.host.resolve import find_plugin, plugin_name, trigger_pattern

if TYPE_CHECKING:
    from pathlib import Path


class Options(msgspec.Struct, frozen=True):
    symbols: list[str] = []
    api_key: str = ""


class WithOptions:
    Config = Options


class Plain:
    pass


@pytest.fixture(autouse=True)
def installed(monkeypatch):
    """The classes above as an importable module, as a third party's would be."""
    module = ModuleType("their_plugins")
    module.WithOptions = WithOptions
    module.Plain = Plain
    monkeypatch.setitem(sys.modules, "their_plugins", module)


@pytest.fixture
def load(tmp_path: Path):
    def load(text: str, **environment: str):
        path = tmp_path / "mkts.yml"
        path.write_text("root_directory: d\n" + text)
        return load_plugins(load_config(path, environment), environment)

    return load


def errors_of(load, text: str) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        load(text)
    return str(caught.value).splitlines()


@pytest.mark.parametrize(
    ("module", "name"),
    [("massive.so", "massive"), ("massive", "massive"), ("/go/bin/massive.so", "massive"),
     ("./massive.so", "massive"), ("a.b:C", "a.b:C")],
)  # fmt: skip
def test_modules_are_named_as_in_marketstore(module: str, name: str) -> None:
    assert plugin_name(module) == name


@pytest.mark.parametrize("module", ["stream.so", "stream"])
def test_an_entry_point_is_found_with_and_without_suffix(module: str) -> None:
    assert find_plugin("trigger", module).__name__ == "Trigger"


def test_a_class_is_found_by_package_and_name() -> None:
    assert find_plugin("bgworker", "their_plugins:Plain") is Plain


def test_an_unknown_plugin_is_answered_with_what_is_installed() -> None:
    with pytest.raises(ConfigError, match=r"no bgworker 'nope.so' is installed; there are massive"):
        find_plugin("bgworker", "nope.so")


def test_a_worker_that_may_run_once_is_refused_a_second_time_by_any_name(load) -> None:
    """Two would overwrite what each keeps in the store."""
    (problem,) = errors_of(
        load,
        "bgworkers:\n- {module: massive.so, config: {api_key: k}}\n- module: massive\n"
        "  name: Crypto\n  config: {market: crypto, api_key: k}",
    )
    assert "mkts.yml:4: bgworkers[1].module: massive.so is in line 3 already" in problem
    assert "under `connections`" in problem
    load("bgworkers:\n- module: their_plugins:Plain\n- {module: 'their_plugins:Plain', name: b}")


def test_plugins_of_marketstore_that_are_not_here_are_passed_over_with_a_notice(load) -> None:
    plugins = load(
        "triggers:\n- module: slait.so\n  on: '*/1Min/OHLCV'\n  config: {filter: nasdaq}\n"
        "bgworkers:\n- module: /go/bin/streamreplay.so\n- module: their_plugins:Plain"
    )
    assert ([w.name for w in plugins.workers], plugins.triggers) == (["their_plugins:Plain"], ())
    streamreplay, slait = plugins.notices
    assert "mkts.yml:3: triggers[0].module: slait is a plugin of MarketStore" in slait
    assert "mkts.yml:7: bgworkers[0].module: streamreplay is a plugin of MarketSt" in streamreplay
    assert "the server starts without it; `tsstore plugin new` makes one of your own" in slait


@pytest.mark.parametrize("name", sorted(MODULES | {"their_own_feeder"}))
def test_any_plugin_of_go_is_passed_over(load, name: str) -> None:
    plugins = load(f"bgworkers: [{{module: {name}.so, name: X, config: {{symbols: [BTC]}}}}]")
    (notice,) = plugins.notices
    assert not plugins.workers
    assert ("use massive.so" in notice) is (name == "polygon")


@pytest.mark.parametrize("module", ["masive.so", "massive.so.so", "Massive.so", "their_own_feeder"])
def test_a_name_that_looks_mistyped_is_no_plugin_of_go(load, module: str) -> None:
    (problem,) = errors_of(load, f"bgworkers: [{{module: {module}}}]")
    assert f"no bgworker {module!r} is installed; there are massive" in problem


def test_a_plugin_of_marketstore_that_is_installed_is_used(load, monkeypatch) -> None:
    monkeypatch.setattr(
        resolve,
        "entry_points",
        lambda group, name: [EntryPoint(name, "their_plugins:Plain", group)],
    )
    plugins = load("bgworkers: [{module: binancefeeder.so}]")
    assert ([w.build for w in plugins.workers], plugins.notices) == ([Plain], ())


def test_options_of_marketstore_without_effect_are_passed_over_with_a_notice(load) -> None:
    plugins = load(
        "triggers:\n- module: stream.so\n  on: '*/*/*'\n  config: {filter: nasdaq}\n"
        "bgworkers:\n- module: massive.so\n  config:\n    api_key: SECRET123\n"
        "    ws_data_types: [1Sec]\n    symbols_dsn: 'postgres://u:SECRET123@h/db'\n"
    )
    assert plugins.workers[0].options.api_key == "SECRET123"
    assert plugins.triggers[0].options.filter == "nasdaq"
    ws_data_types, symbols_dsn = plugins.notices
    assert "mkts.yml:10: bgworkers[0].config.ws_data_types: ignored: see" in ws_data_types
    assert "mkts.yml:11: bgworkers[0].config.symbols_dsn: ignored: list" in symbols_dsn
    assert "SECRET123" not in "".join(plugins.notices)


@pytest.mark.parametrize(
    ("module", "reason"),
    [("no_such_package:X", "ModuleNotFoundError"), ("their_plugins:Nope", "AttributeError")],
)
def test_a_plugin_that_cannot_be_imported_says_why(module: str, reason: str) -> None:
    with pytest.raises(ConfigError, match=f"cannot load '{module}': {reason}"):
        find_plugin("bgworker", module)


def test_options_become_the_plugins_config(load) -> None:
    plugins = load(
        "bgworkers:\n- module: their_plugins:WithOptions\n  name: w\n"
        "  config: {symbols: [ON], api_key: '${KEY}'}",
        KEY="SECRET123",
    )
    [worker] = plugins.workers
    assert (worker.name, worker.options) == ("w", Options(["ON"], "SECRET123"))


def test_a_plugin_without_config_gets_its_defaults(load) -> None:
    [worker] = load("bgworkers: [{module: 'their_plugins:WithOptions'}]").workers
    assert (worker.name, worker.options) == ("their_plugins:WithOptions", Options())


def test_a_replica_needs_nothing_of_what_its_workers_would(load, monkeypatch) -> None:
    def refuse(options: Options) -> None:
        raise ConfigError(f"{options.symbols} are not here")

    monkeypatch.setattr(WithOptions, "check_config", staticmethod(refuse), raising=False)
    text = "bgworkers: [{module: 'their_plugins:WithOptions', config: {symbols: [A]}}]"
    (problem,) = errors_of(load, text)
    assert problem.endswith("mkts.yml:2: bgworkers[0].config: ['A'] are not here")
    assert load(f"replication: {{master_host: '127.0.0.1:1'}}\n{text}").workers


def test_secrets_are_collected_and_not_shown(load) -> None:
    plugins = load(
        "bgworkers: [{module: 'their_plugins:WithOptions', config: {api_key: SECRET123}}]",
        OTHER_TOKEN="SECRET456",
    )
    assert set(plugins.secrets) >= {"SECRET123", "SECRET456"}
    assert "SECRET" not in repr(plugins)


def test_mistakes_of_all_plugins_are_reported_at_once_with_their_lines(load) -> None:
    lines = errors_of(
        load,
        "bgworkers:\n"
        "- module: nope\n"
        "- module: their_plugins:WithOptions\n"
        "  config:\n"
        "    symbls: [A]\n"
        "- module: their_plugins:Plain\n"
        "  config: {a: 1}\n"
        "- module: their_plugins:Plain\n"
        "triggers:\n"
        "- module: stream\n"
        "  on: OHLCV\n",
    )
    starts = [
        "mkts.yml:3: bgworkers[0].module: no bgworker 'nope' is installed",
        "mkts.yml:6: bgworkers[1].config.symbls: unknown key; did you mean symbols?",
        "mkts.yml:8: bgworkers[2].config: this plugin has no options",
        "mkts.yml:9: bgworkers[3].module: 'their_plugins:Plain' is in line 7 already",
        "mkts.yml:11: triggers[0].module: on: pattern 'OHLCV' has 1 part(s)",
    ]
    assert len(lines) == len(starts)
    for line, start in zip(lines, starts, strict=True):
        assert start in line


def test_no_message_shows_a_secret(load) -> None:
    text = "\n".join(
        errors_of(
            load,
            "bgworkers:\n- module: SECRET123\n- module: their_plugins:WithOptions\n"
            "  config: {api_key: SECRET123}",
        )
    )
    assert "SECRET123" not in text


@pytest.mark.parametrize(
    ("on", "key", "fires"),
    [
        ("*/1Min/OHLCV", "AAPL/1Min/OHLCV", True),
        ("*/1Min/OHLCV", "AAPL/1Min/OHLCV_X", False),
        ("*/1Min/OHLCV", "AAPL/11Min/OHLCV", False),
        ("*/*/*", "AAPL/1Min/OHLCV", True),
        ("A*/1Min/OHLCV", "A/1Min/OHLCV", False),
        ("A*/1Min/OHLCV", "AA/1Min/OHLCV", True),
        ("BRK.B/1Min/*", "BRKxB/1Min/OHLCV", False),
        ("{AAPL,MSFT}/1Min/OHLCV", "MSFT/1Min/OHLCV", True),
    ],
)
def test_a_star_is_one_or_more_characters_of_one_part(on: str, key: str, fires: bool) -> None:
    assert trigger_pattern(on).matches(key) is fires


def test_a_pattern_without_three_parts_is_refused() -> None:
    with pytest.raises(InvalidKeyError):
        trigger_pattern("*/*/*/*")
