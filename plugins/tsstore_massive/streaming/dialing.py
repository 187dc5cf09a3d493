"""A connection to the socket as the websockets library makes it, with our limits."""

from __future__ import annotations

import logging
from contextlib import asynccontextmanager, suppress
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from websockets.asyncio.client import connect
from websockets.exceptions import SecurityError

from tsstore_massive.optionvalues import is_loopback

if TYPE_CHECKING:
    import asyncio
    from collections.abc import AsyncIterator

    from websockets.asyncio.client import ClientConnection
    from websockets.http11 import Request

    from tsstore_massive.streaming.patience import Timing

#: The vendor's frames are below 1 MiB; a larger one than this ends the connection.
FRAME_BYTES_MAX = 8 * 2**20


@asynccontextmanager
async def dial(url: str, *, timing: Timing) -> AsyncIterator[ClientConnection]:
    """A connection while it is entered; it is pinged by `pulse.py`.

    Args:
        url: of the socket.
        timing: times for connecting and closing.

    Raises:
        OSError: it cannot be made, TimeoutError if that takes too long.
        WebSocketException: the server refuses it, or sends it elsewhere.
    """
    async with connect(
        url,
        # Frames would show the key; the library logs them at DEBUG.
        logger=_quiet_logger(),
        compression=None,
        max_size=FRAME_BYTES_MAX,
        open_timeout=timing.handshake_s,
        close_timeout=timing.close_s,
        ping_interval=None,
        # A proxy of the environment is for the world outside, not for a local simulator.
        proxy=None if is_loopback(url) else True,
    ) as socket:
        refuse_redirect(url, socket.request)
        yield socket


def refuse_redirect(url: str, request: Request | None) -> None:
    """Let no key go where a redirect has led the library, which follows them to any host.

    Args:
        url: what was asked for.
        request: the one that was answered in the end.

    Raises:
        SecurityError: that is another host.
    """
    wanted = urlsplit(url)
    reached = urlsplit(f"//{request.headers['Host']}" if request else "")
    default_port = 443 if wanted.scheme == "wss" else 80
    places = {(one.hostname, one.port or default_port) for one in (wanted, reached)}
    if len(places) > 1:
        raise SecurityError(
            f"it redirects to {reached.netloc}, which is sent no key; if that is the vendor's, "
            "name it in ws_server"
        )


def abort_soon(loop: asyncio.AbstractEventLoop, socket: ClientConnection) -> None:
    """End a connection without a farewell; thread-safe."""
    with suppress(RuntimeError):  # the loop is over, and the connection with it
        loop.call_soon_threadsafe(socket.transport.abort)


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("tsstore_massive.websocket")
    logger.setLevel(logging.WARNING)
    return logger
