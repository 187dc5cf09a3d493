"""`/v3/trades`, `/v3/quotes` and the last of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.times import MAX_NS
from tsstore_massive_simulator import events
from tsstore_massive_simulator.calendar import day_end_ns, day_of, day_start_ns
from tsstore_massive_simulator.question import (
    BadRequestError,
    NoSuchThingError,
    Page,
    is_day,
    parse_day,
)
from tsstore_massive_simulator.rows import TIME, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tsstore_massive_simulator.question import Question
    from tsstore_massive_simulator.rows import Rows

_DEFAULT_LIMIT = 1000
_LIMIT_MAX = 50_000


def trades(question: Question) -> Page:
    """A page of trades of a ticker."""
    return _ticks(question, Kind.TRADES)


def quotes(question: Question) -> Page:
    """A page of quotes of a ticker."""
    return _ticks(question, Kind.QUOTES)


def last_trade(question: Question) -> Page:
    """The last trade of a ticker."""
    row = _last(question, Kind.TRADES)
    return Page(
        {
            "results": {
                "T": question.ticker,
                **({"c": row.conditions} if row.conditions else {}),
                **({"ds": row.decimal_size} if row.decimal_size else {}),
                **({"f": row.trf_timestamp, "r": row.trf_id} if row.trf_id else {}),
                "i": row.id,
                "p": row.price,
                "q": row.sequence_number,
                "s": row.size,
                "t": row.sip_timestamp,
                "x": row.exchange,
                "y": row.participant_timestamp,
                "z": row.tape,
            }
        }
    )


def last_quote(question: Question) -> Page:
    """The last best bid and offer of a ticker."""
    row = _last(question, Kind.QUOTES)
    return Page(
        {
            "results": {
                "T": question.ticker,
                "P": row.ask_price,
                "S": row.ask_size,
                "X": row.ask_exchange,
                "p": row.bid_price,
                "s": row.bid_size,
                "x": row.bid_exchange,
                "q": row.sequence_number,
                "t": row.sip_timestamp,
                "y": row.participant_timestamp,
                "z": row.tape,
            }
        }
    )


def _ticks(question: Question, kind: Kind) -> Page:
    limit = question.limit(_DEFAULT_LIMIT, _LIMIT_MAX)
    ascending = question.choice("order", "desc", "asc") == "asc"
    low, high = _bounds(question)
    # A cursor says: from this instant on, but without so many rows of it.
    at, skip = int(question.params.get("ap", "-1")), int(question.params.get("as", "0"))
    if at >= 0:
        low, high = (at, high) if ascending else (low, at)
    wanted = limit + 1  # one more, to know whether there is a next page
    found: list[Any] = []
    for rows in _days(question, kind, low, high, ascending=ascending):
        part = _head(rows, skip, wanted - len(found), ascending=ascending)
        skip -= min(skip, len(rows))
        made: list[Any] = (
            events.rest_trades(part) if kind is Kind.TRADES else events.rest_quotes(part)
        )
        found += made if ascending else made[::-1]
        if len(found) == wanted:
            break
    page = found[:limit]
    if len(found) < wanted:
        return Page({"results": page})
    return Page({"results": page}, question.path, _next(question, page, at))


def _next(question: Question, page: list[Any], previous_at: int) -> dict[str, str]:
    """Where the next page begins: after the rows of the last instant that were given already."""
    at = page[-1].sip_timestamp
    given = next(
        (count for count, row in enumerate(reversed(page)) if row.sip_timestamp != at), len(page)
    )
    if given == len(page) and at == previous_at:
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
        start, end = _span(text)
        if comparison in ("", "gte"):
            low = max(low, start)
        if comparison in ("", "lte"):
            high = min(high, end)
        if comparison == "gt":
            low = max(low, end + 1)
        if comparison == "lt":
            high = min(high, start - 1)
    return low, min(high, question.horizon_ns)


def _span(text: str) -> tuple[int, int]:
    """First and last nanosecond of a day, or an instant twice."""
    if is_day(text):
        day = parse_day(text)
        return day_start_ns(day), day_end_ns(day)
    if not 0 <= int(text) <= MAX_NS:
        raise BadRequestError(f"could not parse the timestamp {text!r}")
    return int(text), int(text)


def _last(question: Question, kind: Kind) -> Any:
    for rows in _days(question, kind, 0, question.horizon_ns, ascending=False):
        tail = rows.between(len(rows) - 1, len(rows))
        return (events.rest_trades(tail) if kind is Kind.TRADES else events.rest_quotes(tail))[0]
    raise NoSuchThingError("Ticker not found.")
