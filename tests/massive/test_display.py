from __future__ import annotations

import io

from tsstore.clock import ManualClock
from tsstore_massive.backfilling.display import State, make_display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_comes_every_few_seconds():
    stream, clock = io.StringIO(), ManualClock()
    with make_display(stream, clock) as display:
        show = display.part("backfill", "symbol-days", 100)
        for second in range(1, 12):
            clock.advance(1)
            show(State(second, second * 1000))
    assert stream.getvalue().splitlines() == [
        "backfill: 5 of 100 symbol-days, 5,000 rows, 1,000 rows/s, 0:01:35 left",
        "backfill: 10 of 100 symbol-days, 10,000 rows, 1,000 rows/s, 0:01:30 left",
    ]


def test_a_short_run_shows_no_line():
    stream, clock = io.StringIO(), ManualClock()
    with make_display(stream, clock) as display:
        display.part("backfill", "symbol-days", 1)(State(1, 10))
    assert stream.getvalue() == ""


def test_what_else_there_is_to_say_is_shown():
    stream, clock = io.StringIO(), ManualClock()
    with make_display(stream, clock) as display:
        show = display.part("flat files", "days", 500)
        clock.advance(6)
        show(State(0, 0, "50 of 842 MB"))
    assert stream.getvalue() == "flat files: 0 of 500 days, 50 of 842 MB, 0 rows, 0 rows/s\n"


def test_on_a_terminal_each_part_is_a_bar():
    stream, clock = Terminal(), ManualClock()
    with make_display(stream, clock) as display:
        files = display.part("flat files", "days", 10)
        clock.advance(2)
        files(State(4, 1234))
        display.part("backfill", "symbol-days", 5)(State(1, 0, "1 failed"))
    assert "4 of 10 days, 1,234 rows, 617 rows/s" in stream.getvalue()
    assert "1 of 5 symbol-days, 1 failed, 0 rows" in stream.getvalue()
