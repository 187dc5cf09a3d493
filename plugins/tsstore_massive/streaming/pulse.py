"""Whether a connection is alive: pings are answered, or frames come.

In busy hours the vendor answers pings late or not at all while it goes on sending. A connection
that is left for that alone costs a gap in the very hours that matter.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from websockets.asyncio.client import ClientConnection

    from tsstore.clock import Clock


async def lifeless(
    socket: ClientConnection, *, every_s: float, heard_since: Callable[[float], bool], clock: Clock
) -> None:
    """Ping now and then; returns once there is no sign of life.

    Args:
        socket: whose other end is asked.
        every_s: seconds between pings, and the time allowed for the answer.
        heard_since: whether frames came since a monotonic second.
        clock: the source of time.

    Raises:
        ConnectionClosed: it was closed meanwhile.
    """
    is_alive = True
    while is_alive:
        await asyncio.sleep(every_s)
        asked = clock.monotonic()
        answer = asyncio.ensure_future(await socket.ping())
        is_answered, _ = await asyncio.wait({answer}, timeout=every_s)
        is_alive = bool(is_answered) or heard_since(asked)
