"""Bars made comparable over splits."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive_simulator.bars import SIZE_DECIMALS
from tsstore_massive_simulator.calendar import day_of, day_start_ns
from tsstore_massive_simulator.corporate import price_factor

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive_simulator.corporate import Split
    from tsstore_massive_simulator.question import Question

_PRICES = ("vwap", "open", "close", "high", "low")
_PRICE_DECIMALS = 6

Columns = dict[str, "NDArray[Any]"]


def is_adjusted(question: Question) -> bool:
    """Whether prices are asked for as if every split up to now had always been."""
    return question.params.get("adjusted", "true") != "false"


def adjusted(question: Question, columns: Mapping[str, NDArray[Any]], ticker: str) -> Columns:
    """Bars of one ticker, adjusted when that is asked for; `columns` are left as they are."""
    made = dict(columns)
    splits = _executed(question, ticker)
    if not splits or not is_adjusted(question) or not len(columns["open"]):
        return made
    return _scaled(made, _factors(splits, columns["window_start"], day_of(question.horizon_ns)))


def adjusted_day(
    question: Question, columns: Mapping[str, NDArray[Any]], tickers: Sequence[str], day: date
) -> Columns:
    """The same for bars of many tickers and one day, a bar each."""
    made = dict(columns)
    if not is_adjusted(question) or not len(tickers):
        return made
    until = day_of(question.horizon_ns)
    factors = np.array([price_factor(_executed(question, each), day, until) for each in tickers])
    return made if (factors == 1).all() else _scaled(made, factors)


def _executed(question: Question, ticker: str) -> list[Split]:
    today = day_of(question.horizon_ns)
    splits = question.market.splits()
    return [each for each in splits if each.ticker == ticker and each.day <= today]


def _factors(
    splits: Sequence[Split], starts: NDArray[np.int64], until: date
) -> NDArray[np.float64]:
    """What the prices of each bar are multiplied by; bars before a split lie before its morning."""
    factors = np.ones(len(starts))
    for split in dict.fromkeys(splits):
        before = split.day - timedelta(days=1)
        factors[starts < day_start_ns(split.day)] *= price_factor([split], before, until)
    return factors


def _scaled(columns: Columns, factors: NDArray[np.float64]) -> Columns:
    scaled = {name: (columns[name] * factors).round(_PRICE_DECIMALS) for name in _PRICES}
    volume = (columns["volume"] / factors).round(SIZE_DECIMALS)
    return {**columns, **scaled, "volume": volume}
