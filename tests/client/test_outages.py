"""Connections, servers and users that fail: at the end a user has every row of the store, once."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path
from time import sleep

import numpy as np
import pytest
import trustme

import tsstore
from tests.client.conftest import Proxy
from tests.client.serving import (
    BARS,
    TICK_SCHEMA,
    TICKS,
    Replica,
    Serving,
    bars,
    numbers,
    take,
    ticks,
)
from tsstore.client import connect
from tsstore.errors import ConnectionFailedError

OTHER = "B/1Sec/TICK"
KEYS = [TICKS, OTHER, BARS]
END = "Z/1Min/END"  # written last, and last in the order of keys


class Writer:
    """Writes all kinds of things, as quickly as it can; ticks are numbered, bars are corrected."""

    def __init__(self, store: tsstore.StoreApi, seed: int, rounds: int) -> None:
        self._store = store
        self._random = np.random.default_rng(seed)
        self._rounds = rounds
        self.done = 0
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def join(self) -> None:
        self._thread.join()
        assert self.done == self._rounds

    def _run(self) -> None:
        for turn in range(self._rounds):
            self._write(turn)
            self.done = turn + 1
        self._store.write(END, bars((1, 1.0)))

    def _write(self, turn: int) -> None:
        random = self._random
        slots = np.unique(random.integers(max(0, turn - 30), turn + 2, 3))
        batches = {TICKS: ticks(10 * turn, 10), BARS: bars(*((int(s), turn) for s in slots))}
        if turn % 3 == 0:
            batches[OTHER] = ticks(turn)
        operations = [
            tsstore.Write(key, data, TICK_SCHEMA if key != BARS else None)
            for key, data in batches.items()
        ]
        if turn % 50 == 49:
            self._store.bulk(operations)
        else:
            self._store.commit(operations)


def follow_to_the_end(updates, replica, pause=lambda: None):
    for update in updates:
        replica.apply(update)
        if update.key == END:
            return
        pause()


def check(replica, store, count):
    replica.check(store, KEYS)
    seen = sorted(row[1] for row in replica.rows[TICKS].elements())
    assert seen == list(range(10 * count))


@pytest.mark.parametrize("seed", [1, 2])
def test_connections_that_are_cut_all_the_time(serving, proxy, seed):
    count, random = 400, np.random.default_rng(seed)
    serving.store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    serving.store.delete(TICKS)
    replica, stop = Replica(), threading.Event()

    def cut():
        while not stop.wait(random.uniform(0.005, 0.1)):
            proxy.cut()

    cutter = threading.Thread(target=cut)
    with connect(proxy.url) as remote, remote.follow("*/*/*") as updates:
        writer = Writer(serving.store, seed, count)
        cutter.start()
        follow_to_the_end(updates, replica)
        writer.join()
        stop.set()
        cutter.join()
    check(replica, serving.store, count)


@pytest.mark.parametrize("how", ["server", "server and store"])
def test_a_server_that_starts_again(serving, how):
    count, replica = 200, Replica()
    serving.store.write_many({BARS: bars((0, -1.0))})
    with connect(serving.url, timeout_s=5) as remote:
        updates = remote.follow("*/*/*")
        reader = threading.Thread(target=follow_to_the_end, args=(updates, replica))
        reader.start()
        for part in range(3):
            _write_rounds(serving.store, part * count, (part + 1) * count)
            if part == 2:
                serving.store.write(END, bars((1, 1.0)))
            elif how == "server":
                serving.stop_server()
                _write_rounds(serving.store, (part + 1) * count - 1, (part + 1) * count)
                serving.start()
            else:
                serving.restart()
        reader.join()
        updates.close()
    replica.check(serving.store, [TICKS, BARS])


def _write_rounds(store, first, stop):
    for turn in range(first, stop):
        store.write(TICKS, ticks(turn), schema=TICK_SCHEMA)
        store.write_many({BARS: bars((turn // 2, turn), (turn, turn))})


def test_a_user_who_is_too_slow(home, serving):
    """Commits are not kept for ever; what was missed comes from the store, and nothing twice."""
    serving.keep_little()
    count, replica = 400, Replica()
    serving.store.write(TICKS, ticks(-1), schema=TICK_SCHEMA)
    with home.follow("*/*/*") as updates:
        replica.apply(next(updates))
        writer = Writer(serving.store, 3, count)
        follow_to_the_end(updates, replica, lambda: sleep(0.005 * (writer.done < count)))
        writer.join()
    assert serving.store.recent._forgotten > 100
    replica.check(serving.store, KEYS)
    seen = sorted(row[1] for row in replica.rows[TICKS].elements())
    assert seen == list(range(-1, 10 * count))


def test_a_subscription_misses_nothing_of_what_came_after_it(home, serving):
    """Rows before it are not handed out when those that were missed are made up for."""
    store = serving.store
    store.write(TICKS, ticks(0, 50), schema=TICK_SCHEMA)
    store.flush()
    serving.keep_little(1)
    with home.subscribe(TICKS) as updates:
        for number in range(50, 60):
            store.write(TICKS, ticks(number))
        found = take(updates, 10)
    assert numbers(found) == list(range(50, 60))
    assert not any(update.replaces for update in found)


def test_what_is_too_old_to_be_told_apart_replaces_what_was_known(serving):
    """Of a stretch that begins before the subscription: all its rows, and it says so."""
    store = serving.store
    store.write(TICKS, ticks(0, 10), schema=TICK_SCHEMA)
    serving.keep_little(1)
    with store.subscribe(TICKS) as updates:
        store.write(TICKS, ticks(3, 9))
        store.write("B/1Min/X", bars((1, 1.0)))
        store.write("B/1Min/X", bars((2, 1.0)))
        again, new = take(updates, 9 + 9 - 2)
    assert again.replaces == (3000, 9000)
    assert again.is_correction
    assert numbers([again]) == sorted([3, 4, 5, 6, 7, 8, 9] * 2)
    assert numbers([new]) == [10, 11]
    assert new.replaces is None


def test_memory_of_what_was_handed_out_is_bounded(serving, monkeypatch):
    """The older half is forgotten, and if it has to be read again it replaces what was known."""
    store, replica = serving.store, Replica()
    store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    serving.keep_little(1)
    with store.follow(TICKS) as updates:
        updates._handed_out._bytes_max = 20 * 100
        for turn in range(100):
            store.write(TICKS, ticks(1 + 10 * turn, 10))
            if turn % 3 == 0:
                for update in updates.take():
                    replica.apply(update)
        store.write(TICKS, ticks(5))
        store.write(TICKS, ticks(2000))
        while replica.newest[TICKS] < 2000 * 1000:
            replica.apply(next(updates))
    assert updates._handed_out._bytes <= 20 * 100
    assert updates._handed_out.horizon(TICKS) > 0
    replica.check(store, [TICKS])


def test_a_server_that_says_nothing_any_more(serving):
    """A network that swallows everything: the user connects again, by another way."""
    black_hole = socket.create_server(("127.0.0.1", 0))
    proxy = Proxy(serving.port)
    try:
        with connect(proxy.url, timeout_s=0.5) as remote, remote.subscribe("*/*/*") as updates:
            serving.store.write(BARS, bars((1, 1.0)))
            take(updates, 1)
            real, proxy.to_port = proxy.to_port, black_hole.getsockname()[1]
            proxy.cut()
            threading.Timer(0.8, setattr, (proxy, "to_port", real)).start()
            serving.store.write(BARS, bars((2, 2.0)))
            (found,) = take(updates, 1)
            assert found.rows["V"].tolist() == [2.0]
    finally:
        proxy.close()
        black_hole.close()


def test_a_server_that_is_not_there_is_an_error_only_at_the_beginning(serving):
    with connect(serving.url) as remote, remote.subscribe("*/*/*") as updates:
        serving.stop_server()
        serving.store.write(BARS, bars((1, 1.0)))
        with pytest.raises(ConnectionFailedError, match="cannot reach"):
            remote.subscribe("*/*/*")
        threading.Timer(0.3, serving.start).start()
        assert take(updates, 1)[0].rows["V"].tolist() == [1.0]


@pytest.fixture
def tls(tmp_path, monkeypatch):
    """A server that speaks TLS, with a certificate that is trusted."""
    authority = trustme.CA()
    made = authority.issue_cert("127.0.0.1")
    certificate, key, ca = (tmp_path / name for name in ("server.crt", "server.key", "ca.pem"))
    certificate.write_bytes(b"".join(blob.bytes() for blob in made.cert_chain_pems))
    key.write_bytes(made.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(ca))
    monkeypatch.setenv("SSL_CERT_FILE", str(ca))
    files = {"tls_certificate": str(certificate), "tls_key": str(key)}
    serving = Serving(tmp_path / "tls", **files)
    yield serving
    serving.stop()


def test_a_server_that_speaks_tls(tls):
    proxy = Proxy(tls.port)
    try:
        url = proxy.url.replace("http", "https")
        with connect(url) as remote, remote.follow("*/*/*") as updates:
            for number in range(20):
                tls.store.write(TICKS, ticks(number * 100, 100), schema=TICK_SCHEMA)
                proxy.cut()
                assert numbers(take(updates, 100))[0] == number * 100
            threading.Timer(0.1, updates.close).start()
            assert list(updates) == []
    finally:
        proxy.close()


@pytest.mark.parametrize("fixture", ["serving", "tls"])
def test_closing_does_not_wait_for_a_server_that_says_nothing(request, fixture):
    """While the user connects again, be it for TLS or for the feed."""
    serving = request.getfixturevalue(fixture)
    proxy = Proxy(serving.port)
    try:
        url = serving.url.replace(str(serving.port), proxy.url.rpartition(":")[2])
        with connect(url, timeout_s=1000) as remote:
            updates = remote.subscribe("*/*/*", on_update=lambda _: None)
            with socket.create_server(("127.0.0.1", 0)) as black_hole:
                proxy.to_port = black_hole.getsockname()[1]
                proxy.cut()
                silent, _ = black_hole.accept()
                with silent:
                    assert silent.recv(1)  # it begins to speak
                    closing = threading.Thread(target=updates.close, daemon=True)
                    closing.start()
                    closing.join(20)
                    assert not closing.is_alive()
    finally:
        proxy.close()


SERVER = """
import sys
import tsstore
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub

