"""The latest commits, as those who follow see them."""

from __future__ import annotations

import gc
from typing import Any

import tsstore


class Collecting:
    """A commit during which the collector of garbage runs, as it may during any."""

    sequence, is_told = 1, True

    @property
    def bytes(self) -> int:
        gc.collect()
        return 0

    def batches(self, wanted: Any) -> dict[str, Any]:
        return {}


def test_a_forgotten_follower_is_collected_in_the_middle_of_a_commit(tmp_path):
    """The committing thread holds the lock of the commits then; it must not wait for itself."""
    with tsstore.open(tmp_path) as store:
        recent = store.recent
        updates = store.subscribe("*/*/*")
        assert len(recent._wakers) == 1
        gc.disable()  # else it may be collected before
        try:
            del updates
            recent.add(Collecting())
        finally:
            gc.enable()
        assert not recent._wakers
