"""The whole way: S3 server, `massive_flatfiles`, store."""

from __future__ import annotations

import gzip
import os
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from datetime import date, timedelta
from typing import TYPE_CHECKING

import numpy as np
import pytest

import tsstore
from tests.flatfiles.conftest import BIN, contents, packed, write_credentials
from tests.massive.test_backfill_whole import KEY, process, simulator
from tsstore.clock import SystemClock
from tsstore.schema import Schema
from tsstore_massive.backfilling.cli import main as backfiller
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.cli import main
from tsstore_massive.flatfiles.fallback import Filled
from tsstore_massive.schemas import BARS as BAR_SCHEMA
from tsstore_massive.sessions import MarketCalendar, day_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from pathlib import Path

    from tests.flatfiles.conftest import S3
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.fallback import Context
    from tsstore_massive.flatfiles.planning import Missing
    from tsstore_massive.flatfiles.selection import Selection

BARS = "ticker,volume,open,close,high,low,window_start,transactions\n"
FIRST, SECOND = "2026-06-01", "2026-06-02"
KILL, TERM = signal.SIGKILL, signal.SIGTERM
SPAN = ("--start", FIRST, "--end", SECOND)


def path_of(day: str, dataset: str = "minute_aggs_v1") -> str:
    return f"us_stocks_sip/{dataset}/{day[:4]}/{day[5:7]}/{day}.csv.gz"


def bars(day: str, tickers: Iterable[str] = "ABC", minutes: int = 3, close: float = 2.0) -> bytes:
    t0 = int(np.datetime64(f"{day}T14:00", "ns").astype(np.int64))
    rows = [
        f"{ticker},10,1,{close},3,0.5,{t0 + n * 60 * 10**9},4\n"
        for ticker in tickers
        for n in range(minutes)
    ]
    return packed(BARS + "".join(rows))


@pytest.fixture
def run(s3: S3, tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[int, str, str]]:
    """Runs the command in this process; gives exit code, output and errors."""

    def once(*options: str, who: str = "reader", secret: str = "", data: str = "data"):
        monkeypatch.setenv("HOME", environment(tmp_path, who, secret)["HOME"])
        _, _, *arguments = command(s3, tmp_path / data, *options)
        monkeypatch.setattr("sys.argv", arguments)
        capsys.readouterr()
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return once


def command(s3: S3, data: Path, *options: str) -> list[str]:
    program = [sys.executable, "-m", "tsstore_massive.flatfiles"]
    return [*program, "--endpoint", s3.endpoint, "--dir", str(data), *options]


def environment(home: Path, who: str, secret: str) -> dict[str, str]:
    write_credentials(home, who, secret)
    return {**os.environ, "HOME": str(home)}


def stored(data: Path, key: str = "A/1Min/OHLCV") -> list[float]:
    with tsstore.open(data, read_only=True) as store:
        return store.read(key)["Close"].tolist()


def test_days_are_loaded_once(s3, run, tmp_path):
    s3.put(path_of(FIRST), bars(FIRST))
    s3.put(path_of(SECOND), bars(SECOND))
    code, out, err = run(*SPAN)
    assert (code, err) == (0, "")
    assert out.startswith("2 days to load, 2026-06-01 to 2026-06-02; 0.0 MB to fetch\n")
    assert "stored 18 rows of 2 days" in out
    before = contents(tmp_path / "data")
    assert sorted(before) == [f"{name}/1Min/OHLCV" for name in "ABC"]
    assert run(*SPAN) == (0, "nothing to load\n2 days were loaded before and left out\n", "")
    assert run(*SPAN, "--reload")[0] == 0
    assert contents(tmp_path / "data") == before


def test_offline_no_file_is_removed(s3, run, tmp_path):
    """One that is damaged may be all that is left of it."""
    s3.put(path_of(FIRST), bars(FIRST))
    run("--start", FIRST, "--end", FIRST)
    kept = tmp_path / "data.flatfiles" / path_of(FIRST)
    damaged = kept.read_bytes()[:-8] + bytes(8)
    kept.write_bytes(damaged)
    code, _, err = run("--start", FIRST, "--end", FIRST, "--offline", "--reload")
    assert (code, "cannot be read" in err) == (1, True)
    assert kept.read_bytes() == damaged


