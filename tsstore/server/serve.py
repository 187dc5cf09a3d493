"""Serving an application from a thread, so that the main thread keeps signals and plugins."""

from __future__ import annotations

import socket
import threading
from typing import TYPE_CHECKING, Self

import uvicorn

from tsstore.errors import ConfigError, TsStoreError
from tsstore.server.connection import LimitedProtocol, LimitedWebSocketProtocol
from tsstore.server.tls import check_certificate

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from tsstore.server.settings import ServerSettings

_BACKLOG = 1024
_STREAM_REQUEST_BYTES_MAX = 1 << 20
_KEEP_ALIVE_S = 75
_PING_S = 20.0
_DRAIN_S = 1


def serve(app: ASGIApp, settings: ServerSettings) -> RunningServer:
    """Serve the application in a thread; it accepts connections once this returns.

    Raises:
        ConfigError: the address cannot be listened on, or the certificate cannot be used.
    """
    check_certificate(settings)
    listener = _listen(settings.host, settings.port)
    return RunningServer(app, settings, listener)


def _listen(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        return socket.create_server((name, port), family=family, backlog=_BACKLOG)
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {host}:{port}: {error.strerror or error}; stop whatever listens "
            "there, or set another listen_port"
        ) from None


class RunningServer:
    """A server that accepts connections.

    Attributes:
        host: the address it listens on.
        port: the port it listens on.
        url: where clients on this machine reach it.
    """

    def __init__(self, app: ASGIApp, settings: ServerSettings, listener: socket.socket) -> None:
        self.host = settings.host
        self.port: int = listener.getsockname()[1]
        scheme = "http" if settings.tls_certificate is None else "https"
        self.url = f"{scheme}://{reachable(settings.host)}:{self.port}"
        self._listener = listener
        self._server = _Server(_uvicorn_config(app, settings))
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="tsstore-http", daemon=True)
        self._thread.start()
        self._server.is_ready.wait()
        if not self._server.started:
            self._thread.join()
            listener.close()
            raise ConfigError(f"the server did not start: {self._failure}")

    def _run(self) -> None:
        try:
            self._server.run(sockets=[self._listener])
        except (Exception, SystemExit) as failure:  # noqa: BLE001  (raised by the constructor)
            self._failure = failure
        finally:
            self._server.is_ready.set()

    def stop(self, timeout_s: float = 2.0) -> None:
        """Stop accepting, let calls under way finish for a moment, close the rest.

        Raises:
            TsStoreError: the thread did not end in time.
        """
        self._server.should_exit = True
        self._thread.join(timeout_s)
        if self._thread.is_alive():
            self._server.force_exit = True
            self._thread.join(timeout_s)
        if self._thread.is_alive():
            raise TsStoreError(f"the server at {self.url} did not stop within {2 * timeout_s} s")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()


class _Server(uvicorn.Server):
    """uvicorn's server, which says when it listens."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_ready = threading.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Listen."""
        await super().startup(sockets)
        self.is_ready.set()


def _uvicorn_config(app: ASGIApp, settings: ServerSettings) -> uvicorn.Config:
    class Protocol(LimitedProtocol):
        head_timeout_s = settings.read_timeout_s
        write_timeout_s = settings.write_timeout_s

    class WebSocketProtocol(LimitedWebSocketProtocol):
        write_timeout_s = settings.write_timeout_s

    return uvicorn.Config(
        app,
        http=Protocol,
        ws=WebSocketProtocol,
        lifespan="on",
        log_config=None,
        log_level="warning",
        access_log=False,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        limit_concurrency=settings.connections_max,
        timeout_keep_alive=_KEEP_ALIVE_S,
        timeout_graceful_shutdown=_DRAIN_S,
        ws_max_size=_STREAM_REQUEST_BYTES_MAX,
        ws_ping_interval=_PING_S,
        ws_ping_timeout=_PING_S,
        ws_per_message_deflate=False,
        ssl_certfile=settings.tls_certificate,
        ssl_keyfile=settings.tls_key,
    )


def reachable(host: str) -> str:
    """A listening address as something to connect to."""
    name = host.strip("[]")
    if name in ("", "0.0.0.0"):  # noqa: S104  (compared, not listened on)
        return "127.0.0.1"
    if name == "::":
        return "[::1]"
    return f"[{name}]" if ":" in name else name
