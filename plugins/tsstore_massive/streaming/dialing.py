"""A connection to the socket as the websockets library makes it, with our limits."""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.asyncio.client import connect

from tsstore_massive.optionvalues import is_loopback

if TYPE_CHECKING:
    import asyncio

    from websockets.asyncio.client import ClientConnection

    from tsstore_massive.streaming.patience import Timing

#: The vendor's frames are below 1 MiB; a larger one than this ends the connection.
FRAME_BYTES_MAX = 8 * 2**20


def dial(url: str, *, timing: Timing) -> connect:
    """A connection that is made when it is entered; it is pinged by `pulse.py`.

    Args:
        url: of the socket.
        timing: times for connecting and closing.
    """
    return connect(
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
    )


def abort_soon(loop: asyncio.AbstractEventLoop, socket: ClientConnection) -> None:
    """End a connection without a farewell; thread-safe."""
    with suppress(RuntimeError):  # the loop is over, and the connection with it
        loop.call_soon_threadsafe(socket.transport.abort)


def _quiet_logger() -> logging.Logger:
    logger = logging.getLogger("tsstore_massive.websocket")
    logger.setLevel(logging.WARNING)
    return logger
