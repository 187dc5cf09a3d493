from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tsstore_massive.missing.gaps import Stretch
from tsstore_massive.missing.missed import Missed, overlap_ns
from tsstore_massive.schemas import Kind

SECOND = 1_000_000_000
DELAY_NS = 15 * 60 * SECOND
#: A bar is asked for by its start, and told when it is over.
BAR_NS = 60 * SECOND
KINDS: tuple[Kind, ...] = ("bars", "trades")


def covered(pieces: list[Stretch], kind: Kind, first_ns: int, last_ns: int) -> bool:
    """Whether some pieces leave no instant of a stretch out."""
    at_ns = first_ns
    for piece in sorted(pieces, key=lambda piece: piece.start_ns):
        if piece.kind == kind and piece.start_ns <= at_ns:
            at_ns = max(at_ns, piece.end_ns)
    return at_ns >= last_ns


def test_what_was_taken_is_missed_no_more() -> None:
    missed = Missed()
    missed.add(Stretch("bars", None, 5))
    (piece,) = missed.take(9, 1.5)
    assert (piece.start_ns, piece.end_ns, piece.not_before) == (5, 9, 1.5)
    assert missed.take(10, 0.0) == []


def test_what_is_missed_so_far_goes_on_with_an_overlap() -> None:
    missed = Missed()
    missed.add(Stretch("trades", ("SPY",), 0), Stretch("bars", None, 0))
    now_ns = 3600 * SECOND
    assert [piece.kind for piece in missed.so_far(["trades"], now_ns)] == ["trades"]
    pieces = {piece.kind: piece for piece in missed.take(now_ns + 1, 0.0)}
    assert 0 < pieces["trades"].start_ns <= now_ns - overlap_ns("trades") - DELAY_NS
    assert pieces["bars"].start_ns == 0


def test_what_goes_on_has_each_symbol_once() -> None:
    missed = Missed()
    some = Stretch("trades", ("SPY", "QQQ"), 0), Stretch("trades", ("SPY",), 5)
    missed.add(*some, Stretch("bars", ("SPY",), 0), Stretch("bars", None, 5))
    now_ns = 3600 * SECOND
    assert len(missed.so_far(KINDS, now_ns)) == 4
    symbols = {piece.kind: piece.symbols for piece in missed.so_far(KINDS, now_ns + 1)}
    assert symbols == {"trades": ("SPY", "QQQ"), "bars": None}
    assert len(missed.take(now_ns + 2, 0.0)) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_polls_of_a_delayed_plan_leave_nothing_out(kind: Kind) -> None:
    """Its history ends a quarter of an hour ago, so that each poll gets less than it asks for."""
    missed = Missed()
    down_ns = 10_000 * SECOND
    missed.add(Stretch(kind, ("SPY",), down_ns))
    told: list[Stretch] = []
    for minute in range(1, 40):
        now_ns = down_ns + minute * 60 * SECOND
        told += [
            piece.until(now_ns - DELAY_NS - BAR_NS, 0.0) for piece in missed.so_far(KINDS, now_ns)
        ]
    assert covered(told, kind, down_ns, now_ns - DELAY_NS - BAR_NS)


@given(
    st.lists(
        st.tuples(
            st.integers(0, 4000 * SECOND),
            st.sampled_from(["lost", "streams", "bars polled", "all polled"]),
        ),
        max_size=40,
    )
)
def test_whatever_happens_no_instant_without_a_connection_is_left_out(
    steps: list[tuple[int, str]],
) -> None:
    missed = Missed()
    handed: list[Stretch] = []
    down_since: int | None = None
    outages: list[tuple[int, int]] = []
    now_ns = 10_000 * SECOND
    for passed_ns, what in [*steps, (SECOND, "lost"), (SECOND, "streams")]:
        now_ns += passed_ns
        if what == "lost" and down_since is None:
            down_since = now_ns
            missed.add(*(Stretch(kind, None, now_ns - overlap_ns(kind)) for kind in KINDS))
        elif what == "streams" and down_since is not None:
            outages.append((down_since, now_ns))
            down_since = None
            handed += missed.take(now_ns, 0.0)
        elif what.endswith("polled"):
            handed += missed.so_far(["bars"] if what == "bars polled" else KINDS, now_ns)
    for first_ns, last_ns in outages:
        for kind in KINDS:
            assert covered(handed, kind, first_ns - overlap_ns(kind), last_ns)
    assert missed.take(now_ns, 0.0) == []
