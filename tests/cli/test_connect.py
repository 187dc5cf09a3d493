"""`tsstore connect`: whole sessions, local and with a server, typed and piped."""

from __future__ import annotations

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time
from contextlib import contextmanager

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import tsstore
from tests.cli.conftest import BARS, bars
from tsstore.cli.main import main
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

MSFT = "MSFT/1Min/OHLCV"


@contextmanager
def served(data):
    settings = ServerSettings(port=0)
    with tsstore.open(data) as store:
        app = create_app(store, settings, hub=StreamHub(queue_bytes_max=1 << 20))
        with serve(app, settings) as server:
            store.announce(server.url)
            yield server.url


@pytest.fixture(params=["local", "remote", "beside"])
def place(data, request):
    """Options that lead to the store: files, a server, and files that a server holds."""
    if request.param == "local":
        yield ["-d", str(data)]
        return
    with served(data) as url:
        yield (
            ["-u", url.removeprefix("http://")] if request.param == "remote" else ["-d", str(data)]
        )


def session(place, *lines: str | bytes):
    piped = b"".join((line.encode() if isinstance(line, str) else line) + b"\n" for line in lines)
    result = CliRunner().invoke(main, ["connect", *place], input=piped)
    assert result.exception is None or isinstance(result.exception, SystemExit)
    return result


def closes(place, key: str = BARS) -> list[float]:
    lines = session(place, f'SELECT "Close" FROM "{key}"').stdout.splitlines()
    return [float(line) for line in lines[1:-1]]


def test_a_whole_session(place, here) -> None:
    (here / "rows.csv").write_text(
        "Epoch,Price\n1/2/2024 9:30:00 AM,1.5\n1/2/2024 9:30:00 AM,2.5\n"
    )
    result = session(
        place,
        "\\create T/1Sec/TICK Price/float64 variable",
        "\\load T/1Sec/TICK rows.csv",
        "\\show T/1Sec/TICK 2024-01-02",
        "SELECT count(*) AS n",
        '  FROM "*/1Min/OHLCV";',
        "\\destroy T/1Sec/TICK",
        "\\q",
        "\\show never",
    )
    assert result.stdout.splitlines() == [
        "created T/1Sec/TICK: variable (Price f8)",
        "wrote 2 rows of rows.csv to T/1Sec/TICK",
        "Epoch                 Price",
        "2024-01-02T09:30:00Z    1.5",
        "2024-01-02T09:30:00Z    2.5",
        "(2 rows)",
        "n",
        "6",
        "(1 row)",
        "destroyed T/1Sec/TICK",
    ]
    assert result.exit_code == 0
    assert re.fullmatch(r"Connected to (http://127.0.0.1:\d+|directory \S+)\n", result.stderr)


def test_trim_deletes_the_rows_of_that_bucket_from_the_date_on(place) -> None:
    result = session(place, f"\\trim {BARS} 2024-01-02T14:31")
    assert result.stdout == f"deleted 2 rows of {BARS} from 2024-01-02 14:31:00Z on\n"
    assert closes(place) == [0.0]
    assert closes(place, MSFT) == [0.0, 1.0, 2.0]
    assert session(place, f"\\trim {BARS} 2025-01-01").stdout.startswith("deleted 0 rows")


def test_trim_leaves_a_bar_that_begins_before_the_date(place) -> None:
    assert session(place, f"\\trim {BARS} '2024-01-02 14:31:30'").stdout.startswith("deleted 1 ")
    assert closes(place) == [0.0, 1.0]


def test_trim_of_a_year_of_days_in_the_zone_of_the_store(here) -> None:
    with tsstore.open(here / "zoned", timezone="America/New_York") as store:
        store.write(
            "A/1D/OHLCV", {"Epoch": ["2024-01-02T05:00", "2024-01-03T05:00"], "Close": [1.0, 2]}
        )
    place = ["-d", "zoned"]
    assert session(place, "\\trim A/1D/OHLCV 2024-01-02T05:00:01").stdout.startswith("deleted 1 ")
    assert session(place, "\\trim A/1D/OHLCV 2024-01-02T05:00").stdout.startswith("deleted 1 ")


