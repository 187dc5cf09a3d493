"""Day bars of a whole market by one request a day, where that is fewer than one for each symbol.

The answer for a day (`grouped daily`) has the same bars as the day bars of each ticker. So a year
of ten thousand symbols is 252 requests in place of ten thousand, and the last day is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from tsstore_massive.backfilling.plan import Job, Refused, calls_of
from tsstore_massive.symbols import market_of
from tsstore_massive.texts import counted

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive.backfilling.allowance import Allowance
    from tsstore_massive.backfilling.work import Work
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.rest.marketdata import GroupedMarket
    from tsstore_massive.symbols import Market

#: What a refusal of such requests is written down under: they are another thing in the plan.
PLACE = "grouped daily"
#: Every symbol, for what is said of a market as a whole, by market.
EVERY_SYMBOL: Mapping[str, str] = {"stocks": "*", "forex": "C:*", "crypto": "X:*"}
_GROUPED: Mapping[str, GroupedMarket] = {"*": "stocks", "C:*": "forex", "X:*": "crypto"}


@dataclass(frozen=True)
class GroupedWork:
    """Day bars of some symbols of one market and day, one request.

    Attributes:
        dataset: day bars.
        symbol: every symbol of the market, for reports.
        symbols: those that are wanted, str array.
        days: the market day, datetime64[D], of length 1.
        day_before: the market day before it, if the plan has one.
    """

    dataset: Dataset
    symbol: str
    symbols: NDArray[np.str_]
    days: NDArray[np.datetime64]
    day_before: np.datetime64 | None = None

    place = PLACE

    @property
    def market(self) -> GroupedMarket:
        """The market of all of them."""
        return _GROUPED[self.symbol]

    @property
    def day_count(self) -> int:
        """Symbol-days in it."""
        return len(self.symbols)

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.dataset.window(self.days[0].item(), self.days[-1].item())


@dataclass(frozen=True)
class GroupedJob:
    """Days of a market, each of them missing for some symbols.

    Attributes:
        dataset: day bars.
        jobs: the missing days of each symbol, all with the same calendar.
    """

    dataset: Dataset
    jobs: Sequence[Job]

    @staticmethod
    def again(work: GroupedWork) -> GroupedJob:
        """The job that does a unit once more."""
        jobs = [Job.whole(work.dataset, str(symbol), work.days) for symbol in work.symbols]
        return GroupedJob(work.dataset, jobs)

    @property
    def day_count(self) -> int:
        """Missing symbol-days."""
        return sum(job.day_count for job in self.jobs)

    @property
    def first(self) -> date:
        """The first missing day."""
        return min(job.first for job in self.jobs)

    @property
    def last(self) -> date:
        """The last missing day."""
        return max(job.last for job in self.jobs)

    @property
    def symbol(self) -> str:
        """Every symbol of the market, for reports."""
        return EVERY_SYMBOL[market_of(self.jobs[0].symbol)]

    @property
    def calendar(self) -> NDArray[np.datetime64]:
        """All market days of the target, datetime64[D]."""
        return self.jobs[0].calendar

    @cached_property
    def days(self) -> NDArray[np.intp]:
        """Places in the calendar of days that some symbol misses, ascending."""
        return np.flatnonzero(_union(self.jobs))

    def work(self, allowance: Allowance) -> Iterator[Work | Refused]:
        """Units of work in order of time; symbol by symbol if the plan has no grouped bars."""
        symbols = np.array([job.symbol for job in self.jobs])
        owners = np.repeat(np.arange(len(self.jobs)), [len(job.runs) for job in self.jobs])
        runs = np.concatenate([job.runs for job in self.jobs])
        for at in self.days.tolist():
            days, before = self.calendar[at : at + 1], self.calendar[at - 1] if at else None
            _, refusal = allowance.verdict(PLACE, self.symbol, days)
            if refusal is not None and refusal.reason == "entitlement":
                for job in self.jobs:
                    yield from job.since(at).work(allowance)
                return
            wanted = symbols[owners[(runs[:, 0] <= at) & (at < runs[:, 1])]]
            if refusal is None:
                yield GroupedWork(self.dataset, self.symbol, wanted, days, before)
            else:
                yield Refused(self.dataset, self.symbol, days, refusal, before, len(wanted))


def fewest_calls(jobs: list[Job], market: Market) -> tuple[list[Job | GroupedJob], list[str]]:
    """The jobs of one market with the fewest requests, and what was chosen, in a line if anything.

    Symbols that miss the most are fetched by themselves, the others together, day by day: how many
    of each is tried out.
    """
    if market not in EVERY_SYMBOL or len(jobs) < 2:
        return [*jobs], []
    grouped, single = _divided(jobs)
    if grouped is None:
        return [*jobs], []
    return [grouped, *single], [_note(market, grouped, jobs, single)]


def _divided(jobs: list[Job]) -> tuple[GroupedJob | None, list[Job]]:
    """Which jobs to do together, and which by themselves."""
    jobs = sorted(jobs, key=lambda job: job.day_count)
    calls = np.array([calls_of(job) for job in jobs])
    singly = np.concatenate((np.cumsum(calls[::-1])[::-1], [0]))
    together = np.concatenate(([0], _union_sizes(jobs)))
    best = int(np.argmin(singly + together))
    if not best:
        return None, jobs
    return GroupedJob(jobs[0].dataset, jobs[:best]), jobs[best:]


def _union_sizes(jobs: Sequence[Job]) -> NDArray[np.int64]:
    """Days that at least one of the first 1, 2, … jobs misses."""
    seen = np.zeros(len(jobs[0].calendar), np.bool_)
    sizes = np.empty(len(jobs), np.int64)
    for at, job in enumerate(jobs):
        for start, stop in job.runs.tolist():
            seen[start:stop] = True
        sizes[at] = np.count_nonzero(seen)
    return sizes


def _union(jobs: Sequence[Job]) -> NDArray[np.bool_]:
    edges = np.zeros(len(jobs[0].calendar) + 1, np.int64)
    runs = np.concatenate([job.runs for job in jobs])
    np.add.at(edges, runs[:, 0], 1)
    np.add.at(edges, runs[:, 1], -1)
    return np.cumsum(edges[:-1]) > 0


def _note(market: str, grouped: GroupedJob, jobs: list[Job], single: list[Job]) -> str:
    text = (
        f"{grouped.dataset} of {market}: {counted(len(grouped.days), 'request')} for a day of "
        f"the whole market (grouped daily)"
    )
    if single:
        text += f" and {sum(map(calls_of, single)):,} by symbol"
    return f"{text}, where {sum(map(calls_of, jobs)):,} by symbol would do the same"
