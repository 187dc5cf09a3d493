"""Columns of rows as lists of JSON values."""

from __future__ import annotations

from datetime import date
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from tsstore_massive_simulator.rows import Rows

_MS = 1_000_000
#: The day fractional shares appeared.
DECIMALS_SINCE = date(2026, 2, 23)


def decimal_text(value: float) -> str:
    """A size as the vendor writes exact ones: `40.0`, `0.007300`."""
    return f"{value:.1f}" if value == int(value) else f"{value:.6f}"


_cached_decimal_text = lru_cache(maxsize=65536)(decimal_text)


def decimals(values: NDArray[np.float64], day: date | None) -> Sequence[str | None]:
    """Exact sizes as text; None before the day they appeared, and where there is no day."""
    if day is None or day < DECIMALS_SINCE:
        return [None] * len(values)
    return list(map(_cached_decimal_text, values.tolist()))


def tickers_at(rows: Rows, at: NDArray[np.integer[Any]]) -> list[str]:
    """The tickers of the rows at some positions."""
    tickers = rows.tickers
    return [tickers[index] for index in rows.ticker_index[at].tolist()]


def ids(values: NDArray[Any]) -> list[str]:
    """Trade ids as text."""
    if values.dtype.kind == "S":
        return [each.decode() for each in values.tolist()]
    return list(map(str, values.tolist()))


def sets_at(rows: Rows, name: str, at: NDArray[np.integer[Any]]) -> list[tuple[int, ...] | None]:
    """What a column of sets holds at some positions, None for nothing."""
    sets = [each or None for each in rows.sets]
    return [sets[code] for code in rows[name][at].tolist()]


def milliseconds(ns: NDArray[np.int64]) -> list[int]:
    """Times as the socket tells most of them."""
    made: list[int] = (ns // _MS).tolist()
    return made


def present(values: NDArray[Any]) -> list[Any]:
    """Numbers, None for zeros."""
    return [each or None for each in values.tolist()]


def numbers(values: NDArray[np.float64]) -> list[float | None]:
    """Floats, None for NaN."""
    numbers: list[float | None] = values.tolist()
    for at in np.flatnonzero(np.isnan(values)).tolist():
        numbers[at] = None
    return numbers


def plain(values: NDArray[np.float64]) -> list[float | int]:
    """Numbers as the vendor writes them: whole ones without a point."""
    whole = values == np.floor(values)
    if whole.all():
        numbers: list[float | int] = values.astype(np.int64).tolist()
        return numbers
    return [
        int(each) if is_whole else each
        for each, is_whole in zip(values.tolist(), whole.tolist(), strict=True)
    ]
