from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING, Any, Self

import msgspec
import pytest

from tests.massive.socket_server import (
    AUTHENTICATED,
    CONNECTED,
    KEY,
    Peer,
    SocketServer,
    frame,
    quote,
    status,
    trade,
)
from tsstore.clock import SystemClock
from tsstore.errors import StorageError
from tsstore.plugin import FatalPluginError
from tsstore_massive.config import Config
from tsstore_massive.faults import Faults
from tsstore_massive.streaming.feed import Feed
from tsstore_massive.streaming.patience import Timing
from tsstore_massive.streaming.protocol import topics

if TYPE_CHECKING:
    from collections.abc import Callable

    from tsstore_massive.decoding.messages import Events

QUICK = Timing(
    backoff_first_s=0.01, backoff_max_s=0.02, evicted_first_s=0.3, evicted_max_s=0.3,
    healthy_s=60, handshake_s=2, close_s=0.2,
)  # fmt: skip


class ListSink:
    """Remembers sequence numbers; may be held up, or fail."""

    def __init__(self) -> None:
        self.sequences: list[int] = []
        self.gate = threading.Event()
        self.gate.set()
        self.error: Exception | None = None

    def write(self, events: Events) -> None:
        self.gate.wait(10)
        if self.error is not None:
            raise self.error
        for kind in ("trades", "quotes"):
            table = events.table(kind)
            if table is not None:
                self.sequences += table["Sequence"].tolist()


class Running:
    """A feed on a thread of its own, with what it told."""

    def __init__(self, server: SocketServer, timing: Timing = QUICK, **options: Any) -> None:
        self.sink = ListSink()
        self.faults = Faults()
        self.stop = threading.Event()
        self.market_open = True
        self.told: list[str] = []
        self.error: BaseException | None = None
        defaults = {"ws_server": server.url, "data_types": ["trades", "quotes"]}
        self.feed = Feed(
            config := msgspec.convert(defaults | options, Config),
            KEY,
            topics(config.channels, config.bucket_symbols or None),
            sink=self.sink,
            observer=self,
            market_open=lambda _: self.market_open,
            faults=self.faults,
            clock=SystemClock(),
            logger=logging.getLogger("tests.feed"),
            stop=self.stop,
            timing=timing,
        )
        self._thread = threading.Thread(target=self._run)

    def _run(self) -> None:
        try:
            self.feed.run()
        except BaseException as error:
            self.error = error

    def on_streaming(self) -> None:
        self.told.append("streaming")

    def on_lost(self) -> None:
        self.told.append(f"lost after {len(self.sink.sequences)}")

    def on_tick(self) -> None:
        pass

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.sink.gate.set()
        self.stop.set()
        self._thread.join(10)
        assert not self._thread.is_alive()

    def until(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline, (self.feed.state, self.sink.sequences, self.error)
            time.sleep(0.005)

    def ended(self) -> bool:
        return not self._thread.is_alive()


def sending(*numbers: int, then: Callable[[Peer], None] = Peer.stay) -> Callable[[Peer], None]:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(*(trade(number=number) for number in numbers))
        then(peer)

    return script


def test_it_streams_for_sure_once_the_subscription_is_answered() -> None:
    answer = threading.Event()

    def ended_unanswered(peer: Peer) -> None:
        peer.accept()
        peer.close()

    def answered_late(peer: Peer) -> None:
        peer.accept()
        answer.wait(10)
        peer.send(status("success", "subscribed to: T.*"))
        peer.stay()

    with SocketServer(ended_unanswered, answered_late) as server, Running(server) as running:
        running.until(lambda: running.feed.connections == 2 and running.feed.state == "streaming")
        assert running.told == []
        answer.set()
        running.until(lambda: running.told == ["streaming"])


def test_it_authenticates_subscribes_and_stores() -> None:
    received = []

    def script(peer: Peer) -> None:
        peer.send(CONNECTED)
        received.append(peer.receive())
        peer.send(AUTHENTICATED)
        received.append(peer.receive())
        peer.send(trade(number=1), quote(number=2))
        peer.stay()

    with SocketServer(script) as server, Running(server) as running:
        running.until(lambda: sorted(running.sink.sequences) == [1, 2])
        assert running.feed.state == "streaming"
    assert received == [
        {"action": "auth", "params": KEY},
        {"action": "subscribe", "params": "T.*,Q.*"},
    ]


def test_data_in_the_frame_that_accepts_the_key_is_kept() -> None:
    def script(peer: Peer) -> None:
        peer.send(CONNECTED)
        peer.receive()
        peer.send(trade(number=1), AUTHENTICATED, trade(number=2))
        peer.receive()
        peer.send(trade(number=3))
        peer.stay()

    with SocketServer(script) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1, 2, 3])


