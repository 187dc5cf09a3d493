"""The conversation with Massive's socket as a state machine: no socket, no clock, no thread.

    CONNECTING ──connected──▶ AUTHENTICATING ──auth_success──▶ STREAMING
         └───────────────┬────────────┘                            │
                 auth_failed                    max_connections, slow_consumer, ...
                         ▼                                         ▼
                      REFUSED                                    ENDED

Feed it every status that comes and send what `to_send` returns. Three rules come from the vendor:
- Acknowledgements are never counted: an unknown topic and a repeated one get none, and one for a
  ticker that does not exist comes like any other. So it streams once it has subscribed.
- Data may stand in the same frame as a status, from the first byte after the key was accepted.
- A refused topic leaves the connection and the other topics alone, and the refusal names none.

What is subscribed to may change at any time, and only the difference is sent.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import msgspec

from tsstore_massive.symbols import streamed_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import date

    from tsstore_massive.channels import Channel
    from tsstore_massive.decoding.streamed import Status
    from tsstore_massive.faults import Faults


#: The longest subscription sent in one piece, some 10 KB; nobody states a limit.
TOPICS_PER_FRAME = 1000


class State(enum.Enum):
    """Where the conversation is."""

    CONNECTING = "connecting"
    AUTHENTICATING = "authenticating"
    STREAMING = "streaming"
    REFUSED = "refused"
    ENDED = "ended"


@dataclass(frozen=True)
class Subscribed:
    """The key was accepted and the subscription is on its way: data may come."""


@dataclass(frozen=True)
class KeyRefused:
    """The key, or the plan behind it, is not accepted; the same key never will be.

    Attributes:
        message: the server's words.
    """

    message: str


@dataclass(frozen=True)
class TopicRefused:
    """Some of the topics are not in the plan; the others stream.

    Attributes:
        message: the server's words, which do not say what topic.
    """

    message: str


@dataclass(frozen=True)
class Evicted:
    """Another connection uses the account's quota; reconnecting at once would evict that one.

    Attributes:
        message: the server's words.
    """

    message: str


@dataclass(frozen=True)
class Dropped:
    """The server ends the connection: too slow a reader, no key in time, or for its own reasons.

    Attributes:
        status: the server's name for it.
        message: the server's words.
    """

    status: str
    message: str


SessionEvent: TypeAlias = Subscribed | KeyRefused | TopicRefused | Evicted | Dropped

_DROPS = frozenset({"auth_timeout", "slow_consumer", "force_disconnect"})


class Session:
    """One connection's conversation.

    Args:
        api_key: sent once, when the server says that it is connected.
        topics: what to subscribe to, such as `AM.*` and `T.BRK.B`, until `want` says otherwise.
        replay: a day that a simulator shall replay; the vendor knows no such thing.
        faults: where unknown statuses are counted.

    Attributes:
        state: where the conversation is.
        acknowledged: topics the server confirmed, for people to look at.
    """

    def __init__(
        self, api_key: str, topics: Iterable[str], *, faults: Faults, replay: date | None = None
    ) -> None:
        self.state = State.CONNECTING
        self.acknowledged = set[str]()
        self._api_key = api_key
        self._topics = dict.fromkeys(topics)
        self._spared = set[str]()  # held without being wanted
        self._replay = replay
        self._faults = faults
        self._outbox: list[str] = []

    def to_send(self) -> list[str]:
        """Text frames to send now, each given once."""
        outbox, self._outbox = self._outbox, []
        return outbox

    def want(self, topics: Iterable[str]) -> None:
        """Have other topics streamed from now on."""
        before, self._topics = self._topics, dict.fromkeys(topics)
        if self.state is not State.STREAMING:
            return  # all of them are sent once the key is accepted
        gone = [topic for topic in (*before, *self._spared) if topic not in self._topics]
        self._subscribe_to([topic for topic in self._topics if topic not in before])
        # Nobody says whether `T.*` goes on without T.AAPL once that is given up.
        self._spared = {topic for topic in gone if _all_of(topic) in self._topics}
        self._tell("unsubscribe", [topic for topic in gone if topic not in self._spared])
        # Nor whether T.AAPL, subscribed to while `T.*` was held, outlives it.
        wide = {topic for topic in gone if topic == _all_of(topic)}
        self._subscribe_to([topic for topic in self._topics if _all_of(topic) in wide])
        self.acknowledged.intersection_update(self._topics)

    def receive(self, statuses: Iterable[Status]) -> list[SessionEvent]:
        """Go on with the statuses of a frame, in order; returns what they mean."""
        events = []
        for status in statuses:
            event = self._receive_one(status)
            if event is not None:
                events.append(event)
        return events

    def _receive_one(self, status: Status) -> SessionEvent | None:
        if self.state in (State.REFUSED, State.ENDED):
            return None
        match status.status:
            case "connected":
                self._authenticate()
            case "auth_success":
                return self._subscribe()
            case "auth_failed":
                self.state = State.REFUSED
                return KeyRefused(self._words(status))
            case "success":
                self._acknowledge(status.message)
            case "max_connections":
                self.state = State.ENDED
                return Evicted(self._words(status))
            case "error":
                return self._error(status)
            case name if name in _DROPS:
                self.state = State.ENDED
                return Dropped(name, self._words(status))
            case name:
                self._faults.add(f"unknown status {name}", status.message.encode(errors="replace"))
        return None

    def _authenticate(self) -> None:
        if self.state is State.CONNECTING:
            self.state = State.AUTHENTICATING
            self._send(action="auth", params=self._api_key)

    def _subscribe(self) -> SessionEvent | None:
        if self.state is not State.AUTHENTICATING:
            return None
        self.state = State.STREAMING
        self._subscribe_to(list(self._topics))
        return Subscribed()

    def _subscribe_to(self, topics: list[str]) -> None:
        extra = {} if self._replay is None else {"date": self._replay.isoformat()}
        self._tell("subscribe", topics, **extra)

    def _tell(self, action: str, topics: list[str], **extra: str) -> None:
        for at in range(0, len(topics), TOPICS_PER_FRAME):
            params = ",".join(topics[at : at + TOPICS_PER_FRAME])
            self._send(action=action, params=params, **extra)

    def _acknowledge(self, message: str) -> None:
        verb, _, topic = message.partition(": ")
        if verb == "subscribed to" and topic in self._topics:
            self.acknowledged.add(topic)

    def _error(self, status: Status) -> SessionEvent:
        if self.state is State.STREAMING:
            return TopicRefused(self._words(status))
        self.state = State.ENDED
        return Dropped("error", self._words(status))

    def _words(self, status: Status) -> str:
        """What the server says; should it repeat the key, without that."""
        words = " ".join(status.message.replace(self._api_key, "***").split())
        return words[:300] or status.status

    def _send(self, **message: str) -> None:
        self._outbox.append(msgspec.json.encode(message).decode())


def topics(channels: Iterable[Channel], symbols: Iterable[str] | None) -> list[str]:
    """What to subscribe to: every channel of every symbol, all on one socket.

    Args:
        channels: what of the symbols.
        symbols: as buckets spell them; None for all of the market.
    """
    names = ["*"] if symbols is None else [streamed_symbol(symbol) for symbol in symbols]
    return [f"{channel.topic}.{name}" for channel in channels for name in names]


def narrowed(wanted: list[str]) -> list[str]:
    """The topics without those that `T.*` takes in."""
    wide = {topic.partition(".")[0] for topic in wanted if topic.endswith(".*")}
    return [t for t in dict.fromkeys(wanted) if t.endswith(".*") or t.partition(".")[0] not in wide]


def _all_of(topic: str) -> str:
    """The topic of every symbol of a topic's channel."""
    return f"{topic.partition('.')[0]}.*"
