"""What comes of subscriptions, in one process and through a server."""

from __future__ import annotations

import gc
import threading

import numpy as np
import pytest

import tsstore
from tests.client.serving import (
    BARS,
    MINUTE,
    TICK_SCHEMA,
    TICKS,
    Replica,
    Serving,
    bars,
    numbers,
    take,
    ticks,
)
from tsstore.columns import Columns
from tsstore.errors import (
    ClosedError,
    ConnectionFailedError,
    InvalidArgumentError,
    InvalidKeyError,
    NotFoundError,
    ReadOnlyError,
)
from tsstore.schema import Schema


def test_rows_come_as_they_are_committed(home, serving):
    store = serving.store
    store.write(TICKS, ticks(0, 5), schema=TICK_SCHEMA)
    with home.subscribe(TICKS) as updates:
        store.write(TICKS, ticks(5, 2))
        store.write("B/1Sec/TICK", ticks(0), schema=TICK_SCHEMA)
        store.write(TICKS, ticks(7))
        first, second = take(updates, 3)
    assert numbers([first, second]) == [5, 6, 7]
    assert first.key == TICKS
    assert first.rows.schema == ticks(0).schema
    assert first.is_live
    assert not first.is_correction
    assert first.replaces is None
    assert first.commit < second.commit == store.changed_since(0).position
    with pytest.raises(ValueError, match="read-only"):
        first.rows["N"][0] = 1


def test_a_pattern_takes_in_buckets_that_come_later(home, serving):
    with home.subscribe(["*/1Min/OHLCV", TICKS]) as updates:
        serving.store.write_many({BARS: bars((1, 1.0)), "B/1Min/OHLCV": bars((1, 2.0))})
        serving.store.write("B/5Min/OHLCV", bars((5, 1.0)))
        serving.store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
        found = take(updates, 3)
    assert {update.key for update in found[:2]} == {BARS, "B/1Min/OHLCV"}
    assert found[2].key == TICKS


def test_longer_bars_come_with_each_commit(home, serving):
    with home.subscribe("*/1D/*") as updates:
        serving.store.write("A/1D/OHLCV", bars((0, 1.0)))
        serving.store.write("A/1D/OHLCV", bars((0, 2.0)))
        first, second = take(updates, 2)
    assert (first.rows["V"], second.rows["V"]) == ([1.0], [2.0])
    assert second.is_correction


def test_history_then_live(home, serving):
    store = serving.store
    store.write(TICKS, ticks(0, 100), schema=TICK_SCHEMA)
    with home.follow(TICKS) as updates:
        (history,) = take(updates, 100)
        store.write(TICKS, ticks(100, 3))
        (live,) = take(updates, 3)
    assert numbers([history, live]) == list(range(103))
    assert (history.is_live, live.is_live) == (False, True)
    assert history.rows.schema == live.rows.schema


def test_what_is_written_again_is_a_correction(home, serving):
    store = serving.store
    store.write(BARS, bars((1, 1.0), (2, 2.0), (4, 4.0)))
    with home.follow(BARS) as updates:
        (history,) = take(updates, 3)
        store.write(BARS, bars((2, 2.5), (3, 3.0), (4, 4.5), (5, 5.0)))
        again, new = take(updates, 4)
    assert not history.is_correction
    assert again.is_correction
    assert again.rows["V"].tolist() == [2.5, 3.0, 4.5]
    assert not new.is_correction
    assert new.rows["V"].tolist() == [5.0]


def test_a_tick_of_the_same_instant_is_not_late(home, serving):
    store = serving.store
    store.write(TICKS, ticks(5), schema=TICK_SCHEMA)
    with home.follow(TICKS) as updates:
        take(updates, 1)
        store.write(TICKS, ticks(5))
        store.write(TICKS, ticks(4))
        same, late = take(updates, 2)
    assert (same.is_correction, late.is_correction) == (False, True)


def test_since_is_an_instant_for_ticks_and_a_slot_for_bars(home, serving):
    store = serving.store
    store.write(TICKS, ticks(0, 10), schema=TICK_SCHEMA)
    store.write(BARS, bars((0, 0.0), (1, 1.0), (2, 2.0)))
    with home.follow(TICKS, since=np.datetime64(5000, "ns")) as updates:
        assert numbers(take(updates, 5)) == [5, 6, 7, 8, 9]
        store.write(TICKS, ticks(3, 4))
        assert numbers(take(updates, 2)) == [5, 6]
    with home.follow(BARS, since=90) as updates:
        assert take(updates, 2)[0].rows["V"].tolist() == [1.0, 2.0]
        store.write(BARS, bars((0, 7.0), (1, 8.0)))
        assert take(updates, 1)[0].rows["V"].tolist() == [8.0]


def test_since_takes_a_zone_which_the_frames_show(home, serving):
    store = serving.store
    store.write(BARS, bars((0, 0.0), (300, 1.0)))
    with home.follow(BARS, since="1970-01-01 00:00", tz="America/New_York") as updates:
        (found,) = take(updates, 1)
    assert found.rows["V"].tolist() == [1.0]
    assert found.rows.tz == "America/New_York"


