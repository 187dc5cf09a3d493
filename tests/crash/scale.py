"""How much of a battery runs: a sample by default, all of it when asked for.

    TSSTORE_TEST_SCALE=50 pytest -n 2 tests/crash tests/stateful

runs fifty times as many cuts, kills, damaged bytes and steps (hours), and of any test fifty times
as many examples of hypothesis. Every number picks its cases deterministically, so a failure is
found again by the same command. `make crash` takes five times as many.
"""

from __future__ import annotations

import os
import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

SCALE = int(os.environ.get("TSSTORE_TEST_SCALE", "1"))

_VARIES = re.compile(r"(?<=buckets/)[^%].*(?=/)|\d+")


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


def of_every_kind(
    log: Sequence[tuple[str, str]], cases: int, *, part: int = 0, parts: int = 1
) -> list[int]:
    """A sample of the changes of a workload that leaves out no kind of change.

    Args:
        log: operation and file of each change; files are of one kind if only a number or the
            bucket differs.
        cases: how many are wanted by default, in all parts together.
        part: which part, from 0.
        parts: so many tests share them.
    """
    kinds = [(operation, _VARIES.sub("*", name)) for operation, name in log]
    spread = sample(len(log), cases)
    seen = {kinds[change] for change in spread}
    first = {kind: change for change, kind in reversed(list(enumerate(kinds)))}
    missing = [change for kind, change in first.items() if kind not in seen]
    return sorted([*spread, *missing])[part::parts]
