"""Conversations over a real WebSocket, good and bad."""

from __future__ import annotations

import contextlib
import json
import socket
import time
from datetime import date
from typing import TYPE_CHECKING, Any

import pytest
from websockets.exceptions import ConnectionClosed, InvalidMessage, InvalidStatus
from websockets.sync.client import connect

from tsstore_massive_simulator.calendar import day_of, hours
from tsstore_massive_simulator.flatfiles import FlatFileMarket
from tsstore_massive_simulator.rows import Kind

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.simulator.conftest import Start, Talk
    from tsstore_massive_simulator.generated import GeneratedMarket

Opener = "Callable[..., Talk]"
START = hours(date(2026, 10, 1)).first_ns
ONE_DAY = {"date": "2026-10-01"}


def goes_away(client: Talk) -> ConnectionClosed:
    """How the connection ends."""
    try:
        while True:
            client.socket.recv(timeout=10)
    except ConnectionClosed as closed:
        return closed


def received_code(closed: ConnectionClosed) -> int | None:
    return None if closed.rcvd is None else closed.rcvd.code


def until(condition: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 60
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.01)


# A good conversation


def test_the_first_frame_is_one_status(start: Start, talk: Opener) -> None:
    assert talk(start()).hear() == [
        {"ev": "status", "status": "connected", "message": "Connected Successfully"}
    ]


def test_events_come_after_the_acknowledgement(start: Start, talk: Opener) -> None:
    client = talk(start())
    client.authenticate()
    client.say("subscribe", "T.AAPL,Q.AAPL")
    assert [status["message"] for status in client.hear()] == [
        "subscribed to: T.AAPL",
        "subscribed to: Q.AAPL",
    ]
    assert {event["sym"] for event in client.events(500)} == {"AAPL"}


def test_a_whole_day_is_played_in_order(
    start: Start, talk: Opener, market: GeneratedMarket
) -> None:
    client = talk(start())
    client.authenticate()
    client.say("subscribe", "T.AAPL", **ONE_DAY)
    expected = market.rows(Kind.TRADES, date(2026, 10, 1), ["AAPL"])["sequence_number"].tolist()
    assert [event["q"] for event in client.events(len(expected))] == expected


def test_a_day_can_be_asked_for_twice(start: Start, talk: Opener) -> None:
    client = talk(start())
    client.authenticate()
    client.say("subscribe", "AM.AAPL", **ONE_DAY)
    first = client.events(100)
    client.say("subscribe", "AM.AAPL", **ONE_DAY)
    starts: list[int] = []
    while first[0]["s"] not in starts:
        starts += [event["s"] for event in client.events(1)]


def test_who_comes_back_goes_on_where_the_market_is(start: Start, talk: Opener) -> None:
    running = start(start_ns=START)
    last = 0
    for _ in range(2):
        client = talk(running)
        client.authenticate()
        client.say("subscribe", "T.AAPL")
        events = client.events(200)
        assert events[0]["t"] > last  # not its number: each day counts anew, and days go fast
        last = events[-1]["t"]
        client.socket.close()


def test_what_is_no_longer_wanted_does_not_come(start: Start, talk: Opener) -> None:
    client = talk(start())
    client.authenticate()
    client.say("subscribe", "T.AAPL,T.SPY")
    client.events(100)
    client.say("unsubscribe", "T.SPY")
    while not any(each.get("message") == "unsubscribed to: T.SPY" for each in client.hear()):
        pass
    assert {event["sym"] for event in client.events(300)} == {"AAPL"}


def test_a_replay_keeps_its_speed(start: Start, talk: Opener) -> None:
    client = talk(start(start_ns=hours(date(2026, 10, 1)).open_ns, speed=600))
    client.authenticate()
    began = time.monotonic()
    client.say("subscribe", "AM.AAPL")
    bars = client.events(3)
    assert 0.1 < time.monotonic() - began < 60
    assert len({bar["s"] for bar in bars}) == 3


def test_nothing_comes_before_it_is_due(start: Start, talk: Opener) -> None:
    client = talk(start(start_ns=hours(date(2026, 10, 1)).open_ns, speed=0.001))
    client.authenticate()
    client.say("subscribe", "AM.*")
    client.hear()
    with pytest.raises(TimeoutError):
        client.socket.recv(timeout=0.3)


