"""The commits of a store behind a server."""

from __future__ import annotations

import logging
import random
import threading
from contextlib import suppress
from typing import TYPE_CHECKING

import msgspec

from tsstore.client.connections import break_off
from tsstore.client.websocket import BrokenOffError, RefusedError, WebSocket
from tsstore.errors import ConnectionFailedError, InvalidArgumentError
from tsstore.following import News
from tsstore.wire.feed import FeedMessage, FeedRequest, batches_of

if TYPE_CHECKING:
    import socket

    from tsstore.client.transport import Transport
    from tsstore.following import Wanted

_FIRST_PAUSE_S, _LAST_PAUSE_S = 0.05, 5.0
# Of what says nothing for so many heartbeats the other end is dead.
_HEARTBEATS = 3
_REFUSED_FOR_GOOD = frozenset({400, 401, 403, 404, 405, 426})
logger = logging.getLogger("tsstore.client")
_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(FeedMessage)


class RemoteFeed:
    """See `Feed`. It connects again and again, and goes on where it was.

    Nothing is read before it is asked for: what a slow user has not taken yet waits in the buffers
    of the connection, and beyond them in the server, which keeps the latest commits.

    Args:
        transport: how the server is reached.
        wanted: the buckets.
        after: a position; None for now.

    Raises:
        ConnectionFailedError: the server cannot be reached, or has no feed for us.
    """

    def __init__(self, transport: Transport, wanted: Wanted, after: int | None) -> None:
        self._transport = transport
        self._wanted = wanted
        self._closed = threading.Event()
        self._lock = threading.Lock()
        self._reading = threading.Lock()
        self._websocket: WebSocket | None = None
        self._socket: socket.socket | None = None  # of the websocket, or of one that will be
        self._attempt = 0
        try:
            self.position = self._connect(after)
        except BaseException as error:
            self._disconnect()
            if not isinstance(error, BrokenOffError):
                raise
            raise ConnectionFailedError(
                f"{transport.url} broke off ({error}); see the server's log"
            ) from None

    def get(self) -> News | None:
        """Wait for the next commits, whatever happens to the connection."""
        try:
            with self._reading:
                return self._next()
        finally:
            if self._closed.is_set():
                self._disconnect()

    def pause(self, attempt: int) -> bool:
        """Wait: many clients that were cut off together should not come back together."""
        pause_s = min(_LAST_PAUSE_S, _FIRST_PAUSE_S * 2 ** min(attempt, 16))
        return not self._closed.wait(pause_s * (0.5 + random.random() / 2))  # noqa: S311

    def close(self) -> None:
        """End it."""
        self._closed.set()
        with self._lock:
            if self._socket is not None:
                break_off(self._socket)
        if self._reading.acquire(blocking=False):  # else whoever reads clears up
            self._reading.release()
            self._disconnect()

    def _next(self) -> News | None:
        while not self._closed.is_set():
            try:
                news = self._receive()
            except _RefusedForGoodError:
                self._disconnect()
                raise
            except (BrokenOffError, ConnectionFailedError) as error:
                self._disconnect()
                if self._attempt == 0 and not self._closed.is_set():
                    url = self._transport.url
                    logger.warning(
                        "%s broke off (%s); connecting again until it is back", url, error
                    )
                self.pause(self._attempt)
                self._attempt += 1
                continue
            if news.position != self.position or news.is_missing:
                self.position = news.position
                return news
        return None

    def _receive(self) -> News:
        if self._websocket is None:
            self._connect(self.position)
            return News([], self.position)
        message = _message(self._websocket.receive())
        if self._attempt:  # only now: a connection that was accepted proves nothing
            logger.info("%s is back", self._transport.url)
            self._attempt = 0
        commits = [(one.commit, batches_of(one)) for one in message.commits]
        return News(commits, message.position, message.is_missing)

    def _connect(self, after: int | None) -> int:
        """Connect; returns where it begins."""
        silence_s = self._transport.timeout_s
        try:
            websocket = self._transport.open_websocket(
                "/feed", silence_s=silence_s, on_socket=self._hold
            )
        except RefusedError as refused:
            said = f"{self._transport.url} answers {refused.status} to /feed: {refused.text}"
            if refused.status not in _REFUSED_FOR_GOOD:
                raise ConnectionFailedError(said) from None
            raise _RefusedForGoodError(
                f"{said}; check the token, and that the server is of the same version"
            ) from None
        self._websocket = websocket
        request = FeedRequest(self._wanted.texts, after, silence_s / _HEARTBEATS)
        websocket.send(_encoder.encode(request))
        return _message(websocket.receive()).position

    def _hold(self, one: socket.socket) -> None:
        """Have `close` break this one off."""
        with self._lock:
            self._socket = one
            if self._closed.is_set():
                raise ConnectionAbortedError("closed meanwhile")

    def _disconnect(self) -> None:
        with self._lock:
            self._socket = None
            websocket, self._websocket = self._websocket, None
        if websocket is not None:
            websocket.close()


class _RefusedForGoodError(ConnectionFailedError):
    """Trying again would not help."""


def _message(body: bytes) -> FeedMessage:
    with suppress(msgspec.DecodeError):
        message: FeedMessage = _decoder.decode(body)
        if message.error:
            raise InvalidArgumentError(f"the server refuses to be followed: {message.error}")
        return message
    raise _RefusedForGoodError(
        "the server's feed is not understood; check that both run the same version"
    )
