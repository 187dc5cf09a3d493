"""Which row is sent when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import msgspec
import numpy as np

from tsstore.key import BucketKey
from tsstore.timeframe import Timeframe
from tsstore.usmarket import NEW_YORK
from tsstore_stream.closes import MarketCloses
from tsstore_stream.rows import Row, message_arrays
from tsstore_stream.shelf import Shelf

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore.columns import Columns
    from tsstore.plugin import TriggerContext, TriggerEvent

_MINUTE_NS = Timeframe(1, "Min").duration_ns
_DAY = Timeframe(1, "D")


class StreamConfig(msgspec.Struct, forbid_unknown_fields=True):
    """Options of the trigger.

    Attributes:
        filter: `nasdaq` sends daily bars when the US market closes instead of at midnight.
    """

    filter: Literal["", "nasdaq"] = ""


class Trigger:
    """Publishes committed rows: at once up to one minute, at the end of the window above."""

    Config = StreamConfig
    runs_on_replicas = True
    publishes = True

    def __init__(self, context: TriggerContext, config: StreamConfig) -> None:
        self._publish = context.publish
        self._timezone = context.timezone
        self._shelf = Shelf(context.clock, context.publish)
        self._closes = self._market_closes(context, config)

    def fire(self, event: TriggerEvent) -> None:
        """Send or shelve the rows of a commit."""
        for key, rows in event.batches.items():
            commits = [None] * len(rows) if event.commits is None else event.commits[key].tolist()
            timeframe = Timeframe.parse(BucketKey.parse(key).timeframe)
            if timeframe.duration_ns <= _MINUTE_NS:
                self._send(key, rows, commits)
            elif len(rows):
                self._shelve(key, rows, commits, timeframe)

    def close(self) -> None:
        """Forget what waits for the end of its window."""
        self._shelf.close()

    def _market_closes(self, context: TriggerContext, config: StreamConfig) -> MarketCloses | None:
        if config.filter != "nasdaq":
            return None
        if context.timezone == NEW_YORK:
            return MarketCloses()
        context.logger.warning(
            "`filter: nasdaq` is passed over: a day of %s is no market day; set "
            "`timezone: %s` in mkts.yml",
            context.timezone, NEW_YORK,
        )  # fmt: skip
        return None

    def _send(self, key: str, rows: Columns, commits: Sequence[int | None]) -> None:
        arrays = message_arrays(rows)
        for index, commit in enumerate(commits):
            self._publish(key, Row(arrays, index), commit=commit)

    def _shelve(
        self, key: str, rows: Columns, commits: Sequence[int | None], timeframe: Timeframe
    ) -> None:
        deadlines = self._deadlines(rows.ts, timeframe)
        arrays = message_arrays(rows)
        is_last = np.append(deadlines[1:] != deadlines[:-1], True)
        for index in np.flatnonzero(is_last).tolist():
            self._shelf.put(key, int(deadlines[index]), Row(arrays, index), commits[index])

    def _deadlines(self, ts: NDArray[np.int64], timeframe: Timeframe) -> NDArray[np.int64]:
        if self._closes is not None and timeframe == _DAY:
            return self._closes.of_days(ts)
        return timeframe.next(ts, self._timezone)
