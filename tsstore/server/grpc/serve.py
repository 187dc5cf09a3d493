"""Serving gRPC from a thread of its own, beside HTTP."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Self

# Its C library writes to stderr what clients do wrong, past our log.
os.environ.setdefault("GRPC_VERBOSITY", "NONE")

import grpc
import grpc.aio
import uvloop

from tsstore.errors import ConfigError, TsStoreError
from tsstore.server.grpc.readers import Readers, disconnect
from tsstore.server.serve import reachable
from tsstore.server.tls import check_certificate

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore.server.grpc.service import MarketstoreService
    from tsstore.server.settings import ServerSettings

_DRAIN_S = 1.0
_KEEPALIVE_MS = 60_000
_PING_INTERVAL_MIN_MS = 10_000
_IDENTITY_ONLY = 1
_PENDING_FACTOR = 10

logger = logging.getLogger(__name__)


def serve_grpc(service: MarketstoreService, settings: ServerSettings) -> RunningGrpcServer:
    """Serve the methods in a thread; it accepts connections once this returns.

    Raises:
        ConfigError: the address cannot be listened on, or the certificate cannot be used.
    """
    check_certificate(settings)
    return RunningGrpcServer(service, settings)


class RunningGrpcServer:
    """A server that accepts connections.

    Attributes:
        port: the port it listens on.
        target: where clients on this machine reach it, as gRPC writes it: `127.0.0.1:5995`.
    """

    def __init__(self, service: MarketstoreService, settings: ServerSettings) -> None:
        self._service = service
        self._settings = settings
        logging.getLogger("grpc._cython.cygrpc").addFilter(_is_news)
        self._listening = Future[tuple[int, Callable[[], object]]]()
        self._thread = threading.Thread(target=self._run, name="tsstore-grpc", daemon=True)
        self._thread.start()
        self.port, self._ask_to_stop = self._listening.result()
        self.target = f"{reachable(settings.host)}:{self.port}"

    def _run(self) -> None:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(self._serve())
        except Exception as failure:
            if self._listening.done():
                logger.exception("gRPC broke down")
            else:
                self._listening.set_exception(failure)

    async def _serve(self) -> None:
        should_stop = asyncio.Event()
        server = grpc.aio.server(options=_options(self._settings))
        port = _listen(server, self._settings)
        readers = Readers(self._settings, partial(disconnect, port))
        server.add_generic_rpc_handlers((self._service.handler(readers),))
        await server.start()
        loop = asyncio.get_running_loop()
        stop = partial(loop.call_soon_threadsafe, should_stop.set)
        self._listening.set_result((port, stop))
        await should_stop.wait()
        # From here on it takes nothing new. What it does with calls under way tells clients
        # nothing, and it waits for connections that have none; so the service ends them first.
        stopping = asyncio.ensure_future(server.stop(2 * _DRAIN_S))
        await self._service.finish(_DRAIN_S)
        await server.stop(None)
        await stopping
        # Its own tasks hear last that their calls have ended; to a closed loop it would complain.
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        if tasks:
            await asyncio.wait(tasks, timeout=_DRAIN_S)

    def begin_to_stop(self) -> None:
        """Accept nothing more; `stop` waits for the end."""
        with contextlib.suppress(RuntimeError):  # stopped before
            self._ask_to_stop()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop accepting, let calls under way finish for a moment, end the rest.

        Raises:
            TsStoreError: the thread did not end in time.
        """
        self.begin_to_stop()
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TsStoreError(f"gRPC at {self.target} did not stop within {timeout_s} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


def _is_news(record: logging.LogRecord) -> bool:
    """That a client left while it was answered is none, and would fill the log."""
    return not record.getMessage().startswith("ExecuteBatchError raised")


def _options(settings: ServerSettings) -> Sequence[tuple[str, int]]:
    return (
        ("grpc.max_receive_message_length", settings.grpc_receive_bytes_max),
        ("grpc.max_send_message_length", settings.grpc_send_bytes_max),
        ("grpc.max_allowed_incoming_connections", settings.connections_max),
        # Of calls that nobody has looked at, it breaks off some from 1,000 on, with CANCELLED and
        # without a word. The service says which limit it was.
        ("grpc.server.max_pending_requests", _PENDING_FACTOR * settings.connections_max),
        ("grpc.server.max_pending_requests_hard_limit", _PENDING_FACTOR * settings.connections_max),
        ("grpc.server_handshake_timeout_ms", round(settings.read_timeout_s * 1000)),
        # Peers that are gone are noticed; those that ask often whether we are here are served.
        ("grpc.keepalive_time_ms", _KEEPALIVE_MS),
        ("grpc.http2.min_ping_interval_without_data_ms", _PING_INTERVAL_MIN_MS),
        # Unpacked, a compressed request may be a thousand times as large.
        ("grpc.compression_enabled_algorithms_bitset", _IDENTITY_ONLY),
        # A port that is taken is an error, not half of the calls.
        ("grpc.so_reuseport", 0),
    )


def _listen(server: grpc.aio.Server, settings: ServerSettings) -> int:
    name = settings.host.strip("[]")
    address = f"[{name}]:{settings.grpc_port}" if ":" in name else f"{name}:{settings.grpc_port}"
    try:
        credentials = _credentials(settings)
        if credentials is None:
            return server.add_insecure_port(address)
        return server.add_secure_port(address, credentials)
    except RuntimeError:
        raise ConfigError(
            f"cannot listen on {address} for gRPC; stop whatever listens there, or set another "
            "grpc_listen_port"
        ) from None


def _credentials(settings: ServerSettings) -> grpc.ServerCredentials | None:
    if settings.tls_certificate is None or settings.tls_key is None:
        return None
    certificate = Path(settings.tls_certificate).read_bytes()
    key = Path(settings.tls_key).read_bytes()
    return grpc.ssl_server_credentials([(key, certificate)])
