from __future__ import annotations

import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore.clock import ManualClock
from tsstore.errors import InvalidArgumentError
from tsstore_massive.rate import RateLimiter


def test_requests_within_the_limit_start_at_once():
    clock = ManualClock()
    limiter = RateLimiter(5, 60.0, clock)
    for _ in range(5):
        assert limiter.acquire(threading.Event())
    assert clock.monotonic() == 0


def test_the_request_after_the_limit_waits_for_the_first_token_to_come_back():
    clock = ManualClock()
    limiter = RateLimiter(5, 60.0, clock)
    for _ in range(6):
        limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(60.0)


@given(
    st.integers(1, 6),
    st.lists(st.floats(0, 30), min_size=1, max_size=40),
)
def test_no_stretch_of_a_period_holds_more_than_the_limit(limit, pauses):
    clock = ManualClock()
    limiter = RateLimiter(limit, 10.0, clock)
    starts = []
    for pause in pauses:
        clock.advance(pause)
        limiter.acquire(threading.Event())
        starts.append(clock.monotonic())
    for at in range(len(starts) - limit):
        assert starts[at + limit] - starts[at] >= 10.0 - 1e-5


def test_a_pause_holds_back_everybody():
    clock = ManualClock()
    limiter = RateLimiter(100, 60.0, clock)
    limiter.pause(7.5)
    limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(7.5)


def test_a_shorter_pause_does_not_cut_a_longer_one():
    clock = ManualClock()
    limiter = RateLimiter(100, 60.0, clock)
    limiter.pause(9)
    limiter.pause(2)
    limiter.acquire(threading.Event())
    assert clock.monotonic() == pytest.approx(9)


def test_waiting_ends_when_told_to_stop():
    stop = threading.Event()
    stop.set()
    limiter = RateLimiter(1, 60.0, ManualClock())
    assert not limiter.acquire(stop)
    assert not limiter.acquire(stop)


def test_a_limit_below_one_is_refused():
    with pytest.raises(InvalidArgumentError, match="at least 1"):
        RateLimiter(0, 60.0, ManualClock())
