from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsstore_massive.streaming.jumps import JUMP_S, Jumps

SECOND = 1_000_000_000


def test_time_that_goes_by_is_no_jump() -> None:
    jumps = Jumps(5 * SECOND, 0.0)
    assert jumps.look(3605 * SECOND, 3600.0) == 0.0


def test_a_sleep_is_a_jump_and_told_once() -> None:
    jumps = Jumps(0, 0.0)
    assert jumps.look(3600 * SECOND, 0.5) == 3599.5
    assert jumps.look(3601 * SECOND, 1.5) == 0.0


def test_a_clock_put_back_is_a_jump_back() -> None:
    jumps = Jumps(3600 * SECOND, 0.0)
    assert jumps.look(0, 1.0) == -3601.0


@given(st.lists(st.tuples(st.floats(0, 1e5), st.floats(-1e6, 1e6)), max_size=30))
def test_every_jump_is_found_and_nothing_else(steps: list[tuple[float, float]]) -> None:
    wall_s = monotonic_s = 0.0
    jumps = Jumps(0, 0.0)
    for passed_s, jump_s in steps:
        monotonic_s += passed_s
        wall_s += passed_s + jump_s
        found = jumps.look(round(wall_s * SECOND), monotonic_s)
        if abs(jump_s) > JUMP_S + 0.001:
            assert abs(found - jump_s) < 0.001
        elif abs(jump_s) < JUMP_S - 0.001:
            assert found == 0.0