def test_other_tickers_come_from_the_archive(s3, run, tmp_path):
    s3.put(path_of(FIRST), bars(FIRST))
    assert run("--start", FIRST, "--end", FIRST, "--symbols", "A")[0] == 0
    s3.clear()
    code, out, _ = run("--start", FIRST, "--end", FIRST, "--symbols", "[BC]", "--offline")
    assert (code, "; 0.0 MB to fetch" in out) == (0, True)
    assert sorted(contents(tmp_path / "data")) == [f"{name}/1Min/OHLCV" for name in "ABC"]


def test_an_archive_that_may_only_be_read_is_loaded_from(run, tmp_path):
    folder = tmp_path / "mine"
    for day, body in ((FIRST, bars(FIRST)), (SECOND, b"no gzip")):
        path = folder / path_of(day)
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        path.with_name(f"{path.name}.etag").write_text(f"etag {len(body)}\n")  # the vendor's
    before = {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))}
    for path in before:
        path.chmod(0o555 if path.is_dir() else 0o444)
    options = (*SPAN, "--offline", "--archive", str(folder))
    code, out, err = run(*options)
    assert "stored 9 rows of 1 day in" in out
    assert (code, f"{SECOND}.csv.gz is no gzip file" in err) == (1, True)
    assert err.startswith("1 day failed; get their files anew:")
    assert {path: path.stat().st_mtime_ns for path in (folder, *folder.rglob("*"))} == before
    for path in before:
        path.chmod(0o755)
    with Archive(folder).locked():  # by whoever downloads
        assert "1 day was loaded before" in run(*options)[1]
        assert "another process works on the archive" in run(*options, "--no-keep")[2]
    code, _, err = run(*SPAN, "--offline", "--archive", str(tmp_path / "none"))
    assert (code, f"there is no archive {tmp_path / 'none'}" in err) == (2, True)


def test_a_bucket_that_takes_nothing_is_told_and_costs_no_other(run, tmp_path):
    own = tmp_path / "mine" / path_of(FIRST)
    own.parent.mkdir(parents=True)
    own.write_bytes(bars(FIRST))
    with tsstore.open(tmp_path / "data", timezone="America/New_York") as store:
        store.create("B/1Min/OHLCV", Schema.of({"Close": "f4"}))
    where = ("--start", FIRST, "--end", FIRST, "--offline", "--archive", str(tmp_path / "mine"))
    code, out, err = run(*where)
    assert (code, "stored 6 rows of 1 day in" in out) == (1, True)
    assert err == (
        "B/1Min/OHLCV holds other columns than the vendor's rows have; copy what you need of it to "
        "another attribute group, and destroy it; then run massive_flatfiles --symbols B --reload\n"
    )
    assert run(*where)[:2] == (0, "nothing to load\n1 day was loaded before and left out\n")
    with tsstore.open(tmp_path / "data") as store:
        store.destroy("B/1Min/OHLCV")
        store.destroy("A/1Min/OHLCV")
    assert "stored 6 rows of 1 day in" in run(*where, "--symbols", "A,B")[1]
    assert stored(tmp_path / "data") == stored(tmp_path / "data", "B/1Min/OHLCV") == [2.0] * 3
    assert "1 day was loaded before" in run(*where, "--symbols", "A,B")[1]


def test_what_is_named_twice_is_loaded_once(run, tmp_path):
    own = tmp_path / "mine" / path_of(FIRST)
    own.parent.mkdir(parents=True)
    own.write_bytes(bars(FIRST))
    where = ("--offline", "--archive", str(tmp_path / "mine"), "--symbols", "A,A,A*")
    twice = ("--start", FIRST, "--end", FIRST, "--datasets", "minute_aggs, minute_aggs", *where)
    code, out, _ = run(*twice)
    assert (code, out.splitlines()[0]) == (0, "1 day to load, 2026-06-01; 0.0 MB to fetch")


