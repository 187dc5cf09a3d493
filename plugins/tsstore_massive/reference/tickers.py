"""Tickers of the vendor as rows of `TICKER`: one for each day on which something was new."""

from __future__ import annotations

from datetime import UTC
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.api import WriteTable
from tsstore.errors import NotFoundError
from tsstore_massive.reference.buckets import (
    TICKER_GROUP,
    TICKERS,
    day_column,
    text_column,
)
from tsstore_massive.symbols import bucket_symbol

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from tsstore.api import StoreApi
    from tsstore.columns import Columns
    from tsstore_massive.rest.models import Ticker

_SYMBOLS_PER_READ = 5000

Facts = tuple[Any, ...]


def store_tickers(store: StoreApi, told: Iterable[Ticker], today: date) -> int:
    """Write down what is new about some tickers; returns how many rows there were.

    A ticker that trades has its row at `today`, one that was delisted at the day of that. So a
    ticker that a second company has now keeps what the first one was.

    Args:
        store: where.
        told: by the vendor, in any order; those that cannot be buckets are left out.
        today: in New York.
    """
    rows = {}
    for ticker in told:
        symbol = bucket_symbol(ticker.ticker)
        if symbol is not None:
            day = _last_day(ticker)
            rows[symbol, today if ticker.active or day is None else day] = ticker
    if not rows:
        return 0
    columns = _columns(list(rows.values()))
    times = day_column([day for _, day in rows])
    is_new = _are_new([symbol for symbol, _ in rows], times, columns, store)
    if is_new.any():
        symbols = [symbol for (symbol, _), new in zip(rows, is_new, strict=True) if new]
        arrays = {name: array[is_new] for name, array in columns.items()}
        epoch = times[is_new].view("M8[ns]")
        table = {"Symbol": symbols, "Epoch": epoch, **arrays}
        store.commit([WriteTable(TICKER_GROUP, table, TICKERS)])
    return int(np.count_nonzero(is_new))


def active_symbols(store: StoreApi, symbols: Sequence[str]) -> list[str]:
    """Which of some symbols trade, by the newest row of each."""
    found = _stored(store, symbols)
    return [symbol for symbol, rows in found.items() if len(rows) and rows["Active"][-1]]


def known_symbols(store: StoreApi) -> list[str]:
    """Symbols that have a row."""
    return [key.partition("/")[0] for key in store.list(f"*/{TICKER_GROUP}")]


def _columns(tickers: Sequence[Ticker]) -> dict[str, Any]:
    texts = {
        "Name": [each.name for each in tickers],
        "Type": [each.type for each in tickers],
        "Market": [each.market for each in tickers],
        "Exchange": [each.primary_exchange for each in tickers],
        "Currency": [each.currency_symbol or each.currency_name for each in tickers],
        "CIK": [each.cik for each in tickers],
        "FIGI": [each.composite_figi for each in tickers],
        "ShareClassFIGI": [each.share_class_figi for each in tickers],
    }
    columns: dict[str, Any] = {
        name: text_column(values, TICKERS, name) for name, values in texts.items()
    }
    columns["Active"] = np.array([each.active for each in tickers], np.bool_)
    columns["Delisted"] = day_column([_last_day(each) for each in tickers])
    return {name: columns[name] for name in TICKERS.names}


def _last_day(ticker: Ticker) -> date | None:
    """The day of the delisting, as the vendor writes it: midnight in New York, told in UTC."""
    instant = ticker.delisted_utc
    return None if instant is None else instant.astimezone(UTC).date()


def _are_new(symbols: Sequence[str], times: Any, columns: dict[str, Any], store: StoreApi) -> Any:
    """Which rows say something else than the row before them does."""
    stored = _stored(store, sorted(set(symbols)))
    is_new = np.ones(len(symbols), np.bool_)
    for at, symbol in enumerate(symbols):
        rows = stored.get(symbol)
        before = 0 if rows is None else int(np.searchsorted(rows.ts, times[at], side="right"))
        if rows is not None and before:
            is_new[at] = any(rows[name][before - 1] != columns[name][at] for name in columns)
    return is_new


def _stored(store: StoreApi, symbols: Sequence[str]) -> dict[str, Columns]:
    found: dict[str, Columns] = {}
    for at in range(0, len(symbols), _SYMBOLS_PER_READ):
        try:
            some = store.read(symbols[at : at + _SYMBOLS_PER_READ], TICKER_GROUP)
        except NotFoundError:
            continue
        found.update((key.partition("/")[0], rows) for key, rows in some.items())
    return found
