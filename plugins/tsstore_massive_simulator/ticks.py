"""`/v3/trades`, `/v3/quotes` and the last of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.times import MAX_NS
from tsstore_massive_simulator import restrows
from tsstore_massive_simulator.question import NoSuchThingError, Page
from tsstore_massive_simulator.rows import TIME, Kind
from tsstore_massive_simulator.short import short

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore_massive_simulator.question import Question
    from tsstore_massive_simulator.rows import Rows

_DEFAULT_LIMIT = 1000
_LIMIT_MAX = 50_000

#: Columns by the letters of the answers: capitals are the ask's, small ones the bid's.
_TRADE_LETTERS = {
    "c": "conditions", "f": "trf_timestamp", "i": "id", "p": "price",
    "q": "sequence_number", "r": "trf_id", "s": "size", "t": "sip_timestamp", "x": "exchange",
    "y": "participant_timestamp", "z": "tape",
}  # fmt: skip
_QUOTE_LETTERS = {
    "P": "ask_price", "S": "ask_size", "X": "ask_exchange", "p": "bid_price", "s": "bid_size",
    "x": "bid_exchange", "q": "sequence_number", "t": "sip_timestamp",
    "y": "participant_timestamp", "z": "tape",
}  # fmt: skip
_CRYPTO_LAST = Kind.TRADES, {
    "conditions": "conditions", "exchange": "exchange", "price": "price", "size": "size",
    "timestamp": "ms participant_timestamp",
}  # fmt: skip
_FOREX_LAST = Kind.QUOTES, {
    "ask": "ask_price", "bid": "bid_price", "exchange": "bid_exchange",
    "timestamp": "ms participant_timestamp",
}  # fmt: skip


def trades(question: Question) -> Page:
    """A page of trades of a ticker."""
    return _ticks(question, Kind.TRADES)


def quotes(question: Question) -> Page:
    """A page of quotes of a ticker."""
    return _ticks(question, Kind.QUOTES)


def last_trade(question: Question) -> Page:
    """The last trade of a stock or an option."""
    row = _last(question, Kind.TRADES)
    return Page({"results": {"T": question.parts["ticker"], **trade_letters(question, row)}})


def trade_letters(question: Question, row: Rows) -> dict[str, Any]:
    """A trade by the letters of the answers; stocks have the exact size besides."""
    made = short(row, _TRADE_LETTERS)
    exact = restrows.exact_sizes(row)[0] if question.market.name == "stocks" else None
    return made if exact is None else {**made, "ds": exact}


def last_quote(question: Question) -> Page:
    """The last best bid and offer of a stock."""
    row = _last(question, Kind.QUOTES)
    return Page({"results": {"T": question.parts["ticker"], **short(row, _QUOTE_LETTERS)}})


def last_pair(question: Question) -> Page:
    """The last trade of a crypto pair, or the last quote of a currency pair."""
    first, second = question.parts["base"], question.parts["quote"]
    if question.parts["market"] == "crypto":
        ticker, symbol, kind, names = f"X:{first}-{second}", f"{first}-{second}", *_CRYPTO_LAST
    else:
        ticker, symbol, kind, names = f"C:{first}-{second}", f"{first}/{second}", *_FOREX_LAST
    row = _last(question.with_part("ticker", ticker), kind)
    return Page({"last": short(row, names), "symbol": symbol, "status": "success"})


def _ticks(question: Question, kind: Kind) -> Page:
    make = question.voice.trades if kind is Kind.TRADES else question.voice.quotes
    limit = question.limit(_DEFAULT_LIMIT, _LIMIT_MAX)
    ascending = question.choice("order", "desc", "asc") == "asc"
    if make is None:
        return Page({"results": []})
    low, high = _bounds(question)
    # A cursor says: from this instant on, but without so many rows of it.
    at, skip = int(question.params.get("ap", "-1")), int(question.params.get("as", "0"))
    if at >= 0:
        low, high = (at, high) if ascending else (low, at)
    wanted = limit + 1  # one more, to know whether there is a next page
    found: list[Any] = []
    times: list[int] = []
    for rows in _days(question, kind, low, high, ascending=ascending):
        part = _head(rows, skip, wanted - len(found), ascending=ascending)
        skip -= min(skip, len(rows))
        step = 1 if ascending else -1
        found += make(part)[::step]
        times += part[TIME[kind]].tolist()[::step]
        if len(found) == wanted:
            break
    page = found[:limit]
    if len(found) < wanted:
        return Page({"results": page})
    return Page({"results": page}, question.path, _next(question, times[:limit], at))


def _next(question: Question, times: list[int], previous_at: int) -> dict[str, str]:
    """Where the next page begins: after the rows of the last instant that were given already."""
    at = times[-1]
    given = next((count for count, each in enumerate(reversed(times)) if each != at), len(times))
    if given == len(times) and at == previous_at:
        given += int(question.params["as"])
    return {**question.params, "ap": str(at), "as": str(given)}


def _head(rows: Rows, skip: int, count: int, *, ascending: bool) -> Rows:
    """The first rows in the wanted order, in ascending order."""
    if ascending:
        return rows.between(min(skip, len(rows)), min(skip + count, len(rows)))
    end = max(len(rows) - skip, 0)
    return rows.between(max(end - count, 0), end)


def _days(
    question: Question, kind: Kind, low: int, high: int, *, ascending: bool
) -> Iterator[Rows]:
    """Rows of the ticker between two instants, day by day."""
    if low > high:
        return
    day_of = question.market.schedule.day_of
    days = question.market.days(day_of(low), day_of(high))
    for day in days if ascending else reversed(days):
        rows = question.market.rows(kind, day, [question.ticker])
        ts = rows[TIME[kind]]
        first, last = np.searchsorted(ts, low), np.searchsorted(ts, high, side="right")
        if first < last:
            yield rows.between(int(first), int(last))


def _bounds(question: Question) -> tuple[int, int]:
    """First and last nanosecond of the time filters."""
    low, high = 0, MAX_NS
    for name, text in question.params.items():
        field, _, comparison = name.partition(".")
        if field != "timestamp":
            continue
        start, end = question.start_ns(text, 1), question.end_ns(text, 1)
        if comparison in ("", "gte"):
            low = max(low, start)
        if comparison in ("", "lte"):
            high = min(high, end)
        if comparison == "gt":
            low = max(low, end + 1)
        if comparison == "lt":
            high = min(high, start - 1)
    return low, min(high, question.horizon_ns)


def _last(question: Question, kind: Kind) -> Rows:
    for rows in _days(question, kind, 0, question.horizon_ns, ascending=False):
        return rows.between(len(rows) - 1, len(rows))
    raise NoSuchThingError("Ticker not found.")
