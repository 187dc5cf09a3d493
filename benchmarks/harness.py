"""Timing of peers in turns, and the lines of the report that come of it.

The machine may be shared, so peers take turns (A B C, A B C, ...) and the ratios mean more than
the figures. What is timed is one call; everything around it is not.
"""

from __future__ import annotations

import gc
import os
import resource
from dataclasses import dataclass, field
from time import perf_counter
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

T = TypeVar("T")
MS_PER_S = 1e3


@dataclass(frozen=True)
class Case(Generic[T]):
    """A peer at its work.

    Attributes:
        call: what is timed; it is given one input.
        before: called before each call, untimed.
    """

    call: Callable[[T], object]
    before: Callable[[], object] | None = None


class Call(NamedTuple):
    """What a call took, in seconds.

    Attributes:
        wall: until it returned.
        cpu: of all threads of this process meanwhile, and of child processes that ended.
    """

    wall: float
    cpu: float


@dataclass(frozen=True)
class Figure:
    """One number of the report.

    Attributes:
        value: the number, in the unit of its line.
        details: further numbers by name.
    """

    value: float
    details: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Goal:
    """What a line is to reach.

    Attributes:
        text: the goal for people.
        met: whether it was reached.
    """

    text: str
    met: bool


@dataclass(frozen=True)
class Line:
    """One measurement of the report.

    Attributes:
        workload: its number, such as `P2`.
        what: what was measured.
        unit: of all figures.
        ours: tsstore's figure.
        peers: the others' figures by name.
        goals: what tsstore's figure is to reach.
        more_is_better: whether the unit is a rate.
    """

    workload: str
    what: str
    unit: str
    ours: Figure
    peers: Mapping[str, Figure]
    goals: tuple[Goal, ...]
    more_is_better: bool = False

    def ratio(self, peer: str) -> float:
        """How many times better than a peer."""
        ours, other = self.ours.value, self.peers[peer].value
        return ours / other if self.more_is_better else other / ours


def take_turns(
    cases: Mapping[str, Case[T]], inputs: Sequence[T], *, rounds: int
) -> dict[str, list[Call]]:
    """Time every case on every input.

    Args:
        cases: the peers by name.
        inputs: what each of them is given, in this order.
        rounds: in how many turns.

    Returns:
        The calls of each peer.
    """
    calls: dict[str, list[Call]] = {name: [] for name in cases}
    for places in np.array_split(np.arange(len(inputs)), rounds):
        for name, case in cases.items():
            gc.collect()  # nobody pays for the garbage of the one before
            calls[name] += [_timed(case, inputs[place]) for place in places]
    return calls


def _timed(case: Case[T], value: T) -> Call:
    if case.before is not None:
        case.before()
    cpu, begun = _cpu_seconds(), perf_counter()
    case.call(value)
    wall = perf_counter() - begun
    return Call(wall, _cpu_seconds() - cpu)


def _cpu_seconds() -> float:
    usages = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)


def latency(calls: Sequence[Call]) -> Figure:
    """The median in milliseconds; the best and the almost worst call, and the mean CPU time.

    Neighbours on the machine disturb the best call and the CPU time least.
    """
    wall, cpu = np.array(calls).T * MS_PER_S
    details = {"p99": np.quantile(wall, 0.99), "min": wall.min(), "cpu": cpu.mean()}
    return Figure(float(np.median(wall)), {name: float(value) for name, value in details.items()})


def latencies(calls: Mapping[str, Sequence[Call]]) -> dict[str, Figure]:
    """The same for every peer."""
    return {name: latency(each) for name, each in calls.items()}


def throughput(calls: Sequence[Call], rows: float, per: float = 1e3) -> Figure:
    """Rows a second over all calls, the slow ones included, in thousands unless told otherwise.

    Args:
        calls: what was timed.
        rows: of each call.
        per: unit of the rate.
    """
    figure = latency(calls)
    details = {f"{name} ms": value for name, value in figure.details.items()}
    rate = rows * len(calls) / sum(call.wall for call in calls) / per
    return Figure(rate, {"p50 ms": figure.value, **details})


def throughputs(
    calls: Mapping[str, Sequence[Call]], rows: float, per: float = 1e3
) -> dict[str, Figure]:
    """The same for every peer."""
    return {name: throughput(each, rows, per) for name, each in calls.items()}


def stored_bytes(folder: Path) -> int:
    """What the files of a directory take; holes in them do not count."""
    found = [path.stat() for path in folder.rglob("*") if path.is_file()]
    return sum(min(each.st_size, each.st_blocks * 512) for each in found)


def load_average() -> float:
    """Processes that want a processor, over the last minute."""
    return os.getloadavg()[0]
