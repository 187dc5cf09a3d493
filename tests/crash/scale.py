"""How much of a battery runs: a sample by default, all of it when asked for.

    TSSTORE_TEST_SCALE=50 pytest -n 2 tests/crash tests/stateful

runs fifty times as many cuts, kills, damaged bytes and steps (hours). Every number picks its cases
deterministically, so a failure is found again by the same command.
"""

from __future__ import annotations

import os

SCALE = int(os.environ.get("TSSTORE_TEST_SCALE", "1"))


def sample(total: int, cases: int, *, part: int = 0, parts: int = 1) -> range:
    """Up to `cases * SCALE` of the numbers below `total`, evenly spread; one part of them.

    Args:
        total: how many there are.
        cases: how many are wanted by default, in all parts together.
        part: which part, from 0.
        parts: so many tests share them.
    """
    stride = max(1, -(-total // (cases * SCALE)))
    return range(part * stride, total, parts * stride)
