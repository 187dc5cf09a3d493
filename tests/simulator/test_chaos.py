"""Random faults: the same ones for the same seed, and nothing of what REST tells is lost."""

from __future__ import annotations

import time
from datetime import date
from typing import TYPE_CHECKING

from massive import RESTClient
from tsstore_massive_simulator.calendar import hours
from tsstore_massive_simulator.chaos import Chaos
from tsstore_massive_simulator.faults import FAULTS, Faults

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tests.simulator.conftest import Start
    from tsstore_massive_simulator.faults import Value

START = hours(date(2026, 10, 5)).open_ns


def course(seed: int, steps: int) -> list[Mapping[str, Value]]:
    """What is on after each step."""
    faults = Faults()
    chaos = Chaos(faults, seed)
    states = []
    for _ in range(steps):
        assert chaos.step() > 0
        states.append(faults.active())
    return states


def test_a_seed_decides_the_course() -> None:
    assert course(1, 200) == course(1, 200) != course(2, 200)


def test_every_fault_has_its_turn_and_is_over_again() -> None:
    states = course(1, 3000)
    seen = {name for state in states for name in state}
    assert len(seen) > 40
    assert seen <= FAULTS.keys()
    assert all(1 <= len(state) <= 5 for state in states)


def test_faults_that_were_on_stay_as_they_are() -> None:
    faults = Faults()
    faults.set("page", 10)
    chaos = Chaos(faults, 1)
    for _ in range(500):
        chaos.step()
    chaos.end()
    assert faults.active() == {"page": 10, "revised_bars": 0.05}


def test_it_runs_while_the_simulator_serves_and_can_be_ended(start: Start) -> None:
    running = start(start_ns=START, chaos_seed=3)
    deadline = time.monotonic() + 20
    while running.simulator.state()["chaos_steps"] < 3:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    running.post("/_simulator/chaos", {"seed": None})
    assert running.simulator.state()["faults"] == {"revised_bars": 0.05}
    client = RESTClient("k", base=running.url)
    assert len(list(client.list_aggs("AAPL", 1, "minute", "2026-10-01", "2026-10-01"))) > 300
    client.client.clear()
