"""The remote store for programs that use asyncio: the same calls, awaited.

Each call of `RemoteStore` runs on a thread, and nothing is said here a second time: what a method
takes, returns and raises is written there.
"""

from __future__ import annotations

import asyncio
from collections import deque
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial, wraps
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec, Self, TypeVar

from tsstore.client.store import RemoteStore, connect

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
    from types import TracebackType

    from tsstore.columns import Columns
    from tsstore.following import Subscription, Update
    from tsstore.times import TimeLike

_P = ParamSpec("_P")
_R = TypeVar("_R")


async def connect_async(url: str, **options: Any) -> AsyncStore:
    """The store that a server serves; arguments and errors are those of `connect`."""
    return AsyncStore(await asyncio.to_thread(partial(connect, url, **options)))


def _awaited(
    method: Callable[Concatenate[RemoteStore, _P], _R],
) -> Callable[Concatenate[AsyncStore, _P], Awaitable[_R]]:
    @wraps(method)
    async def call(self: AsyncStore, /, *args: _P.args, **kwargs: _P.kwargs) -> _R:
        return await asyncio.to_thread(method, self.sync, *args, **kwargs)

    return call


class AsyncStore:
    """A store behind a server, for asyncio. Calls may run beside each other.

    A call that is cancelled goes on in its thread, and its outcome is not told.

    Attributes:
        sync: the same store for threads.
    """

    def __init__(self, sync: RemoteStore) -> None:
        self.sync = sync

    def __repr__(self) -> str:
        return f"<AsyncStore {self.sync.url}>"

    async def read(
        self, key: str | Sequence[str], group: str | None = None, **options: Any
    ) -> Columns | dict[str, Columns]:
        """Rows between two instants; see `StoreApi.read`."""
        read: Callable[..., Columns | dict[str, Columns]] = self.sync.read
        return await asyncio.to_thread(read, key, group, **options)

    asof = _awaited(RemoteStore.asof)
    sql = _awaited(RemoteStore.sql)
    write = _awaited(RemoteStore.write)
    write_many = _awaited(RemoteStore.write_many)
    write_table = _awaited(RemoteStore.write_table)
    replace = _awaited(RemoteStore.replace)
    commit = _awaited(RemoteStore.commit)
    bulk = _awaited(RemoteStore.bulk)
    snapshot = _awaited(RemoteStore.snapshot)
    changed_since = _awaited(RemoteStore.changed_since)
    delete = _awaited(RemoteStore.delete)
    rename = _awaited(RemoteStore.rename)
    copy = _awaited(RemoteStore.copy)
    alter = _awaited(RemoteStore.alter)
    compact = _awaited(RemoteStore.compact)
    backup = _awaited(RemoteStore.backup)
    create = _awaited(RemoteStore.create)
    destroy = _awaited(RemoteStore.destroy)
    list = _awaited(RemoteStore.list)
    info = _awaited(RemoteStore.info)
    ping = _awaited(RemoteStore.ping)

    async def stats(self, key: str | None = None) -> Any:
        """How the store, or one bucket, is stored; see `StoreApi.stats`."""
        stats: Callable[..., Any] = self.sync.stats
        return await asyncio.to_thread(stats, key)

    async def iterate(self, key: str, **options: Any) -> AsyncIterator[Columns]:
        """Rows of a bucket, about so many at a time; see `StoreApi.iterate`."""
        pieces = await asyncio.to_thread(partial(self.sync.iterate, key, **options))
        while (piece := await asyncio.to_thread(next, pieces, None)) is not None:
            yield piece

    def subscribe(
        self, patterns: str | Sequence[str], *, after: int | None = None
    ) -> AsyncSubscription:
        """Rows of buckets as they are committed, for `async for`; see `Store.subscribe`."""
        return AsyncSubscription(partial(self.sync.subscribe, patterns, after=after))

    def follow(
        self,
        patterns: str | Sequence[str],
        *,
        since: TimeLike | None = None,
        tz: str | None = None,
    ) -> AsyncSubscription:
        """Rows since an instant, and then live ones, for `async for`; see `Store.follow`."""
        return AsyncSubscription(partial(self.sync.follow, patterns, since=since, tz=tz))

    async def close(self) -> None:
        """Close the connections and end the subscriptions."""
        await asyncio.to_thread(self.sync.close)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


class AsyncSubscription:
    """An asynchronous iterator of `Update`, and a context manager.

    It begins on entering its context, or with the first update that is asked for; what is wrong is
    raised there. Waiting may be cancelled, by a time-out for instance, and nothing is lost.
    """

    def __init__(self, begin: Callable[[], Subscription]) -> None:
        self._begin = begin
        self._subscription: Subscription | None = None
        # Its own: a thread that waits for days would be missed among those that all calls share.
        self._thread = ThreadPoolExecutor(1, "tsstore-subscription")
        self._waiting: asyncio.Future[list[Update]] | None = None
        self._ready: deque[Update] = deque()
        self._is_closed = False

    @property
    def position(self) -> int | None:
        """See `Subscription.position`; None before it has begun."""
        return None if self._subscription is None else self._subscription.position

    async def close(self) -> None:
        """End it."""
        self._is_closed = True
        if self._subscription is not None:
            await asyncio.to_thread(self._subscription.close)
        if self._waiting is not None:
            with suppress(Exception):
                await self._waiting
        self._thread.shutdown(wait=False)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> Update:
        while not self._ready and not self._is_closed:
            self._ready.extend(await self._take())
            if not self._ready:
                break
        if self._is_closed or not self._ready:
            raise StopAsyncIteration
        return self._ready.popleft()

    async def __aenter__(self) -> Self:
        await asyncio.get_running_loop().run_in_executor(self._thread, self._begun)
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()

    async def _take(self) -> list[Update]:
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.run_in_executor(self._thread, lambda: self._begun().take())
        taken = await asyncio.shield(self._waiting)  # a cancelled wait is taken up by the next one
        self._waiting = None
        return taken

    def _begun(self) -> Subscription:
        """The subscription; called on its thread only."""
        if self._subscription is None:
            self._subscription = self._begin()
        if self._is_closed:
            self._subscription.close()
        return self._subscription
