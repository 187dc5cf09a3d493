"""Splits and dividends of the vendor as rows of `SPLITS` and `DIVIDENDS`."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import Replace, WriteTable
from tsstore.columns import Columns
from tsstore.errors import NotFoundError
from tsstore_massive.batched import batched
from tsstore_massive.reference.buckets import (
    DIVIDENDS,
    DIVIDENDS_GROUP,
    EVER_NS,
    SPLITS,
    SPLITS_GROUP,
    action_times,
    day_column,
    text_column,
)
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date

    from tsstore.api import StoreApi
    from tsstore.schema import Schema
    from tsstore_massive.rest.models import Dividend, Split

#: Rows that are written in one commit.
_ROWS_PER_COMMIT = 200_000
#: Rows that are structs at a time.
_STRUCTS_MAX = 20_000

_DOLLARS = "USD"


@dataclass
class Gathered:
    """Rows by symbol.

    Attributes:
        rows: of each symbol, ascending; parts of the same arrays.
        unusable: rows that were left out, by reason.
    """

    rows: dict[str, Columns] = field(default_factory=dict)
    unusable: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Action:
    """A kind of rows.

    Attributes:
        group: timeframe and attribute group of its buckets.
        schema: of its buckets.
        columns: makes rows of structs, and says which of them cannot be used.
    """

    group: str
    schema: Schema
    columns: Callable[[Sequence[Any], Counter[str]], tuple[list[str], Columns]]

    def gather(self, told: Iterable[Any], wanted: Callable[[str], bool]) -> Gathered:
        """Rows of the symbols that are wanted; a row that is told twice counts once."""
        found = Gathered()
        symbols, parts = list[str](), list[Columns]()
        for some in batched(_once(told), _STRUCTS_MAX):
            named = [(bucket_symbol(each.ticker), each) for each in some]
            found.unusable["symbol that cannot be a bucket"] += sum(not name for name, _ in named)
            structs = [each for name, each in named if name and wanted(name)]
            tickers, rows = self.columns(structs, found.unusable)
            symbols += [bucket_symbol(each) or "" for each in tickers]
            parts.append(rows)
        if symbols:
            found.rows = dict(_by_symbol(symbols, Columns.concat(parts)))
        found.unusable += Counter()  # drops zeros
        return found

    def stored(
        self, store: StoreApi, symbols: Sequence[str] | None, first: date | None
    ) -> dict[str, Columns]:
        """What the store has from a day on; symbols without rows are left out.

        Args:
            store: where.
            symbols: whose; None for every symbol.
            first: the day; None for everything.
        """
        start = np.datetime64(_start_ns(first), "ns")
        try:
            found = store.read("*" if symbols is None else symbols, self.group, start=start)
        except NotFoundError:
            return {}
        return {key.partition("/")[0]: rows for key, rows in found.items() if len(rows)}

    def store(
        self,
        store: StoreApi,
        found: Gathered,
        stored: Mapping[str, Columns],
        first: date | None,
    ) -> int:
        """Have the store hold what was found in place of what it has; the same is left alone.

        Args:
            store: where.
            found: rows from the day on.
            stored: what the store has from the day on; what is not found goes.
            first: the day; None for everything.

        Returns:
            How many symbols had other rows before.
        """
        span = np.datetime64(_start_ns(first), "ns"), np.datetime64(EVER_NS[1], "ns")
        changed = {
            symbol: found.rows.get(symbol, Columns.empty(self.schema))
            for symbol in stored
            if not _is_same(stored[symbol], found.rows.get(symbol))
        }
        replaces = [
            Replace(f"{symbol}/{self.group}", *span, rows, self.schema)
            for symbol, rows in changed.items()
        ]
        if replaces:
            store.commit(replaces)
        new = {symbol: rows for symbol, rows in found.rows.items() if symbol not in stored}
        for some in _portions(new):
            store.commit([WriteTable(self.group, _table(some), self.schema)])
        return len(changed) + len(new)


def _split_columns(splits: Sequence[Split], unusable: Counter[str]) -> tuple[list[str], Columns]:
    good = [
        split for split in splits if 0 < split.split_from < np.inf and 0 < split.split_to < np.inf
    ]
    unusable["split with a side that is not above 0"] += len(splits) - len(good)
    arrays = {
        "From": np.array([split.split_from for split in good], np.float64),
        "To": np.array([split.split_to for split in good], np.float64),
    }
    times = action_times([split.execution_date for split in good])
    return [split.ticker for split in good], Columns(times, arrays, variable=True)


def _dividend_columns(
    dividends: Sequence[Dividend], unusable: Counter[str]
) -> tuple[list[str], Columns]:
    good = [each for each in dividends if 0 <= each.cash_amount < np.inf]
    unusable["dividend below 0"] += len(dividends) - len(good)
    currencies = [(each.currency or _DOLLARS).upper() for each in good]
    cash = np.array([each.cash_amount for each in good], np.float64)
    is_dollars = np.array([currency == _DOLLARS for currency in currencies], np.bool_)
    kinds = [each.dividend_type or each.distribution_type for each in good]
    arrays = {
        "Amount": np.where(is_dollars, cash, 0.0),
        "Cash": cash,
        "Currency": text_column(currencies, DIVIDENDS, "Currency"),
        "Type": text_column(kinds, DIVIDENDS, "Type"),
        "Frequency": np.array([min(each.frequency or 0, 9999) for each in good], np.int16),
        "Declared": day_column([each.declaration_date for each in good]),
        "Recorded": day_column([each.record_date for each in good]),
        "Paid": day_column([each.pay_date for each in good]),
    }
    times = action_times([each.ex_dividend_date for each in good])
    return [each.ticker for each in good], Columns(times, arrays, variable=True)


ACTIONS = {
    "splits": Action(SPLITS_GROUP, SPLITS, _split_columns),
    "dividends": Action(DIVIDENDS_GROUP, DIVIDENDS, _dividend_columns),
}


def _start_ns(first: date | None) -> int:
    return EVER_NS[0] if first is None else int(action_times([first])[0])


def _once(told: Iterable[Any]) -> Iterator[Any]:
    """Without rows that have been told: by id, and where there is none by all they say."""
    seen = set[object]()
    for each in told:
        mark = each.id if each.id is not None else each
        if mark not in seen:
            seen.add(mark)
            yield each


def _by_symbol(symbols: Sequence[str], rows: Columns) -> Iterator[tuple[str, Columns]]:
    numbers = {symbol: number for number, symbol in enumerate(dict.fromkeys(symbols))}
    codes = np.fromiter(map(numbers.__getitem__, symbols), np.int64, len(symbols))
    order = np.lexsort((rows.ts, codes))
    ordered = rows.take(order)
    ends = np.cumsum(np.bincount(codes)).tolist()
    for symbol, start, end in zip(numbers, [0, *ends], ends, strict=False):
        yield symbol, ordered.slice(start, end)


def _portions(rows: Mapping[str, Columns]) -> Iterator[dict[str, Columns]]:
    """Some symbols at a time, whole ones."""
    some, count = dict[str, Columns](), 0
    for symbol, columns in rows.items():
        some[symbol] = columns
        count += len(columns)
        if count >= _ROWS_PER_COMMIT:
            yield some
            some, count = {}, 0
    if some:
        yield some


def _table(rows: Mapping[str, Columns]) -> dict[str, Any]:
    """Rows of symbols as a cross-section."""
    together = Columns.concat(list(rows.values()))
    symbols = np.repeat(np.array(list(rows)), list(map(len, rows.values())))
    return {"Symbol": symbols, "Epoch": together.ts.view("M8[ns]"), **dict(together.items())}


def _is_same(one: Columns, other: Columns | None) -> bool:
    return (
        other is not None
        and len(one) == len(other)
        and np.array_equal(one.ts, other.ts)
        and all(
            name in one.schema.dtypes and np.array_equal(one[name], other[name])
            for name in other.schema.names
        )
    )
