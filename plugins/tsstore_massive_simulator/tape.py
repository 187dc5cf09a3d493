"""The events of one day for one set of topics, in the order the vendor would send them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore.zones import NS_PER_SECOND
from tsstore_massive_simulator import events
from tsstore_massive_simulator.calendar import MINUTE_NS, hours
from tsstore_massive_simulator.rows import Kind

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive_simulator.market import Market
    from tsstore_massive_simulator.rows import Rows

#: Tickers by channel; None stands for every ticker.
Wanted = dict[str, frozenset[str] | None]

CHANNELS = ("T", "Q", "A", "AM")
_TRADE, _QUOTE, _SECOND, _MINUTE, _EARLY_MINUTE = range(5)

_SECOND_BAR_DELAY_NS = 2 * NS_PER_SECOND
_MINUTE_BAR_DELAY_NS = 1 * NS_PER_SECOND
_MINUTE_BAR_SPREAD_NS = 2 * NS_PER_SECOND
_REVISION_DELAYS_NS = 60 * NS_PER_SECOND, 600 * NS_PER_SECOND

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
        revised_share: share of minute bars that are sent too early first, and corrected later.

    Attributes:
        day: the day.
        due: when each event is sent, int64 nanoseconds, ascending.
    """

    def __init__(self, market: Market, day: date, wanted: Wanted, revised_share: float) -> None:
        self.day = day
        self._rows: dict[int, Rows] = {}
        self._bars: dict[int, events.DayBars] = {}
        self._chunks: dict[tuple[int, int], list[bytes]] = {}
        self._remembered = 0
        parts = [self._load(market, channel, wanted, revised_share) for channel in CHANNELS]
        due, source, row = (np.concatenate(arrays) for arrays in zip(*parts, strict=True))
        order = np.argsort(due, kind="stable")
        self.due: NDArray[np.int64] = due[order]
        self._source: NDArray[np.uint8] = source[order]
        self._row: NDArray[np.int32] = row[order]

    def __len__(self) -> int:
        return len(self.due)

    def events(self, low: int, high: int) -> list[Any]:
        """The events at positions `low:high`, as structs."""
        source, row = self._source[low:high], self._row[low:high]
        made: NDArray[np.object_] = np.empty(len(source), object)
        for number in np.unique(source).tolist():
            mask = source == number
            made[mask] = self._make(number, row[mask])
        return list(made)

    def count(self, low: int, high: int) -> dict[str, int]:
        """How many events of each channel stand at positions `low:high`."""
        counts = np.bincount(self._source[low:high], minlength=_EARLY_MINUTE + 1).tolist()
        counts[_MINUTE] += counts.pop(_EARLY_MINUTE)
        return dict(zip(CHANNELS, counts, strict=True))

    def frames(self, low: int, high: int, frame_events: int) -> list[bytes]:
        """The events at positions `low:high` as JSON arrays of up to `frame_events` each."""
        made = self.events(low, high)
        return [
            _encoder.encode(made[start : start + frame_events])
            for start in range(0, len(made), frame_events)
        ]

    def remembered_frames(self, low: int, high: int, frame_events: int) -> list[bytes]:
        """The same, kept for the next connection that asks, within a limit of memory."""
        frames = self._chunks.get((low, frame_events))
        if frames is None or high - low < CHUNK:
            frames = self.frames(low, high, frame_events)
            size = sum(map(len, frames))
            if high - low == CHUNK and self._remembered + size <= _REMEMBERED_BYTES:
                self._chunks[low, frame_events] = frames
                self._remembered += size
        return frames

    def _load(
        self, market: Market, channel: str, wanted: Wanted, revised_share: float
    ) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int32]]:
        """When the events of a channel are due, what they are, and of which rows."""
        if channel not in wanted:
            return np.empty(0, np.int64), np.empty(0, np.uint8), np.empty(0, np.int32)
        tickers = wanted[channel]
        names = None if tickers is None else sorted(tickers)
        if channel in ("T", "Q"):
            kind, source = (Kind.TRADES, _TRADE) if channel == "T" else (Kind.QUOTES, _QUOTE)
            self._rows[source] = rows = market.rows(kind, self.day, names)
            return _once(rows["sip_timestamp"], source)
        open_ns = hours(self.day).open_ns
        if channel == "A":
            rows = market.second_bars(self.day, names)
            self._bars[_SECOND] = events.DayBars(rows, open_ns, NS_PER_SECOND)
            return _once(rows["window_start"] + NS_PER_SECOND + _SECOND_BAR_DELAY_NS, _SECOND)
        rows = market.rows(Kind.MINUTES, self.day, names)
        self._bars[_MINUTE] = self._bars[_EARLY_MINUTE] = events.DayBars(rows, open_ns, MINUTE_NS)
        return _minutes(rows, revised_share)

    def _make(self, source: int, at: NDArray[np.int32]) -> list[Any]:
        if source == _TRADE:
            return events.trades(self._rows[source], at, self.day)
        if source == _QUOTE:
            return events.quotes(self._rows[source], at)
        early = np.full(len(at), source == _EARLY_MINUTE)
        return self._bars[source].events(at, early, self.day)


def _once(
    due: NDArray[np.int64], source: int
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int32]]:
    return due, np.full(len(due), source, np.uint8), np.arange(len(due), dtype=np.int32)


def _minutes(
    rows: Rows, revised_share: float
) -> tuple[NDArray[np.int64], NDArray[np.uint8], NDArray[np.int32]]:
    """Minute bars come within seconds after their end; some come too early and once more later."""
    random = np.random.default_rng(len(rows))
    ends = rows["window_start"] + MINUTE_NS
    spread = random.integers(0, _MINUTE_BAR_SPREAD_NS, len(rows))
    due, source, row = _once(ends + _MINUTE_BAR_DELAY_NS + spread, _MINUTE)
    early = np.flatnonzero(random.random(len(rows)) < revised_share).astype(np.int32)
    again = due[early]
    due[early] += random.integers(*_REVISION_DELAYS_NS, len(early))
    return (
        np.concatenate([due, again]),
        np.concatenate([source, np.full(len(early), _EARLY_MINUTE, np.uint8)]),
        np.concatenate([row, early]),
    )
