"""The simulator: WebSocket and REST on one port, and a side door for tests.

    GET  /_simulator/state         connections, counters, faults, the instant in the market
    POST /_simulator/begin         let the time run, which else waits for a subscription
    POST /_simulator/faults        {"drop_every": 1000, "mute": null}: switch on, switch off
    POST /_simulator/chaos         {"seed": 7}: switch random faults; null ends it
    POST /_simulator/disconnect    {"code": 1012}: close every connection; 1006 drops them

The vendor has none of the paths under `/_simulator`.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import threading
from email.utils import formatdate
from typing import TYPE_CHECKING, Any

import msgspec

from tsstore.clock import SystemClock
from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator.chaos import Chaos
from tsstore_massive_simulator.connection import Connection
from tsstore_massive_simulator.faults import FaultError, Faults
from tsstore_massive_simulator.http import BadHttpError, Reply, cut_body, packed, read_request
from tsstore_massive_simulator.playback import playbacks_of
from tsstore_massive_simulator.rest import Rest
from tsstore_massive_simulator.wire import Wire
from tsstore_massive_simulator.world import World

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Iterator, Mapping

    from tsstore.clock import Clock
    from tsstore_massive_simulator.http import Request
    from tsstore_massive_simulator.market import Market
    from tsstore_massive_simulator.plans import Plan
    from tsstore_massive_simulator.recording import Recording

_logger = logging.getLogger(__name__)

_SIDE_DOOR = "/_simulator/"
#: What may stand after the market in the path of a WebSocket.
_VENUES = {"futures": ("cme", "cbot", "nymex", "comex")}


class Simulator:
    """Plays the vendor with a market.

    Args:
        market: the stocks that are played.
        others: the other markets that are played.
        speed: 60 plays an hour in a minute; None as fast as it is read.
        start_ns: the instant in the market at the start; see `playback_of` when absent.
        skips_nights: whether the hours in which stocks are closed are skipped.
        keys: API keys that are good; every key when empty.
        faults: what goes wrong from the start.
        plans: what clients have paid for, by market; everything where there is none.
        recording: frames that the socket of stocks plays in place of the market's events, from
            the first one on.
        chaos_seed: switch random faults on and off while serving, those of this seed.
        clock: the real one.
    """

    def __init__(
        self,
        market: Market,
        *,
        others: Iterable[Market] = (),
        speed: float | None = 1.0,
        start_ns: int | None = None,
        skips_nights: bool = True,
        keys: Iterable[str] = (),
        faults: Faults | None = None,
        plans: Mapping[str, Plan] | None = None,
        recording: Recording | None = None,
        chaos_seed: int | None = None,
        clock: Clock | None = None,
    ) -> None:
        clock = clock or SystemClock()
        if recording is not None:
            start_ns = start_ns or recording.first_ns
        markets = {each.name: each for each in (market, *others)}
        playbacks = playbacks_of(markets, clock, speed, start_ns, skips_nights=skips_nights)
        self.faults = faults or Faults()
        self._world = World(
            markets,
            playbacks,
            speed,
            clock,
            frozenset(keys),
            self.faults,
            plans or {},
            recording,
        )
        self._chaos_seed = chaos_seed
        self._chaos: Chaos | None = None
        self._rest = Rest(self._world)
        self._connections: list[Connection] = []

    @contextlib.asynccontextmanager
    async def serving(self, host: str = "127.0.0.1", port: int = 0) -> AsyncIterator[str]:
        """Serve inside the block; gives the URL, whose port is a free one for port 0."""
        tasks: set[asyncio.Task[None]] = set()

        def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            task = asyncio.create_task(self._serve(reader, writer))
            tasks.add(task)
            task.add_done_callback(tasks.discard)

        server = await asyncio.start_server(accept, host, port)
        self._switch_chaos(self._chaos_seed)
        try:
            bound_host, bound_port = server.sockets[0].getsockname()[:2]
            yield f"http://{bound_host}:{bound_port}"
        finally:
            server.close()
            self._switch_chaos(None)
            for task in tuple(tasks):
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    @contextlib.contextmanager
    def in_background(self) -> Iterator[str]:
        """Serve on a thread of its own inside the block; gives the URL."""
        loop = asyncio.new_event_loop()
        done = asyncio.Event()
        started = threading.Event()
        urls: list[str] = []

        async def serve() -> None:
            async with self.serving() as url:
                urls.append(url)
                started.set()
                await done.wait()
            await loop.shutdown_default_executor()

        thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), daemon=True)
        thread.start()
        try:
            started.wait()
            yield urls[0]
        finally:
            loop.call_soon_threadsafe(done.set)
            thread.join()
            loop.close()

    def state(self) -> dict[str, Any]:
        """What `/_simulator/state` shows, as JSON values."""
        world = self._world
        return {
            "now_ns": world.now_ns(),
            "faults": world.faults.active(),
            "chaos_steps": self._chaos.steps if self._chaos else 0,
            "events_sent": world.events_sent,
            "busiest_minute": self._rest.requests.busiest_minute,
            "replies": {str(status): count for status, count in world.replies.items()},
            "connections": [
                {
                    "market": each.market,
                    "authenticated": each.conversation.key is not None,
                    "topics": sorted(
                        f"{channel}.{name}" for channel, name in each.conversation.topics
                    ),
                    "events_sent": each.events_sent,
                    "heard": list(each.heard),
                }
                for each in self._connections
            ],
        }

    def _switch_chaos(self, seed: int | None) -> None:
        """Begin with the random faults of a seed, or end."""
        if self._chaos is not None:
            self._chaos.end()
        if seed is not None:
            self._chaos = Chaos(self.faults, seed)
            self._chaos.begin()

    def disconnect(self, code: int) -> None:
        """Close every WebSocket connection; 1006 drops them."""
        for each in tuple(self._connections):
            each.close(code)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while (request := await read_request(reader)) is not None:
                if request.is_websocket:
                    await self._converse(request, reader, writer)
                    break
                if not await self._answer(request, writer):
                    break
        except BadHttpError as error:
            _logger.info("a client was refused: %s", error)
            writer.write(b"HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        except Exception:
            _logger.exception("a connection failed")
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _converse(
        self, request: Request, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        market, _, venue = request.path.strip("/").partition("/")
        if market not in self._world.markets or (venue and venue not in _VENUES.get(market, ())):
            writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            return
        wire = Wire(self.faults, reader, writer)
        connection = Connection(self._world, market, venue, wire, self._admit)
        self._connections.append(connection)
        try:
            await connection.run(request)
        finally:
            self._connections.remove(connection)

    def _admit(self, newcomer: Connection) -> None:
        """Close connections of the newcomer's key and market beyond the quota, oldest first."""
        same = [
            each
            for each in self._connections
            if each.conversation.key == newcomer.conversation.key
            and each.market == newcomer.market
            and each.is_open
        ]
        excess = len(same) - int(self.faults.number("connections", 1))
        if excess <= 0:
            return
        victims = same[-excess:] if self.faults.on("evict_newer") else same[:excess]
        for victim in victims:
            victim.evict()

    async def _answer(self, request: Request, writer: asyncio.StreamWriter) -> bool:
        """Answer a REST request; return whether the connection goes on."""
        faults = self.faults
        if request.path.startswith(_SIDE_DOOR):
            head, body = packed(self._side_door(request), request)
            writer.write(head + body)
            await writer.drain()
            return True
        if faults.strikes("drop_request"):
            writer.transport.abort()
            return False
        head, body = await asyncio.to_thread(self._packed_answer, request)
        if b"Content-Encoding: gzip" in head and faults.strikes("cut_gzip"):
            head, body = cut_body(head, body)
        half = len(body) // 2
        writer.write(head + body[:half])
        await writer.drain()
        if body and faults.strikes("truncate"):
            return False
        if faults.on("slow_body"):
            await asyncio.sleep(faults.number("slow_body", 1))
        writer.write(body[half:])
        await writer.drain()
        return request.headers.get("connection", "").lower() != "close"

    def _packed_answer(self, request: Request) -> tuple[bytes, bytes]:
        reply = self._rest.answer(request)
        self._world.replies[reply.status] += 1
        now_s = self._world.clock.now_ns() / NS_PER_SECOND + self.faults.number("clock", 0)
        reply.headers["Date"] = formatdate(now_s, usegmt=True)
        return packed(reply, request)

    def _side_door(self, request: Request) -> Reply:
        what = request.path.removeprefix(_SIDE_DOOR)
        try:
            wish: dict[str, Any] = msgspec.json.decode(request.body or b"{}", type=dict[str, Any])
            if what == "faults" and request.method == "POST":
                for name, value in wish.items():
                    if value is None:
                        self.faults.clear(name)
                    else:
                        self.faults.set(name, None if value is True else value)
            elif what == "chaos" and request.method == "POST":
                seed = wish.get("seed")
                self._switch_chaos(None if seed is None else int(seed))
            elif what == "begin" and request.method == "POST":
                for playback in self._world.playbacks.values():
                    playback.begin()
            elif what == "disconnect" and request.method == "POST":
                self.disconnect(int(wish.get("code", 1006)))
            elif what != "state":
                return Reply(b"404 page not found\n", 404, "text/plain")
        except (FaultError, ValueError, msgspec.MsgspecError) as error:
            return Reply(msgspec.json.encode({"error": str(error)}), 400)
        return Reply(msgspec.json.encode(self.state()))
