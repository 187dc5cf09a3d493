"""How a running backfill is shown: a bar on a terminal, a line every few seconds elsewhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)
from rich.progress import Progress as RichProgress

from tsstore_massive.texts import duration

if TYPE_CHECKING:
    from types import TracebackType

    from tsstore.clock import Clock
    from tsstore_massive.backfill import Progress

LINE_EVERY_S = 5.0


def make_display(stream: TextIO, clock: Clock, total_days: int) -> Bar | Lines:
    """A bar when the stream is a terminal, else lines; it shows something within its context."""
    if stream.isatty():
        return Bar(stream, clock, total_days)
    return Lines(stream, clock)


class Rate:
    """Rows per second and time left, from the start of the run."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._start = clock.monotonic()

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start."""
        return self._clock.monotonic() - self._start

    def rows_per_s(self, progress: Progress) -> float:
        """Average since the start."""
        return progress.rows / max(self.elapsed_s, 1e-3)

    def left_s(self, progress: Progress) -> float | None:
        """Seconds to the end if the rest takes as long per symbol-day; None at the start."""
        if not progress.days:
            return None
        return self.elapsed_s / progress.days * (progress.total_days - progress.days)


class Bar:
    """A progress bar with rows per second and the time left."""

    def __init__(self, stream: TextIO, clock: Clock, total_days: int) -> None:
        self._rate = Rate(clock)
        self._bar = RichProgress(
            TextColumn("backfill"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("symbol-days"),
            TextColumn("{task.fields[rows]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            refresh_per_second=5,
        )
        self._task = self._bar.add_task("", total=total_days, rows="")

    def __enter__(self) -> Self:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()

    def show(self, progress: Progress) -> None:
        """Move the bar."""
        rows = f"{progress.rows:,} rows, {self._rate.rows_per_s(progress):,.0f}/s"
        if progress.failed_days:
            rows += f", {progress.failed_days:,} failed"
        self._bar.update(self._task, completed=progress.days, rows=rows)


class Lines:
    """A line of text every few seconds."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._rate = Rate(clock)
        self._next_s = LINE_EVERY_S

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def show(self, progress: Progress) -> None:
        """Write a line if the last one is some seconds old."""
        if self._rate.elapsed_s < self._next_s:
            return
        self._next_s = self._rate.elapsed_s + LINE_EVERY_S
        left_s = self._rate.left_s(progress)
        left = "" if left_s is None else f", {duration(left_s)} left"
        failed = f", {progress.failed_days} failed" if progress.failed_days else ""
        print(
            f"backfill: {progress.days:,} of {progress.total_days:,} symbol-days{failed}, "
            f"{progress.rows:,} rows, {self._rate.rows_per_s(progress):,.0f} rows/s{left}",
            file=self._stream,
            flush=True,
        )
