"""RemoteStore: the same results and exceptions as the store behind it."""

from __future__ import annotations

import http.server
import inspect
import os
import socket
import threading
from contextlib import suppress
from datetime import UTC, datetime

import numpy as np
import pytest

import tsstore
from tsstore import Replace, Schema, StoreApi, Write, WriteTable
from tsstore.client.address import parse_address
from tsstore.client.connections import Connections
from tsstore.client.heartbeat import BEATS_MISSED_MAX
from tsstore.client.store import RemoteStore
from tsstore.errors import (
    AlreadyExistsError,
    ClosedError,
    ConnectionFailedError,
    CorruptionError,
    FormatVersionError,
    InvalidArgumentError,
    InvalidKeyError,
    LimitExceededError,
    LockedError,
    NotFoundError,
    SchemaMismatchError,
    StorageError,
    TsStoreError,
)
from tsstore.server.http import create_app
from tsstore.server.serve import serve
from tsstore.server.settings import ServerSettings
from tsstore.server.stream import StreamHub
from tsstore.testing.faultfs import FaultFileSystem
from tsstore.wire import exact

T0 = 1_381_239_000
KEY = "AAPL/1Min/OHLCV"
BARS = {"Epoch": np.arange(5) * 60 + T0, "Open": np.arange(5.0), "Volume": np.arange(5)}
TICKS = Schema.of({"Price": "f8", "ID": "i8"}, variable=True, identity=["ID"])


def same(one, other):
    assert one.names == other.names
    assert one.variable == other.variable
    assert one.tz == other.tz
    assert one.ts.tolist() == other.ts.tolist()
    for name in one.names:
        assert one[name].dtype == other[name].dtype
        assert one[name].tolist() == other[name].tolist()


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"limit": 2},
        {"limit": 2, "from_start": True},
        {"start": "2013-10-08 13:31", "end": "2013-10-08 13:32:30"},
        {"start": "2013-10-08 09:31", "tz": "America/New_York"},
        {"start": datetime(2013, 10, 8, 13, 32, tzinfo=UTC)},
        {"start": T0 + 60, "end": T0 + 60},
        {"end": 0},
        {"columns": ["Volume"]},
        {"columns": []},
        {"columns": np.array(["Volume", "Open"])},
        {"limit": 2**64},
        {"limit": 10**30, "from_start": True},
        {"functions": ["adjust('split')"]},
        {"functions": ["vwap('2Min', Open, Volume)", "last(VWAP)"]},
    ],
)
def test_one_bucket_reads_the_same(remote, store, options):
    remote.write(KEY, BARS)
    same(remote.read(KEY, **options), store.read(KEY, **options))


def test_a_row_that_is_not_over_is_said_to_be(remote, store):
    this_year = np.array([np.datetime64("now")], "M8[ns]")
    remote.write("A/100Y/OHLCV", {"Epoch": this_year, "Open": [1.0]})
    remote.write(KEY, BARS)
    for here in (remote, store):
        assert here.read("A/100Y/OHLCV").partial
        assert not here.read(KEY).partial
        found = here.read("*/*/OHLCV")
        assert [found[key].partial for key in sorted(found)] == [True, False]


@pytest.mark.parametrize(
    "target",
    [
        (["MSFT", "AAPL", "NOPE"], "1Min/OHLCV"),
        ("AAPL", "1Min/OHLCV"),
        ("*/1Min/OHLCV",),
        ("{AAPL,MSFT}/*/*",),
        (np.array(["MSFT", "AAPL"]), "1Min/OHLCV"),
    ],
)
def test_several_buckets_read_the_same(remote, store, target):
    remote.write_many({KEY: BARS, "MSFT/1Min/OHLCV": {"Epoch": [T0], "P": [1.0]}})
    found, expected = remote.read(*target), store.read(*target)
    assert list(found) == list(expected)
    for key in expected:
        same(found[key], expected[key])


METHODS = [name for name, _ in inspect.getmembers(StoreApi, inspect.isfunction) if name[0] != "_"]


@pytest.mark.parametrize("kind", [tsstore.Store, RemoteStore])
@pytest.mark.parametrize("method", METHODS)
def test_help_shows_the_arguments_of_the_interface(kind, method):
    def parameters(owner: type) -> list[tuple[object, ...]]:
        found = inspect.signature(getattr(owner, method)).parameters.values()
        return [(one.name, one.kind, one.default) for one in found]

    assert parameters(kind) == parameters(StoreApi)


