"""Waiting for an answer that may take hours, as long as the server shows that it lives."""

from __future__ import annotations

import http.client
import socket
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Self

from tsstore.errors import ConnectionFailedError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tsstore.client.connections import Connections


#: After so many heartbeats in a row that did not come, the server counts as dead.
BEATS_MISSED_MAX = 3


class HeartbeatWatch:
    """Asks the server for its heartbeat, and breaks a connection off when that stops.

    A silent connection says nothing about the other end: it may be at work, frozen, or behind a
    network that is gone.

    Attributes:
        has_given_up: whether it broke the connection off.
    """

    def __init__(
        self,
        watched: http.client.HTTPConnection,
        connections: Connections,
        headers: Mapping[str, str],
        every_s: float,
    ) -> None:
        self.has_given_up = False
        self._watched = watched
        self._connections = connections
        self._headers = dict(headers)
        self._every_s = every_s
        self._lock = threading.Lock()
        self._is_over = threading.Event()

    def __enter__(self) -> Self:
        # Nobody waits for the thread: it may be in a heartbeat when the answer comes.
        threading.Thread(target=self._watch, name="tsstore-heartbeat", daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._is_over.set()

    def _watch(self) -> None:
        missed = 0
        while not self._is_over.wait(self._every_s):
            missed = 0 if self._beats() else missed + 1
            if missed == BEATS_MISSED_MAX:
                self._give_up()
                return

    def _beats(self) -> bool:
        """Whether the server answers; what it says does not matter."""
        try:
            connection = self._connections.open()
        except ConnectionFailedError:
            return False
        try:
            connection.request("GET", "/heartbeat", headers=self._headers)
            connection.getresponse()
        except (OSError, http.client.HTTPException):
            return False
        finally:
            connection.close()
        return True

    def _give_up(self) -> None:
        with self._lock:
            if self._is_over.is_set():  # the answer came, and others may have the connection now
                return
            self.has_given_up = True
            with suppress(OSError):
                # The plain socket's: of TLS nothing may change under the thread that reads.
                socket.socket.shutdown(self._watched.sock, socket.SHUT_RDWR)
