"""One client of the WebSocket: what it says is answered, and what it wants is sent to it."""

from __future__ import annotations

import asyncio
import contextlib
import math
from collections import deque
from typing import TYPE_CHECKING, NamedTuple

import msgspec
import numpy as np

from tsstore_massive_simulator import conversation as words
from tsstore_massive_simulator.conversation import Conversation
from tsstore_massive_simulator.disturbing import Disturber
from tsstore_massive_simulator.framing import cut
from tsstore_massive_simulator.tape import CHUNK
from tsstore_massive_simulator.voices import voice_of
from tsstore_massive_simulator.wire import SlowConsumerError, Wire

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsstore_massive_simulator.conversation import Answer
    from tsstore_massive_simulator.events import Status
    from tsstore_massive_simulator.framing import Batch
    from tsstore_massive_simulator.http import Request
    from tsstore_massive_simulator.playback import Playback
    from tsstore_massive_simulator.recording import RecordedTape
    from tsstore_massive_simulator.tape import Tape, Wanted
    from tsstore_massive_simulator.world import World

    AnyTape = Tape | RecordedTape

_AUTH_TIMEOUT_S = 30
_FRAME_EVENTS = 100
#: Events are gathered this long before they are sent, unless they are replayed without a clock.
_TICK_S = 0.01
_IDLE_S = 0.5
#: A client may subscribe in several messages; what is replayed without a clock waits for the last.
_SETTLE_S = 0.1
_CLOSE_AFTER_EVENTS = 1000
_HEARD_MAX = 100
_POLICY_VIOLATION = 1008


class _Begun(NamedTuple):
    """What a client is played.

    Attributes:
        replays: how often it had asked for a day.
        playback: of that day, or of the market.
        after: events after this instant are to come.
    """

    replays: int
    playback: Playback
    after: int