def test_nanoseconds_and_identity_survive(remote, store):
    times = np.array(["2013-10-08T13:30:00.123456789", "2013-10-08T13:30:00.123"], "M8[ns]")
    remote.write("A/1Sec/T", {"Epoch": times, "Price": [1.0, 2.0], "ID": [7, 7]}, schema=TICKS)
    assert store.info("A/1Sec/T").schema == TICKS
    assert remote.info("A/1Sec/T") == store.info("A/1Sec/T")
    assert remote.read("A/1Sec/T").ts.tolist() == [times.astype(np.int64)[0]]


@pytest.mark.parametrize(
    "values",
    [
        np.array(["é", "abc"]),
        np.array([True, False]),
        np.array([1, 2**64 - 1], "u8"),
        np.array([np.nan, -0.0], "f4"),
        np.array([1, 2], ">i4"),
    ],
)
def test_every_type_is_written_the_same(remote, store, values):
    remote.write(KEY, {"Epoch": [T0, T0 + 60], "X": values})
    expected = values.astype(values.dtype.newbyteorder("<"))
    assert store.read(KEY)["X"].tobytes() == expected.tobytes()
    assert remote.read(KEY)["X"].tobytes() == expected.tobytes()


def test_nanoseconds_beside_seconds_mean_the_same(remote, store):
    data = {"Epoch": [T0], "Nanoseconds": np.array([5], "i4"), "P": [1.0]}
    remote.write("A/1Min/X", data)
    remote.write("A/1Sec/X", data, variable=True)
    assert remote.read("A/1Min/X").names == ("Nanoseconds", "P")
    assert remote.read("A/1Sec/X").ts.tolist() == [T0 * 10**9 + 5]


def test_a_cross_section_is_one_call(remote, store):
    table = {"Symbol": ["A", "B", "A"], "Epoch": [T0, T0, T0 + 60], "P": [1.0, 2.0, 3.0]}
    assert remote.write_table("1Min/X", table) == 3
    assert store.read("A/1Min/X")["P"].tolist() == [1.0, 3.0]
    assert remote.list("*/1Min/*") == ["A/1Min/X", "B/1Min/X"]


def test_a_range_is_replaced(remote):
    remote.write(KEY, BARS)
    new = {"Epoch": [T0 + 60], "Open": [9.0], "Volume": [9]}
    assert remote.replace(KEY, T0, T0 + 180, new) == 1
    assert remote.read(KEY)["Open"].tolist() == [9.0, 4.0]


def test_a_commit_is_one_unit(remote, store):
    remote.write(KEY, BARS)
    operations = [
        Replace(KEY, T0, T0 + 600, {"Epoch": [T0], "Open": [1.0], "Volume": [1]}),
        WriteTable("1Min/X", {"Symbol": ["B"], "Epoch": [T0], "P": [1.0]}),
    ]
    with pytest.raises(SchemaMismatchError):
        remote.commit([*operations, Write(KEY, {"Epoch": [T0], "Nope": [1.0]})])
    assert len(store.read(KEY)) == 5
    assert remote.commit(operations) == 2
    assert len(store.read(KEY)) == 1


