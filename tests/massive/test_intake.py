from __future__ import annotations

import asyncio
import threading

import pytest

from tsstore_massive.streaming.intake import Intake

FRAME = b"x" * 1_000
ALL = 2**30


async def test_frames_come_out_in_order_with_their_source() -> None:
    intake = Intake[str](ALL)
    for number in range(5):
        intake.put("one", b"%d" % number)
    assert intake.take(ALL) == [("one", b"%d" % number) for number in range(5)]


async def test_a_batch_is_bounded() -> None:
    intake = Intake[int](ALL)
    for number in range(10):
        intake.put(number, FRAME)
    sizes = []
    for _ in range(4):
        sizes.append(len(intake.take(3_000)))
        intake.done()
    assert sizes == [3, 3, 3, 1]


async def test_the_reader_waits_at_the_bound_until_the_writer_is_done() -> None:
    intake = Intake[int](2_000)
    await intake.room()
    intake.put(1, FRAME)
    await intake.room()
    intake.put(2, FRAME)
    waiting = asyncio.create_task(intake.room())
    await asyncio.sleep(0)
    assert not waiting.done()
    intake.take(ALL)
    assert len(intake) > 2_000  # what the writer is busy with counts
    intake.done()
    await asyncio.wait_for(waiting, 5)
    assert intake.pauses == 1
    assert len(intake) == 0


async def test_drained_waits_for_the_writer() -> None:
    intake = Intake[int](ALL)
    intake.put(1, FRAME)
    waiting = asyncio.create_task(intake.drained())
    await asyncio.sleep(0)
    intake.take(ALL)
    await asyncio.sleep(0)
    assert not waiting.done()
    intake.done()
    await asyncio.wait_for(waiting, 5)


async def test_nothing_is_lost_and_memory_is_bounded_under_a_firehose() -> None:
    intake = Intake[int](20_000)
    taken = list[int]()
    sizes = list[int]()

    def write() -> None:
        while frames := intake.take(5_000):
            taken.extend(number for number, _ in frames)
            intake.done()

    writer = threading.Thread(target=write)
    writer.start()
    for number in range(20_000):
        await intake.room()
        intake.put(number, FRAME)
        sizes.append(len(intake))
    await asyncio.wait_for(intake.drained(), 20)
    intake.close()
    writer.join(30)
    assert taken == list(range(20_000))
    assert max(sizes) < 20_000 + 2 * len(FRAME)


async def test_a_closed_intake_gives_what_it_holds_and_then_nothing() -> None:
    intake = Intake[int](ALL)
    intake.put(1, FRAME)
    intake.close()
    assert len(intake.take(ALL)) == 1
    assert intake.take(ALL) == []


async def test_an_abandoned_intake_gives_nothing() -> None:
    intake = Intake[int](ALL)
    intake.put(1, FRAME)
    intake.close(abandon=True)
    assert intake.take(ALL) == []


@pytest.mark.parametrize("abandon", [False, True])
async def test_closing_wakes_a_waiting_writer(abandon: bool) -> None:
    intake = Intake[int](ALL)
    writer = threading.Thread(target=intake.take, args=(ALL,))
    writer.start()
    intake.close(abandon=abandon)
    writer.join(30)
    assert not writer.is_alive()
