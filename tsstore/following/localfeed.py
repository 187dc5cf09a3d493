"""The commits of a store in this process."""

from __future__ import annotations

from queue import SimpleQueue
from typing import TYPE_CHECKING

from tsstore.following.updates import News

if TYPE_CHECKING:
    from tsstore.columns import Columns
    from tsstore.following.updates import Wanted
    from tsstore.storage.committed import Committed
    from tsstore.storage.recent import RecentCommits

_NEWS_BYTES_MAX = 4 << 20


class LocalFeed:
    """See `Feed`. It reads what the store keeps; it has no queue of its own."""

    def __init__(self, recent: RecentCommits, wanted: Wanted, after: int | None) -> None:
        self.position = recent.newest if after is None else after
        self._recent = recent
        self._wanted = wanted
        self._is_closed = False
        # No event of Python: an interrupt may tear it, and then the committing thread would hang.
        self._woken: SimpleQueue[None] = SimpleQueue()
        recent.add_waker(self._wake)

    def get(self) -> News | None:
        """Wait for the next commits; None as well when the store was closed."""
        while not self._is_closed and not self._recent.is_closed:
            found = self._recent.after(self.position, bytes_max=_NEWS_BYTES_MAX)
            if found.commits or not found.is_whole:
                self.position = found.position
                return News(self._told(found.commits), found.position, not found.is_whole)
            self._woken.get()
            while not self._woken.empty():
                self._woken.get()
        return None

    def pause(self, attempt: int) -> bool:  # noqa: ARG002  nothing here is ever out of reach
        """Go on at once."""
        return not self._is_closed

    def close(self) -> None:
        """End it."""
        self._is_closed = True
        self._recent.remove_waker(self._wake)
        self._wake()

    def _told(self, commits: list[Committed]) -> list[tuple[int, dict[str, Columns]]]:
        told = [(commit.sequence, commit.batches(self._wanted)) for commit in commits]
        for _, batches in told:
            for rows in batches.values():
                for array in (rows.ts, *(array for _, array in rows.items())):
                    array.flags.writeable = False  # the store's own memory
        return told

    def _wake(self) -> None:
        if self._woken.empty():
            self._woken.put(None)
