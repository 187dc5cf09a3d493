"""The events of one day for one set of topics, in the order the vendor would send them."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore_massive_simulator.framing import Batch
from tsstore_massive_simulator.sources import Asked
from tsstore_massive_simulator.voices import voice_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from tsstore_massive_simulator.market import Market
    from tsstore_massive_simulator.sources import Timing

#: Tickers by channel; None stands for every ticker.
Wanted = dict[str, frozenset[str] | None]

#: Events are encoded, and remembered, this many at a time.
CHUNK = 5000
_REMEMBERED_BYTES = 256 << 20

_encoder = msgspec.json.Encoder()


class Tape:
    """Everything a connection is sent of one day.

    Args:
        market: where the rows come from.
        day: the day.
        wanted: tickers by channel.
        timing: when bars come.

    Attributes:
        day: the day.
        due: when each event is sent, int64 nanoseconds, ascending.
    """

    def __init__(self, market: Market, day: date, wanted: Wanted, timing: Timing) -> None:
        self.day = day
        self._chunks: dict[tuple[int, int], list[Batch]] = {}
        self._remembered = 0
        known = voice_of(market.name).channels
        self._channels = [channel for channel in known if channel in wanted]
        # Where days follow one another without a pause, the last bars of one come on the next.
        is_endless = market.schedule.is_endless
        days = (day - timedelta(days=1), day) if is_endless else (day,)
        self._sources = [
            known[channel](Asked(market, each, _sorted(wanted[channel]), timing))
            for channel in self._channels
            for each in days
        ]
        self._channel_of = [channel for channel in self._channels for _ in days]
        dues = [source.due for source in self._sources] or [np.empty(0, np.int64)]
        due = np.concatenate(dues)
        counts = [len(each) for each in dues]
        rows = np.concatenate([np.arange(count, dtype=np.int32) for count in counts])
        source = np.repeat(np.arange(len(dues), dtype=np.uint8), counts)
        order = np.argsort(due, kind="stable")
        if is_endless:
            bounds = (
                market.schedule.midnight(day),
                market.schedule.midnight(day + timedelta(days=1)),
            )
            order = order[slice(*np.searchsorted(due[order], bounds))]
        self.due: NDArray[np.int64] = due[order]
        self._source: NDArray[np.uint8] = source[order]
        self._row: NDArray[np.int32] = rows[order]

    def __len__(self) -> int:
        return len(self.due)

    def events(self, low: int, high: int) -> list[Any]:
        """The events at positions `low:high`, as structs."""
        source, row = self._source[low:high], self._row[low:high]
        made: NDArray[np.object_] = np.empty(len(source), object)
        for number in np.unique(source).tolist():
            mask = source == number
            made[mask] = self._sources[number].events(row[mask])
        return list(made)

    def count(self, low: int, high: int) -> dict[str, int]:
        """How many events of each channel stand at positions `low:high`."""
        found = dict.fromkeys(self._channels, 0)
        counts = np.bincount(self._source[low:high], minlength=len(self._channel_of)).tolist()
        for channel, count in zip(self._channel_of, counts, strict=True):
            found[channel] += count
        return found

    def batches(self, low: int, high: int, frame_events: int, *, keep: bool) -> list[Batch]:
        """The events at positions `low:high` as JSON arrays of up to `frame_events` each.

        With `keep` they are remembered for the next connection that asks, within a limit of memory.
        """
        batches = self._chunks.get((low, frame_events)) if keep and high - low == CHUNK else None
        if batches is not None:
            return batches
        made = self.events(low, high)
        parts = [made[at : at + frame_events] for at in range(0, len(made), frame_events)]
        batches = [Batch(_encoder.encode(part), len(part)) for part in parts]
        size = sum(len(batch.text) for batch in batches)
        if keep and high - low == CHUNK and self._remembered + size <= _REMEMBERED_BYTES:
            self._chunks[low, frame_events] = batches
            self._remembered += size
        return batches


def _sorted(tickers: frozenset[str] | None) -> list[str] | None:
    return None if tickers is None else sorted(tickers)