def test_a_name_that_is_in_no_file_is_told(run, tmp_path):
    for day in (FIRST, SECOND):
        own = tmp_path / "mine" / path_of(day)
        own.parent.mkdir(parents=True, exist_ok=True)
        own.write_bytes(bars(day))
    options = (*SPAN, "--offline", "--archive", str(tmp_path / "mine"))
    for _ in range(2):  # also when all was loaded before
        code, _, err = run(*options, "--symbols", "A,a,Z*")
        assert code == 0
        assert err.startswith("the loaded files have no rows of a (did you mean A?) in these days:")
        assert len(err.splitlines()) == 1
    code, _, err = run(*options, "--symbols", "a,b", "--datasets", "minute_aggs,minute_aggs")
    assert (code, "have no rows of 2 symbols in these days: a (" in err) == (1, True)
    assert run(*options, "--symbols", "b", "--start", "2026-06-07", "--end", "2026-06-07")[2] == ""


def test_files_that_one_already_has_are_loaded_and_stay(run, tmp_path):
    own = tmp_path / "mine" / path_of(FIRST)
    own.parent.mkdir(parents=True)
    own.write_bytes(bars(FIRST))
    options = (*SPAN, "--offline", "--no-keep", "--archive", str(tmp_path / "mine"))
    code, out, err = run(*options)
    assert (code, "stored 9 rows of 1 day in" in out) == (1, True)
    assert f"the archive has no {path_of(SECOND)}" in out + err
    assert "1 day was loaded before" in run(*options)[1]
    own.write_bytes(bars(FIRST, close=2.5, minutes=2))  # another one in its place
    assert "stored 6 rows of 1 day in" in run(*options)[1]
    assert stored(tmp_path / "data") == [2.5, 2.5]
    own.write_bytes(b"no gzip")
    assert run(*options)[0] == 1
    assert own.read_bytes() == b"no gzip"


@pytest.mark.parametrize(
    ("market", "prefix", "lacking"),
    [
        ("crypto", "global_crypto", ["06", "07", "08"]),
        ("forex", "global_forex", ["07", "08"]),  # which rests on Saturday, the 6th
        ("indices", "us_indices", ["08"]),
    ],
)
def test_days_without_a_file_are_told_of_each_market(tmp_path, run, market, prefix, lacking):
    own = tmp_path / "mine" / path_of("2026-06-05").replace("us_stocks_sip", prefix)
    own.parent.mkdir(parents=True)
    own.write_bytes(bars("2026-06-05"))
    where = ("--offline", "--archive", str(tmp_path / "mine"), "--market", market)
    code, out, err = run("--start", "2026-06-05", "--end", "2026-06-08", *where)
    assert (code, "stored 9 rows of 1 day in" in out) == (1, True)
    heading, *lines = err.splitlines()
    assert heading.endswith(" without a file:")
    assert [line[-len("05.csv.gz") :].partition(".")[0] for line in lines] == lacking


def test_a_file_under_the_name_of_another_day_is_a_failure_until_it_is_put_right(run, tmp_path):
    own = tmp_path / "mine" / path_of(SECOND)
    own.parent.mkdir(parents=True)
    own.write_bytes(bars(FIRST))
    where = ("--start", SECOND, "--end", SECOND, "--offline", "--archive", str(tmp_path / "mine"))
    for symbols in ("*", "A"):  # of which the second may be covered
        code, out, err = run(*where, "--symbols", symbols)
        assert (code, "stored 0 rows of 0 days in" in out) == (1, True)
        assert f"{SECOND}.csv.gz is no file of the day of its name: " in err
    own.write_bytes(bars(SECOND))
    assert "stored 9 rows of 1 day in" in run(*where)[1]
    assert stored(tmp_path / "data") == [2.0] * 3


def test_a_replaced_file_is_loaded_again(s3, run, tmp_path):
    s3.put(path_of(FIRST), bars(FIRST))
    s3.put(path_of(SECOND), bars(SECOND))
    run(*SPAN)
    s3.put(path_of(FIRST), bars(FIRST, close=2.5, minutes=2))
    code, out, _ = run(*SPAN)
    assert code == 0
    assert "stored 6 rows of 1 day in" in out
    assert "1 day was loaded before" in out
    assert stored(tmp_path / "data") == [2.5, 2.5, 2, 2, 2]


