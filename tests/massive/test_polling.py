from __future__ import annotations

from tsstore_massive.missing.polling import Polling

MINUTE = 60_000_000_000


def test_it_begins_after_its_time_and_asks_once_a_minute() -> None:
    polling = Polling(120.0)
    assert not polling.is_due(119.0, 10 * MINUTE)
    assert not polling.is_on
    assert polling.is_due(120.0, 11 * MINUTE + MINUTE // 2)
    assert not polling.is_due(130.0, 11 * MINUTE + MINUTE // 2 + 1)
    assert not polling.is_due(150.0, 12 * MINUTE)  # the bar of the minute may not be there yet
    assert polling.is_due(155.0, 12 * MINUTE + MINUTE // 12)
    assert (polling.is_on, polling.rounds) == (True, 2)


def test_it_ends_when_the_connection_streams() -> None:
    polling = Polling(1.0)
    assert not polling.end()
    assert polling.is_due(2.0, MINUTE * 5)
    assert polling.end()
    assert (polling.is_on, polling.rounds) == (False, 0)
    assert not polling.is_due(0.0, MINUTE * 9)


def test_it_may_begin_at_once_or_never() -> None:
    polling = Polling(60.0)
    polling.begin()
    assert polling.is_due(0.0, MINUTE * 5)
    assert not Polling(0.0).is_due(1e9, MINUTE * 5)


def test_a_clock_put_back_goes_on_polling() -> None:
    polling = Polling(60.0)
    assert polling.is_due(61.0, MINUTE * 500)
    assert polling.is_due(122.0, MINUTE * 5)
