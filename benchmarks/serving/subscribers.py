"""A thousand subscribers of /ws in one process, and one client that writes what they get.

All of them want everything. Times are from sending the write to the last subscriber's receipt: the
commit lies in between. Every message is counted, and all subscribers must have seen the same bytes.
"""

from __future__ import annotations

import os
import resource
import select
import socket
import zlib
from contextlib import ExitStack, closing
from dataclasses import dataclass
from http.client import HTTPConnection
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import msgpack
import numpy as np
import psutil

from benchmarks.data import NS_PER_MINUTE, bars
from benchmarks.serving.wire import WrongAnswerError, http_body, rows_in_http_answer
from benchmarks.serving.work import OPENING_S, SECONDS_PER_MINUTE, Write

if TYPE_CHECKING:
    from numpy.typing import NDArray

_KEY = "STREAMED/1Min/OHLCV"
_FILES_BESIDES = 64
_PATIENCE_S = 60.0
_BUFFER_BYTES = 1 << 16
_CPU_RESOLUTION_S = 1 / os.sysconf("SC_CLK_TCK")
_BINARY, _PING, _PONG = 0x82, 0x89, 0x8A
#: In the second byte: two more bytes tell the size.
_LONG_FRAME = 126
#: Of the shortest and of the longest head that is used here.
_FRAME_HEAD_BYTES = 4
_HEAD = (
    "GET /ws HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


@dataclass(frozen=True)
class Plan:
    """How much is streamed.

    Attributes:
        subscribers: at the same time.
        single_rows: written one after the other, each when all have the one before.
        bursts: the same with many rows each.
        burst_rows: of each of these.
    """

    subscribers: int = 1_000
    single_rows: int = 200
    bursts: int = 3
    burst_rows: int = 200


@dataclass(frozen=True)
class Streamed:
    """What the subscribers saw.

    Attributes:
        plan: what was done.
        last_s: of each row that was written alone, until the last subscriber had it.
        median_s: until half of the subscribers had it.
        burst_s: of each burst, until the last subscriber had all of it.
        burst_cpu_s: of the server's processors, for all bursts.
        rss: bytes of the server: before the subscribers, with them, and in the end.
    """

    plan: Plan
    last_s: list[float]
    median_s: list[float]
    burst_s: list[float]
    burst_cpu_s: float
    rss: tuple[int, int, int]


def stream(url: str, pid: int, plan: Plan) -> Streamed:
    """Subscribe, write and receive.

    Args:
        url: of the server.
        pid: of its process.
        plan: how much.

    Raises:
        WrongAnswerError: a message was lost, or is not what was written.
    """
    host = urlsplit(url).netloc
    _allow_files(plan.subscribers + _FILES_BESIDES)
    server = psutil.Process(pid)
    first, *writes = _writes([1, *[1] * plan.single_rows, *[plan.burst_rows] * plan.bursts])
    with ExitStack() as stack:
        alone = server.memory_info().rss
        writer = stack.enter_context(closing(HTTPConnection(host)))
        sockets = [stack.enter_context(_subscribed(host)) for _ in range(plan.subscribers)]
        audience = stack.enter_context(closing(_Audience(sockets)))
        subscribed = server.memory_info().rss
        _write(writer, first, audience)  # which makes the bucket
        singles = [_write(writer, write, audience) for write in writes[: plan.single_rows]]
        cpu = _cpu_s(server)
        bursts = [_write(writer, write, audience) for write in writes[plan.single_rows :]]
        cpu = max(_cpu_s(server) - cpu, _CPU_RESOLUTION_S)
        audience.check(1 + plan.single_rows + plan.bursts * plan.burst_rows)
        rss = alone, subscribed, server.memory_info().rss
    return Streamed(
        plan,
        [float(each[-1]) for each in singles],
        [float(np.median(each)) for each in singles],
        [float(each[-1]) for each in bursts],
        cpu,
        rss,
    )


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)


def _allow_files(count: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, min(count, hard)), hard))


def _writes(rows: list[int]) -> list[Write]:
    """Minutes after each other, so many in each write."""
    ends = np.cumsum(rows)
    columns = bars("BARS", NS_PER_MINUTE * np.arange(ends[-1])).columns
    epochs = OPENING_S + SECONDS_PER_MINUTE * np.arange(ends[-1])
    table = {"Epoch": epochs, **columns}
    return [
        Write(_KEY, {name: array[end - count : end] for name, array in table.items()})
        for count, end in zip(rows, ends, strict=True)
    ]