def test_files_that_are_not_to_be_kept_are_removed(s3, run, tmp_path):
    s3.put(path_of(FIRST), bars(FIRST))
    assert (
        run("--start", FIRST, "--end", FIRST, "--no-keep", "--archive", str(tmp_path / "a"))[0] == 0
    )
    assert not list((tmp_path / "a").rglob("*.csv.gz*"))
    assert run("--start", FIRST, "--end", FIRST)[1].startswith("nothing to load")


def test_a_dry_run_changes_nothing(s3, run, tmp_path):
    s3.put(path_of(FIRST), bars(FIRST))
    assert run("--start", FIRST, "--end", FIRST, "--dry-run")[1].startswith("1 day to load")
    assert not (tmp_path / "data").exists()
    assert not (tmp_path / "data.flatfiles").exists()


def test_listed_files_that_may_not_be_read(s3, run, tmp_path):
    """Old days are not in the plan, and recent ones not yet available, which is no failure."""
    recent = recent_day()
    s3.put(path_of(FIRST), bars(FIRST))
    code, _, err = run("--start", FIRST, "--end", FIRST, who="lister")
    assert code == 1
    assert "1 day not in the plan of these keys:\n  stocks minute_aggs of 2026-06-01: " in err
    s3.put(path_of(recent), bars(recent))
    code, out, err = run("--start", recent, "--end", recent, who="lister")
    assert code == 0
    assert "not yet available; run the same command again later" in err
    assert "stored 0 rows of 0 days" in out
    assert run("--start", recent, "--end", recent)[0] == 0
    assert stored(tmp_path / "data") == [2, 2, 2]


def recent_day() -> str:
    yesterday = day_of(SystemClock().now_ns()) - timedelta(days=1)
    return str(MarketCalendar().days(yesterday - timedelta(days=5), yesterday)[-1])


def test_a_day_that_is_not_yet_available_comes_from_rest(s3, run, tmp_path, monkeypatch):
    recent = recent_day()
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)
    with simulator("--symbols", "SPY", "--date", f"{recent}T19:59") as url:
        rest = ("--start", recent, "--end", recent, "--fallback", "rest", "--base-url", url)
        code, out, err = run(*rest, "--symbols", "SPY", who="lister")
    assert code == 0, err
    assert "rows of 1 of these days by REST meanwhile" in out
    minutes = stored(tmp_path / "data", "SPY/1Min/OHLCV")
    assert len(minutes) > 300
    s3.put(path_of(recent), bars(recent, tickers=["SPY"]))
    assert "1 day was fetched by REST before" in run(*rest, "--symbols", "SPY")[1]
    assert "stored 3 rows of 1 day in" in run(*rest, "--symbols", "S*")[1]
    assert 2 in stored(tmp_path / "data", "SPY/1Min/OHLCV")


class Strangers:
    """A fallback with bars at the first minute of each hour of the morning, the vendor's or not."""

    def __init__(self, context: Context) -> None:
        self._store = context.store

    def check(self, flat: FlatSet) -> None:
        """Any will do."""

    def fill(self, missing: Sequence[Missing], _: Selection) -> Filled:
        """See `Fallback`."""
        for each in missing:
            ts = np.datetime64(f"{each.day}T12:00", "ns") + np.arange(3) * np.timedelta64(1, "h")
            table = {"Epoch": ts, **{name: np.full(3, 9.0) for name in BAR_SCHEMA.names}}
            self._store.write("A/1Min/OHLCV", table, schema=BAR_SCHEMA)
        return Filled(3 * len(missing), [])


@contextmanager
def strangers(context: Context) -> Iterator[Strangers]:
    yield Strangers(context)


