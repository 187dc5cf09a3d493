"""Listing and downloads against a real S3 server."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from tests.flatfiles.conftest import KEYS
from tests.flatfiles.proxy import line_to
from tsstore.errors import LockedError
from tsstore_massive.errors import StoppedError
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.errors import (
    FileDeniedError,
    FileReplacedError,
    S3FailedError,
    S3RefusedError,
)
from tsstore_massive.flatfiles.remote import Remote, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.flatfiles.conftest import S3

PATH = "us_stocks_sip/trades_v1/2026/08/2026-08-31.csv.gz"
BODY = os.urandom(300_000)
QUICK = {"retries": 1, "retry_s": 2.0}


@pytest.fixture
def remote(s3: S3) -> Iterator[Remote]:
    with Remote(s3.access(), connections=4, range_bytes=10_000) as opened:
        yield opened


@pytest.fixture
def fetch(remote: Remote, tmp_path: Path) -> Callable[..., Path]:
    """Fetches a file into an archive."""

    def run(file: RemoteFile, stop_after: int | None = None) -> Path:
        got: list[int] = []
        return Archive(tmp_path / "archive").fetch(
            remote,
            file,
            is_stopped=lambda: stop_after is not None and sum(got) >= stop_after,
            on_bytes=got.append,
        )

    return run


def test_ranges_in_parallel_come_in_order(s3, remote, fetch, tmp_path):
    s3.put(PATH, BODY)
    (file,) = remote.list("us_stocks_sip/trades_v1/")
    assert file == RemoteFile(PATH, len(BODY), hashlib.md5(BODY).hexdigest())
    path = fetch(file)
    assert path.read_bytes() == BODY
    assert path == tmp_path / "archive" / PATH
    assert sorted(each.name for each in path.parent.iterdir()) == [path.name, path.name + ".etag"]


def test_several_files_share_the_connections(s3, remote, tmp_path):
    from concurrent.futures import ThreadPoolExecutor

    bodies = {f"p/{n}": os.urandom(50_000 + n) for n in range(12)}
    for path, body in bodies.items():
        s3.put(path, body)
    with ThreadPoolExecutor(12) as pool:
        found = pool.map(
            lambda file: (file.path, b"".join(remote.read(file, 0))), remote.list("p/")
        )
        assert dict(found) == bodies


def test_a_listing_goes_on_after_a_thousand_names(s3, remote):
    paths = [f"many/{n:05}" for n in range(1_003)]
    for path in paths:
        s3.put(path, b"x")
    assert [file.path for file in remote.list("many/")] == paths
    assert [file.path for file in remote.list("many/", paths[-3])] == paths[-2:]


def test_a_download_goes_on_where_it_was_broken_off(s3, remote, fetch, tmp_path):
    s3.put(PATH, BODY)
    file = remote.head(PATH)
    with pytest.raises(StoppedError):
        fetch(file, stop_after=100_000)
    (part,) = (tmp_path / "archive" / PATH).parent.iterdir()
    begun = part.read_bytes()
    assert 100_000 <= len(begun) < len(BODY)
    assert begun == BODY[: len(begun)]
    assert fetch(file).read_bytes() == BODY
    assert not part.exists()


def test_a_file_that_is_replaced_meanwhile_is_told_from_the_listed_one(s3, remote, fetch):
    s3.put(PATH, BODY)
    file = remote.head(PATH)
    s3.put(PATH, b"another")
    with pytest.raises(FileReplacedError, match="was replaced while it was fetched"):
        fetch(file)
    with pytest.raises(FileReplacedError, match="is listed but not there"):
        fetch(RemoteFile("absent", 5, "etag"))
    assert remote.head("absent") is None


def test_what_was_begun_of_a_replaced_file_is_not_gone_on_with(s3, remote, fetch):
    s3.put(PATH, BODY)
    file = remote.head(PATH)
    with pytest.raises(StoppedError):
        fetch(file, stop_after=100_000)
    newer = BODY[::-1]
    s3.put(PATH, newer)
    path = fetch(remote.head(PATH))
    assert path.read_bytes() == newer
    assert len(list(path.parent.iterdir())) == 2


def test_a_key_without_the_right_to_read_lists_but_does_not_get(s3):
    s3.put(PATH, BODY)
    with Remote(s3.access("lister"), connections=2, **QUICK) as remote:
        (file,) = remote.list("us_stocks_sip/")
        with pytest.raises(FileDeniedError, match="refuses it"):
            list(remote.read(file, 0))


@pytest.mark.parametrize(
    ("who", "secret", "words"),
    [("reader", "wrong", "secret key is wrong"), ("nobody", "wrong", "access key is unknown")],
)
def test_wrong_keys_are_told(s3, monkeypatch, who, secret, words):
    monkeypatch.setitem(KEYS, "nobody", ("nobody", ""))
    with (
        Remote(s3.access(who, secret), **QUICK) as remote,
        pytest.raises(S3RefusedError, match=words) as caught,
    ):
        list(remote.list(""))
    assert secret not in str(caught.value).replace("is wrong", "")


def test_the_variables_of_the_process_do_not_mix_with_the_keys(s3, monkeypatch):
    monkeypatch.setenv("AWS_SESSION_TOKEN", "of another account")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "another")
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    s3.put(PATH, BODY)
    with Remote(s3.access()) as remote:
        (file,) = remote.list("us_stocks_sip/")
        assert b"".join(remote.read(file, 0)) == BODY


def test_a_server_that_does_not_answer_is_told(s3):
    access = replace(s3.access(), endpoint="http://127.0.0.1:1")
    told = r"127\.0\.0\.1:1.*; check the network and --endpoint"
    with Remote(access, **QUICK) as remote, pytest.raises(S3FailedError, match=told):
        list(remote.list(""))


@pytest.mark.parametrize("cut", [0, 100, 5_000])
def test_connections_that_break_cost_nothing(s3, cut):
    s3.put(PATH, BODY)
    with line_to(s3.endpoint) as line:
        access = replace(s3.access(), endpoint=line.url)
        with Remote(access, connections=3, range_bytes=10_000, retries=8) as remote:
            file = remote.head(PATH)
            line.cuts = [cut] * 6
            remote_bytes = b"".join(remote.read(file, 0))
    assert line.cuts == []
    assert remote_bytes == BODY


def test_two_processes_do_not_work_on_one_archive(tmp_path):
    with Archive(tmp_path / "a").locked():
        other = Archive(tmp_path / "a").locked()
        with pytest.raises(LockedError, match="--archive"), other:
            pass


def test_a_file_of_another_length_does_not_count_as_kept(s3, remote, fetch, tmp_path):
    s3.put(PATH, BODY)
    file = remote.head(PATH)
    archive = Archive(tmp_path / "archive")
    assert not archive.holds(file)
    path = fetch(file)
    assert archive.holds(file)
    assert list(archive.list("us_stocks_sip/trades_v1/")) == [file]
    path.write_bytes(BODY[:-1])
    assert not archive.holds(file)
