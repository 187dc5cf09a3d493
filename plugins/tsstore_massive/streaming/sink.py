"""Streamed events into the store: one commit per call, and what a person wants to know of them."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import WriteTable
from tsstore.errors import SchemaMismatchError
from tsstore.zones import NS_PER_DAY, NS_PER_SECOND
from tsstore_massive.decoding.identity import Numbering
from tsstore_massive.misfits import REMEDY, misfit
from tsstore_massive.schemas import BAR_KINDS, SCHEMAS, STREAM_GROUPS
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    import logging
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from tsstore.api import StoreApi
    from tsstore.clock import Clock
    from tsstore_massive.decoding.messages import Events
    from tsstore_massive.schemas import Kind

#: What is shown of each kind; of several kinds that stream, quotes are shown only if alone.
_PRICE_COLUMNS: dict[Kind, str] = {
    "bars": "Close",
    "second_bars": "Close",
    "trades": "Price",
    "quotes": "BidPrice",
    "values": "Value",
    "fair_values": "Price",
}
#: Bars are told when they are over, with the time of their start.
_LENGTHS_NS: dict[Kind, int] = {"bars": 60 * NS_PER_SECOND, "second_bars": NS_PER_SECOND}
#: Symbols whose last price is kept for display.
_PRICES_MAX = 20_000
_NS_PER_MS = 1_000_000
#: Events further ahead of the clock are damaged.
_AHEAD_NS_MAX = NS_PER_DAY


class Sink:
    """Writes decoded events; thread-safe.

    Args:
        store: where they go.
        clock: tells how old an event is.
        logger: for the operator.

    Attributes:
        events: how many were received.
        rows: rows stored.
        commits: how many commits it took.
        lag_ms: age of the newest event of the last commit.
        ahead_ns: how far all events of some commit were ahead of the clock; who reads it may set it
            back to 0.
        prices: last price by symbol.
        watermarks: time of the newest event by kind, ns since 1970 UTC.
        misfits: buckets that hold other columns, so that nothing can be written to them.
    """

    def __init__(self, store: StoreApi, clock: Clock, logger: logging.Logger) -> None:
        self.events = 0
        self.rows = 0
        self.commits = 0
        self.lag_ms = 0
        self.ahead_ns = 0
        self.prices: dict[str, float] = {}
        self.watermarks: dict[Kind, int] = {}
        self.misfits: set[str] = set()
        self._store = store
        self._clock = clock
        self._logger = logger
        self._lock = threading.Lock()
        self._numbering = Numbering()
        self._kept_bars: dict[Kind, _KeptBars] | None = None

    def write(self, events: Events) -> None:
        """Store everything in one commit.

        Raises:
            TsStoreError: the store does not take it; nothing was stored.
        """
        tables = events.tables()
        with self._lock:
            tables = {kind: self._named(kind, table) for kind, table in tables.items()}
            self.rows += self._commit(tables)
            if self._kept_bars is not None:
                for kind in self._kept_bars.keys() & tables.keys():
                    self._kept_bars[kind].add(tables[kind])
        self.events += len(events)
        self.commits += 1
        for kind, table in tables.items():
            self._note(kind, table)

    def reconnected(self) -> None:
        """From now on events come over another connection, which repeats none on purpose.

        So an event without a number that came before is the same one, not a second like it.
        """
        with self._lock:
            self._numbering = Numbering()

    def keep_bars(self, until_ns: int) -> None:
        """From now on remember the bars that come, until `repeat_bars`.

        Args:
            until_ns: the last start of those that are fetched meanwhile; later ones are left out,
                since a fetch of a whole market may take hours.
        """
        with self._lock:
            if self._kept_bars is None:
                self._kept_bars = {kind: _KeptBars(until_ns) for kind in BAR_KINDS}

    def forget_bars(self, symbol: str) -> None:
        """Forget what came before the fetch of a symbol begins: what is fetched holds it."""
        with self._lock:
            for kept in (self._kept_bars or {}).values():
                kept.forget(bucket_symbol(symbol) or symbol)

    def repeat_bars(self) -> None:
        """Write the remembered bars once more.

        A bar that was fetched just before it was corrected on the socket, and stored just after,
        would undo the correction. So when a fill is over, what came meanwhile has the last word.
        """
        with self._lock:
            kept, self._kept_bars = self._kept_bars, None
            tables = {kind: bars.table() for kind, bars in (kept or {}).items()}
            self._commit({kind: table for kind, table in tables.items() if table})

    def _named(self, kind: Kind, table: dict[str, Any]) -> dict[str, Any]:
        """The table with an identity for events that have no number."""
        names = table["Symbol"]
        columns = {name: table[name] for name in SCHEMAS[kind].names}
        named = self._numbering.named(
            kind, table["Epoch"].view(np.int64), columns, lambda rows: [names[row] for row in rows]
        )
        return {**table, **named}

    def _commit(self, tables: dict[Kind, dict[str, Any]]) -> int:
        if self.misfits:
            tables = {kind: self._without_misfits(kind, table) for kind, table in tables.items()}
        operations = [
            WriteTable(STREAM_GROUPS[kind], table, SCHEMAS[kind])
            for kind, table in tables.items()
            if table["Symbol"]
        ]
        if not operations:
            return 0
        try:
            return self._store.commit(operations)
        except SchemaMismatchError:
            if not self._find_misfits(tables):
                raise
        return self._commit(tables)

    def _without_misfits(self, kind: Kind, table: dict[str, Any]) -> dict[str, Any]:
        group = STREAM_GROUPS[kind]
        symbols = table["Symbol"]
        keep = np.array([f"{symbol}/{group}" not in self.misfits for symbol in symbols], np.bool_)
        if keep.all():
            return table
        arrays = {name: array[keep] for name, array in table.items() if name != "Symbol"}
        return {"Symbol": [symbols[row] for row in np.flatnonzero(keep)], **arrays}

    def _find_misfits(self, tables: dict[Kind, dict[str, Any]]) -> bool:
        """Look for buckets with other columns; one of them must not cost the rows of all others."""
        before = len(self.misfits)
        for kind, table in tables.items():
            self._look_for_misfits(kind, set(table["Symbol"]), lenient=False)
        return len(self.misfits) > before

    def fitting(self, kind: Kind, symbols: Iterable[str]) -> tuple[str, ...]:
        """Those of some symbols whose buckets may take rows of a kind; the others are misfits.

        A bucket with whole volumes takes rows until one does not fit.
        """
        names = tuple(symbols)
        # Without the lock: a whole market takes a while.
        self._look_for_misfits(kind, names, lenient=True)
        group, misfits = STREAM_GROUPS[kind], self.misfits
        return tuple(name for name in names if f"{name}/{group}" not in misfits)

    def _look_for_misfits(self, kind: Kind, symbols: Iterable[str], *, lenient: bool) -> None:
        keys = {f"{symbol}/{STREAM_GROUPS[kind]}" for symbol in symbols} - self.misfits
        for key in sorted(keys):
            why = misfit(self._store, key, SCHEMAS[kind], lenient=lenient)
            if why is None:
                continue
            self._logger.error(
                "%s, so that none of these are stored; %s, then restart", why, REMEDY
            )
            self.misfits.add(key)

    def _note(self, kind: Kind, table: dict[str, Any]) -> None:
        now_ns = self._clock.now_ns()
        times = table["Epoch"].astype(np.int64)
        newest_ns = int(times.max())
        ahead_ns = int(times.min()) + _LENGTHS_NS.get(kind, 0) - now_ns
        if ahead_ns <= _AHEAD_NS_MAX:
            self.ahead_ns = max(self.ahead_ns, ahead_ns)
        # A time from the future would hide the next gap.
        newest_ns = min(newest_ns, now_ns)
        self.watermarks[kind] = max(self.watermarks.get(kind, 0), newest_ns)
        self.lag_ms = (now_ns - newest_ns) // _NS_PER_MS
        column = _PRICE_COLUMNS.get(kind)
        if column and (kind != "quotes" or self.watermarks.keys() == {"quotes"}):
            self._note_prices(table["Symbol"], table[column])

    def _note_prices(self, symbols: list[str], prices: NDArray[np.float64]) -> None:
        if len(self.prices) > _PRICES_MAX:
            self.prices.clear()
        self.prices.update(zip(symbols, prices.tolist(), strict=True))


class _KeptBars:
    """The last version of each bar that came, by symbol and slot, up to some instant."""

    def __init__(self, until_ns: int) -> None:
        self._until_ns = until_ns
        self._dtypes: dict[str, np.dtype[Any]] = {}
        self._rows: dict[str, dict[int, tuple[Any, ...]]] = {}

    def add(self, table: dict[str, Any]) -> None:
        arrays = {name: np.asarray(array) for name, array in table.items() if name != "Symbol"}
        self._dtypes = {name: array.dtype for name, array in arrays.items()}
        slots = arrays["Epoch"].astype(np.int64)
        kept = np.flatnonzero(slots <= self._until_ns)
        names = [table["Symbol"][row] for row in kept]
        rows = zip(*(array[kept].tolist() for array in arrays.values()), strict=True)
        for symbol, slot, row in zip(names, slots[kept].tolist(), rows, strict=True):
            self._rows.setdefault(symbol, {})[slot] = row

    def forget(self, symbol: str) -> None:
        self._rows.pop(symbol, None)

    def table(self) -> dict[str, Any]:
        symbols = [symbol for symbol, slots in self._rows.items() for _ in slots]
        if not symbols:
            return {}
        rows = [row for slots in self._rows.values() for row in slots.values()]
        columns = zip(self._dtypes.items(), zip(*rows, strict=True), strict=True)
        return {"Symbol": symbols, **{name: np.array(v, dtype) for (name, dtype), v in columns}}