@pytest.mark.parametrize("code", [1000, 1001, 1006, 1008, 1011, 1012])
def test_every_close_leads_to_the_next_connection(code: int) -> None:
    def end(peer: Peer) -> None:
        if code == 1006:
            peer.abort()
        else:
            peer.close(code)

    with SocketServer(sending(1, then=end), sending(2)) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1, 2])
        assert running.told == ["streaming", "lost after 1", "streaming"]


@pytest.mark.parametrize("stage", ["open", "connected", "auth", "subscribed"])
def test_a_connection_cut_at_any_stage_is_made_again(stage: str) -> None:
    def script(peer: Peer) -> None:
        if stage != "open":
            peer.send(CONNECTED)
        if stage in ("auth", "subscribed"):
            peer.receive()
            peer.send(AUTHENTICATED)
        if stage == "subscribed":
            peer.receive()
        peer.abort()

    with SocketServer(script, sending(1)) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1])


def test_a_server_that_is_not_there_is_tried_again() -> None:
    with SocketServer(sending(1)) as server:
        url = server.url
    with SocketServer(sending(1)) as server:
        absent = Running(server, ws_server=url)
        with absent as running:
            running.until(lambda: running.feed.state == "waiting")
            assert running.feed.connections == 0


def test_the_key_goes_nowhere_that_a_redirect_names(caplog: Any) -> None:
    told: list[Any] = []

    def foreign(peer: Peer) -> None:
        peer.send(CONNECTED)
        told.append(peer.receive())

    with (
        SocketServer(foreign) as elsewhere,
        SocketServer(redirect=f"{elsewhere.url}/stocks") as server,
        Running(server) as running,
    ):
        running.until(lambda: running.feed.failures > 1)
    assert told == []
    assert f"redirects to {elsewhere.url.removeprefix('ws://')}" in caplog.text


def test_a_silent_server_is_left_after_the_time_of_a_handshake() -> None:
    timing = Timing(backoff_first_s=0.01, backoff_max_s=0.01, handshake_s=0.2, close_s=0.1)
    with SocketServer(Peer.stay, sending(1)) as server, Running(server, timing) as running:
        running.until(lambda: running.sink.sequences == [1])
        assert running.told == ["streaming"]


def test_a_refused_key_ends_it_with_the_servers_words_and_without_the_key() -> None:
    def script(peer: Peer) -> None:
        peer.send(CONNECTED)
        peer.receive()
        peer.send(status("auth_failed", "authentication failed"))
        peer.abort()

    with SocketServer(script) as server, Running(server) as running:
        running.until(running.ended)
        assert isinstance(running.error, FatalPluginError)
        assert "authentication failed" in str(running.error)
        assert KEY not in str(running.error)
        assert server.connections == 1


def test_a_key_that_was_accepted_before_is_tried_again_when_it_is_refused() -> None:
    """A vendor in trouble refuses good keys, and nobody is there at night to start it again."""

    def refuse(peer: Peer) -> None:
        peer.send(CONNECTED)
        peer.receive()
        peer.send(status("auth_failed", "authentication failed"))
        peer.abort()

    revoke = sending(1, then=lambda peer: (peer.send(status("auth_failed", "no")), peer.stay()))
    with SocketServer(revoke, refuse, sending(2)) as server, Running(server) as running:
        running.until(lambda: running.feed.state == "refused" and server.connections == 2)
        assert "refuses the API key, which it took before" in running.feed.alarm
        running.until(lambda: running.sink.sequences == [1, 2])
        assert running.error is None


def test_a_policy_violation_without_a_word_is_taken_for_an_eviction() -> None:
    closed = sending(1, then=lambda peer: peer.close(1008))
    with SocketServer(closed, sending(2)) as server, Running(server) as running:
        running.until(lambda: running.feed.state == "evicted")
        assert "another connection" in running.feed.alarm
        running.until(lambda: running.sink.sequences == [1, 2])


