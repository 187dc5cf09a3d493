"""The subscribers of /ws.

Any thread publishes, nobody waits: each subscriber has a queue that is bounded in bytes, and one
that does not keep up is dropped with close code 1013 ("try again later") and counted. A message is
encoded once, and only if somebody wants it.

A subscriber sends msgpack `{"streams": ["AAPL/1Min/OHLCV", "*/1D/*"]}`, or the same as an array
`[["..."]]`, and gets its own bytes back, or `{"error": "... is an invalid stream"}`. The last valid
list counts. Messages are `{"key": "AAPL/1Min/OHLCV", "data": {"Epoch": ..., "Open": ...}}`. Text,
such as JSON, is answered by `{"error": ...}` in JSON; bytes that mean nothing are passed over.
"""

from __future__ import annotations

import asyncio
import contextlib
import threading
from collections import deque
from typing import TYPE_CHECKING, Any

from starlette.websockets import WebSocket, WebSocketDisconnect

from tsstore.errors import InvalidKeyError
from tsstore.key import KeyPattern
from tsstore.wire.codec import JSON, MSGPACK, MalformedBodyError, fields

if TYPE_CHECKING:
    from collections.abc import Mapping

TRY_AGAIN_LATER = 1013
STREAMS_MAX = 1_000
STREAM_CHARACTERS_MAX = 512
_CLOSE_TIMEOUT_S = 1.0
_KEYS_REMEMBERED_MAX = 100_000
_NOT_MSGPACK = JSON.encode(
    {"error": 'not understood: send {"streams": ["*/1Min/OHLCV"]} as msgpack, in a binary frame'}
).decode()


