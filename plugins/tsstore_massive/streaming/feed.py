"""Always one connection to Massive's socket: made, read, and made again.

    event loop (the worker's thread)          writer thread (storing.py)
    socket ──frames──▶ Intake (bounded) ──▶ decode ──▶ sink.write: one commit per drain
       ▲                                       │
       └──────── end of the connection ◀── statuses, judged by the Session (connection.py)

The loop does nothing but read, so the vendor never sees a slow reader until the intake is full.
Every end of a connection leads to the next one, a clean close too; only a refused key ends it all.
What it is subscribed to may change at any time, and while that is nothing there is no connection.
"""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Protocol

from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.frames import CloseCode

from tsstore_massive.decoding.messages import Events
from tsstore_massive.streaming.connection import Connection
from tsstore_massive.streaming.dialing import abort_soon, dial
from tsstore_massive.streaming.endings import Endings
from tsstore_massive.streaming.intake import Intake
from tsstore_massive.streaming.patience import Timing
from tsstore_massive.streaming.protocol import Evicted, Session, State
from tsstore_massive.streaming.pulse import lifeless
from tsstore_massive.streaming.silence import Silence
from tsstore_massive.streaming.storing import Writer

if TYPE_CHECKING:
    import logging
    import threading
    from collections.abc import Callable, Iterable

    from websockets.asyncio.client import ClientConnection

    from tsstore.clock import Clock
    from tsstore_massive.config import Config
    from tsstore_massive.faults import Faults
    from tsstore_massive.streaming.storing import Sink

_TICK_S = 0.1


class Observer(Protocol):
    """Who is told how the feed fares; calls come on the event loop and must be quick."""

    def on_streaming(self) -> None:
        """The server answered the subscription: what comes from now on is not missed."""
        ...

    def on_lost(self) -> None:
        """The connection that was streaming ended, and all that came over it is stored."""
        ...

    def on_tick(self) -> None:
        """Some time went by."""
        ...


