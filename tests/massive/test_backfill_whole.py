"""The whole way: simulator, REST, `massive_backfiller`, store; real processes, real data if any."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tsstore
from tsstore.times import to_ns

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pyarrow as pa

BIN = Path(sys.executable).parent
KEY = "key-of-the-test"
REAL_DATA = Path(__file__).parents[3] / "shared" / "data" / "flatfiles"
NEW_YORK = "America/New_York"
DAYS = ("2013-10-07", "2013-10-08")
SYMBOLS = ("AIG", "IBM")
REAL = ["-symbols", "AIG,IBM", "-bars", "-trades", "-quotes",
        "-from", DAYS[0], "-to", "2013-10-09"]  # fmt: skip
SMALL = ["-symbols", "AIG,IBM", "-trades", "-from", DAYS[0], "-to", "2013-10-09"]
ENVIRONMENT = {**os.environ, "MASSIVE_API_KEY": KEY}

needs_real_data = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason="no real market data beside the project"
)


@contextmanager
def process(*command: object, ready: str) -> Iterator[str]:
    """A process; gives its first line of output that holds `ready`."""
    with subprocess.Popen(
        [str(part) for part in command],
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=ENVIRONMENT,
    ) as running:  # fmt: skip
        try:
            yield next(line for line in running.stdout if ready in line)
        finally:
            running.kill()


@contextmanager
def simulator(*options: object) -> Iterator[str]:
    command = (BIN / "massive_simulator", "--port", 0, "--key", KEY, *options)
    with process(*command, ready="listening on") as line:
        yield line.split()[-1]


def command(url: str, data: Path, *more: str) -> list[str]:
    return [str(BIN / "massive_backfiller"), "-baseURL", url, "-dir", str(data), *more]


def backfill(url: str, data: Path, *more: str) -> str:
    done = subprocess.run(
        command(url, data, *more),
        capture_output=True, text=True, env=ENVIRONMENT, timeout=100, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def contents(data: Path) -> dict[str, list[bytes]]:
    """Every column of every bucket of symbols but for when it was fetched."""
    with tsstore.open(data, read_only=True) as store:
        found = {}
        for key in store.list("[!_]*/*/*"):
            rows = store.read(key)
            names = [name for name in rows.names if name != "Fetched"]
            found[key] = [rows.ts.tobytes(), *(rows[name].tobytes() for name in names)]
        return found


# Real data


@pytest.fixture(scope="module")
def vendor() -> Iterator[str]:
    """A simulator that serves the real files."""
    with simulator("--data", REAL_DATA) as url:
        yield url


@pytest.fixture(scope="module")
def filled(vendor: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with everything there is of the two days and symbols."""
    data = tmp_path_factory.mktemp("filled") / "data"
    backfill(vendor, data, *REAL)
    return data


def file_of(dataset: str, day: str) -> pa.Table:
    from pyarrow import csv

    year, month, _ = day.split("-")
    return csv.read_csv(
        REAL_DATA / "us_stocks_sip" / dataset / year / month / f"{day}.csv.gz",
        convert_options=csv.ConvertOptions(column_types={"conditions": "string"}),
    )


def rows_of(table: pa.Table, symbol: str) -> pa.Table:
    from pyarrow import compute

    return table.filter(compute.equal(table["ticker"], symbol))


@needs_real_data
@pytest.mark.parametrize(("day", "count"), [(DAYS[0], 49_644), (DAYS[1], 76_723)])
def test_every_trade_of_the_files_is_stored_exactly(filled, day, count):
    file, stored = file_of("trades_v1", day), 0
    with tsstore.open(filled, read_only=True) as store:
        for symbol in SYMBOLS:
            rows = store.read(
                f"{symbol}/1Sec/TRADE", start=day, end=f"{day} 23:59:59.999999999", tz=NEW_YORK
            )
            table = rows_of(file, symbol)
            order = np.lexsort((table["sequence_number"], table["sip_timestamp"]))
            for name, stored_as in (
                ("sip_timestamp", "ts"), ("price", "Price"), ("size", "Size"),
                ("exchange", "Exchange"), ("sequence_number", "Sequence"), ("id", "TradeID"),
                ("participant_timestamp", "ParticipantNs"), ("tape", "TapeID"),
            ):  # fmt: skip
                assert (rows[stored_as] == table[name].to_numpy()[order]).all(), name
            assert len(rows) == table.num_rows
            stored += len(rows)
    assert stored == count


