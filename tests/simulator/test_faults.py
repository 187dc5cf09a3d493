"""Faults can be switched on and off, and say so when they cannot."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tsstore_massive_simulator.disturbing import Disturber
from tsstore_massive_simulator.events import Quote, Trade
from tsstore_massive_simulator.faults import FAULTS, FaultError, Faults
from tsstore_massive_simulator.voices.stocks import Band, FairValue

TRADES = [Trade("AAPL", "1", 4, 1.5, 12, 1000, number, 1) for number in range(1000)]


@pytest.fixture
def faults() -> Faults:
    return Faults()


def disturbed(faults: Faults) -> list[Any]:
    made: list[Any] = Disturber(faults).disturb(TRADES)
    return made


def test_a_fault_has_a_default_value(faults: Faults) -> None:
    faults.set_text("rate")
    assert faults.number("rate", 0) == 5


def test_a_value_may_be_given(faults: Faults) -> None:
    faults.set_text("rate=60")
    assert faults.number("rate", 0) == 60


def test_a_fault_that_is_off_has_the_other_value(faults: Faults) -> None:
    assert faults.number("rate", 17) == 17


def test_a_fault_happens_as_often_as_told(faults: Faults) -> None:
    faults.set_text("too_many=2")
    assert [faults.strikes("too_many") for _ in range(4)] == [True, True, False, False]


def test_a_fault_without_a_number_always_happens(faults: Faults) -> None:
    faults.set_text("too_many")
    assert all(faults.strikes("too_many") for _ in range(10))


def test_a_fault_can_be_ended(faults: Faults) -> None:
    faults.set_text("mute")
    faults.clear("mute")
    assert not faults.on("mute")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("nonsense", "unknown fault 'nonsense'; there are refuse, "),
        ("rate=often", "fault rate: 'often' is not a number"),
        ("rate=-1", "fault rate: -1 is not a number"),
        ("duplicates=2", "fault duplicates: 2 is not share of events, 0 to 1"),
        ("mute=1", "fault mute takes no value"),
        ("slow_body=nan", "fault slow_body: nan is not seconds"),
    ],
)
def test_a_wrong_fault_is_refused(faults: Faults, text: str, message: str) -> None:
    with pytest.raises(FaultError, match=message):
        faults.set_text(text)


def test_every_fault_says_what_happens() -> None:
    assert all(fault.text for fault in FAULTS.values())


def test_nothing_is_disturbed_without_a_fault(faults: Faults) -> None:
    assert Disturber(faults).is_idle()


def test_events_come_twice(faults: Faults) -> None:
    faults.set_text("duplicates=0.5")
    numbers = [event["q"] for event in disturbed(faults)]
    assert len(numbers) > 1300
    assert sorted(set(numbers)) == list(range(1000))


def test_events_come_out_of_order(faults: Faults) -> None:
    faults.set_text("out_of_order=0.1")
    numbers = [event["q"] for event in disturbed(faults)]
    assert numbers != sorted(numbers)
    assert sorted(numbers) == list(range(1000))


def test_whole_numbers_come_with_a_point(faults: Faults) -> None:
    faults.set_text("float_ints=1")
    assert '"s":12.0' in json.dumps(disturbed(faults)[0], separators=(",", ":"))


def test_unknown_fields_and_events_come_in_between(faults: Faults) -> None:
    faults.set_text("unknown_field=1")
    faults.set_text("unknown_event=1")
    made = disturbed(faults)
    assert "zz" in made[0]
    assert made[1]["ev"] == "ZZ"


def test_elements_that_are_no_events_come_in_between(faults: Faults) -> None:
    faults.set_text("malformed=0.5")
    made = disturbed(faults)
    assert any(not isinstance(each, dict) for each in made)
    assert sum(isinstance(each, dict) and "q" in each for each in made) == 1000


def test_fields_may_be_absent(faults: Faults) -> None:
    faults.set_text("absent_field=1")
    made = disturbed(faults)
    assert any("z" not in event for event in made)
    assert all("p" in event and "t" in event for event in made)


def test_quotes_may_lack_a_side(faults: Faults) -> None:
    faults.set_text("one_sided=1")
    quotes = [Quote("AAPL", 1000, number, 1, bp=1.0, ap=1.1) for number in range(50)]
    sides = {frozenset(event) & {"bp", "ap"} for event in Disturber(faults).disturb(quotes)}
    assert sides == {frozenset({"bp"}), frozenset({"ap"})}


def test_times_may_be_coarser(faults: Faults) -> None:
    ns = 1_790_861_400_123_456_789
    events = [Band("AAPL", 2.0, 1.0, (15,), 3, ns, 1), FairValue(1.0, "AAPL", ns)]
    faults.set_text("luld_micros")
    faults.set_text("fmv_millis")
    assert [event["t"] for event in Disturber(faults).disturb(events)] == [
        ns // 1000,
        ns // 1_000_000,
    ]
