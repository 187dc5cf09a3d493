"""The trigger `stream`: which row is sent when."""

from __future__ import annotations

import logging
import threading
from time import monotonic, sleep

import msgspec
import numpy as np
import pytest

from tsstore.clock import ManualClock, SystemClock
from tsstore.columns import Columns
from tsstore.plugin import TriggerContext, TriggerEvent
from tsstore.testing.model import ModelStore
from tsstore.times import to_ns
from tsstore_stream import Trigger
from tsstore_stream.rows import Row, message_arrays
from tsstore_stream.shelf import Shelf

MINUTE = 60 * 10**9
HOUR = 60 * MINUTE
T0 = to_ns("2013-10-08 13:30")


class Sent:
    """What was published."""

    def __init__(self):
        self.messages = []
        self.commits = []

    def __call__(self, key, scalars, *, commit=None):
        self.commits.append(commit)
        self.messages.append((key, dict(scalars)))

    def wait_for(self, count):
        deadline = monotonic() + 60
        while len(self.messages) < count:
            assert monotonic() < deadline, self.messages
            sleep(0.002)


@pytest.fixture
def sent():
    return Sent()


class HeldClock(ManualClock):
    """Waits until the test lets it go on."""

    def __init__(self, now_ns):
        super().__init__(now_ns)
        self.go_on = threading.Event()

    def wait(self, event, timeout_s):
        while not (event.wait(0.001) or self.go_on.is_set()):
            pass
        return event.is_set() or super().wait(event, timeout_s)


@pytest.fixture
def clock():
    return HeldClock(T0)


@pytest.fixture
def make(sent, clock):
    triggers = []

    def make(timezone="UTC", **options):
        context = TriggerContext(
            "stream", ModelStore(), clock, logging.getLogger("t"), sent, timezone
        )
        triggers.append(Trigger(context, msgspec.convert(options, Trigger.Config)))
        return triggers[-1]

    yield make
    clock.go_on.set()
    for trigger in triggers:
        trigger.close()


def rows(*ts, variable=False, **columns):
    arrays = {name: np.asarray(values) for name, values in columns.items()}
    return Columns(np.array(ts, np.int64), arrays, variable=variable)


def fire(trigger, key, batch, commits=None):
    commits = None if commits is None else {key: np.array(commits)}
    trigger.fire(TriggerEvent({key: batch}, commits))


