"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, settings

import tsstore
from tests.crash.scale import SCALE

if TYPE_CHECKING:
    from collections.abc import Iterator

REAL_DATA = Path(__file__).parent.parent.parent / "shared" / "data" / "flatfiles"

settings.register_profile("dev", max_examples=50, deadline=None)
settings.register_profile(
    "ci",
    max_examples=60 * SCALE,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("ci")

#: Hundreds of programs are started here: the first one compiles a module, and not each of them.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes long: at the end, one worker would wait for the other."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def _interrupts() -> None:
    """Whoever starts the suite in the background may have it ignore what some tests send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _temporary_files_of_children(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What programs under test leave in the temporary directory, such as locks, goes with ours."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TMPDIR", folder)
        environment.setenv("XDG_RUNTIME_DIR", folder)
        environment.setenv("XDG_CACHE_HOME", str(shared / "cache"))  # of all programs of this run
        environment.setattr(tempfile, "tempdir", folder)
        yield


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
