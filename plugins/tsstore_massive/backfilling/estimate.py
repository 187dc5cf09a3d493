"""What a backfill would cost: requests, bytes, rows, disk and time, before anything is fetched.

Requests for bars are counted from the plan, so they are exact when a page holds 50,000 rows. How
many ticks a day has is only known once it is fetched. It is taken from days of the same symbol that
were fetched before, else from the trades that its day bars count, which the store has or one
request for a day of the market tells, else from an average; each estimate says which.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

import numpy as np

from tsstore.errors import NotFoundError
from tsstore_massive.backfilling.grouped import EVERY_SYMBOL, GroupedJob
from tsstore_massive.backfilling.plan import calls_of
from tsstore_massive.errors import MassiveError
from tsstore_massive.texts import counted
from tsstore_massive.tradingdays import day_in, trading_days

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.backfilling.plan import Job, Plan
    from tsstore_massive.datasets import Dataset
    from tsstore_massive.rest import RestClient
    from tsstore_massive.rest.marketdata import GroupedMarket

#: Quotes for each trade of a stock: 4 x 10^8 and 10^8 in a session.
_QUOTES_PER_TRADE = 4.0
#: Ticks of a symbol and day of which nothing is known: the averages of all US stocks.
_TICKS_PER_DAY = {"trades": 8_000.0, "quotes": 33_000.0}
#: Minutes of a symbol and day, of which half have a trade.
_BARS_PER_DAY = {"Sec": 4_000.0, "Min": 300.0, "H": 8.0, "D": 1.0, "W": 0.2, "M": 0.05, "Y": 0.004}
#: Bytes of a row: as it comes (JSON, zipped), and packed on the disk.
_WIRE_BYTES = {"bars": 32.0, "trades": 42.0, "quotes": 40.0}
_DISK_BYTES = {"bars": 6.0, "trades": 8.0, "quotes": 8.0}
_ANSWER_BYTES = 250.0
#: Of one request and its answer, and rows that a core takes in.
_CALL_S = 0.25
_ROWS_PER_S = 300_000.0
#: Trading days before now whose day bars are surely there.
_SETTLED_DAYS = 2
_STORED_DAYS = 5


@dataclass(frozen=True)
class Estimate:
    """What one dataset would cost.

    Attributes:
        dataset: which rows.
        symbol_days: missing days of all symbols.
        calls: requests.
        rows: to be stored.
        basis: where the number of rows is from.
        is_exact: whether that is how many requests there will be.
    """

    dataset: Dataset
    symbol_days: int
    calls: int
    rows: float
    basis: str
    is_exact: bool

    @property
    def wire_bytes(self) -> float:
        """To be received."""
        return self.calls * _ANSWER_BYTES + self.rows * _WIRE_BYTES[self.dataset.kind]

    @property
    def disk_bytes(self) -> float:
        """Once it is packed."""
        return self.rows * _DISK_BYTES[self.dataset.kind]


@dataclass
class _Sum:
    days: int = 0
    calls: int = 0
    rows: float = 0.0
    bases: dict[str, int] = field(default_factory=lambda: defaultdict(int))


def seconds_of(
    estimates: Iterable[Estimate],
    per_minute: int,
    parallelism: int,
    per_day: int | None = None,
) -> float:
    """How long it takes: as long as the plan's pace, the answers, or storing, whichever is longest.

    Args:
        estimates: of all that is to be fetched.
        per_minute: requests that the plan allows.
        parallelism: requests under way at a time.
        per_day: requests that the plan allows in a day; None for any number.
    """
    each = list(estimates)
    calls, rows = sum(e.calls for e in each), sum(e.rows for e in each)
    paced = max(0, -(-calls // per_minute) - 1) * 60.0
    if per_day is not None:
        paced = max(paced, max(0, -(-calls // per_day) - 1) * 86_400.0)
    return max(paced, calls * _CALL_S / parallelism, rows / _ROWS_PER_S)


class Estimator:
    """Estimates plans.

    Args:
        store: what is there already tells most.
        rest: asked for one day of the market at most; None to ask nothing.
        clock: tells which day is over.
        page_rows: rows of a page.
    """

    def __init__(
        self, store: StoreApi, rest: RestClient | None, *, clock: Clock, page_rows: int
    ) -> None:
        self._store = store
        self._rest = rest
        self._clock = clock
        self._page_rows = page_rows
        self._trades: dict[str, float] = {}
        self._basis: dict[str, str] = {}

    def estimate(self, plan: Plan) -> list[Estimate]:
        """What a plan would cost, by dataset and market."""
        sums: dict[Dataset, _Sum] = defaultdict(_Sum)
        ticks: dict[Dataset, list[Job]] = defaultdict(list)
        for job in plan.jobs:
            if isinstance(job, GroupedJob):
                self._grouped(sums[job.dataset], job)
            elif job.dataset.kind == "bars":
                self._bars(sums[job.dataset], job)
            else:
                ticks[job.dataset].append(job)
        for dataset, jobs in ticks.items():
            self._ticks(sums[dataset], dataset, jobs)
        return [self._made(dataset, total) for dataset, total in sums.items()]

    def _made(self, dataset: Dataset, total: _Sum) -> Estimate:
        basis = ", ".join(
            f"{what} ({counted(count, 'symbol')})" for what, count in total.bases.items()
        )
        is_exact = dataset.kind == "bars" and self._pages(dataset) == 1
        return Estimate(dataset, total.days, total.calls, total.rows, basis, is_exact)

    def _pages(self, dataset: Dataset) -> int:
        """Pages of one unit of bars, at most."""
        return -(-dataset.base_bars_per_request // self._page_rows)

    @staticmethod
    def _grouped(total: _Sum, job: GroupedJob) -> None:
        total.days += job.day_count
        total.calls += len(job.days)
        total.rows += job.day_count
        total.bases["a bar a day"] += len(job.jobs)

    def _bars(self, total: _Sum, job: Job) -> None:
        per_day, basis = job.rows_per_day, "days fetched before"
        if per_day is None:
            per_day, basis = _BARS_PER_DAY[job.dataset.timeframe.unit], "an average"
            per_day /= job.dataset.timeframe.count
        calls = calls_of(job) * self._pages(job.dataset)
        self._add(total, job.day_count, calls, job.day_count * per_day, basis)

    def _ticks(self, total: _Sum, dataset: Dataset, jobs: Sequence[Job]) -> None:
        unknown = [job.symbol for job in jobs if job.rows_per_day is None]
        self._look_up(dataset, unknown)
        factor = _QUOTES_PER_TRADE if dataset.kind == "quotes" else 1.0
        for job in jobs:
            per_day, basis = job.rows_per_day, "days fetched before"
            if per_day is None and job.symbol in self._trades:
                per_day, basis = self._trades[job.symbol] * factor, self._basis[job.symbol]
            elif per_day is None:
                per_day, basis = _TICKS_PER_DAY[dataset.kind], "an average"
            calls = job.day_count * max(1, int(np.ceil(per_day / self._page_rows)))
            self._add(total, job.day_count, calls, job.day_count * per_day, basis)

    @staticmethod
    def _add(total: _Sum, days: int, calls: int, rows: float, basis: str) -> None:
        total.days += days
        total.calls += calls
        total.rows += rows
        total.bases[basis] += 1

    def _look_up(self, dataset: Dataset, symbols: Sequence[str]) -> None:
        """Learn how many trades a day of each symbol has."""
        missing = [symbol for symbol in symbols if symbol not in self._trades]
        for symbol, trades in _stored_trades(self._store, missing).items():
            self._trades[symbol], self._basis[symbol] = trades, "stored day bars"
        missing = [symbol for symbol in missing if symbol not in self._trades]
        if missing and self._rest is not None and dataset.market in EVERY_SYMBOL:
            for symbol, trades in self._asked_trades(dataset).items():
                self._trades.setdefault(symbol, trades)
                self._basis.setdefault(symbol, "one day of the market")

    def _asked_trades(self, dataset: Dataset) -> Mapping[str, float]:
        rest, self._rest = self._rest, None  # once is enough
        today = np.datetime64(day_in(dataset, self._clock.now_ns()), "D")
        ago = [(today - back).item() for back in (14, _SETTLED_DAYS)]
        days = trading_days(dataset.market, *ago)
        if rest is None or not len(days):
            return {}
        try:
            table = rest.grouped_daily(
                days[-1].item(), market=cast("GroupedMarket", dataset.market), adjusted=False
            )
        except MassiveError:
            return {}
        if table is None:
            return {}
        counts: NDArray[np.float64] = np.nan_to_num(np.asarray(table["TradeCount"], np.float64))
        return dict(zip(table["Symbol"], counts.tolist(), strict=True))


def _stored_trades(store: StoreApi, symbols: Sequence[str]) -> dict[str, float]:
    """Trades a day by the last day bars of symbols that have some."""
    known = {key.partition("/")[0] for key in store.list("*/1D/OHLCV")}.intersection(symbols)
    if not known:
        return {}
    try:
        rows = store.read(sorted(known), "1D/OHLCV", columns=["TradeCount"], limit=_STORED_DAYS)
    except NotFoundError:
        return {}
    means = {key.partition("/")[0]: np.mean(columns["TradeCount"]) for key, columns in rows.items()}
    return {symbol: float(mean) for symbol, mean in means.items() if np.isfinite(mean)}
