"""A real HTTP server on loopback that answers as a test tells it, and a small vendor on it."""

from __future__ import annotations

import gzip
import json
import threading
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Self
from urllib.parse import parse_qs, urlsplit

import numpy as np

from tsstore.times import to_ns

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

KEY = "secret-key-0001"


@dataclass
class Request:
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    target: str


@dataclass
class Reply:
    body: bytes = b""
    status: int = 200
    headers: dict[str, str] = field(default_factory=dict)
    #: Content-Length to claim, when it is not the truth.
    claim: int | None = None
    #: Closes the connection without an answer.
    reset: bool = False
    #: Sends the body piece by piece, waiting for this event before each piece but the first.
    hold: threading.Event | None = None


def page(rows: Iterable[dict], next_url: str | None = None, **extra) -> Reply:
    body = {"status": "OK", "request_id": "1", "results": list(rows), **extra}
    if next_url is not None:
        body["next_url"] = next_url
    return Reply(json.dumps(body).encode())


def empty() -> Reply:
    return Reply(b'{"status":"OK","request_id":"1","queryCount":0,"resultsCount":0}')


def zipped(reply: Reply) -> Reply:
    return Reply(gzip.compress(reply.body, mtime=0), reply.status, {"Content-Encoding": "gzip"})


class Server:
    """Answers with `answer(request)`; remembers the requests."""

    def __init__(self, answer: Callable[[Request], Reply]) -> None:
        self.answer = answer
        self.requests: list[Request] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True  # else a body waits 40 ms for its headers

            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                query = {name: values[0] for name, values in parse_qs(parts.query).items()}
                request = Request(parts.path, query, dict(self.headers), self.path)
                outer.requests.append(request)
                reply = outer.answer(request)
                if reply.reset:
                    self.close_connection = True
                    self.connection.close()
                    return
                self.send_response(reply.status)
                for name, value in reply.headers.items():
                    self.send_header(name, value)
                length = len(reply.body) if reply.claim is None else reply.claim
                self.send_header("Content-Length", str(length))
                self.end_headers()
                self._send(reply)
                if reply.claim is not None:
                    self.close_connection = True

            def _send(self, reply: Reply) -> None:
                try:
                    if reply.hold is None:
                        self.wfile.write(reply.body)
                        return
                    for at in range(0, len(reply.body), 10):
                        self.wfile.write(reply.body[at : at + 10])
                        self.wfile.flush()
                        if reply.hold.wait(0.05):
                            return
                except OSError:
                    self.close_connection = True

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,))
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@contextmanager
def scripted(*replies: Reply | Callable[[Request], Reply]):
    """A server that gives these answers one after the other, the last one for ever."""
    left = list(replies)
    lock = threading.Lock()

    def answer(request: Request) -> Reply:
        with lock:
            reply = left.pop(0) if len(left) > 1 else left[0]
        return reply(request) if callable(reply) else reply

    with Server(answer) as server:
        yield server


def trade(ns: int, sequence: int, price: float = 10.0, **more) -> dict:
    return {
        "sip_timestamp": ns,
        "participant_timestamp": ns - 1000,
        "price": price,
        "size": 100,
        "exchange": 11,
        "id": str(sequence),
        "sequence_number": sequence,
        "tape": 3,
        **more,
    }


def bar(ns: int, close: float = 10.0, volume: float = 100.0) -> dict:
    return {"t": ns // 1_000_000, "o": close, "h": close, "l": close, "c": close,
            "v": volume, "vw": close, "n": 3}  # fmt: skip


class Vendor:
    """Serves trades and bars out of lists, in pages, the way the vendor's paging works."""

    def __init__(self) -> None:
        self.trades: dict[str, list[dict]] = {}
        self.bars: dict[str, list[dict]] = {}
        self.tickers: list[str] = []
        self.fault: Callable[[Request], Reply | None] = lambda _: None
        self._lock = threading.Lock()

    def __call__(self, request: Request) -> Reply:
        with self._lock:
            reply = self.fault(request)
        if reply is not None:
            return reply
        if request.path.startswith("/v3/trades/"):
            return self._page(request, self.trades, "sip_timestamp")
        if request.path.startswith("/v2/aggs/grouped/"):
            return self._grouped(request)
        if request.path.startswith("/v2/aggs/"):
            return self._page(request, self.bars, "t")
        if request.path == "/v3/reference/tickers":
            return page({"ticker": ticker} for ticker in self.tickers)
        return Reply(b"404 page not found", 404, {"Content-Type": "text/plain"})

    def _grouped(self, request: Request) -> Reply:
        day = request.path.rpartition("/")[2]
        with_otc = request.query.get("include_otc") == "true"
        midnight, close = (to_ns(f"{day} {at}", "America/New_York") for at in ("00:00", "16:00"))
        rows = [
            {**row, "T": symbol, "t": close // 10**6}
            for symbol, rows in self.bars.items()
            for row in rows
            if row["t"] == midnight // 10**6 and (with_otc or not row.get("otc"))
        ]
        return page(rows) if rows else empty()

    def _page(self, request: Request, table: dict, time: str) -> Reply:
        parts = request.path.split("/")
        if "cursor" in request.query:
            low, high, limit, at = map(int, request.query["cursor"].split("_"))
        elif time == "t":
            low, high, limit, at = int(parts[8]), int(parts[9]), int(request.query["limit"]), 0
        else:
            query = request.query
            low, high = int(query["timestamp.gte"]), int(query["timestamp.lte"])
            limit, at = int(query["limit"]), 0
        symbol = parts[4] if time == "t" else parts[3]
        rows = [row for row in table.get(symbol, []) if low <= row[time] <= high]
        if not rows:
            return empty()
        more = None
        if at + limit < len(rows):
            more = (
                f"http://elsewhere.invalid{request.path}?cursor={low}_{high}_{limit}_{at + limit}"
            )
        return page(rows[at : at + limit], more)


def times(columns) -> list[int]:
    return np.asarray(columns.ts).tolist()
