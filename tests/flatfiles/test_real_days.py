"""Real days through S3, REST and the socket are the same rows; bars of real trades are right."""

from __future__ import annotations

import os
import subprocess
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import pytest

import tsstore
from tests.flatfiles.conftest import BIN, contents, write_credentials
from tests.flatfiles.test_whole import only
from tests.massive.simulated import KEY, MarketClock, RunningWorker, Simulator, replaying
from tsstore.times import to_ns
from tsstore_massive.flatfiles.cli import main

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.flatfiles.conftest import S3
    from tsstore.columns import Columns

DAY, NEXT_DAY = "2013-10-07", "2013-10-08"
SYMBOLS = ("AIG", "IBM")
TRADED = ("AIG", "BAC", "IBM", "SPY")
STREAMED = [
    "AIG/1Min/OHLCV", "AIG/1Sec/TRADE", "IBM/1Min/OHLCV", "IBM/1Min/QUOTE", "IBM/1Sec/TRADE",
]  # fmt: skip
MS, MINUTE = 10**6, 60 * 10**9
#: What the socket does not tell.
UNTOLD = {"TradeCount", "ParticipantNs"}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The home of who may read the S3 server."""
    write_credentials(tmp_path, "reader")
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    return tmp_path


def load(s3: S3, data: Path, monkeypatch: pytest.MonkeyPatch, *options: str) -> None:
    arguments = ("massive_flatfiles", "--endpoint", s3.endpoint, "--dir", str(data), *options)
    monkeypatch.setattr("sys.argv", list(arguments))
    main()


def path_of(dataset: str, day: str) -> str:
    return f"us_stocks_sip/{dataset}_v1/{day[:4]}/{day[5:7]}/{day}.csv.gz"


def test_files_rest_and_the_socket_give_the_same_rows(s3, home, monkeypatch, real_data):
    for dataset in ("minute_aggs", "day_aggs", "quotes"):
        s3.put(path_of(dataset, DAY), (real_data / path_of(dataset, DAY)).read_bytes())
    s3.put(path_of("trades", DAY), only(real_data / path_of("trades", DAY), SYMBOLS))
    every = "minute_aggs,day_aggs,trades,quotes"
    options = ("--start", DAY, "--end", DAY, "--symbols", ",".join(SYMBOLS), "--datasets", every)
    load(s3, home / "files", monkeypatch, *options)
    with replaying(real_data) as server:
        backfill(server.url, home / "rest")
        stream(server, home / "socket", rows_in(home / "files"))
    files, streamed = contents(home / "files"), contents(home / "socket")
    assert files == contents(home / "rest")
    assert sorted(streamed) == STREAMED
    assert sorted(files) == sorted([*STREAMED, "AIG/1D/OHLCV", "IBM/1D/OHLCV"])
    with (
        tsstore.open(home / "files", read_only=True) as one,
        tsstore.open(home / "socket", read_only=True) as other,
    ):
        for key in streamed:
            assert told(one.read(key)).equals(told(other.read(key))), key


def stream(server: Simulator, data: Path, rows: int) -> None:
    """Have the worker store everything that the socket has of the day."""
    options = {"symbols": list(SYMBOLS), "ws_query_start": DAY}
    with tsstore.open(data) as store:
        clock = MarketClock(to_ns(f"{NEXT_DAY} 05:00"), 1)
        with RunningWorker(store, server, clock, **options) as worker:
            worker.until(lambda: worker.status.get("rows", 0) >= rows)


def rows_in(data: Path) -> int:
    with tsstore.open(data, read_only=True) as store:
        return sum(len(store.read(key)) for key in STREAMED)


def backfill(url: str, data: Path) -> None:
    done = subprocess.run(
        [BIN / "massive_backfiller", "-baseURL", url, "-dir", data, "-symbols", ",".join(SYMBOLS),
         "-bars", "-barFrequencies", "1Min,1D", "-trades", "-quotes",
         "-from", DAY, "-to", NEXT_DAY, "--no-adjusted"],
        env={**os.environ, "MASSIVE_API_KEY": KEY}, check=False, capture_output=True, text=True,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr


def told(rows: Columns) -> pd.DataFrame:
    """What every source tells, in one order; times in milliseconds, as the socket has them."""
    columns: dict[str, Any] = {name: rows[name] for name in rows.names if name not in UNTOLD}
    frame = pd.DataFrame({"Epoch": rows.ts // MS, **columns})
    return frame.sort_values(list(frame), ignore_index=True)


# Bars of the trades

NO_VOLUME = {15, 16, 38}
NO_HIGH_LOW = {2, 7, 12, 13, 15, 16, 20, 21, 29, 37, 52, 53}
NO_OPEN_CLOSE = NO_HIGH_LOW | {5, 10, 22, 32, 33}


@pytest.mark.parametrize("day", [DAY, NEXT_DAY])
def test_bars_of_real_trades_are_those_of_a_group_by(s3, home, monkeypatch, real_data, day):
    s3.put(path_of("trades", day), (real_data / path_of("trades", day)).read_bytes())
    load(s3, home / "data", monkeypatch, "--start", day, "--end", day, "--datasets", "trades")
    every = pd.read_csv(real_data / path_of("trades", day), dtype={"conditions": str})
    vendors = pd.read_csv(real_data / path_of("minute_aggs", day))
    opened = to_ns(f"{day} 09:30", tz="America/New_York")
    regular = range(opened, opened + 390 * MINUTE, MINUTE)
    same = []
    with tsstore.open(home / "data", read_only=True) as store:
        for ticker in TRADED:
            bars = store.read(f"{ticker}/1Min/OHLCV").to_pandas()
            expected = grouped(every[every["ticker"] == ticker])
            assert bars.index.astype("int64").tolist() == expected.index.tolist()
            for name in expected:
                assert np.array_equal(bars[name], expected[name]), (ticker, name)
            theirs = vendors[vendors["ticker"] == ticker].set_index("window_start")["volume"]
            same += [theirs[at] == expected["Volume"][at] for at in regular if at in theirs]
    assert len(same) > 1_500
    assert np.mean(same) >= 0.99


def grouped(trades: pd.DataFrame) -> pd.DataFrame:
    """Bars by the vendor's rules; form T (12) forbids nothing in bars of minutes."""
    trades = trades.sort_values("sip_timestamp", kind="stable")
    which, texts = pd.factorize(trades["conditions"].fillna("0"))
    ids = [{int(code) for code in text.split(",")} - {12} for text in texts]
    closing = np.array([8 in each for each in ids])[which]
    minute = trades["sip_timestamp"] // MINUTE * MINUTE

    def allowed(forbidden: Iterable[int]) -> pd.core.groupby.DataFrameGroupBy:
        keep = np.array([each.isdisjoint(forbidden) for each in ids])[which] & ~closing
        return trades[keep].groupby(minute[keep])

    prices, ranges = allowed(NO_OPEN_CLOSE)["price"], allowed(NO_HIGH_LOW)["price"]
    volumes = allowed(NO_VOLUME)["size"]
    bars = pd.DataFrame(
        {
            "Open": prices.first(),
            "High": ranges.max(),
            "Low": ranges.min(),
            "Close": prices.last(),
            "Volume": volumes.sum(),
            "TradeCount": volumes.count(),
        }
    )
    return bars[bars["Open"].notna()]
