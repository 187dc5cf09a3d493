"""What the store knows of bars that are not there.

The rows are read for many symbols at once; trades and halts, which are many, only of symbols and
days that lack bars.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from tsstore import tradebars
from tsstore.clock import SystemClock
from tsstore.errors import NotFoundError
from tsstore.zones import NS_PER_DAY
from tsstore_massive.backfilling.allowance import BELIEVED_NS
from tsstore_massive.backfilling.refusals import KEY as REFUSED_KEY
from tsstore_massive.datasets import Dataset
from tsstore_massive.missing import journal, outages
from tsstore_massive.schemas import STREAM_GROUPS
from tsstore_massive.symbols import market_of

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.columns import Columns
    from tsstore.timeframe import Timeframe
    from tsstore_massive.holes.grid import Grid
    from tsstore_massive.schemas import Kind

_SYMBOLS_PER_READ = 200
_HALT, _REOPEN = 17, 18
_INDICATORS = ("Indicator1", "Indicator2", "Indicator3", "Indicator4")
#: Refusals of the day under way end by themselves.
_LASTING = ("entitlement", "timeframe")


@dataclass(frozen=True)
class Held:
    """What the store holds of a symbol; arrays have an element for each expected bar.

    Attributes:
        symbol: as buckets spell it.
        bars: whether the bar is there.
        fetched: whether the vendor's history was asked for it.
        trades_fetched: whether it was asked for the trades of its time.
    """

    symbol: str
    bars: NDArray[np.bool_]
    fetched: NDArray[np.bool_]
    trades_fetched: NDArray[np.bool_]


@dataclass(frozen=True)
class Stretches:
    """Stretches of time, each of one symbol or of a whole market.

    Attributes:
        starts: first instants, int64 nanoseconds since 1970 UTC.
        ends: last instants.
        names: the symbols; empty for the whole market.
        markets: the markets; empty for any.
    """

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    names: NDArray[np.str_]
    markets: NDArray[np.str_]

    def over(self, symbol: str, slots: NDArray[np.int64], step_ns: int) -> NDArray[np.bool_]:
        """Which bars of a symbol they touch."""
        mine = (self.names == symbol) | (
            (self.names == "") & np.isin(self.markets, ["", market_of(symbol)])
        )
        return touched(slots, step_ns, self.starts[mine], self.ends[mine])


class Evidence:
    """Reads what speaks for or against a bar.

    Args:
        store: where.
        grid: the bars that could be there.
        timeframe: theirs.
        account: digest of the key that would fetch them; None if nobody knows, so that what any key
            was refused counts.
    """

    def __init__(
        self, store: StoreApi, grid: Grid, timeframe: Timeframe, account: str | None = None
    ) -> None:
        self._store = store
        self._grid = grid
        self._timeframe = timeframe
        self._account = account
        self._dataset = Dataset("bars", timeframe)
        self._written_down: Stretches | None = None
        self._outages: Stretches | None = None

    def held(self, symbols: Sequence[str]) -> Iterator[Held]:
        """What there is of each symbol, in the order given."""
        grid, trades = self._grid, Dataset.of_stream("trades")
        if not len(grid.slots):
            return
        for at in range(0, len(symbols), _SYMBOLS_PER_READ):
            some = symbols[at : at + _SYMBOLS_PER_READ]
            bars = self._many(some, self._dataset.group, ["Close"])
            fetched = self._many(some, self._dataset.coverage_group, ["Through"])
            told = self._many(some, trades.coverage_group, ["Through"])
            for symbol in some:
                rows = bars.get(symbol)
                yield Held(
                    symbol,
                    grid.holds(np.empty(0, np.int64) if rows is None else rows.ts),
                    self._through(fetched.get(symbol)),
                    self._through(told.get(symbol)),
                )

    def trades_of(
        self, symbol: str, missing: NDArray[np.intp]
    ) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
        """Whether there are stored trades in missing bars, and whether these make a bar."""
        grid = self._grid
        any_trade = np.zeros(len(missing), np.bool_)
        makes_bar = np.zeros(len(missing), np.bool_)
        key = f"{symbol}/{STREAM_GROUPS['trades']}"
        try:
            names = tradebars.input_names(self._store.info(key).schema)
        except NotFoundError:
            return any_trade, makes_bar
        days = grid.days[missing]
        for day in np.unique(days):
            mine = np.flatnonzero(days == day)
            slots = grid.slots[missing[mine]]
            rows = self._store.read(
                key,
                start=np.datetime64(int(slots[0]), "ns"),
                end=np.datetime64(int(slots[-1]) + grid.step_ns - 1, "ns"),
                columns=names,
            )
            traded, barred = windows_of(rows, slots, self._timeframe)
            any_trade[mine], makes_bar[mine] = traded, barred
        return any_trade, makes_bar

    def halted(self, symbol: str, missing: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which missing bars lie between a halt and the reopening, or the end of the day."""
        grid = self._grid
        slots = grid.slots[missing]
        none = np.zeros(len(missing), np.bool_)
        if not len(missing):
            return none
        first_ns = int(slots[0]) - NS_PER_DAY
        try:
            rows = self._store.read(
                f"{symbol}/{STREAM_GROUPS['luld']}",
                start=np.datetime64(first_ns, "ns"),
                end=np.datetime64(int(slots[-1]) + grid.step_ns, "ns"),
                columns=_INDICATORS,
            )
        except NotFoundError:
            return none
        codes = np.stack([rows[name] for name in _INDICATORS])
        halts = (codes == _HALT).any(axis=0)
        turns = halts | (codes == _REOPEN).any(axis=0)
        starts, is_halt = rows.ts[turns], halts[turns]
        ends = np.append(starts[1:] - 1, starts[-1:] + NS_PER_DAY // 2)
        return touched(slots, grid.step_ns, starts[is_halt], ends[is_halt])

    def written_down(self, symbol: str, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """Which bars the worker knows to have missed, and fetches."""
        if self._written_down is None:
            self._written_down = self._read_gaps()
        return self._written_down.over(symbol, slots, self._grid.step_ns)

    def feed_down(self, symbol: str, slots: NDArray[np.int64]) -> NDArray[np.bool_]:
        """During which bars the connection of the market was down."""
        if self._outages is None:
            starts, ends, markets = outages.read(self._store)
            self._outages = Stretches(starts, ends, np.full(len(starts), "", "U1"), markets)
        return self._outages.over(symbol, slots, self._grid.step_ns)

    def refused(self, symbol: str, days: NDArray[np.intp]) -> NDArray[np.bool_]:
        """Which days, given by their places in the calendar, the vendor refused lately."""
        try:
            asked_ns = SystemClock().now_ns() - BELIEVED_NS
            rows = self._store.read(REFUSED_KEY, start=np.datetime64(asked_ns + 1, "ns"))
        except NotFoundError:
            return np.zeros(len(days), np.bool_)
        mine = (
            (rows["What"] == str(self._dataset))
            & (rows["Market"] == market_of(symbol))
            & np.isin(rows["Symbol"], ["", symbol])
            & np.isin(rows["Reason"], _LASTING)
        )
        if self._account is not None:
            mine &= rows["Account"] == self._account
        if not mine.any():
            return np.zeros(len(days), np.bool_)
        if (rows["Reason"][mine] == "entitlement").any():  # learned of some days, and true of all
            return np.ones(len(days), np.bool_)
        last = rows["Day"][mine].max().view("M8[ns]").astype("M8[D]")
        return np.asarray(self._grid.calendar[days] <= last)

    def _many(
        self, symbols: Sequence[str], group: str, columns: Sequence[str]
    ) -> dict[str, Columns]:
        grid = self._grid
        start, end = int(grid.slots[0]) - NS_PER_DAY, int(grid.slots[-1]) + NS_PER_DAY
        try:
            found = self._store.read(
                list(symbols),
                group,
                start=np.datetime64(start, "ns"),
                end=np.datetime64(end, "ns"),
                columns=columns,
            )
        except NotFoundError:
            return {}
        return {key.partition("/")[0]: rows for key, rows in found.items()}

    def _through(self, rows: Columns | None) -> NDArray[np.bool_]:
        """Which bars lie in what a coverage bucket says."""
        grid = self._grid
        through = np.zeros(len(grid.calendar), np.int64)
        if rows is not None and len(rows):
            dates = (rows.ts // NS_PER_DAY).astype("M8[D]")
            at = np.searchsorted(grid.calendar, dates).clip(max=len(grid.calendar) - 1)
            known = grid.calendar[at] == dates
            through[at[known]] = rows["Through"][known]
        return np.asarray(grid.slots + grid.step_ns - 1 <= through[grid.days])

    def _read_gaps(self) -> Stretches:
        kind: Kind = "second_bars" if self._timeframe.unit == "Sec" else "bars"
        starts, ends, names = journal.written_down(self._store, kind)
        return Stretches(starts, ends, names, np.full(len(starts), "", "U1"))


def windows_of(
    trades: Columns, slots: NDArray[np.int64], timeframe: Timeframe
) -> tuple[NDArray[np.bool_], NDArray[np.bool_]]:
    """Whether there are trades in windows, and whether these make a bar.

    Args:
        trades: ascending in time.
        slots: starts of the windows.
        timeframe: their length.
    """
    none = np.zeros(len(slots), np.bool_)
    if not len(trades):
        return none, none.copy()
    low = np.searchsorted(trades.ts, slots)
    high = np.searchsorted(trades.ts, slots + timeframe.duration_ns)
    bars = tradebars.resample(trades, timeframe)
    return high > low, np.isin(slots, bars.ts)


def touched(
    slots: NDArray[np.int64],
    step_ns: int,
    starts: NDArray[np.int64],
    ends: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Which windows overlap any of some stretches, both ends included.

    Args:
        slots: starts of the windows, ascending.
        step_ns: their length.
        starts: of the stretches, any order.
        ends: of the stretches.
    """
    low = np.searchsorted(slots, starts - step_ns, side="right")
    high = np.searchsorted(slots, ends, side="right")
    some = high > low
    edges = np.zeros(len(slots) + 1, np.int64)
    np.add.at(edges, low[some], 1)
    np.add.at(edges, high[some], -1)
    return np.asarray(np.cumsum(edges[:-1]) > 0)
