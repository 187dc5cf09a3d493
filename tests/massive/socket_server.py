"""A real WebSocket server on loopback that talks as a test tells it, connection by connection."""

from __future__ import annotations

import json
import logging
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Self

from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.http11 import Request, Response

KEY = "secret-key-0001"
CONNECTED = {"ev": "status", "status": "connected", "message": "Connected Successfully"}
AUTHENTICATED = {"ev": "status", "status": "auth_success", "message": "authenticated"}

#: 2026-10-05 14:30:00 UTC, in market hours.
MORNING_MS = 1_791_210_600_000
MS = 1_000_000


def status(name: str, message: str = "") -> dict[str, Any]:
    return {"ev": "status", "status": name, "message": message}


def trade(symbol: str = "AAPL", number: int = 1, **fields: Any) -> dict[str, Any]:
    event = {
        "ev": "T", "sym": symbol, "i": str(number), "x": 4, "p": 100.0 + number / 100, "s": 40,
        "c": [12, 37], "t": MORNING_MS + number, "pt": MORNING_MS + number - 1, "q": number,
        "z": 3, "trfi": 202, "trft": MORNING_MS + number, "ds": "40.5",
    }  # fmt: skip
    return {name: value for name, value in (event | fields).items() if value is not None}


def quote(symbol: str = "AAPL", number: int = 1, **fields: Any) -> dict[str, Any]:
    event = {
        "ev": "Q", "sym": symbol, "i": [604], "c": 1, "bx": 15, "ax": 12, "bp": 297.83,
        "ap": 297.86, "bs": 80, "as": 160, "t": MORNING_MS + number, "pt": MORNING_MS + number - 1,
        "q": number, "z": 3,
    }  # fmt: skip
    return {name: value for name, value in (event | fields).items() if value is not None}


def bar(symbol: str = "AAPL", minute: int = 0, **fields: Any) -> dict[str, Any]:
    start = MORNING_MS + 60_000 * minute
    event = {
        "ev": "AM", "sym": symbol, "v": 4110, "av": 9470157, "op": 0.4372, "vw": 0.4488,
        "o": 0.4448, "c": 0.4486, "h": 0.4489, "l": 0.4440, "a": 0.4352, "z": 685, "s": start,
        "e": start + 60_000, "dv": "4110.25", "dav": "9470157.125", "otc": True,
    }  # fmt: skip
    return {name: value for name, value in (event | fields).items() if value is not None}


def frame(*events: Any) -> bytes:
    return json.dumps(events, separators=(",", ":")).encode()


class Peer:
    """The server's end of one connection."""

    def __init__(self, socket: ServerConnection) -> None:
        self.socket = socket

    def accept(self) -> None:
        """Everything up to the subscription."""
        self.send(CONNECTED)
        self.receive()
        self.send(AUTHENTICATED)
        self.receive()

    def send(self, *events: Any) -> None:
        self.socket.send(frame(*events).decode())

    def send_raw(self, data: str | bytes) -> None:
        self.socket.send(data)

    def receive(self) -> dict[str, Any]:
        return json.loads(self.socket.recv())

    def close(self, code: int = 1000) -> None:
        self.socket.close(code)

    def abort(self) -> None:
        self.socket.socket.close()

    def stay(self) -> None:
        """Keep the connection until the client ends it."""
        with suppress(ConnectionClosed):
            while True:
                self.socket.recv()


class SocketServer:
    """Talks by `scripts`, one for each connection; the last one serves all further ones.

    With `redirect`, it sends everybody to that URL.
    """

    def __init__(self, *scripts: Callable[[Peer], None], redirect: str = "") -> None:
        self.connections = 0
        self._redirect = redirect
        self.scripts = list(scripts)
        self._lock = threading.Lock()
        self._server = serve(
            self._talk, "127.0.0.1", 0, compression=None, logger=_silent(), ping_interval=None,
            process_request=self._elsewhere,
        )  # fmt: skip
        self.url = f"ws://127.0.0.1:{self._server.socket.getsockname()[1]}"

    def __enter__(self) -> Self:
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()

    def _elsewhere(self, socket: ServerConnection, _: Request) -> Response | None:
        if not self._redirect:
            return None
        response = socket.respond(302, "")
        response.headers["Location"] = self._redirect
        return response

    def _talk(self, socket: ServerConnection) -> None:
        with self._lock:
            script = self.scripts[min(self.connections, len(self.scripts) - 1)]
            self.connections += 1
        with suppress(ConnectionClosed, OSError):
            script(Peer(socket))


def _silent() -> logging.Logger:
    logger = logging.getLogger("tests.socket_server")
    logger.setLevel(logging.CRITICAL)
    return logger
