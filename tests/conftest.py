"""Fixtures that every part of the suite shares."""

from __future__ import annotations

import gc
import os
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import trustme
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
#: Nothing here multiplies matrices, and the threads for it cost each of them 30 ms.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")


#: Nothing of what is collected is garbage, and looking for some takes a second.
gc.disable()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what takes longest: at the end, one worker would wait for the other."""
    items.sort(key=_seconds, reverse=True)


def _seconds(item: pytest.Item) -> float:
    marker = item.get_closest_marker("long")
    return marker.kwargs["seconds"] if marker is not None else 0


def pytest_collection_finish() -> None:
    """All that is there by now stays: a third of a second less for each look for garbage."""
    gc.freeze()
    gc.enable()


@pytest.fixture(autouse=True)
def _interrupts() -> None:
    """Whoever starts the suite in the background may have it ignore what some tests send."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session", autouse=True)
def _surroundings(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """What programs under test leave in the temporary directory, such as locks, goes with ours.

    All programs of a run share a cache. They trust one certificate instead of all the world's,
    which every HTTP client reads when it is made, and which takes 20 ms.
    """
    folder = str(tmp_path_factory.mktemp("temporary"))
    root = tmp_path_factory.getbasetemp()
    shared = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    authority = tmp_path_factory.mktemp("authority") / "ca.pem"
    trustme.CA().cert_pem.write_to_path(str(authority))
    with pytest.MonkeyPatch.context() as environment:
        environment.setenv("TMPDIR", folder)
        environment.setenv("XDG_RUNTIME_DIR", folder)
        environment.setenv("XDG_CACHE_HOME", str(shared / "cache"))
        environment.setenv("SSL_CERT_FILE", str(authority))
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
