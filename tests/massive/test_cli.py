"""`massive_backfiller` as a process, against a vendor on loopback."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from pathlib import Path

import pytest
from click.testing import CliRunner

import tsstore
from tests.massive.http_server import KEY, Reply, Server, Vendor, bar, trade
from tsstore.times import to_ns
from tsstore_massive.backfilling import cli

#: What is said first of rows from loopback.
WARNED = "rows of 127.0.0.1 are stored as real; data_source: synthetic in mkts.yml marks them\n"
COMMAND = Path(sys.executable).with_name("massive_backfiller")
START = to_ns("2024-06-03 09:30", "America/New_York")
TRADES = ["-trades", "-from", "trades=2024-06-03", "-to", "2024-06-05", "-symbols", "AAPL"]


@pytest.fixture
def vendor():
    vendor = Vendor()
    vendor.trades["AAPL"] = [trade(START + n * 1_000_000_007, n + 1, 10 + n) for n in range(100)]
    vendor.bars["AAPL"] = [bar(START + n * 60 * 10**9, 10 + n) for n in range(390)]
    with Server(vendor) as server:
        vendor.server = server
        yield vendor


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def arguments(vendor: Vendor, data: Path, *more: str) -> list[str]:
    return [str(COMMAND), "-baseURL", vendor.server.url, "-dir", str(data), *more]


def run(vendor: Vendor, data: Path, *more: str, key: str | None = KEY):
    return subprocess.run(
        arguments(vendor, data, *more),
        env=environment(key), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


def environment(key: str | None = KEY) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if name != "MASSIVE_API_KEY"}
    return kept | ({} if key is None else {"MASSIVE_API_KEY": key})


@contextmanager
def started(vendor: Vendor, data: Path, *more: str):
    process = subprocess.Popen(
        arguments(vendor, data, *more),
        env=environment(), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip
    with process:
        try:
            yield process
        finally:
            process.kill()


def counts(data: Path) -> dict[str, int]:
    with tsstore.open(data) as store:
        return {key: len(store.read(key)) for key in store.list() if "/24H/" not in key}


@pytest.mark.parametrize("what", [TRADES, [*TRADES[:-1], "*"]])
def test_an_address_where_nobody_is_is_named_after_a_few_tries(vendor, data, what):
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        port = nobody.getsockname()[1]
        done = run(vendor, data, *what, "-baseURL", f"http://127.0.0.1:{port}")
    assert done.returncode == 5
    assert f"massive_backfiller: 127.0.0.1:{port} cannot be reached: " in done.stderr
    assert "check the network and base_url" in done.stderr


class Gate:
    """Lets some requests pass and holds the next until it is opened; tells when one waits."""

    def __init__(self, passing: int) -> None:
        self.left = passing
        self.reached, self.open = threading.Event(), threading.Event()

    def __call__(self, _) -> None:
        self.left -= 1
        if self.left < 0:
            self.reached.set()
            self.open.wait(30)


def held(vendor: Vendor, passing: int) -> Gate:
    gate = Gate(passing)
    answer = vendor.server.answer
    vendor.server.answer = lambda request: (gate(request), answer(request))[1]
    return gate


def test_a_command_line_of_the_reference_works_unchanged(vendor, data):
    result = run(
        vendor, data, "-apiKey", KEY, "-bars=true", "-barFrequencies", "1Min", "-trades",
        "-from", "1Min=2024-06-03", "-from", "trades=2024-06-03", "-to", "2024-06-05",
        "-symbols", "AAPL", "-parallelism", "2", "-batchSize", "50", "-adjusted=false",
        key=None,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout.startswith(
        "1Min bars of stocks: 2 symbol-days to fetch, 2024-06-03 to 2024-06-04\n"
        "trades of stocks: 2 symbol-days to fetch, 2024-06-03 to 2024-06-04\n"
    )
    assert "stored 490 rows of 4 symbol-days" in result.stdout
    assert counts(data) == {"AAPL/1Min/OHLCV": 390, "AAPL/1Sec/TRADE": 100}
    assert {r.query.get("adjusted") for r in vendor.server.requests} == {"false", None}


def test_a_command_line_in_gnu_spelling_does_the_same(vendor, data):
    result = run(
        vendor, data, "--bars", "--bar-frequencies=1Min", "--from=1Min=2024-06-03",
        "--to=2024-06-05", "--symbols=AAPL", "--parallelism=1", "--batch-size=50000",
        "--no-adjusted",
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert counts(data) == {"AAPL/1Min/OHLCV": 390}


def test_a_name_that_the_vendor_does_not_know_is_told(vendor, data):
    some = run(vendor, data, *TRADES[:-1], "aapl,AAPL")
    assert some.returncode == 0
    [told] = some.stderr.removeprefix(WARNED).splitlines()
    assert told.startswith("the vendor has no rows of aapl (did you mean AAPL?) in these days: ")
    assert "massive_reference" in told
    for _ in range(2):  # also when nothing is left to fetch
        none = run(vendor, data, *TRADES[:-1], "msft")
        assert (none.returncode, len(none.stderr.splitlines())) == (1, 2)
        assert " msft (did you mean MSFT?) " in none.stderr
    assert run(vendor, data, *TRADES[:-1], "aapl,AAPL").stderr == some.stderr
    assert "did you mean" not in run(vendor, data, *TRADES[:-1], "*", "-refetch").stderr
    days = ["-bars", "-barFrequencies=1D", "-from=2024-06-03", "-to=2024-06-05"]
    vendor.bars["AAPL"] = [bar(to_ns("2024-06-03", "America/New_York"))]
    planned = run(vendor, data, *days, "-symbols", "AAPL,msft,A,B,C", "-dry-run").stdout
    assert "1D bars of stocks: 10 symbol-days to fetch, 2024-06-03 to 2024-06-04\n" in planned
    together = run(vendor, data, *days, "-symbols", "AAPL,msft,A,B,C")
    assert "(grouped daily)" in together.stdout
    assert "no rows of 4 symbols in these days: A, B, C, msft (did" in together.stderr


def test_running_it_twice_changes_nothing(vendor, data):
    run(vendor, data, *TRADES)
    before = counts(data)
    asked = len(vendor.server.requests)
    result = run(vendor, data, *TRADES)
    assert result.returncode == 0
    assert result.stdout.splitlines() == [
        "nothing to fetch",
        "2 symbol-days were fetched before and left out",
    ]
    assert counts(data) == before
    assert len(vendor.server.requests) == asked


def test_after_kill_it_goes_on_where_it_was(vendor, data):
    gate = held(vendor, 6)
    more = ["-trades", "-from", "2024-05-28", "-to", "2024-06-07", "-symbols", "AAPL",
            "-parallelism", "1"]  # fmt: skip
    with started(vendor, data, *more) as process:
        assert gate.reached.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    gate.open.set()
    done = len(vendor.server.requests) - 1
    assert counts(data) == {"AAPL/1Sec/TRADE": 100}
    gate.left = 1000
    vendor.server.requests.clear()
    result = run(vendor, data, *more)
    assert result.returncode == 0, result.stderr
    assert counts(data) == {"AAPL/1Sec/TRADE": 100}
    assert f"{done} symbol-days were fetched before" in result.stdout
    assert len(vendor.server.requests) == 8 - done


def test_after_kill_a_small_plan_repeats_no_page_but_the_one_under_way(vendor, data):
    del vendor.trades["AAPL"][95:]
    gate = held(vendor, 6)
    more = [*TRADES, "-batchSize", "10", "-requestsPerMinute", "250", "-parallelism", "1"]
    with started(vendor, data, *more) as process:
        assert gate.reached.wait(30)
        process.send_signal(signal.SIGKILL)
        process.wait(30)
    gate.left = 1000
    gate.open.set()
    assert run(vendor, data, *more).returncode == 0
    assert counts(data) == {"AAPL/1Sec/TRADE": 95}
    # Ten pages of the first day and an empty second one; the seventh was under way at the kill.
    assert len(vendor.server.requests) == 10 + 1 + 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_it_soon_and_cleanly(vendor, data, number):
    gate = held(vendor, 1)
    with started(vendor, data, *TRADES, "-parallelism", "1") as process:
        assert gate.reached.wait(30)
        process.send_signal(number)
        out, err = process.communicate(timeout=10)
    gate.open.set()
    assert process.returncode == 128 + number
    assert "stored 100 rows of 1 symbol-day in" in out
    assert err == f"{WARNED}stopped; the same command goes on from here\n"
    assert counts(data) == {"AAPL/1Sec/TRADE": 100}


#: Ends the command while its main thread holds the lock of what it waits for.
INTERRUPTED = """
import signal, sys, threading
from tsstore_massive.backfilling.cli import main

