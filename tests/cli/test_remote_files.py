"""Files through a server, which does the reading and writing."""

from __future__ import annotations

import numpy as np
import pytest

import tsstore
from tests.marketstore.writer import Directory
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import BARS

T0 = 1_381_239_000 * 10**9


@pytest.fixture
def server(data):
    """A server that holds ./data."""
    settings, hub = ServerSettings(port=0), StreamHub(queue_bytes_max=1 << 20)
    with (
        tsstore.open(data) as store,
        serve(create_app(store, settings, hub=hub), settings) as server,
    ):
        yield server.url, store


def test_files_go_out_and_come_in(server, run):
    url, store = server
    for style in ("csv", "parquet", "arrow"):
        assert run("export", "*/1Min/OHLCV", f"all.{style}", "--url", url).exit_code == 0
        store.destroy(BARS)
        assert run("load", f"all.{style}", "1Min/OHLCV", "--url", url).exit_code == 0
        assert store.read(BARS)["Close"].tolist() == [0.0, 1.0, 2.0]


def test_a_marketstore_is_copied_through_a_server(server, run, here):
    url, store = server
    old = Directory(here / "old")
    old.write("A/1Sec/T", {"P": "f8"}, [(T0 + n, (n / 2,)) for n in range(9)], variable=True)
    for _ in range(2):
        assert "compared 9 rows of 1 buckets" in run("migrate", "old", "--url", url).output
    assert store.read("A/1Sec/T").ts.tolist() == [T0 + n for n in range(9)]


def test_bars_of_the_vendor_are_those_of_the_files(here, run, real_data):
    name = "us_stocks_sip/minute_aggs_v1/2013/10/2013-10-08.csv.gz"
    file = next(path for path in real_data.rglob("2013-10-08.csv.gz") if str(path).endswith(name))
    assert run("load", file, "1Min/OHLCV").output.startswith("wrote 2254 rows")
    table = np.genfromtxt(file, delimiter=",", names=True, dtype=None, encoding="ascii")
    with tsstore.open(here / "data", read_only=True) as store:
        for symbol in np.unique(table["ticker"]):
            rows, given = store.read(f"{symbol}/1Min/OHLCV"), table[table["ticker"] == symbol]
            assert rows.ts.tolist() == given["window_start"].tolist()
            for column in ("Open", "High", "Low", "Close", "Volume"):
                assert rows[column].tolist() == given[column.lower()].tolist()
