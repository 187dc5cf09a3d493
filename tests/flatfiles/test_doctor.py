"""What `massive_doctor` says of flat files, on a real S3 server."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING

import pytest

from tests.flatfiles.conftest import KEYS, S3, packed
from tsstore_massive.doctor.files import check_files
from tsstore_massive.flatfiles.catalogue import FlatSet

if TYPE_CHECKING:
    from pathlib import Path

    from tsstore_massive.doctor.findings import Finding

TODAY = date(2026, 11, 20)
SETS = ("day_aggs", "minute_aggs", "trades", "quotes")


@pytest.fixture
def check(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Checks with the keys of somebody, by what was checked."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))

    def begin(endpoint: str, who: str = "", secret: str = "") -> dict[str, Finding]:
        if who:
            monkeypatch.setenv("AWS_ACCESS_KEY_ID", KEYS[who][0])
            monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", secret or KEYS[who][1])
        found = {each.check: each for each in check_files(TODAY, profile=None, endpoint=endpoint)}
        assert not any(secret in str(found) for _, secret in KEYS.values())
        return found

    return begin


def test_files_are_listed_and_read(s3: S3, check) -> None:
    for name in SETS[:3]:
        flat = FlatSet.of("stocks", name)
        for back in (1, 6, 9):  # those of the last days may not be out
            s3.put(flat.path(TODAY - timedelta(days=back)), packed("ticker,volume\n") * 2_000)
    s3.put(FlatSet.of("stocks", "trades").path(TODAY - timedelta(days=6)), b"<html>")
    found = check(s3.endpoint, "reader")
    assert [found[f"S3 stocks {name}"].verdict.value for name in SETS] == [
        "OK", "OK", "FAIL", "WARN",
    ]  # fmt: skip
    assert str(TODAY - timedelta(days=6)) in found["S3 stocks day_aggs"].found
    assert "not gzip" in found["S3 stocks trades"].found
    assert "no file of the last 20 days" in found["S3 stocks quotes"].found


def test_a_listed_file_that_may_not_be_read_is_not_in_the_plan(s3: S3, check) -> None:
    flat = FlatSet.of("stocks", "day_aggs")
    s3.put(flat.path(TODAY - timedelta(days=6)), packed("ticker\n"))
    finding = check(s3.endpoint, "lister")["S3 stocks day_aggs"]
    assert finding.verdict.value == "WARN"
    assert "not in the plan" in finding.found


def test_wrong_keys_end_it(s3: S3, check) -> None:
    found = check(s3.endpoint, "reader", "another")
    assert found["S3 listing"].verdict.value == "FAIL"
    assert "the secret key is wrong" in found["S3 listing"].found
    assert len(found) == 2


def test_no_keys_and_no_server(check) -> None:
    found = check("http://127.0.0.1:9")
    assert found["S3 keys"].verdict.value == "WARN"
    assert "unless flat files are wanted" in found["S3 keys"].advice
    found = check("http://127.0.0.1:9", "reader")
    assert found["S3 listing"].verdict.value == "FAIL"
    assert "network" in found["S3 listing"].advice
