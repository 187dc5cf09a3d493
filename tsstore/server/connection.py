"""Connections with the limits that uvicorn leaves open, and with fewer calls of the system.

Bodies are limited by the application; a head (request line and headers) never reaches it until it
is complete, so one that never ends would hold memory and a connection for ever, and so would an
answer that nobody reads. Of a WebSocket, what is not part of a message with contents is limited
nowhere else: pings, and empty fragments.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol

if TYPE_CHECKING:
    from uvicorn.protocols.http.httptools_impl import RequestResponseCycle
    from websockets.frames import Frame

HEAD_BYTES_MAX = 64 * 1024
FRAGMENTS_MAX = 1000
PIECE_BYTES = 64 * 1024
#: How long answers may be read after the server was told to stop.
STOP_S = 0.8
_TOO_BIG = 1009


class JoiningTransport:
    """A transport that sends in one piece what is written in one turn of the event loop.

    The head and the body of an answer, or the messages of a stream, are one call of the system
    then, and wake the client once. What is more than a piece goes out at once, so that whoever
    writes hears soon that the client does not read.
    """

    def __init__(self, transport: asyncio.Transport, loop: asyncio.AbstractEventLoop) -> None:
        self._transport = transport
        self._loop = loop
        self._unsent: list[bytes] = []
        self._unsent_bytes = 0

    def write(self, data: bytes) -> None:
        """Send it after this turn, or now if it is much."""
        self._unsent.append(data)
        self._unsent_bytes += len(data)
        if self._unsent_bytes >= PIECE_BYTES:
            self._send()
        elif len(self._unsent) == 1:
            self._loop.call_soon(self._send)

    def close(self) -> None:
        """Close when all is sent."""
        self._send()
        self._transport.close()

    def _send(self) -> None:
        unsent, self._unsent, self._unsent_bytes = self._unsent, [], 0
        if unsent and not self._transport.is_closing():
            self._transport.writelines(unsent)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)


class _GivingUp(asyncio.Protocol):
    """A protocol that gives up a client which does not read; mixed into those of uvicorn.

    Closing would wait until all is sent, and so for ever.

    Attributes:
        write_timeout_s: longest time that less than a piece is read of what waits for the client.
    """

    write_timeout_s = 30.0
    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    _write_timer: asyncio.TimerHandle | None = None

    def pause_writing(self) -> None:
        """The client reads more slowly than we write; one that has stopped is given up."""
        super().pause_writing()
        self._await_reading()

    def resume_writing(self) -> None:
        """It has read."""
        self._disarm_write()
        super().resume_writing()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nobody is waited for any more."""
        self._disarm_write()
        super().connection_lost(exc)

    def shutdown(self) -> None:
        """The server stops: what is not read soon is broken off, before uvicorn complains."""
        super().shutdown()  # type: ignore[misc]
        self.loop.call_later(STOP_S, self._break_off)

    def _break_off(self) -> None:
        self.transport.abort()

    def _await_reading(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.write_timeout_s, self._look, waiting)

    def _look(self, waiting: int) -> None:
        """Who reads slowly is heard of again when nearly all is read, which may take longer."""
        if self.transport.get_write_buffer_size() > waiting - PIECE_BYTES:
            self.transport.abort()
        else:
            self._await_reading()

    def _disarm_write(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None


class LimitedProtocol(_GivingUp, HttpToolsProtocol):
    """uvicorn's protocol, which closes a connection whose head is too long or too slow.

    Attributes:
        head_timeout_s: longest time from the first byte of a head (or from connecting) to its end.
    """

    head_timeout_s = 30.0

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._is_in_head = True
        self._head_bytes = 0
        self._heads = 0
        self._head_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Expect a head."""
        super().connection_made(JoiningTransport(transport, self.loop))  # type: ignore[arg-type]
        self._await_head()

    def connection_lost(self, exc: Exception | None) -> None:
        """Nothing is awaited any more."""
        self._disarm()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """Parse what came, and see whether the head goes on for too long."""
        if self._is_in_head and self._head_timer is None:
            self._await_head()
        was_in_head, heads = self._is_in_head, self._heads
        super().data_received(data)
        is_all_head = was_in_head and self._is_in_head and heads == self._heads
        if not is_all_head:
            return
        self._head_bytes += len(data)
        if self._head_bytes > HEAD_BYTES_MAX and not self.transport.is_closing():
            self._refuse(b"431 Request Header Fields Too Large")

    def handle_websocket_upgrade(self) -> None:
        """Another protocol takes over, and is told what is read."""
        self._disarm_write()
        super().handle_websocket_upgrade()

    def on_headers_complete(self) -> None:
        """The application takes over."""
        self._is_in_head = False
        self._heads += 1
        self._disarm()
        super().on_headers_complete()

    def on_message_complete(self) -> None:
        """What comes next is the head of another request."""
        super().on_message_complete()
        self._is_in_head = True
        self._head_bytes = 0

    def _break_off(self) -> None:
        # A request that is not answered yet is told by the application that it will not be.
        cycle: RequestResponseCycle | None = self.cycle
        if cycle is None or cycle.response_started:
            super()._break_off()

    def _await_head(self) -> None:
        self._head_timer = self.loop.call_later(self.head_timeout_s, self._give_up)

    def _give_up(self) -> None:
        if self._is_in_head and not self.transport.is_closing():
            self._refuse(b"408 Request Timeout")

    def _refuse(self, status: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 " + status + b"\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
        )
        self.transport.close()

    def _disarm(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None


class LimitedWebSocketProtocol(_GivingUp, WebSocketsSansIOProtocol):
    """uvicorn's protocol, which keeps nothing for those who send frames and read no answers."""

    def handle_ping(self) -> None:
        """Answer, unless earlier answers were not read yet; RFC 6455 allows to skip some."""
        if self.writable.is_set():
            super().handle_ping()
        else:
            self.conn.data_to_send()

    def handle_cont(self, event: Frame) -> None:
        """Take a fragment of a message, up to a number of them."""
        if self.close_sent:
            return
        if len(self.frames) < FRAGMENTS_MAX:
            super().handle_cont(event)
            return
        self.conn.send_close(_TOO_BIG, "too many fragments")
        self.handle_parser_exception()