@pytest.mark.parametrize("closes", [True, False])
def test_an_evicted_connection_waits_long_and_raises_an_alarm(closes: bool) -> None:
    def evict(peer: Peer) -> None:
        peer.send(status("max_connections", "Maximum number of websocket connections exceeded. "))
        if closes:
            peer.close(1008)
        else:
            peer.stay()

    with SocketServer(sending(1, then=evict), sending(2)) as server, Running(server) as running:
        running.until(lambda: running.feed.state == "evicted")
        begun = time.monotonic()
        assert "another connection" in running.feed.alarm
        running.until(lambda: running.sink.sequences == [1, 2])
        assert time.monotonic() - begun > 0.1
        assert "another connection" in running.feed.alarm  # accepted again proves nothing


def test_a_healthy_connection_ends_the_alarm() -> None:
    timing = Timing(
        backoff_first_s=0.01, backoff_max_s=0.01, evicted_first_s=0.01, evicted_max_s=0.01,
        healthy_s=0.1,
    )  # fmt: skip
    evicted = sending(1, then=lambda peer: peer.send(status("max_connections", "exceeded")))
    with SocketServer(evicted, sending(2)) as server, Running(server, timing) as running:
        running.until(lambda: running.sink.sequences == [1, 2])
        running.until(lambda: running.feed.alarm == "")


def test_a_slow_consumer_is_told() -> None:
    dropped = sending(1, then=lambda peer: peer.send(status("slow_consumer", "too slow")))
    with SocketServer(dropped, sending(2)) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1, 2])
        assert "slow_consumer" in running.feed.alarm


def test_a_refused_topic_is_exposed_and_the_others_stream() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(status("error", "not authorized"))
        peer.send(trade(number=1))
        peer.stay()

    with SocketServer(script) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1])
        assert running.feed.refusal == "not authorized"
        assert server.connections == 1


def test_a_topic_that_is_granted_later_is_refused_no_more() -> None:
    def refused(peer: Peer) -> None:
        peer.accept()
        peer.send(status("error", "not authorized"))
        peer.close()

    with SocketServer(refused, sending(1)) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1])
        assert running.feed.refusal == ""


def test_without_a_topic_there_is_no_connection() -> None:
    def script(peer: Peer) -> None:
        sending(server.connections)(peer)

    with SocketServer(script) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1])
        running.feed.subscribe([])
        running.until(lambda: running.feed.state == "idle")
        assert running.told == ["streaming", "lost after 1"]
        running.feed.subscribe(["T.SPY"])
        running.until(lambda: running.sink.sequences == [1, 2])
        assert server.connections == 2


def test_bad_frames_cost_neither_the_connection_nor_the_good_ones() -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        peer.send(trade(number=1))
        for bad in ("{", "", "[[[", '[{"ev":"T"}]', "null", b"\xff\x00"):
            peer.send_raw(bad)
        peer.send_raw(frame(trade(number=2)))  # a binary frame
        peer.stay()

    with SocketServer(script) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1, 2])
        assert server.connections == 1
        assert sum(running.faults.counts.values()) == 6


def test_a_fault_is_logged_once_and_without_the_key(caplog: Any) -> None:
    def script(peer: Peer) -> None:
        peer.accept()
        for _ in range(20):
            peer.send({"ev": "LV", "echo": KEY})
        peer.send(trade(number=1))
        peer.stay()

    with SocketServer(script) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1])
    assert sum("LV" in record.getMessage() for record in caplog.records) == 1
    assert KEY not in caplog.text
    assert running.faults.counts == {"unknown event LV": 20}


def test_a_frame_above_the_limit_ends_the_connection_only() -> None:
    huge = sending(1, then=lambda peer: peer.send_raw(b"[" + b" " * 9_000_000 + b"]"))
    with SocketServer(huge, sending(2)) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1, 2])


def test_a_mute_line_in_market_hours_is_renewed() -> None:
    with (
        SocketServer(sending(1), sending(2)) as server,
        Running(server, mute_timeout_s=0.1) as running,
    ):
        running.until(lambda: running.sink.sequences[:2] == [1, 2])


def test_silence_is_normal_when_the_market_is_closed() -> None:
    with SocketServer(sending(1)) as server:
        running = Running(server, mute_timeout_s=0.02)
        running.market_open = False
        with running:
            running.until(lambda: running.sink.sequences == [1])
            time.sleep(0.2)  # ten times the time-out: nothing must happen
            assert server.connections == 1


