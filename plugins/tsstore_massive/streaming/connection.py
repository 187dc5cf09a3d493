"""One connection to the socket: its conversation, and how it ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tsstore_massive.streaming.protocol import (
    Dropped,
    Evicted,
    KeyRefused,
    Subscribed,
    TopicRefused,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tsstore_massive.decoding.streamed import Status
    from tsstore_massive.streaming.protocol import Session


class Connection:
    """One connection.

    Args:
        session: its conversation.

    Attributes:
        session: its conversation.
        ending: what the server said to end it; None while it said nothing of that kind.
        reason: why it ended, for people; empty when there is nothing to say but that.
        streaming_since: monotonic second at which it was subscribed; None before.
        is_answered: whether anything came since it was subscribed.
        abort: ends it from any thread, once it is made.
    """

    def __init__(self, session: Session) -> None:
        self.session = session
        self.ending: KeyRefused | Evicted | Dropped | None = None
        self.reason = ""
        self.streaming_since: float | None = None
        self.is_answered = False
        self.abort: Callable[[], None] = lambda: None

    def leave(self, reason: str) -> None:
        """End it without a farewell; thread-safe."""
        self.reason = reason
        self.abort()

    def judge(self, statuses: Iterable[Status]) -> list[str]:
        """Take statuses in, and end if they say so; returns why topics are refused, if any are."""
        refusals = []
        for event in self.session.receive(statuses):
            match event:
                case TopicRefused(message):
                    refusals.append(message)
                case KeyRefused() | Evicted() | Dropped():
                    self.ending = event
                    self.abort()
                case Subscribed():
                    pass
        return refusals
