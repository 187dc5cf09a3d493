"""Where the days come from of which there is no file yet: from REST, or from somebody else.

`--fallback` names a source: `rest`, `yfinance`, an entry point of the group `tsstore.fallbacks`, or
`package.module:factory`. A factory is given a `Context` and makes a `Fallback` for the length of a
`with`. Such days are not written down as loaded, so a file takes their place once it is there. What
is left then of bars that are not the vendor's, `strangers.py` says.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, TypeAlias

from tsstore.errors import InvalidArgumentError
from tsstore_massive.backfilling.backfill import Backfiller, Target
from tsstore_massive.datasets import Dataset
from tsstore_massive.flatfiles.selection import Selection, symbols_of
from tsstore_massive.rest import Limits, RestClient
from tsstore_massive.rest.rate import limiter_for

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager

    from tsstore.client import RemoteStore
    from tsstore.clock import Clock
    from tsstore.store import Store
    from tsstore_massive.config import Config
    from tsstore_massive.flatfiles.catalogue import FlatSet
    from tsstore_massive.flatfiles.planning import Missing

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


@dataclass(frozen=True)
class Context:
    """What a source is made with.

    Attributes:
        store: where the rows go.
        config: of the Massive worker.
        clock: the source of time.
        stop: ends it soon after it is set.
    """

    store: Store | RemoteStore
    config: Config
    clock: Clock
    stop: threading.Event


#: Makes a source for the length of a `with`.
Factory: TypeAlias = "Callable[[Context], AbstractContextManager[Fallback]]"


@contextmanager
def rest(context: Context) -> Iterator[RestFallback]:
    """The vendor's REST service, for `--fallback rest`.

    Raises:
        ConfigError: there is no API key.
    """
    config = context.config
    key = config.resolve_key()
    with RestClient(
        config.base_url,
        key,
        clock=context.clock,
        limiter=limiter_for(config, key, context.clock),
        stop=context.stop,
        limits=Limits(page_rows=config.backfill_batch_size),
    ) as client:
        yield RestFallback(context, client)


class RestFallback:
    """Days from the vendor's REST service, symbol by symbol.

    The symbols are those that the selection names, and those of the store that match its patterns.

    Args:
        context: store, options and time.
        client: the vendor.
    """

    def __init__(self, context: Context, client: RestClient) -> None:
        config = context.config
        self._store = context.store
        self._backfiller = Backfiller(
            context.store,
            client,
            clock=context.clock,
            stop=context.stop,
            adjusted=False,  # as files are
            parallelism=config.backfill_parallelism,
            timezone=context.store.timezone,
            requests_per_minute=config.requests_per_minute,
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
            symbols = symbols_of(self._store, flat, selection)
            dataset = Dataset.parse(_DATASETS[flat.name])
            days = [each.day for each in missing if each.flat == flat]
            targets = [Target(dataset, day, day) for day in days]
            report = self._backfiller.run(self._backfiller.plan(targets, symbols))
            rows += report.progress.rows
            gaps += map(str, report.gaps)
        return Filled(rows, gaps)
