"""The remote store for asyncio: the same results, and waiting that can be given up."""

from __future__ import annotations

import asyncio
import inspect

import pytest

import tsstore
from tests.client.serving import BARS, TICK_SCHEMA, TICKS, bars, ticks
from tsstore.client import RemoteStore
from tsstore.client.aio import AsyncStore
from tsstore.errors import ConnectionFailedError, NotFoundError


def test_it_has_every_method_of_the_store():
    methods = {name for name, _ in inspect.getmembers(RemoteStore, inspect.isfunction)}
    public = {name for name in methods if not name.startswith("_")}
    assert public <= set(dir(AsyncStore))
    assert AsyncStore.write.__doc__ == RemoteStore.write.__doc__


async def test_calls_are_awaited(serving):
    async with await tsstore.connect_async(serving.url) as store:
        assert await store.write(BARS, bars((1, 1.0), (2, 2.0))) == 2
        found = await store.read(BARS, limit=1)
        assert found["V"].tolist() == [2.0]
        assert await store.list() == [BARS]
        assert (await store.stats(BARS)).rows == 2
        assert [len(piece) async for piece in store.iterate(BARS, rows=1)] == [1, 1]
        many = (store.write(f"S{number}/1Min/X", bars((1, number))) for number in range(20))
        assert await asyncio.gather(*many) == [1] * 20
        with pytest.raises(NotFoundError):
            await store.info("B/1Min/X")
        assert serving.url in repr(store)


async def test_who_does_not_answer_is_an_error(serving):
    serving.stop_server()
    with pytest.raises(ConnectionFailedError):
        await tsstore.connect_async(serving.url, timeout_s=1)


async def test_following(serving):
    serving.store.write(TICKS, ticks(0, 3), schema=TICK_SCHEMA)
    numbers = []
    async with await tsstore.connect_async(serving.url) as store, store.follow(TICKS) as updates:
        await store.write(TICKS, ticks(3, 2))
        async for update in updates:
            numbers += update.rows["N"].tolist()
            if len(numbers) == 5:
                break
    assert numbers == list(range(5))
    assert updates.position > 0
    with pytest.raises(StopAsyncIteration):
        await anext(updates)


async def test_it_begins_with_the_first_update_that_is_asked_for(serving):
    serving.store.write(TICKS, ticks(0, 3), schema=TICK_SCHEMA)
    async with await tsstore.connect_async(serving.url) as store:
        updates = store.follow(TICKS)
        assert updates.position is None
        assert len((await anext(updates)).rows) == 3
        await updates.close()
        with pytest.raises(NotFoundError):
            await anext(store.follow("B/1Min/X"))


async def test_waiting_that_is_given_up_loses_nothing(serving):
    async with (
        await tsstore.connect_async(serving.url) as store,
        store.subscribe(TICKS) as updates,
    ):
        for number in range(5):
            with pytest.raises(TimeoutError):
                await asyncio.wait_for(anext(updates), 0.01)
            await store.write(TICKS, ticks(number), schema=TICK_SCHEMA)
            update = await asyncio.wait_for(anext(updates), 10)
            assert update.rows["N"].tolist() == [number]


async def test_closing_ends_the_waiting_of_another_task(serving):
    async with await tsstore.connect_async(serving.url) as store:
        updates = store.subscribe("*/*/*")
        await updates.__aenter__()
        waiting = asyncio.create_task(anext(updates, None))
        await asyncio.sleep(0.05)
        await updates.close()
        assert await waiting is None
