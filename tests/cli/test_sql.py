"""`tsstore sql`."""

from __future__ import annotations

import io
import json
import subprocess
import sys

import pyarrow as pa
import pytest
from click.testing import CliRunner
from pyarrow import parquet

import tsstore
from tsstore.cli.main import main
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import BARS

ALL = 'SELECT * FROM "*/1Min/OHLCV"'


def test_a_table_is_printed(data, run) -> None:
    statement = f'SELECT Epoch, Close, Volume > 5 AS many FROM "{BARS}"'
    assert run("sql", statement).output == (
        "Epoch                Close   many\n"
        "2024-01-02T14:30:00    0.0  false\n"
        "2024-01-02T14:31:00    1.0   true\n"
        "2024-01-02T14:32:00    2.0   true\n"
        "(3 rows)\n"
    )


def test_csv_is_what_load_reads(data, run, here) -> None:
    (here / "out.csv").write_text(run("sql", ALL, "--format", "csv").output)
    assert run("load", "out.csv", "1Min/COPY").exit_code == 0
    with tsstore.open(data, read_only=True) as store:
        for symbol in ("AAPL", "MSFT"):
            before, after = store.read(f"{symbol}/1Min/OHLCV"), store.read(f"{symbol}/1Min/COPY")
            assert before.ts.tolist() == after.ts.tolist()
            assert before["Close"].tolist() == after["Close"].tolist()


def test_values_of_all_kinds_are_printed(data, run) -> None:
    statement = """
        SELECT 1.5 AS d, NULL AS n, DATE '2024-01-02' AS day,
               TIMESTAMP '2024-01-02 03:04:05.5' AS t, [1, 2] AS l,
               TIMESTAMPTZ '2024-01-02 03:04:05+00' AS z, 'é' AS s
    """
    (row,) = json.loads(run("sql", statement, "--format", "json").output)
    assert row == {
        "d": 1.5, "n": None, "day": "2024-01-02", "t": "2024-01-02T03:04:05.500", "l": "[1, 2]",
        "z": "2024-01-02T03:04:05Z", "s": "é",
    }  # fmt: skip


def test_no_rows_are_valid_output(data, run) -> None:
    statement = f"{ALL} WHERE false"
    assert run("sql", statement, "--format", "json").output == "[]\n"
    assert run("sql", statement, "--format", "csv").output == "Symbol,Epoch,Close,Volume\n"


@pytest.mark.parametrize("style", ["arrow", "parquet"])
def test_binary_formats_hold_the_rows(data, style: str) -> None:
    command = [sys.executable, "-m", "tsstore", "sql", ALL, "--format", style]
    output = subprocess.run(command, capture_output=True, check=True).stdout
    if style == "arrow":
        table = pa.ipc.open_stream(output).read_all()
    else:
        table = parquet.read_table(io.BytesIO(output))
    assert table.column_names == ["Symbol", "Epoch", "Close", "Volume"]
    assert table.num_rows == 6


def test_the_statement_may_come_on_standard_input(data) -> None:
    result = CliRunner().invoke(main, ["sql", "-", "--format", "csv"], input=f"{ALL}\nLIMIT 1;\n")
    assert result.output == "Symbol,Epoch,Close,Volume\nAAPL,2024-01-02T14:30:00,0.0,0\n"


def test_errors_are_shown_with_their_place(data, run) -> None:
    result = run("sql", "SELECT Nope FROM `AAPL/1Min/OHLCV`")
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert lines[-2:] == [
        "tsstore: LINE 1: SELECT Nope FROM `AAPL/1Min/OHLCV`",
        "tsstore:                ^^^^",
    ]
    assert run("sql", "SELECT * FROM `AAPL/1Min/NOPE`").exit_code == 3
    assert run("sql", "SELECT 1", "--timeout", "0").exit_code == 2


def test_a_server_is_asked(data, run) -> None:
    settings = ServerSettings(port=0)
    with tsstore.open(data, read_only=True) as store:
        app = create_app(store, settings, hub=StreamHub(queue_bytes_max=1 << 20))
        with serve(app, settings) as server:
            result = run("sql", f"SELECT count(*) AS n FROM `{BARS}`", "--url", server.url)
    assert result.output == "n\n3\n(1 row)\n"
