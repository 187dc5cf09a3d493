"""How a running backfill is shown: bars on a terminal, a line every few seconds elsewhere.

A run may have several parts, files and then REST; each is a bar or lines of its own in one display.

    with make_display(sys.stderr, clock) as display:
        show = display.part("flat files", "days", 500)
        show(State(12, rows=8_123_456, note="31 of 842 MB"))
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Self, TextIO

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as RichProgress

from tsstore_massive.texts import duration

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

    from tsstore.clock import Clock

LINE_EVERY_S = 5.0


@dataclass(frozen=True)
class State:
    """How far a part of a run is.

    Attributes:
        done: units that were dealt with.
        rows: stored.
        note: more of it, such as `3 failed`; may be empty.
    """

    done: int
    rows: int = 0
    note: str = ""


def make_display(stream: TextIO, clock: Clock) -> Bars | Lines:
    """Bars when the stream is a terminal, else lines; it shows something within its context."""
    return Bars(stream, clock) if stream.isatty() else Lines(stream, clock)


@dataclass(frozen=True)
class _Part:
    """What is shown of one part."""

    name: str
    unit: str
    total: int
    clock: Clock
    started_s: float

    @property
    def elapsed_s(self) -> float:
        return self.clock.monotonic() - self.started_s

    def text(self, state: State) -> str:
        """`12 of 500 days, 31 of 842 MB, 8,123,456 rows, 1,234,567 rows/s`."""
        note = f", {state.note}" if state.note else ""
        rate = state.rows / max(self.elapsed_s, 1e-3)
        return (
            f"{state.done:,} of {self.total:,} {self.unit}{note}, {state.rows:,} rows, "
            f"{rate:,.0f} rows/s"
        )

    def left(self, state: State) -> str:
        """The time to the end, if the rest takes as long; nothing at the start."""
        if not state.done:
            return ""
        seconds = self.elapsed_s / state.done * (self.total - state.done)
        return f", {duration(seconds)} left"


class Bars:
    """A progress bar for each part, with rows per second and the time left."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._clock = clock
        self._bars = RichProgress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.fields[text]}"),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=Console(file=stream),
            refresh_per_second=5,
        )

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bars.stop()

    def part(self, name: str, unit: str, total: int) -> Callable[[State], None]:
        """Begin a part; what moves its bar."""
        shown = _Part(name, unit, total, self._clock, self._clock.monotonic())
        task = self._bars.add_task(name, total=total, text="", visible=total > 0)
        return lambda state: self._bars.update(task, completed=state.done, text=shown.text(state))


class Lines:
    """A line of text every few seconds."""

    def __init__(self, stream: TextIO, clock: Clock) -> None:
        self._stream = stream
        self._clock = clock

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        pass

    def part(self, name: str, unit: str, total: int) -> Callable[[State], None]:
        """Begin a part; what writes a line of it if the last one is some seconds old."""
        shown = _Part(name, unit, total, self._clock, self._clock.monotonic())
        next_s = LINE_EVERY_S

        def show(state: State) -> None:
            nonlocal next_s
            if shown.elapsed_s < next_s:
                return
            next_s = shown.elapsed_s + LINE_EVERY_S
            text = f"{name}: {shown.text(state)}{shown.left(state)}"
            print(text, file=self._stream, flush=True)

        return show
