"""What a connection misses while another one carries it, and that one is lost or exchanged."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import msgspec

from tsstore.clock import ManualClock
from tsstore.plugin import WorkerContext
from tsstore.times import to_ns
from tsstore_massive.config import Config
from tsstore_massive.missing.journal import Journal
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.streaming.desk import Desk
from tsstore_massive.streaming.line import Line
from tsstore_massive.streaming.lineup import lineup
from tsstore_massive.streaming.patience import Patience

if TYPE_CHECKING:
    import tsstore

DEAD_S = 60.0


class Lines:
    """A desk with stocks on connections a, b and c, of which a may be carried; no socket."""

    def __init__(self, store: tsstore.Store) -> None:
        self.clock = ManualClock(to_ns("2024-06-03 14:00"))
        self._store = store
        connections = {
            name: {"symbols": [symbol], "api_key": f"secret-key-{name}", "failover": name == "a"}
            for name, symbol in (("a", "AAPL"), ("b", "MSFT"), ("c", "SPY"))
        }
        options = {"connections": connections, "data_types": ["trades"], "dead_after_s": DEAD_S}
        config = msgspec.convert(options, Config)
        planned = lineup(config)
        context = WorkerContext("massive", store, self.clock, logging.getLogger("tests.carrying"))
        self._desk = Desk(context, config, planned)
        self.by_name = {
            one.name: Line(
                context,
                one,
                self._desk.watched[one.name],
                limiter=limiter_for(one.config, one.key, self.clock),
                patience=Patience(),
            )
            for one in planned
        }
        for line in self.by_name.values():
            line.on_streaming()
        self.by_name["a"].on_lost()
        self.clock.advance(DEAD_S)
        self.look()

    def look(self) -> None:
        self._desk.look(list(self.by_name.values()))

    def carriers(self) -> list[str]:
        return [name for name, line in self.by_name.items() if line.describe()["carried"]]

    def written_until_ns(self) -> int:
        """Up to where it is written down that AAPL is missing."""
        return max(end_ns for _, end_ns, symbol in Journal(self._store, "a").read("trades"))


def test_an_outage_of_the_carrier_is_one_of_those_it_carries(store: tsstore.Store) -> None:
    """Before the carrier's next rows are stored: a new start would go on from those."""
    lines = Lines(store)
    assert lines.carriers() == ["b"]
    lines.clock.advance(3600)
    lines.by_name["b"].on_lost()
    lines.clock.advance(20)
    assert lines.written_until_ns() < lines.clock.now_ns()
    lines.by_name["b"].on_streaming()
    assert lines.written_until_ns() >= lines.clock.now_ns()


def test_what_is_missed_until_another_one_carries_it_is_written_down(store: tsstore.Store) -> None:
    lines = Lines(store)
    lines.by_name["b"].on_lost()
    lines.clock.advance(DEAD_S)
    lines.look()
    assert lines.carriers() == ["c"]
    assert lines.written_until_ns() >= lines.clock.now_ns()
