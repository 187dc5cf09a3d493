from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.massive.socket_server import AUTHENTICATED, CONNECTED, KEY, frame, status, trade
from tsstore_massive.config import Config
from tsstore_massive.decoding.messages import Events
from tsstore_massive.faults import Faults
from tsstore_massive.streaming.protocol import (
    Dropped,
    Evicted,
    KeyRefused,
    Session,
    SessionEvent,
    State,
    Subscribed,
    TopicRefused,
    topics,
)

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_CONNECTIONS = status(
    "max_connections", "Maximum number of websocket connections exceeded. You have reached the "
    "connection limit for your account. "
)  # fmt: skip


def session(*wanted: str, **options: Any) -> Session:
    return Session(KEY, wanted or ("AM.*", "T.BRK.B"), faults=Faults(), **options)


def tell(talk: Session, *events: Any) -> list[SessionEvent]:
    return talk.receive(Events(Faults()).add(frame(*events)))


def sent(talk: Session) -> list[dict[str, Any]]:
    return [json.loads(text) for text in talk.to_send()]


def test_a_key_that_the_server_repeats_is_not_shown() -> None:
    talk = session()
    tell(talk, CONNECTED)
    (refused,) = tell(talk, status("auth_failed", f"no such key: {KEY}"))
    assert refused == KeyRefused("no such key: ***")


def streaming(*wanted: str, **options: Any) -> Session:
    talk = session(*wanted, **options)
    tell(talk, CONNECTED)
    tell(talk, AUTHENTICATED)
    talk.to_send()
    return talk


def test_nothing_is_sent_before_the_server_says_connected() -> None:
    talk = session()
    assert talk.state is State.CONNECTING
    assert sent(talk) == []


def test_the_recorded_conversation() -> None:
    talk = session("AM.*", "T.AAPL", "Q.AAPL")
    assert tell(talk, CONNECTED) == []
    assert sent(talk) == [{"action": "auth", "params": KEY}]
    assert tell(talk, AUTHENTICATED) == [Subscribed()]
    assert sent(talk) == [{"action": "subscribe", "params": "AM.*,T.AAPL,Q.AAPL"}]
    assert talk.state is State.STREAMING
    tell(talk, status("success", "subscribed to: AM.*"), status("success", "subscribed to: T.AAPL"))
    tell(talk, status("success", "subscribed to: Q.AAPL"))
    assert talk.acknowledged == {"AM.*", "T.AAPL", "Q.AAPL"}
    assert sent(talk) == []


def test_all_statuses_may_come_in_one_frame_with_data() -> None:
    talk = session()
    assert tell(
        talk, CONNECTED, AUTHENTICATED, trade(), status("success", "subscribed to: T.*")
    ) == [Subscribed()]
    assert [message["action"] for message in sent(talk)] == ["auth", "subscribe"]


def test_it_streams_without_any_acknowledgement() -> None:
    assert streaming().state is State.STREAMING


def test_repeated_statuses_send_nothing_again() -> None:
    talk = streaming()
    assert tell(talk, CONNECTED, AUTHENTICATED, CONNECTED) == []
    assert sent(talk) == []


def test_acceptance_before_the_key_was_sent_means_nothing() -> None:
    talk = session()
    assert tell(talk, AUTHENTICATED) == []
    assert talk.state is State.CONNECTING


@pytest.mark.parametrize(
    "message",
    [
        "authentication failed",
        "Your plan doesn't include websocket access. Visit https://massive.com/pricing to upgrade.",
    ],
)
def test_a_refused_key_is_final(message: str) -> None:
    talk = session()
    tell(talk, CONNECTED)
    assert tell(talk, status("auth_failed", message)) == [KeyRefused(message)]
    assert talk.state is State.REFUSED
    assert tell(talk, AUTHENTICATED) == []
    assert talk.state is State.REFUSED


def params(talk: Session, action: str) -> list[str]:
    texts = [message["params"] for message in sent(talk) if message["action"] == action]
    return [topic for text in texts for topic in text.split(",")]


def test_only_the_difference_of_what_is_wanted_is_sent() -> None:
    talk = streaming()
    talk.want(["T.BRK.B", "T.AAPL"])
    assert sent(talk) == [
        {"action": "subscribe", "params": "T.AAPL"},
        {"action": "unsubscribe", "params": "AM.*"},
    ]
    talk.want(["T.AAPL", "T.BRK.B"])
    assert sent(talk) == []


def test_what_is_wanted_before_the_key_is_accepted_is_sent_then() -> None:
    talk = session("AM.*")
    talk.want(["T.AAPL"])
    tell(talk, CONNECTED, AUTHENTICATED)
    assert params(talk, "subscribe") == ["T.AAPL"]


def test_one_symbol_is_not_given_up_while_all_of_its_channel_are_wanted() -> None:
    talk = streaming()
    talk.want(["AM.*", "T.*"])
    assert sent(talk) == [{"action": "subscribe", "params": "T.*"}]


def test_some_symbols_in_place_of_all_are_asked_for_again_once_all_are_given_up() -> None:
    talk = streaming()
    talk.want(["AM.SPY", "T.BRK.B"])
    assert sent(talk) == [
        {"action": "subscribe", "params": "AM.SPY"},
        {"action": "unsubscribe", "params": "AM.*"},
        {"action": "subscribe", "params": "AM.SPY"},
    ]


def test_very_many_topics_go_in_several_frames() -> None:
    wanted = [f"T.S{number}" for number in range(2_500)]
    talk = streaming(*wanted)
    talk.want(["AM.*"])
    assert len(talk.to_send()) == 4


