"""One request and its answer over HTTP, tried again where that can do no harm."""

from __future__ import annotations

import http.client
from contextlib import suppress
from typing import TYPE_CHECKING

from tsstore.client.connections import Connections
from tsstore.client.heartbeat import BEATS_MISSED_MAX, HeartbeatWatch
from tsstore.client.strangers import heard, who_answers, who_hangs_up, who_speaks
from tsstore.errors import ConnectionFailedError, InvalidArgumentError, LimitExceededError
from tsstore.wire.codec import MSGPACK
from tsstore.wire.envelope import OUTCOME_UNKNOWN, VERSION_HEADER

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from tsstore.client.address import Address
    from tsstore.client.websocket import WebSocket


# An error of our own server names limits and keys, which 60 characters would cut off.
_OURS_SHOWN = 200


class _BrokenOffError(Exception):
    """A connection ended before its answer did."""


def _is_no_http(error: Exception) -> bool:
    """Whether bytes came that begin no answer; a connection that only ended says nothing."""
    is_end = isinstance(error, http.client.RemoteDisconnected)
    return isinstance(error, http.client.BadStatusLine) and not is_end


class Transport:
    """Sends requests to one server. Thread-safe.

    Args:
        address: the server.
        timeout_s: longest silence of the server, or of its heartbeat while a patient call waits.

    Attributes:
        url: the server, without any token.
        timeout_s: see above.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self.url = address.url
        self._address = address
        self.timeout_s = timeout_s
        self._authorization: dict[str, str] = {}
        if address.token is not None:
            self._authorization["Authorization"] = f"Bearer {address.token}"
        self._headers = {"Content-Type": MSGPACK.content_type, **self._authorization}
        self._connections = Connections(address, timeout_s)

    def post(self, body: bytes, *, repeatable: bool, patient: bool = False) -> bytes:
        """The body of the answer.

        Args:
            body: the request.
            repeatable: whether it may be sent a second time when a connection breaks.
            patient: wait for what may take hours, as long as the server's heart beats.

        Raises:
            ConnectionFailedError: no answer; for what is not repeatable, it is unknown whether the
                server did it.
        """
        try:
            return self._attempt(body, repeatable=repeatable, patient=patient)
        except _BrokenOffError as error:
            if not repeatable:
                raise ConnectionFailedError(
                    f"{self.url} broke off before it answered ({error}); {OUTCOME_UNKNOWN}"
                ) from None
        try:
            return self._attempt(body, repeatable=repeatable, patient=patient)
        except _BrokenOffError as error:
            who = who_hangs_up(self._address)
            why = f"broke off twice before it answered ({error}); see the server's log"
            raise ConnectionFailedError(f"{self.url} {who or why}") from None

    def abort(self) -> None:
        """Break off what is under way, and refuse everything from now on."""
        self._connections.abort()

    def open_websocket(
        self, path: str, *, silence_s: float, on_socket: Callable[[socket.socket], None]
    ) -> WebSocket:
        """A websocket with a connection of its own.

        Args:
            path: of the server.
            silence_s: a server that says nothing for so long counts as dead.
            on_socket: see `Connections.open`.

        Raises:
            ClosedError: after `close`.
            ConnectionFailedError: nobody answers.
            BrokenOffError: the connection broke.
            RefusedError: there is none for us.
        """
        from tsstore.client.websocket import WebSocket

        connection = self._connections.open(on_socket)
        try:
            url = self.url.replace("http", "ws", 1) + path
            return WebSocket(connection, url, self._authorization, silence_s)
        except BaseException:
            connection.close()
            raise

    def close(self) -> None:
        """Close idle connections; those in use are closed when they come back."""
        self._connections.close()

    def _attempt(self, body: bytes, *, repeatable: bool, patient: bool) -> bytes:
        connection = self._connections.borrow()
        try:
            if patient:
                response, answer = self._wait(connection, body, repeatable=repeatable)
            else:
                connection.sock.settimeout(self.timeout_s)
                response, answer = self._exchange(connection, body)
        except TimeoutError:
            connection.close()
            raise _BrokenOffError(f"no answer within {self.timeout_s:g} s") from None
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            if _is_no_http(error):
                raise ConnectionFailedError(f"{self.url} {who_speaks(str(error))}") from None
            raise _BrokenOffError(heard(str(error)) or type(error).__name__) from None
        except BaseException:  # Ctrl-C: what is left of the answer must not meet the next call
            connection.close()
            raise
        self._connections.give_back(connection)
        self._check_status(response, answer, repeatable=repeatable)
        return answer

    def _exchange(
        self, connection: http.client.HTTPConnection, body: bytes
    ) -> tuple[http.client.HTTPResponse, bytes]:
        with suppress(BrokenPipeError, ConnectionResetError):  # it may have answered before
            connection.request("POST", "/rpc", body, self._headers)
        response = connection.getresponse()
        return response, response.read()

    def _wait(
        self, connection: http.client.HTTPConnection, body: bytes, *, repeatable: bool
    ) -> tuple[http.client.HTTPResponse, bytes]:
        connection.sock.settimeout(None)
        watch = HeartbeatWatch(
            connection, self._connections, self._authorization, every_s=self.timeout_s
        )
        try:
            with watch:
                return self._exchange(connection, body)
        except (OSError, http.client.HTTPException):
            if not watch.has_given_up:
                raise
            outcome = "" if repeatable else f"; {OUTCOME_UNKNOWN}"
            raise ConnectionFailedError(
                f"{self.url} died or froze before it answered ({BEATS_MISSED_MAX} heartbeats, "
                f"{self.timeout_s:g} s each, did not come); look after its process{outcome}"
            ) from None

    def _check_status(
        self, response: http.client.HTTPResponse, answer: bytes, *, repeatable: bool
    ) -> None:
        status = response.status
        if status == http.client.OK:
            return
        is_ours = response.headers.get(VERSION_HEADER) is not None
        stranger = None if is_ours else who_answers(status, response.reason)
        if stranger is not None:
            raise ConnectionFailedError(f"{self.url} {stranger}")
        if status == http.client.UNAUTHORIZED:
            raise ConnectionFailedError(
                f"{self.url} does not accept the token, or wants one; pass "
                "connect(url, token=...), or, on the command line, --token-file or $TSSTORE_TOKEN"
            )
        text = answer[:_OURS_SHOWN].decode("utf-8", "replace")
        said = (heard(text, _OURS_SHOWN) if is_ours else heard(text)) or "no reason given"
        if status >= 500 and not repeatable and OUTCOME_UNKNOWN not in said:
            said += f"; {OUTCOME_UNKNOWN}"
        kinds = {413: LimitExceededError, 415: InvalidArgumentError}
        kind = kinds.get(status, ConnectionFailedError)
        raise kind(f"{self.url} answers {status}: {said}")
