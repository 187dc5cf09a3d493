"""The socket: reachable, the key accepted, which channels the plan has, whether anything comes."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import msgspec
from websockets.exceptions import ConnectionClosed, WebSocketException
from websockets.sync.client import connect

from tsstore.errors import LockedError
from tsstore_massive.channels import channels_of
from tsstore_massive.connections import quota_place
from tsstore_massive.doctor.findings import fail, ok, skip, warn
from tsstore_massive.optionvalues import is_loopback
from tsstore_massive.streaming.dialing import refuse_redirect
from tsstore_massive.streaming.lock import KeyLock
from tsstore_massive.symbols import streamed_symbol

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from websockets.sync.client import ClientConnection

    from tsstore.clock import Clock
    from tsstore_massive.doctor.findings import Finding
    from tsstore_massive.symbols import Market

_HANDSHAKE_S = 15.0
#: The vendor answers a subscription in less; to an unknown channel it says nothing.
_ACK_S = 3.0
_FRAME_BYTES_MAX = 8 * 2**20


@dataclass(frozen=True)
class Target:
    """What to connect to, and for what.

    Attributes:
        url: of the socket, with the market's path.
        market: whose channels to subscribe to.
        symbol: of which, as buckets spell it.
        wanted: kinds of data that the options name.
        is_open: whether the market is open, so that something should come.
        listen_s: how long to wait for it.
        allowed: connections that the account has.
    """

    url: str
    market: Market
    symbol: str
    wanted: Collection[str]
    is_open: bool
    listen_s: float
    allowed: int = 1


def check_stream(target: Target, key: str, clock: Clock) -> Iterator[Finding]:
    """Connect, authenticate, subscribe to one channel after the other, and listen.

    A second connection evicts the first, so nothing is done while a worker on this machine streams.
    """
    try:
        with KeyLock(key, quota_place(target.url), allowed=target.allowed):
            yield from _check(target, key, clock)
    except LockedError as error:
        yield skip("socket", f"not opened: {error}")


def _check(target: Target, key: str, clock: Clock) -> Iterator[Finding]:
    try:
        with _dial(target.url) as socket:
            refuse_redirect(target.url, socket.request)
            yield ok("socket", f"{target.url} takes connections")
            yield from _converse(_Talk(socket, clock), target, key)
    except TimeoutError:
        yield _unreachable(target.url, f"no answer within {_HANDSHAKE_S:g} s")
    except ConnectionClosed as error:
        reason = error.rcvd or "no close frame"
        yield fail("socket", f"the server ended the conversation ({reason})", "try again later")
    except (OSError, WebSocketException) as error:
        yield _unreachable(target.url, str(error) or type(error).__name__)


def _unreachable(url: str, why: str) -> Finding:
    return fail("socket", f"{url}: {why}", "check the network, proxies and ws_server")


def _dial(url: str) -> ClientConnection:
    # Frames would show the key; the library logs them at DEBUG.
    logger = logging.getLogger("tsstore_massive.doctor.websocket")
    logger.setLevel(logging.CRITICAL)
    return connect(
        url,
        logger=logger,
        compression=None,
        max_size=_FRAME_BYTES_MAX,
        open_timeout=_HANDSHAKE_S,
        close_timeout=1.0,
        # A proxy of the environment is for the world outside, not for a local simulator.
        proxy=None if is_loopback(url) else True,
    )


def _converse(talk: _Talk, target: Target, key: str) -> Iterator[Finding]:
    talk.await_status(_HANDSHAKE_S)
    talk.say("auth", key)
    status, words = talk.await_status(_HANDSHAKE_S) or ("", "")
    yield _judge_auth(status, words)
    if status != "auth_success":
        return
    entitled = 0
    for channel in channels_of(target.market):
        talk.say("subscribe", f"{channel.topic}.{streamed_symbol(target.symbol)}")
        answer = talk.await_status(_ACK_S)
        finding = _judge_topic(channel.kind, channel.topic, answer, target.wanted)
        entitled += finding.found.startswith("in the plan")
        yield finding
    if entitled:
        yield _judge_data(talk, target)


def _judge_auth(status: str, words: str) -> Finding:
    check = "socket key"
    if status == "auth_success":
        return ok(check, "accepted")
    if status == "max_connections":
        return warn(
            check,
            f"refused: {words}",
            "another program streams with this key; stop it, or give it another key",
        )
    if not status:
        advice = "try again later; it is theirs"
        return fail(check, f"the server says nothing to it within {_HANDSHAKE_S:g} s", advice)
    return fail(
        check,
        f"refused: {words}",
        "check the API key, that the plan has streams of this market, and that ws_server is "
        "that of the plan (delayed plans: wss://delayed.massive.com)",
    )


def _judge_topic(
    kind: str, channel: str, answer: tuple[str, str] | None, wanted: Collection[str]
) -> Finding:
    check = f"socket {kind}"
    if answer is None:
        advice = "nothing can be said of the plan; try again later"
        return warn(check, f"no answer to a subscription to {channel} in {_ACK_S:g} s", advice)
    status, words = answer
    if status == "success":
        return ok(check, f"in the plan ({channel})")
    if kind not in wanted:
        return ok(check, f"not in the plan ({channel}), and not among the data_types")
    return fail(
        check,
        f"not in the plan ({channel}): {words}",
        f"take {kind} out of data_types, or take a plan that has it: https://massive.com/pricing",
    )


def _judge_data(talk: _Talk, target: Target) -> Finding:
    event = talk.await_data(target.listen_s)
    if event is not None:
        return ok("socket data", f"{event.get('ev')} of {target.symbol} came")
    nothing = f"nothing of {target.symbol} came in {target.listen_s:g} s"
    if not target.is_open:
        return ok("socket data", f"{nothing}; the market is closed")
    return warn(
        "socket data",
        nothing,
        "minute bars come after each minute: --listen 70 waits for one; else ask the vendor",
    )


@dataclass
class _Talk:
    """A conversation, of which data and statuses come in any mixture."""

    socket: ClientConnection
    clock: Clock
    statuses: list[tuple[str, str]] = field(default_factory=list)
    data: list[dict[str, Any]] = field(default_factory=list)

    def say(self, action: str, params: str) -> None:
        message = {"action": action, "params": params}
        self.socket.send(msgspec.json.encode(message).decode())

    def await_status(self, seconds: float) -> tuple[str, str] | None:
        """The next status and its words; None when none comes in time."""
        return self.statuses.pop(0) if self._await(self.statuses, seconds) else None

    def await_data(self, seconds: float) -> dict[str, Any] | None:
        """The first event that is no status; None when none comes in time."""
        return self.data[0] if self._await(self.data, seconds) else None

    def _await(self, wanted: list[Any], seconds: float) -> bool:
        deadline = self.clock.monotonic() + seconds
        while not wanted:
            left = deadline - self.clock.monotonic()
            if left <= 0:
                return False
            try:
                self._sort(self.socket.recv(timeout=left))
            except TimeoutError:
                return False
        return True

    def _sort(self, frame: str | bytes) -> None:
        elements = msgspec.json.decode(frame)
        for element in elements if isinstance(elements, list) else [elements]:
            if not isinstance(element, dict):
                continue
            if element.get("ev") == "status":
                words = " ".join(str(element.get("message", "")).split())[:300]
                self.statuses.append((str(element.get("status", "")), words))
            elif not self.data:
                self.data.append(element)
