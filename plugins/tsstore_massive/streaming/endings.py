"""How a connection ended, in words, and how long to wait before the next one."""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tsstore.plugin import FatalPluginError
from tsstore_massive.errors import NoStreamError
from tsstore_massive.streaming.backoff import Backoff
from tsstore_massive.streaming.protocol import Dropped, Evicted, KeyRefused

if TYPE_CHECKING:
    from typing import Literal

    from tsstore_massive.streaming.patience import Timing

#: The vendor's words for a plan without streaming.
_NO_STREAM = "websocket access"


@dataclass(frozen=True)
class Pause:
    """What follows a connection.

    Attributes:
        seconds: how long to wait.
        state: `waiting`, `evicted` when somebody else uses the key, or `refused` when the server
            does not take it any more.
        reason: why it ended, in the server's words; empty when it said nothing.
        alarm: what an operator has to see to; empty when nothing.
    """

    seconds: float
    state: Literal["waiting", "evicted", "refused"] = "waiting"
    reason: str = ""
    alarm: str = ""


class Endings:
    """Judges the ends of connections, one after the other.

    Args:
        url: of the socket, for the messages.
        timing: the pauses.
    """

    def __init__(self, url: str, timing: Timing) -> None:
        self._url = url
        jitter = random.Random()  # noqa: S311  (spreads reconnects, guards nothing)
        self._backoff = Backoff(
            timing.backoff_first_s, timing.backoff_max_s, healthy_s=timing.healthy_s, jitter=jitter
        )
        self._is_accepted = False
        self._long_backoff = Backoff(
            timing.evicted_first_s, timing.evicted_max_s, healthy_s=timing.healthy_s, jitter=jitter
        )

    def pause_after(
        self, ending: KeyRefused | Evicted | Dropped | None, streamed_s: float | None
    ) -> Pause:
        """What follows a connection.

        Args:
            ending: what the server said.
            streamed_s: how many seconds it streamed; None if the key was not accepted.

        Raises:
            FatalPluginError: the key was never accepted, and will not be.
        """
        self._is_accepted |= streamed_s is not None
        streamed_s = streamed_s or 0.0
        match ending:
            case KeyRefused(message) if self._is_accepted:
                # The vendor may be in trouble. If the key was revoked, nobody is hurt by asking.
                alarm = f"the server refuses the API key, which it took before: {message}"
                seconds = self._long_backoff.pause_s(streamed_s)
                return Pause(seconds, "refused", message, alarm)
            case KeyRefused(message) if _NO_STREAM in message:
                raise NoStreamError(
                    f"the plan of this API key has no stream {self._url}: {message}"
                )
            case KeyRefused(message):
                raise FatalPluginError(
                    f"Massive refuses the API key on {self._url}: {message}; set the right key, "
                    "and check that the plan includes this stream"
                )
            case Evicted(message):
                alarm = f"another connection uses this API key: {message}"
                seconds = self._long_backoff.pause_s(streamed_s)
                return Pause(seconds, "evicted", message, alarm)
            case Dropped(status, message):
                alarm = f"the server dropped the connection ({status}): {message}"
                seconds = self._backoff.pause_s(streamed_s)
                return Pause(seconds, reason=f"{status}: {message}", alarm=alarm)
            case None:
                return Pause(self._backoff.pause_s(streamed_s))
