"""Massive.com (formerly Polygon.io): streaming worker, REST client, backfiller."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tsstore_massive.rest import RestClient, open_rest
    from tsstore_massive.worker import Worker

__all__ = ["RestClient", "Worker", "open_rest"]

# Each when it is asked for: commands start quicker without the worker, and the worker's options
# without httpx.
_MODULES = {
    "RestClient": "tsstore_massive.rest",
    "Worker": "tsstore_massive.worker",
    "open_rest": "tsstore_massive.rest",
}


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)
