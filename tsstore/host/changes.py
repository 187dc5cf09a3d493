"""A trigger that is told where rows changed, in its own thread.

The rule, in order:

1. A commit is noted as the buckets and stretches of time it touched, never with its rows. While
   more than `NOTES_MAX` of these wait, new ones are put together at once: memory is bounded by the
   number of keys.
2. After the first note the thread waits `GATHER_S` for more. So rows that come in small commits, as
   in a backfill, are handled a few times a second and not once per commit.
3. What fails is kept, put together with what comes, and tried again after a pause that grows from
   1 s to 60 s.
4. At the start it asks the trigger for its position and the store for what was written since. What
   is not finished at a stop is behind the position, and so comes again at the next start.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from tsstore.errors import TsStoreError
from tsstore.host.stretches import Stretches
from tsstore.host.triggerthread import TriggerThread
from tsstore.plugin import ChangeEvent, ChangeTrigger, FatalPluginError
from tsstore.zones import NS_PER_DAY

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsstore.api import Changed
    from tsstore.host.resolve import Plugin
    from tsstore.plugin import TriggerContext

NOTES_MAX = 200_000
GATHER_S = 0.2
PAUSE_FIRST_S = 1.0
PAUSE_LAST_S = 60.0
# A minute of all of a market is one event; of history an event has so much that a stop need not
# wait long for it.
KEY_DAYS_PER_EVENT = 10_000
# How long work goes on after a stop was asked for; the host waits two seconds for all.
_LAST_WORK_S = 1.0


class Touched(Protocol):
    """What a store keeps of a commit."""

    sequence: int

    def __len__(self) -> int: ...

    def stretches(self, wanted: Callable[[str], bool]) -> Iterable[tuple[str, int, int, bool]]:
        """Key, first ns, last ns, whether rows were removed."""
        ...


class Commit(Protocol):
    """What a store tells its listeners."""

    def touched(self) -> Touched:
        """Where rows changed."""
        ...


class ChangingStore(Protocol):
    """A store that knows what was written since a commit."""

    def changed_since(self, position: int, pattern: str = ...) -> Changed:
        """See `Store.changed_since`."""
        ...

    def list(self, pattern: str = ...) -> list[str]:
        """Keys of the buckets that match."""
        ...


class Pending:
    """Stretches that are to be handled, and up to which commit they are all there are."""

    def __init__(self) -> None:
        self.stretches: dict[str, Stretches] = {}
        self.removed: set[str] = set()
        self.position = 0

    def __bool__(self) -> bool:
        return bool(self.stretches)

    def add(self, touched: Touched, wanted: Callable[[str], bool]) -> None:
        """Put in what a commit touched."""
        for key, first, last, removed in touched.stretches(wanted):
            self.stretches.setdefault(key, Stretches()).add(first, last)
            if removed:
                self.removed.add(key)
        self.position = max(self.position, touched.sequence)

    def next_event(self) -> ChangeEvent:
        """The next keys, which stay in until `done`."""
        keys: list[str] = []
        days = 0
        for key, stretches in self.stretches.items():
            days += 1 + stretches.length_ns // NS_PER_DAY
            if keys and days > KEY_DAYS_PER_EVENT:
                break
            keys.append(key)
        return ChangeEvent(
            {key: tuple(self.stretches[key]) for key in keys},
            frozenset(self.removed.intersection(keys)),
            self.position if len(keys) == len(self.stretches) else None,
        )

    def done(self, event: ChangeEvent) -> None:
        """Take out what was handled."""
        for key in event.stretches:
            del self.stretches[key]
        self.removed.difference_update(event.removed)


class ChangeDispatcher(TriggerThread[ChangeTrigger]):
    """Tells one trigger where rows changed."""

    def __init__(
        self,
        plugin: Plugin,
        context: TriggerContext,
        store: ChangingStore,
        *,
        notes_max: int = NOTES_MAX,
    ) -> None:
        super().__init__(plugin, context)
        self._store = store
        self._notes_max = notes_max
        self._notes: list[Touched] = []
        self._noted = 0
        self._overflow = Pending()
        self._overflows = 0
        self._woken = threading.Event()
        self._stopping = threading.Event()
        self._stop_by = 0.0
        self._handled = 0

    def request_stop(self) -> None:
        """Finish what can be finished in short time, then close the trigger."""
        self._stop_by = self._context.clock.monotonic() + _LAST_WORK_S
        self._stopping.set()
        self._woken.set()

    def committed(self, commit: Commit) -> None:
        """Take note of a commit; called on the thread that wrote, in commit order."""
        touched = commit.touched()
        with self._lock:
            if self._state == "failed":
                return
            # Once something overflows the rest follows, or there would be no saying up to which
            # commit the notes are complete.
            if self._overflow or self._noted + len(touched) > self._notes_max:
                self._overflow.add(touched, self._wants)
                self._overflows += 1
            else:
                self._notes.append(touched)
                self._noted += len(touched)
        self._woken.set()

    def _counts(self) -> dict[str, int]:
        return {
            "handled_keys": self._handled,
            "waiting_stretches": self._noted + len(self._overflow.stretches),
            "overflow": self._overflows,
        }

    def _forget(self) -> None:
        self._notes.clear()
        self._noted = 0
        self._overflow = Pending()

    def _work(self, trigger: ChangeTrigger) -> None:
        self._state = "catching up"
        pending = self._since(trigger.position())
        pause_s = 0.0
        while True:
            if self._handle(trigger, pending):
                self._state, pause_s = "running", 0.0
            else:
                pause_s = min(max(PAUSE_FIRST_S, 2 * pause_s), PAUSE_LAST_S)
            if self._stopping.is_set():
                break
            if pause_s:
                self._context.clock.wait(self._stopping, pause_s)
            else:
                self._woken.wait()
                self._context.clock.wait(self._stopping, GATHER_S)
            self._take(pending)
        self._say_all_is_done(trigger, pending)

    def _since(self, position: int) -> Pending:
        """What the store got since a commit; every matching key, also those without news."""
        pending = Pending()
        pattern = "*/*/*" if self._plugin.pattern is None else self._plugin.pattern.text
        pending.position, changed = self._store.changed_since(position, pattern)
        for key in self._store.list(pattern):
            stretches = pending.stretches[key] = Stretches()
            for first, last in changed.get(key, ()):
                stretches.add(first, last)
        return pending

    def _take(self, pending: Pending) -> None:
        """Put what was noted to what is pending."""
        with self._lock:
            self._woken.clear()
            notes, self._notes, self._noted = self._notes, [], 0
            overflow, self._overflow = self._overflow, Pending()
        for touched in notes:
            pending.add(touched, self._wants)
        for key, several in overflow.stretches.items():
            known = pending.stretches.setdefault(key, Stretches())
            for first, last in several:
                known.add(first, last)
        pending.removed |= overflow.removed
        pending.position = max(pending.position, overflow.position)

    def _handle(self, trigger: ChangeTrigger, pending: Pending) -> bool:
        """Handle what is pending; False when it is to be tried again later."""
        while pending and not self._is_late():
            event = pending.next_event()
            try:
                trigger.changed(event)
            except FatalPluginError:
                raise
            except Exception as error:  # noqa: BLE001  (a plugin may raise anything)
                self._count_error(error, outcome="failed, will try again", log=not self._is_late())
                return False
            pending.done(event)
            with self._lock:
                self._handled += len(event.stretches)
        return True

    def _is_late(self) -> bool:
        return self._stopping.is_set() and self._context.clock.monotonic() > self._stop_by

    def _say_all_is_done(self, trigger: ChangeTrigger, pending: Pending) -> None:
        """Let the trigger keep the newest position, so that its own writes are no news to it."""
        self._take(pending)
        if not self._handle(trigger, pending):
            return
        self._take(pending)
        if pending:
            return
        try:
            trigger.changed(ChangeEvent({}, position=pending.position))
        except TsStoreError as error:
            self._count_error(error)