class StreamHub:
    """Hands what is published to the subscribers that asked for it."""

    def __init__(self, *, queue_bytes_max: int = 8 << 20) -> None:
        self._queue_bytes_max = queue_bytes_max
        self._lock = threading.Lock()
        # Replaced as a whole, so that publish() reads it without the lock.
        self._subscribers: tuple[Subscriber, ...] = ()
        self._messages = 0
        self._dropped = 0

    def stats(self) -> dict[str, int]:
        """Subscribers now, messages queued and subscribers dropped so far."""
        return {
            "clients": len(self._subscribers),
            "messages_total": self._messages,
            "dropped_clients_total": self._dropped,
        }

    def publish(self, key: str, scalars: Mapping[str, Any]) -> None:
        """Send one row to those who subscribed to its bucket; callable from any thread.

        Args:
            key: the bucket, such as `AAPL/1Min/OHLCV`.
            scalars: column name to value; numpy scalars keep their type on the wire.
        """
        wanting = [one for one in self._subscribers if one.wants(key)]
        if not wanting:
            return
        message = MSGPACK.encode({"key": key, "data": dict(scalars)})
        for subscriber in wanting:
            subscriber.push(message)
        with self._lock:
            self._messages += len(wanting)

    async def serve(self, socket: WebSocket) -> None:
        """Serve one subscriber until it leaves or is dropped."""
        await socket.accept()
        subscriber = Subscriber(asyncio.get_running_loop(), self._queue_bytes_max)
        self._add(subscriber)
        sender = asyncio.create_task(subscriber.send_to(socket))
        reader = asyncio.create_task(_read_from(socket, subscriber))
        overflow = asyncio.create_task(subscriber.overflowed.wait())
        try:
            await asyncio.wait({sender, reader, overflow}, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the server stops, and uvicorn closes what is left
            return
        finally:
            self._remove(subscriber)
            for task in (sender, reader, overflow):
                task.cancel()
            await asyncio.gather(sender, reader, overflow, return_exceptions=True)
        if subscriber.overflowed.is_set():
            with self._lock:
                self._dropped += 1
            # Its receive buffer may be full, and then it cannot even be told.
            with contextlib.suppress(TimeoutError, WebSocketDisconnect, RuntimeError):
                async with asyncio.timeout(_CLOSE_TIMEOUT_S):
                    await socket.close(TRY_AGAIN_LATER, "too slow")

    def _add(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = (*self._subscribers, subscriber)

    def _remove(self, subscriber: Subscriber) -> None:
        with self._lock:
            self._subscribers = tuple(one for one in self._subscribers if one is not subscriber)


class Subscriber:
    """One client: the streams it wants, and the messages it has not been sent yet.

    Attributes:
        overflowed: set once it has fallen too far behind; nothing is queued any more.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, queue_bytes_max: int) -> None:
        self.overflowed = asyncio.Event()
        self._loop = loop
        self._queue_bytes_max = queue_bytes_max
        self._patterns: tuple[KeyPattern, ...] = ()
        self._wanted: dict[str, bool] = {}
        self._lock = threading.Lock()
        self._queue: deque[bytes | str] = deque()
        self._queue_bytes = 0
        self._is_full = False
        self._is_woken = False
        self._filled = asyncio.Event()

    def wants(self, key: str) -> bool:
        """Whether it subscribed to this bucket; remembered, for the same keys come again."""
        wanted = self._wanted
        known = wanted.get(key)
        if known is None:
            known = any(pattern.matches(key) for pattern in self._patterns)
            if len(wanted) < _KEYS_REMEMBERED_MAX:
                wanted[key] = known
        return known

    def subscribe(self, patterns: tuple[KeyPattern, ...]) -> None:
        """Replace what it wants."""
        self._patterns = patterns
        self._wanted = {}

    def push(self, message: bytes | str) -> None:
        """Queue a message, text for a text frame; callable from any thread, never waits."""
        with self._lock:
            if self._is_full:
                return
            self._queue.append(message)
            self._queue_bytes += len(message)
            if self._queue_bytes > self._queue_bytes_max:
                self._is_full = True
                self._queue.clear()
            if self._is_woken and not self._is_full:
                return
            self._is_woken = True
        with contextlib.suppress(RuntimeError):  # the loop was closed: the server is stopping
            self._loop.call_soon_threadsafe(self._wake)

    def _wake(self) -> None:
        if self._is_full:
            self.overflowed.set()
        self._filled.set()

    def _take(self) -> deque[bytes | str]:
        with self._lock:
            taken, self._queue = self._queue, deque()
            self._queue_bytes = 0
            self._is_woken = False
        return taken

    async def send_to(self, socket: WebSocket) -> None:
        """Send what is queued, for ever."""
        while True:
            await self._filled.wait()
            self._filled.clear()
            for message in self._take():
                if isinstance(message, bytes):
                    await socket.send_bytes(message)
                else:
                    await socket.send_text(message)


async def _read_from(socket: WebSocket, subscriber: Subscriber) -> None:
    """Follow the client's subscriptions until it leaves."""
    while True:
        message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        body = message.get("bytes")
        if body is None:  # no msgpack that subscribes is text
            subscriber.push(_NOT_MSGPACK)
            continue
        # Up to a thousand patterns: the other clients need not wait until they are translated.
        reply = await asyncio.to_thread(_subscribe, subscriber, body)
        if reply is not None:
            subscriber.push(reply)


def _subscribe(subscriber: Subscriber, body: bytes) -> bytes | None:
    """Do as a message of the client says; returns what it gets back, or None for garbage."""
    try:
        streams = _streams(MSGPACK.decode(body))
    except MalformedBodyError:
        return None
    try:
        patterns = _patterns(streams)
    except InvalidKeyError as error:
        return MSGPACK.encode({"error": str(error)})
    if patterns:
        subscriber.subscribe(patterns)
    return body


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
    return tuple(_pattern(stream) for stream in streams)


def _pattern(stream: Any) -> KeyPattern:
    """The glob of a stream; exactly three parts, which may be empty."""
    text = str(stream)
    if len(text) > STREAM_CHARACTERS_MAX or not isinstance(stream, str):
        raise InvalidKeyError(f"{text[:STREAM_CHARACTERS_MAX]} is an invalid stream")
    try:
        return KeyPattern(text)
    except InvalidKeyError:
        raise InvalidKeyError(f"{text} is an invalid stream") from None
