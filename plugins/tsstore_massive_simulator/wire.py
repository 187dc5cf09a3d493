"""A WebSocket on a TCP connection, and the ways it can break.

The protocol itself is the sans-I/O half of `websockets`; the bytes go through asyncio streams here,
so that faults can cut the connection at any of them.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

import msgspec
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as HandshakeRequest
from websockets.protocol import State
from websockets.server import ServerProtocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from tsstore_massive_simulator.events import Status
    from tsstore_massive_simulator.faults import Faults

_logger = logging.getLogger(__name__)

_BUFFER_BYTES = 256 << 10
_READ_BYTES = 64 << 10
_CLOSE_TIMEOUT_S = 1
_ABNORMAL = 1006
_DATA = (Opcode.TEXT, Opcode.BINARY, Opcode.CONT)


class SlowConsumerError(Exception):
    """The client does not read fast enough."""


class Wire:
    """One side of a conversation in frames.

    Args:
        faults: what goes wrong.
        reader: bytes from the client.
        writer: bytes to it.
    """

    def __init__(
        self, faults: Faults, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._faults = faults
        self._reader = reader
        self._writer = writer
        self._protocol = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()] if faults.on("deflate") else None
        )
        self._fragments: list[bytes] = []

    @property
    def is_open(self) -> bool:
        """Whether it can be talked to."""
        return self._protocol.state is State.OPEN

    def shake_hands(self, head: bytes) -> bool:
        """Answer the request for a WebSocket; return whether there is one now."""
        self._protocol.receive_data(head)
        for handshake in self._protocol.events_received():
            if isinstance(handshake, HandshakeRequest):
                self._protocol.send_response(self._protocol.accept(handshake))
        self._flush()
        self._writer.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        return self.is_open

    def refuse(self, status: int) -> None:
        """Answer the request with an HTTP status."""
        self._writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())

    async def messages(self) -> AsyncIterator[bytes]:
        """What the client says, until either side closes."""
        protocol = self._protocol
        while data := await self._reader.read(_READ_BYTES):
            try:
                protocol.receive_data(data)
            except ProtocolError:
                _logger.info("a client broke the WebSocket protocol")
            for event in protocol.events_received():
                if isinstance(event, Frame) and (message := self._message(event)) is not None:
                    yield message
            self._flush()
            if protocol.state is State.CLOSED or protocol.close_rcvd is not None:
                return

    def _message(self, frame: Frame) -> bytes | None:
        """The message that a frame completes."""
        if frame.opcode is Opcode.PING and self._faults.on("no_pongs"):
            self._protocol.data_to_send()
        if frame.opcode not in _DATA:
            return None
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return None
        message = b"".join(self._fragments)
        self._fragments.clear()
        return message

    def say(self, statuses: Sequence[Status]) -> None:
        """Send statuses in one frame."""
        self.send_text(msgspec.json.encode(statuses))

    def send_text(self, text: bytes) -> None:
        """Send a frame.

        Raises:
            ConnectionAbortedError: there is no one to send it to.
        """
        if not self.is_open:
            raise ConnectionAbortedError
        self._protocol.send_text(text)
        self._flush()

    def ping(self) -> None:
        """Ask whether the client is there."""
        if self.is_open:
            self._protocol.send_ping(b"?")
            self._flush()

    async def drained(self, *, is_timed: bool) -> None:
        """Wait until the client has read most of what it was sent.

        Args:
            is_timed: whether the market goes on meanwhile, so that one may be too slow for it.

        Raises:
            SlowConsumerError: it took too long, or too much is waiting.
        """
        limit = self._faults.number("client_buffer", 0)
        if limit and is_timed:
            # As the vendor: never wait for the client, but do not keep everything for it either.
            if self._writer.transport.get_write_buffer_size() > limit:
                raise SlowConsumerError
            return
        if not self._faults.on("slow_consumer"):
            await self._writer.drain()
            return
        try:
            await asyncio.wait_for(self._writer.drain(), self._faults.number("slow_consumer", 1))
        except TimeoutError:
            raise SlowConsumerError from None

    def close(self, code: int, reason: str = "") -> None:
        """Close with a code; 1006 drops the TCP connection."""
        if code == _ABNORMAL:
            self.drop()
            return
        if self.is_open:
            self._protocol.send_close(code, reason)
            self._flush()
        # A client that does not answer the close is not waited for.
        asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self.drop)

    async def closed(self, code: int, reason: str = "") -> None:
        """Close with a code and wait until the connection is gone.

        Raises:
            ConnectionAbortedError: always, at the end.
        """
        self.close(code, reason)
        await asyncio.sleep(_CLOSE_TIMEOUT_S)
        raise ConnectionAbortedError

    def hang_up(self) -> None:
        """Close the TCP connection once all was sent, without a word."""
        self._writer.close()

    def drop(self) -> None:
        """Drop the TCP connection without a word."""
        self._writer.transport.abort()

    async def drop_after_all(self) -> None:
        """Drop the TCP connection once everything was handed to the system.

        Raises:
            ConnectionAbortedError: always, at the end.
        """
        self._writer.transport.set_write_buffer_limits(high=0)
        await self._writer.drain()
        self.drop()
        raise ConnectionAbortedError

    async def drop_midframe(self, frame: bytes) -> None:
        """Send half of a frame and drop the TCP connection.

        Raises:
            ConnectionAbortedError: always, at the end.
        """
        self._protocol.send_text(frame)
        data = b"".join(self._protocol.data_to_send())
        self._writer.write(data[: len(data) // 2])
        await self.drop_after_all()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()
