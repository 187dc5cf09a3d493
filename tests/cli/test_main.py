"""The group of commands, errors and exit codes."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

import tsstore
from tests.cli.conftest import BARS, bars
from tsstore.cli.main import EXIT_CODES, Commands, main

ROOT = Path(__file__).parents[2]


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


def test_marketstores_users_find_what_they_look_for(run) -> None:
    assert run("s", "--help").output.startswith("Usage: main s ")
    assert "Run the server with the plugins of mkts.yml" in run("s", "--help").output
    result = run("tool", "integrity", "--dir", "data")
    assert result.exit_code == 2
    assert "`tsstore check` looks for damage" in result.stderr


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
        (
            ["query", "NONE/1Min/OHLCV"],
            3,
            "there is no bucket NONE/1Min/OHLCV; `tsstore ls` shows what there is",
        ),
        (["query", "NONE/*/*"], 3, "no bucket matches NONE/*/*"),
        (["compact", "NONE/*/*"], 3, "no bucket matches NONE/*/*"),
        (["retention", "NONE/*/*", "--keep", "1D"], 3, "no bucket matches NONE/*/*"),
        (["destroy", "NONE/1Min/OHLCV", "--yes"], 3, "NONE/1Min/OHLCV"),
        (["create", "A/1Min/B", "Close"], 2, "'Close' is not NAME:TYPE"),
        (["create", "A/1Min/B", "Close:f9"], 2, "unsupported type string f9"),
        (["create", "A/1Min/B", "Close:f8", "Close:f4"], 2, "Close"),
        (["create", "A/1Min/B", "Close:f8", "--identity", "Close"], 2, "variable-length"),
        (["create", "A/1Min/B", "Close:f8", "--identity", ","], 2, "names no column"),
        (["create", "AAPL/1Min/OHLCV", "Close:f8"], 2, "AAPL/1Min/OHLCV"),
        (["export", "AAPL/1Min/OHLCV", "out.xlsx"], 2, "out.xlsx does not end in .csv, "),
        (["export", "*/1Min/*", "out.csv.gz"], 2, "out.csv.gz does not end in .csv, "),
        (["query", "A/1Min/B", "--dir", "nowhere"], 3, "there is no directory 'nowhere'"),
        (["query", "A/1Min/B", "--url", "http://127.0.0.1:1"], 5, "cannot reach a server"),
        (["query", "A/1Min/B", "--url", "http://x", "--dir", "y"], 2, "leave one out"),
        (["query", "AAPL/1Min/OHLCV", "--tz", "Mars"], 2, "unknown time zone 'Mars'"),
        (["query", "AAPL/1Min/OHLCV", "--start", "soon"], 2, "'soon' is not a time"),
        (["query", "AAPL/1Min/OHLCV", "--columns", "Nope"], 2, "Nope"),
        (["start"], 2, "cannot read mkts.yml"),
        (["check", "nowhere"], 3, "there is no directory 'nowhere'"),
        (["query", "AAPL/1Min/OHLCV", "--columns", " ,"], 2, "names no column"),
        (["query", "AAPL/1Min/OHLCV", "--start", "2", "--end", "1"], 2, "is after --end"),
        (["export", "AAPL/1Min/OHLCV", "x.csv", "--start", "2", "--end", "1"], 2, "is after"),
        (["export", "AAPL/1Min/OHLCV", b"\xff.csv"], 2, "no Unicode text"),
        (["export", "AAPL/1Min/OHLCV", "data/LOCK"], 7, "a part of the path is a file"),
        (["backup", "loop"], 7, "leads back to itself"),
        (["backup", "x" * 300], 7, "choose a shorter name"),
        (["query", "AAPL/1Min/OHLCV", "--dir", "x" * 300], 7, "File name too long"),
        (["migrate", "data", "--dir", "loop"], 3, "is not the root_directory"),
        (["demo", "--seconds", "nan"], 2, "no length of time"),
        (["demo", "--seconds", "-1"], 2, "no length of time"),
        (["demo", "--symbols", ","], 2, "names no symbol"),
        (["demo", "--dir", "data/LOCK/x"], 7, "Not a directory"),
        (["init", "no/mkts.yml"], 7, "name another file"),
    ],
)
def test_an_error_is_one_line_and_an_exit_code(data, run, arguments, code, message) -> None:
    (data.parent / "loop").symlink_to("loop")
    result = run(*map(os.fsdecode, arguments))
    assert result.exit_code == code
    assert result.stdout == ""
    [line] = result.stderr.splitlines()
    assert line.startswith("tsstore: ")
    assert message in line


@pytest.mark.parametrize("arguments", [["nope"], ["query"], ["query", "--nope"]])
def test_wrong_usage_is_exit_code_2(run, arguments) -> None:
    assert run(*arguments).exit_code == 2


@pytest.mark.parametrize(
    "arguments",
    [
        ["query", "AAPL/1Min/OHLCV", "--dir", ""],
        ["query", "AAPL/1Min/OHLCV", "--token-file", ""],
        ["check", ""],
        ["repair", ""],
        ["backup", ""],
        ["restore", "data", ""],
        ["export", "AAPL/1Min/OHLCV", ""],
        ["init", ""],
        ["start", "--config", ""],
    ],
)
def test_an_empty_path_is_not_the_working_directory(data, run, arguments) -> None:
    before = sorted(data.parent.iterdir())
    result = run(*arguments)
    assert result.exit_code == 2
    assert "it is empty; name a file or directory" in result.stderr
    assert sorted(data.parent.iterdir()) == before


@pytest.mark.parametrize(
    "arguments",
    [
        ["delete", "A/1Min/B", "--end", "2000-01-01", "--yes"],
        ["destroy", "A/1Min/B", "--yes"],
        ["rename", "A/1Min/B", "C/1Min/B"],
        ["copy", "A/1Min/B", "C/1Min/B"],
        ["retention", "*/*/*", "--keep", "1D"],
        ["compact"],
    ],
)
@pytest.mark.parametrize("directory", ["nowhere", "empty"])
def test_a_mistyped_directory_does_not_become_a_store(here, run, arguments, directory) -> None:
    (here / "empty").mkdir()
    result = run(*arguments, "--dir", directory)
    assert result.exit_code == 3
    assert f"there is no store in '{directory}'" in result.stderr
    assert list(here.rglob("*")) == [here / "empty"]


def test_who_types_is_told_what_to_type_about_a_writer(data, spawn) -> None:
    with tsstore.open(data) as store:
        for arguments in (["repair", "data"], ["compact"]):
            process = spawn(*arguments)
            assert process.wait(20) == 6
            [line] = process.stderr.read().splitlines()
            assert line.endswith(f"; end it (`kill {os.getpid()}`), and try again")
        store.announce("http://127.0.0.1:1")
        process = spawn("repair", "data")
        assert process.wait(20) == 6
        assert "use its server with --url http://127.0.0.1:1, or end it" in process.stderr.read()


def output_of(command: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """What a shell gets that runs the command."""
    return subprocess.run(
        command.replace("tsstore", f"{sys.executable} -m tsstore", 1),
        shell=True,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environment},
    )


def test_an_output_that_is_full_is_one_line(data) -> None:
    for style in ("csv", "arrow"):
        done = output_of(f"tsstore query AAPL/1Min/OHLCV --format {style} >/dev/full")
        assert (done.returncode, len(done.stderr.splitlines())) == (7, 1)
        assert "No space left on device" in done.stderr


def test_an_output_that_is_closed_gets_nothing_and_no_file_its_number(data) -> None:
    before = {path: path.read_bytes() for path in data.rglob("*") if path.is_file()}
    for style in ("csv", "arrow"):
        done = output_of(f"tsstore query AAPL/1Min/OHLCV --format {style} >&- 2>&-")
        assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert {path: path.read_bytes() for path in data.rglob("*") if path.is_file()} == before


def test_what_an_output_cannot_show_is_one_line(data) -> None:
    with tsstore.open(data) as store:
        store.write("\u65e5\u672c/1Min/OHLCV", bars(1))
    assert "\u65e5\u672c/1Min/OHLCV" in output_of("tsstore ls").stdout
    done = output_of("tsstore ls", PYTHONIOENCODING="latin-1")
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "is not in latin-1; set PYTHONIOENCODING=utf-8" in line


def test_names_of_files_may_be_any_bytes(here) -> None:
    command = [sys.executable, "-m", "tsstore", "init", b"\xff.yml"]
    done = subprocess.run(command, capture_output=True, check=True)
    assert done.stdout.startswith(b"wrote \xff.yml; ")
    assert (here / os.fsdecode(b"\xff.yml")).exists()


def test_a_reader_that_has_enough_is_no_error(data, spawn) -> None:
    with tsstore.open(data) as store:
        store.write("MANY/1Min/OHLCV", bars(50_000))
    process = spawn("query", "MANY/1Min/OHLCV", "--format", "csv")
    assert process.stdout.readline() == "Epoch,Close,Volume\n"
    process.stdout.close()
    assert process.wait(20) == 0
    assert process.stderr.read() == ""


def test_every_exit_code_is_documented(run) -> None:
    kinds = [kind for kind in vars(tsstore.errors).values() if isinstance(kind, type)]
    assert {kind.exit_code for kind in kinds} == EXIT_CODES.keys() - {0, 130}
    listed = "Exit codes: " + ", ".join(f"{code} {text}" for code, text in EXIT_CODES.items())
    for text in (run("--help").output, (ROOT / "README.md").read_text()):
        assert listed in " ".join(text.split())


def test_a_question_answered_with_no_is_exit_code_1(data, run) -> None:
    assert run("destroy", BARS).exit_code == 1


def test_an_interrupt_is_exit_code_130(here, spawn) -> None:
    # A pipe that nobody fills holds the command at reading; who opens it waits for its reader.
    os.mkfifo(here / "pipe.csv")
    process = spawn("load", "pipe.csv", "A/1Min/B")
    with (here / "pipe.csv").open("wb"):
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130


def test_completion_knows_the_commands(spawn) -> None:
    process = spawn(_TSSTORE_COMPLETE="bash_complete", COMP_WORDS="tsstore q", COMP_CWORD="1")
    out, _ = process.communicate(timeout=20)
    assert out == "plain,query\n"