def test_csv_goes_to_the_file_of_the_reference(place, here, run) -> None:
    result = session(place, f"\\show csv {BARS} between 2024-01-02 and 2024-01-02T14:31")
    assert result.stdout == "wrote 2 rows to mstore-csv-output.csv\n"
    expected = "Epoch,Close,Volume\n2024-01-02T14:30:00Z,0.0,0\n2024-01-02T14:31:00Z,1.0,10\n"
    assert (here / "mstore-csv-output.csv").read_text() == expected
    assert run("load", "mstore-csv-output.csv", "AAPL/1Min/COPY", *place).exit_code == 0


def test_results_go_to_a_file_until_it_is_taken_back(place, here) -> None:
    result = session(
        place,
        "\\o rows.json",
        f"\\show {BARS} 2024-01-02T14:32",
        "\\o table.txt",
        "SELECT 1 AS one;",
        "\\o none/rows.csv",
        "SELECT 2 AS two;",
        "\\o",
        "SELECT 3 AS three;",
    )
    assert result.stdout == "three\n    3\n(1 row)\n"
    assert json.loads((here / "rows.json").read_text())[0]["Close"] == 2.0
    assert (here / "table.txt").read_text() == "one\n  1\n(1 row)\ntwo\n  2\n(1 row)\n"
    assert "line 5: none/rows.csv: No such file or directory" in result.stderr
    assert result.exit_code == 7


def test_getinfo_gaps_help_and_timing(place) -> None:
    session(place, f"\\trim {MSFT} 2024-01-02T14:32")
    with_gap = session(place, "\\timing", "\\help", f"\\getinfo {MSFT}", f"\\gaps {BARS}")
    assert "timing is on" in with_gap.stdout
    assert "\\trim KEY DATE" in with_gap.stdout
    assert re.search(r"Latest Year +2024\n", with_gap.stdout)
    assert re.search(r"Data Types +Close/f8 Volume/i8\n", with_gap.stdout)
    assert with_gap.stdout.endswith("After  Before  Seconds\n(0 rows)\n")
    assert len(re.findall(r"^\d+\.\d{3} s$", with_gap.stderr, re.MULTILINE)) == 4


def test_gaps_are_shown(here) -> None:
    with tsstore.open(here / "data") as store:
        store.write(BARS, bars(2))
        store.write(BARS, bars(2, first=5))
    result = session(["-d", "data"], f"\\gaps {BARS}")
    assert "2024-01-02T14:31:00Z  2024-01-02T14:35:00Z      240\n" in result.stdout


def test_a_failed_line_is_told_and_the_next_ones_are_carried_out(place) -> None:
    result = session(
        place,
        "\\show AAPL/1Min/NOPE 2024-01-02",
        "\\nonsense",
        "SELEC 1;",
        "\\load AAPL/1Min/OHLCV no.csv",
        f"\\create {BARS} Close/float64 fixed",
        "\\getinfo NOPE/1Min/OHLCV",
        "\\destroy NOPE/1Min/OHLCV",
        "\\trim NOPE/1Min/OHLCV 2024-01-02",
        "SELECT 1 AS one;",
    )
    assert result.exit_code == 3  # of the first one
    assert result.stdout == "one\n  1\n(1 row)\n"
    told = [line.split(": ")[0] for line in result.stderr.splitlines()[1:]]
    assert list(dict.fromkeys(told)) == [f"line {number}" for number in range(1, 9)]


def test_hostile_lines_end_nothing(place) -> None:
    result = session(
        place,
        b"\xff\xfe\\show",
        b"\\show " + b"A" * 3_000_000,
        b"\\destroy ../../etc/1Min/x",
        b"\\load AAPL/1Min/OHLCV /dev/null /dev/null",
        b"\\load AAPL/1Min/OHLCV . .",
        b"\\o .",
        b"\\show AAPL/1Min/OHLCV 2024-01-02\0",
        b"SELECT '\0';",
        b"COPY (SELECT 1) TO 'stolen.csv';",
        b"DROP TABLE x;",
        b"(" * 50_000 + b";",
        "SELECT 'é' AS 名;".encode(),
        b'SELECT ";',
    )
    assert "名\né\n(1 row)\n" in result.stdout
    assert result.exit_code == 2
    assert "line 2: the line has more than" in result.stderr
    assert closes(place) == [0.0, 1.0, 2.0]


