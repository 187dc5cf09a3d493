"""Bars over REST: custom ranges, the whole market of a day, the previous and the daily close."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore.zones import NS_PER_DAY, NS_PER_SECOND, local_to_utc, utc_offsets
from tsstore_massive_simulator.adjusting import adjusted, adjusted_day, is_adjusted
from tsstore_massive_simulator.bars import coarser
from tsstore_massive_simulator.calendar import (
    MINUTE_NS,
    NEW_YORK,
    hours,
)
from tsstore_massive_simulator.question import (
    BadRequestError,
    NoSuchThingError,
    Page,
)
from tsstore_massive_simulator.rows import COLUMNS, Kind

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import date

    from numpy.typing import NDArray

    from tsstore_massive_simulator.question import Question
    from tsstore_massive_simulator.rows import Rows

_MS = 1_000_000
_DEFAULT_LIMIT = 5000
_LIMIT_MAX = 50_000
_WIDTHS = {"second": NS_PER_SECOND, "minute": MINUTE_NS, "hour": 60 * MINUTE_NS}
_DAYS = {"day": 1, "week": 7}
_MONTHS = {"month": 1, "quarter": 3, "year": 12}
#: 1970 began on a Thursday; the vendor's weeks begin on Sundays.
_SUNDAY_SHIFT = 4

Bars = dict[str, "NDArray[Any]"]


def bars(question: Question) -> Page:
    """Bars of a ticker; the limit counts the bars of which they are made."""
    parts = question.parts
    multiplier, timespan = int(parts["multiplier"]), parts["timespan"]
    if timespan not in (*_WIDTHS, *_DAYS, *_MONTHS) or not 1 <= multiplier <= 10_000:
        raise BadRequestError(f"{multiplier} {timespan} is not a range of time")
    low, high = question.start_ns(parts["first"], _MS), question.end_ns(parts["last"], _MS)
    if low > high:
        raise BadRequestError("'to' must not be before 'from'")
    ascending = question.choice("sort", "asc", "desc") == "asc"
    limit = question.limit(_DEFAULT_LIMIT, _LIMIT_MAX)

    base, resume_ms = _base(question, timespan, multiplier, low, high, limit, ascending=ascending)
    base = adjusted(question, base, question.ticker)
    zone = question.market.schedule.zone
    made = coarser(base, window_starts(base["window_start"], multiplier, timespan, zone))
    results = question.voice.bars(made)
    body = {
        "ticker": question.parts["ticker"],
        "queryCount": len(base["open"]),
        "resultsCount": len(results),
        "adjusted": is_adjusted(question),
        "results": results if ascending else results[::-1],
        "count": len(results),
    }
    if resume_ms is None:
        return Page(body)
    first, last = (resume_ms, parts["last"]) if ascending else (parts["first"], resume_ms)
    root = question.path.rsplit("/", 2)[0]
    return Page(body, f"{root}/{first}/{last}", question.params)


def _base(
    question: Question,
    timespan: str,
    multiplier: int,
    low: int,
    high: int,
    limit: int,
    *,
    ascending: bool,
) -> tuple[Bars, int | None]:
    """Up to `limit` base bars, and the start in ms of the first one that did not fit.

    A window that would be cut goes to the next page whole; one that is larger than a page is lost,
    as with the vendor.
    """
    parts, count = [], 0
    for day_bars in _days(question, timespan, low, high, ascending=ascending):
        parts.append(day_bars)
        count += len(day_bars["open"])
        if count > limit:
            break
    base = _joined(parts if ascending else parts[::-1])
    if count <= limit:
        return base, None
    starts = base["window_start"]
    windows = window_starts(starts, multiplier, timespan, question.market.schedule.zone)
    if ascending:
        cut = int(np.searchsorted(windows, windows[limit]))
        kept, resume = slice(0, cut), int(starts[cut])
    else:
        cut = int(np.searchsorted(windows, windows[count - limit - 1], side="right"))
        kept, resume = slice(cut, count), int(starts[cut - 1])
    page = {name: column[kept] for name, column in base.items()}
    return page, resume // _MS if len(page["open"]) else None


def _days(
    question: Question, timespan: str, low: int, high: int, *, ascending: bool
) -> Iterator[Bars]:
    """Base bars of the ticker between two instants that are complete, day by day."""
    low, high = max(low, 0), min(high, question.horizon_ns)
    if low > high:
        return
    day_of = question.market.schedule.day_of
    days = question.market.days(day_of(low), day_of(high))
    for day in days if ascending else reversed(days):
        rows, ends = _base_rows(question, timespan, day)
        start = rows["window_start"]
        shown = np.flatnonzero((start >= low) & (start <= high) & (ends <= question.horizon_ns))
        if len(shown):
            yield {name: column[shown] for name, column in rows.columns.items()}


def _base_rows(question: Question, timespan: str, day: date) -> tuple[Rows, NDArray[np.int64]]:
    """Base bars of a day, and when each is complete."""
    market, ticker = question.market, [question.ticker]
    if timespan == "second":
        rows = market.second_bars(day, ticker)
        return rows, rows["window_start"] + NS_PER_SECOND
    if timespan in ("minute", "hour"):
        rows = market.rows(Kind.MINUTES, day, ticker)
        return rows, rows["window_start"] + MINUTE_NS
    rows = market.rows(Kind.DAYS, day, ticker)
    return rows, np.full(len(rows), market.schedule.close_ns(day))


def window_starts(
    ts: NDArray[np.int64], multiplier: int, timespan: str, zone: str = NEW_YORK
) -> NDArray[np.int64]:
    """Start of the window that holds each instant, on the clocks of a zone; int64 nanoseconds."""
    local = ts + utc_offsets(ts, zone)
    if timespan in _WIDTHS:
        width = multiplier * _WIDTHS[timespan]
        return ts - local % width
    day = local // NS_PER_DAY
    if timespan in _DAYS:
        width = multiplier * _DAYS[timespan]
        shift = _SUNDAY_SHIFT if timespan == "week" else 0
        day = (day + shift) // width * width - shift
    else:
        width = multiplier * _MONTHS[timespan]
        month = day.astype("M8[D]").astype("M8[M]").astype(np.int64) // width * width
        day = month.astype("M8[M]").astype("M8[D]").astype(np.int64)
    return local_to_utc(day * NS_PER_DAY, zone)


def _joined(parts: list[Bars]) -> Bars:
    if not parts:
        return {name: np.empty(0, dtype) for name, dtype in COLUMNS[Kind.MINUTES].items()}
    return {name: np.concatenate([part[name] for part in parts]) for name in parts[0]}


def grouped_daily(question: Question) -> Page:
    """The day bars of all tickers."""
    day = question.day
    rows = question.market.rows(Kind.DAYS, day)
    close_ns = question.market.schedule.close_ns(day)
    results: Sequence[Any] = []
    if close_ns <= question.horizon_ns:
        # Here the vendor stamps the close of the session, in custom bars the midnight before it.
        columns = adjusted_day(question, rows.columns, rows.tickers, day)
        columns["window_start"] = np.full(len(rows), close_ns)
        results = question.voice.bars(columns, list(map(question.voice.bar_name, rows.tickers)))
    return Page(
        {
            "queryCount": len(results),
            "resultsCount": len(results),
            "adjusted": is_adjusted(question),
            "results": results,
            "count": len(results),
        }
    )


def with_test_ticker(question: Question, page: Page) -> Page:
    """The same with a ticker that exchanges try their systems with: a bar of no trade."""
    if question.market.name != "stocks" or not page.body["results"]:
        return page
    price = 12345
    bar: dict[str, Any] = {"T": "ZTST", "v": 0, "o": price, "c": price, "h": price, "l": price}
    bar["t"] = question.market.schedule.close_ns(question.day) // _MS
    results = [*page.body["results"], bar]
    counts = dict.fromkeys(("queryCount", "resultsCount", "count"), len(results))
    return Page({**page.body, **counts, "results": results})


def previous_close(question: Question) -> Page:
    """The last complete day bar of a ticker."""
    found = next(_days(question, "day", 0, question.horizon_ns, ascending=False), None)
    results: Sequence[Any] = []
    if found is not None:
        schedule = question.market.schedule
        close_ns = schedule.close_ns(schedule.day_of(int(found["window_start"][0])))
        found = adjusted(question, found, question.ticker)
        found["window_start"] = np.array([close_ns])
        results = question.voice.bars(found, [question.parts["ticker"]])
    return Page(
        {
            "ticker": question.parts["ticker"],
            "queryCount": len(results),
            "resultsCount": len(results),
            "adjusted": is_adjusted(question),
            "results": results,
            "count": len(results),
        }
    )


def open_close(question: Question) -> Page:
    """Open, high, low and close of a day with the prices before and after hours."""
    session = hours(question.day)
    bar = question.market.rows(Kind.DAYS, question.day, [question.ticker])
    if not len(bar) or session.close_ns > question.horizon_ns:
        raise NoSuchThingError("Data not found.")
    row = question.voice.bars(adjusted(question, bar.columns, question.ticker))[0]
    minutes = adjusted(
        question,
        question.market.rows(Kind.MINUTES, question.day, [question.ticker]).columns,
        question.ticker,
    )
    start = minutes["window_start"]
    before = np.flatnonzero(start < session.open_ns)
    after = np.flatnonzero(start >= session.close_ns)
    return Page(
        {
            "from": question.parts["day"],
            "symbol": question.ticker,
            "open": row.o,
            "high": row.h,
            "low": row.l,
            "close": row.c,
            **({"volume": row.v} if hasattr(row, "v") else {}),
            **({"preMarket": float(minutes["open"][before[0]])} if len(before) else {}),
            **({"afterHours": float(minutes["close"][after[-1]])} if len(after) else {}),
        }
    )
