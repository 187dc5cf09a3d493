from __future__ import annotations

import asyncio

from tsstore.clock import SystemClock
from tsstore_massive.streaming.pulse import lifeless


class DeafSocket:
    """Takes pings and answers those that it is told to."""

    def __init__(self, *answers: bool) -> None:
        self.pings = 0
        self._answers = answers

    async def ping(self) -> asyncio.Future[float]:
        answer = asyncio.get_running_loop().create_future()
        if self.pings < len(self._answers) and self._answers[self.pings]:
            answer.set_result(0.0)
        self.pings += 1
        return answer


def pings_until_lifeless(socket: DeafSocket, *heard: bool) -> int:
    """How many it took; `heard` says after which of them, if unanswered, a frame came."""
    frames, clock = iter(heard), SystemClock()
    asyncio.run(
        lifeless(socket, every_s=0.001, heard_since=lambda _: next(frames, False), clock=clock)
    )
    return socket.pings


def test_answered_pings_are_life() -> None:
    assert pings_until_lifeless(DeafSocket(True, True)) == 3


def test_frames_are_life_whatever_becomes_of_the_pings() -> None:
    assert pings_until_lifeless(DeafSocket(), True, True, True) == 4
