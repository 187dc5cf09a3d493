"""Connections to one server, kept between requests."""

from __future__ import annotations

import http.client
import os
import select
import socket
import ssl
import threading
from contextlib import suppress
from typing import TYPE_CHECKING
from weakref import WeakSet

from tsstore.client.strangers import is_plain
from tsstore.client.tls import refused_certificate, tls_context
from tsstore.errors import ClosedError, ConnectionFailedError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.client.address import Address


class Connections:
    """Lends connections, each to one request at a time. Thread-safe.

    Args:
        address: the server.
        timeout_s: longest wait for a connection.
    """

    def __init__(self, address: Address, timeout_s: float) -> None:
        self._address = address
        self._timeout_s = timeout_s
        self._context = tls_context(address)
        self._lock = threading.Lock()
        self._idle: list[http.client.HTTPConnection] = []
        self._lent: WeakSet[http.client.HTTPConnection] = WeakSet()
        self._process = os.getpid()
        self._is_closed = False

    def borrow(self) -> http.client.HTTPConnection:
        """A connection that was given back, or a new one.

        Raises:
            ClosedError: after `close`.
            ConnectionFailedError: nobody answers.
        """
        with self._lock:
            if self._is_closed:
                raise ClosedError(
                    f"the connection to {self._address.url} was closed; connect again"
                )
            if self._process != os.getpid():  # a fork: the parent goes on using its sockets
                self._process, self._idle = os.getpid(), []
            while self._idle:
                connection = self._idle.pop()
                if _is_quiet(connection):
                    self._lent.add(connection)
                    return connection
                connection.close()
        connection = self.open()
        with self._lock:
            self._lent.add(connection)
        return connection

    def give_back(self, connection: http.client.HTTPConnection) -> None:
        """Keep a connection whose answer was read to its end."""
        with self._lock:
            if not self._is_closed and connection.sock is not None:
                self._idle.append(connection)
                return
        connection.close()

    def open(
        self, on_socket: Callable[[socket.socket], None] | None = None
    ) -> http.client.HTTPConnection:
        """A new connection.

        Args:
            on_socket: told of its socket before anything is waited for, so that another thread can
                `break_off` that, and once more when TLS takes its place. May raise OSError.

        Raises:
            ConnectionFailedError: nobody answers.
        """
        host, port = self._address.host, self._address.port
        if self._context is not None:
            connection: http.client.HTTPConnection = http.client.HTTPSConnection(
                host, port, timeout=self._timeout_s, context=self._context
            )
        else:
            connection = http.client.HTTPConnection(host, port, timeout=self._timeout_s)
        try:
            self._connect(connection, on_socket or _ignore)
        except ssl.SSLCertVerificationError as error:
            connection.close()
            raise ConnectionFailedError(refused_certificate(self._address.url, error)) from None
        except OSError as error:
            connection.close()
            plain = is_plain(self._address, error)
            if plain is not None:
                raise ConnectionFailedError(f"{self._address.url} {plain}") from None
            raise ConnectionFailedError(
                f"cannot reach a server at {self._address.url}: {error.strerror or error}; "
                "start one with `tsstore start`, or check the address"
            ) from None
        with suppress(OSError):
            connection.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return connection

    def _connect(
        self, connection: http.client.HTTPConnection, on_socket: Callable[[socket.socket], None]
    ) -> None:
        """As `connection.connect` does, which shows its socket only in the end."""
        refusal = OSError("it has no address")
        for *kind, _, address in socket.getaddrinfo(
            connection.host, connection.port, type=socket.SOCK_STREAM
        ):
            connection.sock = socket.socket(*kind)
            connection.sock.settimeout(self._timeout_s)
            on_socket(connection.sock)
            try:
                connection.sock.connect(address)
            except OSError as error:
                connection.sock.close()
                refusal = error
                continue
            if self._context is not None:
                connection.sock = self._context.wrap_socket(
                    connection.sock,
                    server_hostname=connection.host,
                    do_handshake_on_connect=False,
                )
                on_socket(connection.sock)
                connection.sock.do_handshake()
            return
        raise refusal

    def abort(self) -> None:
        """Close all connections, also those in use: who waits for an answer gets an error."""
        self.close()
        with self._lock:
            lent = list(self._lent)
        for connection in lent:
            if connection.sock is not None:
                with suppress(OSError):
                    connection.sock.shutdown(socket.SHUT_RDWR)

    def close(self) -> None:
        """Close idle connections; those in use are closed when they come back."""
        with self._lock:
            self._is_closed = True
            idle, self._idle = self._idle, []
        for connection in idle:
            connection.close()


def break_off(one: socket.socket) -> None:
    """End a connection, and the waiting of whoever uses it; callable from any thread."""
    with suppress(OSError):
        # The plain socket's: of TLS nothing may change under the thread that reads.
        socket.socket.shutdown(one, socket.SHUT_RDWR)


def _ignore(_: socket.socket) -> None:
    """Nobody breaks it off."""


def _is_quiet(connection: http.client.HTTPConnection) -> bool:
    """Whether the server has not closed a kept connection: nothing, not even an end, is to read."""
    if connection.sock is None:
        return False
    poll = select.poll()
    poll.register(connection.sock, select.POLLIN)
    return not poll.poll(0)