def test_every_row_up_to_a_minute_is_sent_at_once(make, sent):
    fire(make(), "A/1Min/X", rows(T0, T0 + MINUTE, P=[1.0, 2.0]))
    assert [message["P"] for _, message in sent.messages] == [1.0, 2.0]
    assert [message["Epoch"] for _, message in sent.messages] == [T0 // 10**9, T0 // 10**9 + 60]


def test_ticks_carry_their_nanoseconds_last(make, sent):
    fire(make(), "A/1Sec/T", rows(T0 + 5, T0 + 6, P=[1.0, 2.0], variable=True))
    assert [list(message) for _, message in sent.messages] == [["Epoch", "P", "Nanoseconds"]] * 2
    assert [message["Nanoseconds"] for _, message in sent.messages] == [5, 6]


def test_scalars_keep_the_type_of_their_column(make, sent):
    fire(make(), "A/1Min/X", rows(T0, P=np.array([1.5], "f4"), N=np.array([7], "u1")))
    message = sent.messages[0][1]
    assert {name: value.dtype.str for name, value in message.items()} == {
        "Epoch": "<i8",
        "P": "<f4",
        "N": "|u1",
    }


def test_texts_are_code_points(make, sent):
    fire(make(), "A/1Min/X", rows(T0, S=np.array(["aé"], "U4")))
    assert sent.messages[0][1]["S"] == [97, 233, 0, 0]


def test_old_rows_of_short_timeframes_are_sent_too(make, sent):
    fire(make(), "A/1Min/X", rows(0, P=[1.0]))
    assert len(sent.messages) == 1


def test_a_longer_bar_is_sent_when_its_window_ends(make, sent, clock):
    fire(make(), "A/5Min/X", rows(T0, P=[1.0]))
    assert sent.messages == []
    clock.go_on.set()
    sent.wait_for(1)
    assert sent.messages == [("A/5Min/X", {"Epoch": T0 // 10**9, "P": 1.0})]
    assert clock.now_ns() == T0 + 5 * MINUTE


def test_a_later_update_replaces_the_one_that_waits(make, sent, clock):
    trigger = make()
    fire(trigger, "A/5Min/X", rows(T0, P=[1.0]))
    fire(trigger, "A/5Min/X", rows(T0, P=[2.0]))
    clock.go_on.set()
    sent.wait_for(1)
    assert [message["P"] for _, message in sent.messages] == [2.0]


def test_each_window_of_a_batch_is_sent_in_its_turn(make, sent, clock):
    batch = rows(T0, T0 + MINUTE, T0 + 5 * MINUTE, P=[1.0, 2.0, 3.0], variable=True)
    fire(make(), "A/5Min/X", batch)
    clock.go_on.set()
    sent.wait_for(2)
    assert [message["P"] for _, message in sent.messages] == [2.0, 3.0]


def test_windows_that_ended_before_are_history(make, sent, clock):
    trigger = make()
    fire(trigger, "A/5Min/X", rows(T0 - 10 * MINUTE, P=[1.0]))
    fire(trigger, "A/5Min/X", rows(T0, P=[2.0]))
    clock.go_on.set()
    sent.wait_for(1)
    assert [message["P"] for _, message in sent.messages] == [2.0]


def test_a_bar_that_is_whole_only_after_its_window_is_sent_again(make, sent, clock):
    trigger = make()
    fire(trigger, "A/5Min/X", rows(T0, P=[1.0]), [7])
    clock.go_on.set()
    sent.wait_for(1)
    fire(trigger, "A/5Min/X", rows(T0, P=[2.0]), [8])
    clock.advance(61)
    fire(trigger, "A/5Min/X", rows(T0, P=[3.0]), [9])
    assert [message["P"] for _, message in sent.messages] == [1.0, 2.0]
    assert sent.commits == [7, 8]


def test_rows_tell_their_commits(make, sent):
    trigger = make()
    fire(trigger, "A/1Min/X", rows(T0, T0 + MINUTE, P=[1.0, 2.0]), [3, 5])
    fire(trigger, "A/1Min/X", rows(T0, P=[1.0]))
    assert sent.commits == [3, 5, None]


def test_an_earlier_deadline_is_not_kept_waiting_by_a_later_one(make, sent, clock):
    trigger = make()
    fire(trigger, "A/1H/X", rows(T0, P=[1.0]))
    fire(trigger, "A/5Min/X", rows(T0, P=[2.0]))
    clock.go_on.set()
    sent.wait_for(2)
    assert [message["P"] for _, message in sent.messages] == [2.0, 1.0]


def test_days_end_at_midnight_of_the_zone(make, sent, clock):
    fire(make("America/New_York"), "A/1D/X", rows(to_ns("2013-10-08 04:00"), P=[1.0]))
    clock.go_on.set()
    sent.wait_for(1)
    assert clock.now_ns() == to_ns("2013-10-09 04:00")


@pytest.mark.parametrize(
    ("day", "close"),
    [("2013-10-08", "2013-10-08 20:00"), ("2013-11-29", "2013-11-29 18:00")],
)
def test_with_the_filter_days_end_when_the_market_closes(make, sent, clock, day, close):
    trigger = make("America/New_York", filter="nasdaq")
    fire(trigger, "A/1D/X", rows(to_ns(day, "America/New_York"), P=[1.0]))
    clock.go_on.set()
    sent.wait_for(1)
    assert clock.now_ns() == to_ns(close)


def test_without_trading_a_day_ends_at_midnight(make, sent, clock):
    trigger = make("America/New_York", filter="nasdaq")
    fire(trigger, "A/1D/X", rows(to_ns("2013-10-12 12:00"), P=[1.0]))
    clock.go_on.set()
    sent.wait_for(1)
    assert clock.now_ns() == to_ns("2013-10-13 04:00")


def test_the_filter_is_for_new_york_alone(make, sent, clock, caplog):
    fire(make("UTC", filter="nasdaq"), "A/1D/X", rows(to_ns("2013-10-08"), P=[1.0]))
    assert "timezone: America/New_York" in caplog.text
    clock.go_on.set()
    sent.wait_for(1)
    assert clock.now_ns() == to_ns("2013-10-09")


@pytest.mark.parametrize("options", [{"filter": "nyse"}, {"filtre": "nasdaq"}])
def test_other_options_are_refused(make, options):
    with pytest.raises(msgspec.ValidationError):
        make(**options)


def test_closing_ends_the_thread_and_sends_nothing(make, sent):
    trigger = make()
    fire(trigger, "A/1H/X", rows(T0, P=[1.0]))
    trigger.close()
    fire(trigger, "A/1H/X", rows(T0, P=[1.0]))
    assert sent.messages == []
    assert not [thread for thread in threading.enumerate() if thread.name == "stream"]


def test_a_shelf_waits_by_the_real_clock_too(sent):
    shelf = Shelf(SystemClock(), sent)
    shelf.put("A/2Min/X", SystemClock().now_ns() + 20_000_000, {"P": 1.0})
    sent.wait_for(1)
    shelf.close()
    assert sent.messages == [("A/2Min/X", {"P": 1.0})]


def test_a_row_is_a_mapping():
    row = Row(message_arrays(rows(T0, P=[1.0])), 0)
    assert len(row) == 2
    assert dict(row) == {"Epoch": T0 // 10**9, "P": 1.0}