def test_a_long_history_comes_in_parts(home, serving, monkeypatch):
    """The server's answers are smaller than a part, as the rows are not evenly spread."""
    monkeypatch.setattr("tsstore.following.catchup.PART_ROWS", 40_000)
    store = serving.store
    store.write(TICKS, ticks(0, 100_000), schema=TICK_SCHEMA)
    store.write(TICKS, ticks(10**9, 20_000))
    with home.follow(TICKS) as updates:
        store.write(TICKS, ticks(10**9 + 20_000))
        found = take(updates, 120_001)
    assert len(found) > 1
    assert numbers(found) == [*range(100_000), *range(10**9, 10**9 + 20_001)]


def test_slots_at_the_border_of_two_parts_come_once(home, serving, monkeypatch):
    monkeypatch.setattr("tsstore.following.catchup.PART_ROWS", 7)
    serving.store.write(BARS, bars(*((minute, float(minute)) for minute in range(100))))
    with home.follow(BARS) as updates:
        serving.store.write(BARS, bars((100, 100.0)))
        found = take(updates, 101)
    assert len(found) > 10
    assert [v for update in found for v in update.rows["V"].tolist()] == list(range(101))


def test_rows_written_while_history_is_read_come_once(home, serving, monkeypatch):
    monkeypatch.setattr("tsstore.following.catchup.PART_ROWS", 10)
    store = serving.store
    store.write(BARS, bars(*((minute, 0.0) for minute in range(100))))
    replica = Replica()
    with home.follow(BARS) as updates:
        for turn in range(1, 20):  # in front of, in and behind what is being read
            replica.apply(next(updates))
            store.write(BARS, bars((5, turn), (turn * 5, turn), (99, turn), (100 + turn, turn)))
        store.write("end/1Min/OHLCV", bars((1, 1.0)))
        last = store.changed_since(0, BARS).stretches[BARS][-1][1]
        while replica.newest[BARS] < last:
            replica.apply(next(updates))
    replica.check(store, [BARS])


def test_a_schema_that_changes(home, serving):
    store = serving.store
    store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    with home.follow(TICKS) as updates:
        assert take(updates, 1)[0].rows.names == ("N", "Price")
        store.alter(TICKS, Schema.of({"N": "i8", "Price": "f8", "More": "U4"}, variable=True))
        store.write(TICKS, {"Epoch": [9], "N": [1], "Price": [0.1], "More": ["text"]})
        (wider,) = take(updates, 1)
    assert wider.rows.names == ("N", "Price", "More")
    assert wider.rows["More"].tolist() == ["text"]
    assert wider.rows["Price"].tolist() == [0.1]


def test_a_bucket_that_goes_and_comes_again(home, serving):
    store = serving.store
    store.write(TICKS, ticks(0, 3), schema=TICK_SCHEMA)
    with home.follow("*/1Sec/*") as updates:
        take(updates, 3)
        store.destroy(TICKS)
        store.write(TICKS, bars((1, 1.0)))
        (found,) = take(updates, 1)
    assert not found.rows.variable
    assert found.rows["V"].tolist() == [1.0]


def test_bulk_loads_come_as_well(home, serving):
    serving.store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    with home.follow(TICKS) as updates:
        serving.store.bulk({TICKS: ticks(1, 200_000)})
        assert numbers(take(updates, 200_001)) == list(range(200_001))


def test_a_bulk_load_that_began_before_anyone_listened(home, serving):
    """Its rows are in files alone, so they come from there."""
    store = serving.store
    store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    with home.follow(TICKS) as updates:
        take(updates, 1)
        store._writer._changes._is_told = lambda: False
        store.bulk({TICKS: ticks(1, 200_000)})
        store.write(TICKS, ticks(200_001))
        found = take(updates, 200_001)
    assert not found[0].is_live
    assert numbers(found) == list(range(1, 200_002))


def test_a_copy_of_a_bucket_comes_as_well(home, serving):
    serving.store.write(TICKS, ticks(0, 100), schema=TICK_SCHEMA)
    with home.subscribe("B/*/*") as updates:
        serving.store.copy(TICKS, "B/1Sec/TICK")
        assert numbers(take(updates, 100)) == list(range(100))


def test_one_that_nobody_closed_goes_with_its_last_reference(home, serving):
    updates = home.subscribe("*/*/*")
    feed = updates._feed
    del updates
    gc.collect()
    assert feed.get() is None


@pytest.mark.parametrize("method", ["subscribe", "follow"])
def test_a_callback(home, serving, method):
    serving.store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    seen, done = [], threading.Event()

    def on_update(update):
        seen.append(update)
        if update.rows["N"][-1] == 2:
            done.set()

    with getattr(home, method)(TICKS, on_update=on_update) as updates:
        serving.store.write(TICKS, ticks(1, 2))
        assert done.wait(10)
        assert not updates.wait(0)
    assert updates.wait()
    assert numbers(seen) == ([0, 1, 2] if method == "follow" else [1, 2])


