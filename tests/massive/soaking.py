"""A worker as a process that may be killed: `python -m tests.massive.soaking URL SPEED DATA`.

It shows how it fares, a line of JSON at a time, until it is told to stop.
"""

from __future__ import annotations

import json
import logging
import signal
import sys
import threading

import msgspec

import tsstore
from tests.massive.simulated import KEY, QUICK, Simulator
from tsstore.plugin import WorkerContext
from tsstore_massive.config import Config
from tsstore_massive.worker import Worker

#: What is streamed of which market; all of it REST tells afterwards.
STREAMED = {
    "stocks": ["bars", "second_bars", "trades", "quotes"],
    "crypto": ["bars", "trades"],
}
_SHOW_S = 0.2
_SHOWN = ("state", "streaming", "messages", "connections", "gap_count", "gaps", "faults")


def main(url: str, speed: str, data: str) -> None:
    """Stream into the store until SIGTERM."""
    server = Simulator(url, float(speed))
    options = {
        "api_key": KEY,
        "base_url": url,
        "ws_server": url.replace("http", "ws"),
        "connections": {
            market: {"market": market, "data_types": kinds} for market, kinds in STREAMED.items()
        },
        "ping_interval_s": 1.0,
        "mute_timeout_s": 5.0,
    }
    with tsstore.open(data) as store:
        context = WorkerContext("massive", store, server.clock(), logging.getLogger("soak"))
        signal.signal(signal.SIGTERM, lambda *_: context.stop.set())
        threading.Thread(target=_show, args=(context,), daemon=True).start()
        Worker(context, msgspec.convert(options, Config), patience=QUICK).run()


def _show(context: WorkerContext) -> None:
    while not context.stop.wait(_SHOW_S):
        status = context.status.copy()
        print(json.dumps({name: status[name] for name in _SHOWN if name in status}), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
