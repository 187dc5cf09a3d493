"""The subscribers of /ws.

Any thread publishes, nobody waits: each subscriber has a queue that is bounded in bytes, and one
that does not keep up is dropped with close code 1013 ("try again later") and counted. A message is
encoded once, and only if somebody wants it.

A subscriber sends msgpack `{"streams": ["AAPL/1Min/OHLCV", "*/1D/*"]}`, or the same as an array
`[["..."]]`, and gets its own bytes back, or `{"error": "... is an invalid stream"}`. The last valid
list counts. Messages are `{"key": "AAPL/1Min/OHLCV", "data": {"Epoch": ..., "Open": ...}}`. Text,
such as JSON, is answered by `{"error": ...}` in JSON; bytes that mean nothing are passed over.

A client that must not miss anything adds `"resume": {}`. Behind the echo it gets
`{"resume": {"session": "5f…", "id": 7, "complete": true}}`, and its messages have two more fields:
`id`, which ascends, and `commit`, the number of the commit that wrote the row. On its next
connection it sends the same streams with `"resume": {"session": "5f…", "id": last seen}`:

- `complete` is true: every message behind that one follows, once.
- `complete` is false: they are not kept any more (it was away for minutes, or fell behind by more
  than its queue, or the server was started again), or the streams are others. Messages of a new
  session follow; what came in between is in the store.

`commit` ties the stream to the store: of a read that shows the commits up to P, rows with
`commit <= P` are in it, and those with a greater one are not. It is nil where rows went by while
the server did not keep up: the row may have been sent before, and others may have been left out.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

from starlette.websockets import WebSocket, WebSocketDisconnect

from tsstore.errors import InvalidKeyError
from tsstore.key import KeyPattern, bounded
from tsstore.server.subscriber import Message, Subscriber
from tsstore.wire.codec import JSON, MSGPACK, MalformedBodyError, fields

if TYPE_CHECKING:
    from collections.abc import Mapping

TRY_AGAIN_LATER = 1013
STREAMS_MAX = 1_000
STREAM_CHARACTERS_MAX = 512
_CLOSE_TIMEOUT_S = 1.0
_NOT_MSGPACK = JSON.encode(
    {"error": 'not understood: send {"streams": ["*/1Min/OHLCV"]} as msgpack, in a binary frame'}
).decode()


logger = logging.getLogger(__name__)


class StreamHub:
    """Hands what is published to the subscribers that asked for it.

    Args:
        queue_bytes_max: of messages that wait for one client.
        waits_s: how long a client that resumes may stay away.
        away_max: how many clients that are away are remembered.
        is_fed: whether anything publishes here; else the log says so to the first subscriber.
    """

    def __init__(
        self,
        *,
        queue_bytes_max: int = 8 << 20,
        waits_s: float = 120.0,
        away_max: int = 16,
        is_fed: bool = True,
    ) -> None:
        self._is_silent = not is_fed
        self._queue_bytes_max = queue_bytes_max
        self._waits_s = waits_s
        self._away_max = away_max
        # Held while a message gets its number and is queued, so that each client gets them in
        # order, and while a client moves to another connection.
        self._lock = threading.Lock()
        # Replaced as a whole, so that it can be looked at without the lock.
        self._subscribers: tuple[Subscriber, ...] = ()
        self._connections: dict[Subscriber, _Connection] = {}
        self._away: dict[Subscriber, float] = {}  # until when
        self._bells = dict[asyncio.AbstractEventLoop, _Bell]()
        self._number = 0
        self._messages = 0
        self._dropped = 0
        self._resumed = 0
        self._too_late = 0

    def stats(self) -> dict[str, int]:
        """Clients now and away, messages queued, clients dropped because they were too slow.

        Of the clients that came back, `resumed_total` missed nothing, and `resumed_late_total` were
        told to read what they missed from the store.
        """
        return {
            "clients": len(self._connections),
            "clients_away": len(self._away),
            "messages_total": self._messages,
            "dropped_clients_total": self._dropped,
            "resumed_total": self._resumed,
            "resumed_late_total": self._too_late,
        }

    def publish(self, key: str, scalars: Mapping[str, Any], *, commit: int | None = None) -> None:
        """Send one row to those who subscribed to its bucket; callable from any thread.

        Args:
            key: the bucket, such as `AAPL/1Min/OHLCV`.
            scalars: column name to value; numpy scalars keep their type on the wire.
            commit: number of the commit that wrote the row.
        """
        if not any(one.wants(key) for one in self._subscribers):
            return
        row = {"key": key, "data": dict(scalars)}
        with self._lock:
            wanting = [one for one in self._subscribers if one.wants(key)]
            self._number += 1
            self._messages += len(wanting)
            plain = [one for one in wanting if not one.resumes]
            _push(plain, row, self._number)
            if len(plain) < len(wanting):
                numbered = {**row, "id": self._number, "commit": commit}
                _push([one for one in wanting if one.resumes], numbered, self._number)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until its client leaves or is dropped."""
        await socket.accept()
        connection = _Connection(self, socket, self._queue_bytes_max)
        with self._lock:
            self._subscribers = (*self._subscribers, connection.subscriber)
            self._connections[connection.subscriber] = connection
        try:
            is_slow = await connection.run()
        finally:
            self._leave(connection)
        if is_slow:
            with self._lock:
                self._dropped += 1
            # Its receive buffer may be full, and then it cannot even be told.
            with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await socket.close(TRY_AGAIN_LATER, "too slow")

    def bell(self, loop: asyncio.AbstractEventLoop) -> _Bell:
        """What wakes the connections of an event loop; ports have loops of their own."""
        with self._lock:
            return self._bells.setdefault(loop, _Bell(loop))

    def _leave(self, connection: _Connection) -> None:
        """Forget the subscriber of a connection that ended, now or when it has been away long."""
        with self._lock:
            subscriber = connection.subscriber
            if self._connections.get(subscriber) is not connection:
                return  # another connection has taken it over
            del self._connections[subscriber]
            if not subscriber.resumes or subscriber.is_full:
                self._forget(subscriber)
                return
            loop = asyncio.get_running_loop()
            self._away[subscriber] = loop.time() + self._waits_s
            if len(self._away) > self._away_max:
                self._forget(next(iter(self._away)))
        loop.call_later(self._waits_s, self._forget_late, loop.time() + self._waits_s)

    def _forget_late(self, now: float) -> None:
        with self._lock:
            for subscriber in [one for one, until in self._away.items() if until <= now]:
                self._forget(subscriber)

    def _forget(self, subscriber: Subscriber) -> None:
        """Call under the lock."""
        self._away.pop(subscriber, None)
        self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)

    def warn_if_silent(self) -> None:
        """Say in the log, once, that those who subscribe wait in vain."""
        if self._is_silent:
            self._is_silent = False
            logger.warning(
                "a client subscribed on /ws, and nothing will be pushed: no trigger of mkts.yml "
                "publishes; add the trigger {module: stream.so, on: '*/*/*'}, or let the client "
                "use follow(), which needs none"
            )

    def subscribe(
        self, connection: _Connection, patterns: tuple[KeyPattern, ...], echo: bytes
    ) -> None:
        """Replace what a client wants; it gets its own bytes back before any message."""
        with self._lock:
            connection.subscriber.push(Message(echo))
            connection.subscriber.subscribe(patterns)

    def resume(
        self,
        connection: _Connection,
        patterns: tuple[KeyPattern, ...],
        asked: Resume,
        echo: bytes,
    ) -> None:
        """Number the messages of a client, or go on where it was on an earlier connection."""
        with self._lock:
            if asked.session and self._go_on(connection, patterns, asked, echo):
                self._resumed += 1
                return
            self._too_late += bool(asked.session)
            subscriber = connection.subscriber
            answer = _resume_answer(subscriber, self._number, complete=not asked.session)
            subscriber.push(Message(echo))
            subscriber.push(Message(answer))
            subscriber.number_from(self._number)
            subscriber.subscribe(patterns)

    def _go_on(
        self,
        connection: _Connection,
        patterns: tuple[KeyPattern, ...],
        asked: Resume,
        echo: bytes,
    ) -> bool:
        known = (one for one in self._subscribers if one.resumes)
        former = next((one for one in known if one.session == asked.session), None)
        streams = frozenset(pattern.text for pattern in patterns)
        if former is None or former is connection.subscriber or former.streams != streams:
            return False
        answer = _resume_answer(former, asked.id, complete=True)
        if not former.go_on(asked.id, [Message(echo), Message(answer)], connection.wake):
            return False
        self._forget(connection.subscriber)
        del self._connections[connection.subscriber]
        self._away.pop(former, None)
        # The client knows that the earlier connection is dead, even if nobody has told us.
        ghost = self._connections.get(former)
        if ghost is not None:
            ghost.end()
        connection.subscriber = former
        self._connections[former] = connection
        connection.wake()  # not before: it would look into the one it had, and not come again
        return True


