from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from tsstore_massive.streaming.failover import Standing, carried_topics, carriers

DEAD_S = 60.0


def line(name: str, down_s: float = 0.0, market: str = "stocks", moved: bool = True) -> Standing:
    return Standing(name, market, moved, down_s)


def carried(*lines: Standing, before: dict[str, str] | None = None) -> dict[str, str]:
    return carriers(lines, before or {}, dead_after_s=DEAD_S)


def test_a_carrier_takes_no_more_quotes_of_contracts_than_it_has_room_for() -> None:
    own, others = ["Q.O:A", "T.O:A"], ["T.O:B", "Q.O:A", "Q.O:B", "Q.O:C"]
    assert carried_topics(own, others, quotes_max=2) == ["T.O:B", "Q.O:A", "Q.O:B"]
    assert carried_topics(own, others, quotes_max=1) == ["T.O:B", "Q.O:A"]


def test_nothing_moves_while_all_live_or_may_come_back() -> None:
    assert carried(line("a"), line("b", 59.0)) == {}


def test_a_dead_one_is_carried_by_a_living_one_of_its_market() -> None:
    lines = line("a", 61.0), line("o", market="options"), line("b")
    assert carried(*lines) == {"a": "b"}


def test_without_a_living_one_nobody_carries() -> None:
    assert carried(line("a", 61.0), line("b", 5.0), line("o", market="options")) == {}


def test_one_that_may_not_be_moved_stays() -> None:
    assert carried(line("a", 61.0, moved=False), line("b")) == {}


def test_the_load_is_shared() -> None:
    lines = [line("a", 61.0), line("b", 61.0), line("c"), line("d")]
    assert sorted(carried(*lines).values()) == ["c", "d"]


def test_a_carrier_goes_on_through_a_short_outage_of_its_own() -> None:
    lines = line("a", 90.0), line("b", 5.0), line("c")
    assert carried(*lines, before={"a": "b"}) == {"a": "b"}
    lines = line("a", 190.0), line("b", 65.0, moved=False), line("c")
    assert carried(*lines, before={"a": "b"}) == {"a": "c"}


def test_one_that_came_back_is_carried_no_more() -> None:
    assert carried(line("a"), line("b"), before={"a": "b"}) == {}


STANDINGS = st.lists(
    st.builds(
        Standing,
        st.sampled_from("abcdef"),
        st.sampled_from(["stocks", "options"]),
        st.booleans(),
        st.sampled_from([0.0, 1.0, 59.0, 60.0, 1000.0]),
    ),
    unique_by=lambda standing: standing.name,
)


@given(STANDINGS, st.dictionaries(st.sampled_from("abcdef"), st.sampled_from("abcdef")))
def test_the_dead_are_carried_by_others_of_their_market_that_are_not(
    lines: list[Standing], before: dict[str, str]
) -> None:
    found = {one.name: one for one in lines}
    result = carriers(lines, before, dead_after_s=DEAD_S)
    living = {one.market for one in lines if one.down_s == 0}
    for name, carrier in result.items():
        assert found[name].is_moved
        assert found[name].down_s >= DEAD_S
        assert found[carrier].market == found[name].market
        assert found[carrier].down_s < DEAD_S
    for one in lines:
        if one.is_moved and one.down_s >= DEAD_S and one.market in living:
            assert one.name in result
    assert carriers(lines, result, dead_after_s=DEAD_S) == result