class Connection:
    """A client of the WebSocket.

    Args:
        world: what it shares with the others.
        market: which market it connected to.
        venue: of which venue, when the path names one.
        wire: how it is talked to.
        admitted: called when the client has proved who it is.

    Attributes:
        market: which market it connected to.
        conversation: what was said.
        events_sent: how many events it was sent.
        heard: the last messages of the client, without its key.
    """

    def __init__(
        self,
        world: World,
        market: str,
        venue: str,
        wire: Wire,
        admitted: Callable[[Connection], None],
    ) -> None:
        self._world = world
        self._faults = world.faults
        self._wire = wire
        self._admitted = admitted
        self._disturber = Disturber(world.faults)
        self._changed = asyncio.Event()
        self._late_acks: list[Status] = []
        self._begun: _Begun | None = None
        self.market = market
        self._market = world.markets[market]
        self._voice = voice_of(market)
        self._of_venue = self._market.of_venue(venue) if venue else None
        self._delay_ns = world.delay_ns(market)
        self.conversation = Conversation(
            self._voice, world.keys, world.faults, world.plans.get(market)
        )
        self.events_sent = 0
        self.heard: deque[str] = deque(maxlen=_HEARD_MAX)

    @property
    def is_open(self) -> bool:
        """Whether it can be talked to."""
        return self._wire.is_open

    async def run(self, request: Request) -> None:
        """Serve the client until either side is done."""
        if not await self._shake_hands(request):
            return
        timeout = self._faults.number("auth_timeout", _AUTH_TIMEOUT_S)
        timer = asyncio.get_running_loop().call_later(timeout, self._auth_is_late)
        jobs = (self._listen(), self._play(), self._ping())
        tasks = {asyncio.create_task(job) for job in jobs}
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            for task in tasks:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
        for result in results:
            if isinstance(result, Exception) and not isinstance(result, ConnectionError):
                raise result

    def close(self, code: int, reason: str = "") -> None:
        """Close with a code; 1006 drops the TCP connection."""
        self._wire.close(code, reason)

    def evict(self) -> None:
        """Close because of another connection with the same key."""
        self._wire.say([words.MAX_CONNECTIONS])
        self._wire.close(_POLICY_VIOLATION, "max_connections")

    async def _shake_hands(self, request: Request) -> bool:
        if self._faults.on("refuse"):
            self._wire.refuse(int(self._faults.number("refuse", 503)))
            return False
        if self._faults.strikes("drop_open"):
            self._wire.drop()
            return False
        if not self._wire.shake_hands(request.head):
            return False
        await asyncio.sleep(self._faults.number("connect_delay", 0))
        self._wire.say([words.CONNECTED])
        if self._faults.strikes("drop_connected"):
            await self._wire.drop_after_all()
        return True

    async def _listen(self) -> None:
        async for message in self._wire.messages():
            await self._handle(message)

    async def _handle(self, message: bytes) -> None:
        answer = self.conversation.received(message)
        if answer.subscribed:
            self._begin()  # what happens after the answer is streamed, however late that starts
        is_auth = answer.authenticated or answer.drop
        self.heard.append("auth" if is_auth else message.decode(errors="replace"))
        await self._acknowledge(answer)
        if answer.authenticated:
            self._admitted(self)
        if (
            answer.drop
            or (answer.authenticated and self._faults.strikes("drop_auth"))
            or (answer.subscribed and self._faults.strikes("drop_subscribed"))
        ):
            await self._wire.drop_after_all()
        if answer.subscribed:
            self._changed.set()

    async def _acknowledge(self, answer: Answer) -> None:
        if not answer.statuses:
            return
        if answer.subscribed and self._faults.on("late_acks"):
            self._late_acks += answer.statuses
            return
        if answer.subscribed:
            await asyncio.sleep(self._faults.number("slow_acks", 0))
        if answer.subscribed and self._faults.on("split_acks"):
            for status in answer.statuses:
                self._wire.say([status])
            return
        self._wire.say(answer.statuses)

    def _auth_is_late(self) -> None:
        if self.conversation.key is None and self.is_open:
            self._wire.say([words.AUTH_TIMEOUT])
            self._wire.hang_up()

    async def _ping(self) -> None:
        """Ping now and then, where that is switched on."""
        while True:
            await asyncio.sleep(self._faults.number("server_pings", _IDLE_S))
            if self._faults.on("server_pings"):
                self._wire.ping()

    async def _play(self) -> None:
        playback, after, replays = self._world.playbacks[self.market], None, 0
        while True:
            self._changed.clear()
            wanted = self._wanted()
            if not wanted:
                await self._change_within(_IDLE_S)
                continue
            if after is None or replays != self.conversation.replays:
                replays, playback, after = self._begin()
                wanted = await self._settled(playback)
                if playback.as_fast_as_read:
                    after = playback.begin()  # others may have read on meanwhile
            after = await self._send_due(playback, wanted, after)

    def _begin(self) -> _Begun:
        """What is played, from when this client asked for the first events of it."""
        conversation = self.conversation
        if self._begun is None or self._begun.replays != conversation.replays:
            playback = self._world.playback_for(self._market, conversation.replay_day)
            after = playback.begin() - (0 if playback.as_fast_as_read else self._delay_ns)
            self._begun = _Begun(conversation.replays, playback, after)
        return self._begun

    async def _settled(self, playback: Playback) -> Wanted:
        """What the client wants, once it has had the time to say everything."""
        while playback.as_fast_as_read and await self._change_within(_SETTLE_S):
            self._changed.clear()
        return self._wanted()

    def _wanted(self) -> Wanted:
        if self._faults.on("mute"):
            return {}
        wanted = self.conversation.wanted
        told = {channel: wanted[channel] for channel in self._voice.channels if channel in wanted}
        if self._of_venue is None:
            return told
        return {
            channel: self._of_venue if tickers is None else self._of_venue & tickers
            for channel, tickers in told.items()
        }

    async def _send_due(self, playback: Playback, wanted: Wanted, after: int) -> int:
        """Send what is due after an instant, and wait a little; return how far it came."""
        until = playback.until_ns()
        if not playback.as_fast_as_read:
            until -= self._delay_ns
        next_due: int | None = None
        for day in playback.days(self._market, after, until):
            tape = await self._world.tape(self._market, day, wanted)
            low = int(np.searchsorted(tape.due, after, side="right"))
            high = int(np.searchsorted(tape.due, until, side="right"))
            while low < high:
                end = min((low // CHUNK + 1) * CHUNK, high)
                after = int(tape.due[end - 1])
                playback.reaching(after)
                await self._send_events(tape, low, end, playback)
                if self._changed.is_set():
                    return after
                low = end
            next_due = int(tape.due[high]) if high < len(tape) else None
        pause = _IDLE_S if next_due is None else playback.seconds_to(next_due + self._delay_ns)
        await self._change_within(min(max(pause, _TICK_S), _IDLE_S))
        return until

    async def _change_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        return self._changed.is_set()

    async def _send_events(self, tape: AnyTape, low: int, high: int, playback: Playback) -> None:
        batches = self._batches(tape, low, high, playback)
        for channel, count in tape.count(low, high).items():
            self._world.events_sent[channel] += count
        for text, events in batches:
            await self._send_frame(text, events, playback)
            low += events
            # A frame at a time: another connection may begin while this one waits for its reader.
            playback.reached(int(tape.due[low - 1]))
        playback.reached(int(tape.due[high - 1]))
        # A writer that never blocks would not let anyone else run.
        await asyncio.sleep(0)

    def _batches(self, tape: AnyTape, low: int, high: int, playback: Playback) -> Sequence[Batch]:
        limit = int(self._faults.number("frame_events", _FRAME_EVENTS))
        if not self._disturber.is_idle() or self._faults.on("frame_bytes"):
            events = self._disturber.disturb(tape.events(low, high))
            size = self._faults.number("frame_bytes", math.inf)
            return cut(events, high - low, limit, size)
        return tape.batches(low, high, limit, keep=playback.as_fast_as_read)

    async def _send_frame(self, frame: bytes, events: int, playback: Playback) -> None:
        if self._late_acks:
            acks = msgspec.json.encode(self._late_acks)
            frame = acks[:-1] + b"," + frame[1:]
            self._late_acks = []
        if self._disturber.breaks_json():
            self._wire.send_text(b'[{"ev":"T","sym":')
        before, self.events_sent = self.events_sent, self.events_sent + events
        if self._crosses("drop_midframe", before):
            await self._wire.drop_midframe(frame)
        self._wire.send_text(frame)
        if self._crosses("drop_every", before):
            await self._wire.drop_after_all()
        if self._faults.on("close") and self.events_sent >= _CLOSE_AFTER_EVENTS:
            await self._wire.closed(int(self._faults.number("close", 1000)))
        if self._faults.strikes("force_disconnect"):
            self._wire.say([words.FORCE_DISCONNECT])
            await self._wire.closed(_POLICY_VIOLATION, "force_disconnect")
        try:
            await self._wire.drained(is_timed=not playback.as_fast_as_read)
        except SlowConsumerError:
            self._wire.say([words.SLOW_CONSUMER])
            await self._wire.closed(_POLICY_VIOLATION, "slow_consumer")

    def _crosses(self, fault: str, before: int) -> bool:
        """Whether the connection has now been sent a multiple of the fault's events."""
        if not self._faults.on(fault):
            return False
        every = max(int(self._faults.number(fault, 1)), 1)
        return self.events_sent // every > before // every
