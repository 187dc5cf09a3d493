"""Clients that do not read their answers hold a bounded number of them, and not for ever."""

from __future__ import annotations

import asyncio
import socket
import struct
from contextlib import contextmanager, suppress
from itertools import count
from typing import Self

import grpc
import numpy as np
import pytest

import tsstore
from tsstore.server.grpc import marketstore_pb2 as pb
from tsstore.server.grpc.readers import BYTES_PER_S_MIN, Readers
from tsstore.server.ports import Ports
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

from .conftest import Client

KEY = "A/1Sec/NUMBERS"
NUMBERS = np.arange(20_000)
HEADERS_FRAME, DATA_FRAME, SETTINGS_FRAME, PING_FRAME = 1, 0, 4, 6
END, END_HEADERS, ACK = 1, 4, 1
QUERY = pb.MultiQueryRequest(requests=[pb.QueryRequest(destination=KEY)]).SerializeToString()


def frame(kind, flags, stream, payload):
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def literal(name, value):
    """A header that is in no table."""
    return b"\x10" + bytes([len(name)]) + name + bytes([len(value)]) + value


HEADERS = b"".join(
    literal(name, value)
    for name, value in (
        (b":method", b"POST"),
        (b":scheme", b"http"),
        (b":path", b"/proto.Marketstore/Query"),
        (b":authority", b"localhost"),
        (b"content-type", b"application/grpc"),
        (b"te", b"trailers"),
    )
)


class Deaf:
    """A client that answers pings and leaves no room for answers."""

    def __init__(self, target: str) -> None:
        host, port = target.rsplit(":", 1)
        self._peer = socket.create_connection((host.strip("[]"), int(port)), timeout=20)
        no_room = struct.pack(">HI", 4, 0)
        self._peer.sendall(
            b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
            + frame(SETTINGS_FRAME, 0, 0, no_room)
            + frame(SETTINGS_FRAME, ACK, 0, b"")
        )
        self._file = self._peer.makefile("rb")

        self._streams = count(1, 2)

    def ask(self) -> None:
        stream = next(self._streams)
        message = b"\0" + struct.pack(">I", len(QUERY)) + QUERY
        self._peer.sendall(
            frame(HEADERS_FRAME, END_HEADERS, stream, HEADERS)
            + frame(DATA_FRAME, END, stream, message)
        )

    def wait_for_the_end(self) -> None:
        """Answer pings until the server ends the connection."""
        with suppress(ConnectionError):
            while head := self._file.read(9):
                payload = self._file.read(int.from_bytes(head[:3]))
                if head[3] == PING_FRAME and not head[4] & ACK:
                    self._peer.sendall(frame(PING_FRAME, ACK, 0, payload))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        self._peer.close()


@contextmanager
def serving(path, **options):
    settings = ServerSettings(port=0, grpc_port=0, connections_max=2, **options)
    with tsstore.open(path) as store:
        store.write(KEY, {"Epoch": NUMBERS, "A": NUMBERS, "B": NUMBERS})
        with Ports(store, settings, hub=StreamHub()) as ports:
            yield ports


@pytest.mark.parametrize("host", ["127.0.0.1", "::1"])
def test_who_reads_nothing_counts_and_is_given_up(tmp_path, host, caplog) -> None:
    with serving(tmp_path, host=host, write_timeout_s=0.5) as ports:
        client = Client(ports.grpc_target)
        with client.channel, Deaf(ports.grpc_target) as deaf:
            while True:  # until its calls are as many as may be; ours may be one of them
                deaf.ask()
                try:
                    client.call("ServerVersion")
                except grpc.RpcError as refused:
                    assert refused.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
                    break
            deaf.wait_for_the_end()
            while True:  # until gRPC has heard of it as well
                with suppress(grpc.RpcError):
                    assert client.query(KEY)["A"] == NUMBERS.tolist()
                    break
    assert not [record for record in caplog.records if record.exc_info]


def test_answers_that_nobody_reads_do_not_keep_it_from_stopping(tmp_path, caplog) -> None:
    with serving(tmp_path) as ports, Deaf(ports.grpc_target) as deaf:
        deaf.ask()
        deaf.ask()
        ports.stop()
        deaf.wait_for_the_end()
    assert not [record for record in caplog.records if record.exc_info]


async def test_who_reads_small_answers_may_not_leave_a_large_one() -> None:
    given_up: list[str] = []
    readers = Readers(ServerSettings(write_timeout_s=0.2), given_up.append)
    readers.begin("a", 100)
    readers.begin("b", 5)
    readers.end("b", 5)
    async with asyncio.timeout(30):
        while not given_up:
            readers.begin("a", 5)
            await asyncio.sleep(0.01)
            readers.end("a", 5)
    assert given_up == ["a"]


async def test_who_reads_all_in_time_is_kept() -> None:
    given_up = asyncio.Queue[str]()
    readers = Readers(ServerSettings(write_timeout_s=0.001), given_up.put_nowait)
    readers.begin("slow", 1)
    for _ in range(3):
        readers.begin("quick", 5)
        readers.begin("quick", BYTES_PER_S_MIN * 1000)
        readers.end("quick", BYTES_PER_S_MIN * 1000)
        readers.end("quick", 5)
    assert await given_up.get() == "slow"
    assert given_up.empty()
