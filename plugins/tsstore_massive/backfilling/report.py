"""What a backfill has done, and what is missing and why."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from tsstore.key import is_pattern
from tsstore_massive.rest.traffic import Counts
from tsstore_massive.texts import day_range
from tsstore_massive.tradingdays import day_in

if TYPE_CHECKING:
    from collections.abc import Iterable

    import numpy as np

    from tsstore_massive.backfilling.allowance import Reason
    from tsstore_massive.datasets import Dataset

#: Gaps that are kept one by one; further ones are only counted. Those of neighbouring days are one.
GAPS_MAX = 20_000


@dataclass(frozen=True)
class Gap:
    """Rows that could not be fetched.

    Attributes:
        symbol: as the vendor spells it.
        dataset: which rows.
        start_ns: first instant that is missing.
        end_ns: last instant that is missing.
        reason: why, in one line.
        refused: what the plan of the key excludes; None when it failed, so that the next try may
            succeed.
        days: market days in it.
        is_misfit: whether the bucket holds other columns, so that somebody has to see to it.
    """

    symbol: str
    dataset: Dataset
    start_ns: int
    end_ns: int
    reason: str
    refused: Reason | None = None
    days: int = 1
    is_misfit: bool = False

    @property
    def entitled(self) -> bool:
        """False when the plan does not include the range, so that trying again cannot help."""
        return self.refused is None

    def __str__(self) -> str:
        first, last = day_in(self.dataset, self.start_ns), day_in(self.dataset, self.end_ns)
        return f"{self.symbol} {self.dataset} of {day_range(first, last)}: {self.reason}"


@dataclass(frozen=True)
class Progress:
    """How far a run is.

    Attributes:
        days: symbol-days that were dealt with, failed ones included.
        total_days: symbol-days of the plan.
        rows: rows stored.
        failed_days: symbol-days that failed, or that the plan of the key does not include.
        empty_days: symbol-days of which the vendor has no rows.
    """

    days: int
    total_days: int
    rows: int = 0
    failed_days: int = 0
    empty_days: int = 0


@dataclass(frozen=True)
class Report:
    """What a run did.

    Attributes:
        progress: the last state.
        gaps: what could not be fetched, by symbol, dataset and time.
        stopped: whether the run was told to stop before its end.
        more_gaps: gaps beyond those of `gaps`.
        traffic: what was asked of the vendor.
        seconds: how long it took.
        empty_symbols: of which every unit came and had no rows, sorted; day bars that come for a
            whole market at once do not tell, see `Backfiller.without_rows`.
    """

    progress: Progress
    gaps: tuple[Gap, ...]
    stopped: bool
    more_gaps: int = 0
    traffic: Counts = field(default_factory=Counts)
    seconds: float = 0.0
    empty_symbols: tuple[str, ...] = ()


class GapList:
    """Gaps of a run: neighbouring ones of one kind are put together, and many are only counted."""

    def __init__(self) -> None:
        self._gaps: list[_Stretch] = []
        self._last: dict[tuple[str, Dataset, str], int] = {}
        self.left_out = 0

    def add(
        self, gap: Gap, last_day: np.datetime64 | None, day_before: np.datetime64 | None
    ) -> None:
        """Add a gap.

        Args:
            gap: what is missing.
            last_day: its last market day.
            day_before: the market day before it, if it is known.
        """
        key = (gap.symbol, gap.dataset, gap.reason)
        stretch, at = _Stretch(gap, day_before, last_day), self._last.get(key)
        if at is not None and self._gaps[at].goes_on_with(stretch):
            self._gaps[at] = self._gaps[at].joined(stretch)
        elif len(self._gaps) < GAPS_MAX:
            self._last[key] = len(self._gaps)
            self._gaps.append(stretch)
        else:
            self.left_out += 1

    def sorted(self) -> tuple[Gap, ...]:
        """The gaps by symbol, dataset and time; in which order they came makes no difference."""
        found: list[_Stretch] = []
        for stretch in sorted(self._gaps, key=lambda stretch: _place(stretch.gap)):
            if found and found[-1].goes_on_with(stretch):
                found[-1] = found[-1].joined(stretch)
            else:
                found.append(stretch)
        return tuple(stretch.gap for stretch in found)


class _Stretch(NamedTuple):
    """A gap between market days."""

    gap: Gap
    day_before: np.datetime64 | None
    last_day: np.datetime64 | None

    def goes_on_with(self, other: _Stretch) -> bool:
        mine, its = self.gap, other.gap
        is_alike = (mine.symbol, mine.dataset, mine.reason) == (its.symbol, its.dataset, its.reason)
        return is_alike and self.last_day is not None and self.last_day == other.day_before

    def joined(self, other: _Stretch) -> _Stretch:
        gap = replace(self.gap, end_ns=other.gap.end_ns, days=self.gap.days + other.gap.days)
        return _Stretch(gap, self.day_before, other.last_day)


class Outcomes:
    """Which symbols had no rows in any unit of a run."""

    def __init__(self) -> None:
        self._empty: set[str] = set()
        self._other: set[str] = set()

    def add(self, symbol: str, *, is_empty: bool) -> None:
        """A unit of a symbol is over; one of a whole market says nothing of a symbol."""
        if not is_pattern(symbol):
            (self._empty if is_empty else self._other).add(symbol)

    def empty(self) -> tuple[str, ...]:
        """The symbols of which every unit came without rows, sorted."""
        return tuple(sorted(self._empty - self._other))


def _place(gap: Gap) -> tuple[str, str, int]:
    return gap.symbol, str(gap.dataset), gap.start_ns


def count_days(gaps: Iterable[Gap]) -> int:
    """Symbol-days of some gaps."""
    return sum(gap.days for gap in gaps)
