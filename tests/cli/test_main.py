"""The group of commands, errors and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import version

import pytest

from tsstore.cli.main import Commands, main


def test_version_is_printed(run) -> None:
    for flag in ("--version", "-v"):
        assert run(flag).output == f"tsstore {version('tsstore')}\n"


def test_help_lists_every_command(run) -> None:
    text = run("--help").output
    assert isinstance(main, Commands)
    for name in main.list_commands(None):
        assert f"  {name} " in text


@pytest.mark.parametrize("name", ["init", "start", "query", "ls", "load", "check", "demo"])
def test_every_command_has_help(run, name: str) -> None:
    result = run(name, "--help")
    assert result.exit_code == 0
    assert result.output.startswith(f"Usage: main {name}")


def test_the_group_imports_nothing_heavy(here) -> None:
    code = "import sys, tsstore.cli.main; print(*{'pandas', 'rich', 'starlette'} & {*sys.modules})"
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "\n"


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["query", "AAPL"], 2, "bucket key 'AAPL' has 1 part(s)"),
        (["query", "NONE/1Min/OHLCV"], 3, "no such bucket"),
        (["query", "A/1Min/B", "--dir", "nowhere"], 3, "there is no directory 'nowhere'"),
        (["query", "A/1Min/B", "--url", "http://127.0.0.1:1"], 5, "cannot reach a server"),
        (["query", "A/1Min/B", "--url", "http://x", "--dir", "y"], 2, "leave one out"),
        (["query", "AAPL/1Min/OHLCV", "--tz", "Mars"], 2, "unknown time zone 'Mars'"),
        (["query", "AAPL/1Min/OHLCV", "--start", "soon"], 2, "'soon' is not a time"),
        (["query", "AAPL/1Min/OHLCV", "--columns", "Nope"], 2, "Nope"),
        (["start"], 2, "cannot read mkts.yml"),
        (["check", "nowhere"], 3, "there is no directory 'nowhere'"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(data, run, arguments, code, message) -> None:
    result = run(*arguments)
    assert result.exit_code == code
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("tsstore: ")
    assert message in line


@pytest.mark.parametrize("arguments", [["nope"], ["query"], ["query", "--nope"]])
def test_wrong_usage_is_exit_code_2(run, arguments) -> None:
    assert run(*arguments).exit_code == 2


def test_a_reader_that_has_enough_is_no_error(data, spawn) -> None:
    import tsstore

    from .conftest import bars

    with tsstore.open(data) as store:
        store.write("MANY/1Min/OHLCV", bars(50_000))
    process = spawn("query", "MANY/1Min/OHLCV", "--format", "csv")
    assert process.stdout.readline() == "Epoch,Close,Volume\n"
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""


def test_an_interrupt_is_exit_code_130(here, spawn) -> None:
    # A pipe that nobody fills holds the command at reading.
    os.mkfifo(here / "pipe.csv")
    process = spawn("load", "pipe.csv", "A/1Min/B")
    try:
        process.wait(1.5)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
    assert process.wait(10) == 130


def test_completion_knows_the_commands(spawn) -> None:
    process = spawn(_TSSTORE_COMPLETE="bash_complete", COMP_WORDS="tsstore q", COMP_CWORD="1")
    out, _ = process.communicate(timeout=20)
    assert out == "plain,query\n"