def test_a_line_that_stays_mute_is_given_more_time() -> None:
    begun = time.monotonic()
    with SocketServer(sending()) as server, Running(server, mute_timeout_s=0.05) as running:
        running.until(lambda: server.connections == 4)
        assert time.monotonic() - begun > 0.05 + 0.1 + 0.2


def test_a_server_that_answers_no_ping_is_left() -> None:
    def deaf(peer: Peer) -> None:
        peer.accept()
        peer.send(trade(number=1))
        peer.socket.protocol.recv_frame = lambda _: None
        peer.stay()

    with (
        SocketServer(deaf, sending(2)) as server,
        Running(server, ping_interval_s=0.1) as running,
    ):
        running.until(lambda: running.sink.sequences == [1, 2])


def flooding(count: int) -> Callable[[Peer], None]:
    """A server that sends so many trades as fast as they are read."""

    def script(peer: Peer) -> None:
        peer.accept()
        for at in range(0, count, 100):
            peer.send(*(trade(number=number) for number in range(at, at + 100)))
        peer.stay()

    return script


def test_a_full_queue_stops_the_reading_and_loses_nothing() -> None:
    count = 4_000
    with SocketServer(flooding(count)) as server:
        running = Running(server, queue_bytes=65_536)
        running.sink.gate.clear()
        with running:
            running.until(lambda: running.feed.intake.pauses > 0)
            assert len(running.feed.intake) < 2 * 65_536
            running.sink.gate.set()
            running.until(lambda: len(running.sink.sequences) == count)
    assert running.sink.sequences == list(range(count))


def test_who_is_busy_storing_does_not_take_the_line_for_dead() -> None:
    count = 4_000
    with SocketServer(flooding(count)) as server:
        running = Running(server, queue_bytes=65_536, ping_interval_s=0.05)
        running.sink.gate.clear()
        with running:
            running.until(lambda: running.feed.intake.pauses > 0)
            time.sleep(0.4)  # several pings, none of whose answers is read
            running.sink.gate.set()
            running.until(lambda: len(running.sink.sequences) == count)
            assert server.connections == 1


def test_what_came_before_the_end_of_a_connection_is_stored_before_the_loss_is_told() -> None:
    numbers = range(1, 2_001)
    with SocketServer(sending(*numbers, then=Peer.close), sending(0)) as server:
        running = Running(server)
        running.sink.gate.clear()
        with running:
            running.until(lambda: len(running.feed.intake) > 0)
            running.sink.gate.set()
            running.until(lambda: len(running.told) == 3)
    assert running.told[1] == "lost after 2000"


def test_a_store_that_refuses_ends_the_feed_with_its_error() -> None:
    with SocketServer(sending(1)) as server:
        running = Running(server)
        running.sink.error = StorageError("disk full")
        with running:
            running.until(running.ended)
    assert isinstance(running.error, StorageError)


def test_a_stop_is_quick_and_stores_what_was_received() -> None:
    with SocketServer(sending(1, 2, 3)) as server, Running(server) as running:
        running.until(lambda: running.feed.state == "streaming")
        running.until(lambda: running.sink.sequences == [1, 2, 3])
        begun = time.monotonic()
        running.stop.set()
        running.until(running.ended)
        assert time.monotonic() - begun < 10
        assert running.error is None


def test_a_stop_while_waiting_to_reconnect_is_quick() -> None:
    timing = Timing(backoff_first_s=60)
    with SocketServer(Peer.abort) as server, Running(server, timing) as running:
        running.until(lambda: running.feed.state == "waiting")
        begun = time.monotonic()
        running.stop.set()
        running.until(running.ended)
        assert time.monotonic() - begun < 10


def test_the_key_is_in_no_log(caplog: Any) -> None:
    caplog.set_level(logging.DEBUG)
    with (
        SocketServer(sending(1, then=Peer.close), sending(2)) as server,
        Running(server) as running,
    ):
        running.until(lambda: running.sink.sequences == [1, 2])
    assert caplog.records
    assert not any(KEY in record.getMessage() for record in caplog.records)


def test_a_connection_that_is_renewed_is_made_anew_and_its_end_told() -> None:
    with SocketServer(sending(1), sending(2)) as server, Running(server) as running:
        running.until(lambda: running.sink.sequences == [1])
        running.feed._loop.call_soon_threadsafe(running.feed.renew)
        running.until(lambda: running.sink.sequences == [1, 2])
        assert running.told == ["streaming", "lost after 1", "streaming"]
