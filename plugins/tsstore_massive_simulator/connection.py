"""One WebSocket connection: reads what the client says and sends it the events it wants.

The WebSocket protocol itself is the sans-I/O half of `websockets`; the bytes go through asyncio
streams here, so that faults can cut the connection at any of them.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections import deque
from typing import TYPE_CHECKING, Any, NamedTuple

import msgspec
import numpy as np
from websockets.exceptions import ProtocolError
from websockets.extensions.permessage_deflate import ServerPerMessageDeflateFactory
from websockets.frames import Frame, Opcode
from websockets.http11 import Request as HandshakeRequest
from websockets.protocol import State
from websockets.server import ServerProtocol

from tsstore_massive_simulator import conversation as words
from tsstore_massive_simulator.conversation import Conversation
from tsstore_massive_simulator.faults import Disturber
from tsstore_massive_simulator.tape import CHUNK
from tsstore_massive_simulator.voices import voice_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tsstore_massive_simulator.events import Status
    from tsstore_massive_simulator.http import Request
    from tsstore_massive_simulator.playback import Playback
    from tsstore_massive_simulator.tape import Tape, Wanted
    from tsstore_massive_simulator.world import World

_logger = logging.getLogger(__name__)

_AUTH_TIMEOUT_S = 30
_FRAME_EVENTS = 100
_BUFFER_BYTES = 256 << 10
_READ_BYTES = 64 << 10
_CLOSE_TIMEOUT_S = 1
#: Events are gathered this long before they are sent, unless they are replayed without a clock.
_TICK_S = 0.01
_IDLE_S = 0.5
#: A client may subscribe in several messages; what is replayed without a clock waits for the last.
_SETTLE_S = 0.1
_CLOSE_AFTER_EVENTS = 1000
_ABNORMAL = 1006
_HEARD_MAX = 100


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
        reader: bytes from the client.
        writer: bytes to it.
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
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        admitted: Callable[[Connection], None],
    ) -> None:
        self._world = world
        self._faults = world.faults
        self._reader = reader
        self._writer = writer
        self._admitted = admitted
        self._protocol = ServerProtocol(
            extensions=[ServerPerMessageDeflateFactory()] if self._faults.on("deflate") else None
        )
        self._disturber = Disturber(world.faults)
        self._changed = asyncio.Event()
        self._late_acks: list[Status] = []
        self._begun: _Begun | None = None
        self._fragments: list[bytes] = []
        self.market = market
        self._market = world.markets[market]
        self._voice = voice_of(market)
        self._of_venue = self._market.of_venue(venue) if venue else None
        self.conversation = Conversation(self._voice, world.keys, world.faults)
        self.events_sent = 0
        self.heard: deque[str] = deque(maxlen=_HEARD_MAX)

    async def run(self, request: Request) -> None:
        """Serve the client until either side is done."""
        if not await self._shake_hands(request):
            return
        self._writer.transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        timeout = self._faults.number("auth_timeout", _AUTH_TIMEOUT_S)
        timer = asyncio.get_running_loop().call_later(timeout, self._auth_is_late)
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._play())}
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
        if code == _ABNORMAL:
            self.drop()
            return
        if self.is_open:
            self._protocol.send_close(code, reason)
            self._flush()
        # A client that does not answer the close is not waited for.
        asyncio.get_running_loop().call_later(_CLOSE_TIMEOUT_S, self.drop)

    def drop(self) -> None:
        """Drop the TCP connection without a word."""
        self._writer.transport.abort()

    @property
    def is_open(self) -> bool:
        """Whether it can be talked to."""
        return self._protocol.state is State.OPEN

    def evict(self) -> None:
        """Close because of another connection with the same key."""
        self._say([words.MAX_CONNECTIONS])
        self.close(1008, "max_connections")

    async def _shake_hands(self, request: Request) -> bool:
        if self._faults.on("refuse"):
            status = int(self._faults.number("refuse", 503))
            self._writer.write(f"HTTP/1.1 {status} No\r\nContent-Length: 0\r\n\r\n".encode())
            return False
        if self._faults.strikes("drop_open"):
            self.drop()
            return False
        protocol = self._protocol
        protocol.receive_data(request.head)
        for handshake in protocol.events_received():
            if isinstance(handshake, HandshakeRequest):
                protocol.send_response(protocol.accept(handshake))
        self._flush()
        if not self.is_open:
            return False
        self._say([words.CONNECTED])
        if self._faults.strikes("drop_connected"):
            await self._drop_after_all()
            return False
        return True

    async def _listen(self) -> None:
        protocol = self._protocol
        while data := await self._reader.read(_READ_BYTES):
            try:
                protocol.receive_data(data)
            except ProtocolError:
                _logger.info("a client broke the WebSocket protocol")
            for event in protocol.events_received():
                if isinstance(event, Frame):
                    await self._handle(event)
            self._flush()
            if protocol.state is State.CLOSED or protocol.close_rcvd is not None:
                return

    async def _handle(self, frame: Frame) -> None:
        if frame.opcode is Opcode.PING and self._faults.on("no_pongs"):
            self._protocol.data_to_send()
        if frame.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
            return
        self._fragments.append(bytes(frame.data))
        if not frame.fin:
            return
        message = b"".join(self._fragments)
        self._fragments.clear()
        answer = self.conversation.received(message)
        if answer.subscribed:
            self._begin()  # what happens after the answer is streamed, however late that starts
        is_auth = answer.authenticated or answer.drop
        self.heard.append("auth" if is_auth else message.decode(errors="replace"))
        if answer.subscribed and self._faults.on("late_acks"):
            self._late_acks += answer.statuses
        elif answer.statuses:
            self._say(answer.statuses)
        if answer.authenticated:
            self._admitted(self)
        if (
            answer.drop
            or (answer.authenticated and self._faults.strikes("drop_auth"))
            or (answer.subscribed and self._faults.strikes("drop_subscribed"))
        ):
            await self._drop_after_all()
        if answer.subscribed:
            self._changed.set()

    def _auth_is_late(self) -> None:
        if self.conversation.key is None and self.is_open:
            self._say([words.AUTH_TIMEOUT])
            self._writer.close()

    async def _play(self) -> None:
        playback, after, replays = self._world.playbacks[self.market], None, 0
        while True:
            self._changed.clear()
            wanted = self._wanted()
            if not wanted:
                await self._changed.wait()
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
            self._begun = _Begun(conversation.replays, playback, playback.begin())
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
        pause = _IDLE_S if next_due is None else playback.seconds_to(next_due)
        await self._change_within(min(max(pause, _TICK_S), _IDLE_S))
        return until

    async def _change_within(self, seconds: float) -> bool:
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._changed.wait(), seconds)
        return self._changed.is_set()

    async def _send_events(self, tape: Tape, low: int, high: int, playback: Playback) -> None:
        frame_events = int(self._faults.number("frame_events", _FRAME_EVENTS))
        if not self._disturber.is_idle():
            events = self._disturber.disturb(tape.events(low, high))
            frames: Sequence[bytes] = [
                msgspec.json.encode(events[start : start + frame_events])
                for start in range(0, len(events), frame_events)
            ]
        elif playback.as_fast_as_read:
            frames = tape.remembered_frames(low, high, frame_events)
        else:
            frames = tape.frames(low, high, frame_events)
        for channel, count in tape.count(low, high).items():
            self._world.events_sent[channel] += count
        for frame in frames:
            end = min(low + frame_events, high)
            await self._send_frame(frame, end - low)
            # A frame at a time: another connection may begin while this one waits for its reader.
            playback.reached(int(tape.due[end - 1]))
            low = end
        playback.reached(int(tape.due[high - 1]))
        # A writer that never blocks would not let anyone else run.
        await asyncio.sleep(0)

    async def _send_frame(self, frame: bytes, events: int) -> None:
        if self._late_acks:
            acks = msgspec.json.encode(self._late_acks)
            frame = acks[:-1] + b"," + frame[1:]
            self._late_acks = []
        if self._disturber.breaks_json():
            self._send_text(b'[{"ev":"T","sym":')
        before, self.events_sent = self.events_sent, self.events_sent + events
        if self._crosses("drop_midframe", before):
            await self._drop_midframe(frame)
        self._send_text(frame)
        if self._crosses("drop_every", before):
            await self._drop_after_all()
        if self._faults.on("close") and self.events_sent >= _CLOSE_AFTER_EVENTS:
            self.close(int(self._faults.number("close", 1000)))
            await asyncio.sleep(_CLOSE_TIMEOUT_S)
        await self._drain()

    def _crosses(self, fault: str, before: int) -> bool:
        """Whether the connection has now been sent a multiple of the fault's events."""
        if not self._faults.on(fault):
            return False
        every = max(int(self._faults.number(fault, 1)), 1)
        return self.events_sent // every > before // every

    async def _drain(self) -> None:
        if not self._faults.on("slow_consumer"):
            await self._writer.drain()
            return
        try:
            await asyncio.wait_for(self._writer.drain(), self._faults.number("slow_consumer", 1))
        except TimeoutError:
            self._say([words.SLOW_CONSUMER])
            self.close(1008, "slow_consumer")
            await asyncio.sleep(_CLOSE_TIMEOUT_S)
            raise ConnectionAbortedError from None

    def _say(self, statuses: Sequence[Any]) -> None:
        self._send_text(msgspec.json.encode(statuses))

    def _send_text(self, text: bytes) -> None:
        if not self.is_open:
            raise ConnectionAbortedError
        self._protocol.send_text(text)
        self._flush()

    def _flush(self) -> None:
        for data in self._protocol.data_to_send():
            if data:
                self._writer.write(data)
            else:
                self._writer.close()

    async def _drop_midframe(self, frame: bytes) -> None:
        self._protocol.send_text(frame)
        data = b"".join(self._protocol.data_to_send())
        self._writer.write(data[: len(data) // 2])
        await self._drop_after_all()

    async def _drop_after_all(self) -> None:
        """Drop the TCP connection once everything was handed to the system."""
        self._writer.transport.set_write_buffer_limits(high=0)
        await self._writer.drain()
        self.drop()
        raise ConnectionAbortedError
