"""From stretches that changed to bars in the store, and the position up to which that is done."""

from __future__ import annotations

import contextlib
import hashlib
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from tsstore.api import Write
from tsstore.errors import NotFoundError
from tsstore.schema import Schema
from tsstore.times import MAX_NS, MIN_NS
from tsstore.usmarket import NEW_YORK
from tsstore.zones import NS_PER_DAY
from tsstore_ondiskagg.hours import MarketHours
from tsstore_ondiskagg.options import OnDiskAggConfig
from tsstore_ondiskagg.plan import plan
from tsstore_ondiskagg.refresh import Job, Refresher
from tsstore_ondiskagg.writing import BarWriter

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from tsstore.plugin import ChangeEvent, TriggerContext
    from tsstore_ondiskagg.plan import Level

_POSITION = Schema.of({"Position": "i8"})
_EVERYTHING = ((MIN_NS, MAX_NS),)
_LONG_NS = 7 * NS_PER_DAY


class Trigger:
    """Keeps the destinations up to date."""

    Config = OnDiskAggConfig

    def __init__(self, context: TriggerContext, config: OnDiskAggConfig) -> None:
        self._store = context.store
        self._logger = context.logger
        self._status = context.status
        self._timezone = context.timezone
        self._destinations = tuple(config.timeframes)
        hours = self._market_hours(config)
        self._filtered = hours is not None
        self._refresher = Refresher(context.store, context.timezone, hours, context.logger)
        self._writer = BarWriter(context.store, context.logger)
        self._looked_for: dict[str, frozenset[str]] = {}
        self._written = 0
        self._kept = 0
        self._plan = lru_cache(maxsize=1024)(self._plan_of)
        # Another configuration has other bars to make, and so begins at the beginning.
        text = f"{context.name} {context.timezone} {config.filter} {self._destinations}"
        digest = hashlib.sha256(text.encode()).hexdigest()[:12]
        self._position_key = f"_ondiskagg/24H/{digest}_POSITION"

    def position(self) -> int:
        """The commit up to which all destinations are up to date; 0 at the very first start."""
        try:
            rows = self._store.read(self._position_key, limit=1)
        except NotFoundError:
            return 0
        self._kept = int(rows["Position"][-1]) if len(rows) else 0
        return self._kept

    def changed(self, event: ChangeEvent) -> None:
        """Write the bars of all windows in which rows changed."""
        keys = frozenset(self._store.list()) if event.stretches else frozenset()
        self._writer.forget_destroyed(keys)
        self._refresher.forget_destroyed(keys)
        looked_for: dict[str, frozenset[str]] = {}
        for group, jobs in self._jobs(event, keys, looked_for).items():
            for level in self._plan(group):
                self._written += self._writer.write(self._refresher.bars(level, jobs))
        self._looked_for |= looked_for
        if event.position is not None:
            self._keep(event.position)
        self._status.update(
            written_bars=self._written,
            refused_bars=self._writer.refused,
            unreadable=self._refresher.unreadable,
        )

    def close(self) -> None:
        """Nothing is under way between two calls."""

    def _market_hours(self, config: OnDiskAggConfig) -> MarketHours | None:
        if config.filter != "nasdaq":
            return None
        if self._timezone == NEW_YORK:
            return MarketHours()
        self._logger.warning(
            "`filter: nasdaq` is passed over: a day of %s is no market day; set "
            "`timezone: %s` in mkts.yml",
            self._timezone, NEW_YORK,
        )  # fmt: skip
        return None

    def _plan_of(self, group: str) -> tuple[Level, ...]:
        return plan(group, self._destinations, self._timezone, filtered=self._filtered)

    def _keep(self, position: int) -> None:
        if position <= self._kept + 1:
            return  # the one commit since then is the one that kept the last
        row = {"Epoch": np.zeros(1, np.int64), "Position": np.array([position], np.int64)}
        self._store.commit([Write(self._position_key, row, _POSITION)])
        self._kept = position

    def _jobs(
        self, event: ChangeEvent, keys: frozenset[str], looked_for: dict[str, frozenset[str]]
    ) -> dict[str, list[Job]]:
        """What is to be done, by timeframe and attribute group of the rows that changed.

        A destination that is not there, or was destroyed, is made from all of history, once: some
        never come to be, such as the market days of what trades on Sundays alone.
        """
        jobs: dict[str, list[Job]] = {}
        for key, stretches in event.stretches.items():
            symbol, _, group = key.partition("/")
            made = [f"{symbol}/{step.group}" for lv in self._plan(group) for step in lv.steps]
            if not made:
                continue
            lacking = frozenset(made) - keys
            is_news = not lacking <= self._looked_for.get(key, frozenset())
            looked_for[key] = lacking
            parts = self._within([key, *made], _EVERYTHING if is_news else stretches)
            removed = key in event.removed
            jobs.setdefault(group, []).extend(
                Job(symbol, first, last, removed) for first, last in parts
            )
        return jobs

    def _within(
        self, keys: list[str], stretches: Sequence[tuple[int, int]]
    ) -> Iterator[tuple[int, int]]:
        """The stretches; long ones, whose ends may be anywhere, cut to the rows of the buckets."""
        low, high = MIN_NS, MAX_NS
        if any(last - first > _LONG_NS for first, last in stretches):
            low, high = self._ends(keys)
        for first, last in stretches:
            if max(first, low) <= min(last, high):
                yield max(first, low), min(last, high)

    def _ends(self, keys: list[str]) -> tuple[int, int]:
        """First and last instant of several buckets together."""
        low, high = MAX_NS, MIN_NS
        for key in keys:
            with contextlib.suppress(NotFoundError):
                info = self._store.info(key)
                if info.first_ns is not None and info.last_ns is not None:
                    low, high = min(low, info.first_ns), max(high, info.last_ns)
        return low, high
