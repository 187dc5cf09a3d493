"""The official client: decodes a number of events, prints how many a second and a CPU second.

A program of its own: `python -m benchmarks.peers.massive_client HOST:PORT EVENTS`.
"""

from __future__ import annotations

import asyncio
import sys
from time import perf_counter, process_time
from typing import TYPE_CHECKING

from massive import WebSocketClient

if TYPE_CHECKING:
    from massive.websocket.models import WebSocketMessage


class _Enough(Exception):  # noqa: N818  (an end, not an error)
    """As many events as were asked for."""


async def _decode(host: str, wanted: int) -> tuple[float, float]:
    """Events a second and a CPU second, from the second frame on."""
    events, begun, cpu_begun = -1, 0.0, 0.0

    async def count(messages: list[WebSocketMessage]) -> None:
        nonlocal events, begun, cpu_begun
        if events < 0:
            events, begun, cpu_begun = 0, perf_counter(), process_time()
            return
        events += len(messages)
        if events >= wanted:
            raise _Enough

    client = WebSocketClient(
        "benchmark", feed=host, secure=False, subscriptions=["T.*", "Q.*"], max_reconnects=0
    )
    try:
        await client.connect(count)
    except _Enough:
        return events / (perf_counter() - begun), events / (process_time() - cpu_begun)
    raise RuntimeError(f"the connection ended after {events:,} events")


if __name__ == "__main__":
    print(*asyncio.run(_decode(sys.argv[1], int(sys.argv[2]))))
