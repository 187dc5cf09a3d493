"""How long the worker waits for what."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Timing:
    """Times of the feed in seconds.

    Attributes:
        backoff_first_s: pause after a lost connection; doubles with every further one.
        backoff_max_s: the longest of these pauses.
        evicted_first_s: pause when another connection uses the account's quota.
        evicted_max_s: the longest of these.
        healthy_s: a connection that streamed so long lets the pauses start over.
        handshake_s: time to connect and be accepted.
        close_s: time for a close to be answered.
    """

    backoff_first_s: float = 1.0
    backoff_max_s: float = 60.0
    evicted_first_s: float = 120.0
    evicted_max_s: float = 900.0
    healthy_s: float = 180.0
    handshake_s: float = 30.0
    close_s: float = 1.0


@dataclass(frozen=True)
class Patience:
    """Times of the worker in seconds.

    Attributes:
        feed: those of the connection.
        settle_s: how long after a reconnect a gap is fetched, and how far it reaches into the new
            connection: what the vendor's history shows lags behind what streams.
        retry_s: pause before a failed fetch is tried again.
        look_s: how often commands, universes and other connections are looked at.
        sleep_s: a jump of the wall clock that means that this machine slept.
    """

    feed: Timing = field(default_factory=Timing)
    settle_s: float = 3.0
    retry_s: float = 60.0
    look_s: float = 0.5
    sleep_s: float = 60.0