@pytest.mark.parametrize(
    "call",
    [
        lambda store: store.read("NOPE/1Min/X"),
        lambda store: store.read(["NOPE", "NO"], "1Min/X"),
        lambda store: store.read("*/1Min/NOPE"),
        lambda store: store.read("A/B"),
        lambda store: store.read("../1Min/X"),
        lambda store: store.read(["A"]),
        lambda store: store.read(KEY, columns=["Nope"]),
        lambda store: store.read(KEY, columns="Open"),
        lambda store: store.read(KEY, limit=0),
        lambda store: store.read(KEY, limit=-1),
        lambda store: store.read(KEY, start="yesterday"),
        lambda store: store.read(KEY, tz="Mars/Olympus"),
        lambda store: store.write(KEY, {"Epoch": [T0], "Nope": [1.0]}),
        lambda store: store.write(KEY, {"Epoch": [T0], "Open": ["x"], "Volume": [1]}),
        lambda store: store.write(KEY, {"Epoch": [T0], "Open": [1.0], "Volume": [1.5]}),
        lambda store: store.write(KEY, {"Open": [1.0]}),
        lambda store: store.write(KEY, {"Epoch": [np.datetime64("NaT")], "Open": [1.0]}),
        lambda store: store.write("A/1Min/..", {"Epoch": [T0], "P": [1.0]}),
        lambda store: store.write("A/1X/P", {"Epoch": [T0], "P": [1.0]}),
        lambda store: store.write("A/1Min/P", {"Epoch": [T0], "a/b": [1.0]}),
        lambda store: store.write("A/1Min/P", {"Epoch": [T0], "P": [b"x"]}),
        lambda store: store.write("A/1Min/P", 5),
        lambda store: store.replace(KEY, T0, T0 - 1, BARS),
        lambda store: store.replace(KEY, T0, T0 + 60, BARS),
        lambda store: store.delete(KEY, T0, T0 - 1),
        lambda store: store.create(KEY, Schema.of({"Open": "f8"})),
        lambda store: store.destroy("NOPE/1Min/X"),
        lambda store: store.info("NOPE/1Min/X"),
        lambda store: store.list("*"),
        lambda store: store.list("[/1Min/X"),
        lambda store: store.list(None),
        lambda store: store.list("\ud800/*/*"),
        lambda store: store.info(None),
        lambda store: store.info(b"A/1Min/X"),
        lambda store: store.destroy(5),
        lambda store: store.read(None),
        lambda store: store.read(None, "1Min/X"),
        lambda store: store.read(["\ud800"], "1Min/X"),
        lambda store: store.read(KEY, columns=["\ud800"]),
        lambda store: store.read(KEY, columns=5),
        lambda store: store.create(None, TICKS),
        lambda store: store.create("N/1Min/X", None),
        lambda store: store.create("N/1Min/X", {"P": "f8"}),
        lambda store: store.write(None, BARS),
        lambda store: store.write(KEY, BARS, schema={}),
        lambda store: store.write_table(None, {"Symbol": ["A"], "Epoch": [T0], "P": [1.0]}),
        lambda store: store.write_table("1Min/X", {"Symbol": ["\ud800"], "Epoch": [T0], "P": [1]}),
        lambda store: store.write_many(None),
        lambda store: store.commit(None),
        lambda store: store.commit([5]),
    ],
)
def test_the_same_exceptions_are_raised_with_the_same_words(remote, store, call):
    store.write(KEY, BARS)
    with pytest.raises(TsStoreError) as expected:
        call(store)
    with pytest.raises(TsStoreError) as caught:
        call(remote)
    assert type(caught.value) is type(expected.value)
    assert str(caught.value) == str(expected.value)


@pytest.mark.parametrize("variable", [1, "x", 0, None])
def test_the_kind_may_be_anything_true_or_false(remote, store, variable):
    remote.write(KEY, BARS, variable=variable)
    assert store.info(KEY).schema.is_variable == bool(variable)


def test_symbols_may_come_from_an_iterator(remote, store):
    remote.write(KEY, BARS)
    assert list(remote.read(iter(["AAPL"]), "1Min/OHLCV")) == [KEY]


def locked() -> LockedError:
    error = LockedError("held")
    error.pid, error.endpoint = 7, "http://127.0.0.1:1"
    return error


