"""The server's words are those of the vendor."""

from __future__ import annotations

import json
from datetime import date
from typing import Any

import pytest

from tsstore_massive_simulator.conversation import Answer, Conversation
from tsstore_massive_simulator.faults import Faults
from tsstore_massive_simulator.voices import voice_of


def say(conversation: Conversation, action: str, params: str = "", **more: Any) -> Answer:
    return conversation.received(json.dumps({"action": action, "params": params, **more}).encode())


def words(answer: Answer) -> list[str]:
    return [status.message for status in answer.statuses]


@pytest.fixture
def faults() -> Faults:
    return Faults()


@pytest.fixture
def conversation(faults: Faults) -> Conversation:
    """A conversation with a client that is authenticated."""
    made = Conversation(voice_of("stocks"), frozenset({"good"}), faults)
    say(made, "auth", "good")
    return made


def test_a_good_key_is_accepted(faults: Faults) -> None:
    answer = say(Conversation(voice_of("stocks"), frozenset({"good"}), faults), "auth", "good")
    assert [status.status for status in answer.statuses] == ["auth_success"]
    assert (answer.authenticated, answer.drop) == (True, False)


@pytest.mark.parametrize("key", ["bad", ""])
def test_a_bad_key_ends_the_connection(faults: Faults, key: str) -> None:
    answer = say(Conversation(voice_of("stocks"), frozenset({"good"}), faults), "auth", key)
    assert (words(answer), answer.drop) == (["authentication failed"], True)


def test_without_a_list_of_keys_every_key_is_good(faults: Faults) -> None:
    assert say(Conversation(voice_of("stocks"), frozenset(), faults), "auth", "any").authenticated


def test_every_subscription_is_acknowledged(conversation: Conversation) -> None:
    answer = say(conversation, "subscribe", "AM.*, T.BRK.B")
    assert words(answer) == ["subscribed to: AM.*", "subscribed to: T.BRK.B"]


def test_a_topic_is_split_at_the_first_dot(conversation: Conversation) -> None:
    say(conversation, "subscribe", "T.BRK.B")
    assert conversation.wanted == {"T": frozenset({"BRK.B"})}


def test_a_star_stands_for_every_ticker(conversation: Conversation) -> None:
    say(conversation, "subscribe", "T.AAPL,T.*")
    assert conversation.wanted == {"T": None}


def test_a_repeated_subscription_gets_no_answer(conversation: Conversation) -> None:
    say(conversation, "subscribe", "T.AAPL")
    assert words(say(conversation, "subscribe", "T.AAPL")) == []


def test_an_unknown_ticker_is_acknowledged(conversation: Conversation) -> None:
    assert words(say(conversation, "subscribe", "T.NOSUCH")) == ["subscribed to: T.NOSUCH"]


def test_an_unknown_channel_gets_no_answer(conversation: Conversation) -> None:
    assert words(say(conversation, "subscribe", "ZZ.AAPL")) == []


def test_a_channel_that_is_not_paid_for_is_refused_before_the_acks(
    conversation: Conversation, faults: Faults
) -> None:
    faults.set("not_authorized", "Q")
    answer = say(conversation, "subscribe", "T.AAPL,Q.AAPL,Q.IBM")
    assert words(answer) == ["not authorized", "subscribed to: T.AAPL"]
    assert conversation.wanted == {"T": frozenset({"AAPL"})}


def test_unsubscribing_is_acknowledged(conversation: Conversation) -> None:
    say(conversation, "subscribe", "T.AAPL,T.IBM")
    assert words(say(conversation, "unsubscribe", "T.AAPL")) == ["unsubscribed to: T.AAPL"]
    assert conversation.wanted == {"T": frozenset({"IBM"})}


def test_who_is_not_authenticated_cannot_subscribe(faults: Faults) -> None:
    conversation = Conversation(voice_of("stocks"), frozenset(), faults)
    assert words(say(conversation, "subscribe", "T.AAPL")) == ["not authorized"]
    assert conversation.wanted == {}


def test_a_day_may_be_asked_for(conversation: Conversation) -> None:
    say(conversation, "subscribe", "T.*", date="2013-10-08")
    assert conversation.replay_day == date(2013, 10, 8)


@pytest.mark.parametrize(
    "text", [b"", b"[]", b"17", b'{"params":1}', b'{"action":"dance"}', b"\xff\xfe"]
)
def test_nonsense_is_answered_and_changes_nothing(conversation: Conversation, text: bytes) -> None:
    answer = conversation.received(text)
    assert (words(answer), answer.drop, answer.subscribed) == (["invalid request"], False, False)


def test_a_day_that_is_none_is_refused(conversation: Conversation) -> None:
    assert words(say(conversation, "subscribe", "T.*", date="soon")) == ["invalid request"]
