"""Answers of a service in a bad mood, which the real S3 server of `test_s3` never gives."""

from __future__ import annotations

import re
import threading
from contextlib import contextmanager
from itertools import count
from typing import TYPE_CHECKING

import pytest

from tests.massive.http_server import Reply, Server
from tsstore_massive.errors import StoppedError
from tsstore_massive.flatfiles.archive import Archive
from tsstore_massive.flatfiles.credentials import Access
from tsstore_massive.flatfiles.errors import S3FailedError
from tsstore_massive.flatfiles.remote import Remote, RemoteFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.massive.http_server import Request

pytest.importorskip("obstore")
BODY = bytes(range(256)) * 40
FILE = RemoteFile("us_stocks_sip/trades_v1/2026/08/2026-08-31.csv.gz", len(BODY), "abc")


@contextmanager
def service(
    mood: Callable[[Request], Reply | None], stop: threading.Event | None = None
) -> Iterator[tuple[Remote, Server]]:
    """A service with one file; what `mood` answers goes before that."""
    with Server(lambda request: mood(request) or ranged(request)) as server:
        access = Access(server.url, "flatfiles", "us-east-1", "a", "b", None, "a test")
        with Remote(access, connections=3, range_bytes=1_000, stop=stop) as remote:
            yield remote, server


def ranged(request: Request, short: int = 0) -> Reply:
    first, last = map(int, re.findall(r"\d+", request.headers["range"]))
    return answer(BODY[first : last + 1 - short], f"bytes {first}-{last - short}/{len(BODY)}")


def answer(body: bytes, content_range: str = "") -> Reply:
    headers = {"ETag": '"abc"', "Last-Modified": "Tue, 01 Sep 2026 10:00:00 GMT"}
    if not content_range:
        return Reply(body, headers=headers)
    return Reply(body, 206, {**headers, "Content-Range": content_range})


class Hanging:
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        self.asked = threading.Event()
        self.go = threading.Event()

    def __call__(self, _: Request) -> Reply:
        self.asked.set()
        self.go.wait()
        return Reply(status=500)


@pytest.mark.parametrize("what", ["list", "read"])
def test_a_stop_is_heard_while_the_service_answers_nothing(what, tmp_path: Path):
    stop, hanging = threading.Event(), Hanging()
    ask = {
        "list": lambda remote: list(remote.list("us_stocks_sip/")),
        "read": lambda remote: Archive(tmp_path).fetch(
            remote, FILE, is_stopped=stop.is_set, on_bytes=lambda _: None
        ),
    }
    threading.Thread(target=lambda: hanging.asked.wait() and stop.set(), daemon=True).start()
    with service(hanging, stop) as (remote, _):
        try:
            with pytest.raises(StoppedError):
                ask[what](remote)
            remote.__exit__(None, None, None)
            assert not [each for each in threading.enumerate() if "flatfile" in each.name]
        finally:
            hanging.go.set()


def slow_down(_: Request) -> Reply:
    text = "<Error><Code>SlowDown</Code><Message>Please reduce your request rate.</Message></Error>"
    return Reply(text.encode(), 503)


def cut_short(request: Request) -> Reply:
    return ranged(request, short=10)


def whole(_: Request) -> Reply:
    """The range is passed over."""
    return answer(BODY)


@pytest.mark.parametrize("odd", [slow_down, cut_short, whole])
def test_a_range_that_comes_wrong_is_asked_for_again(odd):
    numbers = count()
    with service(lambda request: odd(request) if next(numbers) % 3 == 0 else None) as (remote, _):
        assert b"".join(remote.read(FILE, 0)) == BODY


def test_a_range_that_always_comes_short_is_told():
    with service(cut_short) as (remote, server):
        with pytest.raises(S3FailedError, match=r"bytes 0 to 1000: .*got 0\.\.990, 4 times; a pro"):
            list(remote.read(FILE, 0))
        first = [each for each in server.requests if each.headers["range"] == "bytes=0-999"]
        assert len(first) == 4
