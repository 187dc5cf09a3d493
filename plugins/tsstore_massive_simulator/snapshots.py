"""Snapshots: the day so far of one ticker, of all, of those that moved most."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from tsstore_massive_simulator import events
from tsstore_massive_simulator.bars import coarser
from tsstore_massive_simulator.calendar import HOUR_NS, MINUTE_NS, day_of, hours
from tsstore_massive_simulator.lists import Listed
from tsstore_massive_simulator.question import NoSuchThingError, Page
from tsstore_massive_simulator.rows import Kind

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import date

    from tsstore_massive_simulator.question import Question

_MOVERS = 20
_ANY_OF_MAX = 250
#: A new day begins at 03:30 New York, when the snapshots are cleared.
_CLEARED_NS = 7 * HOUR_NS // 2
_DAYS_BACK = 10
_UNIVERSAL = Listed({"ticker": str, "type": str}, "ticker", 10, _ANY_OF_MAX)


@dataclass(frozen=True)
class _Seen:
    """What is known of a ticker at an instant.

    Attributes:
        ticker: which.
        day: the bar of the day so far, when there is any.
        minute: the bar of the last minute that is over, when there is any today.
        before: the bar of the day before, when there is any.
        trade: the last trade, when there is any today.
        quote: the last quote, when there is any today.
        updated_ns: the last instant something happened, 0 for never.
    """

    ticker: str
    day: events.RestBar | None
    minute: events.RestBar | None
    before: events.RestBar | None
    trade: events.RestTrade | None
    quote: events.RestQuote | None
    updated_ns: int

    @property
    def change(self) -> float:
        """How much more the last trade cost than the close of the day before."""
        if self.before is None or self.day is None:
            return 0.0
        return self.day.c - self.before.c

    @property
    def change_percent(self) -> float:
        """The same in percent."""
        return 0.0 if self.before is None else self.change / self.before.c * 100


def every_ticker(question: Question) -> Page:
    """Snapshots of all tickers, or of some."""
    wanted = question.params.get("tickers")
    names = question.market.tickers()
    if wanted:
        asked = {name.strip() for name in wanted.split(",")}
        names = [name for name in names if name in asked]
    found = [_stock(each) for each in _seen(question, names)]
    return Page({"count": len(found), "status": "OK", "tickers": found}, is_standard=False)


def one_ticker(question: Question) -> Page:
    """The snapshot of a ticker.

    Raises:
        NoSuchThingError: there is no such ticker.
    """
    if question.ticker not in question.market.tickers():
        raise NoSuchThingError("Ticker not found.")
    return Page({"ticker": _stock(_seen(question, [question.ticker])[0])})


def movers(question: Question) -> Page:
    """The tickers that rose or fell most."""
    sign = -1 if question.parts["direction"] == "gainers" else 1
    found = [each for each in _seen(question, question.market.tickers()) if each.day is not None]
    found = [each for each in found if each.change * sign < 0]
    found.sort(key=lambda each: each.change_percent * sign)
    tickers = [_stock(each) for each in found[:_MOVERS]]
    return Page({"status": "OK", "tickers": tickers}, is_standard=False)


def universal(question: Question) -> Page:
    """A page of snapshots of tickers of any kind; an unknown one is told among the results."""
    asked = question.params.get("ticker.any_of")
    known = set(question.market.tickers())
    names = sorted(known) if asked is None else asked.split(",")[:_ANY_OF_MAX]
    rows: list[dict[str, Any]] = [{"ticker": name, "type": "stocks"} for name in names]
    page = _UNIVERSAL.page(question, rows)
    results = [_universal(question, row["ticker"], known) for row in page.body["results"]]
    return Page({"results": results}, page.next_path, page.next_params)


def _universal(question: Question, name: str, known: Iterable[str]) -> dict[str, Any]:
    if name not in known:
        return {"ticker": name, "error": "NOT_FOUND", "message": "Ticker not found."}
    return _any_kind(question, _seen(question, [name])[0])


def _seen(question: Question, names: Sequence[str]) -> list[_Seen]:
    """What is known of some tickers now."""
    now = question.horizon_ns
    days = question.market.days(day_of(now - _DAYS_BACK * 24 * HOUR_NS), day_of(now - _CLEARED_NS))
    if not days:
        return [_Seen(name, None, None, None, None, None, 0) for name in names]
    earlier = days[-2] if len(days) > 1 else None
    return [_seen_one(question, name, days[-1], earlier) for name in names]


def _seen_one(question: Question, name: str, today: date, earlier: date | None) -> _Seen:
    market, now = question.market, question.horizon_ns
    minutes = market.rows(Kind.MINUTES, today, [name])
    over = int(np.searchsorted(minutes["window_start"] + MINUTE_NS, now, side="right"))
    minutes = minutes.between(0, over)
    day = coarser(minutes.columns, np.zeros(over, np.int64)) if over else None
    if now >= hours(today).close_ns:
        whole = market.rows(Kind.DAYS, today, [name])
        day = dict(whole.columns) if len(whole) else day
    trade = _last(question, Kind.TRADES, today, name)
    quote = _last(question, Kind.QUOTES, today, name)
    before = None if earlier is None else market.rows(Kind.DAYS, earlier, [name])
    return _Seen(
        name,
        events.rest_bars(day)[0] if day is not None else None,
        events.rest_bars(minutes.between(over - 1, over).columns)[0] if over else None,
        events.rest_bars(before.columns)[0] if before is not None and len(before) else None,
        trade,
        quote,
        max((each.sip_timestamp for each in (trade, quote) if each is not None), default=0),
    )


def _last(question: Question, kind: Kind, day: date, name: str) -> Any:
    """The last row of a day that has happened."""
    rows = question.market.rows(kind, day, [name])
    end = int(np.searchsorted(rows["sip_timestamp"], question.horizon_ns, side="right"))
    if not end:
        return None
    last = rows.between(end - 1, end)
    return (events.rest_trades(last) if kind is Kind.TRADES else events.rest_quotes(last))[0]


def _stock(seen: _Seen) -> dict[str, Any]:
    """The shape of `/v2/snapshot`."""
    row: dict[str, Any] = {
        "ticker": seen.ticker,
        "todaysChange": round(seen.change, 4),
        "todaysChangePerc": round(seen.change_percent, 4),
        "updated": seen.updated_ns,
        "day": _bar(seen.day),
        "prevDay": _bar(seen.before),
    }
    if seen.minute is not None and seen.day is not None:
        total = {"av": seen.day.v, "dav": events.decimal_text(seen.day.v)}
        row["min"] = _bar(seen.minute) | total | {"t": seen.minute.t, "n": seen.minute.n}
    if seen.trade is not None:
        trade = seen.trade
        row["lastTrade"] = {
            **({"c": trade.conditions} if trade.conditions else {}),
            **({"ds": trade.decimal_size} if trade.decimal_size else {}),
            "i": trade.id,
            "p": trade.price,
            "s": trade.size,
            "t": trade.sip_timestamp,
            "x": trade.exchange,
        }
    if seen.quote is not None:
        quote = seen.quote
        row["lastQuote"] = {
            "P": quote.ask_price,
            "S": quote.ask_size,
            "p": quote.bid_price,
            "s": quote.bid_size,
            "t": quote.sip_timestamp,
        }
    return row


def _bar(bar: events.RestBar | None) -> dict[str, Any]:
    """A bar; zeros where there is none."""
    if bar is None:
        return dict.fromkeys(("o", "h", "l", "c", "v", "vw"), 0)
    made = {"o": bar.o, "h": bar.h, "l": bar.l, "c": bar.c, "v": bar.v}
    return made | {"vw": bar.vw or 0, "dv": events.decimal_text(bar.v)}


def _any_kind(question: Question, seen: _Seen) -> dict[str, Any]:
    """The shape of `/v3/snapshot`."""
    session = hours(day_of(question.horizon_ns))
    is_open = session.open_ns <= question.now_ns < session.close_ns
    row: dict[str, Any] = {
        "ticker": seen.ticker,
        "name": f"{seen.ticker} Inc.",
        "type": "stocks",
        "market_status": "open" if is_open else "closed",
    }
    if seen.trade is not None:
        trade = seen.trade
        row["last_trade"] = {
            **({"conditions": trade.conditions} if trade.conditions else {}),
            **({"decimal_size": trade.decimal_size} if trade.decimal_size else {}),
            "exchange": trade.exchange,
            "id": trade.id,
            "price": trade.price,
            "size": trade.size,
            "timeframe": "REAL-TIME",
            "last_updated": trade.sip_timestamp,
            "participant_timestamp": trade.participant_timestamp,
        }
    if seen.quote is not None:
        quote = seen.quote
        row["last_quote"] = {
            "ask": quote.ask_price,
            "ask_size": quote.ask_size,
            "ask_exchange": quote.ask_exchange,
            "bid": quote.bid_price,
            "bid_size": quote.bid_size,
            "bid_exchange": quote.bid_exchange,
            "last_updated": quote.sip_timestamp,
            "timeframe": "REAL-TIME",
        }
    if seen.minute is not None:
        minute = seen.minute
        row["last_minute"] = _long_bar(minute) | {
            "transactions": minute.n,
            "vwap": minute.vw,
            "last_updated": minute.t * 1_000_000,
        }
    if seen.day is not None:
        row["session"] = _long_bar(seen.day) | {
            "change": round(seen.change, 4),
            "change_percent": round(seen.change_percent, 4),
            "decimal_volume": events.decimal_text(seen.day.v),
            "price": seen.day.c,
            **({"previous_close": seen.before.c} if seen.before is not None else {}),
        }
    return row


def _long_bar(bar: events.RestBar) -> dict[str, Any]:
    return {"open": bar.o, "high": bar.h, "low": bar.l, "close": bar.c, "volume": bar.v}
