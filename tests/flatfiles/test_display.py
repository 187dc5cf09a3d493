"""What is shown while files are loaded."""

from __future__ import annotations

import io

from tsstore.clock import ManualClock
from tsstore_massive.flatfiles.display import shown
from tsstore_massive.flatfiles.sync import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_elsewhere_a_line_comes_every_few_seconds():
    stream, clock = io.StringIO(), ManualClock()
    with shown(stream, clock, 500) as show:
        for second in range(1, 12):
            clock.advance(1)
            show(Progress(second, 500, second * 10**7, 842 * 10**6, second * 10**6))
    assert stream.getvalue().splitlines() == [
        "flat files: 5 of 500 days, 50 of 842 MB, 5,000,000 rows, 1,000,000 rows/s",
        "flat files: 10 of 500 days, 100 of 842 MB, 10,000,000 rows, 1,000,000 rows/s",
    ]


def test_on_a_terminal_it_is_a_bar():
    stream, clock = Terminal(), ManualClock()
    with shown(stream, clock, 10) as show:
        clock.advance(2)
        show(Progress(4, 10, 0, 0, 1234))
    assert "4 of 10 days, 1,234 rows, 617 rows/s" in stream.getvalue()