def _push(subscribers: list[Subscriber], content: Mapping[str, Any], number: int) -> None:
    if not subscribers:
        return
    message = Message(MSGPACK.encode(content), number)
    for subscriber in subscribers:
        subscriber.push(message)


class _Bell:
    """Wakes connections of one event loop: a thousand at once for little more than one."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._waiting: deque[_Connection] = deque()
        self._has_rung = False

    def ring(self, connection: _Connection) -> None:
        """Let a connection look what there is; callable from any thread.

        Raises:
            RuntimeError: the loop was closed.
        """
        # In this order, and in the other one below: whoever finds that it has rung is waited for.
        self._waiting.append(connection)
        if not self._has_rung:
            self._has_rung = True
            self._loop.call_soon_threadsafe(self._answer)

    def _answer(self) -> None:
        self._has_rung = False
        while self._waiting:
            self._waiting.popleft().look()


class _Connection:
    """One socket, and the subscriber that it serves now."""

    def __init__(self, hub: StreamHub, socket: WebSocket, bytes_max: int) -> None:
        self._hub = hub
        self._socket = socket
        self._loop = asyncio.get_running_loop()
        self._bell = hub.bell(self._loop)
        self._filled = asyncio.Event()
        self._ended = asyncio.Event()
        self.subscriber = Subscriber(bytes_max, self.wake)

    def wake(self) -> None:
        """There is something to send; callable from any thread."""
        with contextlib.suppress(RuntimeError):  # the loop was closed: the server is stopping
            self._bell.ring(self)

    def end(self) -> None:
        """End it; callable from any thread."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._ended.set)

    def look(self) -> None:
        """See what there is to send; called in its event loop."""
        if self.subscriber.is_full:
            self._ended.set()
        self._filled.set()

    async def run(self) -> bool:
        """Send and read until the client leaves; whether it was too slow."""
        tasks = [
            asyncio.create_task(work) for work in (self._send(), self._read(), self._ended.wait())
        ]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the server stops, and uvicorn closes what is left
            return False
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        return self.subscriber.is_full

    async def _send(self) -> None:
        """Send what is queued, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            for message in self.subscriber.take(self.wake):
                if isinstance(message.body, bytes):
                    await self._socket.send_bytes(message.body)
                else:
                    await self._socket.send_text(message.body)

    async def _read(self) -> None:
        """Follow the client's subscriptions until it leaves."""
        while True:
            message = await self._socket.receive()
            if message["type"] == "websocket.disconnect":
                return
            body = message.get("bytes")
            if body is None:  # no msgpack that subscribes is text
                self.subscriber.push(Message(_NOT_MSGPACK))
                continue
            # Up to a thousand patterns: the other clients need not wait until they are translated.
            await asyncio.to_thread(self._obey, body)

    def _obey(self, body: bytes) -> None:
        """Do as a message of the client says; garbage is passed over."""
        try:
            decoded = MSGPACK.decode(body)
            streams, resume = _streams(decoded), _resume(decoded)
        except MalformedBodyError:
            return
        try:
            patterns = _patterns(streams)
        except InvalidKeyError as error:
            self.subscriber.push(Message(MSGPACK.encode({"error": str(error)})))
            return
        self._hub.warn_if_silent()
        if not patterns:
            self.subscriber.push(Message(body))
        elif resume is None:
            self._hub.subscribe(self, patterns, body)
        else:
            self._hub.resume(self, patterns, resume, body)


