"""Types of msgspec, whole before any thread uses them.

What msgspec knows of a struct it keeps with the class, from the moment it begins to find it out. As
of 0.22, a second thread that decodes to the same struct meanwhile follows pointers that are not
there yet, and the process ends. So whoever decodes on threads has types looked at first, one at a
time.
"""

from __future__ import annotations

import threading
from typing import Any, TypeVar

import msgspec

T = TypeVar("T")

_building = threading.Lock()
_whole: set[Any] = set()


def whole(kind: T) -> T:
    """The type, once msgspec knows all of it, its fields' types included."""
    if kind not in _whole:
        with _building:
            msgspec.json.Decoder(kind)
            _whole.add(kind)
    return kind
