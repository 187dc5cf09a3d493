"""A mkts.yml with all that MarketStore's users have in theirs starts the server unchanged."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from tsstore.config import IGNORED
from tsstore.host.reference import MODULES

from .conftest import Server

OLD = Path(__file__).parent / "old.mkts.yml"


@pytest.fixture(scope="module")
def log(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What the server says when it is started with that file."""
    folder = tmp_path_factory.mktemp("old")
    server = Server(folder, OLD.read_text())
    rpc = server.carriers["grpc"]
    bar = {name: [1.0] for name in ("Open", "High", "Low", "Close", "Volume")}
    assert rpc.write("A/1Min/OHLCV", {"Epoch": [1_381_239_000], **bar}) == []
    assert "A/1Min/OHLCV" in rpc.listed()
    server.stop()
    return server.log


def test_every_key_without_effect_is_named_with_its_line(log) -> None:
    named = re.findall(r"WARNING tsstore: \S*mkts\.yml:(\d+): (\w+): ignored: (.+)", log)
    assert {key for _, key, _ in named} == {*IGNORED, "a_key_that_nobody_knows"}
    assert len(named) == len({line for line, _, _ in named})


def test_every_plugin_that_is_not_here_is_named_with_what_to_do(log) -> None:
    places = r"(?:triggers|bgworkers)\[\d+\]"
    named = dict(re.findall(rf"{places}\.module: (\w+) is a plugin of MarketStore(.+)", log))
    assert named.keys() == {*MODULES, "their_own_trigger"}
    assert all("the server starts without it; " in text for text in named.values())