def trace(frame, event, _):
    if frame.f_code is threading.Condition.wait.__code__ and frame.f_locals["timeout"]:
        sys.settrace(None)
        signal.raise_signal(signal.SIGTERM)

sys.settrace(trace)
main()
"""


def test_a_signal_that_comes_with_a_lock_held_ends_it_as_well(vendor, data):
    vendor.fault = lambda _: Reply(b"", 503)  # it waits before it asks for the symbols again
    more = [*TRADES[:-1], "*"]
    command = [sys.executable, "-c", INTERRUPTED, *arguments(vendor, data, *more)[1:]]
    done = subprocess.run(
        command, env=environment(), capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 128 + signal.SIGTERM
    assert done.stderr == f"{WARNED}stopped; the same command goes on from here\n"


def test_what_failed_is_told_and_tried_again_by_the_next_run(vendor, data):
    day = str(to_ns("2024-06-04", "America/New_York"))

    def fault(request):
        return Reply(b"{}", 404) if request.query.get("timestamp.gte") == day else None

    vendor.fault = fault
    result = run(vendor, data, *TRADES)
    assert result.returncode == 1
    assert "1 symbol-day missing:\n  AAPL trades of 2024-06-04: 127.0.0.1" in result.stderr
    assert "run the same command again" in result.stderr
    vendor.fault = lambda _: None
    assert run(vendor, data, *TRADES).returncode == 0


def test_a_plan_without_the_data_is_told(vendor, data):
    vendor.fault = lambda _: Reply(b'{"message":"You are not entitled to this data."}', 403)
    result = run(vendor, data, *TRADES)
    assert result.returncode == 8
    assert "  trades of AAPL, 2024-06-03 to 2024-06-04: You are not entitled" in result.stderr
    assert "massive_backfiller: 2 symbol-days are not in the plan of this key" in result.stderr
    asked = len(vendor.server.requests)
    assert run(vendor, data, *TRADES).returncode == 8
    assert len(vendor.server.requests) == asked
    vendor.fault = lambda _: None
    assert run(vendor, data, *TRADES, "-askAgain").returncode == 0


def test_a_wrong_key_is_an_error_of_one_line(vendor, data):
    vendor.fault = lambda _: Reply(b'{"error":"Unknown API Key"}', 401)
    result = run(vendor, data, *TRADES)
    assert result.returncode == 5
    assert result.stderr.startswith(f"{WARNED}massive_backfiller: 127.0.0.1")
    assert "Unknown API Key; set the right one in MASSIVE_API_KEY" in result.stderr
    assert len(result.stderr.splitlines()) == 2
    assert KEY not in result.stderr + result.stdout


def test_symbols_of_a_pattern_are_looked_up(vendor, data):
    vendor.tickers = ["A", "AAPL", "MSFT"]
    result = run(vendor, data, *TRADES[:-1], "A*")
    assert result.returncode == 0, result.stderr
    assert "of 4 symbol-days" in result.stdout


# In this process


def invoke(monkeypatch, *args: str) -> tuple[int, str]:
    monkeypatch.delenv("MASSIVE_API_KEY", raising=False)
    monkeypatch.setattr(sys, "argv", ["massive_backfiller", *args])
    with pytest.raises(SystemExit) as ended:
        cli.main()
    return ended.value.code


@pytest.mark.parametrize(
    ("args", "text"),
    [
        ((), "where is the store"),
        (("-dir", "d"), "what is to be fetched"),
        (("-dir", "d", "-nonsense"), "No such option"),
        (("-dir", "d", "-bars=perhaps"), "'perhaps' is not true or false"),
        (("-dir", "d", "-bars", "-from", "1Min=2024-01-02"), "no Massive API key"),
        (("-dir", "d", "-parallelism", "0"), "parallelism"),
    ],
)
def test_wrong_usage_ends_with_2_and_says_why(monkeypatch, tmp_path, capsys, args, text):
    monkeypatch.chdir(tmp_path)
    assert invoke(monkeypatch, *args) == 2
    assert text in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_help_names_every_option():
    text = CliRunner().invoke(cli.command, ["-h"]).output
    for name in ("api-key", "api-key-file", "base-url", "bars", "bar-frequencies", "trades",
                 "quotes", "from", "to", "symbols", "parallelism", "batch-size", "adjusted",
                 "config", "dir", "requests-per-minute", "refetch"):  # fmt: skip
        assert f"--{name}" in text