TOPICS = st.sets(st.sampled_from(["AM.*", "AM.SPY", "T.*", "T.SPY", "T.BRK.B"]))


@given(st.lists(TOPICS.filter(bool), max_size=8), TOPICS.filter(bool))
def test_the_server_ends_up_with_what_is_wanted(changes: list[set[str]], first: set[str]) -> None:
    """Of a server for which `T.*` is a topic like others, and of one where it takes them in."""
    talk = session(*sorted(first))
    tell(talk, CONNECTED, AUTHENTICATED)
    held, absorbing = set[str](), set[str]()
    for wanted in [first, *changes]:
        talk.want(sorted(wanted))
        for message in sent(talk):
            topics_sent = set(message["params"].split(","))
            if message["action"] == "subscribe":
                held |= topics_sent
                wide = {topic.partition(".")[0] for topic in absorbing if topic.endswith("*")}
                absorbing |= {t for t in topics_sent if t.partition(".")[0] not in wide}
            elif message["action"] == "unsubscribe":
                held -= topics_sent
                absorbing -= topics_sent
        covered = {topic for topic in TOPIC_NAMES if served(topic, wanted)}
        for server in (held, absorbing):
            assert covered == {topic for topic in TOPIC_NAMES if served(topic, server)}


TOPIC_NAMES = ("AM.SPY", "AM.OTHER", "T.SPY", "T.BRK.B", "T.OTHER")


def served(topic: str, held: set[str]) -> bool:
    return topic in held or f"{topic.partition('.')[0]}.*" in held


def test_a_refused_topic_leaves_the_stream_alone() -> None:
    talk = streaming()
    events = tell(talk, status("error", "not authorized"), status("success", "subscribed to: AM.*"))
    assert events == [TopicRefused("not authorized")]
    assert talk.state is State.STREAMING
    assert talk.acknowledged == {"AM.*"}


def test_an_acknowledgement_of_what_nobody_asked_for_is_not_remembered() -> None:
    talk = streaming()
    for number in range(100):
        tell(talk, status("success", f"subscribed to: T.S{number}"))
    assert talk.acknowledged == set()


@pytest.mark.parametrize("state", ["before", "after"])
def test_an_eviction_ends_the_session_at_any_time(state: str) -> None:
    talk = session() if state == "before" else streaming()
    (event,) = tell(talk, MAX_CONNECTIONS)
    assert isinstance(event, Evicted)
    assert event.message.startswith("Maximum number")
    assert event.message.endswith("account.")
    assert talk.state is State.ENDED


@pytest.mark.parametrize("name", ["slow_consumer", "force_disconnect", "auth_timeout"])
def test_a_server_that_gives_up_on_us_is_told_by_name(name: str) -> None:
    assert tell(streaming(), status(name, "because")) == [Dropped(name, "because")]


def test_an_error_before_the_key_was_accepted_ends_the_session() -> None:
    talk = session()
    tell(talk, CONNECTED)
    assert tell(talk, status("error", "authentication failed")) == [
        Dropped("error", "authentication failed")
    ]


def test_an_unknown_status_is_counted_and_changes_nothing() -> None:
    faults = Faults()
    talk = Session(KEY, ["T.*"], faults=faults)
    tell(talk, status("tea_time", "at five"), status(""), CONNECTED)
    assert talk.state is State.AUTHENTICATING
    assert faults.counts == {"unknown status tea_time": 1, "unknown status ": 1}


def test_a_replay_is_asked_for_with_the_subscription() -> None:
    talk = session("T.*", replay=date(2013, 10, 7))
    tell(talk, CONNECTED)
    tell(talk, AUTHENTICATED)
    assert sent(talk)[-1] == {"action": "subscribe", "params": "T.*", "date": "2013-10-07"}


def test_the_key_is_not_in_its_representation() -> None:
    assert KEY not in repr(session())


@given(
    st.lists(
        st.sampled_from(
            ["connected", "auth_success", "auth_failed", "success", "error", "max_connections",
             "slow_consumer", "force_disconnect", "auth_timeout", "new"]
        ),
        max_size=20,
    )
)  # fmt: skip
def test_any_order_of_statuses_sends_the_key_and_the_topics_once(names: list[str]) -> None:
    talk = session()
    actions = list[str]()
    for name in names:
        tell(talk, status(name, "x"))
        actions += [message["action"] for message in sent(talk)]
    assert actions in ([], ["auth"], ["auth", "subscribe"])


@pytest.mark.parametrize(
    ("options", "wanted"),
    [
        ({}, ["AM.*"]),
        ({"symbols": ["*"]}, ["AM.*"]),
        ({"data_types": ["bars", "trades", "quotes"]}, ["AM.*", "T.*", "Q.*"]),
        (
            {"data_types": ["trades", "quotes"], "symbols": ["AAPL", "BRK.B"]},
            ["T.AAPL", "T.BRK.B", "Q.AAPL", "Q.BRK.B"],
        ),
        (
            {
                "ws_server": "wss://socket.massive.com/forex",
                "data_types": ["second_bars", "quotes"],
                "symbols": ["C:EURUSD", "EUR/GBP"],
            },
            ["CAS.EUR/USD", "CAS.EUR/GBP", "C.EUR/USD", "C.EUR/GBP"],
        ),
    ],
)
def test_every_kind_of_every_symbol_goes_on_one_socket(
    options: dict[str, Any], wanted: Iterable[str]
) -> None:
    config = msgspec.convert(options, Config)
    symbols = None if config.all_symbols else config.bucket_symbols
    assert topics(config.channels, symbols) == wanted