@pytest.mark.parametrize(
    "error",
    [
        CorruptionError("a.seg", 5, "what"),
        FormatVersionError("FORMAT", 9, 1),
        NotFoundError("x"),
        AlreadyExistsError("x"),
        StorageError("disk full"),
        LimitExceededError("x"),
        InvalidKeyError("x"),
        locked(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_every_exception_crosses_the_wire_whole(error):
    found = exact.error_from_wire(str(error), exact.error_message(error))
    assert type(found) is type(error)
    assert str(found) == str(error)
    assert vars(found) == vars(error)
    assert found.args == error.args


@pytest.mark.parametrize("data", [None, 5, {}, {"type": "SystemExit"}, {"type": "annotations"}])
def test_an_exception_that_is_not_ours_becomes_the_general_one(data):
    error = exact.error_from_wire("what happened", data)
    assert type(error) is TsStoreError
    assert str(error) == "what happened"


def test_a_result_outlives_the_connection(server, store):
    store.write(KEY, BARS)
    with tsstore.connect(server.url) as remote:
        rows = remote.read(KEY)
    assert rows["Open"].tolist() == [0, 1, 2, 3, 4]
    assert not rows["Open"].flags.writeable
    assert rows.ts.flags.aligned


def test_a_directory_is_shared_by_way_of_its_server_in_its_zone_alone(server, store):
    store.announce(server.url)
    for zone in (None, "UTC"):
        with tsstore.open_shared(store.path, timezone=zone) as shared:
            assert isinstance(shared, RemoteStore)
            assert shared.write(KEY, BARS) == len(store.read(KEY))
    with pytest.raises(InvalidArgumentError, match=r"with timezone UTC, not Asia/Tokyo; leave"):
        tsstore.open_shared(store.path, timezone="Asia/Tokyo")


def test_many_threads_share_one_connection_object(remote):
    def write(symbol):
        for minute in range(10):
            data = {"Epoch": [T0 + 60 * minute], "P": [float(minute)]}
            remote.write(f"{symbol}/1Min/X", data)

    threads = [threading.Thread(target=write, args=(symbol,)) for symbol in "ABCDEF"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = remote.read("*/1Min/X")
    assert {key: len(rows) for key, rows in found.items()} == {
        f"{symbol}/1Min/X": 10 for symbol in "ABCDEF"
    }


def test_a_closed_store_says_so(remote):
    remote.close()
    with pytest.raises(ClosedError):
        remote.list()


@pytest.mark.parametrize(
    "url",
    [
        "ftp://localhost", "http://", "http://a:b", "", "http://a:0", None, 5, b"http://a",
        "http://a b", "http://[::1", "http://a..b", "http://" + "a" * 80, "http://a\0b",
    ],
)  # fmt: skip
def test_what_is_no_url_is_refused(url):
    with pytest.raises(InvalidArgumentError, match=r"127\.0\.0\.1:5993"):
        tsstore.connect(url)


@pytest.mark.parametrize("token", ["hun\nter2", "hunter2\u00e9", "hun\0ter2", b"hunter2", 5])
def test_a_token_that_no_header_can_hold_is_not_shown(token):
    with pytest.raises(InvalidArgumentError, match="printable ASCII") as caught:
        tsstore.connect("http://127.0.0.1:1", token=token)
    assert "hun" not in str(caught.value)


def test_a_token_in_the_url_is_checked_as_well():
    with pytest.raises(InvalidArgumentError, match="printable ASCII"):
        tsstore.connect("http://x:hun%0Ater2@127.0.0.1:1")


def test_the_line_end_of_a_token_file_does_no_harm(store):
    settings = ServerSettings(port=0, token="hunter2")
    with serve(create_app(store, settings, hub=StreamHub()), settings) as server:
        tsstore.connect(server.url, token="hunter2\n").close()


@pytest.mark.parametrize("timeout_s", [-1, 0, float("nan"), float("inf"), None, "1", True])
def test_what_is_no_length_of_time_is_refused(timeout_s):
    with pytest.raises(InvalidArgumentError, match="timeout_s"):
        tsstore.connect("http://127.0.0.1:1", timeout_s=timeout_s)


def test_nobody_listening_is_said_with_what_to_do():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionFailedError, match="tsstore start"):
        tsstore.connect(f"http://127.0.0.1:{port}")


def test_the_scheme_may_be_left_out(server):
    with tsstore.connect(f"127.0.0.1:{server.port}") as remote:
        assert remote.url == server.url


class Scripted(http.server.BaseHTTPRequestHandler):
    """Answers each request as the script of its server says; an empty answer breaks off."""

    protocol_version = "HTTP/1.1"

    def do_POST(self):
        self.rfile.read(int(self.headers["Content-Length"]))
        self.server.requests += 1
        answer = self.server.script.pop(0) if self.server.script else b""
        if not answer:
            self.close_connection = True
            return
        self.send_response(self.server.status)
        self.send_header("Content-Length", str(len(answer)))
        self.end_headers()
        self.wfile.write(answer)

    def log_message(self, *_):
        pass


PONG = b"\x82\xa6result\x82\xa7version\xa11\xa8timezone\xa3UTC\xa2id\x01"


@pytest.fixture
def scripted():
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Scripted) as server:
        server.script = [PONG]
        server.requests = 0
        server.status = 200
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def connect_to(scripted, **options):
    return tsstore.connect(f"http://127.0.0.1:{scripted.server_address[1]}", **options)


def test_a_read_is_tried_a_second_time(scripted):
    with connect_to(scripted) as remote:
        scripted.script = [b"", b"\x81\xa6result\x81\xa4keys\x91\xa1A"]
        assert remote.list() == ["A"]


def test_a_read_that_breaks_twice_is_an_error(scripted):
    with connect_to(scripted) as remote, pytest.raises(ConnectionFailedError, match="twice"):
        remote.list()


def test_a_write_is_never_tried_a_second_time(scripted):
    with connect_to(scripted) as remote:
        with pytest.raises(ConnectionFailedError, match="unknown: read it back"):
            remote.write(KEY, BARS)
        assert scripted.requests == 2  # the ping and one write


@pytest.mark.parametrize("status", [500, 502, 503])
def test_a_write_that_a_server_failed_at_may_be_stored(scripted, status):
    with connect_to(scripted) as remote:
        scripted.status, scripted.script = status, [b"Oops"]
        with pytest.raises(ConnectionFailedError, match=f"{status}: Oops.*unknown: read it back"):
            remote.write(KEY, BARS)


def test_a_read_that_a_server_failed_at_stored_nothing(scripted):
    with connect_to(scripted) as remote:
        scripted.status, scripted.script = 500, [b"Oops"]
        with pytest.raises(ConnectionFailedError, match=r"500: Oops$"):
            remote.list()


@pytest.mark.parametrize("answer", [b"\xc1", b"hello", b"\x80", b"\x81\xa6result\x05"])
def test_another_kind_of_server_is_recognised(scripted, answer):
    scripted.script = [answer]
    with pytest.raises(ConnectionFailedError, match="not answer like a tsstore server"):
        connect_to(scripted)


def test_a_server_that_says_nothing_is_given_up():
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        pytest.raises(ConnectionFailedError, match=r"no answer within 0\.1 s"),
    ):
        tsstore.connect(f"http://127.0.0.1:{listener.getsockname()[1]}", timeout_s=0.1)


def test_a_server_that_was_restarted_is_reached_again(store):
    settings = ServerSettings(port=0)
    server = serve(create_app(store, settings, hub=StreamHub()), settings)
    remote = tsstore.connect(server.url)
    server.stop()
    again = ServerSettings(port=server.port)
    with serve(create_app(store, again, hub=StreamHub()), again), remote:
        assert remote.write(KEY, BARS) == 5


def test_a_request_beyond_the_limit_is_an_argument_error(remote):
    rows = 200_000
    with pytest.raises(LimitExceededError, match="at most"):
        remote.write("A/1Sec/X", {"Epoch": np.arange(rows), "P": np.zeros(rows)})


def test_a_forked_process_uses_connections_of_its_own(server, monkeypatch):
    connections = Connections(parse_address(server.url, None), timeout_s=5.0)
    inherited = connections.borrow()
    connections.give_back(inherited)
    assert connections.borrow() is inherited
    connections.give_back(inherited)
    with monkeypatch.context() as child:
        child.setattr(os, "getpid", lambda: -1)
        own = connections.borrow()
    assert own is not inherited
    own.close()
    inherited.close()


def beating(listener: socket.socket, beats: int) -> None:
    """A server that answers so many heartbeats, and to a call nothing, until it is closed."""
    calls = []
    with suppress(OSError):
        while True:
            connection, _ = listener.accept()
            connection.settimeout(5)
            request = connection.recv(65536)
            if request.startswith(b"GET /heartbeat") and beats:
                beats -= 1
                connection.sendall(b"HTTP/1.1 503 Busy\r\nContent-Length: 0\r\n\r\n")
                connection.close()
            else:
                calls.append(connection)  # it hangs
    for connection in calls:
        connection.close()


@pytest.mark.parametrize(
    ("call", "outcome"),
    [
        (lambda store: store.compact(), r"its process$"),
        (lambda store: store.copy(KEY, "B/1Min/OHLCV"), "unknown: read it back"),
        (lambda store: store.backup("nightly"), "unknown: read it back"),
    ],
)
def test_a_server_that_froze_in_a_long_call_is_given_up(call, outcome):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=beating, args=(listener, 1))
        thread.start()
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        with (
            RemoteStore(url, timeout_s=0.1) as remote,
            pytest.raises(
                ConnectionFailedError, match=r"froze.*3 heartbeats, 0\.1 s each.*" + outcome
            ),
        ):
            call(remote)
        listener.shutdown(socket.SHUT_RDWR)
    thread.join()


def test_a_long_call_takes_as_long_as_the_server_lives():
    """It is silent for longer than a server may be that shows no heartbeat."""
    beat = threading.Semaphore(0)

    def heartbeat():
        beat.release()
        return {}

    def hold(kind, name):
        if kind == "create" and name.startswith("buckets/"):
            for _ in range(BEATS_MISSED_MAX + 1):
                assert beat.acquire(timeout=30)

    fs, settings = FaultFileSystem(), ServerSettings(port=0)
    with tsstore.Store("held", fs=fs) as held:
        held.write(KEY, BARS)
        app = create_app(held, settings, hub=StreamHub(), heartbeat=heartbeat)
        with serve(app, settings) as server, tsstore.connect(server.url, timeout_s=0.3) as remote:
            fs.refuse_when(hold)
            remote.copy(KEY, "B/1Min/OHLCV")
            assert len(held.read("B/1Min/OHLCV")) == 5
