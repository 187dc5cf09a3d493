"""A figure counts only when the results are right."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.data import Rows
    from benchmarks.peers import Library, Log


class WrongResultError(Exception):
    """A peer, or its adapter here, did not do the work."""


def expect_all(peer: Library | Log, written: Sequence[Rows]) -> None:
    """Every row is there, and the first data column sums up."""
    rows = sum(map(len, written))
    total = math.fsum(float(next(iter(each.columns.values())).sum()) for each in written)
    expect(peer, peer.totals(), (rows, total))


def expect(peer: object, found: tuple[int, float], wanted: tuple[int, float]) -> None:
    """As many rows as wanted, and the wanted number."""
    if found[0] != wanted[0] or not math.isclose(found[1], wanted[1], rel_tol=1e-9):
        raise WrongResultError(f"{type(peer).__name__} gave {found} instead of {wanted}")
