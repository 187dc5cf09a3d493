"""The writer thread: what the intake holds, decoded, judged and stored, one commit per drain."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Protocol

from tsstore_massive.decoding.messages import Events

if TYPE_CHECKING:
    import logging
    from collections.abc import Callable

    from tsstore_massive.faults import Faults
    from tsstore_massive.streaming.connection import Connection
    from tsstore_massive.streaming.intake import Intake
    from tsstore_massive.symbols import Market

#: Received bytes that go into one commit at most, some 50,000 events.
_DRAIN_BYTES_MAX = 8 * 2**20
#: How long the writer may take at the end for what is in the intake; the rest is a gap to fill.
_STOP_GRACE_S = 1.0


class Sink(Protocol):
    """Where decoded events go."""

    def write(self, events: Events) -> None:
        """Store everything, durably, or raise."""
        ...


class Writer:
    """Stores what the intake holds, on a thread of its own.

    Args:
        intake: the frames under way.
        sink: stores the events; called on this thread only.
        market: whose events they are.
        faults: where bad messages are counted.
        secret: never to be logged, though a server may repeat it.
        on_events: told when there were events in the frames.
        on_refused: told why the server refuses a topic.
        on_failure: told what ended the thread.
        logger: for the operator.
    """

    def __init__(
        self,
        intake: Intake[Connection],
        sink: Sink,
        *,
        market: Market,
        faults: Faults,
        secret: str,
        on_events: Callable[[], None],
        on_refused: Callable[[str], None],
        on_failure: Callable[[BaseException], None],
        logger: logging.Logger,
    ) -> None:
        self._intake = intake
        self._sink = sink
        self._market = market
        self._faults = faults
        self._secret = secret
        self._on_events = on_events
        self._on_refused = on_refused
        self._on_failure = on_failure
        self._logger = logger
        self._thread = threading.Thread(target=self._run, name="massive-writer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Store what is there yet, as far as that is quick, and end."""
        self._intake.close()
        self._thread.join(_STOP_GRACE_S)
        if left := len(self._intake):
            self._logger.warning(
                "%d received bytes are not stored; the next start fetches what is missing", left
            )
        self._intake.close(abandon=True)

    def _run(self) -> None:
        try:
            while frames := self._intake.take(_DRAIN_BYTES_MAX):
                self._store(frames)
                self._intake.done()
        except BaseException as error:  # noqa: BLE001  (raised again by the feed)
            self._on_failure(error)

    def _store(self, frames: list[tuple[Connection, bytes]]) -> None:
        events = Events(self._faults, self._market)
        for connection, frame in frames:
            for message in connection.judge(events.add(frame)):
                self._on_refused(message)
        if len(events):
            self._on_events()
            self._sink.write(events)
        for kind, sample in self._faults.take_untold():
            sample = sample.replace(self._secret, "***")  # noqa: PLW2901
            self._logger.warning("%s, counted from now on; the first was: %s", kind, sample)
