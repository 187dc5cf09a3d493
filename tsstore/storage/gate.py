"""What must have ended before a store lets go of its directory."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tsstore.errors import ClosedError

if TYPE_CHECKING:
    from types import TracebackType


class Gate:
    """Lets work in until it is closed; closing waits for what is inside."""

    def __init__(self) -> None:
        self._inside = 0
        self._closed = False
        self._changed = threading.Condition()

    def __enter__(self) -> None:
        with self._changed:
            if self._closed:
                raise ClosedError("the store was closed; open it again")
            self._inside += 1

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        with self._changed:
            self._inside -= 1
            self._changed.notify_all()

    def close(self) -> None:
        """Let nothing in any more, and return when everything has left."""
        with self._changed:
            self._closed = True
            while self._inside:
                self._changed.wait()
