"""How a running load is shown: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tsstore.clock import Clock
    from tsstore_massive.flatfiles.sync import Progress

LINE_EVERY_S = 5.0


@contextmanager
def shown(stream: TextIO, clock: Clock, total_days: int) -> Iterator[Callable[[Progress], None]]:
    """What shows a state: a bar when the stream is a terminal, else a line now and then."""
    started = clock.monotonic()
    if not stream.isatty():
        yield _lines(stream, clock, started)
        return
    bar = RichProgress(
        TextColumn("flat files"),
        BarColumn(),
        TextColumn("{task.fields[text]}"),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=Console(file=stream),
        refresh_per_second=5,
    )
    task = bar.add_task("", total=total_days, text="")
    with bar:
        yield lambda progress: bar.update(
            task, completed=progress.days, text=describe(progress, clock.monotonic() - started)
        )


def describe(progress: Progress, seconds: float) -> str:
    """A state in one line: `12 of 500 days, 31 of 842 MB, 8,123,456 rows, 1,234,567 rows/s`."""
    text = f"{progress.days:,} of {progress.total_days:,} days"
    if progress.total_bytes:
        text += f", {progress.bytes / 1e6:,.0f} of {progress.total_bytes / 1e6:,.0f} MB"
    return f"{text}, {progress.rows:,} rows, {progress.rows / max(seconds, 1e-3):,.0f} rows/s"


def _lines(stream: TextIO, clock: Clock, started: float) -> Callable[[Progress], None]:
    due = started + LINE_EVERY_S

    def show(progress: Progress) -> None:
        nonlocal due
        now = clock.monotonic()
        if now < due:
            return
        due = now + LINE_EVERY_S
        print(f"flat files: {describe(progress, now - started)}", file=stream, flush=True)

    return show
