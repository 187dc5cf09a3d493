"""`data_source: synthetic`: a worker without a key, whose rows are marked as made up."""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING, Any
from urllib.request import urlopen

import msgspec
import pytest
from click.testing import CliRunner

import tsstore
from tests.massive.simulated import QUICK
from tsstore import Replace, Schema, Write, WriteTable
from tsstore.clock import SystemClock
from tsstore.errors import ConfigError, InvalidArgumentError
from tsstore.plugin import FatalPluginError, WorkerContext
from tsstore_massive.backfilling import cli
from tsstore_massive.config import Config
from tsstore_massive.doctor import cli as doctor
from tsstore_massive.reference import cli as reference
from tsstore_massive.synthetic import marking, other_kind, source
from tsstore_massive.worker import Worker
from tsstore_massive_simulator.generated import GeneratedMarket
from tsstore_massive_simulator.server import Simulator

if TYPE_CHECKING:
    from pathlib import Path

    import click
    from click.testing import Result

NEW_YORK = "America/New_York"
OPTIONS = {
    "data_source": "synthetic",
    "symbols": ["SPY"],
    "data_types": ["bars", "trades", "quotes"],
}


@pytest.fixture(autouse=True)
def _no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)


def run(store: tsstore.Store, wanted: int, **options: Any) -> dict[str, Any]:
    """Run a worker until it has received so many events; gives its status."""
    config = msgspec.convert(OPTIONS | options, Config)
    context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests"))
    failed: list[BaseException] = []

    def work() -> None:
        try:
            Worker(context, config, patience=QUICK).run()
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    while thread.is_alive() and context.status.get("messages", 0) < wanted:
        thread.join(0.02)
    context.stop.set()
    thread.join(20)
    assert not thread.is_alive()
    if failed:
        raise failed[0]
    return context.status


def test_a_market_comes_without_a_key_and_says_that_it_is_made_up(tmp_path: Path) -> None:
    with tsstore.open(tmp_path / "data", timezone=NEW_YORK) as store:
        status = run(store, 10)
        assert status["data_source"] == "synthetic"
        assert "lag_ms" not in status  # the market that is played may be that of last Friday
        assert len(store.read("SPY/1Min/QUOTE"))
        assert all(store.info(key).schema.synthetic for key in store.list())
        with pytest.raises(tsstore.SchemaMismatchError, match="holds synthetic rows"):
            store.write("SPY/1Min/QUOTE", store.read("SPY/1Min/QUOTE"))
        assert str(other_kind(store, synthetic=False)).startswith(
            "_massive/"
        )  # by which commands know the directory
        run(store, 2)  # the same again goes on in the same buckets
        # A worker with a key is told at its start, before it has asked anybody.
        with pytest.raises(FatalPluginError, match=r"hold synthetic rows.*SPY.*root_directory"):
            run(store, 1, data_source="massive", api_key="secret-key-0001",
                base_url="http://127.0.0.1:9", ws_server="ws://127.0.0.1:9")  # fmt: skip


def test_a_simulator_on_this_machine_makes_the_rows_up_if_it_is_named(tmp_path: Path) -> None:
    simulator = Simulator(GeneratedMarket(1, ["SPY"]), keys=["of-the-simulator"])
    with simulator.in_background() as url, tsstore.open(tmp_path / "data") as store:
        named = {"base_url": url, "ws_server": url.replace("http", "ws")}
        run(store, 5, api_key="of-the-simulator", **named)
        assert sum(simulator.state()["events_sent"].values()) >= 5
        assert all(store.info(key).schema.synthetic for key in store.list())


def test_stocks_that_may_be_added_later_are_made_up_as_well(tmp_path: Path) -> None:
    with tsstore.open(tmp_path / "data") as store:
        context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests"))
        config = msgspec.convert({"data_source": "synthetic", "symbols": ["MINE"]}, Config)
        with source(context, config) as (_, made):
            listed = urlopen(f"{made.base_url}/v3/reference/tickers?apiKey={made.api_key}").read()
    assert b'"MINE"' in listed
    assert b'"AAPL"' in listed


@pytest.mark.parametrize("option", ["base_url", "ws_server"])
def test_half_a_simulator_is_refused(option: str) -> None:
    scheme = "http" if option == "base_url" else "ws"
    with pytest.raises(ConfigError, match="name it in both, or in neither"):
        Config(**{"data_source": "synthetic", option: f"{scheme}://127.0.0.1:8765"})


def test_every_market_is_made_up_where_its_own_would_be(tmp_path: Path) -> None:
    config = Config(data_source="synthetic", ws_server="wss://socket.massive.com/futures/cme")
    with tsstore.open(tmp_path / "data") as store:
        context = WorkerContext("massive", store, SystemClock(), logging.getLogger("tests"))
        with source(context, config) as (_, made):
            assert made.stream_url == made.base_url.replace("http", "ws") + "/futures/cme"


