"""As much of HTTP/1.1 as REST clients of the vendor use, on asyncio streams.

Written by hand because a fault must be able to break an answer at any byte, which servers that
speak HTTP properly do not let one do.
"""

from __future__ import annotations

import asyncio
import gzip
from dataclasses import dataclass, field
from http import HTTPStatus
from urllib.parse import parse_qsl, unquote, urlsplit

_GZIP_FROM_BYTES = 512
_BODY_BYTES_MAX = 1 << 20


class BadHttpError(Exception):
    """The client does not speak HTTP, or asks for too much."""


@dataclass(frozen=True)
class Request:
    """A request.

    Attributes:
        method: GET or POST.
        path: without the query, percent escapes undone.
        params: the query; the last of a name counts.
        headers: names in lower case.
        body: whole.
        head: the bytes up to and with the empty line.
    """

    method: str
    path: str
    params: dict[str, str]
    headers: dict[str, str]
    body: bytes = b""
    head: bytes = field(default=b"", repr=False)

    @property
    def is_websocket(self) -> bool:
        """Whether the client wants a WebSocket."""
        return self.headers.get("upgrade", "").lower() == "websocket"

    @property
    def base_url(self) -> str:
        """Scheme, host and port as the client knows them."""
        return f"http://{self.headers.get('host', 'localhost')}"


@dataclass
class Reply:
    """An answer."""

    body: bytes
    status: int = 200
    content_type: str = "application/json"
    headers: dict[str, str] = field(default_factory=dict)


async def read_request(reader: asyncio.StreamReader) -> Request | None:
    """The next request of a connection; None when the client hung up.

    Raises:
        BadHttpError: it is not HTTP/1.1, or too large.
    """
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except asyncio.LimitOverrunError as error:
        raise BadHttpError("the headers are too large") from error
    except asyncio.IncompleteReadError as error:
        if error.partial:
            raise BadHttpError("the request ends in its headers") from error
        return None
    first, *lines = head.decode("latin-1").rstrip("\r\n").split("\r\n")
    try:
        method, target, version = first.split(" ")
        length = 0
        headers = {}
        for line in lines:
            name, _, value = line.partition(":")
            headers[name.strip().lower()] = value.strip()
        length = int(headers.get("content-length", "0"))
        url = urlsplit(target)
    except ValueError as error:
        raise BadHttpError("not an HTTP request") from error
    if not version.startswith("HTTP/1.") or not 0 <= length <= _BODY_BYTES_MAX:
        raise BadHttpError("not an HTTP/1.1 request of a modest size")
    body = await reader.readexactly(length)
    params = dict(parse_qsl(url.query, keep_blank_values=True))
    return Request(method, unquote(url.path), params, headers, body, head)


def packed(reply: Reply, request: Request) -> tuple[bytes, bytes]:
    """Head and body of an answer as bytes, compressed when the client takes it so."""
    body = reply.body
    headers = {"Content-Type": reply.content_type, **reply.headers}
    if len(body) >= _GZIP_FROM_BYTES and "gzip" in request.headers.get("accept-encoding", ""):
        body = gzip.compress(body, compresslevel=1)
        headers["Content-Encoding"] = "gzip"
    headers["Content-Length"] = str(len(body))
    lines = [f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1"), body


def cut_body(head: bytes, body: bytes) -> tuple[bytes, bytes]:
    """The answer with half of its body, and a head that says so."""
    half = body[: len(body) // 2]
    old, new = (f"Content-Length: {len(each)}".encode() for each in (body, half))
    return head.replace(old, new), half