@needs_real_data
@pytest.mark.parametrize(("day", "count"), [(DAYS[0], 109_066), (DAYS[1], 125_749)])
def test_every_quote_of_the_files_is_stored_exactly(filled, day, count):
    table = rows_of(file_of("quotes_v1", day), "IBM")
    with tsstore.open(filled, read_only=True) as store:
        rows = store.read("IBM/1Min/QUOTE", start=day, end=f"{day} 23:59:59.999999999", tz=NEW_YORK)
    order = np.lexsort((table["sequence_number"], table["sip_timestamp"]))
    assert len(rows) == count == table.num_rows
    for name, stored_as in (
        ("sip_timestamp", "ts"), ("bid_price", "BidPrice"), ("ask_price", "AskPrice"),
        ("bid_size", "BidSize"), ("ask_size", "AskSize"), ("bid_exchange", "BidExchange"),
    ):  # fmt: skip
        assert (rows[stored_as] == table[name].to_numpy()[order]).all(), name


@needs_real_data
def test_every_bar_of_the_files_is_stored(filled):
    with tsstore.open(filled, read_only=True) as store:
        for day in DAYS:
            table = rows_of(file_of("minute_aggs_v1", day), "IBM")
            rows = store.read("IBM/1Min/OHLCV", start=day, end=f"{day} 23:59:59", tz=NEW_YORK)
            order = np.argsort(table["window_start"])
            for name, stored_as in (
                ("window_start", "ts"),
                ("close", "Close"),
                ("volume", "Volume"),
            ):
                assert (rows[stored_as] == table[name].to_numpy()[order]).all(), name


@needs_real_data
def test_a_second_backfill_changes_nothing(vendor, filled):
    before = contents(filled)
    assert backfill(vendor, filled, *REAL).startswith("nothing to fetch\n12 symbol-days")
    assert contents(filled) == before


@needs_real_data
def test_fetching_again_changes_nothing(vendor, filled):
    before = contents(filled)
    assert "stored 126,367 rows" in backfill(vendor, filled, *SMALL, "--refetch")
    assert contents(filled) == before


@needs_real_data
def test_a_backfill_beside_a_running_server_goes_through_it(vendor, filled, tmp_path):
    data = tmp_path / "data"
    config = tmp_path / "mkts.yml"
    config.write_text(f"root_directory: {data}\nlisten_port: 0\n")
    with process(BIN / "tsstore", "start", "-c", config, ready="serving") as line:
        backfill(vendor, data, *SMALL, "-config", str(config))
        with tsstore.connect(line.split()[-1]) as store:
            assert len(store.read("IBM/1Sec/TRADE", columns=["Price"])) == 57_674
        found = contents(data)
    assert found == {key: rows for key, rows in contents(filled).items() if key in found}


# A generated market

