"""The commits of the last while, for those who follow the store."""

from __future__ import annotations

import threading
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.storage.committed import Committed

BYTES_MAX = 64 << 20
COMMITS_MAX = 32_768  # of one row each they take about as much
AT_ONCE_MAX = 1_000


class Recent(NamedTuple):
    """What came behind a position.

    Attributes:
        commits: in order.
        position: where to go on.
        is_whole: whether none is missing in front of them.
    """

    commits: list[Committed]
    position: int
    is_whole: bool


class RecentCommits:
    """Keeps the latest commits. Thread-safe.

    Any number of readers go through them, each at its own pace and without a queue of its own.
    Nobody waits for a reader: one that falls behind by more than is kept is told so.

    Args:
        bytes_max: of rows that are kept.
        commits_max: how many are kept.
    """

    def __init__(self, *, bytes_max: int = BYTES_MAX, commits_max: int = COMMITS_MAX) -> None:
        self._bytes_max = bytes_max
        self._commits_max = commits_max
        self._lock = threading.Lock()
        self._commits: deque[Committed] = deque()
        self._bytes = 0
        self._forgotten = 0  # what was committed up to here is not kept
        self._newest = 0
        # Without a lock: a follower that nobody closed is removed by the collector of garbage, and
        # that may run while this very thread holds any lock. Each step on a dict is atomic.
        self._wakers: dict[Callable[[], None], None] = {}
        self._is_closed = False

    @property
    def newest(self) -> int:
        """The latest commit."""
        return self._newest

    @property
    def is_closed(self) -> bool:
        """Whether the store was closed."""
        return self._is_closed

    def begin(self, position: int) -> None:
        """Keep what comes behind this commit; called once, when `add` is being called already."""
        with self._lock:
            self._forgotten = max(self._forgotten, position)
            self._newest = max(self._newest, position)

    def add(self, commit: Committed) -> None:
        """Keep a commit; called in commit order, on the committing thread."""
        with self._lock:
            self._newest = commit.sequence
            self._commits.append(commit)
            self._bytes += commit.bytes
            if not commit.is_told:
                self._forget(0, 0)
            self._forget(self._bytes_max, self._commits_max)
        self._wake_all()

    def after(self, position: int, *, bytes_max: int) -> Recent:
        """The commits behind a position.

        Args:
            position: a commit, or what the last call returned.
            bytes_max: of rows; one commit comes however large it is, and at most a thousand.
        """
        with self._lock:
            is_whole = self._forgotten <= position <= self._newest
            if not is_whole:
                position = self._forgotten
            waiting = self._behind(position)
            newest = self._newest
        taken: list[Committed] = []
        for commit in waiting:
            bytes_max -= commit.bytes
            if (taken and bytes_max < 0) or len(taken) == AT_ONCE_MAX:
                return Recent(taken, taken[-1].sequence, is_whole)
            taken.append(commit)
        return Recent(taken, newest, is_whole)

    def add_waker(self, wake: Callable[[], None]) -> None:
        """Call it after each commit and at the end, on any thread; it must not wait."""
        self._wakers[wake] = None

    def remove_waker(self, wake: Callable[[], None]) -> None:
        """Call it no more; nothing happens when it is not known, or no longer."""
        self._wakers.pop(wake, None)

    def close(self) -> None:
        """There will be no more commits."""
        self._is_closed = True
        self._wake_all()

    def _wake_all(self) -> None:
        for wake in self._wakers.copy():
            wake()

    def _behind(self, position: int) -> list[Committed]:
        # From the end on: who follows has little in front of it.
        found = []
        for commit in reversed(self._commits):
            if commit.sequence <= position:
                break
            found.append(commit)
        found.reverse()
        return found

    def _forget(self, bytes_max: int, commits_max: int) -> None:
        while self._commits and (self._bytes > bytes_max or len(self._commits) > commits_max):
            oldest = self._commits.popleft()
            self._bytes -= oldest.bytes
            self._forgotten = max(self._forgotten, oldest.sequence)