def test_nothing_made_up_comes_among_real_rows(tmp_path: Path) -> None:
    with tsstore.open(tmp_path / "data", timezone=NEW_YORK) as store:
        store.write("SPY/1Min/OHLCV", {"Epoch": ["2024-01-02 14:30"], "Close": [1.0]})
        for symbols in (["SPY"], []):
            with pytest.raises(FatalPluginError, match=r"1 buckets hold real rows.*SPY/1Min/OHLCV"):
                run(store, 1, symbols=symbols)
        assert store.list() == ["SPY/1Min/OHLCV"]


def test_commands_that_ask_the_vendor_say_that_it_is_not_asked(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="take data_source out"):
        Config(data_source="synthetic", api_key="secret-key-0001").resolve_key()
    path = tmp_path / "mkts.yml"
    path.write_text(
        f"root_directory: {tmp_path / 'data'}\ntimezone: {NEW_YORK}\nlisten_port: 5993\n"
        "bgworkers:\n  - module: massive.so\n    config: {data_source: synthetic}\n"
    )
    arguments = ["--config", str(path), "-bars", "-from", "2024-01-02", "-symbols", "SPY"]
    with pytest.raises(ConfigError, match="data_source is synthetic"):
        CliRunner().invoke(cli.command, arguments, catch_exceptions=False)
    told = CliRunner().invoke(doctor.command, ["--config", str(path)])
    assert told.exit_code == 0
    assert "data_source is synthetic" in told.stdout
    assert "REST" not in told.stdout


def test_commands_fetch_from_the_simulator_that_is_named_and_mark_its_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data, real, path = tmp_path / "data", tmp_path / "real", tmp_path / "mkts.yml"
    day = ["-bars", "-trades", "-from", "2024-06-03", "-to", "2024-06-04", "-symbols", "SPY"]
    config = ["--config", str(path)]

    def run_it(command: click.Command, *arguments: str) -> Result:
        return CliRunner().invoke(command, arguments, catch_exceptions=False)

    with Simulator(GeneratedMarket(1, ["SPY"])).in_background() as url:
        path.write_text(
            f"root_directory: {data}\ntimezone: {NEW_YORK}\nlisten_port: 5993\nbgworkers:\n"
            f"  - module: massive.so\n    config: {{data_source: synthetic, base_url: '{url}', "
            f"ws_server: '{url.replace('http', 'ws')}'}}\n"
        )
        fetched = run_it(cli.command, *config, *day)
        kept = run_it(reference.command, *config, "--symbols", "SPY")
        with pytest.raises(InvalidArgumentError, match="flat files are real"):
            run_it(cli.command, *config, *day, "--source", "flatfiles")
        monkeypatch.setenv("MASSIVE_API_KEY", "nobody-asks-for-it")
        plain = ["--base-url", url, "--dir", str(real)]
        assert "stored as real" not in run_it(cli.command, *plain, *day, "--dry-run").stderr
        warned = run_it(cli.command, *plain, *day)
        with pytest.raises(InvalidArgumentError, match=r"real holds real rows.*synthetic.*--dir"):
            run_it(cli.command, *config, *day, "--dir", str(real))
    warning = "rows of 127.0.0.1 are stored as real; data_source: synthetic in mkts.yml marks them"
    for done, expected in ((fetched, []), (kept, []), (warned, [warning])):
        assert done.exit_code == 0, done.output
        assert [line for line in done.stderr.splitlines() if "stored as real" in line] == expected
    for directory, expected in ((data, True), (real, False)):
        with tsstore.open(directory) as store:
            assert len(store.read("SPY/1Sec/TRADE"))
            assert {store.info(key).schema.synthetic for key in store.list()} == {expected}


def test_every_way_to_write_is_marked(tmp_path: Path) -> None:
    rows = {"Epoch": [60], "Close": [1.0]}
    with tsstore.open(tmp_path / "data") as real:
        store = marking(real)
        store.write("A/1Min/OHLCV", rows)
        store.write_many({"B/1Min/OHLCV": rows})
        store.write_table("1Min/OHLCV", {"Symbol": ["C"], **rows})
        store.replace("D/1Min/OHLCV", "1970-01-01", "1970-01-02", rows)
        store.create("E/1Min/OHLCV", Schema.of({"Close": "f8"}))
        store.bulk({"F/1Min/OHLCV": rows})
        store.bulk([Write("G/1Sec/TRADE", rows, variable=True)])
        store.commit(
            [
                WriteTable("1Min/QUOTE", {"Symbol": ["H"], **rows}, Schema.of({"Close": "f4"})),
                Replace("A/1Min/OHLCV", "1970-01-01", "1970-01-02", rows),
            ]
        )
        assert [store.info(key).schema.synthetic for key in store.list()] == [True] * 8
        assert store.info("G/1Sec/TRADE").schema.is_variable
