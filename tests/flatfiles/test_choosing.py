"""`massive_backfiller --source auto`: files for many symbols, REST for the rest."""

from __future__ import annotations

import pytest

from tests.flatfiles.conftest import write_credentials
from tests.flatfiles.test_whole import FIRST, SECOND, bars, path_of, stored
from tests.massive.backfilling import at
from tests.massive.http_server import KEY, Server, Vendor, bar
from tsstore_massive.backfilling.cli import main
from tsstore_massive.flatfiles.archive import Archive

THIRD = "2026-06-03"
SYMBOLS = [f"S{n}" for n in range(250)]
MANY = ("-symbols", ",".join(SYMBOLS), "-bars", "-from", FIRST, "-to", "2026-06-04")


@pytest.fixture
def vendor():
    vendor = Vendor()
    vendor.bars["S7"] = [bar(at(f"{THIRD} 09:30"), 7.0)]
    with Server(vendor) as server:
        vendor.server = server
        yield vendor


@pytest.fixture
def backfill(s3, vendor, tmp_path, monkeypatch, capsys):
    def once(*options: str, who: str = "reader", secret: str = ""):
        if who:
            write_credentials(tmp_path, who, secret)
        monkeypatch.setenv("HOME", str(tmp_path))
        monkeypatch.setenv("MASSIVE_API_KEY", KEY)
        monkeypatch.setenv("AWS_ENDPOINT_URL_S3", s3.endpoint)
        where = ["-dir", str(tmp_path / "data"), "-baseURL", vendor.server.url]
        monkeypatch.setattr("sys.argv", ["massive_backfiller", *where, *options])
        code: object = 0
        try:
            main()
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return once


def put(s3) -> None:
    for day in (FIRST, SECOND):
        s3.put(path_of(day), bars(day, tickers=SYMBOLS[:3]))


def test_files_bring_what_they_have_and_rest_brings_the_rest(s3, vendor, backfill, tmp_path):
    put(s3)
    code, out, err = backfill(*MANY, "--no-adjusted", "--dry-run")
    assert code == 0, err
    assert out.startswith("1Min bars of stocks by flat files: 2 files with ")
    assert "exactly 250 requests" in out
    assert vendor.server.requests == []

    code, out, err = backfill(*MANY, "--no-adjusted")
    assert code == 0, err
    assert "stored 18 rows of 2 days" in out
    asked = {request.path.split("/")[8] for request in vendor.server.requests}
    assert asked == {str(at(THIRD) // 10**6)}, "only the day without a file"
    assert len(stored(tmp_path / "data", "S1/1Min/OHLCV")) == 6
    assert stored(tmp_path / "data", "S7/1Min/OHLCV") == [7.0]

    vendor.server.requests.clear()
    assert backfill(*MANY, "--no-adjusted")[1].startswith("nothing to fetch\n750 symbol-days")
    assert vendor.server.requests == []


def test_adjusted_bars_do_not_come_from_files(s3, vendor, backfill):
    put(s3)
    code, out, _ = backfill(*MANY, "--adjusted")
    assert code == 0
    assert "1Min bars of stocks by REST: flat files are not adjusted to splits" in out
    assert len(vendor.server.requests) == 250


def test_keys_that_do_not_work_cost_nothing(s3, vendor, backfill):
    code, _, err = backfill(*MANY, "--no-adjusted", secret="wrong")
    assert code == 0
    assert "no flat files: " in err
    assert len(vendor.server.requests) == 250


def test_files_that_fail_on_the_way_are_made_good_by_rest(s3, vendor, backfill, tmp_path):
    put(s3)
    with Archive(tmp_path / "data.flatfiles").locked():
        code, _, err = backfill(*MANY, "--no-adjusted")
    assert code == 0, err
    assert "another process works on the archive" in err
    assert len(vendor.server.requests) == 250


def test_keys_of_variables_may_be_meant_for_amazon(s3, vendor, backfill, monkeypatch):
    put(s3)
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "readerkey")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "readersecret")
    code, out, _ = backfill(*MANY, "--no-adjusted", "--dry-run", who="")
    assert (code, "flat files" in out) == (0, False)
    code, out, _ = backfill(*MANY, "--no-adjusted", "--dry-run", "--endpoint", s3.endpoint, who="")
    assert (code, "by flat files" in out) == (0, True)
