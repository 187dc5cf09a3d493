from __future__ import annotations

import threading

import pytest

from tsstore.clock import ManualClock
from tsstore.errors import InvalidArgumentError
from tsstore_massive.backfilling.pace import AdaptivePace, FixedPace
from tsstore_massive.rest.traffic import Traffic


class Line:
    """A vendor that answers each request after a while, and no more than some in a second.

    Args:
        latency_s: of a request.
        per_s: requests that it answers in a second at most.
        most: units that the pace may have under way.
    """

    def __init__(self, latency_s: float = 0.25, per_s: float = 1e9, most: int = 16) -> None:
        self.clock, self.traffic = ManualClock(), Traffic()
        self.latency_s, self.per_s = latency_s, per_s
        self.pace = AdaptivePace(most, self.traffic, self.clock)
        self.limits: list[int] = []
        self._part = 0.0

    def run(self, seconds: float, *, is_overtaxed_at: int = 1000) -> None:
        """Keep it busy, in steps of 50 ms; requests beyond a number at a time are refused."""
        for _ in range(round(seconds / 0.05)):
            self.clock.advance(0.05)
            assert self.pace.enter(lambda: False)
            self._part += 0.05 * min(self.pace.limit / self.latency_s, self.per_s)
            while self._part >= 1:
                self._part -= 1
                self.traffic.sent()
                if self.pace.limit > is_overtaxed_at:
                    self.traffic.failed(throttled=True)
            self.pace.leave()
            self.limits.append(self.pace.limit)


def test_it_grows_to_the_most_while_more_is_quicker():
    line = Line()
    line.run(10)
    assert line.limits[0] == 2
    assert line.pace.limit == 16
    assert max(line.limits) == 16


def test_it_stays_where_more_is_not_quicker():
    line = Line(latency_s=0.25, per_s=24)  # six at a time are all that helps
    line.run(60)
    settled = line.limits[len(line.limits) // 3 :]
    assert min(settled) >= 4
    assert max(settled) <= 10


def test_it_follows_a_line_that_becomes_slower():
    line = Line(latency_s=0.1, per_s=24)
    line.run(30)
    few = line.pace.limit
    line.latency_s, line.per_s = 1.0, 1e9
    line.run(120)
    assert few <= 5
    assert line.pace.limit >= 12


def test_it_is_halved_when_the_vendor_is_overtaxed_and_grows_again():
    line = Line()
    line.run(10)
    line.run(0.5, is_overtaxed_at=15)
    assert line.pace.limit == 8
    line.run(60)
    assert line.pace.limit == 16


def test_it_keeps_below_what_overtaxes_the_vendor():
    line = Line()
    line.run(120, is_overtaxed_at=8)
    settled = line.limits[len(line.limits) // 3 :]
    assert sum(limit > 8 for limit in settled) < len(settled) / 5
    assert sorted(settled)[len(settled) // 2] >= 4


def test_no_more_units_begin_than_it_says():
    line = Line(most=2)
    assert line.pace.enter(lambda: False)
    assert line.pace.enter(lambda: False)
    over, entered = threading.Event(), []
    waiting = threading.Thread(target=lambda: entered.append(line.pace.enter(over.is_set)))
    waiting.start()
    line.pace.leave()
    waiting.join(10)
    assert entered == [True]
    over.set()
    assert not line.pace.enter(over.is_set)


@pytest.mark.parametrize("make", [FixedPace, lambda n: Line(most=n)])
def test_less_than_one_at_a_time_is_refused(make):
    with pytest.raises(InvalidArgumentError, match="parallelism 0"):
        make(0)
