"""Signals that ask a program to stop."""

from __future__ import annotations

import signal
import sys
import threading
import traceback

from tests.test_tidy import ROOT, calls
from tsstore.clock import SystemClock
from tsstore.signals import Signals

SOURCES = [*(ROOT / "tsstore").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]


def test_nobody_else_handles_signals() -> None:
    """A handler that sets an event waits for ever if it interrupts whoever waits for the event."""
    handlers = [path for path in SOURCES if "signal.signal" in calls(path)]
    assert handlers == [ROOT / "tsstore" / "signals.py"]


def test_a_signal_that_another_thread_got_is_not_missed() -> None:
    main, noticed = threading.main_thread(), []

    def send() -> None:
        while "wait" not in frame_names(main):
            pass
        signal.pthread_kill(threading.get_ident(), signal.SIGTERM)
        noticed.append(done.wait(20))
        signal.pthread_kill(main.ident, signal.SIGTERM)  # or the test would never end

    done = threading.Event()
    with Signals() as signals:
        sender = threading.Thread(target=send)
        sender.start()
        assert signals.wait(SystemClock())
        done.set()
        sender.join()
        assert noticed == [True]
        assert signals.stop
        assert signals.wait(SystemClock())
        assert not signals.wait(SystemClock(), 0)


def frame_names(thread: threading.Thread) -> list[str]:
    """The functions that a thread is in."""
    return [frame.name for frame in traceback.extract_stack(sys._current_frames()[thread.ident])]


def test_a_signal_at_any_step_of_waiting_is_taken() -> None:
    """Raised at the first line of `wait`, then at the second, and so on until it ends in time."""
    steps = 0

    def count(frame, event, _arg):
        nonlocal steps
        if frame.f_code is not Signals.wait.__code__:
            return None
        steps -= event == "line"
        if steps == 0 and event == "line":
            signal.raise_signal(signal.SIGTERM)
        return count

    for first in range(1, 5):
        steps = first
        with Signals() as signals:
            sys.settrace(count)
            found = signals.wait(SystemClock(), 20)
            sys.settrace(None)
            assert found
            assert signals.first == signal.SIGTERM


def test_the_handlers_before_come_back() -> None:
    before = signal.getsignal(signal.SIGHUP)
    with Signals(signal.SIGHUP) as signals:
        signal.raise_signal(signal.SIGHUP)
        assert signals.stop
        signals.let_go()
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_DFL
    assert signal.getsignal(signal.SIGHUP) is before
