"""The clock of the market: live, at a multiple, or as fast as it is read."""

from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING

import pytest

from tsstore.clock import ManualClock
from tsstore_massive_simulator.calendar import day_of, hours
from tsstore_massive_simulator.playback import (
    AsFastAsRead,
    Live,
    Replay,
    playback_of,
    replay_of,
)

if TYPE_CHECKING:
    from tsstore_massive_simulator.generated import GeneratedMarket

THURSDAY, FRIDAY = date(2026, 10, 1), date(2026, 10, 2)
FIRST = hours(THURSDAY).first_ns
SECOND = 10**9


def at(*args: int) -> ManualClock:
    """A clock that shows a time UTC."""
    return ManualClock(int(datetime(*args, tzinfo=UTC).timestamp()) * SECOND)


def test_a_replay_waits_until_it_begins() -> None:
    clock = ManualClock()
    replay = Replay([THURSDAY], FIRST, 1, clock)
    clock.advance(60)
    assert replay.now_ns() == FIRST


def test_the_first_instant_is_still_to_come_when_a_replay_begins() -> None:
    assert Replay([THURSDAY], FIRST, 1, ManualClock()).begin() == FIRST - 1


def test_time_runs_at_a_multiple() -> None:
    clock = ManualClock()
    replay = Replay([THURSDAY], FIRST, 60, clock)
    replay.begin()
    clock.advance(10)
    assert replay.now_ns() == FIRST + 600 * SECOND


def test_who_comes_later_gets_what_is_still_to_come() -> None:
    clock = ManualClock()
    replay = Replay([THURSDAY], FIRST, 1, clock)
    replay.begin()
    clock.advance(5)
    assert replay.begin() == FIRST + 5 * SECOND


def test_the_night_is_skipped() -> None:
    clock = ManualClock()
    replay = Replay([THURSDAY, FRIDAY], FIRST, 1, clock)
    replay.begin()
    clock.advance(16 * 3600 + 60)
    assert day_of(replay.now_ns()) == FRIDAY


def test_the_night_may_be_played() -> None:
    clock = ManualClock()
    replay = Replay([THURSDAY, FRIDAY], FIRST, 1, clock, skips_nights=False)
    replay.begin()
    clock.advance(17 * 3600)
    assert replay.now_ns() == FIRST + 17 * 3600 * SECOND


def test_a_replay_ends_with_its_last_day() -> None:
    clock = ManualClock()
    replay = Replay([THURSDAY], FIRST, 1000, clock)
    replay.begin()
    clock.advance(10_000)
    assert day_of(replay.now_ns()) == THURSDAY
    assert replay.now_ns() > hours(THURSDAY).last_ns


def test_a_replay_may_begin_within_a_day() -> None:
    noon = hours(THURSDAY).open_ns
    assert Replay([THURSDAY, FRIDAY], noon, 1, ManualClock()).now_ns() == noon


def test_waiting_is_shortened_by_the_speed() -> None:
    replay = Replay([THURSDAY], FIRST, 60, ManualClock())
    assert replay.seconds_to(FIRST + 60 * SECOND) == 1


def test_a_playback_without_a_clock_is_where_its_readers_are() -> None:
    playback = AsFastAsRead([THURSDAY], FIRST)
    playback.reaching(FIRST + 7)
    playback.reached(FIRST + 7)
    assert playback.now_ns() == playback.begin() == FIRST + 7


def test_what_is_on_its_way_to_a_reader_has_happened() -> None:
    playback = AsFastAsRead([THURSDAY], FIRST)
    playback.reaching(FIRST + 7)
    assert playback.now_ns() == FIRST + 7
    assert playback.begin() == FIRST - 1


def test_no_speed_means_as_fast_as_read() -> None:
    assert isinstance(replay_of([THURSDAY], FIRST, None, ManualClock()), AsFastAsRead)


def test_a_generated_market_is_live_while_it_trades(market: GeneratedMarket) -> None:
    clock = at(2026, 10, 1, 15)
    playback = playback_of(market, clock)
    assert isinstance(playback, Live)
    assert playback.now_ns() == clock.now_ns()


@pytest.mark.parametrize(
    ("clock", "day"),
    [
        (at(2026, 10, 3, 15), FRIDAY),  # a Saturday
        (at(2026, 10, 2, 5), THURSDAY),  # Friday, before four o'clock in New York
    ],
)
def test_a_closed_market_plays_its_latest_day_again(
    market: GeneratedMarket, clock: ManualClock, day: date
) -> None:
    assert playback_of(market, clock).now_ns() == hours(day).open_ns


def test_a_start_may_be_asked_for(market: GeneratedMarket) -> None:
    playback = playback_of(market, at(2026, 10, 5, 15), 10, FIRST)
    assert playback.now_ns() == FIRST
    assert list(playback.days(market, FIRST, hours(FRIDAY).last_ns)) == [THURSDAY, FRIDAY]
