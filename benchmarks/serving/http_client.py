"""Many clients of /rpc in one process, which takes as little of the machine as Python can.

Each client has a connection that it keeps, and sends its next call when it has the answer to the
one before. Calls are encoded as pymarketstore encodes them; of the answers, the first is decoded
and the others are compared with it by size.
"""

from __future__ import annotations

import select
import socket
import time
from contextlib import suppress
from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from benchmarks.serving.wire import WrongAnswerError, http_request, rows_in_http_answer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.serving.work import Work

_BUFFER_BYTES = 1 << 20
_PATIENCE_S = 60.0
_LENGTH = b"content-length: "


@dataclass(frozen=True)
class Sample:
    """What some clients saw.

    Attributes:
        latencies_s: of each call, from sending it to the end of its answer.
        elapsed_s: all of them together.
        cpu_s: that the clients took.
        unmeasured: calls before the clock began.
    """

    latencies_s: list[float]
    elapsed_s: float
    cpu_s: float
    unmeasured: int


def call_http(target: str, work: Work, clients: int, seconds: float) -> Sample:
    """Call for so many seconds, and at least once per client.

    Args:
        target: URL of the server.
        work: the calls.
        clients: at the same time.
        seconds: how long.

    Raises:
        WrongAnswerError: an answer is not what it should be.
    """
    host = urlsplit(target).netloc
    callers = [
        _Caller(host, (http_request(call, host) for call in work.calls(number)))
        for number in range(clients)
    ]
    size = _first_answers(callers, work)
    cpu, begun = time.process_time(), perf_counter()
    _call_until(callers, size, begun + seconds)
    elapsed = perf_counter() - begun
    for caller in callers:
        caller.socket.close()
    latencies = [latency for caller in callers for latency in caller.latencies_s]
    return Sample(latencies, elapsed, time.process_time() - cpu, clients)


def _first_answers(callers: list[_Caller], work: Work) -> int:
    """Let each call once, one after the other; the size of a right answer."""
    for caller in callers:
        _call_until([caller], None, 0.0)
        body = bytes(caller.body)
        wanted = 0 if work.is_write else work.rows
        if rows_in_http_answer(body) != wanted:
            raise WrongAnswerError(f"{work.what}: {body[:200]!r}")
        caller.latencies_s.clear()
    return len(callers[0].body)


def _call_until(callers: list[_Caller], size: int | None, deadline: float) -> None:
    """Call again and again until then; every caller at least once, and to the end of its call."""
    poller = select.epoll()
    by_number = {caller.socket.fileno(): caller for caller in callers}
    for number, caller in by_number.items():
        is_sent = caller.begin()
        poller.register(number, select.EPOLLIN if is_sent else select.EPOLLOUT)
    busy = len(callers)
    buffer = memoryview(bytearray(_BUFFER_BYTES))
    while busy:
        ready = poller.poll(_PATIENCE_S)
        if not ready:
            raise WrongAnswerError(f"no answer within {_PATIENCE_S:g} s")
        for number, _ in ready:
            caller = by_number[number]
            if caller.is_sending:
                if caller.send():
                    poller.modify(number, select.EPOLLIN)
            elif caller.receive(buffer, keep=size is None):
                if size is not None and caller.size != size:
                    raise WrongAnswerError(f"an answer of {caller.size} bytes instead of {size}")
                if perf_counter() >= deadline:
                    busy -= 1
                elif not caller.begin():
                    poller.modify(number, select.EPOLLOUT)
    poller.close()


class _Caller:
    """One connection, with at most one call under way.

    Attributes:
        latencies_s: of its calls.
        is_sending: whether a part of its call is left.
        size: bytes of the body of its last answer.
        body: that body, if it was to be kept.
    """

    def __init__(self, host: str, requests: Iterator[bytes]) -> None:
        name, _, port = host.rpartition(":")
        self.socket = socket.create_connection((name, int(port)))
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.socket.setblocking(False)
        self.latencies_s: list[float] = []
        self.is_sending = False
        self.size = 0
        self.body = bytearray()
        self._requests = requests
        self._unsent = memoryview(b"")
        self._begun = 0.0
        self._missing = 0

    def begin(self) -> bool:
        """Send the next call, as `send` does; the clock starts when its bytes are ready."""
        self._unsent = memoryview(next(self._requests))
        self._missing = -1
        self._begun = perf_counter()
        return self.send()

    def send(self) -> bool:
        """Send what the socket takes; whether that was the end of the call."""
        with suppress(BlockingIOError):
            self._unsent = self._unsent[self.socket.send(self._unsent) :]
        self.is_sending = bool(self._unsent)
        return not self.is_sending

    def receive(self, buffer: memoryview, *, keep: bool) -> bool:
        """Take what came; whether that was the end of the answer."""
        count = self.socket.recv_into(buffer)
        if not count:
            raise WrongAnswerError("the server closed the connection")
        part = buffer[:count]
        if self._missing < 0:
            part = self._read_head(bytes(part[:1024]), part)
        if keep:
            self.body += part
        self._missing -= len(part)
        if self._missing:
            return False
        self.latencies_s.append(perf_counter() - self._begun)
        return True

    def _read_head(self, head: bytes, part: memoryview) -> memoryview:
        end = head.find(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200") or end < 0:
            raise WrongAnswerError(repr(head[:200]))
        begin = head.index(_LENGTH) + len(_LENGTH)
        self.size = self._missing = int(head[begin : head.index(b"\r", begin)])
        self.body.clear()
        return part[end + 4 :]