@pytest.mark.parametrize("kind", [KeyError, SystemExit])
def test_an_error_of_the_callback_ends_it_and_is_told(home, serving, caplog, kind):
    def on_update(update):
        raise kind("mine")

    with home.subscribe("*/*/*", on_update=on_update) as updates:
        serving.store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
        with pytest.raises(kind, match="mine"):
            updates.wait()
        assert updates._feed.get() is None  # closed: nothing is kept for it any more
    assert "a subscription ended" in caplog.text


def test_the_callback_may_close(home, serving):
    got = threading.Event()
    updates = home.subscribe("*/*/*", on_update=lambda _: (got.wait(10), updates.close()))
    serving.store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    got.set()
    assert updates.wait(10)


@pytest.mark.parametrize("how", ["subscription", "store"])
def test_closing_ends_the_waiting_of_another_thread(home, how):
    updates = home.subscribe("*/*/*")
    found = []
    thread = threading.Thread(target=lambda: found.extend(updates))
    thread.start()
    (updates if how == "subscription" else home).close()
    thread.join(10)
    assert not thread.is_alive()
    assert found == []
    assert list(updates) == []
    assert updates.take() == []


def test_take_gives_all_that_is_there(home, serving):
    with home.subscribe("*/*/*") as updates:
        serving.store.write_many({f"S{n}/1Min/X": bars((1, n)) for n in range(50)})
        assert len(updates.take()) == 50


def test_going_on_behind_an_earlier_subscription(home, serving):
    store = serving.store
    with home.subscribe(TICKS) as updates:
        store.write(TICKS, ticks(0, 2), schema=TICK_SCHEMA)
        take(updates, 2)
        store.write(TICKS, ticks(2))
        take(updates, 1)
        position = updates.position
    store.write(TICKS, ticks(3))
    with home.subscribe(TICKS, after=position) as updates:
        # It may have been interrupted while it handled the last one, so that comes again.
        assert numbers(take(updates, 2)) == [2, 3]


def test_a_position_that_is_not_kept_any_more(home, serving):
    """The rows come from the store, in place of what there was in their stretch of time."""
    store = serving.store
    store.write(TICKS, ticks(0, 3), schema=TICK_SCHEMA)
    store.flush()
    position = store.changed_since(0).position
    store.write(TICKS, ticks(3, 3))
    store.flush()
    with home.subscribe("*/*/*", after=position) as updates:
        (found,) = take(updates, 3)
    assert numbers([found]) == [3, 4, 5]
    assert found.replaces == (3000, 5000)
    assert not found.is_live


def test_what_cannot_be_followed_is_said_at_once(home, serving):
    serving.store.write(BARS, bars((1, 1.0)))
    with pytest.raises(InvalidKeyError, match="three"):
        home.subscribe("AAPL")
    with pytest.raises(InvalidArgumentError, match="0 patterns"):
        home.subscribe([])
    with pytest.raises(InvalidArgumentError, match="1001 patterns"):
        home.follow([f"S{n}/1Min/X" for n in range(1001)])
    with pytest.raises(NotFoundError):
        home.follow("B/1Min/OHLCV")
    with pytest.raises(NotFoundError):
        home.follow("A/5Min/OHLCV")  # would have to be computed
    with pytest.raises(InvalidArgumentError, match="not a time"):
        home.follow(BARS, since="yesterday")


def test_a_reader_in_another_process_cannot_follow(serving):
    with (
        tsstore.open(serving.path, read_only=True) as reader,
        pytest.raises(ReadOnlyError, match=r"subscribe with tsstore\.open_shared\(path\), or with"),
    ):
        reader.subscribe("*/*/*")


def test_a_closed_store_cannot_be_followed(home):
    home.close()
    with pytest.raises(ClosedError):
        home.subscribe("*/*/*")


def test_the_token_is_asked_for(tmp_path):
    serving = Serving(tmp_path, token="secret")
    try:
        with tsstore.connect(serving.url, token="secret") as good:
            with good.subscribe("*/*/*") as updates:
                serving.store.write(BARS, bars((1, 1.0)))
                assert len(take(updates, 1)) == 1
            bad = tsstore.client.RemoteStore(serving.url, token="wrong")
            with pytest.raises(ConnectionFailedError, match="token"):
                bad.subscribe("*/*/*")
            bad.close()
    finally:
        serving.stop()


def test_what_was_not_asked_for_is_not_kept_alive(serving):
    """A subscription remembers rows, not the arrays of the store that they were in."""
    store = serving.store
    with store.subscribe(BARS) as updates:
        table = {"Symbol": ["A", *(f"S{n}" for n in range(999))]}
        table |= {"Epoch": np.full(1000, 60), "V": np.ones(1000)}
        store.write_table("1Min/OHLCV", table)
        (found,) = take(updates, 1)
        remembered = updates._handed_out._pieces[BARS][0]
    assert found.rows.ts[0] == MINUTE
    assert isinstance(remembered, Columns)
    assert remembered["V"].base is None
