"""The HTTP application: /rpc, /ws, /feed, /heartbeat and /metrics.

The event loop only moves bytes: decoding, the store and encoding run in bounded pools of threads,
so a large query delays neither small ones nor the stream, and a backup no query.
"""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route, WebSocketRoute

from tsstore import __version__
from tsstore.clock import SystemClock
from tsstore.errors import BusyError
from tsstore.server.exact import ExactService
from tsstore.server.feed import CommitFeed
from tsstore.server.guard import ROLE, Guard
from tsstore.server.lanes import Kind, Lanes
from tsstore.server.metrics import Metrics, lines_of
from tsstore.server.replicas import ReplicaService
from tsstore.server.rpc import RpcDispatcher, codec_for
from tsstore.server.service import DataService
from tsstore.wire.envelope import OUTCOME_UNKNOWN, VERSION_HEADER

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable, Mapping

    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send

    from tsstore.clock import Clock
    from tsstore.server.access import Role
    from tsstore.server.served import ServedStore
    from tsstore.server.settings import ServerSettings
    from tsstore.server.stream import StreamHub
    from tsstore.wire.codec import Body, Codec

_SLICE_BYTES = 1 << 18
_METRICS_TYPE = "text/plain; version=0.0.4; charset=utf-8"


def create_app(
    store: ServedStore,
    settings: ServerSettings,
    *,
    hub: StreamHub,
    heartbeat: Callable[[], Mapping[str, Any]] = dict,
    clock: Clock | None = None,
    metrics: Metrics | None = None,
    lanes: Lanes | None = None,
) -> ASGIApp:
    """The application over an open store.

    Args:
        store: stays open; whoever opened it closes it after the server stopped.
        settings: limits and who may speak to it.
        hub: whom /ws serves; the `stream` trigger publishes to it.
        heartbeat: further fields of /heartbeat; `workers` and their `lines` are on /metrics too. A
            `status` other than `queryable` makes it answer 503.
        clock: for the uptime.
        metrics: counters that others share; none makes some.
        lanes: threads that others share, and whoever made them closes; none makes some.
    """
    clock = clock or SystemClock()
    began = clock.monotonic()
    metrics = metrics or Metrics()
    metrics.watch("tsstore_store", store.stats)
    metrics.watch("tsstore_stream", hub.stats)
    feed = CommitFeed(store)
    metrics.watch("tsstore_feed", feed.stats)
    metrics.watch("tsstore_worker", lambda: heartbeat().get("workers", {}), label="worker")
    metrics.watch("tsstore_line", lambda: lines_of(heartbeat().get("workers", {})), label="line")
    exact = ExactService(store, settings, version=__version__)
    data, replicas = (
        DataService(store, settings, version=__version__),
        ReplicaService(store, settings, clock),
    )
    methods = {**data.methods(), **exact.methods(), **replicas.methods()}
    dispatcher = RpcDispatcher(
        methods, metrics, {**data.kinds(), **exact.kinds(), **replicas.kinds()}
    )
    pools = lanes or Lanes(settings)
    rpc = RpcEndpoint(dispatcher, settings, metrics, pools, version=__version__)

    def show_heartbeat(_: Request) -> Response:
        body = {
            "status": "queryable",
            "version": __version__,
            "git_hash": __version__,
            "uptime": f"{clock.monotonic() - began:.3f}s",
            **heartbeat(),
        }
        return JSONResponse(body, 200 if body["status"] == "queryable" else 503)

    def show_metrics(_: Request) -> Response:
        return Response(metrics.text(), media_type=_METRICS_TYPE)

    def show_not_found(_: Request, __: Exception) -> Response:
        return PlainTextResponse("404 page not found", 404)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        yield
        if pools is not lanes:
            pools.close()

    app = Starlette(
        routes=[
            Route("/heartbeat", show_heartbeat),
            Route("/metrics", show_metrics),
            WebSocketRoute("/ws", hub.serve),
            WebSocketRoute("/feed", feed.serve),
        ],
        exception_handlers={404: show_not_found},
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # MarketStore answers 404 to /rpc/
    return Guard(RpcFirst(rpc, app), settings, metrics)


class RpcFirst:
    """/rpc, and an application for everything else.

    What a framework does around a request costs more than it is worth for a small query.
    """

    def __init__(self, rpc: ASGIApp, others: ASGIApp) -> None:
        self._rpc = rpc
        self._others = others

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass the request on."""
        is_rpc = scope["type"] == "http" and scope["path"] == "/rpc"
        await (self._rpc if is_rpc else self._others)(scope, receive, send)


class RequestRefusedError(Exception):
    """A request that is answered before its body is decoded."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class ClientLeftError(Exception):
    """The client went away before its request was complete."""


class RpcEndpoint:
    """The ASGI application of /rpc."""

    def __init__(
        self,
        dispatcher: RpcDispatcher,
        settings: ServerSettings,
        metrics: Metrics,
        lanes: Lanes,
        *,
        version: str,
    ) -> None:
        self._dispatcher = dispatcher
        self._settings = settings
        self._metrics = metrics
        self._lanes = lanes
        self._version = (VERSION_HEADER.lower().encode(), version.encode())

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        try:
            await self._answer(scope, receive, send)
        except RequestRefusedError as refused:
            self._metrics.refused.labels(str(refused.status)).inc()
            await self._refuse(refused, scope, send)
        except ClientLeftError:
            return

    async def _carried_out(self, body: bytes, codec: Codec, role: Role) -> Body:
        try:
            answer = partial(self._dispatcher.answer, body, codec, role)
            found = await self._lanes.run(Kind.SHORT, answer)
            if isinstance(found, list):
                return found
            try:
                return await self._lanes.run(found.kind, found.finish)
            except BusyError as busy:
                return found.refuse(busy)
        except asyncio.CancelledError:  # its thread goes on, and may yet store what was sent
            text = "rpc: the server stops"
            if self._dispatcher.may_write(body, codec):
                text += f"; {OUTCOME_UNKNOWN}"
            raise RequestRefusedError(503, text) from None

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST":
            text = f"rpc: POST method required, received {scope['method']}"
            raise RequestRefusedError(405, text)
        headers = dict(scope["headers"])
        content_type = headers.get(b"content-type", b"").decode("latin-1")
        codec = codec_for(content_type)
        if codec is None:
            text = f"rpc: unrecognized Content-Type: {content_type[:100]}"
            raise RequestRefusedError(415, text)
        if headers.get(b"content-encoding", b"identity") != b"identity":
            raise RequestRefusedError(415, "rpc: compressed requests are not accepted")
        body = await self._read_body(headers.get(b"content-length", b"0"), receive)
        answer = await self._carried_out(body, codec, scope[ROLE])
        sent = [
            (b"content-type", codec.content_type.encode()),
            (b"content-length", str(sum(map(len, answer))).encode()),
            (b"x-content-type-options", b"nosniff"),
            self._version,
        ]
        await send({"type": "http.response.start", "status": 200, "headers": sent})
        # In slices: what waits for a slow client is the columns themselves and not a copy, and each
        # slice that it takes shows that it still reads.
        starts = ((part, at) for part in answer for at in range(0, len(part), _SLICE_BYTES))
        slices = [part[at : at + _SLICE_BYTES] for part, at in starts] or [b""]
        for piece in slices[:-1]:
            await send({"type": "http.response.body", "body": piece, "more_body": True})
        await send({"type": "http.response.body", "body": slices[-1]})

    async def _read_body(self, announced: bytes, receive: Receive) -> bytes:
        bytes_max = self._settings.body_bytes_max
        size = int(announced) if announced.isdigit() else 0
        chunks = list[bytes]()
        received = 0
        more = True
        while more and size <= bytes_max:
            message = await self._receive(receive)
            if message["type"] == "http.disconnect":
                raise ClientLeftError
            chunks.append(message.get("body", b""))
            received += len(chunks[-1])
            size = max(size, received)
            more = message.get("more_body", False)
        if size > bytes_max:
            text = f"rpc: a request has at most {bytes_max} bytes; send several smaller ones"
            raise RequestRefusedError(413, text)
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    async def _receive(self, receive: Receive) -> Any:
        try:
            async with asyncio.timeout(self._settings.read_timeout_s):
                return await receive()
        except TimeoutError:
            raise RequestRefusedError(408, "rpc: the rest of the request did not come") from None
        except asyncio.CancelledError:
            raise RequestRefusedError(503, "rpc: the server stops; nothing was done") from None

    async def _refuse(self, refused: RequestRefusedError, scope: Scope, send: Send) -> None:
        body = b"" if scope["method"] == "HEAD" else refused.text.encode()
        headers = [
            (b"content-type", b"text/plain; charset=utf-8"),
            (b"content-length", str(len(body)).encode()),
            self._version,
        ]
        if refused.status in (408, 413, 503):  # what is left of the body is not worth reading
            headers.append((b"connection", b"close"))
        await send({"type": "http.response.start", "status": refused.status, "headers": headers})
        await send({"type": "http.response.body", "body": body})
