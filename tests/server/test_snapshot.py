"""Reads that tell of which moment they are, and with the stream leave no gap and double nothing."""

from __future__ import annotations

import logging
import threading

import msgpack
import numpy as np
import pytest
from websockets.sync.client import connect

from tsstore.api import Write
from tsstore.clock import SystemClock
from tsstore.columns import Columns
from tsstore.errors import LimitExceededError, NotFoundError
from tsstore.host import Plugin, PluginHost, Plugins
from tsstore.host.resolve import trigger_pattern
from tsstore.redact import Redactor
from tsstore.schema import Schema
from tsstore_stream import StreamConfig, Trigger

TICKS = "A/1Sec/T"
SCHEMA = Schema.of({"N": "i8"}, variable=True)


def ticks(first, count=1):
    numbers = np.arange(first, first + count)
    return Columns(numbers * 1_000_000, {"N": numbers}, variable=True)


@pytest.fixture(params=["here", "remote"])
def home(request, store, remote):
    return store if request.param == "here" else remote


def test_a_snapshot_is_the_rows_and_their_newest_commit(home, store):
    store.write(TICKS, ticks(0, 5), schema=SCHEMA)
    store.write("B/1Sec/T", ticks(0), schema=SCHEMA)
    found = home.snapshot(TICKS)
    assert found.rows["N"].tolist() == [0, 1, 2, 3, 4]
    assert found.rows.variable
    assert found.position == store.changed_since(0).position
    at = np.array([1, 3]) * 1_000_000
    first, last = at.view("M8[ns]")
    part = home.snapshot(TICKS, start=first, end=last, columns=["N"])
    assert part.rows["N"].tolist() == [1, 2, 3]


def test_a_snapshot_begins_with_the_whole_slot(home, store):
    store.write("A/1Min/X", {"Epoch": [0, 60, 120], "V": [1.0, 2.0, 3.0]})
    assert home.snapshot("A/1Min/X", start=90).rows["V"].tolist() == [2.0, 3.0]


def test_only_stored_buckets_have_snapshots(home, store):
    store.write("A/1Min/X", {"Epoch": [0], "V": [1.0]})
    with pytest.raises(NotFoundError):
        home.snapshot("A/5Min/X")


def test_a_snapshot_larger_than_an_answer_is_refused(store, remote):
    store.bulk([Write(TICKS, ticks(0, 100_000), SCHEMA)])
    with pytest.raises(LimitExceededError, match="shorter range"):
        remote.snapshot(TICKS)


def test_history_and_stream_are_one_whole(server, store, hub, remote):
    """While rows are written: subscribe, read, leave out of the stream what was read."""
    count = 600
    plugin = Plugin("trigger", "stream", Trigger, StreamConfig(), trigger_pattern("*/*/*"))
    host = PluginHost(
        Plugins(triggers=(plugin,)), store, clock=SystemClock(), redactor=Redactor(),
        publish=hub.publish,
    )  # fmt: skip
    host.start()
    logging.getLogger("tsstore.trigger.stream").setLevel(logging.ERROR)
    go_on = threading.Event()

    def write():
        for number in range(0, count, 2):
            store.write(TICKS, ticks(number, 2), schema=SCHEMA)
            if number == count // 3:
                go_on.set()

    writer = threading.Thread(target=write)
    writer.start()
    assert go_on.wait(30)
    with connect(server.url.replace("http", "ws") + "/ws") as socket:
        socket.send(msgpack.packb({"streams": [TICKS], "resume": {}}))
        socket.recv(timeout=30)
        socket.recv(timeout=30)
        found = remote.snapshot(TICKS)
        numbers = found.rows["N"].tolist()
        while len(numbers) < count:
            message = msgpack.unpackb(socket.recv(timeout=30))
            if message["commit"] > found.position:
                numbers.append(message["data"]["N"])
    writer.join()
    assert host.stop() == []
    assert numbers == list(range(count))