class Feed:
    """Keeps one connection to the socket and stores what comes.

    Args:
        config: the worker's options.
        api_key: sent to authenticate.
        topics: what to subscribe to at first.
        sink: stores the events; called on the writer thread only.
        observer: told how it fares.
        market_open: whether messages must be coming at an instant (ns since 1970 UTC).
        faults: where bad messages are counted.
        clock: the source of time.
        logger: for the operator.
        stop: ends `run` when set.
        timing: pauses and time-outs.

    Attributes:
        state: `connecting`, `streaming`, `waiting`, `evicted`, `refused`; `idle` without a topic.
        connections: how many were made.
        failures: how many ended, or could not be made.
        last_message: monotonic second at which the last frame came; None before the first.
        refusal: the server's words when a topic is not in the plan, on the newest connection.
        alarm: what an operator has to see to; empty when nothing.
        intake: the frames under way.
    """

    def __init__(
        self,
        config: Config,
        api_key: str,
        topics: Iterable[str],
        *,
        sink: Sink,
        observer: Observer,
        market_open: Callable[[int], bool],
        faults: Faults,
        clock: Clock,
        logger: logging.Logger,
        stop: threading.Event,
        timing: Timing | None = None,
    ) -> None:
        self.state = "connecting"
        self.connections = 0
        self.failures = 0
        self.last_message: float | None = None
        self.refusal = self._refusal_told = ""
        self.alarm = ""
        self.intake = Intake[Connection](config.queue_bytes)
        self._config = config
        self._market = config.market
        self._api_key = api_key
        self._topics = tuple(topics)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._topics_changed = asyncio.Event()
        self._connection: Connection | None = None
        self._observer = observer
        self._faults = faults
        self._clock = clock
        self._logger = logger
        self._stop = stop
        self._timing = timing = timing or Timing()
        self._endings = Endings(config.stream_url, timing)
        self._silence = Silence(config.mute_timeout_s, market_open, clock)
        self._writer = Writer(
            self.intake,
            sink,
            market=config.market,
            faults=faults,
            secret=api_key,
            on_events=self._silence.over,
            on_refused=self._note_refusal,
            on_failure=self.fail,
            logger=logger,
        )
        self._streaming_since = float("inf")
        self._is_reading = True
        self._read_at = float("-inf")
        self._failure: BaseException | None = None

    def run(self) -> None:
        """Stream until stopped.

        Raises:
            FatalPluginError: the key is refused.
            TsStoreError: the store does not take the rows.
        """
        self._writer.start()
        try:
            asyncio.run(self._network())
        finally:
            self._writer.finish()
        self.check()

    def fail(self, error: BaseException) -> None:
        """Have `run` end and raise this, or the next `check`; thread-safe."""
        self._failure = error

    def check(self) -> None:
        """Raise what it has failed with, if it has."""
        if self._failure is not None:
            raise self._failure

    def subscribe(self, topics: Iterable[str]) -> None:
        """Have other topics streamed from now on; thread-safe."""
        self._topics = tuple(topics)
        if self._loop is not None:
            with suppress(RuntimeError):  # the loop is over, nobody waits
                self._loop.call_soon_threadsafe(self._topics_changed.set)

    def renew(self) -> None:
        """Leave the connection for a new one; to be called on the event loop."""
        if self._connection is not None:
            self._connection.leave("given up for a new one")

    # The event loop.

    async def _network(self) -> None:
        self._loop = asyncio.get_running_loop()
        connected = asyncio.create_task(self._stay_connected())
        while not connected.done() and not self._stop.is_set() and self._failure is None:
            await asyncio.wait({connected}, timeout=_TICK_S)
            if self._clock.monotonic() - self._streaming_since >= self._timing.healthy_s:
                self.alarm = ""
            self._observer.on_tick()
        connected.cancel()
        with suppress(asyncio.CancelledError):
            await connected

    async def _stay_connected(self) -> None:
        while True:
            await self._any_topic()
            self.state = "connecting"
            connection = await self._one_connection()
            if not self._topics:
                self._streaming_since = float("inf")
                continue
            self.failures += 1
            pause_s = self._pause_after(connection)
            self._logger.warning(
                "connection to %s ended: %s; the next one in %.1f s",
                self._config.stream_url,
                connection.reason,
                pause_s,
            )
            await asyncio.sleep(pause_s)

    async def _any_topic(self) -> None:
        while not self._topics:
            self.state = "idle"
            self._topics_changed.clear()
            await self._topics_changed.wait()

    def _pause_after(self, connection: Connection) -> float:
        since = connection.streaming_since
        self._streaming_since = float("inf")
        streamed_s = None if since is None else self._clock.monotonic() - since
        pause = self._endings.pause_after(connection.ending, streamed_s)
        self.state = pause.state
        self.alarm = pause.alarm or self.alarm
        connection.reason = pause.reason or connection.reason or "closed"
        if pause.state == "evicted":
            self._logger.error("%s; only one may stream, stop the other one", self.alarm)
        elif pause.state == "refused":
            self._logger.error("%s; if the key is no longer good, set the right one", self.alarm)
        return pause.seconds

    async def _one_connection(self) -> Connection:
        session = Session(
            self._api_key,
            self._topics,
            faults=self._faults,
            replay=self._config.ws_query_start,
        )
        self._connection = connection = Connection(session)
        self.refusal = ""
        try:
            async with dial(self._config.stream_url, timing=self._timing) as socket:
                self.connections += 1
                await self._converse(connection, socket)
        except ConnectionClosed as error:
            words = f"closed with {error.rcvd or 'no close frame'}"
            connection.reason = connection.reason or words
            if error.rcvd is not None and error.rcvd.code == CloseCode.POLICY_VIOLATION:
                # What the vendor closes an eviction with; usually it has said so before.
                connection.ending = connection.ending or Evicted(words)
        except TimeoutError:
            connection.reason = f"no answer within {self._timing.handshake_s:g} s"
        except (OSError, WebSocketException) as error:
            connection.reason = str(error) or type(error).__name__
        await self.intake.drained()
        if connection.is_answered:
            self._observer.on_lost()
        return connection

    async def _converse(self, connection: Connection, socket: ClientConnection) -> None:
        async with asyncio.timeout(self._timing.handshake_s):
            await self._authenticate(connection, socket)
        if connection.ending is not None:
            return
        loop = asyncio.get_running_loop()
        connection.abort = partial(abort_soon, loop, socket)
        connection.streaming_since = self._streaming_since = self._clock.monotonic()
        self.state = "streaming"
        self._logger.info("streaming from %s", self._config.stream_url)
        beside = [
            asyncio.create_task(self._keep_subscribed(connection, socket)),
            asyncio.create_task(self._feel_pulse(connection, socket)),
        ]
        try:
            await self._read(connection, socket)
        finally:
            for task in beside:
                task.cancel()

    async def _keep_subscribed(self, connection: Connection, socket: ClientConnection) -> None:
        session = connection.session
        with suppress(ConnectionClosed):  # `_read` meets that as well
            while self._topics:
                self._topics_changed.clear()
                session.want(self._topics)
                for text in session.to_send():
                    await socket.send(text)
                await self._topics_changed.wait()
            connection.leave("nothing is streamed any more")

    async def _feel_pulse(self, connection: Connection, socket: ClientConnection) -> None:
        every_s = self._config.ping_interval_s
        with suppress(ConnectionClosed):  # `_read` meets that as well
            heard = self._heard_since
            await lifeless(socket, every_s=every_s, heard_since=heard, clock=self._clock)
            connection.leave(f"no ping was answered within {every_s:g} s, and nothing came")

    def _heard_since(self, second: float) -> bool:
        """Whether a frame came since then, or none was looked for, as the writer is behind."""
        return not self._is_reading or self._read_at >= second

    async def _authenticate(self, connection: Connection, socket: ClientConnection) -> None:
        session = connection.session
        while session.state in (State.CONNECTING, State.AUTHENTICATING):
            frame = await socket.recv(decode=False)
            events = Events(self._faults, self._market)
            for message in connection.judge(events.add(frame)):
                self._note_refusal(message)
            for text in session.to_send():
                await socket.send(text)
            if len(events):
                self.intake.put(connection, frame)

    async def _read(self, connection: Connection, socket: ClientConnection) -> None:
        intake = self.intake
        while True:
            if intake.is_full:
                self._is_reading = False
                await intake.room()
                self._is_reading, self._read_at = True, self._clock.monotonic()
            frame = await self._receive(socket)
            if frame is None:
                connection.reason = "nothing came although the market is open"
                return
            self.last_message = self._read_at = self._clock.monotonic()
            if not connection.is_answered:
                # Only now is it sure that the subscription arrived, however long that took.
                connection.is_answered = True
                self._observer.on_streaming()
            intake.put(connection, frame)

    async def _receive(self, socket: ClientConnection) -> bytes | None:
        """The next frame; None when the line went mute in market hours."""
        while True:
            silent_s = self._silence.patience_s
            try:
                async with asyncio.timeout(silent_s):
                    frame = await socket.recv(decode=False)
            except TimeoutError:
                if self._silence.is_broken(silent_s):
                    return None
            else:
                return frame

    def _note_refusal(self, message: str) -> None:
        if message != self._refusal_told:
            self._logger.error(
                "the server refuses a subscription: %s; check data_types %s against the plan",
                message,
                ", ".join(self._config.data_types),
            )
        self.refusal = self._refusal_told = message