class Resume(NamedTuple):
    """What a client asks for that wants to miss nothing.

    Attributes:
        session: of its earlier connection; empty at the first time.
        id: number of the last message it has seen on it.
    """

    session: str
    id: int


def _resume_answer(subscriber: Subscriber, after: int, *, complete: bool) -> bytes:
    answer = {"session": subscriber.session, "id": after, "complete": complete}
    return MSGPACK.encode({"resume": answer})


def _resume(decoded: Any) -> Resume | None:
    if not isinstance(decoded, dict):
        return None
    asked = fields(decoded, {"resume": "resume"}).get("resume")
    if asked is None:
        return None
    if not isinstance(asked, dict):
        raise MalformedBodyError("resume is not a map")
    known = fields(asked, {"session": "session", "id": "id"})
    session, number = known.get("session", ""), known.get("id", 0)
    if not isinstance(session, str) or not isinstance(number, int):
        raise MalformedBodyError("resume: session is text and id a number")
    return Resume(session, number)


def _streams(decoded: Any) -> list[Any]:
    if isinstance(decoded, list):
        streams = decoded[0] if decoded else None
    else:
        streams = fields(decoded, {"streams": "streams"}).get("streams")
    if streams is None:
        return []
    if not isinstance(streams, list):
        raise MalformedBodyError("streams is not a list")
    return streams


def _patterns(streams: list[Any]) -> tuple[KeyPattern, ...]:
    if len(streams) > STREAMS_MAX:
        raise InvalidKeyError(f"{len(streams)} streams; at most {STREAMS_MAX}, use patterns")
    return tuple(bounded(map(_pattern, streams)))


def _pattern(stream: Any) -> KeyPattern:
    """The glob of a stream; exactly three parts, which may be empty."""
    text = str(stream)
    if len(text) > STREAM_CHARACTERS_MAX or not isinstance(stream, str):
        raise InvalidKeyError(f"{text[:STREAM_CHARACTERS_MAX]} is an invalid stream")
    try:
        return KeyPattern(text)
    except InvalidKeyError:
        raise InvalidKeyError(f"{text} is an invalid stream") from None