GENERATED = ["-symbols", "*", "-bars", "-trades", "-from", "2024-06-03", "-to", "2024-06-05"]
MARKET = ["--symbols", "2", "--seed", "7"]


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store filled from a service without faults."""
    data = tmp_path_factory.mktemp("generated") / "data"
    with simulator(*MARKET) as url:
        backfill(url, data, *GENERATED)
    return data


def test_symbols_of_a_pattern_come_from_the_vendor(generated):
    with tsstore.open(generated, read_only=True) as store:
        assert len(store.list("*/1Sec/TRADE")) == 2
        assert len(store.list("*/1Min/OHLCV")) == 2


@pytest.mark.parametrize(
    "faults",
    [
        ["truncate=1", "server_error=2", "drop_request=1", "too_many=1", "retry_after=1"],
        ["not_json=1", "page=3000", "null_next_url", "null_results", "empty_429"],
    ],
    ids="+".join,
)
def test_faults_of_the_service_change_nothing_in_the_end(generated, tmp_path, faults):
    options = [part for fault in faults for part in ("--fault", fault)]
    with simulator(*MARKET, *options) as url:
        backfill(url, tmp_path / "data", *GENERATED)
    assert contents(tmp_path / "data") == contents(generated)


def test_days_beside_a_server_stand_at_the_midnights_of_its_zone(tmp_path):
    data, config = tmp_path / "data", tmp_path / "mkts.yml"
    config.write_text(f"root_directory: {data}\nlisten_port: 0\ntimezone: {NEW_YORK}\n")
    days = [
        "-bars",
        "-barFrequencies",
        "1D",
        "-from",
        "1D=2024-06-03",
        "-to",
        "2024-06-05",
        "-symbols",
        "*",
    ]
    with (
        simulator(*MARKET) as url,
        process(BIN / "tsstore", "start", "-c", config, ready="serving") as line,
    ):
        backfill(url, data, *days)
        with tsstore.connect(line.split()[-1]) as store:
            assert store.timezone == NEW_YORK
            midnights = [to_ns("2024-06-03", NEW_YORK), to_ns("2024-06-04", NEW_YORK)]
            assert store.read(store.list("*/1D/OHLCV")[0]).ts.tolist() == midnights


def replies(url: str) -> dict[str, int]:
    """How many requests were answered so far, by status."""
    with urllib.request.urlopen(f"{url}/_simulator/state", timeout=10) as answer:
        return json.load(answer)["replies"]


MIXED = [
    "-symbols", "*", "-bars", "-barFrequencies", "1Min,1D", "-trades", "-from", "2024-06-03",
    "-to", "2024-06-06", "-batchSize", "2000", "-requestsPerMinute", "299", "-parallelism", "2",
]  # fmt: skip


def test_a_run_that_is_killed_asks_again_for_what_was_under_way_only(tmp_path):
    with simulator("--symbols", "2", "--seed", "7") as url:
        backfill(url, tmp_path / "whole", *MIXED)
        whole = sum(replies(url).values())
    kills = 2
    with simulator("--symbols", "2", "--seed", "7") as url:
        for part in range(1, kills + 1):
            with subprocess.Popen(
                command(url, tmp_path / "killed", *MIXED), env=ENVIRONMENT,
                stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            ) as running:  # fmt: skip
                while sum(replies(url).values()) < whole * part // (kills + 1):
                    assert running.poll() is None
                    time.sleep(0.002)
                running.send_signal(signal.SIGKILL)
        backfill(url, tmp_path / "killed", *MIXED)
        asked = sum(replies(url).values())
    assert contents(tmp_path / "killed") == contents(tmp_path / "whole")
    # Two at a time, and a page that begins a row earlier may make one more of a day.
    assert asked <= whole + kills * 2 * 2


def test_what_a_plan_excludes_is_found_with_few_requests_and_not_asked_again(tmp_path):
    wanted = ["-symbols", "*", "-bars", "-trades", "-from", "2010-01-04", "-to", "2021-08-01"]
    with simulator("--symbols", "6", "--plan", "starter", "--date", "2026-06-03T10:00") as url:
        for _ in range(2):
            done = subprocess.run(
                command(url, tmp_path / "data", *wanted), env=ENVIRONMENT, capture_output=True,
                text=True, timeout=100, check=False,
            )  # fmt: skip
            assert done.returncode == 8, done.stderr
            assert "1Min bars of 6 symbols, 2010-01-04 to 2021-06-0" in done.stderr
            assert "trades of 6 symbols, 2010-01-04 to 2021-07-30: You are not" in done.stderr
            # Refused: what two began with of bars, a search by halves in 2,900 days, and trades of
            # three symbols, or of those that both had begun.
            refused = replies(url)["403"]
            assert refused <= 2 + 12 + 4
