"""What a backfill is going to fetch: the missing days of each symbol and dataset.

A plan holds runs of days and not the days, so thousands of symbols times years are some megabytes;
its units of work are made one at a time, while it is carried out.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive.backfilling.work import BarsWork, TicksWork
from tsstore_massive.channels import channels_of
from tsstore_massive.datasets import Dataset
from tsstore_massive.symbols import expiry_of, market_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive.backfilling.allowance import Allowance, Refusal
    from tsstore_massive.backfilling.coverage import DayProgress
    from tsstore_massive.backfilling.grouped import GroupedJob
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.config import Config
    from tsstore_massive.schemas import Kind
    from tsstore_massive.symbols import Market


@dataclass(frozen=True)
class Target:
    """What is wanted of every symbol.

    Attributes:
        dataset: which rows.
        first: first day.
        last: last day, included; the day that is under way is fetched up to now.
    """

    dataset: Dataset
    first: date
    last: date


@dataclass(frozen=True)
class Refused:
    """Days that the plan of the key does not include, so that they are not asked for.

    Attributes:
        dataset: which rows.
        symbol: as the vendor spells it.
        days: market days, datetime64[D], ascending.
        refusal: how that is known.
        day_before: the market day before them, if the plan has one.
        symbol_count: how many symbols they are refused of.
    """

    dataset: Dataset
    symbol: str
    days: NDArray[np.datetime64]
    refusal: Refusal
    day_before: np.datetime64 | None = None
    symbol_count: int = 1

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.dataset.window(self.days[0].item(), self.days[-1].item())

    @property
    def day_count(self) -> int:
        """Symbol-days in it."""
        return len(self.days) * self.symbol_count


@dataclass(frozen=True)
class Job:
    """The missing days of one symbol and dataset.

    Attributes:
        dataset: which rows.
        symbol: as the vendor spells it.
        calendar: all market days of the target, datetime64[D], shared by the jobs of it.
        runs: where runs of missing days begin in `calendar` and where the days after them are,
            int32 of shape (runs, 2), ascending.
        begun: how far days got of which a part is stored, by their place in `calendar`.
        rows_per_day: of days that were fetched before; None when there are none.
    """

    dataset: Dataset
    symbol: str
    calendar: NDArray[np.datetime64]
    runs: NDArray[np.int32]
    begun: Mapping[int, DayProgress] = field(default_factory=dict)
    rows_per_day: float | None = None

    @staticmethod
    def whole(dataset: Dataset, symbol: str, days: NDArray[np.datetime64]) -> Job:
        """The job that fetches all of these days."""
        return Job(dataset, symbol, days, np.array([[0, len(days)]], np.int32))

    @property
    def day_count(self) -> int:
        """Missing days."""
        return int((self.runs[:, 1] - self.runs[:, 0]).sum())

    @property
    def first(self) -> date:
        """The first missing day."""
        day: date = self.calendar[self.runs[0, 0]].item()
        return day

    @property
    def last(self) -> date:
        """The last missing day."""
        day: date = self.calendar[self.runs[-1, 1] - 1].item()
        return day

    def since(self, at: int) -> Job:
        """The missing days from a place in the calendar on."""
        runs = np.maximum(self.runs, at)
        return replace(self, runs=runs[runs[:, 0] < runs[:, 1]])

    def work(self, allowance: Allowance) -> Iterator[Work | Refused]:
        """Units of work in order of time; what is known to be refused is none."""
        step = self.dataset.days_per_request
        for start, stop in self.runs.tolist():
            at = start
            while at < stop:
                count, refusal = allowance.verdict(
                    str(self.dataset), self.symbol, self.calendar[at:stop]
                )
                if refusal is None:
                    count = min(step, count)
                    yield self._unit(at, count)
                else:
                    days = self.calendar[at : at + count]
                    yield Refused(self.dataset, self.symbol, days, refusal, self._before(at))
                at += count

    def _unit(self, at: int, count: int) -> Work:
        days, before = self.calendar[at : at + count], self._before(at)
        if self.dataset.kind == "bars":
            return BarsWork(self.dataset, self.symbol, days, before)
        return TicksWork(self.dataset, self.symbol, days, self.begun.get(at), before)

    def _before(self, at: int) -> np.datetime64 | None:
        return self.calendar[at - 1] if at else None


@dataclass(frozen=True)
class Plan:
    """What a run is going to fetch.

    Attributes:
        jobs: the missing days by symbol and dataset, or by market.
        covered_days: symbol-days that were fetched before and are left out.
        notes: what was chosen where there was a choice, a line each.
    """

    jobs: list[Job | GroupedJob] = field(default_factory=list)
    covered_days: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def total_days(self) -> int:
        """Symbol-days to fetch."""
        return sum(job.day_count for job in self.jobs)

    @property
    def spans(self) -> dict[Dataset, tuple[date, date]]:
        """First and last day that is asked for, by dataset and market."""
        spans: dict[Dataset, tuple[date, date]] = {}
        for job in self.jobs:
            first, last = spans.get(job.dataset, (job.first, job.last))
            spans[job.dataset] = min(first, job.first), max(last, job.last)
        return spans


def by_market(
    target: Target, symbols: Sequence[str]
) -> Iterator[tuple[Target, Market, Sequence[str]]]:
    """A target for the symbols of each market, whose days are not the same.

    Contracts of options have none after the one on which they expire; the target may be left with
    no day, its last one being before its first.
    """
    alike: dict[tuple[Market, date | None], list[str]] = {}
    for symbol in symbols:
        alike.setdefault((market_of(symbol), expiry_of(symbol)), []).append(symbol)
    for (market, expiry), some in alike.items():
        last = min(target.last, expiry or target.last)
        yield replace(target, last=last), market, some


def has_history(market: Market, kind: Kind) -> bool:
    """Whether REST tells such rows of a market."""
    channels = {channel.kind: channel for channel in channels_of(market)}
    return kind in channels and channels[kind].has_history


def calls_of(job: Job) -> int:
    """Units of work of a job, each of which is at least one request."""
    days = job.runs[:, 1] - job.runs[:, 0]
    return int((-(-days // job.dataset.days_per_request)).sum())


def runs_of(wanted: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Where runs of True begin and where they are over, int32 of shape (runs, 2)."""
    edges = np.diff(wanted.astype(np.int8), prepend=0, append=0)
    return np.flatnonzero(edges).astype(np.int32).reshape(-1, 2)


def targets(config: Config, last: date) -> list[Target]:
    """What `query_start` of the worker's options asks for, up to a day.

    Raises:
        ConfigError: bars of a length that the vendor does not make.
    """
    wanted = (Target(dataset, first, last) for dataset, first in config.starts.items())
    kinds = {Dataset.of_stream(kind).kind for kind in config.data_types}
    return [target for target in wanted if target.dataset.kind in kinds]
