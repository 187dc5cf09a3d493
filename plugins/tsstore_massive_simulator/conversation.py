"""What the server says to one client and what it makes of the answers; no I/O.

Follows the vendor as real clients see it: one status per new subscription, silence about unknown
channels and repeated subscriptions, `not authorized` before the acknowledgements, and after a
failed authentication the connection is dropped.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING

import msgspec

from tsstore.typed import whole
from tsstore_massive_simulator.events import Status

if TYPE_CHECKING:
    from tsstore_massive_simulator.faults import Faults
    from tsstore_massive_simulator.plans import Plan
    from tsstore_massive_simulator.tape import Wanted
    from tsstore_massive_simulator.voices import Voice

CONNECTED = Status("connected", "Connected Successfully")
AUTHENTICATED = Status("auth_success", "authenticated")
AUTH_FAILED = Status("auth_failed", "authentication failed")
NO_PLAN = Status(
    "auth_failed",
    "Your plan doesn't include websocket access. Visit https://massive.com/pricing to upgrade.",
)
AUTH_TIMEOUT = Status("auth_timeout", "No authentication request received.")
NOT_AUTHORIZED = Status("error", "not authorized")
MAX_CONNECTIONS = Status("max_connections", "Maximum number of websocket connections exceeded. ")
SLOW_CONSUMER = Status("slow_consumer", "Slow consumer: the connection does not keep up.")
FORCE_DISCONNECT = Status("force_disconnect", "Disconnected by the server.")
_INVALID = Status("error", "invalid request")


@dataclass
class Answer:
    """What to do about a message of the client.

    Attributes:
        statuses: to be sent, in one frame.
        drop: the TCP connection is to be dropped then.
        authenticated: the client has just proved who it is.
        subscribed: what it wants has changed.
    """

    statuses: list[Status] = field(default_factory=list)
    drop: bool = False
    authenticated: bool = False
    subscribed: bool = False


class _Message(msgspec.Struct):
    action: str
    params: str = ""
    date: str | None = None


class Conversation:
    """One client's side of the protocol.

    Args:
        voice: how the market speaks that the client connected to.
        keys: API keys that are good; every key when empty.
        faults: what to do wrong.
        plan: what the client has paid for; everything when absent.

    Attributes:
        key: the client's key, once it is authenticated.
        topics: pairs of channel and ticker (`*` for all) it subscribed to.
        replay_day: the day it asked to be played, when it did.
        replays: how often it asked for a day.
    """

    def __init__(
        self, voice: Voice, keys: frozenset[str], faults: Faults, plan: Plan | None = None
    ) -> None:
        self._plan = plan
        self._voice = voice
        self._keys = keys
        self._faults = faults
        self.key: str | None = None
        self.topics: set[tuple[str, str]] = set()
        self.replay_day: date | None = None
        self.replays = 0

    def received(self, text: bytes) -> Answer:
        """What to do about a message."""
        try:
            message = msgspec.json.decode(text, type=whole(_Message))
        except msgspec.MsgspecError:
            return Answer([_INVALID])
        if message.action == "auth":
            return self._auth(message.params)
        if self.key is None:
            return Answer([NOT_AUTHORIZED])
        topics = [_topic(param) for param in message.params.split(",")]
        if message.action == "subscribe":
            return self._subscribe(topics, message.date)
        if message.action == "unsubscribe":
            return self._unsubscribe(topics)
        return Answer([_INVALID])

    @property
    def wanted(self) -> Wanted:
        """Tickers by channel, None for all."""
        wanted: Wanted = {}
        for channel in {channel for channel, _ in self.topics}:
            names = {name for each, name in self.topics if each == channel}
            tickers = frozenset(map(self._voice.ticker_of, names))
            wanted[channel] = None if "*" in names else tickers
        return wanted

    def _is_known(self, channel: str) -> bool:
        return channel in self._voice.channels or channel in self._voice.silent

    def _auth(self, key: str) -> Answer:
        if self._faults.strikes("mute_auth"):
            return Answer()
        is_excluded = self._plan is not None and not self._plan.channels
        if is_excluded or self._faults.strikes("no_plan"):
            return Answer([NO_PLAN], drop=True)
        if not key or (self._keys and key not in self._keys) or self._faults.strikes("wrong_key"):
            return Answer([AUTH_FAILED], drop=True)
        self.key = key
        return Answer([AUTHENTICATED], authenticated=True)

    def _subscribe(self, topics: list[tuple[str, str]], day: str | None) -> Answer:
        if day is not None:
            try:
                self.replay_day = date.fromisoformat(day)
            except ValueError:
                return Answer([_INVALID])
            self.replays += 1
        known = [topic for topic in topics if self._is_known(topic[0]) and topic[1]]
        lacking = set(self._faults.text("not_authorized").split("+"))
        if self._plan is not None:
            lacking |= {channel for channel, _ in known if channel not in self._plan.channels}
        refused = [topic for topic in known if _is_among(topic, lacking)]
        new = [
            topic
            for topic in dict.fromkeys(known)
            if topic not in refused and topic not in self.topics
        ]
        errors = [NOT_AUTHORIZED for _ in {channel for channel, _ in refused}]
        self.topics.update(new)
        return Answer(errors + self._acks("subscribed", new), subscribed=bool(new) or bool(day))

    def _unsubscribe(self, topics: list[tuple[str, str]]) -> Answer:
        held = [topic for topic in dict.fromkeys(topics) if topic in self.topics]
        self.topics.difference_update(held)
        return Answer(self._acks("unsubscribed", held), subscribed=bool(held))

    def _acks(self, what: str, topics: list[tuple[str, str]]) -> list[Status]:
        if self._faults.on("no_acks"):
            return []
        return [Status("success", f"{what} to: {channel}.{ticker}") for channel, ticker in topics]


def _is_among(topic: tuple[str, str], lacking: set[str]) -> bool:
    """Whether a topic, or its whole channel, is among some."""
    channel, ticker = topic
    return channel in lacking or f"{channel}.{ticker}" in lacking


def _topic(param: str) -> tuple[str, str]:
    """Channel and ticker; a ticker may have dots of its own."""
    channel, _, ticker = param.strip().partition(".")
    return channel, ticker
