"""Clients that take their answers, and those that do not.

gRPC holds an answer until its client has read it, tells nothing of how much that is, and lets no
method of asyncio end a call whose answer is under way. So what is observed here is when answers
begin and end; a client that takes less than the slowest one may loses its connection.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import struct
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore.server.settings import ServerSettings

#: A client that is slower takes too long.
BYTES_PER_S_MIN = 1024 * 1024
_FILES = Path("/dev/fd")
_LINGER_NOT = struct.pack("ii", 1, 0)


@dataclass
class _Reader:
    """One connection, while answers are under way on it.

    Attributes:
        bytes_left: size of these answers.
        until: when all of them have to be read, on the clock of the loop.
    """

    until: float
    timer: asyncio.TimerHandle | None = None
    bytes_left: int = 0


class Readers:
    """The connections on which answers are under way; used in one event loop.

    Args:
        settings: `write_timeout_s` besides a second for each MiB is what a client may take.
        give_up: closes the connection of a peer, named as gRPC does: `ipv4:127.0.0.1:49152`.
    """

    def __init__(self, settings: ServerSettings, give_up: Callable[[str], None]) -> None:
        self._timeout_s = settings.write_timeout_s
        self._give_up = give_up
        self._readers: dict[str, _Reader] = {}
        self._loop = asyncio.get_running_loop()

    def begin(self, peer: str, size: int) -> None:
        """An answer of so many bytes goes to gRPC."""
        reader = self._readers.get(peer)
        if reader is None:
            reader = self._readers[peer] = _Reader(self._loop.time() + self._timeout_s)
        reader.bytes_left += size
        self._await(peer, reader, reader.until + size / BYTES_PER_S_MIN)

    def end(self, peer: str, size: int) -> None:
        """It was read, or never will be."""
        reader = self._readers[peer]
        reader.bytes_left -= size
        if reader.bytes_left:
            # What was read quickly saves no time for the rest; and it wins none, or who reads
            # small answers could leave a large one for ever.
            until = self._loop.time() + self._timeout_s + reader.bytes_left / BYTES_PER_S_MIN
            if until < reader.until:
                self._await(peer, reader, until)
            return
        del self._readers[peer]
        if reader.timer is not None:
            reader.timer.cancel()

    def _await(self, peer: str, reader: _Reader, until: float) -> None:
        if reader.timer is not None:
            reader.timer.cancel()
        reader.until = until
        reader.timer = self._loop.call_at(until, self._give_up, peer)


def disconnect(port: int, peer: str) -> None:
    """Break off the connection that a peer of gRPC has with one of our ports.

    gRPC has no call for it, so the socket is sought among the files of this process.
    """
    for path in list(_FILES.iterdir()):
        # Most are no sockets, and say so when their ends are asked for; this family has room for
        # the addresses of the other one.
        with (
            suppress(OSError),
            socket.fromfd(int(path.name), socket.AF_INET6, socket.SOCK_STREAM) as one,
        ):
            match one.getsockname(), one.getpeername():
                case (_, own, *_), (str(host), int(far), *_):
                    if own == port and _address(host, far) == _parsed(peer):
                        # What waits in the kernel is dropped as well.
                        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _LINGER_NOT)
                        one.shutdown(socket.SHUT_RDWR)


def _parsed(peer: str) -> tuple[str, int | None]:
    url = urlsplit("//" + unquote(peer.partition(":")[2]))
    return _address(url.hostname or "", url.port)


def _address(host: str, port: int | None) -> tuple[str, int | None]:
    address = ipaddress.ip_address(host)
    mapped = address.ipv4_mapped if isinstance(address, ipaddress.IPv6Address) else None
    return str(mapped or address), port
