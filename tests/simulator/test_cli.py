"""The command, as a process."""

from __future__ import annotations

import signal
import subprocess
import sys
from typing import TYPE_CHECKING

import httpx
import pytest
from click.testing import CliRunner

from tsstore_massive_simulator.cli import main
from tsstore_massive_simulator.faults import FAULTS

if TYPE_CHECKING:
    from pathlib import Path

COMMAND = [sys.executable, "-c", "from tsstore_massive_simulator.cli import main; main()"]


def test_it_says_where_it_listens_and_ends_cleanly() -> None:
    options = ["--port", "0", "--symbols", "2", "--date", "2026-10-01T09:30", "--key", "k"]
    with subprocess.Popen(
        [*COMMAND, *options], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        line = process.stdout.readline()
        assert line.startswith("listening on http://127.0.0.1:")
        url = line.removeprefix("listening on ").strip()
        with httpx.Client(trust_env=False, verify=False) as client:
            reply = client.get(
                f"{url}/v3/reference/tickers", params={"apiKey": "k", "market": "stocks"}
            )
        assert reply.json()["count"] == 2
        process.send_signal(signal.SIGTERM)
        assert process.wait(10) == 0
        assert process.stderr.read() == ""


def test_every_fault_is_listed() -> None:
    result = CliRunner().invoke(main, ["--list-faults"])
    assert result.exit_code == 0
    assert {line.split()[0] for line in result.output.splitlines()} == set(FAULTS)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--fault", "nonsense"], "unknown fault 'nonsense'"),
        (["--speed", "fast"], "'fast' is not a speed; write a number such as 60, or max"),
        (["--speed", "0"], "'0' is not a speed"),
        (["--date", "soon"], "'soon' is not a day; write 2026-01-02 or 2026-01-02T09:30"),
        (["--data", "/nowhere"], "'/nowhere' does not exist"),
        (["--symbols", "0"], "--symbols"),
        (["--plan", "gold"], "'gold' is no plan; write basic, starter"),
    ],
)
def test_a_wrong_option_is_a_usage_error(options: list[str], message: str) -> None:
    result = CliRunner().invoke(main, ["--port", "0", *options])
    assert result.exit_code == 2
    assert message in result.output


def test_a_folder_without_data_is_a_usage_error(tmp_path: Path) -> None:
    result = CliRunner().invoke(main, ["--port", "0", "--data", str(tmp_path)])
    assert result.exit_code == 2
    assert "no flat file in" in result.output


def test_a_port_that_is_taken_is_named() -> None:
    import socket

    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        result = CliRunner().invoke(main, ["--port", str(port), "--symbols", "1"])
    assert result.exit_code == 1
    assert f"cannot listen on 127.0.0.1:{port}" in result.output
