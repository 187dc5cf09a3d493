"""A websocket over a connection that is open already."""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import TYPE_CHECKING

from websockets.client import ClientProtocol
from websockets.exceptions import InvalidStatus
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from tsstore.client.strangers import heard

if TYPE_CHECKING:
    import http.client
    import socket
    from collections.abc import Mapping

_READ_BYTES = 1 << 18
_SHOWN_CHARACTERS = 200


class BrokenOffError(Exception):
    """The connection ended, or stayed silent for too long."""


class RefusedError(Exception):
    """The server answered, but not with a websocket.

    Attributes:
        status: of its answer.
        text: what it says, fit to be shown.
    """

    def __init__(self, status: int, text: str) -> None:
        super().__init__(status, text)
        self.status = status
        self.text = text


class WebSocket:
    """The client's end, for one thread.

    Args:
        connection: which nobody else uses.
        url: `ws://127.0.0.1:5993/feed`.
        headers: besides those of the protocol.
        silence_s: a server that says nothing for so long counts as dead.

    Raises:
        BrokenOffError: the connection broke.
        RefusedError: there is no websocket for us.
    """

    def __init__(
        self,
        connection: http.client.HTTPConnection,
        url: str,
        headers: Mapping[str, str],
        silence_s: float,
    ) -> None:
        self._connection = connection
        self._socket: socket.socket = connection.sock
        self._socket.settimeout(silence_s)
        self._silence_s = silence_s
        self._protocol = ClientProtocol(parse_uri(url), max_size=None)
        self._messages: deque[bytes] = deque()
        self._fragments: list[bytes] = []
        self._is_over = False
        request = self._protocol.connect()
        request.headers.update(headers)
        self._protocol.send_request(request)
        self._flush()
        while self._protocol.state is State.CONNECTING:
            self._read()
            self._check_handshake()

    def send(self, message: bytes) -> None:
        """Send a binary message."""
        self._protocol.send_binary(message)
        self._flush()

    def receive(self) -> bytes:
        """Wait for the next binary message.

        Raises:
            BrokenOffError: there will be none.
        """
        while not self._messages:
            self._read()
        return self._messages.popleft()

    def close(self) -> None:
        """Give the connection back to the system; only by the thread that reads."""
        with suppress(OSError):
            self._connection.close()

    def _check_handshake(self) -> None:
        refusal = self._protocol.handshake_exc
        if isinstance(refusal, InvalidStatus):
            body = bytes(refusal.response.body or b"").decode("utf-8", "replace")
            raise RefusedError(refusal.response.status_code, heard(body, _SHOWN_CHARACTERS))
        if refusal is not None:
            raise BrokenOffError(heard(str(refusal)))

    def _read(self) -> None:
        if self._is_over:
            raise BrokenOffError("it ended the connection")
        try:
            data = self._socket.recv(_READ_BYTES)
        except TimeoutError:
            raise BrokenOffError(f"it said nothing for {self._silence_s:g} s") from None
        except OSError as error:
            raise BrokenOffError(error.strerror or str(error)) from None
        if data:
            self._protocol.receive_data(data)
        else:
            self._is_over = True
            self._protocol.receive_eof()
        for event in self._protocol.events_received():
            if isinstance(event, Frame):
                self._keep(event)
        self._flush()  # answers to pings

    def _keep(self, frame: Frame) -> None:
        if frame.opcode not in (Opcode.BINARY, Opcode.CONT):
            return
        if frame.fin and not self._fragments:
            self._messages.append(bytes(frame.data))
            return
        self._fragments.append(bytes(frame.data))
        if frame.fin:
            self._messages.append(b"".join(self._fragments))
            self._fragments = []

    def _flush(self) -> None:
        """Send what is due; that the other end is gone is found when there is no more to read."""
        data = b"".join(self._protocol.data_to_send())
        if not data:
            return
        with suppress(OSError):
            self._socket.sendall(data)