def test_a_replay_goes_over_the_night(start: Start, talk: Opener) -> None:
    late = hours(date(2026, 10, 1)).last_ns - 120 * 10**9
    client = talk(start(start_ns=late, speed=2000))
    client.authenticate()
    client.say("subscribe", "T.SPY")
    days: set[date] = set()
    while len(days) < 2:
        days |= {day_of(event["t"] * 10**6) for event in client.events(1)}
    assert days == {date(2026, 10, 1), date(2026, 10, 2)}


def test_another_path_is_not_found(start: Start) -> None:
    url = f"ws://{start().host}/nothing"
    with pytest.raises(InvalidStatus) as caught, connect(url, proxy=None):
        pass
    assert caught.value.response.status_code == 404


def test_a_message_may_come_in_fragments(start: Start, talk: Opener) -> None:
    client = talk(start())
    client.hear()
    client.socket.send(['{"action":"auth",', '"params":"k"}'])
    assert client.hear()[0]["status"] == "auth_success"


def test_a_ping_is_answered(start: Start, talk: Opener) -> None:
    assert talk(start()).socket.ping().wait(10)


# Who may connect


def test_a_bad_key_is_dropped_without_a_close_frame(start: Start, talk: Opener) -> None:
    client = talk(start(keys=["good"]))
    client.hear()
    client.say("auth", "bad")
    assert client.hear()[0]["status"] == "auth_failed"
    assert received_code(goes_away(client)) is None


def test_who_stays_silent_is_dropped(start: Start, talk: Opener) -> None:
    client = talk(start(None, "auth_timeout=0.1"))
    client.hear()
    assert client.hear()[0]["status"] == "auth_timeout"
    goes_away(client)


def test_a_newer_connection_evicts_the_older(start: Start, talk: Opener) -> None:
    running = start()
    older, newer = talk(running), talk(running)
    older.authenticate()
    newer.authenticate()
    assert older.hear()[0]["status"] == "max_connections"
    assert received_code(goes_away(older)) == 1008
    newer.say("subscribe", "T.AAPL")
    assert newer.events(1)


def test_the_newer_one_may_be_evicted(start: Start, talk: Opener) -> None:
    running = start(None, "evict_newer")
    older, newer = talk(running), talk(running)
    older.authenticate()
    newer.authenticate()
    assert newer.hear()[0]["status"] == "max_connections"
    older.say("subscribe", "T.AAPL")
    assert older.events(1)


def test_other_keys_have_their_own_connections(start: Start, talk: Opener) -> None:
    running = start()
    one, two = talk(running), talk(running)
    one.authenticate("one")
    two.authenticate("two")
    one.say("subscribe", "T.AAPL")
    assert one.events(1)


def test_more_connections_may_be_bought(start: Start, talk: Opener) -> None:
    running = start(None, "connections=2")
    one, two = talk(running), talk(running)
    one.authenticate()
    two.authenticate()
    one.say("subscribe", "T.AAPL", **ONE_DAY)
    assert one.events(1)


# Faults


@pytest.mark.parametrize(
    ("fault", "last_status"),
    [
        ("drop_connected", "connected"),
        ("drop_auth", "auth_success"),
        ("drop_subscribed", "success"),
    ],
)
def test_the_connection_breaks_at_each_stage(
    start: Start, talk: Opener, fault: str, last_status: str
) -> None:
    client = talk(start(None, fault))
    with contextlib.suppress(ConnectionClosed):
        client.say("auth", "k")
        client.say("subscribe", "T.AAPL")
    heard = client.until_gone()
    assert [each["status"] for each in heard][-1] == last_status


def test_the_handshake_may_be_dropped(start: Start) -> None:
    url = f"ws://{start(None, 'drop_open').host}/stocks"
    with pytest.raises((ConnectionError, InvalidMessage)), connect(url, proxy=None):
        pass


def test_the_handshake_may_be_refused(start: Start) -> None:
    url = f"ws://{start(None, 'refuse=503').host}/stocks"
    with pytest.raises(InvalidStatus) as caught, connect(url, proxy=None):
        pass
    assert caught.value.response.status_code == 503


