from __future__ import annotations

import random

from tsstore_massive.streaming.backoff import Backoff


def make(first_s: float = 1.0, max_s: float = 60.0, seed: int = 1) -> Backoff:
    return Backoff(first_s, max_s, healthy_s=180, jitter=random.Random(seed))


def test_pauses_double_up_to_the_longest_within_the_jitter() -> None:
    backoff = make()
    for whole in (1, 2, 4, 8, 16, 32, 60, 60, 60):
        assert whole / 2 <= backoff.pause_s(0.0) <= whole


def test_an_accepted_connection_is_no_reason_to_start_over() -> None:
    backoff = make()
    for _ in range(10):
        backoff.pause_s(streamed_s=179)
    assert backoff.pause_s(streamed_s=179) >= 30


def test_a_healthy_connection_starts_over() -> None:
    backoff = make()
    for _ in range(10):
        backoff.pause_s(0.0)
    assert backoff.pause_s(streamed_s=180) <= 1


def test_two_clients_do_not_come_back_together() -> None:
    assert make(seed=1).pause_s(0.0) != make(seed=2).pause_s(0.0)