def _write(writer: HTTPConnection, write: Write, audience: _Audience) -> NDArray[np.float64]:
    """Seconds until each subscriber had all rows, ascending."""
    body = http_body(write)
    begun = perf_counter()
    writer.request("POST", "/rpc", body, {"Content-Type": "application/x-msgpack"})
    receipts = audience.wait_for(len(write.columns["Epoch"]))
    rows_in_http_answer(writer.getresponse().read())
    return receipts - begun


def _connected(host: str) -> socket.socket:
    name, _, port = host.rpartition(":")
    connection = socket.create_connection((name, int(port)), _PATIENCE_S)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def _subscribed(host: str) -> socket.socket:
    connection = _connected(host)
    connection.sendall(_HEAD.format(host=host).encode())
    head = b""
    while not head.endswith(b"\r\n\r\n"):
        head += connection.recv(1)
    if not head.startswith(b"HTTP/1.1 101"):
        raise WrongAnswerError(repr(head))
    streams = msgpack.packb({"streams": ["*/*/*"]})
    connection.sendall(bytes([_BINARY, 0x80 | len(streams), 0, 0, 0, 0]) + streams)
    if connection.recv(_BUFFER_BYTES) != bytes([_BINARY, len(streams)]) + streams:
        raise WrongAnswerError("the subscription was not confirmed")
    connection.setblocking(False)
    return connection


class _Audience:
    """All subscribers.

    Args:
        sockets: after the confirmation of what they subscribed to.
    """

    def __init__(self, sockets: list[socket.socket]) -> None:
        self._poller = select.epoll()
        self._subscribers = {each.fileno(): _Subscriber(each) for each in sockets}
        for number in self._subscribers:
            self._poller.register(number, select.EPOLLIN)
        self._first: list[bytes] = []
        next(iter(self._subscribers.values())).messages = self._first

    def wait_for(self, messages: int) -> NDArray[np.float64]:
        """The times at which each subscriber had so many more of them."""
        missing = dict.fromkeys(self._subscribers, messages)
        receipts: list[float] = []
        while len(receipts) < len(missing):
            ready = self._poller.poll(_PATIENCE_S)
            if not ready:
                raise WrongAnswerError(f"{len(missing) - len(receipts)} subscribers miss messages")
            for number, _ in ready:
                came = self._subscribers[number].receive()  # none when it was a ping
                missing[number] -= came
                if came and not missing[number]:
                    receipts.append(perf_counter())
        return np.array(receipts)

    def check(self, count: int) -> None:
        """See to it that all of them have got the same messages, and each row once."""
        rows = [msgpack.unpackb(message) for message in self._first]
        epochs = [OPENING_S + SECONDS_PER_MINUTE * number for number in range(count)]
        if [row["data"]["Epoch"] for row in rows] != epochs or {row["key"] for row in rows} != {
            _KEY
        }:
            raise WrongAnswerError("the messages are not the rows that were written")
        if len({each.checksum for each in self._subscribers.values()}) != 1:
            raise WrongAnswerError("subscribers have got different messages")

    def close(self) -> None:
        """Wait for nothing any more."""
        self._poller.close()


class _Subscriber:
    """One connection.

    Attributes:
        checksum: of all messages.
        messages: all of them, if they are kept.
    """

    def __init__(self, connection: socket.socket) -> None:
        self.checksum = 0
        self.messages: list[bytes] | None = None
        self._connection = connection
        self._rest = b""

    def receive(self) -> int:
        """Take what came; the number of messages that it completed."""
        came = self._connection.recv(_BUFFER_BYTES)
        if not came:
            raise WrongAnswerError("a subscriber was dropped")
        data = self._rest + came
        at = messages = 0
        while len(data) - at >= _FRAME_HEAD_BYTES:
            begin, size = at + 2, data[at + 1]
            if size == _LONG_FRAME:
                begin, size = at + 4, int.from_bytes(data[at + 2 : at + 4])
            if begin + size > len(data):
                break
            if data[at] == _BINARY:
                self._take(data[begin : begin + size])
                messages += 1
            elif data[at] == _PING:
                self._connection.send(_pong(data[begin : begin + size]))
            at = begin + size
        self._rest = data[at:]
        return messages

    def _take(self, message: bytes) -> None:
        self.checksum = zlib.crc32(message, self.checksum)
        if self.messages is not None:
            self.messages.append(message)


def _pong(content: bytes) -> bytes:
    """Masked with zeros."""
    return bytes([_PONG, 0x80 | len(content), 0, 0, 0, 0]) + content
