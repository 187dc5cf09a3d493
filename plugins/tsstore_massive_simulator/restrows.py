"""Rows of REST answers for stocks, and bars of every market that has volumes.

A field that is None is left out of the JSON, as the vendor does.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np

from tsstore_massive_simulator.calendar import day_of
from tsstore_massive_simulator.cells import decimals, ids, numbers, plain, present, sets_at

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tsstore_massive_simulator.rows import Rows

_MS = 1_000_000


class RestTrade(msgspec.Struct, omit_defaults=True):
    """A row of `/v3/trades`, times in nanoseconds."""

    exchange: int
    id: str
    participant_timestamp: int
    price: float
    sequence_number: int
    sip_timestamp: int
    size: float | int
    tape: int
    conditions: tuple[int, ...] | None = None
    correction: int | None = None
    decimal_size: str | None = None
    trf_id: int | None = None
    trf_timestamp: int | None = None


class RestQuote(msgspec.Struct, omit_defaults=True):
    """A row of `/v3/quotes`, times in nanoseconds; an absent side is zeros."""

    ask_exchange: int
    ask_price: float
    ask_size: float | int
    bid_exchange: int
    bid_price: float
    bid_size: float | int
    participant_timestamp: int
    sequence_number: int
    sip_timestamp: int
    tape: int
    conditions: tuple[int, ...] | None = None
    indicators: tuple[int, ...] | None = None


class RestBar(msgspec.Struct, omit_defaults=True):
    """A row of the aggregates, time in milliseconds."""

    v: float | int
    o: float
    c: float
    h: float
    l: float  # noqa: E741 the vendor's name
    t: int
    vw: float | None = None
    n: int | None = None
    T: str | None = None


def rest_trades(rows: Rows) -> list[RestTrade]:
    """Rows of `/v3/trades`."""
    every = np.arange(len(rows))
    trf = present(rows["trf_id"])
    return list(
        map(
            RestTrade,
            rows["exchange"].tolist(),
            ids(rows["id"]),
            rows["participant_timestamp"].tolist(),
            rows["price"].tolist(),
            rows["sequence_number"].tolist(),
            rows["sip_timestamp"].tolist(),
            rows["size"].astype(np.int64).tolist(),
            rows["tape"].tolist(),
            sets_at(rows, "conditions", every),
            present(rows["correction"]),
            exact_sizes(rows),
            trf,
            present(np.where(rows["trf_id"] > 0, rows["trf_timestamp"], 0)),
        )
    )


def exact_sizes(rows: Rows) -> Sequence[str | None]:
    """Sizes of the trades of a day as decimal text, None before there were fractions."""
    if not len(rows):
        return []
    return decimals(rows["size"], day_of(int(rows["sip_timestamp"][0])))


def rest_quotes(rows: Rows) -> list[RestQuote]:
    """Rows of `/v3/quotes`."""
    every = np.arange(len(rows))
    return list(
        map(
            RestQuote,
            rows["ask_exchange"].tolist(),
            rows["ask_price"].tolist(),
            plain(rows["ask_size"]),
            rows["bid_exchange"].tolist(),
            rows["bid_price"].tolist(),
            plain(rows["bid_size"]),
            rows["participant_timestamp"].tolist(),
            rows["sequence_number"].tolist(),
            rows["sip_timestamp"].tolist(),
            rows["tape"].tolist(),
            sets_at(rows, "conditions", every),
            sets_at(rows, "indicators", every),
        )
    )


def rest_bars(columns: Any, tickers: Sequence[str | None] | None = None) -> list[RestBar]:
    """Rows of the aggregates.

    Args:
        columns: arrays by name, as bars have.
        tickers: one per row, in answers that hold several.
    """
    return list(
        map(
            RestBar,
            plain(columns["volume"]),
            columns["open"].tolist(),
            columns["close"].tolist(),
            columns["high"].tolist(),
            columns["low"].tolist(),
            (columns["window_start"] // _MS).tolist(),
            numbers(columns["vwap"]),
            present(columns["transactions"]),
            tickers or [None] * len(columns["open"]),
        )
    )
