from __future__ import annotations

import io

from tsstore.clock import ManualClock
from tsstore_massive.backfill import Progress
from tsstore_massive.display import make_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_comes_every_few_seconds():
    stream, clock = io.StringIO(), ManualClock()
    with make_display(stream, clock, 100) as display:
        for second in range(1, 12):
            clock.advance(1)
            display.show(Progress(second, 100, second * 1000, 0))
    assert stream.getvalue().splitlines() == [
        "backfill: 5 of 100 symbol-days, 5,000 rows, 1,000 rows/s, 0:01:35 left",
        "backfill: 10 of 100 symbol-days, 10,000 rows, 1,000 rows/s, 0:01:30 left",
    ]


def test_a_short_run_shows_no_line():
    stream, clock = io.StringIO(), ManualClock()
    with make_display(stream, clock, 1) as display:
        display.show(Progress(1, 1, 10, 0))
    assert stream.getvalue() == ""


def test_failures_are_shown():
    stream, clock = io.StringIO(), ManualClock()
    with make_display(stream, clock, 10) as display:
        clock.advance(6)
        display.show(Progress(0, 10, 0, 2))
    assert "0 of 10 symbol-days, 2 failed, 0 rows" in stream.getvalue()


def test_on_a_terminal_it_is_a_bar():
    stream, clock = Terminal(), ManualClock()
    with make_display(stream, clock, 10) as display:
        clock.advance(2)
        display.show(Progress(4, 10, 1234, 1))
    assert "4/10" in stream.getvalue()
    assert "1,234 rows, 617/s, 1 failed" in stream.getvalue()
