"""docs/migrating.md: what it shows runs and does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import tsstore

GUIDE = (Path(__file__).parent.parent / "docs" / "migrating.md").read_text()
TIMES = pd.date_range("2024-01-02 14:30", periods=5, freq="min")


def blocks(language: str, word: str) -> str:
    """The one block of that language with that word in it."""
    every = re.findall(rf"```{language}\n(.*?)```", GUIDE, re.DOTALL)
    found = [each for each in every if word in each]
    assert len(found) == 1, word
    return found[0]


def frame(symbol_number: int) -> pd.DataFrame:
    closes = np.arange(5) + symbol_number * 100.0
    return pd.DataFrame({"Close": closes, "Volume": [1, 2, 3, 4, 5]}, index=TIMES)


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "minutes").mkdir()
    return tmp_path


def run(command: str) -> str:
    """A block of shell, with the program of this environment."""
    program = f'tsstore() {{ "{sys.executable}" -m tsstore "$@"; }}\n'
    done = subprocess.run(
        ["bash", "-e", "-c", program + command],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "COLUMNS": "100"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def assert_moved() -> None:
    with tsstore.open("data", read_only=True) as store:
        assert store.list() == ["AAPL/1Min/OHLCV", "MSFT/1Min/OHLCV"]
        for number, key in enumerate(store.list()):
            rows = store.read(key)
            assert rows["Close"].tolist() == frame(number)["Close"].tolist()
            assert rows.to_pandas().index[0] == pd.Timestamp("2024-01-02 14:30", tz="UTC")


def test_files_named_after_symbols(here: Path) -> None:
    for number, symbol in enumerate(("AAPL", "MSFT")):
        frame(number).rename_axis("timestamp").reset_index().to_parquet(
            here / "minutes" / f"{symbol}.parquet"
        )
    run(blocks("sh", "basename"))
    assert_moved()


def test_files_with_a_column_of_symbols(here: Path) -> None:
    (here / "days").mkdir()
    days = pd.DataFrame({"ticker": ["AAPL", "MSFT"], "Date": ["2024-01-02"] * 2, "Close": [1.0, 2]})
    days.to_parquet(here / "days" / "one.parquet")
    run(blocks("sh", "--symbol ticker"))
    with tsstore.open("data", read_only=True) as store:
        assert store.list() == ["AAPL/1D/OHLCV", "MSFT/1D/OHLCV"]


def test_files_from_python(here: Path) -> None:
    for number, symbol in enumerate(("AAPL", "MSFT")):
        frame(number).to_parquet(here / "minutes" / f"{symbol}.parquet")
    exec(blocks("python", "read_parquet"), {})
    assert_moved()


@pytest.mark.filterwarnings("ignore:Passing a BlockManager")  # ArcticDB makes its frames so
def test_arcticdb(here: Path) -> None:
    arcticdb = pytest.importorskip("arcticdb")
    library = arcticdb.Arctic(f"lmdb://{here}/arctic").create_library("minutes")
    for number, symbol in enumerate(("AAPL", "MSFT")):
        library.write(symbol, frame(number))
    text = blocks("python", "arcticdb").replace("/data/arctic", f"{here}/arctic")
    exec(text, {})
    assert_moved()


def test_every_command_and_method_in_it_exists() -> None:
    from tsstore.cli.main import _COMMANDS

    for command in re.findall(r"tsstore (\w+)", GUIDE):
        assert command in _COMMANDS, command
    for method in re.findall(r"\bstore\.(\w+)\(", GUIDE):
        assert hasattr(tsstore.Store, method), method
