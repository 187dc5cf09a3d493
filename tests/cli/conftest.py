"""The command line, in this process where behaviour of processes does not matter."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

import tsstore
from tsstore.cli.main import main

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from click.testing import Result

BARS = "AAPL/1Min/OHLCV"
START = np.datetime64("2024-01-02T14:30:00", "ns")


def bars(rows: int = 3, first: int = 0) -> dict[str, np.ndarray]:
    """One bar a minute, whose Close counts from `first`."""
    numbers = np.arange(first, first + rows)
    return {
        "Epoch": START + numbers * np.timedelta64(60, "s"),
        "Close": numbers.astype(float),
        "Volume": numbers * 10,
    }


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty working directory, and no variable that would point elsewhere."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("TSSTORE_URL", raising=False)
    monkeypatch.delenv("TSSTORE_TOKEN", raising=False)
    return tmp_path


@pytest.fixture
def data(here: Path) -> Path:
    """A store in ./data with three bars of AAPL and of MSFT."""
    with tsstore.open(here / "data") as store:
        store.write(BARS, bars())
        store.write("MSFT/1Min/OHLCV", bars())
    return here / "data"


@pytest.fixture
def run(here: Path) -> Callable[..., Result]:
    """Run a command and return what it printed and its exit code."""

    def run(*arguments: object) -> Result:
        result = CliRunner().invoke(main, [str(argument) for argument in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit)
        return result

    return run


@pytest.fixture
def spawn(here: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start a command in a process of its own, which is killed if it is left."""
    started: list[subprocess.Popen[str]] = []

    def spawn(*arguments: object, **environment: str) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, "-m", "tsstore", *map(str, arguments)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, **environment},
        )
        started.append(process)
        return process

    yield spawn
    for process in started:
        # Asked first, so that it ends what it started itself.
        process.terminate()
        try:
            process.communicate(timeout=5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
