"""Group commit: many writers, one append and one sync for all that wait.

A writer hands in the body of its commit and waits. Whoever finds nobody at work becomes the
leader: it takes all bodies that are queued, appends them, syncs once, applies them to the state in
order and lets their writers go. A commit is acknowledged only by a sync that began after it was
appended, and its writer gets the error if that sync, or the append, was refused.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

from tsstore.errors import StorageError

if TYPE_CHECKING:
    from tsstore.format.commit import Commit
    from tsstore.format.record import Body
    from tsstore.storage.wal import WalWriter

Apply = Callable[["Commit", int], None]


class _Ticket:
    __slots__ = ("body", "commit", "done", "error")

    def __init__(self, commit: Commit, body: Body) -> None:
        self.commit = commit
        self.body = body
        self.done = False
        self.error: Exception | None = None


class CommitLog:
    """The order of all commits of a writing process.

    Args:
        new_wal: begins the next WAL file, given the sequence number of its first commit. Nothing
            is created before the first commit, so opening a store to read it costs no sync.
        begin: called when the first file is there, before anything is committed to it.
        sequence: of the newest commit there is.
        sync: whether a commit waits for the medium.
        apply: shows a commit to readers; called in order.
        refuse: takes back what was reserved for a commit that was refused.
    """

    def __init__(
        self,
        new_wal: Callable[[int], WalWriter],
        begin: Callable[[], None],
        sequence: int,
        *,
        sync: bool,
        apply: Apply,
        refuse: Callable[[Commit], None],
    ) -> None:
        self._new_wal = new_wal
        self._begin = begin
        self._wal: WalWriter | None = None
        self.sequence = sequence
        self._sync = sync
        self._apply = apply
        self._refuse = refuse
        self._queue: list[_Ticket] = []
        self._queue_lock = threading.Lock()
        #: Held by whoever appends to the log: the leader of a group, or a rotation.
        self.leader = threading.RLock()
        self._failure: str | None = None

    def enqueue(self, commit: Commit, body: Body) -> _Ticket:
        """Give a commit its place in the order; `wait` makes it happen."""
        ticket = _Ticket(commit, body)
        with self._queue_lock:
            self._queue.append(ticket)
        return ticket

    def wait(self, ticket: _Ticket) -> None:
        """Return once the commit is as durable as was asked for, and readers see it.

        Raises:
            StorageError: it was refused, and nothing of it will be seen. After a failed sync the
                log takes no more commits, and whether this one is there after opening the store
                again is not known.
        """
        with self.leader:
            if not ticket.done:
                self._lead()
        if ticket.error is not None:
            raise ticket.error.with_traceback(None)

    def _lead(self) -> None:
        with self._queue_lock:
            group, self._queue = self._queue, []
        try:
            self._write(group)
        except Exception as error:  # noqa: BLE001  every writer of the group gets it
            self._fail(group, error)
            return
        for ticket in group:
            self.sequence += 1
            self._apply(ticket.commit, self.sequence)
            ticket.done = True

    def _write(self, group: list[_Ticket]) -> None:
        if self._failure is not None:
            raise StorageError(self._failure)
        first = self.sequence + 1
        if self._wal is None:
            fresh = self._new_wal(first)
            self._begin()
            self._wal = fresh
        try:
            self._wal.append([(first + i, ticket.body) for i, ticket in enumerate(group)])
        except StorageError as error:
            if self._wal.broken:
                self._failure = f"{error}; the store takes no more writes until it is opened again"
            raise
        if self._sync:
            self.sync()

    def sync(self) -> None:
        """Bring everything that was appended to the medium.

        Raises:
            StorageError: refused; the log takes no more commits until the store is opened again.
        """
        if self._wal is None:
            return
        try:
            self._wal.sync()
        except StorageError as error:
            # The kernel may have dropped the pages and forgotten about it: a later sync that
            # succeeds would acknowledge rows that are nowhere.
            self._failure = f"{error}; the store takes no more writes until it is opened again"
            raise StorageError(self._failure) from None

    def _fail(self, group: list[_Ticket], error: Exception) -> None:
        # Commits that queued up since may write to buckets that the failed ones were to create.
        with self._queue_lock:
            group += self._queue
            self._queue = []
        for ticket in group:
            self._refuse(ticket.commit)
            ticket.error = error
            ticket.done = True

    def rotate(self) -> None:
        """Begin the next WAL file, if the current one has commits; call as the leader.

        Raises:
            StorageError: refused; the current file stays in use.
        """
        if self._wal is None or self._failure is not None:
            return
        # The next file first: when there is no room for it, nothing has happened.
        fresh = self._new_wal(self.sequence + 1)
        old, self._wal = self._wal, fresh
        old.seal(self.sequence, fresh.number)
        old.close()

    def seal(self) -> None:
        """End the current file; nothing can be committed after; call as the leader."""
        if self._wal is not None:
            self._wal.seal(self.sequence)

    def note_checkpoint(self, checkpoint: int, manifest: int) -> None:
        """Tell those who follow the log that a manifest covers the commits up to `checkpoint`."""
        with self.leader:
            if self._wal is not None and self._failure is None:
                self._wal.append_checkpoint(checkpoint, manifest)

    def stop(self, why: str) -> None:
        """Refuse all further commits."""
        with self.leader:
            self._failure = self._failure or why

    def close(self) -> None:
        """Close the file."""
        if self._wal is not None:
            self._wal.close()

    @property
    def wal_number(self) -> int | None:
        """Number of the current WAL file; None before the first commit."""
        return None if self._wal is None else self._wal.number

    @property
    def wal_bytes(self) -> int:
        """Length of the current WAL file."""
        return 0 if self._wal is None else self._wal.length

    @property
    def failed(self) -> bool:
        """Whether the log takes no more commits."""
        return self._failure is not None
