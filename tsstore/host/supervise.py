"""A bgworker in its own thread, started again when it fails.

The pause before a restart grows from one second to a minute, with jitter so that many workers do
not come back together, and starts anew once a run lasted for minutes. `FatalPluginError` means
that trying again cannot help, and so does `ConfigError`: the worker stays down and /heartbeat says
why.
"""

from __future__ import annotations

import logging
import random
import threading
from typing import TYPE_CHECKING, Any

from tsstore.errors import ConfigError, TsStoreError
from tsstore.plugin import FatalPluginError
from tsstore.times import format_ns

if TYPE_CHECKING:
    from tsstore.host.resolve import Plugin
    from tsstore.plugin import BgWorker, WorkerContext

PAUSE_FIRST_S = 1.0
PAUSE_LAST_S = 60.0
HEALTHY_AFTER_S = 180.0


class WorkerSupervisor:
    """Runs one bgworker.

    States: `starting`, `running`, `waiting` (before a restart), `failed` (stays down), `finished`
    (it returned by itself) and `stopped`.
    """

    def __init__(self, plugin: Plugin, context: WorkerContext) -> None:
        self.name = plugin.name
        self._plugin = plugin
        self._context = context
        self._state = "starting"
        self._since_ns = context.clock.now_ns()
        self._restarts = 0
        self._error: str | None = None
        self._thread = threading.Thread(target=self._live, name=self.name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def request_stop(self) -> None:
        """Tell the worker to return."""
        self._context.stop.set()

    def join(self, timeout_s: float) -> bool:
        """Wait until it returned; whether it did."""
        if self._thread.ident is not None:
            self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def status(self) -> dict[str, Any]:
        """What /heartbeat shows: the worker's own status, and how it fares.

        A running worker may call its `state` something more telling, such as `streaming`.
        """
        own = dict(self._context.status)
        running = self._state == "running"
        return {
            **own,
            "state": own.get("state", self._state) if running else self._state,
            "since": format_ns(self._since_ns),
            "restarts": self._restarts,
            "error": self._error or own.get("error"),
        }

    def _live(self) -> None:
        clock, stop = self._context.clock, self._context.stop
        pause_s = PAUSE_FIRST_S
        while not stop.is_set():
            begun = clock.monotonic()
            if not self._run_once():
                return
            if clock.monotonic() - begun >= HEALTHY_AFTER_S:
                pause_s = PAUSE_FIRST_S
            self._become("waiting")
            # Jitter shares out restarts; nothing secret depends on it.
            clock.wait(stop, pause_s * random.uniform(0.75, 1.25))  # noqa: S311
            pause_s = min(2 * pause_s, PAUSE_LAST_S)
            self._restarts += 1
        self._become("stopped")

    def _run_once(self) -> bool:
        """Run the worker until it ends; whether it is to be started again."""
        self._context.status.clear()
        self._become("running")
        try:
            worker: BgWorker = self._plugin.build(self._context, self._plugin.options)
            worker.run()
        except (FatalPluginError, ConfigError) as error:
            self._error = str(error)
            self._become("failed")
            self._context.logger.error("gave up: %s", error)  # noqa: TRY400  (text says it all)
            return False
        except (Exception, SystemExit) as error:
            self._error = f"{type(error).__name__}: {error}"
            if not self._context.stop.is_set():
                # Our own errors say it all; of others one has to know where they come from.
                self._context.logger.log(
                    logging.ERROR,
                    "failed, will be started again: %s",
                    self._error,
                    exc_info=not isinstance(error, TsStoreError),
                )
            return True
        self._become("stopped" if self._context.stop.is_set() else "finished")
        return False

    def _become(self, state: str) -> None:
        self._state = state
        self._since_ns = self._context.clock.now_ns()