def test_a_file_takes_the_place_of_what_came_from_elsewhere(s3, run, tmp_path):
    recent = recent_day()
    options = ("--start", recent, "--end", recent, "--symbols", "A")
    elsewhere = ("--fallback", "tests.flatfiles.test_whole:strangers")
    assert "stored 3 rows of 1" in run(*options, *elsewhere)[1]
    assert stored(tmp_path / "data") == [9.0] * 3
    assert "nothing to load" in run(*options)[1]
    s3.put(path_of(recent), bars(recent, tickers="A"))
    assert "1 day to load" in run(*options, *elsewhere)[1]
    assert stored(tmp_path / "data") == [2.0] * 3
    assert "1 day was loaded before" in run(*options)[1]


def test_a_fallback_that_has_no_such_data_is_refused(s3, run, monkeypatch):
    monkeypatch.setenv("MASSIVE_API_KEY", KEY)
    code, _, err = run(*SPAN, "--market", "crypto", "--fallback", "rest")
    assert (code, "--fallback rest does not have crypto minute_aggs" in err) == (2, True)


def test_market_days_without_a_file_are_reported(s3, run):
    recent = recent_day()
    code, _, err = run("--start", "2026-05-30", "--end", FIRST)  # from a Saturday to a Monday
    assert code == 1
    assert "1 day without a file:\n  stocks minute_aggs of 2026-06-01: the vendor has no" in err
    assert run("--start", recent, "--end", recent)[0] == 0


def test_a_wrong_secret_ends_the_run(s3, run):
    code, _, err = run(*SPAN, secret="wrong")
    assert code == 5
    assert "the secret key is wrong" in err
    assert "Traceback" not in err


def test_a_damaged_file_costs_no_other_and_is_fetched_again(s3, run, tmp_path):
    s3.put(path_of(FIRST), bars(FIRST)[:-20])
    s3.put(path_of(SECOND), bars(SECOND))
    code, out, err = run(*SPAN)
    assert code == 1
    assert f"{FIRST}.csv.gz cannot be read" in err
    assert "rows of 1 day in" in out
    s3.put(path_of(FIRST), bars(FIRST))
    assert run(*SPAN)[0] == 0
    assert len(stored(tmp_path / "data")) == 6


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((), "--start 2024-01-31 and --months 24"),
        (("--months", "1", "--datasets", "ticks"), "no flat files 'ticks' of stocks"),
        (
            ("--start", SECOND, "--end", FIRST),
            "--start 2026-06-02 is after --end 2026-06-01, the last day, itself included",
        ),
        (("--start", "2999-01-01"), "--start 2999-01-01 is after the last day, yesterday in New"),
        (("--start", "0001-01-01"), "0001-01-01 is before 1970"),
        (("--start", "yesterday"), "'yesterday' is not a date"),
        ((*SPAN, "--datasets", ","), "--datasets names none"),
        ((*SPAN, "--symbols", ""), "--symbols names none"),
        ((*SPAN, "--symbols", "A,X:BTC-USD"), "X:BTC-USD is of crypto, and --market is stocks; "),
        ((*SPAN, "--symbols", "O:SPY*"), "O:SPY* is of options, and --market is stocks; give"),
        ((*SPAN, "--symbols", "SPY", "--market", "options"), "SPY is of stocks, and --market is"),
        (("--months", "9999"), "9999 is not in the range"),
    ],
)
def test_what_cannot_be_meant_is_refused(run, options, words):
    code, _, err = run(*options)
    assert code == 2
    assert words in err


@pytest.fixture
def backfill(s3: S3, tmp_path: Path, monkeypatch, capsys) -> Callable[..., tuple[object, str]]:
    """Runs `massive_backfiller --source flatfiles` in this process; gives exit code and errors."""

    def once(*options: str) -> tuple[object, str]:
        monkeypatch.setenv("HOME", environment(tmp_path, "reader", "")["HOME"])
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        where = ["--source", "flatfiles", "-dir", str(tmp_path / "backfilled")]
        monkeypatch.setattr("sys.argv", ["massive_backfiller", *where, *options])
        code: object = 0
        try:
            backfiller()
        except SystemExit as end:
            code = end.code
        return code, capsys.readouterr().err

    return once


