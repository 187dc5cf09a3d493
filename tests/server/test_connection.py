"""What is written to a connection, and when it goes out."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator

import pytest

from tsstore.server.connection import PIECE_BYTES, JoiningTransport


class Ends:
    """A transport, and the socket at its other end."""

    def __init__(self, transport: asyncio.Transport, other: socket.socket) -> None:
        self.plain = transport
        self.transport = JoiningTransport(transport, asyncio.get_running_loop())
        self.other = other

    def received(self) -> bytes | None:
        """What is there now; None if nothing is, and no bytes if nothing will ever be."""
        try:
            return self.other.recv(10 * PIECE_BYTES)
        except BlockingIOError:
            return None


@pytest.fixture
async def ends() -> AsyncIterator[Ends]:
    ours, other = socket.socketpair()
    other.setblocking(False)
    transport, _ = await asyncio.get_running_loop().create_connection(asyncio.Protocol, sock=ours)
    yield Ends(transport, other)
    transport.abort()
    other.close()


async def _turn() -> None:
    for _ in range(3):
        await asyncio.sleep(0)


async def test_what_is_written_in_one_turn_is_one_piece(ends: Ends) -> None:
    ends.transport.write(b"head ")
    ends.transport.write(b"body")
    assert ends.received() is None
    await _turn()
    assert ends.received() == b"head body"


async def test_turns_follow_each_other(ends: Ends) -> None:
    for part in (b"1", b"2"):
        ends.transport.write(part)
        await _turn()
        assert ends.received() == part


async def test_a_full_piece_does_not_wait(ends: Ends) -> None:
    ends.transport.write(b"head ")
    ends.transport.write(bytes(PIECE_BYTES))
    assert ends.received() == b"head " + bytes(PIECE_BYTES)
    ends.transport.write(b"rest")
    await _turn()
    assert ends.received() == b"rest"


async def test_closing_sends_what_was_written(ends: Ends) -> None:
    ends.transport.write(b"last words")
    ends.transport.close()
    await _turn()
    assert ends.received() == b"last words"
    assert ends.received() == b""


async def test_nothing_is_sent_to_who_left(ends: Ends) -> None:
    ends.transport.write(b"too late")
    ends.plain.abort()
    await _turn()
    assert ends.received() == b""


async def test_the_rest_is_the_transport_itself(ends: Ends) -> None:
    assert ends.transport.get_extra_info("socket").fileno() > 0
    assert not ends.transport.is_closing()
