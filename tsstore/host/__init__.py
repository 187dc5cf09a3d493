"""The plugin host: finds plugins, runs them, and keeps what they do away from the store's path.

- `resolve`   from an entry of mkts.yml to a class and its checked options
- `reference` plugins and options of MarketStore that are passed over
- `supervise` a bgworker in its thread: restarts, back-off, what /heartbeat shows
- `dispatch`  a trigger in its thread: the bounded queue between commits and `fire`
- `changes`   a trigger that is told where rows changed, from one start of the server to the next
- `stretches` a bounded number of stretches of time
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from tsstore.host.changes import ChangeDispatcher, ChangingStore
from tsstore.host.changes import Commit as TouchingCommit
from tsstore.host.dispatch import Commit, TriggerDispatcher
from tsstore.host.resolve import Plugin, Plugins, load_plugins
from tsstore.host.supervise import WorkerSupervisor
from tsstore.plugin import TriggerContext, WorkerContext

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Protocol

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore.plugin import Publish
    from tsstore.redact import Redactor

    class HostStore(StoreApi, ChangingStore, Protocol):
        """A store that says what was committed."""

        def add_listener(self, listener: Callable[[Committed], None]) -> None:
            """Call the listener after each commit, in commit order."""
            ...

    class Committed(Commit, TouchingCommit, Protocol):
        """What it says."""


__all__ = ["Plugin", "PluginHost", "Plugins", "load_plugins"]

STOP_TIMEOUT_S = 2.0
# A worker that uses up its time leaves the triggers so much of the whole.
_TRIGGERS_SHARE = 0.2


class PluginHost:
    """Runs the plugins of one server."""

    def __init__(
        self,
        plugins: Plugins,
        store: HostStore,
        *,
        clock: Clock,
        redactor: Redactor,
        publish: Publish,
        timezone: str = "UTC",
    ) -> None:
        """Prepare, start nothing.

        Args:
            plugins: what to run.
            store: given to the plugins; its commits fire the triggers.
            clock: given to the plugins, and used for pauses.
            redactor: masks secrets in logs and in `status()`.
            publish: hands a row to the subscribers of /ws.
            timezone: zone of mkts.yml.
        """
        self._clock = clock
        self._redactor = redactor
        redactor.add(plugins.secrets)
        self._workers = [
            WorkerSupervisor(
                plugin,
                WorkerContext(
                    plugin.name, store, clock, _logger(plugin, redactor), timezone=timezone
                ),
            )
            for plugin in plugins.workers
        ]
        self._triggers = [
            _dispatcher(
                plugin,
                TriggerContext(
                    plugin.name, store, clock, _logger(plugin, redactor), publish, timezone
                ),
                store,
            )
            for plugin in plugins.triggers
        ]
        for trigger in self._triggers:
            store.add_listener(trigger.committed)

    def start(self) -> None:
        """Start triggers, then workers, so that no row of a worker goes by unseen."""
        for trigger in self._triggers:
            trigger.start()
        for worker in self._workers:
            worker.start()

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> list[str]:
        """Stop workers, then let triggers finish what was committed.

        Args:
            timeout_s: what all of them have together.

        Returns:
            Names of those that were still busy when the time was over; their threads are left
            behind and end with the process.
        """
        deadline = self._clock.monotonic() + timeout_s
        for worker in self._workers:
            worker.request_stop()
        workers_deadline = deadline - _TRIGGERS_SHARE * timeout_s
        late = [w.name for w in self._workers if not w.join(self._left(workers_deadline))]
        for trigger in self._triggers:
            trigger.request_stop()
        return late + [t.name for t in self._triggers if not t.join(self._left(deadline))]

    def status(self) -> dict[str, Any]:
        """What /heartbeat shows of the plugins: JSON values, secrets masked."""
        result: dict[str, Any] = self._redactor.json(
            {
                "workers": {worker.name: worker.status() for worker in self._workers},
                "triggers": {trigger.name: trigger.status() for trigger in self._triggers},
            }
        )
        return result

    def _left(self, deadline: float) -> float:
        return max(0.0, deadline - self._clock.monotonic())


def _dispatcher(
    plugin: Plugin, context: TriggerContext, store: HostStore
) -> TriggerDispatcher | ChangeDispatcher:
    if hasattr(plugin.build, "changed"):
        return ChangeDispatcher(plugin, context, store)
    return TriggerDispatcher(plugin, context)


def _logger(plugin: Plugin, redactor: Redactor) -> logging.Logger:
    logger = logging.getLogger(f"tsstore.{plugin.kind}.{plugin.name}")
    logger.filters = [_mask_with(redactor)]
    return logger


def _mask_with(redactor: Redactor) -> Callable[[logging.LogRecord], bool]:
    """A filter that masks the message; the handler of `tsstore start` masks tracebacks as well."""

    def mask(record: logging.LogRecord) -> bool:
        record.msg = redactor.mask(record.getMessage())
        record.args = None
        return True

    return mask
