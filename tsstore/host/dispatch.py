"""A trigger in its own thread, and the bounded queue between commits and `fire`.

The rule, in order:

1. A commit is put into the queue as it is, in no time. The trigger's thread takes everything that
   waits, and hands the rows to `fire` as few large batches; those of one key in commit order.
2. While the queue is full, writers neither wait nor is anything lost: of each key only the stretch
   of time that was written is remembered. These commits count as `overflow` and are logged once.
3. When the trigger has caught up, it reads these stretches from the store and fires them. It then
   sees the rows as they are by now: versions of a row that were replaced meanwhile are skipped, and
   rows of the stretch that it has seen come again.

So every committed row is fired at least once, or a later version of it, and memory is bounded by
the queue and the number of keys. What is waiting when the process dies is not fired: triggers that
must not miss anything compare with the store when they start.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

import numpy as np

from tsstore.columns import Columns
from tsstore.errors import NotFoundError, TsStoreError
from tsstore.host.triggerthread import TriggerThread
from tsstore.plugin import FatalPluginError, Trigger, TriggerEvent

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from tsstore.host.resolve import Plugin
    from tsstore.plugin import TriggerContext

COMMITS_MAX = 4096
ROWS_MAX = 500_000
# How many rows are read at a time of a stretch that did not fit.
REFIRE_ROWS = 100_000


class Commit(Protocol):
    """What a store tells its listeners."""

    @property
    def sequence(self) -> int:
        """Number of the commit."""
        ...

    @property
    def rows(self) -> int:
        """How many rows were written."""
        ...

    def batches(self, wanted: Callable[[str], bool]) -> dict[str, Columns]:
        """The rows of the wanted keys, ascending in time."""
        ...


class TriggerDispatcher(TriggerThread[Trigger]):
    """Feeds one trigger."""

    def __init__(
        self,
        plugin: Plugin,
        context: TriggerContext,
        *,
        commits_max: int = COMMITS_MAX,
        rows_max: int = ROWS_MAX,
    ) -> None:
        super().__init__(plugin, context)
        self._commits_max = commits_max
        self._rows_max = rows_max
        self._changed = threading.Condition(self._lock)
        self._queue: list[Commit] = []
        self._queued_rows = 0
        self._stretches: dict[str, tuple[int, int]] = {}
        self._stopping = False
        self._fired = 0
        self._overflow = 0

    def request_stop(self) -> None:
        """Finish what was committed, then close the trigger."""
        with self._changed:
            self._stopping = True
            self._changed.notify()

    def committed(self, commit: Commit) -> None:
        """Take note of a commit; called on the thread that wrote, in commit order."""
        with self._changed:
            if self._stopping or self._state == "failed":
                return
            # Once something overflows the rest follows, or a key's rows would change their order.
            if not self._stretches and self._has_room(commit.rows):
                self._queue.append(commit)
                self._queued_rows += commit.rows
            else:
                self._overflowed(commit)
            self._changed.notify()

    def _has_room(self, rows: int) -> bool:
        if not self._queue:
            return True  # however large it is, it must pass
        return len(self._queue) < self._commits_max and self._queued_rows + rows <= self._rows_max

    def _overflowed(self, commit: Commit) -> None:
        batches = commit.batches(self._wants)
        for key, columns in batches.items():
            if not len(columns):
                continue
            first, last = int(columns.ts[0]), int(columns.ts[-1])
            known = self._stretches.get(key, (first, last))
            self._stretches[key] = (min(first, known[0]), max(last, known[1]))
        if not batches:
            return
        if self._overflow == 0:
            self._context.logger.warning(
                "does not keep up: its queue is full at %d rows; what does not fit is read from "
                "the store later (counted as overflow on /heartbeat)",
                self._queued_rows,
            )
        self._overflow += 1

    def _work(self, trigger: Trigger) -> None:
        self._state = "running"
        while self._turn(trigger):
            pass

    def _counts(self) -> dict[str, int]:
        return {
            "fired_rows": self._fired,
            "queued_rows": self._queued_rows,
            "overflow": self._overflow,
        }

    def _forget(self) -> None:
        self._queue.clear()
        self._queued_rows = 0
        self._stretches.clear()

    def _turn(self, trigger: Trigger) -> bool:
        """Handle everything that waits; whether to go on."""
        with self._changed:
            while not (self._queue or self._stretches or self._stopping):
                self._changed.wait()
            commits, self._queue = self._queue, []
            stretches: dict[str, tuple[int, int]] = {}
            if not commits:
                stretches, self._stretches = self._stretches, {}
            going_on = bool(commits or stretches)
        for event in _coalesced(
            (commit.sequence, commit.batches(self._wants)) for commit in commits
        ):
            self._fire(trigger, event)
        with self._changed:
            # Until here the rows were held in memory, so they counted as waiting.
            self._queued_rows -= sum(commit.rows for commit in commits)
        for key, (first, last) in stretches.items():
            self._refire(trigger, key, first, last)
        return going_on

    def _refire(self, trigger: Trigger, key: str, first: int, last: int) -> None:
        """Fire the rows of a stretch as the store has them now."""
        read = self._context.store.read
        while first <= last:
            begin, end = np.datetime64(first, "ns"), np.datetime64(last, "ns")
            try:
                rows = read(key, start=begin, end=end, limit=REFIRE_ROWS, from_start=True)
                if len(rows) == REFIRE_ROWS:
                    # The cut may lie within one instant, so that instant is read in whole.
                    at = np.datetime64(int(rows.ts[-1]), "ns")
                    before = int(np.searchsorted(rows.ts, rows.ts[-1]))
                    rows = Columns.concat([rows.slice(0, before), read(key, start=at, end=at)])
            except NotFoundError:
                return  # destroyed meanwhile
            except TsStoreError as error:
                self._count_error(error)
                return
            if not len(rows):
                return
            self._fire(trigger, TriggerEvent({key: rows}))
            first = int(rows.ts[-1]) + 1

    def _fire(self, trigger: Trigger, event: TriggerEvent) -> None:
        for group in _by_group(event.batches):
            try:
                trigger.fire(TriggerEvent(group, event.commits))
            except FatalPluginError:
                raise
            except Exception as error:  # noqa: BLE001  (a plugin may raise anything)
                self._count_error(error)
            with self._changed:
                self._fired += sum(map(len, group.values()))


def _coalesced(commits: Iterator[tuple[int, Mapping[str, Columns]]]) -> Iterator[TriggerEvent]:
    """Rows of several commits as few batches per key, in commit order.

    A key whose columns change between two commits begins a new round.
    """
    pieces: dict[str, list[tuple[int, Columns]]] = {}
    for sequence, batches in commits:
        if any(
            key in pieces and pieces[key][0][1].names != rows.names for key, rows in batches.items()
        ):
            yield _joined(pieces)
            pieces = {}
        for key, rows in batches.items():
            if len(rows):
                pieces.setdefault(key, []).append((sequence, rows))
    if pieces:
        yield _joined(pieces)


def _joined(pieces: Mapping[str, list[tuple[int, Columns]]]) -> TriggerEvent:
    batches, commits = {}, {}
    for key, several in pieces.items():
        rows = Columns.concat([rows for _, rows in several])
        numbers = np.repeat([sequence for sequence, _ in several], [len(r) for _, r in several])
        if not (rows.ts[1:] >= rows.ts[:-1]).all():
            # Stable, so that of two versions of a row the later one comes last.
            order = np.argsort(rows.ts, kind="stable")
            rows, numbers = rows.take(order), numbers[order]
        batches[key], commits[key] = rows, numbers
    return TriggerEvent(batches, commits)


def _by_group(batches: Mapping[str, Columns]) -> list[dict[str, Columns]]:
    """The batches of each timeframe and attribute group together."""
    groups: dict[str, dict[str, Columns]] = {}
    for key, rows in batches.items():
        groups.setdefault(key.partition("/")[2], {})[key] = rows
    return list(groups.values())