@given(
    lines=st.lists(
        st.text(max_size=30) | st.text(max_size=20).map(lambda t: "\\show " + t), max_size=5
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=30)
def test_any_lines_leave_the_session_alive(data, lines) -> None:
    result = session(
        ["-d", str(data)], *(line.encode("utf-8", "replace") for line in lines), "", "SELECT 42;"
    )
    assert result.stdout.endswith("42\n42\n(1 row)\n")


def test_what_others_write_is_shown(data) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "tsstore", "connect", "-d", str(data)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    with process:
        for count in (3, 4):
            process.stdin.write(f'SELECT count(*) AS n FROM "{BARS}";\n')
            process.stdin.flush()
            assert [process.stdout.readline() for _ in range(3)][1] == f"{count}\n"
            with tsstore.open(data) as store:  # the session does not hold the directory
                store.write(BARS, bars(4))
        process.stdin.close()
    assert process.returncode == 0


def test_a_server_that_goes_away_ends_no_session(data) -> None:
    with served(data) as url:
        reader, writer = os.pipe()
        process = subprocess.Popen(
            [sys.executable, "-m", "tsstore", "connect", "-u", url],
            stdin=reader, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        os.close(reader)
        os.write(writer, b"SELECT 1 AS one;\n")
        assert process.stdout.readline() == b"one\n"
    os.write(writer, b"\\show AAPL/1Min/OHLCV 2024-01-02\n\\help\n")
    os.close(writer)
    output, errors = process.communicate(timeout=60)
    assert b"line 2: " in errors
    assert b"\\getinfo" in output
    assert process.returncode == 5


@pytest.mark.parametrize(
    ("options", "code", "message"),
    [
        (["-u", "127.0.0.1:1", "-d", "data"], 2, "leave one out"),
        (["-u", "127.0.0.1:1"], 5, "127.0.0.1:1"),
        (["-u", "ftp://x"], 2, "URL"),
    ],
)
def test_stores_that_cannot_be_reached(here, options, code, message) -> None:
    result = session(options, "SELECT 1;")
    assert result.exit_code == code
    assert message in result.stderr
    assert result.stdout == ""


def test_a_directory_is_made_by_create_and_by_nothing_else(here) -> None:
    place = ["-d", "new"]
    refused = session(place, f"\\trim {BARS} 2024-01-02", f"\\show {BARS} 2024-01-02", "SELECT 1;")
    assert refused.exit_code == 3
    assert refused.stdout == ""
    assert "There is no store in 'new': \\create makes one" in refused.stderr
    assert "Connected" not in refused.stderr
    assert not (here / "new").exists()
    made = session(place, f"\\create {BARS} Close/float64 fixed", f"\\show {BARS} 2024-01-02")
    assert made.stdout.endswith("Epoch  Close\n(0 rows)\n")
    assert made.exit_code == 0


def test_a_bucket_that_is_not_there_is_told_of_in_terms_of_sessions(place) -> None:
    result = session(
        place, f"\\show {BARS.replace('1Min', '90Sec')} 2024-01-02", "\\getinfo A/1D/B"
    )
    assert result.exit_code == 3
    assert "of 1Min, which is stored, windows of 90Sec cannot be made; SHOW TABLES" in result.stderr
    assert "there is no bucket A/1D/B; SHOW TABLES shows what there is" in result.stderr


class Typist:
    """A session on a terminal."""

    def __init__(self, *options: str, state: str) -> None:
        # A terminal that is wide enough to break no line.
        environment = {**os.environ, "TERM": "dumb", "COLUMNS": "500", "XDG_STATE_HOME": state}
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            arguments = [sys.executable, "-m", "tsstore", "connect", *options]
            signal.signal(signal.SIGINT, signal.SIG_DFL)  # whoever runs the tests may ignore it
            os.execve(sys.executable, arguments, environment)
        self.seen = ""

    def types(self, text: str) -> None:
        os.write(self.terminal, text.encode())

    def interrupts(self) -> None:
        """Press Ctrl-C, and again if nothing happens.

        Python's readline looks for signals only when one breaks its wait for a key; one that comes
        in the moment before the wait is carried out at the next key.
        """
        for _ in range(12):
            self.types("\x03")
            if self._waits_for("interrupted", 5):
                break
        self.sees("interrupted")

    def sees(self, text: str) -> str:
        """Wait for a text; returns what was printed before it."""
        assert self._waits_for(text, 60), f"{text!r} did not come after {self.seen!r}"
        before, _, self.seen = self.seen.partition(text)
        return before

    def _waits_for(self, text: str, seconds: float) -> bool:
        end = time.monotonic() + seconds
        while text not in self.seen:
            ready, _, _ = select.select([self.terminal], [], [], max(0, end - time.monotonic()))
            if not ready:
                return False
            self.seen += os.read(self.terminal, 65536).decode()
        return True

    def ends(self) -> int:
        try:
            while os.read(self.terminal, 65536):
                pass
        except OSError:  # what Linux says when the other side has closed it
            pass
        _, status = os.waitpid(self.pid, 0)
        os.close(self.terminal)
        return os.waitstatus_to_exitcode(status)


def test_a_session_on_a_terminal(data, here) -> None:
    typist = Typist("-d", str(data), state=str(here / "state"))
    typist.sees("tsstore> ")
    typist.types("SELECT 40 +\r")
    typist.sees("-> ")
    typist.types("2 AS answer;\r")
    typist.sees("42")
    typist.sees("tsstore> ")
    typist.types("SELECT never\r")  # dropped by Ctrl-C
    typist.sees("-> ")
    typist.interrupts()
    typist.sees("tsstore> ")
    typist.types("\\getinfo AA\t1\t\t\r")  # completed part by part
    typist.sees(f"Bucket       {BARS}")
    typist.sees("tsstore> ")
    typist.types("SELECT sum(a.range) FROM range(9000000) a, range(9000000) b;\r")
    typist.sees("b;")  # it is on its way, for hours
    typist.interrupts()
    typist.sees("tsstore> ")
    typist.types("\\nope\r")
    typist.sees("there is no command \\nope")
    for answer, outcome in (("n", "nothing was done"), ("y", "deleted 2 rows")):
        typist.sees("tsstore> ")
        typist.types(f"\\trim {BARS} 2024-01-02T14:31\r")
        typist.sees("[y/N]: ")
        typist.types(f"{answer}\r")
        typist.sees(outcome)
    typist.sees("tsstore> ")
    typist.types("\\q\r")
    assert typist.ends() == 0
    assert closes(["-d", str(data)]) == [0.0]
    history = here / "state" / "tsstore" / "history"
    assert history.stat().st_mode & 0o077 == 0
    assert "SELECT 40 +" in history.read_text()

    again = Typist("-d", str(data), state=str(here / "state"))
    again.sees("tsstore> ")
    again.types("\x10")  # Ctrl-P: the line before
    again.sees("\\q")
    again.types("\r")
    assert again.ends() == 0


def test_ctrl_d_ends_a_session_and_carries_out_what_was_begun(data, here) -> None:
    typist = Typist("-d", str(data), state=str(here / "state"))
    typist.sees("tsstore> ")
    typist.types("SELECT 7 AS seven\r")
    typist.sees("-> ")
    typist.types("\x04")
    typist.sees("(1 row)")
    assert typist.ends() == 0


def test_a_history_that_cannot_be_kept_is_no_error(data, here) -> None:
    (here / "state").touch()
    typist = Typist("-d", str(data), state=str(here / "state"))
    typist.sees("tsstore> ")
    typist.types("exit\r")
    assert typist.ends() == 0
