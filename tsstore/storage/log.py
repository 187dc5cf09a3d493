"""Group commit: many writers, one append and one sync for all that wait.

Writers queue their commits and wait. One thread takes what is queued, appends it, syncs once,
applies it to the state in order and lets the writers go. A commit is acknowledged only by a sync
that began after it was appended, and its writer gets the error if that sync, or the append, was
refused. The thread is one of our own because a signal (Ctrl-C in a notebook) may interrupt any
other in the middle; an interrupted writer merely stops waiting.
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from tsstore.errors import ClosedError, StorageError
from tsstore.storage.latch import Latch
from tsstore.storage.wal import Position

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.format.commit import Commit
    from tsstore.format.record import Body
    from tsstore.storage.wal import WalWriter

logger = logging.getLogger("tsstore.storage")

_REOPEN = "the store takes no more writes until it is opened again"


class StaleError(Exception):
    """The commit refers to buckets that a refused commit was to create: resolve them again."""


class Ticket:
    """A commit on its way.

    Attributes:
        commit: what changes.
        body: the same as a record.
        taken: whether the log is at it.
        finished: open when it is acknowledged or refused.
        error: why it was refused; None when it was not.
    """

    __slots__ = ("body", "commit", "error", "finished", "taken")

    def __init__(self, commit: Commit, body: Body) -> None:
        self.commit = commit
        self.body = body
        self.taken = False
        self.finished = Latch()
        self.error: Exception | None = None

    def finish(self, error: Exception | None = None) -> None:
        """Let its writer go."""
        self.error = error
        self.finished.open()


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

    Attributes:
        sequence: of the newest commit that was appended.
        epoch: how often a group of commits was refused or a bucket altered; see `enqueue`.
        refused: whether a commit ever was.
        leader: held by whoever appends to the log: the thread, or a rotation.
        sealed: (number, bytes) of the files that were ended.
        synced_sequence: of the newest commit that is on the medium.
        announced: the manifest that the log told of last, and the place in the log before that.
    """

    def __init__(
        self,
        new_wal: Callable[[int], WalWriter],
        begin: Callable[[], None],
        sequence: int,
        *,
        sync: bool,
        apply: Callable[[Commit, int], None],
        refuse: Callable[[Commit], None],
    ) -> None:
        self.sequence = sequence
        self.epoch = 0
        self.refused = False
        self.leader = threading.Lock()
        self.sealed: list[tuple[int, int]] = []
        self.synced_sequence = sequence
        self.announced = (0, Position(0))
        self._new_wal = new_wal
        self._begin = begin
        self._sync = sync
        self._apply = apply
        self._refuse = refuse
        self._wal: WalWriter | None = None
        self._fresh: WalWriter | None = None  # begun, and nothing committed to it yet
        self._queue: list[Ticket] = []
        # `with` takes a lock itself, and no interrupt can tear that; what a condition does for it,
        # and its `notify`, can be torn: then the next one tells all.
        self._mutex = threading.RLock()
        self._arrived = threading.Condition(self._mutex)
        self._thread: threading.Thread | None = None
        self._failure: str | None = None
        self._closing = False

    # Committing

    def enqueue(
        self, ticket: Ticket, epoch: int | None = None, *, outdates: bool = False
    ) -> Ticket:
        """Give a commit its place in the order.

        Args:
            ticket: the commit.
            epoch: what `self.epoch` was when the buckets of the commit were resolved; None for a
                commit that cannot be outdated.
            outdates: whether later commits have to be resolved after this one.

        Raises:
            StaleError: commits were refused since, and some of these buckets may not come to be;
                or buckets were altered since.
            ClosedError: the store was closed.
        """
        with self._mutex:
            if self._closing:
                raise ClosedError("the store was closed; open it again")
            if epoch is not None:
                self.check(epoch)
            self.epoch += outdates
            if self._thread is None:
                self._thread = threading.Thread(target=self._run, name="tsstore-log", daemon=True)
                self._thread.start()
            self._queue.append(ticket)
            self._arrived.notify_all()
        return ticket

    def check(self, epoch: int) -> None:
        """Whether buckets that were resolved in this epoch are what they were.

        Raises:
            StaleError: see `enqueue`.
        """
        with self._mutex:
            if epoch != self.epoch:
                raise StaleError

    def holds(self, ticket: Ticket) -> bool:
        """Whether a commit has its place in the order, for who was interrupted meanwhile."""
        with self._mutex:
            self._arrived.notify_all()  # which the interrupt may have been before
            return ticket.taken or ticket in self._queue

    def wait(self, ticket: Ticket) -> None:
        """Return once the commit is as durable as was asked for, and readers see it.

        Raises:
            StorageError: it was refused. Where the text asks to open the store again, a sync had
                failed, and only opening it will show whether the commit is there.
        """
        ticket.finished.wait()
        if ticket.error is not None:
            raise ticket.error.with_traceback(None)

    def _run(self) -> None:
        while True:
            with self._mutex:
                while not self._queue:
                    if self._closing:
                        return
                    self._arrived.wait()
                group, self._queue = self._queue, []
                for ticket in group:
                    ticket.taken = True
            with self.leader:
                self._commit(group)

    def _commit(self, group: list[Ticket]) -> None:
        try:
            self._write(group)
        except Exception as error:  # noqa: BLE001  every writer of the group gets it
            self._fail(group, error)
            return
        first = self.sequence + 1
        self.sequence += len(group)
        if self._sync:
            self.synced_sequence = self.sequence
        try:
            for number, ticket in enumerate(group):
                self._apply(ticket.commit, first + number)
        except Exception as error:
            # The log is ahead of what readers see; only a replay brings the two together.
            logger.exception("a commit could not be applied")
            self._failure = f"a commit could not be applied ({error}); {_REOPEN}"
            self._fail(group, StorageError(self._failure))
            return
        for ticket in group:
            ticket.finish()

    def _write(self, group: list[Ticket]) -> None:
        if self._failure is not None:
            raise StorageError(self._failure)
        first = self.sequence + 1
        wal = self._wal or self._begin_first(first)
        if wal.tainted:
            # Readers may have seen the refused commits; a new file tells them to look again.
            self._switch()
            wal = self._wal or wal
        try:
            wal.append([(first + i, ticket.body) for i, ticket in enumerate(group)])
        except StorageError as error:
            if wal.broken:
                self._failure = f"{error}; {_REOPEN}"
            raise
        if self._sync:
            self._sync_or_fail(wal)

    def _begin_first(self, first: int) -> WalWriter:
        self._fresh = self._fresh or self._new_wal(first)
        self._begin()
        self._wal, self._fresh = self._fresh, None
        return self._wal

    def _sync_or_fail(self, wal: WalWriter) -> None:
        try:
            wal.sync()
        except StorageError as error:
            # The kernel may have dropped the pages and forgotten about it: a later sync that
            # succeeds would acknowledge rows that are nowhere.
            self._failure = f"{error}; {_REOPEN}"
            raise StorageError(self._failure) from None

    def _fail(self, group: list[Ticket], error: Exception) -> None:
        # Commits that queued up since may write to buckets that the failed ones were to create.
        with self._mutex:
            group = [*group, *self._queue]
            self._queue = []
            for ticket in group:
                self._refuse(ticket.commit)
            self.refused = True
            self.epoch += 1  # last: whoever reads it unlocked finds the buckets gone
        for ticket in group:
            ticket.finish(error)

    # What the background does; call with `leader` held

    def sync(self) -> None:
        """Bring everything that was appended to the medium.

        Raises:
            StorageError: refused; the log takes no more commits until the store is opened again.
        """
        if self._wal is not None and self._failure is None:
            self._sync_or_fail(self._wal)
            self.synced_sequence = self.sequence

    def begin(self) -> None:
        """Begin the first WAL file, if there is none yet.

        Raises:
            StorageError: refused.
        """
        with self.leader:
            if self._wal is None and self._failure is None:
                self._begin_first(self.sequence + 1)

    def settle(self) -> None:
        """Bring every commit that readers see to the medium.

        Raises:
            StorageError: refused, or a sync failed before and it cannot be known.
        """
        if self._failure is not None:
            raise StorageError(self._failure)
        self.sync()

    def rotate(self) -> None:
        """Begin the next WAL file, if the current one has commits.

        Raises:
            StorageError: refused.
        """
        if self._wal is not None and self._failure is None:
            self._switch()

    def _switch(self) -> None:
        old = self._wal
        if old is None:
            return
        self._sync_or_fail(old)
        self.synced_sequence = self.sequence
        # The next file first: when there is no room for it, nothing has happened.
        self._wal = self._new_wal(self.sequence + 1)
        self._seal(old, self._wal.number)
        old.close()

    def _seal(self, wal: WalWriter, following: int) -> None:
        try:
            wal.seal(self.sequence, following)
        except StorageError as error:
            # Its commits are on the medium, and the next file tells that it went on.
            logger.warning("a WAL file stays without its end: %s", error)
        else:
            self.sealed.append((wal.number, wal.length))

    def seal(self) -> None:
        """End the current file; nothing can be committed after."""
        if self._wal is not None:
            self._seal(self._wal, 0)

    def note_checkpoint(self, checkpoint: int, manifest: int) -> None:
        """Tell those who follow the log that a manifest covers the commits up to `checkpoint`."""
        if self._wal is None or self._failure is not None:
            return
        self.announced = (manifest, Position(self._wal.number, self._wal.length))
        try:
            self._wal.append_checkpoint(checkpoint, manifest)
        except StorageError as error:
            logger.warning("readers keep rows in memory longer than they need to: %s", error)

    # Closing

    def stop(self) -> None:
        """Take no more commits; those that are queued still go through."""
        with self._mutex:
            self._closing = True
            self._arrived.notify_all()
        if self._thread is not None:
            self._thread.join()

    def close(self) -> None:
        """Close the files."""
        for wal in (self._wal, self._fresh):
            if wal is not None:
                wal.close()

    @property
    def wal_number(self) -> int | None:
        """Number of the WAL file that the next commit goes to; None if it is still to be begun."""
        wal = self._wal or self._fresh
        return None if wal is None else wal.number

    @property
    def synced(self) -> Position | None:
        """How far the log is on the medium; None as long as this process began no file.

        Call with `leader` held: then readers see every commit up to there.
        """
        wal = self._wal or self._fresh
        return None if wal is None else Position(wal.number, wal.synced)

    @property
    def wal_bytes(self) -> int:
        """Length of the current WAL file."""
        return 0 if self._wal is None else self._wal.length

    @property
    def failed(self) -> bool:
        """Whether the log takes no more commits."""
        return self._failure is not None