def test_the_backfiller_takes_files_as_its_source(s3, run, backfill, tmp_path):
    for day in (FIRST, SECOND):
        s3.put(path_of(day), bars(day))
        s3.put(path_of(day, "trades_v1"), trades(day, "AB"))
    asked = ("-bars", "-trades", "-from", f"1Min={FIRST}", "-from", f"trades={SECOND}")
    assert backfill(*asked, "-to", "2026-06-03", "-symbols", "[AB]") == (0, "")
    run(*SPAN, "--symbols", "[AB]")
    run("--start", SECOND, "--end", SECOND, "--symbols", "[AB]", "--datasets", "trades")
    assert contents(tmp_path / "backfilled") == contents(tmp_path / "data")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (("-bars", "-barFrequencies", "5Min"), "no flat files of 5Min bars"),
        (("-bars", "-adjusted"), "flat files are not adjusted"),
        (("-bars", "-from", str(day_of(SystemClock().now_ns()))), "files of the days before"),
    ],
)
def test_what_files_do_not_have_is_refused_by_the_backfiller(backfill, options, words):
    code, err = backfill("-from", FIRST, *options)
    assert (code, words in err) == (2, True)


def test_a_running_server_takes_the_rows(s3, run, tmp_path):
    for day in (FIRST, SECOND):
        s3.put(path_of(day), bars(day))
        s3.put(path_of(day, "trades_v1"), trades(day, "AB"))
    config = tmp_path / "mkts.yml"
    config.write_text(f"root_directory: {tmp_path / 'data'}\nlisten_port: 0\n")
    both = (*SPAN, "--datasets", "minute_aggs,trades")
    with process(BIN / "tsstore", "start", "-c", config, ready="serving"):
        assert run(*both, "--config", str(config))[0] == 0
        assert run(*both, "--config", str(config))[1].startswith("nothing to load")
        s3.put(path_of(FIRST), bars(FIRST, close=2.5))
        assert run(*both, "--config", str(config))[0] == 0
        found = contents(tmp_path / "data")
    assert run(*both, data="embedded")[0] == 0
    assert found == contents(tmp_path / "embedded")


def test_a_killed_run_goes_on_and_ends_with_the_same_rows(s3, run, tmp_path):
    start = date(2026, 6, 1)
    days = [str(day) for day in MarketCalendar().days(start, start + timedelta(days=30))][:10]
    for number, day in enumerate(days):
        tickers = "ABCDEFGHIJ" if number % 2 else "JIHGFEDCBA"
        s3.put(path_of(day), bars(day, tickers=tickers, minutes=390))
        s3.put(path_of(day, "trades_v1"), trades(day, tickers))
    options = ("--start", days[0], "--end", days[-1], "--datasets", "minute_aggs,trades")
    assert run(*options, data="whole")[0] == 0
    for files, number in ((2, KILL), (7, TERM), (13, KILL)):
        with subprocess.Popen(
            command(s3, tmp_path / "data", *options), env=environment(tmp_path, "reader", ""),
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        ) as running:  # fmt: skip
            while running.poll() is None and fetched(tmp_path) < files:
                time.sleep(0.001)
            running.send_signal(number)
        assert running.returncode == (-KILL if number == KILL else 128 + TERM)
    code, out, err = run(*options)
    assert (code, err) == (0, "")
    assert "days were loaded before and left out" in out
    assert contents(tmp_path / "data") == contents(tmp_path / "whole")


def fetched(folder: Path) -> int:
    return sum(1 for _ in (folder / "data.flatfiles").rglob("*.etag"))


def trades(day: str, tickers: str) -> bytes:
    t0 = int(np.datetime64(f"{day}T14:00", "ns").astype(np.int64))
    return packed(
        "ticker,conditions,exchange,id,participant_timestamp,price,sequence_number,sip_timestamp,size\n"
        + "".join(
            f'{ticker},"12,37",11,{n},{t0 + n * 10**6},10.5,{n},{t0 + n * 10**6 + 7},0.5\n'
            for ticker in tickers
            for n in range(500)
        )
    )


def only(path: Path, tickers: tuple[str, ...]) -> bytes:
    with gzip.open(path, "rt") as file:
        header, *rows = file
    return gzip.compress((header + "".join(r for r in rows if r.startswith(tickers))).encode(), 1)
