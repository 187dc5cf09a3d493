"""P2: the minute boundary. One bar of each of 5,000 symbols, on the disk when the call returns."""

from __future__ import annotations

from typing import TYPE_CHECKING

from benchmarks.data import BAR_COLUMNS, Rows, minute_boundaries, names
from benchmarks.goals import at_most, times_faster
from benchmarks.harness import Call, Case, Figure, Line, Scale, latencies, latency, take_turns
from benchmarks.peers.arcticdb import ArcticDb, ArcticDbLong
from benchmarks.peers.duckdb import DuckDb
from benchmarks.peers.tsstore import TsStore
from benchmarks.verify import expect_all

if TYPE_CHECKING:
    from benchmarks.peers import Peer

SYMBOLS = 5_000
#: ArcticDB with a symbol for each of ours is timed on a share of them, and the time multiplied.
PER_SYMBOL = 25


def run(scale: Scale) -> list[Line]:
    """Measure it."""
    batches = minute_boundaries(names(SYMBOLS), scale.pick(30, 390))
    peers: dict[str, Peer] = {
        "tsstore": TsStore(scale.folder / "tsstore"),
        "duckdb": DuckDb(scale.folder / "duckdb", BAR_COLUMNS),
        "arcticdb (one long symbol)": ArcticDbLong(scale.folder / "arcticdb_long"),
    }
    for peer in peers.values():
        peer.write(batches[0])  # untimed: it creates the buckets
    cases = {name: Case(peer.write) for name, peer in peers.items()}
    figures = latencies(take_turns(cases, batches[1:], rounds=scale.pick(3, 10)))
    for peer in peers.values():
        expect_all(peer, batches)
        peer.close()
    figures["arcticdb"] = _arcticdb_per_symbol(scale)
    ours = figures.pop("tsstore")
    goals = (
        at_most(ours, 2),
        at_most(ours, 10, detail="p99"),
        times_faster(ours, "duckdb", figures["duckdb"], 2),
    )
    return [Line("P2", f"durable append, {SYMBOLS:,} symbols x 1 bar", "ms", ours, figures, goals)]


def _arcticdb_per_symbol(scale: Scale) -> Figure:
    batches: list[Rows] = minute_boundaries(names(PER_SYMBOL), scale.pick(3, 10))
    peer = ArcticDb(scale.folder / "arcticdb")
    peer.write(batches[0])
    calls = take_turns({"arcticdb": Case(peer.write)}, batches[1:], rounds=1)["arcticdb"]
    expect_all(peer, batches)
    peer.close()
    factor = SYMBOLS // PER_SYMBOL
    return latency([Call(call.wall * factor, call.cpu * factor) for call in calls])
