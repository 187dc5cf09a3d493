"""The thread of a trigger: it is built there, works and is closed, whatever it is told."""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, Generic, TypeVar

from tsstore.plugin import ChangeTrigger, Trigger

if TYPE_CHECKING:
    from tsstore.host.resolve import Plugin
    from tsstore.plugin import TriggerContext

T = TypeVar("T", Trigger, ChangeTrigger)


class TriggerThread(ABC, Generic[T]):
    """What the dispatchers have in common. Whatever a trigger raises, the host lives on."""

    def __init__(self, plugin: Plugin, context: TriggerContext) -> None:
        self.name = plugin.name
        self._plugin = plugin
        self._context = context
        self._lock = threading.Lock()
        self._state = "starting"
        self._errors = 0
        self._error: str | None = None
        self._wanted_keys: dict[str, bool] = {}
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def join(self, timeout_s: float) -> bool:
        """Wait until the trigger is closed; whether it is."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """What /heartbeat shows."""
        with self._lock:
            return {
                **self._context.status,
                "state": self._state,
                **self._counts(),
                "errors": self._errors,
                "error": self._error,
            }

    @abstractmethod
    def _work(self, trigger: T) -> None:
        """Tell the trigger what there is, until a stop is asked for."""

    @abstractmethod
    def _counts(self) -> dict[str, int]:
        """Further fields of the status; called with the lock held."""

    @abstractmethod
    def _forget(self) -> None:
        """Drop what waits, for nobody will be told; called with the lock held."""

    def _wants(self, key: str) -> bool:
        wanted = self._wanted_keys.get(key)
        if wanted is None:
            pattern = self._plugin.pattern
            wanted = self._wanted_keys[key] = pattern is None or pattern.matches(key)
        return wanted

    def _live(self) -> None:
        trigger: T | None = None
        try:
            trigger = self._plugin.build(self._context, self._plugin.options)
            self._work(trigger)
            self._state = "stopped"
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a plugin may raise anything)
            self._fail(error)
        finally:
            if trigger is not None:
                self._close(trigger)

    def _count_error(self, error: Exception, *, outcome: str = "failed", log: bool = True) -> None:
        text = f"{type(error).__name__}: {error}"
        # The same mistake again and again is logged once.
        if log and text != self._error:
            self._context.logger.error("%s: %s", outcome, text, exc_info=error)
        with self._lock:
            self._errors += 1
            self._error = text

    def _fail(self, error: BaseException) -> None:
        self._context.logger.error("gave up: %s: %s", type(error).__name__, error, exc_info=error)
        with self._lock:
            self._state = "failed"
            self._error = f"{type(error).__name__}: {error}"
            self._forget()

    def _close(self, trigger: T) -> None:
        try:
            trigger.close()
        except (Exception, SystemExit) as error:  # noqa: BLE001  (a plugin may raise anything)
            self._count_error(RuntimeError(f"close: {error}"))
