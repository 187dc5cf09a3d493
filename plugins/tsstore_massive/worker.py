"""The bgworker: one connection or several, each for itself, and one report of how they fare.

    worker (this thread)   looks at commands, universes and connections; shows the status
    line (a thread each)   a connection with its gaps and its history, see `line.py`

A worker with one connection ends as that does, and the host starts it again. Of several, each is
started again by itself, and one that is refused for good stays down while the others go on.
Nothing is remembered outside the store: a new start goes on from what the store holds.
"""

from __future__ import annotations

import logging
import random
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tsstore.errors import ConfigError, TsStoreError
from tsstore.plugin import FatalPluginError
from tsstore_massive.config import Config as MassiveConfig
from tsstore_massive.rest.rate import limiter_for
from tsstore_massive.streaming.backoff import Backoff
from tsstore_massive.streaming.desk import Desk
from tsstore_massive.streaming.line import Line
from tsstore_massive.streaming.linehealth import added_up
from tsstore_massive.streaming.lineup import lineup
from tsstore_massive.streaming.named import check_named
from tsstore_massive.streaming.patience import Patience
from tsstore_massive.synthetic import is_played_here, source

if TYPE_CHECKING:
    from tsstore.plugin import WorkerContext
    from tsstore_massive.rest.rate import RateLimiter
    from tsstore_massive.streaming.lineup import Planned


_RESTART_FIRST_S = 1.0
_RESTART_MAX_S = 60.0
_HEALTHY_S = 180.0
_JOIN_S = 2.0


class Worker:
    """Streams Massive's market data into the store.

    Args:
        context: what the host gives.
        config: the options in mkts.yml.
        patience: pauses and time-outs.
    """

    Config = MassiveConfig
    check_config = staticmethod(check_named)
    once = "put both under `connections` of one entry, as in mkts.yml.example"

    def __init__(
        self, context: WorkerContext, config: MassiveConfig, *, patience: Patience | None = None
    ) -> None:
        self._context = context
        self._config = config
        self._patience = patience or Patience()

    def run(self) -> None:
        """Work until the context's stop event is set.

        Raises:
            ConfigError: there is no API key, or the connections would fight over a quota.
            FatalPluginError: the server refuses the key, or those of all connections; or the
                directory holds synthetic rows and these are real, or the other way round.
            LockedError: another worker on this machine uses the key.
            TsStoreError: the store does not take the rows.
        """
        with source(self._context, self._config) as (context, config):
            self._run(context, config)

    def _run(self, context: WorkerContext, config: MassiveConfig) -> None:
        planned = lineup(config)
        desk = Desk(context, config, planned)
        limiters = {one.key: limiter_for(one.config, one.key, context.clock) for one in planned}
        runners = [
            _Runner(context, one, desk, limiters[one.key], self._patience, len(planned) == 1)
            for one in planned
        ]
        desk.open()
        for runner in runners:
            runner.start()
        try:
            self._watch(runners, desk)
        finally:
            for runner in runners:
                runner.stop()
            for runner in runners:
                runner.join()
            self._show(runners, desk)

    def _watch(self, runners: list[_Runner], desk: Desk) -> None:
        stop, clock = self._context.stop, self._context.clock
        while not stop.is_set():
            ended = [runner for runner in runners if runner.error is not None]
            if len(ended) == len(runners):
                raise _all_refused(ended)
            desk.look([runner.line for runner in runners])
            self._show(runners, desk)
            clock.wait(stop, self._patience.look_s)

    def _show(self, runners: list[_Runner], desk: Desk) -> None:
        described = {runner.name: runner.describe() for runner in runners}
        status = added_up(described, desk.problems)
        if is_played_here(self._config):
            # The age of its events is how long ago the played market was, not how late they are.
            del status["lag_ms"]
        self._context.status.update(status)


class _Runner:
    """Runs one connection on a thread of its own; one of several again and again.

    Attributes:
        name: of the connection.
        line: the connection, a new one after each failure.
        error: what ended it for good.
    """

    def __init__(
        self,
        context: WorkerContext,
        planned: Planned,
        desk: Desk,
        limiter: RateLimiter,
        patience: Patience,
        is_sole: bool,
    ) -> None:
        self.name = planned.name
        self.error: BaseException | None = None
        self._context = _with_logger_of(context, planned.name)
        self._planned = planned
        self._desk = desk
        self._limiter = limiter
        self._patience = patience
        self._is_sole = is_sole
        self._stopping = threading.Event()
        self._failed = ""
        self._restarts = 0
        self._thread = threading.Thread(target=self._live, name=f"massive-{self.name}", daemon=True)
        self.line = self._new_line(None)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Have it end soon."""
        self._stopping.set()
        self.line.stop()

    def join(self) -> None:
        """Wait until it has ended."""
        self._thread.join(_JOIN_S)

    def describe(self) -> dict[str, Any]:
        """How it fares, as JSON values."""
        status = self.line.describe()
        if self._restarts:
            status["restarts"] = self._restarts
        if self.error is not None:
            return status | {"state": "failed", "alarm": str(self.error)}
        if self._failed:
            return status | {"state": "waiting", "alarm": self._failed}
        return status

    def _new_line(self, down_since: float | None) -> Line:
        return Line(
            self._context,
            self._planned,
            self._desk.watched[self.name],
            limiter=self._limiter,
            patience=self._patience,
            down_since=down_since,
        )

    def _live(self) -> None:
        clock = self._context.clock
        backoff = Backoff(
            _RESTART_FIRST_S,
            _RESTART_MAX_S,
            healthy_s=_HEALTHY_S,
            jitter=random.Random(),  # noqa: S311  (spreads restarts, guards nothing)
        )
        while not self._stopping.is_set():
            begun = clock.monotonic()
            if not self._run_once():
                return
            pause_s = backoff.pause_s(clock.monotonic() - begun)
            clock.wait(self._stopping, pause_s)
            self._restarts += 1

    def _run_once(self) -> bool:
        """Run the connection until it ends; whether it is to be started again."""
        try:
            if self._failed:
                self.line = self._new_line(self.line.down_since)
                self._failed = ""
            self.line.run()
        except Exception as error:
            if self._is_sole or isinstance(error, FatalPluginError | ConfigError):
                self.error = error
                if not self._is_sole:
                    self._context.logger.error("connection %s gave up: %s", self.name, error)  # noqa: TRY400
                return False
            self._failed = f"{type(error).__name__}: {error}"
            if not self._stopping.is_set():
                # Our own errors say it all; of others one has to know where they come from.
                self._context.logger.log(
                    logging.ERROR,
                    "connection %s failed, will be started again: %s",
                    self.name,
                    self._failed,
                    exc_info=not isinstance(error, TsStoreError),
                )
            return True
        return False


def _with_logger_of(context: WorkerContext, name: str) -> WorkerContext:
    """The context with a logger that names the connection, and masks secrets as the worker's."""
    if not name:
        return context
    logger = context.logger.getChild(name)
    logger.filters = context.logger.filters
    return replace(context, logger=logger)


def _all_refused(ended: list[_Runner]) -> BaseException:
    """What the worker ends with when none of its connections can go on."""
    if len(ended) == 1 and ended[0].error is not None:
        return ended[0].error
    reasons = "; ".join(f"{runner.name}: {runner.error}" for runner in ended)
    return FatalPluginError(f"no connection can go on: {reasons}")