settings = ServerSettings(port=int(sys.argv[2]))
with tsstore.open(sys.argv[1]) as store:
    with serve(create_app(store, settings, hub=StreamHub()), settings) as server:
        print(server.port, flush=True)
        sys.stdin.read()
"""


class ServerProcess:
    def __init__(self, path: Path) -> None:
        self.path, self.port = path, 0
        self.start()

    def start(self) -> None:
        arguments = [sys.executable, "-c", SERVER, str(self.path), str(self.port)]
        self._process = subprocess.Popen(
            arguments, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.port = int(self._process.stdout.readline())

    def kill(self) -> None:
        os.kill(self._process.pid, signal.SIGKILL)
        self._process.wait()
        self._process.stdin.close()
        self._process.stdout.close()


@pytest.mark.long(seconds=5)
@pytest.mark.timeout(110)
def test_a_server_that_is_killed_while_rows_are_written(tmp_path):
    """Again and again; who follows it has every row at the end."""
    server = ServerProcess(tmp_path / "data")
    url, count, random = f"http://127.0.0.1:{server.port}", 1500, np.random.default_rng(7)
    stop, followed = threading.Event(), Replica()

    def write():
        with connect(url) as remote:
            while not stop.is_set():
                try:
                    # What became of a call that broke off only the store knows.
                    last = int(remote.read(TICKS, limit=1)["N"][-1]) + 1
                    for number in range(last, count):
                        remote.write(TICKS, ticks(number))
                    return
                except ConnectionFailedError:
                    sleep(0.02)

    def kill():
        for _ in range(4):
            if stop.wait(random.uniform(0.2, 0.8)):
                return
            server.kill()
            server.start()

    try:
        with connect(url) as remote:
            remote.write(TICKS, ticks(0), schema=TICK_SCHEMA)
            threads = [threading.Thread(target=work) for work in (write, kill)]
            with remote.follow(TICKS) as updates:
                for thread in threads:
                    thread.start()
                while followed.newest.get(TICKS, -1) < (count - 1) * 1000:
                    followed.apply(next(updates))
            stop.set()
            for thread in threads:
                thread.join()
            followed.check(remote, [TICKS])
            seen = [row[1] for row in followed.rows[TICKS].elements()]
            assert sorted(seen) == list(range(count))
    finally:
        stop.set()
        with suppress(ProcessLookupError):
            server.kill()


def test_the_position_moves_with_each_commit(home, serving):
    """Also when many of them came at once; not before the last update of a commit was handled."""
    store = serving.store
    with home.subscribe("*/*/*") as updates:
        start = updates.position
    for number in range(20):
        store.write_many({TICKS: ticks(number), OTHER: ticks(number)})
    with home.subscribe("*/*/*", after=start) as updates:
        for handed_out in range(1, 41):
            next(updates)
            assert updates.position == start + (handed_out - 1) // 2


@pytest.mark.parametrize("seed", [1, 2])
def test_a_user_who_is_killed_and_goes_on_at_the_position(home, serving, seed):
    """Commits whose updates were all handled do not come again, and no later one is missing."""
    random, store = np.random.default_rng(seed), serving.store
    store.write(TICKS, ticks(0), schema=TICK_SCHEMA)
    with home.subscribe(TICKS) as updates:
        position, seen, count = updates.position, [0], 500

    def write():
        for number in range(1, count):
            store.write(TICKS, ticks(number))

    writer = threading.Thread(target=write)
    writer.start()
    while seen[-1] < count - 1:
        kept = len(seen)
        with home.subscribe(TICKS, after=position) as updates:
            for _ in range(int(random.integers(1, 60))):
                update = next(updates)
                if updates.position != position:
                    position, kept = updates.position, len(seen)
                seen += update.rows["N"].tolist()
                if seen[-1] == count - 1:
                    break
            else:
                del seen[kept:]  # what the killed one had not made fast
    writer.join()
    assert seen == list(range(count))
