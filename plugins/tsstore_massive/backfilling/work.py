"""Units of work of a backfill: some rows of a symbol that are fetched and stored by themselves."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from tsstore_massive.tradingdays import day_in

if TYPE_CHECKING:
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive.backfilling.coverage import DayProgress
    from tsstore_massive.backfilling.grouped import GroupedWork
    from tsstore_massive.datasets import Dataset


@dataclass(frozen=True)
class BarsWork:
    """Bars of some market days, one request or few.

    Attributes:
        dataset: whose bars.
        symbol: as the vendor spells it.
        days: market days, datetime64[D], ascending, none left out between them.
        day_before: the market day before them, if the plan has one.
    """

    dataset: Dataset
    symbol: str
    days: NDArray[np.datetime64]
    day_before: np.datetime64 | None = None

    @property
    def place(self) -> str:
        """What is asked for, see `allowance.py`."""
        return str(self.dataset)

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.dataset.window(self.days[0].item(), self.days[-1].item())

    @property
    def day_count(self) -> int:
        """Market days in it."""
        return len(self.days)


@dataclass(frozen=True)
class TicksWork:
    """Trades or quotes of one market day.

    Attributes:
        dataset: trades or quotes.
        symbol: as the vendor spells it.
        days: the market day, datetime64[D], of length 1.
        progress: how far an earlier run got.
        day_before: the market day before it, if the plan has one.
    """

    dataset: Dataset
    symbol: str
    days: NDArray[np.datetime64]
    progress: DayProgress | None = None
    day_before: np.datetime64 | None = None

    day_count = 1

    @property
    def day(self) -> date:
        """The market day."""
        day: date = self.days[0].item()
        return day

    @property
    def place(self) -> str:
        """What is asked for, see `allowance.py`."""
        return str(self.dataset)

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.dataset.window(self.day, self.day)


@dataclass(frozen=True)
class GapWork:
    """Everything between two instants, while rows may be streaming in at the same time.

    Attributes:
        dataset: what.
        symbol: as the vendor spells it.
        start_ns: first instant.
        end_ns: last instant; over for the vendor, also if this machine's clock is behind.
    """

    dataset: Dataset
    symbol: str
    start_ns: int
    end_ns: int

    day_count = 1
    day_before = None

    @property
    def days(self) -> NDArray[np.datetime64]:
        """The days that it touches, whether the market is open or not."""
        first, last = np.array([day_in(self.dataset, ns) for ns in self.span], "M8[D]")
        return np.arange(first, last + 1)

    @property
    def place(self) -> str:
        """What is asked for, see `allowance.py`."""
        return str(self.dataset)

    @property
    def span(self) -> tuple[int, int]:
        """First and last instant."""
        return self.start_ns, self.end_ns


Work: TypeAlias = "BarsWork | TicksWork | GapWork | GroupedWork"
