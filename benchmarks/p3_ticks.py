"""P3: ticks as they come, a thousand at a time over a thousand symbols, each batch durable."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.data import TICK_COLUMNS, names, tick_batches
from benchmarks.goals import at_least, times_more
from benchmarks.harness import Case, Line, Scale, take_turns, throughput
from benchmarks.peers.arcticdb import ArcticDbLong
from benchmarks.peers.duckdb import DuckDb
from benchmarks.peers.tsstore import TICKS, TsStore
from benchmarks.verify import expect_all

if TYPE_CHECKING:
    from benchmarks.peers import Peer

BATCH_ROWS = 1_000
SYMBOLS = 1_000


def run(scale: Scale) -> list[Line]:
    """Measure it."""
    batches = tick_batches(names(SYMBOLS), scale.pick(60, 1_500), BATCH_ROWS)
    peers: dict[str, Peer] = {
        "tsstore": TsStore(scale.folder / "tsstore", TICKS),
        "duckdb": DuckDb(scale.folder / "duckdb", TICK_COLUMNS),
        "arcticdb (one long symbol)": ArcticDbLong(scale.folder / "arcticdb_long"),
    }
    for peer in peers.values():
        peer.write(batches[0])  # untimed: it creates most of the buckets
    cases = {name: Case(peer.write) for name, peer in peers.items()}
    calls = take_turns(cases, batches[1:], rounds=scale.pick(3, 10))
    for peer in peers.values():
        expect_all(peer, batches)
        peer.close()
    figures = {name: throughput(each, BATCH_ROWS) for name, each in calls.items()}
    ours = figures.pop("tsstore")
    goals = (
        at_least(ours, 500, "krows/s"),
        times_more(ours, "duckdb", figures["duckdb"], 2),
    )
    what = f"durable ticks, batches of {BATCH_ROWS:,} over {SYMBOLS:,} symbols"
    return [Line("P3", what, "krows/s", ours, figures, goals, more_is_better=True)]
