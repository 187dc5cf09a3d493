"""Splits and dividends over REST, in the old form and in the new one."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

from tsstore_massive_simulator.corporate import declared_on, price_factor
from tsstore_massive_simulator.lists import Listed

if TYPE_CHECKING:
    from tsstore_massive_simulator.corporate import Dividend, Split
    from tsstore_massive_simulator.question import Page, Question

_SPLIT_FIELDS = {"ticker": str, "execution_date": str}
_DIVIDEND_FIELDS = {
    **dict.fromkeys(("ticker", "ex_dividend_date", "declaration_date", "record_date"), str),
    **dict.fromkeys(("pay_date", "dividend_type", "distribution_type"), str),
    "cash_amount": float,
    "frequency": int,
}
_OLD_SPLITS = Listed(_SPLIT_FIELDS, "-execution_date", 10, 1000)
_NEW_SPLITS = Listed(
    {**_SPLIT_FIELDS, "adjustment_type": str}, "-execution_date", 100, 5000, sorts_by_suffix=True
)
_OLD_DIVIDENDS = Listed(_DIVIDEND_FIELDS, "-ex_dividend_date", 10, 1000)
_NEW_DIVIDENDS = Listed(_DIVIDEND_FIELDS, "ticker", 100, 5000, sorts_by_suffix=True)


def splits(question: Question) -> Page:
    """A page of `/v3/reference/splits`."""
    reverse = question.params.get("reverse_split")
    rows = [
        _split(split)
        for split in question.market.splits()
        if reverse is None or (split.old > split.new) == (reverse == "true")
    ]
    return _OLD_SPLITS.page(question, rows)


def stock_splits(question: Question) -> Page:
    """A page of `/stocks/v1/splits`."""
    table = question.market.splits()
    rows = []
    for split in table:
        same = [each for each in table if each.ticker == split.ticker]
        factor = price_factor(same, split.day - timedelta(days=1), date.max)
        kind = "reverse_split" if split.old > split.new else "forward_split"
        more = {"adjustment_type": kind, "historical_adjustment_factor": round(factor, 6)}
        rows.append(_split(split) | more)
    return _NEW_SPLITS.page(question, rows)


def _split(split: Split) -> dict[str, Any]:
    return {
        "execution_date": str(split.day),
        "id": split.id,
        "split_from": _plain(split.old),
        "split_to": _plain(split.new),
        "ticker": split.ticker,
    }


def dividends(question: Question) -> Page:
    """A page of `/v3/reference/dividends`."""
    rows = [
        _dividend(each) | {"dividend_type": "CD" if each.frequency else "SC"}
        for each in question.market.dividends()
    ]
    return _OLD_DIVIDENDS.page(question, rows)


def stock_dividends(question: Question) -> Page:
    """A page of `/stocks/v1/dividends`."""
    splits = question.market.splits()
    rows = []
    for each in question.market.dividends():
        same = [split for split in splits if split.ticker == each.ticker]
        amount = each.amount * price_factor(same, each.day, date.max)
        more = {
            "distribution_type": "recurring" if each.frequency else "special",
            "split_adjusted_cash_amount": round(amount, 6),
        }
        rows.append(_dividend(each) | more)
    return _NEW_DIVIDENDS.page(question, rows)


def _dividend(dividend: Dividend) -> dict[str, Any]:
    return {
        "cash_amount": dividend.amount,
        "currency": "USD",
        "declaration_date": str(declared_on(dividend)),
        "ex_dividend_date": str(dividend.day),
        "frequency": dividend.frequency,
        "id": dividend.id,
        "pay_date": str(dividend.day + timedelta(days=14)),
        "record_date": str(dividend.day + timedelta(days=1)),
        "ticker": dividend.ticker,
    }


def _plain(number: float) -> float | int:
    return int(number) if number == int(number) else number
