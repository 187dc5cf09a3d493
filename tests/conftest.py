"""Fixtures that every part of the suite shares."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import tsstore

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "flatfiles"

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=100,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[tsstore.Store]:
    """An empty store in a directory of its own."""
    with tsstore.open(tmp_path / "data") as opened:
        yield opened


@pytest.fixture
def real_data() -> Path:
    """Real market data in the vendor's layout; the test is left out where there is none."""
    if not REAL_DATA.is_dir():
        pytest.skip("no real market data beside the project")
    return REAL_DATA
