"""The followers of /feed: every commit, in order, its rows as columns.

A follower has no queue: each goes through the commits that the store keeps (`store.recent`) at its
own pace, and what it does not read stays where it is. So memory is bounded whatever the number of
followers, nobody is dropped for being slow, and who comes back goes on where it was, also after
the server was started again and nothing was written meanwhile. Who is further behind than what is
kept is told so, and reads what it misses from the store (`tsstore.following`).

Beside /ws, which speaks to MarketStore's clients: a message of it is one row, its bars come when
their window is over, and it sends what the trigger `stream` is set up for.
"""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

import msgspec
from starlette.websockets import WebSocket, WebSocketDisconnect

from tsstore.errors import InvalidArgumentError, ReadOnlyError
from tsstore.following import Wanted
from tsstore.wire.codec import MSGPACK
from tsstore.wire.feed import FeedMessage, FeedRequest, feed_commit

if TYPE_CHECKING:
    from tsstore.server.served import ServedStore
    from tsstore.storage.recent import Recent, RecentCommits

REQUEST_TIMEOUT_S = 30.0
HEARTBEAT_S_MIN, HEARTBEAT_S_MAX = 0.05, 60.0
MESSAGE_BYTES_MAX = 1 << 20
# More than that is put together on another thread, so that nobody else waits.
_INLINE_ROWS_MAX = 200
_INVALID_REQUEST = 1007
_decoder = msgspec.msgpack.Decoder(FeedRequest)


class CommitFeed:
    """Serves /feed."""

    def __init__(self, store: ServedStore) -> None:
        self._store = store
        self._clients = 0
        self._messages = 0
        self._late = 0

    def stats(self) -> dict[str, int]:
        """Followers now, messages sent, and how often one had to be sent to the store."""
        return {
            "clients": self._clients,
            "messages_total": self._messages,
            "late_total": self._late,
        }

    async def serve(self, socket: WebSocket) -> None:
        """Serve one connection until its client leaves."""
        await socket.accept()
        self._clients += 1
        try:
            with contextlib.suppress(WebSocketDisconnect, TimeoutError):
                await self._converse(socket)
        finally:
            self._clients -= 1

    async def _converse(self, socket: WebSocket) -> None:
        async with asyncio.timeout(REQUEST_TIMEOUT_S):
            message = await socket.receive()
        if message["type"] == "websocket.disconnect":
            return
        try:
            request = _decoder.decode(message.get("bytes") or b"")
            # Up to a thousand patterns: the others need not wait until they are translated.
            wanted = await asyncio.to_thread(Wanted, request.streams)
            recent = await asyncio.to_thread(lambda: self._store.recent)
        except (msgspec.DecodeError, InvalidArgumentError, ReadOnlyError) as error:
            await socket.send_bytes(MSGPACK.encode(FeedMessage(0, error=str(error))))
            await socket.close(_INVALID_REQUEST)
            return
        follower = _Follower(socket, recent, request, wanted)
        recent.add_waker(follower.wake)
        try:
            await follower.run()
        finally:
            recent.remove_waker(follower.wake)
            self._messages += follower.messages
            self._late += follower.late


class _Follower:
    """One client, and how far it is.

    Attributes:
        messages: how many it was sent.
        late: how often commits were missing.
    """

    def __init__(
        self, socket: WebSocket, recent: RecentCommits, request: FeedRequest, wanted: Wanted
    ) -> None:
        self.messages = 0
        self.late = 0
        self._socket = socket
        self._recent = recent
        self._wanted = wanted
        self._position = recent.newest if request.after is None else request.after
        self._heartbeat_s = min(max(request.heartbeat_s, HEARTBEAT_S_MIN), HEARTBEAT_S_MAX)
        self._loop = asyncio.get_running_loop()
        self._woken = asyncio.Event()
        self._is_woken = False
        self._silent_since = 0.0

    def wake(self) -> None:
        """There are commits; callable from any thread."""
        if self._is_woken:
            return
        self._is_woken = True
        with contextlib.suppress(RuntimeError):  # the loop was closed: the server is stopping
            self._loop.call_soon_threadsafe(self._woken.set)

    async def run(self) -> None:
        """Send until the client leaves."""
        tasks = [asyncio.create_task(work) for work in (self._send(), self._read())]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        except asyncio.CancelledError:  # the server stops, and uvicorn closes what is left
            return
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    async def _read(self) -> None:
        while (await self._socket.receive())["type"] != "websocket.disconnect":
            pass  # it has said all it has to say

    async def _send(self) -> None:
        await self._send_message(FeedMessage(self._position))
        while True:
            await self._send_recent()
            due = self._silent_since + self._heartbeat_s - self._loop.time()
            if due <= 0:
                await self._send_message(FeedMessage(self._position))
                continue
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(due):
                    await self._woken.wait()

    async def _send_recent(self) -> None:
        """Send what there is."""
        self._woken.clear()
        self._is_woken = False
        while True:
            found = self._recent.after(self._position, bytes_max=MESSAGE_BYTES_MAX)
            self._position = found.position
            self.late += not found.is_whole
            if found.is_whole and not found.commits:
                return
            if sum(commit.rows for commit in found.commits) <= _INLINE_ROWS_MAX:
                message = self._message(found)
            else:
                message = await asyncio.to_thread(self._message, found)
            if message is not None:
                await self._send_message(message)

    async def _send_message(self, message: FeedMessage) -> None:
        body = MSGPACK.encode(message)
        await self._socket.send_bytes(body)
        self.messages += 1
        self._silent_since = self._loop.time()

    def _message(self, found: Recent) -> FeedMessage | None:
        """The wanted rows of some commits; None if there is nothing to say."""
        told = ((commit.sequence, commit.batches(self._wanted)) for commit in found.commits)
        commits = [feed_commit(number, batches) for number, batches in told if batches]
        if not commits and found.is_whole:
            return None
        return FeedMessage(found.position, commits, is_missing=not found.is_whole)
