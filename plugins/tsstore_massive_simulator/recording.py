"""Frames that were once received, to be sent again as they were.

A file has a line a frame: nanoseconds since 1970, a blank, and the JSON array. It may be gzipped.

    1790861400123456789 [{"ev":"T","sym":"AAPL",...},{"ev":"Q",...}]

Who subscribes to anything is sent everything: what was recorded is what somebody had asked for.
"""

from __future__ import annotations

import gzip
from collections import Counter
from datetime import timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore_massive_simulator.calendar import day_of, day_start_ns
from tsstore_massive_simulator.framing import Batch

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date
    from pathlib import Path

    from numpy.typing import NDArray

_GZIP_MAGIC = b"\x1f\x8b"


class RecordingError(ValueError):
    """A line of a recording is no frame; the text names it."""


class Recording:
    """The frames of a file.

    Args:
        path: the file.

    Attributes:
        days: the days it has frames of, ascending.
        first_ns: when the first frame came.

    Raises:
        RecordingError: it holds something else, or nothing.
    """

    def __init__(self, path: Path) -> None:
        data = path.read_bytes()
        if data.startswith(_GZIP_MAGIC):
            data = gzip.decompress(data)
        due, frames = [], []
        for number, line in enumerate(data.splitlines(), 1):
            ns, _, frame = line.partition(b" ")
            if not ns.isdigit() or not frame.startswith(b"["):
                raise RecordingError(
                    f"{path}, line {number}: expected nanoseconds, a blank and a JSON array"
                )
            due.append(int(ns))
            frames.append(frame)
        if not due:
            raise RecordingError(f"{path} holds no frames")
        order = np.argsort(np.array(due), kind="stable")
        self._due: NDArray[np.int64] = np.array(due, np.int64)[order]
        self._frames = [frames[at] for at in order.tolist()]
        self.first_ns = int(self._due[0])
        self.days = sorted({day_of(ns) for ns in np.unique(self._due).tolist()})

    def tape(self, day: date) -> RecordedTape:
        """The frames of a day."""
        bounds = day_start_ns(day), day_start_ns(day + timedelta(days=1))
        low, high = np.searchsorted(self._due, bounds).tolist()
        return RecordedTape(self._due[low:high], self._frames[low:high])


class RecordedTape:
    """Frames of a day; see `Tape`, of which it is the like with a frame for an event.

    Args:
        due: when each frame is sent.
        frames: the frames.
    """

    def __init__(self, due: NDArray[np.int64], frames: Sequence[bytes]) -> None:
        self.due = due
        self._frames = frames

    def __len__(self) -> int:
        return len(self.due)

    def events(self, low: int, high: int) -> list[Any]:
        """The events of some frames, as JSON values."""
        return [event for frame in self._frames[low:high] for event in msgspec.json.decode(frame)]

    def count(self, low: int, high: int) -> dict[str, int]:
        """How many events of each channel some frames have."""
        return dict(Counter(str(event.get("ev")) for event in self.events(low, high)))

    def batches(self, low: int, high: int, frame_events: int, *, keep: bool) -> list[Batch]:
        """The frames as they are, whatever is asked for."""
        del frame_events, keep
        return [Batch(frame, 1) for frame in self._frames[low:high]]
