"""Where the days come from of which there is no file yet: from REST, until there is one.

Such a day is not written down as loaded, so its file is loaded as soon as there is one.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from tsstore.errors import InvalidArgumentError
from tsstore_massive.backfill import Backfiller, Target
from tsstore_massive.datasets import Dataset

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.config import Config
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.selection import Selection
    from tsstore_massive.flatfiles.sync import Missing
    from tsstore_massive.rest import RestClient

_DATASETS = {"minute_aggs": "1Min", "day_aggs": "1D", "trades": "trades", "quotes": "quotes"}
#: Markets whose tickers REST spells as the files do, and that are open when the exchanges are.
_MARKETS = frozenset({"stocks", "options", "indices"})


@dataclass(frozen=True)
class Filled:
    """What a fallback gave.

    Attributes:
        rows: stored rows.
        gaps: what it could not give, a line each.
    """

    rows: int
    gaps: list[str]


class Fallback(Protocol):
    """A source of days that have no file yet."""

    def check(self, flat: FlatSet) -> None:
        """Refuse a data set that this source does not have. Raises InvalidArgumentError."""
        ...

    def fill(self, missing: Sequence[Missing], selection: Selection) -> Filled:
        """Store what is wanted of those days, as their files would have it.

        Raises:
            TsStoreError: the source cannot be used at all, or the store refused.
        """
        ...


class RestFallback:
    """Days from the vendor's REST service, symbol by symbol.

    The symbols are those that the selection names, and those of the store that match its patterns.

    Args:
        store: where the rows go.
        rest: the vendor.
        config: how many requests at a time.
        clock: the source of time.
        stop: ends it soon after it is set.
        timezone: of the store.
    """

    def __init__(
        self,
        store: StoreApi,
        rest: RestClient,
        config: Config,
        *,
        clock: Clock,
        stop: threading.Event,
        timezone: str,
    ) -> None:
        self._store = store
        self._backfiller = Backfiller(
            store,
            rest,
            clock=clock,
            stop=stop,
            adjusted=False,  # as files are
            parallelism=config.backfill_parallelism,
            timezone=timezone,
        )

    def check(self, flat: FlatSet) -> None:
        """See `Fallback`."""
        if flat.market not in _MARKETS or flat.name not in _DATASETS:
            raise InvalidArgumentError(
                f"--fallback rest does not have {flat}; leave it out, or fetch them by themselves"
            )

    def fill(self, missing: Sequence[Missing], selection: Selection) -> Filled:
        """See `Fallback`."""
        rows, gaps = 0, list[str]()
        for flat in sorted({each.flat for each in missing}, key=str):
            symbols = self._symbols(flat, selection)
            dataset = Dataset.parse(_DATASETS[flat.name])
            days = [each.day for each in missing if each.flat == flat]
            targets = [Target(dataset, day, day) for day in days]
            report = self._backfiller.run(self._backfiller.plan(targets, symbols))
            rows += report.progress.rows
            gaps += map(str, report.gaps)
        return Filled(rows, gaps)

    def _symbols(self, flat: FlatSet, selection: Selection) -> list[str]:
        stored = (key.partition("/")[0] for key in self._store.list(f"*/{flat.group}"))
        return sorted({*selection.names, *(symbol for symbol in stored if symbol in selection)})