@pytest.mark.parametrize("fault", ["drop_every=1000", "drop_midframe=1000"])
def test_the_connection_breaks_after_so_many_events(start: Start, talk: Opener, fault: str) -> None:
    client = talk(start(None, fault))
    client.authenticate()
    client.say("subscribe", "T.AAPL", **ONE_DAY)
    events = [each for each in client.until_gone() if each["ev"] == "T"]
    assert len(events) == (1000 if fault.startswith("drop_every") else 900)


@pytest.mark.parametrize("code", [1000, 1001, 1008, 1011, 1012])
def test_the_connection_is_closed_with_a_code(start: Start, talk: Opener, code: int) -> None:
    client = talk(start(None, f"close={code}"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    assert received_code(goes_away(client)) == code


def test_the_connection_may_be_closed_from_the_side_door(start: Start, talk: Opener) -> None:
    running = start()
    client = talk(running)
    client.authenticate()
    running.post("/_simulator/disconnect", {"code": 1012})
    assert received_code(goes_away(client)) == 1012


def test_the_plan_may_lack_the_socket(start: Start, talk: Opener) -> None:
    client = talk(start(None, "no_plan"))
    client.hear()
    client.say("auth", "k")
    assert "plan doesn't include websocket access" in client.hear()[0]["message"]
    goes_away(client)


def test_authentication_may_be_ignored(start: Start, talk: Opener) -> None:
    client = talk(start(None, "mute_auth"))
    client.hear()
    client.say("auth", "k")
    with pytest.raises(TimeoutError):
        client.socket.recv(timeout=0.2)


def test_acknowledgements_may_stand_in_the_first_frame_of_data(start: Start, talk: Opener) -> None:
    client = talk(start(None, "late_acks"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    frame = client.hear()
    assert frame[0]["message"] == "subscribed to: T.AAPL"
    assert frame[1]["ev"] == "T"


def test_acknowledgements_may_be_missing(start: Start, talk: Opener) -> None:
    client = talk(start(None, "no_acks"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    assert client.hear()[0]["ev"] == "T"


def test_data_may_be_missing(start: Start, talk: Opener) -> None:
    client = talk(start(None, "mute"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    client.hear()
    with pytest.raises(TimeoutError):
        client.socket.recv(timeout=0.3)


def test_frames_may_hold_one_event(start: Start, talk: Opener) -> None:
    client = talk(start(None, "frame_events=1"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    client.hear()
    assert [len(client.hear()) for _ in range(5)] == [1] * 5


def test_frames_may_be_short(start: Start, talk: Opener) -> None:
    client = talk(start(None, "frame_bytes=1000"))
    client.authenticate()
    client.say("subscribe", "T.AAPL", **ONE_DAY)
    client.hear()
    frames = [client.socket.recv(timeout=10) for _ in range(20)]
    assert all(500 < len(frame) <= 1000 for frame in frames)


def test_acknowledgements_may_come_one_by_one_and_late(start: Start, talk: Opener) -> None:
    client = talk(start(None, "split_acks", "slow_acks=0.3"))
    client.authenticate()
    began = time.monotonic()
    client.say("subscribe", "AM.NOSUCH,AM.NEITHER")
    assert [len(client.hear()) for _ in range(2)] == [1, 1]
    assert time.monotonic() - began > 0.25


def test_the_first_message_may_be_late(start: Start, talk: Opener) -> None:
    began = time.monotonic()
    talk(start(None, "connect_delay=0.3")).authenticate()
    assert time.monotonic() - began > 0.25


def test_a_topic_may_be_refused_and_its_channel_not(start: Start, talk: Opener) -> None:
    client = talk(start(None, "not_authorized=T.SPY"))
    client.authenticate()
    client.say("subscribe", "T.SPY,T.AAPL")
    messages = [each["message"] for each in client.hear()]
    assert messages == ["not authorized", "subscribed to: T.AAPL"]


def test_the_server_may_kick_a_client_out(start: Start, talk: Opener) -> None:
    client = talk(start(None, "force_disconnect=1"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    assert client.until_gone()[-1]["status"] == "force_disconnect"


def test_the_server_may_ping(start: Start, talk: Opener) -> None:
    running = start(None, "server_pings=0.05")
    with socket.create_connection(tuple(running.host.split(":")), timeout=10) as raw:
        raw.sendall(
            b"GET /stocks HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
        )
        heard = b""
        while b"\x89\x01?" not in heard:
            data = raw.recv(4096)
            assert data
            heard += data


def test_a_reader_that_leaves_too_much_is_closed(start: Start, talk: Opener) -> None:
    # The market goes on without it, so that the server's buffer fills.
    running = start(
        None, "client_buffer=100000", speed=5000, start_ns=hours(date(2026, 10, 1)).open_ns
    )
    client = talk(running, max_queue=1)
    client.authenticate()
    client.say("subscribe", "Q.*")
    until(lambda: not running.simulator.state()["connections"])


def test_late_bars_are_late(start: Start, talk: Opener) -> None:
    running = start(None, "late_bars=600")
    client = talk(running)
    client.authenticate()
    client.say("subscribe", "AM.AAPL,T.AAPL", **ONE_DAY)
    told: list[Any] = []
    while not any(each["ev"] == "AM" for each in told):
        told += client.events(1)
    at = next(number for number, each in enumerate(told) if each["ev"] == "AM")
    assert told[at - 1]["t"] >= told[at]["e"] + 600_000


def test_disturbed_events_are_sent(start: Start, talk: Opener) -> None:
    client = talk(start(None, "unknown_event=0.5", "duplicates=0.5"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    events = client.events(1000)
    assert {event["ev"] for event in events} == {"T", "ZZ"}


def test_frames_that_are_not_json_come_in_between(start: Start, talk: Opener) -> None:
    client = talk(start(None, "broken_json=1"))
    client.authenticate()
    client.say("subscribe", "T.AAPL")
    client.hear()
    with pytest.raises(json.JSONDecodeError):
        client.hear()
    assert client.hear()[0]["ev"] == "T"


def test_a_slow_reader_is_closed(start: Start, talk: Opener) -> None:
    running = start(None, "slow_consumer=0.2")
    client = talk(running, max_queue=1)
    client.authenticate()
    client.say("subscribe", "Q.*", **ONE_DAY)
    assert client.hear()[0]["status"] == "success"
    until(lambda: not running.simulator.state()["connections"])


def test_pongs_may_be_missing(start: Start, talk: Opener) -> None:
    assert not talk(start(None, "no_pongs")).socket.ping().wait(0.2)


def test_messages_may_be_compressed(start: Start, talk: Opener) -> None:
    plain, deflated = talk(start()), talk(start(None, "deflate"))
    assert plain.socket.protocol.extensions == []
    assert [each.name for each in deflated.socket.protocol.extensions] == ["permessage-deflate"]
    deflated.authenticate()
    deflated.say("subscribe", "T.AAPL")
    assert len(deflated.events(1000)) >= 1000


def test_the_state_shows_what_was_said_without_the_key(start: Start, talk: Opener) -> None:
    running = start()
    client = talk(running)
    client.authenticate("secret")
    client.say("subscribe", "T.AAPL", **ONE_DAY)
    client.events(100)
    state: dict[str, Any] = running.get("/_simulator/state").json()
    (connection,) = state["connections"]
    assert connection["topics"] == ["T.AAPL"]
    assert connection["heard"][0] == "auth"
    assert "secret" not in json.dumps(state)
    assert state["events_sent"]["T"] >= 100


# Real data


def test_two_real_days_are_streamed_whole(
    start: Start, talk: Opener, real_market: FlatFileMarket
) -> None:
    client = talk(start(real_market))
    client.authenticate()
    client.say("subscribe", "T.AIG,T.IBM,Q.IBM,AM.AIG")
    days = [date(2013, 10, 7), date(2013, 10, 8)]
    expected = {
        channel: sum(len(real_market.rows(kind, day, tickers)) for day in days)
        for channel, kind, tickers in (
            ("T", Kind.TRADES, ["AIG", "IBM"]),
            ("Q", Kind.QUOTES, ["IBM"]),
            ("AM", Kind.MINUTES, ["AIG"]),
        )
    }
    counts = dict.fromkeys(expected, 0)
    for event in client.events(sum(expected.values())):
        counts[event["ev"]] += 1
    assert counts == expected
